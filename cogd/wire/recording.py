"""Recorded CSI: JSON, one message a line. Four recorders are in circulation.

* The pretrain recorder: `{"timestamp": unix s, "node_id", "magic": "0xC5110001", "size", "rssi", "type": "raw_csi",
  "iq_hex", "subcarriers"}`, and vitals, features and others under their own magics. `iq_hex` is what follows the
  header of a datagram. Its `rssi` is another field's byte, and `subcarriers` was not always right: neither is used.
* `record-csi-udp.py`: `{"type": "raw_csi", "timestamp": ISO, "ts_ns", "node_id", "rssi", "channel", "subcarriers",
  "amplitudes", "iq_hex"}`. It takes the header for 8 bytes of 20, so six pairs too many lead every frame: the
  header's bytes 8-19, frequency, sequence, RSSI and noise floor, which are read as such here. Its `rssi` and
  `channel` are the bin count. It writes every packet as CSI: 12, 20, 26 pairs are vitals, features, feature states.
  `timestamp` was local time marked as UTC in older versions, `ts_ns` never was.
* The sensing server's own `<name>.csi.jsonl`: `{"timestamp": unix s, "subcarriers": [amplitudes], "rssi", ...}`. It
  does not tell the node, nor how many bins were measured: a frame's node is `None` and its bins are those given.
* The sensing server's message log: whole snapshots as its websocket sends them, each repeated on every tick.
"""

from __future__ import annotations

import binascii
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

from cogd.csi.frame import Frame, Origin
from cogd.errors import WireError
from cogd.wire import adr018, snapshot
from cogd.wire.ignored import Ignored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

UNNAMED = "unnamed"
"""Node name, after the source's, of frames whose recording does not tell the node."""

_LED_BY = struct.Struct("<IIbbBB")
"""What leads each frame of `record-csi-udp.py`: a datagram's header from its byte 8."""
_LED_BY_PAIRS = _LED_BY.size // 2
_WIDTHS = frozenset({64, 128, 192, 256})
_NOT_CSI = {12: Ignored("vitals"), 20: Ignored("features"), 26: Ignored("feature_state")}
_CHANNELS_MHZ = range(2400, 7200)

_BLANK = Ignored("blank")
_NO_CSI = Ignored("no_csi")
_OFFLINE = Ignored("offline")


class _Line(msgspec.Struct, gc=False):
    """Every field that tells the four kinds apart or is used; each recorder writes some."""

    type: str | None = None
    magic: str | None = None
    timestamp: snapshot.UnixS | str | None = None
    ts_ns: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    node_id: snapshot.NodeId | None = None
    iq_hex: str | None = None
    amplitudes: Annotated[list[float], msgspec.Meta(max_length=snapshot.MAX_AMPLITUDES)] | None = None
    subcarriers: int | Annotated[list[float], msgspec.Meta(max_length=snapshot.MAX_AMPLITUDES)] | None = None
    rssi: float | None = None
    noise_floor: float | None = None
    nodes: msgspec.Raw = msgspec.Raw()
    snapshot: msgspec.Raw = msgspec.Raw()
    status: str | None = None


_LINE = msgspec.json.Decoder(_Line)


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """One recorded frame: exactly one of `iq` and `amplitude` is given.

    Attributes:
        node_id: 0..255, or None where the recording does not tell.
        time_s: unix seconds.
        bins: how many bins were measured, as far as the recording tells.
        iq: int8 `[bins, 2]`, (imaginary, real), the first antenna.
        amplitude: float32 `[n]`, amplitudes of the first n bins in arrival order.
        sequence: the node's counter, modulo 2**32, where it was recorded.
        rssi_dbm: received signal strength, where it was recorded rightly.
        noise_floor_dbm: noise floor, where it was recorded.
        freq_mhz: channel centre frequency, where it was recorded.
        simulated: whether the recorder's own source was a simulation.
    """

    node_id: int | None
    time_s: float
    bins: int
    iq: NDArray[np.int8] | None = None
    amplitude: NDArray[np.float32] | None = None
    sequence: int | None = None
    rssi_dbm: float | None = None
    noise_floor_dbm: float | None = None
    freq_mhz: int | None = None
    simulated: bool = False


def parse_line(line: bytes) -> Recorded | snapshot.Snapshot | Ignored:
    """Read one line of any of the four recorders; `Recording` also takes the snapshots apart.

    Raises:
        WireError: not JSON, or a line that is not what it claims to be. The caller knows the line's number.
    """
    if not line.strip():
        return _BLANK
    try:
        line.decode()  # msgspec does not look into the strings that it skips
        fields = _LINE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WireError(f"not a recorded message: {error}") from error
    except RecursionError as error:
        raise WireError("not a recorded message: nested too deeply") from error
    if fields.nodes or fields.snapshot or fields.status is not None:
        return _parse_snapshot(line)
    if fields.ts_ns is not None and (fields.iq_hex is not None or fields.amplitudes is not None):
        return _parse_udp_recorder(fields, fields.ts_ns)
    if fields.iq_hex is not None:
        return _parse_pretrain(fields, fields.iq_hex)
    if isinstance(fields.subcarriers, list):
        return _parse_server_amplitudes(fields, fields.subcarriers)
    return _ignored(fields)


def to_frame(recorded: Recorded, *, source: str, arrival_s: float) -> Frame:
    """Make a frame of a recorded one: its origin is replayed, unless what was recorded was a simulation."""
    node = UNNAMED if recorded.node_id is None else str(recorded.node_id)
    return Frame(
        node=f"{source}/{node}",
        time_s=recorded.time_s,
        arrival_s=arrival_s,
        origin=Origin.SIMULATED if recorded.simulated else Origin.REPLAYED,
        bins=recorded.bins,
        iq=recorded.iq,
        amplitude=recorded.amplitude,
        sequence=recorded.sequence,
        rssi_dbm=recorded.rssi_dbm,
        noise_floor_dbm=recorded.noise_floor_dbm,
        freq_mhz=recorded.freq_mhz,
    )


@dataclass(frozen=True, slots=True)
class Read:
    """What a line held.

    Attributes:
        frames: none, one, or for a snapshot one for each node measured anew.
        ignored: how much was left out, by kind.
    """

    frames: tuple[Recorded, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)


class Recording:
    """Reads the lines of one recording in their order, and leaves out what snapshots repeat."""

    def __init__(self) -> None:
        self._freshness = snapshot.Freshness()

    def read(self, line: bytes) -> Read:
        """Read the next line.

        Raises:
            WireError: as `parse_line`.
        """
        parsed = parse_line(line)
        if isinstance(parsed, Recorded):
            return Read((parsed,))
        if isinstance(parsed, Ignored):
            return Read(ignored=Counter({parsed.kind: 1}))
        fresh = self._freshness.fresh(parsed)
        simulated = parsed.origin is Origin.SIMULATED
        frames = tuple(
            Recorded(
                reading.node_id,
                parsed.timestamp_s,
                reading.bins,
                amplitude=reading.amplitude,
                rssi_dbm=reading.rssi_dbm,
                simulated=simulated,
            )
            for reading in fresh.readings
        )
        return Read(frames, fresh.dropped)


def _parse_snapshot(line: bytes) -> snapshot.Snapshot | Ignored:
    parsed = snapshot.parse(line)
    return _OFFLINE if isinstance(parsed, snapshot.NoData) else parsed


def _parse_pretrain(fields: _Line, iq_hex: str) -> Recorded:
    if fields.magic is not None and _magic(fields.magic) != adr018.MAGIC_CSI:
        raise WireError(f"iq_hex under the magic {fields.magic[:20]!r}; expected 0x{adr018.MAGIC_CSI:08X}")
    iq = _iq(_unhex(iq_hex))
    return Recorded(_node_id(fields), _unix_s(fields), len(iq), iq=iq)


def _parse_udp_recorder(fields: _Line, ts_ns: int) -> Recorded | Ignored:
    payload = None if fields.iq_hex is None else _unhex(fields.iq_hex)
    pairs = len(payload) // 2 if payload is not None else len(fields.amplitudes or ())
    if pairs in _NOT_CSI:
        return _NOT_CSI[pairs]
    led = pairs - _LED_BY_PAIRS in _WIDTHS
    if not led and pairs not in _WIDTHS:
        raise WireError(f"a frame of {pairs} pairs; expected one of {sorted(_WIDTHS)}, or {_LED_BY_PAIRS} more")
    node_id, time_s = _node_id(fields), ts_ns / 1e9
    skipped = _LED_BY_PAIRS if led else 0
    if payload is None:
        amplitude = snapshot.checked_amplitudes((fields.amplitudes or [])[skipped:], "amplitudes")
        return Recorded(node_id, time_s, len(amplitude), amplitude=amplitude)
    iq = _iq(payload[2 * skipped :])
    if not led:
        return Recorded(node_id, time_s, len(iq), iq=iq)
    freq_mhz, sequence, rssi_dbm, noise_floor_dbm, _, _ = _LED_BY.unpack_from(payload)
    if freq_mhz not in _CHANNELS_MHZ:
        raise WireError(f"a frame of {pairs} pairs, of which the first {_LED_BY_PAIRS} are not the end of a header")
    return Recorded(
        node_id,
        time_s,
        len(iq),
        iq=iq,
        sequence=sequence,
        rssi_dbm=float(rssi_dbm),
        noise_floor_dbm=float(noise_floor_dbm),
        freq_mhz=freq_mhz,
    )


def _parse_server_amplitudes(fields: _Line, values: list[float]) -> Recorded:
    if not values:
        raise WireError("subcarriers: an empty list")
    amplitude = snapshot.checked_amplitudes(values, "subcarriers")
    return Recorded(
        fields.node_id,
        _unix_s(fields),
        len(amplitude),
        amplitude=amplitude,
        rssi_dbm=fields.rssi or None,  # the recorder writes 0 for what it does not know
        noise_floor_dbm=fields.noise_floor or None,
    )


def _ignored(fields: _Line) -> Ignored:
    if fields.type == "raw_csi":
        raise WireError("a raw_csi line without iq_hex and amplitudes")
    named = None if fields.magic is None else adr018.ignored_kind(_magic(fields.magic))
    return named or _NO_CSI


def _magic(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError as error:
        raise WireError(f"magic {text[:20]!r} is not a hexadecimal number") from error


def _unhex(text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except ValueError as error:
        raise WireError(f"iq_hex: {error}") from error


def _iq(payload: bytes) -> NDArray[np.int8]:
    if len(payload) % 2 or not 1 <= len(payload) // 2 <= adr018.MAX_BINS:
        raise WireError(f"iq_hex of {len(payload)} bytes; expected 2 for each of 1 to {adr018.MAX_BINS} bins")
    return np.frombuffer(payload, dtype=np.int8).reshape(-1, 2)


def _node_id(fields: _Line) -> int:
    if fields.node_id is None:
        raise WireError("a raw_csi line without node_id")
    return fields.node_id


def _unix_s(fields: _Line) -> float:
    if not isinstance(fields.timestamp, float):
        raise WireError("timestamp: expected unix seconds")
    return fields.timestamp
