import json
import struct
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cogd.csi.frame import Origin
from cogd.errors import WireError
from cogd.wire import recording, snapshot
from cogd.wire.ignored import Ignored
from cogd.wire.recording import Recorded, Recording

IQ = np.arange(-64, 64, dtype=np.int8).reshape(64, 2)

LEAD = struct.pack("<IIbbBB", 2437, 99, -55, -95, 0, 0)
"""The end of a header: channel 6, sequence 99, -55 dBm, -95 dBm."""


def pretrain(iq=IQ, **fields) -> dict:
    return {
        "timestamp": 1775182186.5,
        "node_id": 2,
        "magic": "0xC5110001",
        "size": 20 + iq.nbytes,
        "rssi": 1,
        "type": "raw_csi",
        "iq_hex": iq.tobytes().hex(),
        "subcarriers": len(iq),
    } | fields


def udp_recorder(iq=IQ, lead=LEAD, **fields) -> dict:
    payload = lead + iq.tobytes()
    pairs = np.frombuffer(payload, np.int8).reshape(-1, 2).astype(float)
    return {
        "type": "raw_csi",
        "timestamp": "2026-05-19T10:00:00.123Z",
        "ts_ns": 1779210883_500_000_000,
        "node_id": 1,
        "rssi": 64,
        "channel": 0,
        "subcarriers": len(pairs),
        "amplitudes": [round(float(value), 2) for value in np.hypot(pairs[:, 0], pairs[:, 1])],
        "iq_hex": payload.hex(),
    } | fields


def server(**fields) -> dict:
    return {
        "timestamp": 1772470567.087,
        "subcarriers": [0.0, *([3.5] * 55)],
        "rssi": 0.0,
        "noise_floor": 0.0,
        "features": {"variance": 43.6},
    } | fields


def update(tick: int, nodes: dict[int, float], source="esp32") -> dict:
    return {
        "type": "sensing_update",
        "timestamp": 100 + tick / 10,
        "source": source,
        "tick": tick,
        "nodes": [
            {"node_id": node, "rssi_dbm": -40, "amplitude": [level] * 56, "subcarrier_count": 64}
            for node, level in nodes.items()
        ],
    }


def line(message) -> bytes:
    return json.dumps(message).encode() + b"\n"


def recorded(message) -> Recorded:
    value = recording.parse_line(line(message))
    assert isinstance(value, Recorded)
    return value


# --- the pretrain recorder -----------------------------------------------------------------------------------


def test_pretrain_line():
    frame = recorded(pretrain())
    assert (frame.node_id, frame.time_s, frame.bins) == (2, 1775182186.5, 64)
    np.testing.assert_array_equal(frame.iq, IQ)
    assert frame.iq.dtype == np.int8
    assert frame.amplitude is None
    assert (frame.rssi_dbm, frame.sequence, frame.simulated) == (None, None, False)  # its rssi is another field


@pytest.mark.parametrize("claimed", [0, 1, 56, 9999])
def test_pretrain_bins_are_those_of_iq_hex(claimed):
    assert recorded(pretrain(subcarriers=claimed)).bins == 64


@given(st.integers(1, 256).flatmap(lambda bins: arrays(np.int8, (bins, 2))))
def test_pretrain_iq_comes_back(iq):
    np.testing.assert_array_equal(recorded(pretrain(iq)).iq, iq)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"iq_hex": "0"}, "iq_hex"),
        ({"iq_hex": "zz"}, "iq_hex"),
        ({"iq_hex": "00 00"}, "iq_hex"),
        ({"iq_hex": ""}, "iq_hex of 0 bytes"),
        ({"iq_hex": "000000"}, "iq_hex of 3 bytes"),
        ({"iq_hex": "00" * 514}, "1 to 256"),
        ({"iq_hex": 7}, "iq_hex"),
        ({"iq_hex": None}, "without iq_hex"),
        ({"node_id": None}, "node_id"),
        ({"node_id": 256}, "node_id"),
        ({"node_id": -1}, "node_id"),
        ({"node_id": "1"}, "node_id"),
        ({"timestamp": None}, "timestamp"),
        ({"timestamp": "2026-05-19T10:00:00Z"}, "timestamp"),
        ({"timestamp": -1.0}, "timestamp"),
        ({"timestamp": True}, "timestamp"),
        ({"magic": "0xC5110005"}, "0xC5110005"),
        ({"magic": "CSI"}, "magic"),
        ({"magic": 7}, "magic"),
    ],
)
def test_pretrain_lines_that_are_wrong(wrong, told):
    with pytest.raises(WireError, match=told):
        recording.parse_line(line(pretrain(**wrong)))


@pytest.mark.parametrize(
    ("magic", "kind"),
    [("0xC5110002", "vitals"), ("0xC5110003", "features"), ("0xC5110005", "compressed_csi"), ("0x1", "no_csi")],
)
def test_other_packets_of_the_pretrain_recorder(magic, kind):
    assert recording.parse_line(line({"timestamp": 1.5, "node_id": 1, "magic": magic})) == Ignored(kind)


# --- record-csi-udp.py ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bins", [64, 128, 192, 256])
def test_the_six_leading_pairs_are_the_end_of_the_header(bins):
    iq = np.arange(2 * bins).astype(np.int8).reshape(bins, 2)
    frame = recorded(udp_recorder(iq))
    np.testing.assert_array_equal(frame.iq, iq)
    assert (frame.node_id, frame.bins, frame.time_s) == (1, bins, 1779210883.5)
    assert (frame.freq_mhz, frame.sequence, frame.rssi_dbm, frame.noise_floor_dbm) == (2437, 99, -55.0, -95.0)


def test_a_mended_recorder_has_no_leading_pairs():
    frame = recorded(udp_recorder(lead=b""))
    np.testing.assert_array_equal(frame.iq, IQ)
    assert (frame.rssi_dbm, frame.sequence) == (None, None)


@pytest.mark.parametrize(("pairs", "kind"), [(12, "vitals"), (20, "features"), (26, "feature_state")])
def test_packets_that_were_recorded_as_csi(pairs, kind):
    packet = udp_recorder(np.zeros((pairs, 2), np.int8), lead=b"")
    assert recording.parse_line(line(packet)) == Ignored(kind)
    del packet["iq_hex"]
    assert recording.parse_line(line(packet)) == Ignored(kind)


def test_amplitudes_alone_lose_the_leading_pairs_too():
    message = udp_recorder()
    del message["iq_hex"]
    frame = recorded(message)
    assert (frame.bins, frame.iq) == (64, None)
    np.testing.assert_allclose(frame.amplitude, np.hypot(*IQ.astype(float).T), atol=0.01)


@pytest.mark.parametrize("pairs", [1, 6, 13, 56, 63, 69, 71, 133])
def test_widths_that_no_packet_has(pairs):
    with pytest.raises(WireError, match=f"{pairs} pairs"):
        recording.parse_line(line(udp_recorder(np.zeros((pairs, 2), np.int8), lead=b"")))


def test_leading_pairs_that_are_no_header():
    with pytest.raises(WireError, match="not the end of a header"):
        recording.parse_line(line(udp_recorder(lead=bytes(12))))


@pytest.mark.parametrize(
    "wrong",
    [
        {"ts_ns": -1},
        {"ts_ns": 2**63},
        {"ts_ns": 1.5},
        {"ts_ns": "1"},
        {"node_id": None},
        {"iq_hex": "0"},
        {"amplitudes": "x"},
        {"amplitudes": [None]},
        {"amplitudes": [1.0] * 1025},
        {"iq_hex": None, "amplitudes": [-1.0] * 70},
        {"iq_hex": None, "amplitudes": []},
    ],
)
def test_udp_recorder_lines_that_are_wrong(wrong):
    with pytest.raises(WireError):
        recording.parse_line(line(udp_recorder(**wrong)))


# --- the sensing server's own recording ----------------------------------------------------------------------


def test_the_servers_own_line_names_no_node():
    frame = recorded(server())
    assert (frame.node_id, frame.time_s, frame.bins) == (None, 1772470567.087, 56)
    assert (frame.rssi_dbm, frame.noise_floor_dbm, frame.iq) == (None, None, None)  # it writes 0 for unknown
    assert frame.amplitude.tolist() == [0.0, *([3.5] * 55)]
    assert recording.to_frame(frame, source="old", arrival_s=1.0).node == "old/unnamed"


def test_the_servers_own_line_with_a_level():
    frame = recorded(server(rssi=-52.5, noise_floor=-90))
    assert (frame.rssi_dbm, frame.noise_floor_dbm) == (-52.5, -90.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"subcarriers": []},
        {"subcarriers": [-1.0]},
        {"subcarriers": [1e300]},
        {"subcarriers": [None]},
        {"subcarriers": ["1"]},
        {"subcarriers": [1.0] * 1025},
        {"timestamp": None},
        {"timestamp": "now"},
        {"rssi": "loud"},
    ],
)
def test_server_lines_that_are_wrong(wrong):
    with pytest.raises(WireError):
        recording.parse_line(line(server(**wrong)))


# --- the sensing server's messages ---------------------------------------------------------------------------


def test_a_message_log_without_its_repetitions():
    log = Recording()
    first = log.read(line(update(1, {1: 5.0, 2: 6.0})))
    assert [(frame.node_id, frame.time_s, frame.rssi_dbm) for frame in first.frames] == [
        (1, 100.1, -40.0),
        (2, 100.1, -40.0),
    ]
    again = log.read(line(update(1, {2: 6.0, 1: 5.0})))
    assert (again.frames, again.ignored) == ((), {"repeated_snapshot": 1})
    third = log.read(line({"snapshot": update(2, {1: 5.0, 2: 7.0})}))
    assert [frame.node_id for frame in third.frames] == [2]
    assert third.ignored == {"repeated_reading": 1}
    assert log.read(line({"type": "edge_vitals", "node_id": 1, "nodes": []})).ignored == {"vitals": 1}


def test_what_was_simulated_stays_simulated():
    (frame,) = Recording().read(line(update(1, {1: 5.0}, source="simulated"))).frames
    assert recording.to_frame(frame, source="a", arrival_s=0.0).origin is Origin.SIMULATED
    (frame,) = Recording().read(line(update(1, {1: 5.0}))).frames
    assert recording.to_frame(frame, source="a", arrival_s=0.0).origin is Origin.REPLAYED


@pytest.mark.parametrize(
    ("message", "kind"),
    [(update(1, {1: 5.0}, source="esp32:offline"), "offline"), ({"status": "no data yet"}, "offline")],
)
def test_no_live_data_in_a_message_log(message, kind):
    assert recording.parse_line(line(message)) == Ignored(kind)


def test_a_snapshot_is_handed_out_whole():
    assert isinstance(recording.parse_line(line(update(1, {1: 5.0}))), snapshot.Snapshot)


# --- any line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "blank"),
        (b" \r\n", "blank"),
        (b"{}", "no_csi"),
        (b'{"type":"vitals","n_persons":4}', "no_csi"),
        (b'{"type":"edge_vitals","node_id":1,"rssi":-40}', "no_csi"),
        (b'{"ts_ns":1,"keypoints":[],"confidence":0.5}', "no_csi"),
        (b'{"timestamp":1.5,"subcarriers":64}', "no_csi"),
    ],
)
def test_lines_without_csi(raw, kind):
    assert recording.parse_line(raw) == Ignored(kind)


@pytest.mark.parametrize(
    "raw", [b'{"a":' + b"[" * 200_000, b"[]", b"7", b"null", b"{", b"\xff", b'{"a":"\xff"}', b"{} {}", b"[" * 200_000]
)
def test_lines_that_are_no_message(raw):
    with pytest.raises(WireError):
        recording.parse_line(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
FIELDS = [
    "type",
    "magic",
    "timestamp",
    "ts_ns",
    "node_id",
    "iq_hex",
    "amplitudes",
    "subcarriers",
    "rssi",
    "nodes",
    "status",
]


@given(st.binary(max_size=200) | JSON.map(line))
def test_any_bytes_are_read_or_refused(raw):
    refusal = ""
    try:
        assert isinstance(recording.parse_line(raw), Recorded | snapshot.Snapshot | Ignored)
    except WireError as error:
        refusal = str(error)
    assert len(refusal) < 300


@given(
    st.sampled_from([pretrain(), udp_recorder(), server(), update(1, {1: 5.0})]),
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3),
)
def test_any_values_in_any_fields_are_read_or_refused(message, changes):
    try:
        read = recording.parse_line(line(message | changes))
    except WireError:
        return
    if isinstance(read, Recorded):
        assert (read.iq is None) != (read.amplitude is None)
        assert read.bins > 0


# --- real recordings -------------------------------------------------------------------------------------------


def test_two_real_nodes(data):
    log = Recording()
    widths: Counter[tuple[int | None, int]] = Counter()
    ignored: Counter[str] = Counter()
    with (data / "ruview" / "pretrain-1775182186.csi.jsonl").open("rb") as file:
        for raw in file:
            read = log.read(raw)
            ignored.update(read.ignored)
            for frame in read.frames:
                widths[frame.node_id, frame.bins] += 1
                assert frame.iq[0].tolist() == [0, 0]  # DC
    assert widths == {(1, 64): 2133, (2, 64): 1994, (1, 128): 503, (2, 128): 631, (1, 192): 23, (2, 192): 25}
    assert widths.total() == 5309
    assert ignored == {"vitals": 236, "features": 236, "compressed_csi": 2}


def test_a_real_recording_of_a_server(data):
    (file,) = (data / "ruview").glob("rec_*.csi.jsonl")
    frames = [recorded for raw in file.read_bytes().splitlines() for recorded in Recording().read(raw).frames]
    assert len(frames) == 253
    assert {(frame.node_id, frame.bins, frame.rssi_dbm) for frame in frames} == {(None, 56, None)}
    assert [frame.time_s for frame in frames] == sorted(frame.time_s for frame in frames)
