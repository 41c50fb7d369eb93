"""The JSON of a sensing server: `GET /api/v1/sensing/latest`, and the messages of its websocket and recorder.

The server publishes no schema. What is read here is typed and checked; every other field may be missing, of any
type or new. A snapshot lists each node heard in the last ten seconds, in no order, each with the amplitudes
of the first 56 bins of its newest frame: most of a list repeats what the one before said. `Freshness` finds what
is new in it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import msgspec
import numpy as np

from cogd.csi.frame import Frame, Origin
from cogd.errors import WireError
from cogd.wire.ignored import Ignored

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MAX_AMPLITUDES = 1024
"""A longer list is refused; the server sends 56."""

MAX_NODES = 256
"""Node ids are one byte on the nodes' own wire: a snapshot has no more, and `Freshness` remembers no more."""

NO_DATA_YET = "no data yet"
OFFLINE = "esp32:offline"

NodeId = Annotated[int, msgspec.Meta(ge=0, lt=MAX_NODES)]
UnixS = Annotated[float, msgspec.Meta(ge=0, lt=1e11)]

_OTHER_TYPES = {
    "edge_vitals": Ignored("vitals"),
    "edge_fused_vitals": Ignored("fused_vitals"),
    "wasm_event": Ignored("wasm_output"),
    "connection_established": Ignored("greeting"),
    "pose_data": Ignored("server_pose"),
    "pong": Ignored("pong"),
}
"""Messages of the websocket that are not snapshots. `pose_data` is a template moved by heuristics, not a pose."""


class _Envelope(msgspec.Struct, gc=False):
    """What tells the kind of a body."""

    type: str | None = None
    status: str | None = None
    snapshot: msgspec.Raw = msgspec.Raw()


class _Node(msgspec.Struct, gc=False):
    node_id: NodeId
    amplitude: Annotated[list[float], msgspec.Meta(max_length=MAX_AMPLITUDES)]
    subcarrier_count: Annotated[int, msgspec.Meta(ge=0, le=MAX_AMPLITUDES)]
    rssi_dbm: float | None = None


class _Update(msgspec.Struct, gc=False):
    timestamp: UnixS
    source: str
    nodes: Annotated[list[_Node], msgspec.Meta(max_length=MAX_NODES)]
    tick: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_UPDATE = msgspec.json.Decoder(_Update)


@dataclass(frozen=True, slots=True)
class NoData:
    """The server runs and has no live CSI.

    Attributes:
        reason: `no data yet`, or `esp32:offline` where its nodes fell silent.
    """

    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class NodeReading:
    """A node's newest frame as the server tells it.

    Attributes:
        node_id: 0..255.
        rssi_dbm: received signal strength, None where absent.
        amplitude: float32 `[n]`, amplitudes of the first n bins in arrival order; empty where none are sent.
        bins: how many bins the node measured.
    """

    node_id: int
    rssi_dbm: float | None
    amplitude: NDArray[np.float32]
    bins: int


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What the server knew at one moment.

    Attributes:
        timestamp_s: unix seconds on the server's clock, when it built the snapshot.
        tick: the server's counter of what it processed, None where absent.
        source: where the server says its data come from.
        nodes: in the server's order, which means nothing.
    """

    timestamp_s: float
    tick: int | None
    source: str
    nodes: tuple[NodeReading, ...]

    @property
    def origin(self) -> Origin:
        """Simulated where the server says so, else live."""
        return Origin.SIMULATED if self.source.casefold().startswith("simulate") else Origin.LIVE


def parse(body: bytes) -> Snapshot | NoData | Ignored:
    """Read a body: a snapshot, bare or as `{"snapshot": {...}}`, or another message of the server.

    Raises:
        WireError: not JSON, or not a message of a sensing server.
    """
    try:
        body.decode()  # msgspec does not look into the strings that it skips
        envelope = _ENVELOPE.decode(body)
        if envelope.snapshot:
            update = _UPDATE.decode(envelope.snapshot)
        elif envelope.status == NO_DATA_YET:
            return NoData(NO_DATA_YET)
        elif envelope.type is not None and envelope.type != "sensing_update":
            return _other(envelope.type)
        else:
            update = _UPDATE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WireError(f"not a snapshot: {error}") from error
    except RecursionError as error:
        raise WireError("not a snapshot: nested too deeply") from error
    if update.source == OFFLINE:
        return NoData(OFFLINE)
    nodes = tuple(_reading(node) for node in update.nodes)
    if len({node.node_id for node in nodes}) != len(nodes):
        raise WireError("not a snapshot: a node is listed twice")
    return Snapshot(update.timestamp, update.tick, update.source, nodes)


def to_frame(reading: NodeReading, snapshot: Snapshot, *, source: str, arrival_s: float, origin: Origin) -> Frame:
    """Make a frame of a fresh reading; its time is the snapshot's, on the server's clock."""
    return Frame(
        node=f"{source}/{reading.node_id}",
        time_s=snapshot.timestamp_s,
        arrival_s=arrival_s,
        origin=origin,
        bins=reading.bins,
        amplitude=reading.amplitude,
        rssi_dbm=reading.rssi_dbm,
    )


def checked_amplitudes(values: list[float], what: str) -> NDArray[np.float32]:
    """Amplitudes as float32 `[n]`.

    Raises:
        WireError: one is negative, or too large for a float32.
    """
    with np.errstate(over="ignore"):
        amplitudes = np.asarray(values, dtype=np.float32)
    if not (np.isfinite(amplitudes).all() and (amplitudes >= 0).all()):
        raise WireError(f"{what}: an amplitude is negative or beyond all measure")
    amplitudes.setflags(write=False)
    return amplitudes


def _other(message_type: str) -> Ignored:
    other = _OTHER_TYPES.get(message_type)
    if other is None:
        raise WireError(f"not a snapshot: a message of the unknown type {message_type[:40]!r}")
    return other


def _reading(node: _Node) -> NodeReading:
    if node.subcarrier_count < len(node.amplitude):
        raise WireError(
            f"node {node.node_id}: {len(node.amplitude)} amplitudes of a frame of {node.subcarrier_count} bins"
        )
    amplitude = checked_amplitudes(node.amplitude, f"node {node.node_id}")
    return NodeReading(node.node_id, node.rssi_dbm, amplitude, node.subcarrier_count)


@dataclass(frozen=True, slots=True)
class Fresh:
    """What is new in a snapshot.

    Attributes:
        readings: nodes measured anew.
        dropped: how many readings were not, by reason: `repeated_snapshot`, `repeated_reading`, `empty_amplitude`.
    """

    readings: tuple[NodeReading, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


class Freshness:
    """Finds in each snapshot the readings that the ones before did not have.

    A snapshot with the tick and the timestamp of the one before is that one. In a new snapshot, a node whose
    amplitudes are those of its last reading was not measured anew: another node's frame made the snapshot - unless
    the node is listed alone. Then the frame is its own, and so a node that repeats itself can be seen to be frozen.
    """

    def __init__(self) -> None:
        self._last: tuple[int | None, float] | None = None
        self._amplitudes: dict[int, bytes] = {}

    def fresh(self, snapshot: Snapshot) -> Fresh:
        """Take the next snapshot. One whose tick went back is of a server that was started again, and all new."""
        now = (snapshot.tick, snapshot.timestamp_s)
        if now == self._last:
            return Fresh(dropped={"repeated_snapshot": 1})
        last_tick = None if self._last is None else self._last[0]
        if snapshot.tick is not None and last_tick is not None and snapshot.tick < last_tick:
            self._amplitudes.clear()
        self._last = now
        alone = len(snapshot.nodes) == 1
        dropped: Counter[str] = Counter()
        readings = []
        for reading in snapshot.nodes:
            if not len(reading.amplitude):
                dropped["empty_amplitude"] += 1
                continue
            content = reading.bins.to_bytes(4, "little") + reading.amplitude.tobytes()
            if content == self._amplitudes.get(reading.node_id) and not alone:
                dropped["repeated_reading"] += 1
                continue
            self._amplitudes[reading.node_id] = content
            readings.append(reading)
        return Fresh(tuple(readings), dropped)
