"""The head of docs/plugins.md, written to files as it stands there, is loaded, checked, run and combined."""

import re
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors.numpy

from cogd.bundle.manifest import OutputSpec, Tensor
from cogd.errors import ManifestError
from cogd.events import Emitter
from cogd.events.registry import known_events
from cogd.heads.registry import head_class
from cogd.heads.rules import find_check
from cogd.runtime.app import load_app
from cogd.runtime.combining import Combining
from tests.backends.onnx_bytes import linear_model
from tests.runtime.factory import FRAMES, files_of, runnable_bundle, some_windows
from tests.sources.conftest import FakeClock

from .factory import POSE, contexts

DOC = Path(__file__).parents[2] / "docs" / "plugins.md"
OUTPUT = OutputSpec(
    tensors=[Tensor(name="rate_hz", shape=[1])],
    labels=[],
    trained_classes=None,
    confidence="none",
    calibration=None,
    confidence_note="",
)


@pytest.fixture
def breath(tmp_path, monkeypatch):
    text = DOC.read_text(encoding="utf-8")
    files = dict(re.findall(r"^`(breath_head/\w+\.py)`:[^`]*```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    assert set(files) == {"breath_head/events.py", "breath_head/rules.py", "breath_head/head.py"}
    (entry,) = re.findall(r'^breath = "(.*)"$', text, re.MULTILINE)
    info = tmp_path / "breath_head-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: breath-head\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[cogd.heads]\nbreath = {entry}\n")
    for name, code in {"breath_head/__init__.py": "", **files}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "breath_head"]:
        del sys.modules[name]


def breath_app():
    """An app of the head whose model sums its input."""
    windows = some_windows()
    weights = {"rate_hz": np.full((56 * FRAMES, 1), 1 / (56 * FRAMES), np.float32)}
    rms = np.sqrt(np.mean(np.square(windows, dtype=np.float64), axis=(1, 2), keepdims=True))
    golden = {"window": windows, "rate_hz": (windows / rms).reshape(3, -1).astype(np.float32) @ weights["rate_hz"]}
    files = {"golden.safetensors": safetensors.numpy.save(golden), "model.onnx": linear_model(weights, (56, FRAMES))}
    made = runnable_bundle("pose", files_of("pose", **files), id="breath-app", head="breath", output=OUTPUT)
    return load_app(made.verified())


def test_its_rules_are_found_and_need_no_head(breath):
    check = find_check("breath")
    check(OUTPUT, {})
    assert "breath_head.head" not in sys.modules
    for call in (check, head_class("breath")):
        with pytest.raises(ManifestError, match="wants one output `rate_hz`"):
            call(POSE, {})


def test_its_events_are_known(breath):
    assert {"breath", "breath.room"} <= known_events().keys()


def test_an_app_of_it_is_loaded_read_and_combined(breath):
    app, emitted = breath_app(), []
    readings = app.head.read(app.infer(some_windows()), contexts(3))
    assert [reading.fields.node for reading in readings] == ["a/0", "a/1", "a/2"]
    combining = Combining(Emitter(FakeClock(), emitted.append))
    for reading in readings:
        fields = msgspec.structs.replace(reading.fields, digest="sha256:1", time=1000.0)
        combining.observe(type(reading)(fields), app, True)
    combining.observe(type(reading)(fields), app, True)
    assert [event.event for event in emitted] == ["breath.room"]
    (room,) = (event.fields for event in emitted)
    assert (room.nodes, room.source, room.app) == (["a/0", "a/1", "a/2"], "a", "an-app")
    assert room.rate_hz == pytest.approx(np.median([reading.fields.rate_hz for reading in readings]))
