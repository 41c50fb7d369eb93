"""What ONNX Runtime's default options cost at 25 Hz, beside the options of the backend `ort`.

    python bench/ort_options.py [MODEL.onnx] [SECONDS]

Both sessions run the same model at batch 1 on the same 40 ms beat, in turn, in this one process; printed are the
share of one core that each burns and its latency. Without a model, the packaged pose bundle's.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from cogd import demo
from cogd.backends.base import ModelShape
from cogd.bundle.archive import read_archive_file
from cogd_ort import OrtBackend

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD_S = 0.04


def paced(run: Callable[[], object], seconds: float) -> tuple[float, np.ndarray]:
    """Share of one core and latencies in microseconds of `run()` on the beat."""
    latencies = []
    cpu_s, started_s = time.process_time(), time.perf_counter()
    beats = round(seconds / PERIOD_S)
    for beat in range(1, beats + 1):
        before_s = time.perf_counter()
        run()
        after_s = time.perf_counter()
        latencies.append((after_s - before_s) * 1e6)
        time.sleep(max(0.0, started_s + beat * PERIOD_S - after_s))
    return (time.process_time() - cpu_s) / (time.perf_counter() - started_s), np.asarray(latencies)


def main() -> None:
    """Measure and print."""
    model = (
        Path(sys.argv[1]).read_bytes()
        if len(sys.argv) > 1
        else read_archive_file(demo.APPS / "demo-pose.tar")["model.onnx"]
    )
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 5.0
    csi = np.random.default_rng(0).normal(size=(1, 56, 20)).astype(np.float32)
    outputs = {"keypoints": (34,)}
    ours = OrtBackend().load(model, ModelShape((56, 20), outputs, 64))
    print(f"onnxruntime {onnxruntime.__version__}, batch 1 every {PERIOD_S * 1e3:.0f} ms, {seconds:g} s each, twice")
    print(f"{'options':22} {'core':>7} {'p50 us':>8} {'p99 us':>8}")
    for _ in range(2):
        report("defaults", default_session(model, csi), seconds)  # gone after this line: until then its threads spin
        report("backend `ort`", partial(ours.run, csi), seconds)


def default_session(model: bytes, csi: np.ndarray) -> Callable[[], object]:
    """One inference by a session of ONNX Runtime's own choosing."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return partial(session.run, None, {session.get_inputs()[0].name: csi})


def report(label: str, run: Callable[[], object], seconds: float) -> None:
    """Measure one of the two and print its line."""
    share, latencies = paced(run, seconds)
    print(f"{label:22} {share:7.1%} {np.percentile(latencies, 50):8.0f} {np.percentile(latencies, 99):8.0f}")


if __name__ == "__main__":
    main()
