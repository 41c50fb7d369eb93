"""Loading an app: whatever it does, it alone is rejected, in time, and the others run."""

import asyncio
import sys
import threading
import time

import pytest

from cogd.cli.common import load_all
from cogd.errors import DigestError, ManifestError, ModelError
from cogd.runtime.app import load_app
from cogd.runtime.catalogue import AppsCatalogue
from cogd.runtime.loader import Load, LoadLimits, load_aside
from tests.backends.onnx_bytes import graph, model, node, value_info
from tests.bundle.apps import installed
from tests.bundle.factory import trust

from .factory import FRAMES, files_of, runnable_bundle, some_windows
from .hostile import hostile_bundle, plugin_folder

SHORT = LoadLimits(wall_s=0.5)


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """The hostile distribution, installed in this process."""
    monkeypatch.syspath_prepend(str(plugin_folder(tmp_path / "hostile")))
    yield
    sys.modules.pop("hostile_backends", None)


def refused_model() -> bytes:
    """A model whose only operator no runtime knows."""
    shape = ("batch", 56, FRAMES)
    nodes = [node("NoSuchOperator", ("x",), "keypoints")]
    return model(graph(nodes, [], [value_info("x", shape)], [value_info("keypoints", ("batch", 34))]))


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("run-memory", r"pose-app: the backend run-memory ran out of memory: std::bad_alloc"),
        ("load-memory", r"pose-app: the backend load-memory ran out of memory"),
        ("run-key", r"pose-app: the backend run-key failed: KeyError: 'keypoints'"),
        ("run-exit", r"pose-app: the backend run-exit failed: SystemExit: 3"),
    ],
)
def test_a_backend_that_raises_is_the_rejection_of_its_app(hostile, backend, message):
    with pytest.raises(ModelError, match=message):
        load_app(hostile_bundle(backend).verified())


def test_the_next_variant_is_taken_where_the_first_raises(hostile):
    bad, good = hostile_bundle("run-memory").verified(), runnable_bundle().verified()
    variants = [*bad.manifest.variants, *good.manifest.variants]
    assert load_app(runnable_bundle(variants=variants).verified()).backend == "ort"


def test_a_head_that_raises_is_the_rejection_of_its_app(monkeypatch):
    class Head:
        def __init__(self, output, calibration):
            raise IndexError("no such tensor")

    monkeypatch.setitem(load_app.__globals__, "head_class", lambda name: Head)
    with pytest.raises(ModelError, match="the head pose failed: IndexError: no such tensor"):
        load_app(runnable_bundle().verified())


def test_outputs_that_are_missing_or_of_another_shape_are_no_key_error(monkeypatch):
    app = load_app(runnable_bundle().verified())
    for outputs in ({}, {"keypoints": app.infer(some_windows())["keypoints"][:1]}):
        monkeypatch.setattr(app.session, "run", lambda batch, given=outputs: given)
        with pytest.raises(ModelError, match="did not deliver keypoints"):
            app.reproduce()


def test_every_other_app_is_loaded(tmp_path, hostile):
    apps = tmp_path / "apps"
    installed(apps, runnable_bundle("count"))
    installed(apps, hostile_bundle("run-memory"))
    installed(apps, runnable_bundle("motion"))
    loaded, rejected = load_all(AppsCatalogue(apps, trust), for_daemon=True)
    assert [app.id for app in loaded] == ["count-app", "motion-app"]
    assert [(item.id, item.error.code) for item in rejected] == [("pose-app", "bad-model")]


def test_a_refused_operator_leaves_the_others(tmp_path):
    apps = tmp_path / "apps"
    installed(apps, runnable_bundle("count"))
    installed(apps, runnable_bundle("pose", files_of("pose", **{"model.onnx": refused_model()})))
    loaded, rejected = load_all(AppsCatalogue(apps, trust))
    assert [app.id for app in loaded] == ["count-app"]
    assert [item.error.code for item in rejected] == ["bad-model"]


def test_an_app_that_does_not_end_is_left_behind_and_the_others_are_loaded(tmp_path, hostile):
    apps = tmp_path / "apps"
    installed(apps, runnable_bundle("count"))
    installed(apps, hostile_bundle("run-loop"))
    started_s = time.monotonic()
    loaded, rejected = load_all(AppsCatalogue(apps, trust, limits=SHORT))
    assert time.monotonic() - started_s < 5
    assert [app.id for app in loaded] == ["count-app"]
    (item,) = rejected
    assert (item.id, str(item.error)) == ("pose-app", "pose-app: was not loaded within 0.5 s")
    assert "loops" in item.error.hint


@pytest.mark.parametrize("error", [DigestError("a byte is wrong"), ManifestError("no golden pair")])
async def test_typed_errors_pass_as_they_are(error):
    def fail():
        raise error

    with pytest.raises(type(error)) as raised:
        Load("pose-app", fail).result()
    assert raised.value is error
    with pytest.raises(type(error)) as raised:
        await load_aside("pose-app", fail)
    assert raised.value is error


async def test_the_event_loop_goes_on_while_an_app_does_not_end():
    gate, ticks = threading.Event(), 0
    loading = asyncio.create_task(load_aside("pose-app", gate.wait, SHORT))
    while not loading.done():
        ticks += 1
        await asyncio.sleep(0.01)
    with pytest.raises(ModelError, match=r"not loaded within 0\.5 s"):
        await loading
    assert ticks > 20
    gate.set()


class TestTheStartOfADaemon:
    def load(self, apps, limits):
        catalogue = AppsCatalogue(apps, trust, limits=limits)
        started_s = time.monotonic()
        loaded, rejected = load_all(catalogue, for_daemon=True)
        took_s = time.monotonic() - started_s
        return catalogue, took_s, [app.id for app in loaded], [str(item.error) for item in rejected]

    def test_waits_for_an_app_that_does_not_end_only_while_no_other_is_loaded(self, tmp_path, hostile):
        apps = tmp_path / "apps"
        installed(apps, hostile_bundle("run-loop", id="a-loop"))
        installed(apps, runnable_bundle("count"))
        catalogue, took_s, loaded, rejected = self.load(apps, LoadLimits(wall_s=60.0, patience_s=0.3))
        assert took_s < 30
        assert (loaded, rejected, catalogue.unfinished) == (["count-app"], [], True)

    def test_what_was_still_loading_is_taken_up_by_the_reload_and_not_loaded_twice(self, tmp_path, hostile):
        apps = tmp_path / "apps"
        installed(apps, hostile_bundle("run-loop", id="a-loop"))
        installed(apps, runnable_bundle("count"))
        threads = threading.active_count()
        catalogue, *_ = self.load(apps, LoadLimits(wall_s=3.0, patience_s=0.3))
        (stuck, _), _ = catalogue.scan()
        for _ in range(3):  # late once, and then at once
            with pytest.raises(ModelError, match="was not loaded within 3 s"):
                catalogue.load(stuck)
        assert threading.active_count() <= threads + 1

    def test_an_app_alone_is_waited_for(self, tmp_path, hostile):
        apps = tmp_path / "apps"
        installed(apps, hostile_bundle("run-loop"))
        catalogue, _, loaded, rejected = self.load(apps, LoadLimits(wall_s=1.0, patience_s=0.01))
        assert (loaded, rejected, catalogue.unfinished) == ([], ["pose-app: was not loaded within 1 s"], False)
