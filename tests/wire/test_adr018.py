import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cogd.csi.frame import Origin
from cogd.errors import WireError
from cogd.wire import adr018
from cogd.wire.ignored import Ignored

HEADER = bytes.fromhex("010011c502014000 85090000 d2040000 c9a10000")
"""Node 2, 1 antenna, 64 bins, 2437 MHz, sequence 1234, -55 dBm, -95 dBm, PPDU type 0, no flags."""
VITALS = bytes.fromhex("020011c50105aa0580fc0a00d00100000000003fcdcc4c3f40e2010000000000")

FIXED = {
    0xC5110002: ("vitals", 32),
    0xC5110003: ("features", 48),
    0xC5110004: ("fused_vitals", 48),
    0xC5110006: ("feature_state", 60),
    0xC511A110: ("sync", 32),
}
AT_LEAST = {
    0xC5110005: ("compressed_csi", 10),
    0xC5110007: ("wasm_output", 8),
    0xC5110008: ("uwb_range", 4),
    0xC5110084: ("sketch", 4),
    0xC5118100: ("mesh", 16),
}


def packet(magic: int, size: int) -> bytes:
    return struct.pack("<I", magic) + bytes(size - 4)


def iq_arrays(most: int = 256):
    return st.integers(1, most).flatmap(lambda bins: arrays(np.int8, (bins, 2)))


def test_the_header_that_the_facts_give():
    pairs = np.arange(-64, 64, dtype=np.int8)
    csi = adr018.decode(HEADER + pairs.tobytes())
    assert isinstance(csi, adr018.CsiDatagram)
    assert (csi.node_id, csi.n_antennas, csi.bins, csi.freq_mhz, csi.sequence) == (2, 1, 64, 2437, 1234)
    assert (csi.rssi_dbm, csi.noise_floor_dbm, csi.ppdu_type, csi.flags) == (-55, -95, 0, 0)
    np.testing.assert_array_equal(csi.iq, pairs.reshape(64, 2))


def test_encode_writes_the_header_that_the_facts_give():
    iq = np.zeros((64, 2), np.int8)
    made = adr018.encode(node_id=2, sequence=1234, iq=iq, rssi_dbm=-55, noise_floor_dbm=-95)
    assert made == HEADER + bytes(128)


def test_every_field_lies_at_its_own_place():
    header = struct.pack("<IBBHIIbbBB", 0xC5110001, 201, 2, 3, 0x01020304, 0xFFFFFFFE, -128, 127, 255, 0b10101)
    csi = adr018.decode(header + bytes(range(12)))
    assert isinstance(csi, adr018.CsiDatagram)
    assert (csi.node_id, csi.n_antennas, csi.bins) == (201, 2, 3)
    assert (csi.freq_mhz, csi.sequence) == (0x01020304, 0xFFFFFFFE)
    assert (csi.rssi_dbm, csi.noise_floor_dbm, csi.ppdu_type, csi.flags) == (-128, 127, 255, 0b10101)
    assert csi.iq.tolist() == [[0, 1], [2, 3], [4, 5]]  # the first antenna, imaginary before real


def test_the_vitals_that_the_facts_give_are_ignored():
    assert adr018.decode(VITALS) == Ignored("vitals")


def test_iq_is_a_view_that_nobody_can_write_to():
    datagram = HEADER + bytes(128)
    csi = adr018.decode(datagram)
    assert isinstance(csi, adr018.CsiDatagram)
    assert np.shares_memory(csi.iq, np.frombuffer(datagram, np.int8))
    assert not csi.iq.flags.writeable


def test_a_memoryview_is_as_good_as_bytes():
    csi = adr018.decode(memoryview(HEADER + bytes(range(128))))
    assert isinstance(csi, adr018.CsiDatagram)
    assert csi.iq[1].tolist() == [2, 3]


@given(
    node_id=st.integers(0, 255),
    sequence=st.integers(0, 2**32 - 1),
    iq=iq_arrays(),
    freq_mhz=st.integers(0, 2**32 - 1),
    rssi_dbm=st.integers(-128, 127),
    noise_floor_dbm=st.integers(-128, 127),
    ppdu_type=st.integers(0, 255),
    flags=st.integers(0, 255),
)
def test_what_is_encoded_is_decoded(iq, **fields):
    csi = adr018.decode(adr018.encode(iq=iq, **fields))
    assert isinstance(csi, adr018.CsiDatagram)
    assert {name: getattr(csi, name) for name in fields} == fields
    assert (csi.n_antennas, csi.bins) == (1, len(iq))
    np.testing.assert_array_equal(csi.iq, iq)


def test_encode_counts_the_sequence_as_the_node_does():
    iq = np.zeros((1, 2), np.int8)
    csi = adr018.decode(adr018.encode(node_id=0, sequence=2**32 + 5, iq=iq, rssi_dbm=-1, noise_floor_dbm=-1))
    assert isinstance(csi, adr018.CsiDatagram)
    assert csi.sequence == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"node_id": 256},
        {"node_id": -1},
        {"freq_mhz": 2**32},
        {"rssi_dbm": 128},
        {"noise_floor_dbm": -129},
        {"ppdu_type": 256},
        {"flags": -1},
        {"iq": np.zeros((64, 2), np.int16)},
        {"iq": np.zeros((64,), np.int8)},
        {"iq": np.zeros((64, 3), np.int8)},
        {"iq": np.zeros((0, 2), np.int8)},
        {"iq": np.zeros((257, 2), np.int8)},
    ],
)
def test_encode_refuses_what_does_not_fit(wrong):
    right = {"node_id": 1, "sequence": 0, "iq": np.zeros((64, 2), np.int8), "rssi_dbm": -50, "noise_floor_dbm": -90}
    with pytest.raises(WireError):
        adr018.encode(**(right | wrong))


@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(datagram):
    with contextlib.suppress(WireError):
        assert isinstance(adr018.decode(datagram), adr018.CsiDatagram | Ignored)


@given(st.sampled_from([adr018.MAGIC_CSI, *FIXED, *AT_LEAST]), st.binary(max_size=600))
def test_any_bytes_after_a_known_magic_are_read_or_refused(magic, rest):
    with contextlib.suppress(WireError):
        assert isinstance(adr018.decode(struct.pack("<I", magic) + rest), adr018.CsiDatagram | Ignored)


@pytest.mark.parametrize("bins", [1, 64, 128, 192, 256])
@pytest.mark.parametrize("antennas", [1, 2, 4])
def test_every_length_of_a_csi_datagram(antennas, bins):
    needed = 20 + 2 * antennas * bins
    whole = struct.pack("<IBBHIIbbBB", 0xC5110001, 1, antennas, bins, 2437, 0, -50, -90, 0, 0) + bytes(2200)
    for size in range(601):
        if size < needed:
            with pytest.raises(WireError, match=str(size)):
                adr018.decode(whole[:size])
        else:  # bytes after the last pair are tolerated
            csi = adr018.decode(whole[:size])
            assert isinstance(csi, adr018.CsiDatagram)
            assert csi.iq.shape == (bins, 2)


@pytest.mark.parametrize(("bins", "size"), [(64, 148), (128, 276), (192, 404), (256, 532)])
def test_the_lengths_that_nodes_send(bins, size):
    iq = np.zeros((bins, 2), np.int8)
    assert len(adr018.encode(node_id=1, sequence=1, iq=iq, rssi_dbm=-50, noise_floor_dbm=-90)) == size


@pytest.mark.parametrize("bins", [0, 257, 65535])
def test_bins_out_of_range(bins):
    header = struct.pack("<IBBHIIbbBB", 0xC5110001, 1, 1, bins, 2437, 0, -50, -90, 0, 0)
    with pytest.raises(WireError, match=rf"{bins} bins; expected 1 to 256"):
        adr018.decode(header + bytes(2 * bins))


@pytest.mark.parametrize("antennas", [0, 5, 255])
def test_antennas_out_of_range(antennas):
    header = struct.pack("<IBBHIIbbBB", 0xC5110001, 1, antennas, 64, 2437, 0, -50, -90, 0, 0)
    with pytest.raises(WireError, match=rf"{antennas} antennas; expected 1 to 4"):
        adr018.decode(header + bytes(2 * 64 * antennas))


@pytest.mark.parametrize("magic", FIXED)
def test_fixed_packets_have_one_size(magic):
    kind, right = FIXED[magic]
    for size in range(4, 101):
        if size == right:
            assert adr018.decode(packet(magic, size)) == Ignored(kind)
        else:
            with pytest.raises(WireError, match=rf"{kind} datagram of {size} bytes; expected {right}"):
                adr018.decode(packet(magic, size))


@pytest.mark.parametrize("magic", AT_LEAST)
def test_other_packets_have_a_least_size(magic):
    kind, least = AT_LEAST[magic]
    for size in range(4, 101):
        if size >= least:
            assert adr018.decode(packet(magic, size)) == Ignored(kind)
        else:
            with pytest.raises(WireError, match=rf"{kind} datagram of {size} bytes; expected at least {least}"):
                adr018.decode(packet(magic, size))


def test_wasm_output_holds_the_events_that_it_counts():
    header = struct.pack("<IBBH", 0xC5110007, 1, 0, 2)
    assert adr018.decode(header + bytes(10)) == Ignored("wasm_output")
    with pytest.raises(WireError, match="cut off"):
        adr018.decode(header + bytes(9))


@pytest.mark.parametrize("magic", [0, 0xC5110000, 0xC5110009, 0x010011C5, 0xFFFFFFFF])
def test_an_unknown_magic_is_named(magic):
    with pytest.raises(WireError, match=f"0x{magic:08X}"):
        adr018.decode(packet(magic, 148))


def test_a_frame_of_a_datagram():
    csi = adr018.decode(HEADER + bytes(128))
    assert isinstance(csi, adr018.CsiDatagram)
    frame = adr018.to_frame(csi, source="hall", time_s=7.5, arrival_s=3.25, origin=Origin.LIVE)
    assert (frame.node, frame.time_s, frame.arrival_s, frame.origin) == ("hall/2", 7.5, 3.25, Origin.LIVE)
    assert (frame.bins, frame.sequence, frame.rssi_dbm, frame.noise_floor_dbm) == (64, 1234, -55.0, -95.0)
    assert frame.freq_mhz == 2437
    assert frame.iq is csi.iq
    assert frame.amplitude is None


def test_no_frequency_is_none():
    iq = np.zeros((64, 2), np.int8)
    csi = adr018.decode(adr018.encode(node_id=1, sequence=1, iq=iq, freq_mhz=0, rssi_dbm=-50, noise_floor_dbm=-90))
    assert isinstance(csi, adr018.CsiDatagram)
    assert adr018.to_frame(csi, source="a", time_s=0, arrival_s=0, origin=Origin.LIVE).freq_mhz is None
