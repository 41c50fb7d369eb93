"""What the nodes' windows are while nothing happens: measured by `cogd calibrate`, kept over restarts.

A baseline belongs to one bundle, by its digest, and to one node. Those of an earlier version are kept as well, because
the daemon may go back to it; they are not used for another.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from cogd.bundle import durable
from cogd.bundle.regular import read_regular_file
from cogd.errors import PermissionDeniedError, StorageError
from cogd.heads.base import Baseline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

FILE_NAME: Final = "baselines.json"

KEPT: Final = 2
"""Of so many bundles of an app the baseline of a node is kept, the newest ones: a version, and the one before it."""

_MAX_BYTES: Final = 16 << 20


class Measured(Baseline, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A baseline, and how it was measured.

    Attributes:
        app: the app's id.
        digest: of the bundle whose model gave the scores.
        node: `<source>/<node_id>`.
        spread: median of the scores' distances from their median.
        n: how many scores.
        seconds: for how long the room was watched.
        origin: of the frames: `live`, `replayed` or `simulated`.
    """

    app: str
    digest: str
    node: str
    spread: float
    n: Annotated[int, Meta(ge=1)]
    seconds: float
    origin: str


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["cogd.baselines/1"]
    baselines: list[Measured]


class Baselines:
    """All baselines, in memory and in a file of the state folder. The file is read once, by `load`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._all: list[Measured] = []
        self._of: dict[tuple[str, str], dict[str, Measured]] = {}

    def __iter__(self) -> Iterator[Measured]:
        return iter(self._all)

    def load(self) -> None:
        """Read the file, if there is one.

        Raises:
            StorageError: it can't be read, or is none.
        """
        try:
            found = msgspec.json.decode(read_regular_file(self.path, limit=_MAX_BYTES).data, type=_File)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"the baselines in {self.path}: {error.strerror or error}", hint=_LOST) from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise StorageError(f"the baselines in {self.path}: {error}", hint=_LOST) from error
        self.take(found.baselines)

    def of(self, app_id: str, digest: str) -> Mapping[str, Baseline]:
        """The baselines of a bundle by node; what is measured later appears in it."""
        return self._of.setdefault((app_id, digest), {})

    def with_measured(self, measured: Iterable[Measured]) -> list[Measured]:
        """All baselines as they would be with these, which take the place of older ones."""
        merged = {(one.app, one.node, one.digest): one for one in self._all}
        for one in measured:
            merged.pop((one.app, one.node, one.digest), None)  # the newest come last, whatever the clock says
            merged[one.app, one.node, one.digest] = one
        versions: dict[tuple[str, str], list[Measured]] = {}
        for one in merged.values():
            versions.setdefault((one.app, one.node), []).append(one)
        return [one for kept in versions.values() for one in kept[-KEPT:]]

    def check_writable(self) -> None:
        """See, before anybody leaves the room for it, that what is measured could be stored.

        Raises:
            PermissionDeniedError: it could not.
        """
        folder = self.path.parent
        existing = folder if folder.exists() else folder.parent
        if not os.access(existing, os.W_OK | os.X_OK):
            raise PermissionDeniedError(
                f"the daemon may not write to {existing}", hint="give it another folder: the setting state_dir"
            )

    def write(self, baselines: Sequence[Measured]) -> None:
        """Make these all that is in the file, durably; it blocks, and changes nothing in memory.

        Raises:
            CogdError: it can't be done; the file is as it was.
        """
        data = msgspec.json.encode(_File(format="cogd.baselines/1", baselines=list(baselines)), order="deterministic")
        try:
            durable.make_directory(self.path.parent)
            durable.replace_file(self.path, msgspec.json.format(data, indent=2) + b"\n", mode=0o644)
        except OSError as error:
            raise durable.storage_error(error, "the baselines were not stored") from error

    def take(self, baselines: Sequence[Measured]) -> None:
        """Make these all that is used from now on."""
        self._all = list(baselines)
        for by_node in self._of.values():
            by_node.clear()
        for one in self._all:
            self._of.setdefault((one.app, one.digest), {})[one.node] = one


_LOST: Final = "take the file away and run `cogd calibrate` in the quiet room again"
