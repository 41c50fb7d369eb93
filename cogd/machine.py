"""The machine that figures are measured on, and pinning to some of its cores."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import cogd

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = ("cogd", "numpy", "onnxruntime", "uvloop", "msgspec")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured."""

    system: str
    processor: str
    cores: int
    python: str
    versions: dict[str, str]

    def same_as(self, other: Machine) -> bool:
        """Whether figures of both can be compared: all but the version of cogd itself."""
        return self.without_cogd() == other.without_cogd()

    def without_cogd(self) -> Machine:
        """The same, whatever the version of cogd."""
        rest = {name: version for name, version in self.versions.items() if name != "cogd"}
        return msgspec.structs.replace(self, versions=rest)


def this_machine() -> Machine:
    """The machine that this runs on."""
    return Machine(
        system=platform.platform(),
        processor=_processor(),
        cores=len(usable_cores()),
        python=platform.python_version(),
        versions={name: cogd.__version__ if name == "cogd" else importlib.metadata.version(name) for name in PACKAGES},
    )


def commit() -> str | None:
    """The checkout's commit, `-dirty` behind it if files differ; None where this is no checkout or git is missing."""
    root, git = Path(cogd.__file__).parents[1], shutil.which("git")
    if git is None or not (root / ".git").exists():
        return None
    described = subprocess.run(  # noqa: S603  # nothing of it comes from outside
        [git, "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or None


def usable_cores() -> list[int]:
    """The cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def split_cores() -> tuple[list[int], list[int]]:
    """Cores for the daemon, and the one for whoever sends to it; both the same where there is but one."""
    cores = usable_cores()
    return (cores[:-1] or cores), cores[-1:]


@contextlib.contextmanager
def on_cores(cores: list[int]) -> Iterator[None]:
    """This thread, and those that it starts meanwhile, on these cores; where the system can't pin, on all."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def rss_mib(pid: int | str = "self") -> float:
    """Resident memory of a process, now; 0 where the system does not tell.

    Raises:
        ProcessLookupError, FileNotFoundError: it has ended.
    """
    if not Path("/proc/self/statm").exists():
        return 0.0
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def waited_s() -> float:
    """How long this thread was ready to run while others had the core, since its start; 0 where nobody tells."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1]) * 1e-9
    except (OSError, IndexError):
        return 0.0


def _processor() -> str:
    """The processor's name where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()
