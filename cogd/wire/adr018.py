"""The datagrams of ADR-018 nodes: raw CSI, and the other packets that share its port.

Little-endian, one packet a datagram, told apart by the first u32. The layout is what the node's firmware writes
(`csi_collector.c`); three other readings of the header are in circulation and contradict the firmware.

    offset  type  field of a raw CSI packet (0xC5110001)
    0       u32   magic
    4       u8    node id
    5       u8    antennas (the firmware writes 1)
    6       u16   bins of one antenna
    8       u32   channel centre frequency, MHz
    12      u32   sequence, modulo 2**32, from 0 at boot
    16      i8    RSSI, dBm
    17      i8    noise floor, dBm
    18      u8    PPDU type: 0 HT or legacy, 1 HE-SU, 2 HE-MU, 3 HE-TB, 255 unknown
    19      u8    flags: bit 0 40 MHz, bit 2 STBC, bit 3 LDPC, bit 4 cross-node sync valid
    20      i8    antennas x bins pairs (imaginary, real), as ESP-IDF delivers them
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from cogd.csi.frame import Frame
from cogd.errors import WireError
from cogd.wire.ignored import Ignored

if TYPE_CHECKING:
    from cogd.csi.frame import Origin

MAGIC_CSI = 0xC5110001
HEADER_BYTES = 20
MAX_ANTENNAS = 4
MAX_BINS = 256

_MAGIC = struct.Struct("<I")
_HEADER = struct.Struct("<IBBHIIbbBB")
_WASM_COUNT = struct.Struct("<H")


class _Other(msgspec.Struct, frozen=True):
    """A packet that carries no raw CSI; `size` in bytes is exact if `fixed`, else the least."""

    ignored: Ignored
    size: int
    fixed: bool


_OTHERS: dict[int, _Other] = {
    0xC5110002: _Other(Ignored("vitals"), 32, fixed=True),
    0xC5110003: _Other(Ignored("features"), 48, fixed=True),
    0xC5110004: _Other(Ignored("fused_vitals"), 48, fixed=True),
    0xC5110005: _Other(Ignored("compressed_csi"), 10, fixed=False),
    0xC5110006: _Other(Ignored("feature_state"), 60, fixed=True),
    0xC5110007: _Other(Ignored("wasm_output"), 8, fixed=False),
    0xC5110008: _Other(Ignored("uwb_range"), 4, fixed=False),
    0xC5110084: _Other(Ignored("sketch"), 4, fixed=False),
    0xC511A110: _Other(Ignored("sync"), 32, fixed=True),
    0xC5118100: _Other(Ignored("mesh"), 16, fixed=False),
}
"""Compressed CSI is a run of differences without a sequence number: after any loss it can't be told what it means,
and the node sends the same frames raw."""


class CsiDatagram(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A raw CSI packet.

    Attributes:
        node_id: 0..255.
        n_antennas: antennas in the packet; `iq` is of the first.
        bins: CSI bins of one antenna.
        freq_mhz: channel centre frequency.
        sequence: the node's counter, modulo 2**32.
        rssi_dbm: received signal strength.
        noise_floor_dbm: noise floor.
        ppdu_type: 0 HT or legacy, 1 HE-SU, 2 HE-MU, 3 HE-TB, 255 unknown.
        flags: bit 0 40 MHz, bit 2 STBC, bit 3 LDPC, bit 4 cross-node sync valid.
        iq: int8 `[bins, 2]`, (imaginary, real), a view of the datagram.
    """

    node_id: int
    n_antennas: int
    bins: int
    freq_mhz: int
    sequence: int
    rssi_dbm: int
    noise_floor_dbm: int
    ppdu_type: int
    flags: int
    iq: NDArray[np.int8]


def decode(datagram: bytes | memoryview) -> CsiDatagram | Ignored:
    """Read one datagram; `datagram` is contiguous bytes. Bytes after the last pair of a CSI packet are tolerated.

    Raises:
        WireError: an unknown magic, a length that does not fit, or a count out of range.
    """
    size = len(datagram)
    if size < HEADER_BYTES:
        return _short(datagram)
    fields: tuple[int, ...] = _HEADER.unpack_from(datagram)
    magic, node_id, n_antennas, bins, freq_mhz, sequence, rssi_dbm, noise_floor_dbm, ppdu_type, flags = fields
    if magic != MAGIC_CSI:
        return _ignore(magic, datagram)
    if not 1 <= n_antennas <= MAX_ANTENNAS:
        raise WireError(f"a CSI datagram of {n_antennas} antennas; expected 1 to {MAX_ANTENNAS}")
    if not 1 <= bins <= MAX_BINS:
        raise WireError(f"a CSI datagram of {bins} bins; expected 1 to {MAX_BINS}")
    needed = HEADER_BYTES + 2 * n_antennas * bins
    if size < needed:
        raise WireError(
            f"a CSI datagram of {size} bytes; {n_antennas} antenna(s) of {bins} bins need {needed}: cut off"
        )
    iq = np.frombuffer(datagram, dtype=np.int8, count=2 * bins, offset=HEADER_BYTES).reshape(bins, 2)
    return CsiDatagram(node_id, n_antennas, bins, freq_mhz, sequence, rssi_dbm, noise_floor_dbm, ppdu_type, flags, iq)


def _short(datagram: bytes | memoryview) -> Ignored:
    size = len(datagram)
    if size < _MAGIC.size:
        raise WireError(f"a datagram of {size} bytes; the shortest has 4")
    magic: int = _MAGIC.unpack_from(datagram)[0]
    if magic == MAGIC_CSI:
        raise WireError(f"a CSI datagram of {size} bytes; its header alone has {HEADER_BYTES}")
    return _ignore(magic, datagram)


def ignored_kind(magic: int) -> Ignored | None:
    """The kind of packet that a magic other than that of raw CSI names; None where it is unknown."""
    other = _OTHERS.get(magic)
    return None if other is None else other.ignored


def _ignore(magic: int, datagram: bytes | memoryview) -> Ignored:
    other = _OTHERS.get(magic)
    if other is None:
        raise WireError(f"a datagram with the unknown magic 0x{magic:08X}; expected 0x{MAGIC_CSI:08X} (CSI)")
    kind, size = other.ignored.kind, len(datagram)
    if other.fixed and size != other.size:
        raise WireError(f"a {kind} datagram of {size} bytes; expected {other.size}")
    if size < other.size:
        raise WireError(f"a {kind} datagram of {size} bytes; expected at least {other.size}")
    if kind == "wasm_output":
        needed = other.size + 5 * _WASM_COUNT.unpack_from(datagram, 6)[0]
        if size < needed:
            raise WireError(f"a {kind} datagram of {size} bytes; its events need {needed}: cut off")
    return other.ignored


def encode(
    *,
    node_id: int,
    sequence: int,
    iq: NDArray[np.int8],
    freq_mhz: int = 2437,
    rssi_dbm: int,
    noise_floor_dbm: int,
    ppdu_type: int = 0,
    flags: int = 0,
) -> bytes:
    """Write a raw CSI datagram of one antenna.

    Args:
        node_id: 0..255.
        sequence: taken modulo 2**32, as the node counts.
        iq: int8 `[bins, 2]`, (imaginary, real), 1 to 256 bins.
        freq_mhz: channel centre frequency.
        rssi_dbm: received signal strength, -128..127.
        noise_floor_dbm: noise floor, -128..127.
        ppdu_type: 0..255, see `CsiDatagram`.
        flags: 0..255, see `CsiDatagram`.

    Raises:
        WireError: a value that does not fit its field.
    """
    if iq.dtype != np.int8 or iq.ndim != 2 or iq.shape[1] != 2 or not 1 <= len(iq) <= MAX_BINS:
        raise WireError(f"iq of {iq.dtype} {list(iq.shape)}; expected int8 [1 to {MAX_BINS}, 2]")
    try:
        header = _HEADER.pack(
            MAGIC_CSI, node_id, 1, len(iq), freq_mhz, sequence % 2**32, rssi_dbm, noise_floor_dbm, ppdu_type, flags
        )
    except struct.error as error:
        raise WireError(f"a header field out of range: {error}") from error
    return header + iq.tobytes()


def to_frame(datagram: CsiDatagram, *, source: str, time_s: float, arrival_s: float, origin: Origin) -> Frame:
    """Make a frame of a datagram: the wire has no time, so `time_s` is the time of its arrival."""
    return Frame(
        f"{source}/{datagram.node_id}",
        time_s,
        arrival_s,
        origin,
        datagram.bins,
        datagram.iq,
        None,
        datagram.sequence,
        float(datagram.rssi_dbm),
        float(datagram.noise_floor_dbm),
        datagram.freq_mhz or None,
    )
