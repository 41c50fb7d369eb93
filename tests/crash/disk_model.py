"""What a disk may hold after a power cut: what `fsync` made durable, and of all else any part.

A model of its own: it knows POSIX, not the code under test, nor any one file system's habits.

- `fsync` of a file makes its content and mode durable, not its name.
- `fsync` of a directory makes the names in it durable; of a rename between two, that of the new name's directory.
- What is not durable may be there or not, each change by itself, in any combination; content also in part.
- A change of names is there as a whole or not at all, a rename's both ends included.
"""

from __future__ import annotations

import copy
import os
import stat
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from .ptrace import Call

_ROOT = 0


@dataclass(slots=True)
class Node:
    """A file, a symbolic link (its content is its target) or a directory (it has names)."""

    kind: int
    mode: int
    data: bytes = b""
    names: dict[str, int] = field(default_factory=dict)


Nodes = dict[int, Node]


@dataclass(frozen=True, slots=True)
class _Names:
    """Names that change together; None takes one away."""

    keys: tuple[tuple[int, str, int | None], ...]
    durable_by: int

    def apply(self, nodes: Nodes) -> None:
        for directory, name, node in self.keys:
            if node is None:
                nodes[directory].names.pop(name, None)
            else:
                nodes[directory].names[name] = node


@dataclass(frozen=True, slots=True)
class _Write:
    durable_by: int
    offset: int
    data: bytes

    def apply(self, nodes: Nodes) -> None:
        before = nodes[self.durable_by].data.ljust(self.offset, b"\0")
        nodes[self.durable_by].data = before[: self.offset] + self.data + before[self.offset + len(self.data) :]


@dataclass(frozen=True, slots=True)
class _Truncate:
    durable_by: int
    size: int

    def apply(self, nodes: Nodes) -> None:
        nodes[self.durable_by].data = nodes[self.durable_by].data[: self.size].ljust(self.size, b"\0")


@dataclass(frozen=True, slots=True)
class _Mode:
    durable_by: int
    mode: int

    def apply(self, nodes: Nodes) -> None:
        nodes[self.durable_by].mode = self.mode


_Change = _Names | _Write | _Truncate | _Mode


class Disk:
    """A disk that was at rest, and what has happened to it since."""

    def __init__(self, root: Path, umask: int = 0o022) -> None:
        self._root = str(root)
        self._umask = umask
        self._durable: Nodes = {}
        self._read(root)
        self._now = copy.deepcopy(self._durable)
        self._pending: list[_Change] = []

    @property
    def at_rest(self) -> bool:
        """Whether a power cut would change nothing."""
        return not self._pending

    def happen(self, call: Call) -> None:
        """Take in one successful system call.

        Raises:
            NotImplementedError: the model does not know it.
        """
        if call.name == "open":
            self._open(call)
        elif call.name == "write":
            self._change(_Write(self._find(call.paths[0]), call.offset, call.data[: call.result]))
        elif call.name == "truncate":
            self._change(_Truncate(self._find(call.paths[0]), call.offset))
        elif call.name == "chmod":
            self._change(_Mode(self._find(call.paths[0]), call.mode))
        elif call.name == "mkdir":
            self._make(call.paths[0], Node(stat.S_IFDIR, call.mode & ~self._umask))
        elif call.name == "symlink":
            self._make(call.paths[0], Node(stat.S_IFLNK, 0o777, call.data))
        elif call.name in {"unlink", "rmdir"}:
            directory, name = self._place(call.paths[0])
            self._change(_Names(((directory, name, None),), directory))
        elif call.name == "rename":
            (source, old), (target, new) = map(self._place, call.paths)
            node = self._now[source].names[old]
            self._change(_Names(((source, old, None), (target, new, node)), target))
        elif call.name == "fsync":
            self._sync(self._find(call.paths[0]))
        else:
            raise NotImplementedError(str(call))

    def states(self, rng: random.Random, subsets: int) -> Iterator[Nodes]:
        """What may be on the disk if the power is cut now; some of it more than once."""
        pending = self._pending
        yield self._durable  # nothing made it
        if not pending:
            return
        yield from map(self._after, ((change,) for change in pending))
        yield from map(self._after, (pending[:end] for end in range(2, len(pending) + 1)))
        yield from map(self._after, (pending[:at] + pending[at + 1 :] for at in range(len(pending))))
        for tear in (_empty, _half, _zeros):
            torn = [tear(change) if isinstance(change, _Write) else change for change in pending]
            yield self._after([change for change in torn if change is not None])
        for _ in range(subsets if len(pending) > 2 else 0):
            yield self._after([change for change in pending if rng.random() < 0.5])

    def now(self) -> Nodes:
        """What is there while there is power."""
        return self._now

    def _after(self, changes: Iterable[_Change]) -> Nodes:
        nodes = {number: replace(node, names=dict(node.names)) for number, node in self._durable.items()}
        for change in changes:
            change.apply(nodes)
        return nodes

    def _open(self, call: Call) -> None:
        directory, name = self._place(call.paths[0])
        if name not in self._now[directory].names:
            self._make(call.paths[0], Node(stat.S_IFREG, call.mode & ~self._umask))
        elif call.flags & os.O_TRUNC:
            self._change(_Truncate(self._find(call.paths[0]), 0))

    def _make(self, path: str, node: Node) -> None:
        number = len(self._durable)
        for nodes in (self._durable, self._now):
            nodes[number] = replace(node, names={})
        directory, name = self._place(path)
        self._change(_Names(((directory, name, number),), directory))

    def _change(self, change: _Change) -> None:
        change.apply(self._now)
        self._pending.append(change)

    def _sync(self, number: int) -> None:
        waiting: list[_Change] = []
        for change in self._pending:
            if change.durable_by != number:
                waiting.append(change)
                continue
            change.apply(self._durable)
            if isinstance(change, _Names):
                waiting = _superseded(waiting, {(directory, name) for directory, name, _ in change.keys})
        self._pending = waiting

    def _find(self, path: str) -> int:
        if path == self._root:
            return _ROOT
        directory, name = self._place(path)
        return self._now[directory].names[name]

    def _place(self, path: str) -> tuple[int, str]:
        folder, name = os.path.split(path)
        return self._find(folder), name

    def _read(self, path: Path) -> int:
        number = len(self._durable)
        status = path.lstat()
        node = self._durable[number] = Node(stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode))
        if path.is_symlink():
            node.data = os.fsencode(path.readlink())
        elif path.is_dir():
            node.names = {child.name: self._read(child) for child in sorted(path.iterdir())}
        else:
            node.data = path.read_bytes()
        return number


def _superseded(changes: list[_Change], keys: set[tuple[int, str]]) -> list[_Change]:
    """`changes` without what a later, durable change has done with the same names."""
    left: list[_Change] = []
    for change in changes:
        if isinstance(change, _Names):
            rest = tuple(key for key in change.keys if key[:2] not in keys)
            if rest:
                left.append(replace(change, keys=rest))
        else:
            left.append(change)
    return left


def _empty(write: _Write) -> None:
    return None


def _half(write: _Write) -> _Write:
    return replace(write, data=write.data[: len(write.data) // 2])


def _zeros(write: _Write) -> _Write:
    return replace(write, data=_half(write).data.ljust(len(write.data), b"\0"))


def walk(nodes: Nodes, visit: Callable[[str, Node], None], number: int = _ROOT, path: str = "") -> None:
    """Visit all that has a name, directories before what is in them."""
    visit(path, nodes[number])
    for name, child in sorted(nodes[number].names.items()):
        walk(nodes, visit, child, f"{path}/{name}")


def fingerprint(nodes: Nodes, ignore: str = "-") -> int:
    """The same for the same disks; the content of the file `ignore` apart."""
    found: list[tuple[object, ...]] = []

    def add(path: str, node: Node) -> None:
        found.append((path, node.kind, node.mode, b"" if path == ignore else node.data))

    walk(nodes, add)
    return hash(tuple(found))  # Python keeps the hash of each content: a hundred times faster than SHA-256 of them


def materialise(nodes: Nodes, root: Path) -> None:
    """Make the new folder `root` what is on the disk."""

    def make(path: str, node: Node) -> None:
        target = root / path.lstrip("/")
        if node.kind == stat.S_IFLNK:
            target.symlink_to(os.fsdecode(node.data))
            return
        if node.kind == stat.S_IFDIR:
            target.mkdir()
        else:
            target.write_bytes(node.data)
        target.chmod(node.mode)

    walk(nodes, make)
