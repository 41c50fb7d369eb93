"""See, one by one, the system calls by which a child process changes files; end it, or fail one of them, at any.

ptrace(2) by ctypes. The process that uses this must have one thread: it forks.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TRACEME, _SYSCALL, _POKEUSER, _SETREGSET, _SETOPTIONS, _GET_SYSCALL_INFO = 0, 24, 6, 0x4205, 0x4200, 0x420E
_OPTIONS = 1 | 2 | 4 | 8 | 1 << 20  # TRACESYSGOOD, TRACEFORK, TRACEVFORK, TRACECLONE, EXITKILL
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_WALL = 0x40000000
_AT_FDCWD = -100
_AT_REMOVEDIR = 0x200
_ENTRY, _EXIT = 1, 2


class _Shape(NamedTuple):
    """Where the arguments are that name files: pairs of directory (None: the working directory) and path, or one fd."""

    name: str
    paths: tuple[tuple[int | None, int], ...] = ()
    fd: int | None = None
    changes: bool = True


_SHAPES = {
    shape.name: shape
    for shape in (
        _Shape("open", ((None, 0),)),
        _Shape("creat", ((None, 0),)),
        _Shape("openat", ((0, 1),)),
        _Shape("openat2", ((0, 1),)),
        *(_Shape(name, fd=0) for name in ("write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate")),
        *(_Shape(name, fd=0) for name in ("fsync", "fdatasync", "syncfs", "fallocate", "fchmod", "fchown", "sendfile")),
        _Shape("copy_file_range", fd=2),
        *(_Shape(name, ((None, 0),)) for name in ("truncate", "mkdir", "rmdir", "unlink", "chmod", "chown", "mknod")),
        *(_Shape(name, ((0, 1),)) for name in ("mkdirat", "unlinkat", "fchmodat", "fchmodat2", "fchownat", "mknodat")),
        *(_Shape(name, ((None, 0), (None, 1))) for name in ("rename", "link")),
        *(_Shape(name, ((0, 1), (2, 3))) for name in ("renameat", "renameat2", "linkat")),
        _Shape("symlink", ((None, 1),)),
        _Shape("symlinkat", ((1, 2),)),
        *(_Shape(name, ((None, 0),), changes=False) for name in ("stat", "lstat", "readlink", "access")),
        *(_Shape(name, ((0, 1),), changes=False) for name in ("newfstatat", "readlinkat", "faccessat", "statx")),
        *(_Shape(name, fd=0, changes=False) for name in ("read", "pread64", "getdents64", "fstat", "flock")),
    )
}

# fmt: off
_NUMBERS = {
    "x86_64": {
        "read": 0, "write": 1, "open": 2, "stat": 4, "fstat": 5, "lstat": 6, "pread64": 17, "pwrite64": 18,
        "writev": 20, "access": 21, "sendfile": 40, "flock": 73, "fsync": 74, "fdatasync": 75, "truncate": 76,
        "ftruncate": 77, "rename": 82, "mkdir": 83, "rmdir": 84, "creat": 85, "link": 86, "unlink": 87, "symlink": 88,
        "readlink": 89, "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "mknod": 133, "getdents64": 217,
        "openat": 257, "mkdirat": 258, "mknodat": 259, "fchownat": 260, "newfstatat": 262, "unlinkat": 263,
        "renameat": 264, "linkat": 265, "symlinkat": 266, "readlinkat": 267, "fchmodat": 268, "faccessat": 269,
        "fallocate": 285, "pwritev": 296, "syncfs": 306, "renameat2": 316, "copy_file_range": 326, "pwritev2": 328,
        "statx": 332, "openat2": 437, "fchmodat2": 452,
    },
    "aarch64": {
        "flock": 32, "mknodat": 33, "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37, "renameat": 38,
        "truncate": 45, "ftruncate": 46, "fallocate": 47, "faccessat": 48, "fchmod": 52, "fchmodat": 53,
        "fchownat": 54, "fchown": 55, "openat": 56, "getdents64": 61, "read": 63, "write": 64, "writev": 66,
        "pread64": 67, "pwrite64": 68, "pwritev": 70, "sendfile": 71, "readlinkat": 78, "newfstatat": 79, "fstat": 80,
        "fsync": 82, "fdatasync": 83, "syncfs": 267, "renameat2": 276, "copy_file_range": 285, "pwritev2": 287,
        "statx": 291, "openat2": 437, "fchmodat2": 452,
    },
}
# fmt: on
_TABLE = {number: _SHAPES[name] for name, number in _NUMBERS.get(platform.machine(), {}).items()}
_TELLING = {  # the names that differ only in how a file is named
    "creat": "open",
    "openat": "open",
    "openat2": "open",
    "mkdirat": "mkdir",
    "fchmod": "chmod",
    "fchmodat": "chmod",
    "fchmodat2": "chmod",
    "ftruncate": "truncate",
    "renameat": "rename",
    "renameat2": "rename",
    "linkat": "link",
    "symlinkat": "symlink",
    "fdatasync": "fsync",
    "unlinkat": "unlink",
    "pwrite64": "write",
}

SUPPORTED = platform.system() == "Linux" and bool(_TABLE)


class _Info(ctypes.Structure):
    """`struct ptrace_syscall_info`: `values` is the number and the arguments at the entry, the result at the exit."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("values", ctypes.c_int64 * 7),
    )


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_ptrace = ctypes.CDLL(None, use_errno=True).ptrace
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_ptrace.restype = ctypes.c_long


def _request(request: int, pid: int, address: int = 0, data: object = 0) -> None:
    if _ptrace(request, pid, address, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace {request:#x}: {os.strerror(number)}")


@dataclass(slots=True)
class Call:
    """One system call that names a file below the root, as it began and, at last, what it returned.

    Attributes:
        name: of the plain form: `open` for `openat`, and so on; `rmdir` for both its forms.
        paths: of the files that it names, absolute; for a descriptor the name that it has now.
        changes: whether it may change something on the disk, `fsync` included.
        flags: of `open`.
        mode: of `open`, `mkdir` and `chmod`.
        offset: where `write` writes, the length of `truncate`.
        data: what `write` is given; the target of `symlink`.
        result: None until it returned.
    """

    name: str
    paths: tuple[str, ...]
    changes: bool
    flags: int = 0
    mode: int = 0
    offset: int = 0
    data: bytes = b""
    result: int | None = None

    def __str__(self) -> str:
        return f"{self.name} {' '.join(self.paths)}"


@dataclass
class Traced:
    """A child process that runs `function`, and is stopped at its system calls below `root`.

    As a context manager: at the end the child is dead, whatever became of it.
    """

    function: Callable[[], None]
    root: str
    pid: int = 0
    status: int | None = None
    _fail_next: dict[int, int] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.pid = os.fork()
        if self.pid == 0:
            self._run()
        os.waitpid(self.pid, 0)
        _request(_SETOPTIONS, self.pid, 0, _OPTIONS)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End the child now: it does not get to run another instruction of its own."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            while self.status is None:
                self._wait()

    def entries(self) -> Iterator[Call]:
        """Every call at its entry; `fail` may be called for the one that was yielded last."""
        return (call for call in self._calls() if call.result is None)

    def changes(self) -> Iterator[Call]:
        """Every successful call that may have changed something, at its exit."""
        return (call for call in self._calls() if call.changes and call.result is not None and call.result >= 0)

    def fail(self, number: int) -> None:
        """The call that was yielded last, at its entry, does nothing and returns the error `number`."""
        self._fail_next[self._stopped] = number
        if platform.machine() == "x86_64":
            _request(_POKEUSER, self._stopped, 15 * 8, -1)  # orig_rax: no system call has this number
        else:
            none = ctypes.c_int(-1)
            _request(_SETREGSET, self._stopped, 0x404, ctypes.byref(_Vector(ctypes.addressof(none), 4)))

    def _run(self) -> None:
        status = 70
        try:
            _request(_TRACEME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
            self.function()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            os._exit(status)

    def _calls(self) -> Iterator[Call]:
        begun: dict[int, Call | None] = {}
        self._stopped, pass_on = self.pid, 0
        while True:
            _request(_SYSCALL, self._stopped, 0, pass_on)
            stop = self._wait()
            if stop is None:
                return
            pass_on = 0 if stop in {_SYSCALL_STOP, signal.SIGTRAP, signal.SIGSTOP} else stop
            if stop != _SYSCALL_STOP:
                continue
            info = _Info()
            _request(_GET_SYSCALL_INFO, self._stopped, ctypes.sizeof(info), ctypes.byref(info))
            if info.op == _ENTRY:
                call = begun[self._stopped] = self._decode(*info.values)
            else:
                call = begun.pop(self._stopped, None)
                if call is not None:
                    call.result = self._result(info.values[0])
            if call is not None:
                yield call

    def _result(self, result: int) -> int:
        number = self._fail_next.pop(self._stopped, None)
        if number is None:
            return result
        if platform.machine() == "x86_64":
            _request(_POKEUSER, self._stopped, 10 * 8, -number)  # rax
        else:
            registers = (ctypes.c_uint64 * 34)()
            vector = _Vector(ctypes.addressof(registers), ctypes.sizeof(registers))
            _request(0x4204, self._stopped, 1, ctypes.byref(vector))  # GETREGSET, NT_PRSTATUS
            registers[0] = (1 << 64) - number
            _request(_SETREGSET, self._stopped, 1, ctypes.byref(vector))
        return -number

    def _wait(self) -> int | None:
        """The signal by which some thread of the child stopped; None: it has ended."""
        while True:
            pid, status = os.waitpid(-1, _WALL)
            if os.WIFSTOPPED(status):
                self._stopped = pid
                return os.WSTOPSIG(status)
            if pid == self.pid:
                self.status = os.waitstatus_to_exitcode(status)
                return None

    def _decode(self, number: int, *arguments: int) -> Call | None:
        shape = _TABLE.get(number)
        if shape is None:
            return None
        try:
            if shape.fd is not None:
                paths = (str(Path(f"/proc/{self._stopped}/fd/{arguments[shape.fd] & 0xFFFFFFFF}").readlink()),)
            else:
                paths = tuple(self._path(arguments, *pair) for pair in shape.paths)
        except OSError:
            return None  # no such descriptor
        if not any(path == self.root or path.startswith(self.root + "/") for path in paths):
            return None
        call = Call(_TELLING.get(shape.name, shape.name), paths, shape.changes)
        self._details(call, shape.name, arguments)
        return call

    def _details(self, call: Call, name: str, arguments: tuple[int, ...]) -> None:
        if call.name == "open":
            at = 2 if name == "openat" else 1
            call.flags, call.mode = arguments[at], arguments[at + 1]
            call.changes = name not in {"open", "openat"} or bool(
                call.flags & (os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_RDWR)
            )
        elif name in {"mkdir", "chmod", "fchmod"}:
            call.mode = arguments[1]
        elif name in {"mkdirat", "fchmodat"}:
            call.mode = arguments[2]
        elif call.name == "truncate":
            call.offset = arguments[1]
        elif name == "write":
            info = Path(f"/proc/{self._stopped}/fdinfo/{arguments[0]}").read_text()
            call.offset, call.data = int(info.split()[1]), self._read(arguments[1], arguments[2])
        elif name == "pwrite64":
            call.offset, call.data = arguments[3], self._read(arguments[1], arguments[2])
        elif call.name == "symlink":
            call.data = self._string(arguments[0])
        elif name == "unlinkat" and arguments[2] & _AT_REMOVEDIR:
            call.name = "rmdir"

    def _path(self, arguments: tuple[int, ...], directory: int | None, index: int) -> str:
        fd = _AT_FDCWD if directory is None else ctypes.c_int(arguments[directory]).value
        link = f"/proc/{self._stopped}/cwd" if fd == _AT_FDCWD else f"/proc/{self._stopped}/fd/{fd}"
        name = os.fsdecode(self._string(arguments[index]))
        return os.path.normpath(Path(name) if name.startswith("/") else Path(link).readlink() / name)

    def _string(self, address: int) -> bytes:
        end, pieces = b"\0", []
        while True:
            size = 4096 - address % 4096  # not beyond the page: the next one may not be there
            head, found, _ = self._read(address, size).partition(end)
            pieces.append(head)
            if found:
                return b"".join(pieces)
            address += size

    def _read(self, address: int, size: int) -> bytes:
        fd = os.open(f"/proc/{self._stopped}/mem", os.O_RDONLY)
        try:
            return os.pread(fd, size, address)
        finally:
            os.close(fd)


def allowed() -> bool:
    """Whether this machine lets a process trace its child; containers may not."""
    if not SUPPORTED:
        return False
    try:
        with Traced(lambda: None, "/nowhere") as child:
            list(child.entries())
    except OSError as error:
        if error.errno in {errno.EPERM, errno.ENOSYS, errno.EIO}:
            return False
        raise
    return child.status == 0
