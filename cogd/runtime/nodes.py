"""The nodes that are heard: who there is, how the links stand, and what each gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from cogd.csi.frame import Origin
from cogd.csi.link import LinkState
from cogd.csi.node import Node
from cogd.events import LinkChanged, NodeTotals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from cogd.clock import Clock
    from cogd.csi.frame import Frame
    from cogd.csi.link import LinkLimits
    from cogd.csi.window import WindowSpec
    from cogd.runtime.place import Place

MAX_NODES: Final = 4096
"""Nodes that are remembered; frames of further ones are counted and dropped. Node ids are bytes, sources are few."""

_GIVING: Final = frozenset({LinkState.LIVE, LinkState.SIMULATED})
"""States of links whose frames fill windows."""


InputKey: TypeAlias = "WindowSpec"
"""What an app wants of a node's input. Nodes look into it; the engine only compares and hashes it."""


@dataclass(frozen=True, slots=True)
class NodeInput:
    """What a node gives.

    Attributes:
        link: its state.
        age_s: of its last new frame.
        believed: its frames fill windows: they are live, or simulated where that is believed.
        full: apps whose window of it is complete.
        filling: the other apps.
        frames: how many came.
        dropped: those that reached no window, by reason.
    """

    link: LinkState
    age_s: float | None
    believed: bool
    full: list[str]
    filling: list[str]
    frames: int
    dropped: Mapping[str, int]


class Nodes:
    """Every node that was heard.

    Args:
        limits: when links change their state.
        clock: where times come from.
        believe_simulated: names of sources whose simulated frames may be inferred from.
        emit_link: receives an event for every change of a link.

    Attributes:
        by_name: the nodes, in the order in which they were first heard.
        heard: the newest frame of each node that was new when it came.
    """

    def __init__(
        self,
        limits: LinkLimits,
        clock: Clock,
        believe_simulated: Callable[[str], bool],
        emit_link: Callable[[LinkChanged], None],
    ) -> None:
        self._limits, self._clock = limits, clock
        self._believe_simulated, self._emit_link = believe_simulated, emit_link
        self._specs: tuple[InputKey, ...] = ()
        self.by_name: dict[str, Node] = {}
        self.heard: dict[str, Frame] = {}

    def join(self, name: str) -> Node | None:
        """A new node; None where there are too many."""
        if len(self.by_name) >= MAX_NODES:
            return None
        believe = self._believe_simulated(_source(name))
        node = self.by_name[name] = Node(name, self._specs, self._limits, believe_simulated=believe)
        return node

    def want(self, specs: tuple[InputKey, ...]) -> None:
        """Let every node, and those to come, keep these windows and no others."""
        self._specs = specs
        for node in self.by_name.values():
            node.want(specs)

    def giving(self) -> Iterator[Node]:
        """The nodes whose frames fill windows now."""
        return (node for node in self.by_name.values() if node.link.state in _GIVING)

    def check_links(self) -> None:
        """Let time pass: for live nodes on the arrivals' clock, for replayed ones on their recording's."""
        now_s = self._clock.monotonic_s()
        replayed_to = _replayed_to(self.heard.values())
        for name, frame in self.heard.items():
            replayed = frame.origin is Origin.REPLAYED
            silence_s = replayed_to[_source(name)] - frame.time_s if replayed else now_s - frame.arrival_s
            node = self.by_name[name]
            previous = node.link.state
            if node.link.check(silence_s) is not None:
                self.emit_link_state(node, previous)

    def emit_link_state(self, node: Node, previous: LinkState) -> None:
        """Emit the state of a node's link, which was `previous` before."""
        link = node.link
        self._emit_link(
            LinkChanged(node=node.name, state=link.state.value, previous=previous.value, time=link.last_time_s)
        )

    def totals(self) -> dict[str, NodeTotals]:
        """What became of each node's frames."""
        return {
            name: NodeTotals(frames=node.frames, lost=node.lost, dropped=dict(node.dropped))
            for name, node in sorted(self.by_name.items())
        }

    def links(self) -> dict[str, tuple[LinkState, float | None]]:
        """State of each node's link, and the age of its last new frame in seconds."""
        now_s = self._clock.monotonic_s()
        return {
            name: (node.link.state, now_s - self.heard[name].arrival_s if name in self.heard else None)
            for name, node in sorted(self.by_name.items())
        }

    def inputs(self, places: Sequence[Place]) -> dict[str, NodeInput]:
        """What each node gives to the apps that serve."""
        found: dict[str, NodeInput] = {}
        for name, (state, age_s) in self.links().items():
            node = self.by_name[name]
            full = [place.id for place in places if node.is_complete(place.active.app.window)]
            filling = [place.id for place in places if place.id not in full]
            simulated = state is LinkState.SIMULATED and self._believe_simulated(_source(name))
            believed = state is LinkState.LIVE or simulated
            found[name] = NodeInput(state, age_s, believed, full, filling, node.frames, dict(node.dropped))
        return found


def _source(node: str) -> str:
    return node.rpartition("/")[0]


def _replayed_to(frames: Iterable[Frame]) -> dict[str, float]:
    """How far each source's recording has been played."""
    reached: dict[str, float] = {}
    for frame in frames:
        if frame.origin is Origin.REPLAYED:
            source = _source(frame.node)
            reached[source] = max(reached.get(source, frame.time_s), frame.time_s)
    return reached
