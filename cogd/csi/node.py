"""One node's input: its link and a window for every shape of input that an app wants.

All that can be wrong with a frame - late, twice, out of order, of another width, frozen, simulated - is decided
here and in the two modules it joins, and nowhere else.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from cogd.csi.cells import CellWindow
from cogd.csi.link import Link, LinkLimits, LinkState, Order
from cogd.csi.tones import select_tones
from cogd.csi.window import Reset, Window, WindowSpec
from cogd.errors import ToneError
from cogd.events import WindowInfo
from cogd.events.rounding import rounded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cogd.csi.frame import Frame
    from cogd.csi.tones import ToneRule

DROP_REASONS = ("duplicate", "late", "frozen", "simulated", "unknown_layout", "too_soon", "other_kind")
"""Why a frame reached no window: the keys of `Node.dropped`."""


class Taken(msgspec.Struct, frozen=True):
    """What came of a frame.

    Attributes:
        accepted: the frame is new and in order; what the others tell came late or twice.
        complete: windows that this frame completed or moved on.
        link: the link's new state, if it changed.
        resets: windows that were emptied, and why; told once, until the window is complete again.
    """

    accepted: bool = True
    complete: tuple[WindowSpec, ...] = ()
    link: LinkState | None = None
    resets: tuple[tuple[WindowSpec, Reset], ...] = ()


class Ready(msgspec.Struct, frozen=True, eq=False):
    """A complete window: where it comes from, and a view of it, float32 `[subcarriers, frames]`, newest frame last."""

    info: WindowInfo
    window: NDArray[np.float32]


class Node:
    """The pure state of one node.

    Args:
        name: `<source>/<node_id>`.
        specs: the windows that the apps want.
        limits: when the link changes its state.
        believe_simulated: whether simulated frames may fill windows; the link state says so either way.
    """

    def __init__(self, name: str, specs: Iterable[WindowSpec], limits: LinkLimits, *, believe_simulated: bool) -> None:
        self.name = name
        self.link = Link(limits)
        self.windows: dict[WindowSpec, Window] = {}
        self.want(specs)
        self.frames = 0
        self.lost = 0
        self.dropped: Counter[str] = Counter()
        self._believe_simulated = believe_simulated
        self._told: set[WindowSpec] = set()

    def want(self, specs: Iterable[WindowSpec]) -> None:
        """Keep these windows and no others; new ones begin empty."""
        self.windows = {spec: self.windows[spec] if spec in self.windows else _make_window(spec) for spec in specs}
        self._by_rule: dict[ToneRule, list[Window]] = {}
        for window in self.windows.values():
            self._by_rule.setdefault(window.spec.tones, []).append(window)

    def is_complete(self, spec: WindowSpec) -> bool:
        """Whether the node keeps a window of this specification and it is complete."""
        window = self.windows.get(spec)
        return window is not None and window.complete

    def ready(self, spec: WindowSpec) -> Ready:
        """The complete window of a specification; what comes later does not change it."""
        window = self.windows[spec]
        info = WindowInfo(
            frames=spec.frames, span_s=rounded(window.span_s, 1_000_000), measured_tones=window.measured_tones
        )
        return Ready(info, window.view())

    def take(self, frame: Frame) -> Taken:
        """Take one frame; frames come in the order of their arrival."""
        self.frames += 1
        observed = self.link.observe(frame)
        order = observed.order
        if order is Order.DUPLICATE or order is Order.LATE:
            self.dropped[order.value] += 1
            return Taken(accepted=False)
        self.lost += observed.lost
        resets = self._clear(Reset.RESTART) if order is Order.RESTARTED else []
        if self.link.state is LinkState.FROZEN:
            self.dropped["frozen"] += 1
            resets += self._clear(Reset.FROZEN)
            return Taken(link=observed.changed, resets=tuple(resets))
        if self.link.state is LinkState.SIMULATED and not self._believe_simulated:
            self.dropped["simulated"] += 1
            return Taken(link=observed.changed, resets=tuple(resets))
        complete = self._fill(frame, resets)
        return Taken(True, tuple(complete), observed.changed, tuple(resets))  # noqa: FBT003  # by keyword costs twice

    def _fill(self, frame: Frame, resets: list[tuple[WindowSpec, Reset]]) -> list[WindowSpec]:
        complete: list[WindowSpec] = []
        dropped: set[str] = set()  # a frame counts once for each reason, however many windows refuse it
        for rule, windows in self._by_rule.items():
            try:
                tones = select_tones(frame, rule)
            except ToneError:
                dropped.add("unknown_layout")
                continue
            for window in windows:
                pushed = window.push(tones.values, tones.kind, tones.measured, frame.time_s)
                if pushed.dropped is not None:
                    dropped.add(pushed.dropped.value)
                if pushed.reset is not None:
                    self._tell(window.spec, pushed.reset, resets)
                if pushed.complete:
                    self._told.discard(window.spec)
                    complete.append(window.spec)
        if dropped:
            self.dropped.update(dropped)
        return complete

    def _clear(self, reason: Reset) -> list[tuple[WindowSpec, Reset]]:
        resets: list[tuple[WindowSpec, Reset]] = []
        for spec, window in self.windows.items():
            if window.clear(reason):
                self._tell(spec, reason, resets)
        return resets

    def _tell(self, spec: WindowSpec, reason: Reset, resets: list[tuple[WindowSpec, Reset]]) -> None:
        if spec not in self._told:
            self._told.add(spec)
            resets.append((spec, reason))


def _make_window(spec: WindowSpec) -> Window:
    return Window(spec) if spec.cell_s is None else CellWindow(spec)
