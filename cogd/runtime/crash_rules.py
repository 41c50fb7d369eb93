"""Which app a daemon leaves out after starts that ended without `run.stopped`: the rules, without a clock or a disk.

A daemon notes what it is doing; the next one reads it and judges:

1. A run that wrote its end, or after which the machine was started anew (another boot id: a power cut, a reboot), is no
   death. A run that the kernel or an operator killed, or that crashed, is one.
2. A death is blamed on the apps that were being loaded; where none was, on those in their first inference; else on all
   that had inferred in the daemon's process.
3. An app that was blamed `MAX_DEATHS` times without an end in between is left out: for good where it alone was being
   loaded or in its first inference the last time, else to see whether it is to blame.
4. Of several that were blamed as often one at a time is left out to see: unproven versions first, then the newest. A
   run without it that outlasts the deaths (`confirm_s`) leaves it out for good; a run without it that dies acquits it,
   and the next one is left out instead. After all have been acquitted all run and are counted anew: the cause is none
   of them alone.
5. An installation of the same or another version forgets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DEATHS: Final = 3
"""So many starts may end without `run.stopped` over a version."""

_CONFIRM_S: Final = 600.0
_CONFIRM_TIMES: Final = 3.0
"""A run outlasts the deaths when it is longer than this, and than so many times the longest of them."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What a daemon notes while it runs, and what it knows from those before; apps by the digests of their bundles.

    Attributes:
        boot_id: of the machine's start in which the daemon began.
        began_s: when it began, seconds since the machine's start.
        ended: whether it ended as it should.
        loading: being loaded, now.
        first: in their first inference, now.
        ran: that have inferred in the daemon's process.
        order: that are installed, those to suspect first first.
        deaths: how often each was blamed since the last run that ended.
        longest_s: the longest of the runs that died since then.
        left_out: for good.
        suspect: left out to see whether it is to blame.
    """

    format: Literal["cogd.crashes/1"] = "cogd.crashes/1"
    boot_id: str
    began_s: float
    ended: bool = False
    loading: list[str] = []
    first: list[str] = []
    ran: list[str] = []
    order: list[str] = []
    deaths: dict[str, Annotated[int, Meta(ge=0)]] = {}
    longest_s: float = 0.0
    left_out: list[str] = []
    suspect: str | None = None

    @property
    def confirm_s(self) -> float:
        """How long a run must last to say that what is left out was to blame."""
        return max(_CONFIRM_S, _CONFIRM_TIMES * self.longest_s)

    @property
    def refused(self) -> frozenset[str]:
        """What is left out of this run."""
        return frozenset(self.left_out) | ({self.suspect} if self.suspect is not None else frozenset())


def judge(before: Note | None, boot_id: str, now_s: float, installed: Sequence[str]) -> Note:
    """The note that a new daemon begins with.

    Args:
        before: of the daemon before; None: there was none.
        boot_id: of the machine's start.
        now_s: seconds since then.
        installed: digests of the installed versions, those to suspect first first.
    """
    fresh = Note(boot_id=boot_id, began_s=now_s, order=list(installed))
    if before is None:
        return fresh
    deaths = {digest: count for digest, count in before.deaths.items() if digest in installed}
    left_out = [digest for digest in before.left_out if digest in installed]
    suspect, longest_s = before.suspect, before.longest_s
    if suspect is not None and suspect not in installed:  # taken back or replaced: the others begin anew
        suspect, deaths = None, {}
    if before.ended:
        deaths = {digest: count for digest, count in deaths.items() if digest not in before.ran}
        longest_s = 0.0 if suspect is None else longest_s
    elif before.boot_id == boot_id:
        longest_s = max(longest_s, now_s - before.began_s)
        blamed = [digest for digest in installed if digest in _blamed(before)]
        for digest in blamed:
            deaths[digest] = deaths.get(digest, 0) + 1
        if suspect is not None:
            deaths.pop(suspect, None)  # it was not there, and the daemon died
            suspect = None
        guilty = [digest for digest in blamed if deaths[digest] >= MAX_DEATHS]
        if guilty and len(blamed) == 1 and (before.loading or before.first):
            left_out += guilty
        elif guilty:
            suspect = guilty[0]
    return msgspec.structs.replace(fresh, deaths=deaths, longest_s=longest_s, left_out=left_out, suspect=suspect)


def confirm(note: Note) -> Note:
    """The note once a run has outlasted the deaths: what was left out to see is to blame, and nobody else is."""
    if note.suspect is None:
        return note
    deaths = {digest: count for digest, count in note.deaths.items() if digest in note.refused}
    return msgspec.structs.replace(note, left_out=[*note.left_out, note.suspect], suspect=None, deaths=deaths)


def forget(note: Note, digest: str) -> Note:
    """The note without what is known of one version."""
    return msgspec.structs.replace(
        note,
        deaths={other: count for other, count in note.deaths.items() if other != digest},
        left_out=[other for other in note.left_out if other != digest],
        suspect=None if note.suspect == digest else note.suspect,
    )


def _blamed(note: Note) -> frozenset[str]:
    return frozenset(note.loading or note.first or note.ran)
