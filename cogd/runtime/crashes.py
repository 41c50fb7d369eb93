"""The memory of versions over which daemons died: a small file in the state folder, by the rules of `crash_rules`.

Where it can't be kept, the daemon runs without it and says so. Only its beginning is made durable: what a process wrote
is still there after the process has died, and after the machine died it does not count.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from cogd.bundle import durable
from cogd.bundle.regular import read_regular_file
from cogd.errors import ModelError
from cogd.runtime.crash_rules import Note, confirm, forget, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cogd.bundle.manifest import Manifest

_MAX_BYTES: Final = 1 << 20
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_BOOT_ID_VARIABLE: Final = "COGD_BOOT_ID"
"""Set by the unit, whose sandbox hides the file."""

_HINT: Final = (
    "it crashes the daemon or runs out of memory: report it to the publisher; another version replaces it, and"
    " `cogd install` of the same one tries it again"
)


def boot_id() -> str | None:
    """What names the machine's start; None where that can't be told."""
    if given := os.environ.get(_BOOT_ID_VARIABLE):
        return given
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text().strip() or None
    return None


def note_path(state_dir: Path, apps_dir: Path) -> Path:
    """The file of the daemons of one apps directory."""
    return state_dir / f"crashes-{sha256(os.fsencode(os.path.realpath(apps_dir))).hexdigest()[:12]}.json"


def ask_to_forget(state_dir: Path, apps_dir: Path, digest: str) -> bool:
    """Let the daemon try a version again that it leaves out, now or when it is started next.

    Returns:
        Whether it leaves the version out, and will try it again.

    Raises:
        OSError: the daemon can't be asked.
    """
    path = note_path(state_dir, apps_dir)
    note = _read(path)
    if note is None or digest not in {*note.refused, *note.deaths}:
        return False
    _mark(path, digest).touch()
    return True


class CrashMemory:
    """What the daemon notes of its own run; every method may be called by any thread.

    Args:
        path: the file, as `note_path` names it; None: nothing is to be remembered.
        boot: names the machine's start; None: it is not known, so nothing is remembered.
        now_s: seconds since the machine's start.
    """

    def __init__(
        self,
        path: Path | None,
        boot: str | None,
        now_s: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self._path, self._boot, self._now_s = path or Path(), boot, now_s
        self._off = path is None
        self._note: Note | None = None
        self._mutex = threading.RLock()  # a signal handler may come while its own thread holds it
        self._log = structlog.get_logger()

    @contextlib.contextmanager
    def running(self, installed: Sequence[str]) -> Iterator[None]:
        """Note the beginning of a run, and its end, unless the process dies.

        Args:
            installed: digests of the installed versions, those to suspect first first.
        """
        with contextlib.ExitStack() as stack:
            self._begin(installed, stack)
            try:
                yield
            finally:
                self.end()

    @property
    def died(self) -> bool:
        """Whether a daemon before this one has died, and none has ended since."""
        return self._note is not None and bool(self._note.deaths)

    def end(self) -> None:
        """Note that the daemon ends as it should."""
        self._change(ended=True, loading=[], first=[])

    @property
    def confirm_s(self) -> float | None:
        """After how many seconds of this run `confirm` is due; None: never."""
        return self._note.confirm_s if self._note is not None and self._note.suspect is not None else None

    def confirm(self) -> None:
        """Note that this run has outlasted those that died."""
        with self._mutex:
            if self._note is not None and self._note.suspect is not None:
                self._write(confirm(self._note))

    def check(self, digest: str, manifest: Manifest) -> None:
        """See that a version may be loaded.

        Raises:
            ModelError: it is left out, because daemons have died over it.
        """
        with self._mutex:
            if self._note is None or digest not in self._note.refused:
                return
            self._forget_marked(digest)
            if digest not in self._note.refused:
                return
            deaths = self._note.deaths.get(digest, 0)
            ends = f"{deaths} starts of the daemon ended without run.stopped over it"
            raise ModelError(f"{manifest.id} {manifest.version}: is left out: {ends}", hint=_HINT)

    @contextlib.contextmanager
    def loading(self, digest: str) -> Iterator[None]:
        """Note that a version is being loaded."""
        self._add(digest, "loading")
        try:
            yield
        finally:
            self._take(digest, "loading")

    @contextlib.contextmanager
    def first_inference(self, digest: str) -> Iterator[None]:
        """Note that a version infers for the first time, and then that it has."""
        self._add(digest, "first", "ran")
        try:
            yield
        finally:
            self._take(digest, "first")

    def _begin(self, installed: Sequence[str], stack: contextlib.ExitStack) -> None:
        if self._off:
            return
        if self._boot is None:
            self._log.warning("crashes are not remembered", message="the machine's boot id is not known")
            return
        try:
            lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._note = judge(_read(self._path), self._boot, self._now_s(), installed)
            for digest in installed:
                self._forget_marked(digest)
            durable.replace_file(self._path, msgspec.json.encode(self._note), mode=0o644)
        except BlockingIOError:
            self._note = None
            self._log.warning("crashes are not remembered", message=f"another daemon uses {self._path}")
        except OSError as error:
            self._note = None
            say = self._log.debug if isinstance(error, FileNotFoundError) else self._log.warning  # a folder not wanted
            say("crashes are not remembered", message=f"{self._path}: {error.strerror}")

    def _forget_marked(self, digest: str) -> None:
        """Forget a version, if that was asked for."""
        mark = _mark(self._path, digest)
        if self._note is not None and mark.exists():
            self._note = forget(self._note, digest)
            with contextlib.suppress(OSError):
                mark.unlink()
            self._write(self._note)

    def _add(self, digest: str, *lists: str) -> None:
        with self._mutex:
            if self._note is not None:
                self._change(**{name: [*getattr(self._note, name), digest] for name in lists})

    def _take(self, digest: str, name: str) -> None:
        with self._mutex:
            if self._note is not None:
                left = list(getattr(self._note, name))
                with contextlib.suppress(ValueError):  # `end` has cleared it
                    left.remove(digest)
                self._change(**{name: left})

    def _change(self, **fields: object) -> None:
        with self._mutex:
            if self._note is not None:
                self._write(msgspec.structs.replace(self._note, **fields))

    def _write(self, note: Note) -> None:
        """Write the file anew; not durably, see above."""
        self._note = note
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_bytes(msgspec.json.encode(note))
            temporary.rename(self._path)
        except OSError as error:
            self._note = None  # what is on the disk stays: it holds what was learnt before this run
            self._log.warning("crashes are not remembered any more", message=f"{self._path}: {error.strerror}")


def _mark(path: Path, digest: str) -> Path:
    """The file that asks to forget a version."""
    return path.with_name(f"{path.stem}-forget-{digest.removeprefix('sha256:')[:64]}")


def _read(path: Path) -> Note | None:
    """The note of the daemon before; None: there is none, or none that can be read."""
    try:
        return msgspec.json.decode(read_regular_file(path, limit=_MAX_BYTES).data, type=Note)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
