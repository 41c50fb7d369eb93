"""An app's place in the engine: the version that serves, and what stands by while a new one is tried."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from cogd.runtime.runner import Pending, Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from cogd.csi.window import WindowSpec
    from cogd.heads.base import Reading
    from cogd.runtime.app import App
    from cogd.runtime.runner import Inferred


@dataclass
class Progress:
    """How a new version is doing, counted since its windows began to fill, and anew since it serves.

    Attributes:
        windows: complete windows of the old version's shape; while the new one serves, those of its frames alone, and
            of each node only from the first time that its window of the new shape was full.
        events: that the new version gave.
        failure: why it could not infer a window, the first time that it could not.
    """

    windows: int = 0
    events: int = 0
    failure: str | None = None


@dataclass
class Place:
    """Who serves which frames of one app. Every frame belongs to one version, decided when the frame was taken.

    Attributes:
        active: serves the frames from `since` on.
        since: the serial of the first of them.
        standby: the version before, while `active` is tried: it serves the frames before `since`, and those later ones
            on which `active` fails, or for which the windows of a node have not been full yet.
        candidate: a new version whose windows still fill; it serves nothing.
        progress: of the candidate, or of `active` while another stands by.
        full_at: while another stands by: by node, the serial from which on its frames are up to `active`.
        run: makes the runner of a new version.
    """

    active: Runner
    since: int = 0
    standby: Runner | None = None
    candidate: App | None = None
    progress: Progress = field(default_factory=Progress)
    full_at: dict[str, int] = field(default_factory=dict)
    run: Callable[[App], Runner] = Runner

    @property
    def id(self) -> str:
        """The app's id."""
        return self.active.app.id

    @property
    def serving(self) -> Iterator[Runner]:
        """The versions that windows are kept for."""
        yield self.active
        if self.standby is not None:
            yield self.standby

    def own(self, batch: Sequence[Pending]) -> Sequence[Pending]:
        """The part of a batch that `active` serves: its end, or all of it."""
        if batch[0].serial >= self.since:
            return batch
        return batch[bisect_left(batch, self.since, key=attrgetter("serial")) :]

    def prepare(self, app: App) -> None:
        """Let the windows of a new version fill."""
        self.candidate, self.progress = app, Progress()

    def replace(self, since: int, full: Iterable[str] = ()) -> None:
        """Let the candidate serve the frames from `since` on; the version before stands by.

        Args:
            since: a serial.
            full: the nodes whose windows are full for the candidate.
        """
        if self.candidate is None:
            raise ValueError(f"{self.id}: there is no version to go to")
        self.active, self.standby, self.since = self.run(self.candidate), self.active, since
        self.candidate, self.progress = None, Progress()
        self.full_at = dict.fromkeys(full, since)

    def fills(self, pending: Pending) -> bool:
        """Whether the node's window was never full for `active` until this frame of the old version's shape."""
        return pending.serial < self.full_at.get(pending.frame.node, pending.serial + 1)

    def settle(self) -> None:
        """The new version has proven itself; the one before goes."""
        if self.standby is not None:
            self.standby.close()
        self.standby = None

    def revert(self) -> None:
        """Forget the new version; the one before serves every frame that was not inferred yet."""
        self.candidate = None
        if self.standby is not None:
            self.active.close()
            self.active, self.standby, self.since = self.standby, None, 0

    def close(self) -> None:
        """End the threads."""
        for runner in self.serving:
            runner.close()


class Answer(NamedTuple):
    """What one version made of one window; nothing, where it could not infer it."""

    pending: Pending
    reading: Reading | None
    app: App


class Ledger:
    """One tick of a place whose new version is tried: what each version gave, and what is left for the other."""

    def __init__(self, place: Place, standby: Runner) -> None:
        self.place, self.standby = place, standby
        self.failure: str | None = None
        self._answers: list[Answer] = []
        self._unserved: set[int] = set()
        self._spare: list[Pending] = []

    def spare(self, spec: WindowSpec, batch: Sequence[Pending]) -> None:
        """Keep the windows that the standby may have to infer."""
        if spec == self.standby.app.window:
            self._spare += batch

    def active_gave(self, batch: Sequence[Pending], inferred: Inferred) -> None:
        """Note what the new version made of its frames."""
        for pending in batch:
            self.place.full_at.setdefault(pending.frame.node, pending.serial)
        self.place.progress.events += self._note(self.place.active, batch, inferred)
        self.place.progress.failure = self.place.progress.failure or inferred.failure

    def left(self) -> list[Pending]:
        """What the standby has to infer, once the new version is done.

        Frames from before the change, those that the new version could not infer, and those of nodes that joined after
        the change as long as their windows fill.
        """
        return [
            pending
            for pending in self._spare
            if pending.serial < self.place.since or pending.serial in self._unserved or self.place.fills(pending)
        ]

    def count(self) -> None:
        """Count the windows that the new version is measured against, once it is done."""
        self.place.progress.windows += sum(
            pending.serial >= self.place.since and not self.place.fills(pending) for pending in self._spare
        )

    def standby_gave(self, batch: Sequence[Pending], inferred: Inferred) -> None:
        """Note what the standby made of a part of what was left."""
        self._note(self.standby, batch, inferred)

    def answers(self) -> list[Answer]:
        """Of both versions, in the order of their frames."""
        return sorted(self._answers, key=lambda answer: answer.pending.serial)

    @property
    def lost(self) -> int:
        """Frames that neither version could infer."""
        return len(self._unserved)

    def _note(self, runner: Runner, batch: Sequence[Pending], inferred: Inferred) -> int:
        """Returns how many events it gave."""
        before = len(self._answers)
        for pending, reading in zip(batch, inferred.readings, strict=True):
            if reading is None:
                self._unserved.add(pending.serial)
            else:
                self._unserved.discard(pending.serial)
                self._answers.append(Answer(pending, reading, runner.app))
        self.failure = inferred.failure or self.failure
        return len(self._answers) - before
