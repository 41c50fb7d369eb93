"""Bundles that can run, apps with a model made of NumPy, and frames to feed them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import safetensors.numpy

from cogd.bundle.manifest import Golden, InputSpec, OutputSpec, Requires, Tensor, Variant
from cogd.csi.frame import Origin
from cogd.csi.input import window_spec
from cogd.csi.model_input import ModelInput
from cogd.heads.count.head import CountHead
from cogd.heads.motion.head import MotionHead
from cogd.heads.pose.head import PoseHead
from cogd.runtime.app import App
from tests.backends.onnx_bytes import linear_model
from tests.bundle.factory import Made, make_bundle
from tests.csi.factory import LLTF, make_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cogd.bundle.verify import VerifiedBundle
    from cogd.csi.frame import Frame

FRAMES = 4
"""Frames a window of these apps."""

CELLS = {"columns": "cell_median", "gain": "none", "min_gap_s": 0.0}
"""Changes of an input that make its columns cells."""

POSE = OutputSpec(
    tensors=[Tensor(name="keypoints", shape=[34])],
    labels=[],
    trained_classes=None,
    confidence="none",
    calibration=None,
    confidence_note="",
)
COUNT = OutputSpec(
    tensors=[Tensor(name="count_logits", shape=[4]), Tensor(name="conf_logits", shape=[1])],
    labels=["0", "1", "2", "3"],
    trained_classes=[0, 1, 2],
    confidence="none",
    calibration=None,
    confidence_note="",
)
MOTION = OutputSpec(
    tensors=[Tensor(name="motion_logits", shape=[1])],
    labels=["quiet", "moving"],
    trained_classes=[0, 1],
    confidence="platt",
    calibration="calibration.safetensors",
    confidence_note="",
)
OUTPUTS = {"pose": POSE, "count": COUNT, "motion": MOTION}
HEADS = {"pose": PoseHead, "count": CountHead, "motion": MotionHead}
MOTION_LINES = {
    "slope": np.float32([1.0]),
    "offset": np.float32([-2.0]),
    "baseline_slope": np.float32([4.0]),
    "baseline_offset": np.float32([-4.0]),
}
"""A logit of 2 is moving; with a baseline, one that is 1 above it."""


def input_spec(**changes: object) -> InputSpec:
    spec = {
        "layout": "subcarrier_major",
        "tones": "ht56",
        "subcarriers": 56,
        "frames": FRAMES,
        "rate_hz": 20.0,
        "min_gap_s": 0.01,
        "max_gap_s": 0.5,
        "gain": "window_rms",
        "normaliser": None,
    }
    return InputSpec(**(spec | changes))


def weights_of(head: str, frames: int = FRAMES) -> dict[str, np.ndarray]:
    """The weights of the model that a head's apps run: `[56 * frames, outputs]` by output."""
    rng = np.random.default_rng(len(head))
    return {
        tensor.name: (rng.normal(size=(56 * frames, *tensor.shape)) * 0.05).astype(np.float32)
        for tensor in OUTPUTS[head].tensors
    }


def compute(head: str, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """What the model makes of prepared inputs `[batch, 56, frames]`; one row does not depend on the others."""
    weights = weights_of(head, inputs.shape[2])
    rows = {name: np.stack([row.ravel() @ weight for row in inputs]) for name, weight in weights.items()}
    if head == "pose":
        rows = {name: 1 / (1 + np.exp(-values)) for name, values in rows.items()}
    return {name: values.astype(np.float32) for name, values in rows.items()}


class FakeSession:
    """Runs `compute`; remembers the sizes of its batches. `spoil` may change outputs or raise."""

    only_computes = False

    def __init__(self, head: str, frames: int = FRAMES) -> None:
        self.head, self.frames = head, frames
        self.batches: list[int] = []
        self.spoil: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = lambda outputs: outputs

    def buffer(self, size: int) -> np.ndarray:
        return np.empty((size, 56, self.frames), np.float32)

    def run(self, batch: np.ndarray) -> Mapping[str, np.ndarray]:
        self.batches.append(len(batch))
        return self.spoil(compute(self.head, batch))


def golden_tensors(head: str, windows: np.ndarray, prepared: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The golden pair's tensors for apps without a normaliser: windows and what the model makes of them."""
    if prepared is None:
        prepared = ModelInput("subcarrier_major", "window_rms").prepare(windows)
    return {"window": windows, **compute(head, prepared)}


def some_windows(count: int = 3, frames: int = FRAMES) -> np.ndarray:
    return np.random.default_rng(5).uniform(1, 30, size=(count, 56, frames)).astype(np.float32)


def files_of(head: str, frames: int = FRAMES, **changes: bytes) -> dict[str, bytes]:
    """The files of a bundle whose ONNX model is real and small."""
    golden = golden_tensors(head, some_windows(frames=frames))
    onnx = linear_model(weights_of(head, frames), (56, frames), sigmoid=head == "pose")
    calibration = {"calibration.safetensors": safetensors.numpy.save(MOTION_LINES)} if head == "motion" else {}
    return (
        calibration
        | {
            "MODEL_CARD.md": b"# A dummy\n",
            "golden.safetensors": safetensors.numpy.save(golden),
            "model.onnx": onnx,
        }
        | changes
    )


def runnable_bundle(kind: str = "pose", files: Mapping[str, bytes] | None = None, **changes: object) -> Made:
    """A signed bundle that the backend `ort` can run; `changes` replace fields of its manifest."""
    manifest = {
        "id": f"{kind}-app",
        "head": kind,
        "input": input_spec(),
        "output": OUTPUTS[kind],
        "variants": [Variant(backend="ort", file="model.onnx", precision="fp32", targets=[])],
        "golden": Golden(file="golden.safetensors", tolerance={"fp32": 1e-4}),
    }
    return make_bundle(files or files_of(kind), **(manifest | changes))


def motion_bundle(version: str = "1.0.0", *, level: float = 0.0, leaps: float = 0.0, **changes: object) -> Made:
    """A bundle with the head `motion` whose columns are cells.

    Its score is about `level`, and leaps about with whatever the amplitudes do.
    """
    windows = np.random.default_rng(5).uniform(0.5, 1.5, size=(3, 56, FRAMES)).astype(np.float32)
    weight = level / (56 * FRAMES) + np.random.default_rng(11).normal(size=(56 * FRAMES, 1)) * leaps
    weights = {"motion_logits": weight.astype(np.float32)}
    golden = {"window": windows, "motion_logits": windows.reshape(3, -1) @ weights["motion_logits"]}
    files = {"golden.safetensors": safetensors.numpy.save(golden), "model.onnx": linear_model(weights, (56, FRAMES))}
    manifest = {
        "version": version,
        "input": input_spec(**CELLS),
        "requires": Requires(cogd=">=0.1.0", features=["cell-median"]),
        "golden": Golden(file="golden.safetensors", tolerance={"fp32": 1e-3}),
    }
    return runnable_bundle("motion", files_of("motion", **files), **(manifest | changes))


def fake_bundle(
    head: str = "pose", app_id: str | None = None, version: str = "1.2.3", **spec: object
) -> VerifiedBundle:
    """The bundle of a `fake_app`."""
    wanted = input_spec(**spec)
    features = ["cell-median"] if wanted.columns == "cell_median" else []
    return runnable_bundle(
        head,
        id=app_id or f"{head}-app",
        version=version,
        input=wanted,
        requires=Requires(cogd=">=0.1.0", features=features),
    ).verified()


def fake_app(head: str = "pose", app_id: str | None = None, version: str = "1.2.3", **spec: object) -> App:
    """An app whose model is `FakeSession`, found as `app.session`; `spec` changes its input."""
    wanted = input_spec(**spec)
    bundle = fake_bundle(head, app_id, version, **spec)
    window = window_spec(wanted)
    made_head = HEADS[head](OUTPUTS[head], MOTION_LINES if head == "motion" else {})
    return App(
        bundle=bundle,
        backend="fake",
        window=window,
        head=made_head,
        golden_error=0.0,
        golden_tolerance=1e-4,
        model_input=ModelInput(wanted.layout, wanted.gain),
        session=FakeSession(head, wanted.frames),
    )


def frames_of(
    node: str,
    count: int,
    *,
    first: int = 0,
    start_s: float = 100.0,
    rate_hz: float = 20.0,
    origin: Origin = Origin.LIVE,
) -> list[Frame]:
    """Frames of one node, each with bins of its own, that depend on the node and on the frame's number alone."""
    frames = []
    for number in range(first, first + count):
        rng = np.random.default_rng([*node.encode(), number])
        iq = np.zeros((64, 2), np.int8)
        iq[LLTF] = rng.integers(5, 40, size=(len(LLTF), 2))
        time_s = start_s + number / rate_hz
        frames.append(make_frame(iq, time_s=time_s, sequence=number, node=node, origin=origin))
    return frames


def interleaved(*streams: Iterable[Frame]) -> list[Frame]:
    """All streams' frames in the order of their times."""
    return sorted((frame for stream in streams for frame in stream), key=lambda frame: frame.time_s)


def arriving(frames: Iterable[Frame], at_s: float) -> list[Frame]:
    """The same frames, all heard at once."""
    return [msgspec.structs.replace(frame, arrival_s=at_s) for frame in frames]
