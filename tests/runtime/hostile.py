"""A distribution of backends and heads that fail in every way that a plugin can, for this process and for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogd.bundle.manifest import Variant

from .factory import files_of, runnable_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from tests.bundle.factory import Made

BACKENDS = """
import ctypes, os, subprocess, sys, time

import numpy as np

from cogd_ort import OrtBackend


def _loop():
    while True:
        time.sleep(0.01)


def _spin():
    while True:
        pass


def _child():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", os.environ["HOSTILE_MARK"]])
    _loop()


def _raise(error):
    raise error


DEEDS = {
    "memory": lambda: _raise(MemoryError("std::bad_alloc")),
    "key": lambda: {}["keypoints"],
    "exit": lambda: sys.exit(3),
    "vanish": lambda: os._exit(0),
    "abort": os.abort,
    "segfault": lambda: ctypes.string_at(0),
    "loop": _loop,
    "spin": _spin,
    "child": _child,
    "hoard": lambda: [np.empty(1 << 27) for _ in range(64)],
    "write": lambda: os.write(1, b"noise on standard output\\n"),
}


class _Session:
    only_computes = False

    def __init__(self, session, deed, good):
        self._session, self._deed, self._good = session, deed, good
        self.max_batch = getattr(session, "max_batch", 64)
        self.input_dtype = getattr(session, "input_dtype", np.float32)

    def buffer(self, size):
        return self._session.buffer(size)

    def run(self, batch):
        if self._good == 0:
            DEEDS[self._deed]()
        self._good -= 1
        return self._session.run(batch)

    def close(self):
        pass


class _Backend(OrtBackend):
    when, deed, good = "run", "", 0

    def load(self, model, shape):
        if self.when == "load":
            DEEDS[self.deed]()
        return _Session(super().load(model, shape), self.deed, self.good)


"""

NAMES = ("memory", "key", "exit", "vanish", "abort", "segfault", "loop", "spin", "child", "hoard", "write")


def plugin_folder(folder: Path) -> Path:
    """Make the distribution in `folder`, which is to be put on the path.

    Its backends are `run-DEED`, `load-DEED` and `late-DEED`: the golden run does it, loading does it, or the first
    inference after the golden run.
    """
    classes, points = [BACKENDS], ["[cogd.backends]"]
    for when, good in (("run", 0), ("load", 0), ("late", 1)):
        for name in NAMES:
            kind = f"{when.title()}{name.title()}"
            body = f'when, deed, good = "{when}", "{name}", {good}\n    name = "{when}-{name}"'
            classes.append(f"class {kind}(_Backend):\n    {body}\n\n")
            points.append(f"{when}-{name} = hostile_backends:{kind}")
    info = folder / "hostile-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "hostile_backends.py").write_text("".join(classes))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(points) + "\n")
    return folder


def hostile_bundle(backend: str, head: str = "pose", **changes: object) -> Made:
    """A bundle that a hostile backend runs."""
    variant = Variant(backend=backend, file="model.onnx", precision="fp32", targets=[])
    return runnable_bundle(head, files_of(head), variants=[variant], **changes)
