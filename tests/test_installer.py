"""Installing a bundle that really runs: verified, judged, proven, switched."""

from __future__ import annotations

import threading

import pytest

from cogd.bundle.changes import changing
from cogd.bundle.load import load_apps
from cogd.bundle.manifest import Variant
from cogd.bundle.store import Store
from cogd.errors import (
    ArchitectureError,
    ConfigError,
    DowngradeError,
    ExpiredError,
    GoldenError,
    LockedError,
    ModelError,
    NothingToRollBackError,
    PluginError,
    UnknownKeyError,
)
from cogd.installer import install, roll_back
from cogd.runtime.loader import LoadLimits
from tests.bundle.apps import install as install_unproven
from tests.bundle.factory import OTHER_KEY, trust
from tests.runtime.factory import files_of, runnable_bundle
from tests.runtime.hostile import hostile_bundle, plugin_folder

NOW_S = 1_800_000_000.0
APP = "pose-app"


def put(apps, made, **options):
    return install(made.verified(), Store(apps), made.trust, **({"now_unix_s": NOW_S, "wait_s": 0.0} | options))


def versions(apps):
    bundles, rejected = load_apps(apps, trust())
    assert rejected == []
    return {app.bundle.manifest.id: app.bundle.manifest.version for app in bundles}


def test_what_was_measured_is_recorded(tmp_path):
    said = []
    result = put(tmp_path, runnable_bundle(), say=said.append)
    assert (result.change, result.previous_version, result.done) == ("first", None, True)
    record = Store(tmp_path).installed(APP)
    assert record == result.record
    assert record.installed_at == int(NOW_S)
    (proof,) = record.proofs
    assert (proof.backend, proof.file, proof.precision, proof.runs) == ("ort", "model.onnx", "fp32", 100)
    assert 0 <= proof.golden_error <= proof.golden_tolerance == 1e-4
    assert 0 < proof.latency_p50_ms <= proof.latency_p90_ms
    assert [text.split()[0] for text in said] == ["proving", "switching"]


def test_upgrade_and_rollback(tmp_path):
    put(tmp_path, runnable_bundle())
    result = put(tmp_path, runnable_bundle(version="2.0.0"))
    assert (result.change, result.previous_version) == ("upgrade", "1.2.3")
    assert versions(tmp_path) == {APP: "2.0.0"}
    back = roll_back(APP, Store(tmp_path), trust(), wait_s=0)
    assert (back.record.version, back.previous_version) == ("1.2.3", "2.0.0")
    assert versions(tmp_path) == {APP: "1.2.3"}
    with pytest.raises(NothingToRollBackError):
        roll_back(APP, Store(tmp_path), trust(), wait_s=0)


def test_a_rehearsal_changes_nothing_at_all(tmp_path):
    result = put(tmp_path / "apps", runnable_bundle(), rehearse=True)
    assert (result.change, result.done, len(result.record.proofs)) == ("first", False, 1)
    assert not (tmp_path / "apps").exists()


def test_the_same_bundle_again_does_nothing_unless_it_is_damaged(tmp_path):
    made = runnable_bundle()
    put(tmp_path, made)
    assert put(tmp_path, made).done is False
    (tmp_path / APP / "current" / "model.onnx").write_bytes(b"")
    again = put(tmp_path, made)
    assert (again.change, again.done) == ("same", True)
    assert versions(tmp_path) == {APP: "1.2.3"}


def test_a_second_signature_on_the_same_bundle_is_taken(tmp_path):
    put(tmp_path, runnable_bundle())
    from tests.bundle.factory import KEY

    both = runnable_bundle(keys=[KEY, OTHER_KEY])
    assert put(tmp_path, both).done is True
    assert len(Store(tmp_path).installed(APP).key_ids) == 2


REFUSED = {
    "model": (
        lambda: runnable_bundle(version="2.0.0", files=files_of("pose") | {"model.onnx": b"not a model"}),
        ModelError,
    ),
    "architecture": (
        lambda: runnable_bundle(
            version="2.0.0", variants=[Variant(backend="ort", file="model.onnx", precision="fp32", targets=["riscv64"])]
        ),
        ArchitectureError,
    ),
    "backend": (
        lambda: runnable_bundle(
            version="2.0.0", variants=[Variant(backend="abacus", file="model.onnx", precision="fp32", targets=[])]
        ),
        PluginError,
    ),
    "expired": (
        lambda: runnable_bundle(version="2.0.0", expires="2026-06-01T00:00:00Z"),
        ExpiredError,
    ),
    "downgrade": (lambda: runnable_bundle(version="1.0.0"), DowngradeError),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_refused_changes_nothing(tmp_path, reason):
    put(tmp_path, runnable_bundle())
    before = sorted(tmp_path.rglob("*"))
    make, kind = REFUSED[reason]
    with pytest.raises(kind):
        put(tmp_path, make())
    assert sorted(tmp_path.rglob("*")) == before
    assert versions(tmp_path) == {APP: "1.2.3"}


def test_every_variant_that_this_device_would_use_must_be_right(tmp_path):
    """The second of two would be run if the first's backend went away: it is proven too."""
    files = files_of("pose")
    wrong = files["model.onnx"].replace(b"Sigmoid", b"Softmax")
    two = [Variant(backend="ort", file=name, precision="fp32", targets=[]) for name in ("model.onnx", "other.onnx")]
    with pytest.raises(GoldenError):
        put(tmp_path, runnable_bundle(files=files | {"other.onnx": wrong}, variants=two))
    good = runnable_bundle(files=files | {"other.onnx": files["model.onnx"]}, variants=two)
    assert [proof.file for proof in put(tmp_path, good).record.proofs] == ["model.onnx", "other.onnx"]


def test_variants_of_other_devices_and_absent_backends_are_not_asked(tmp_path):
    variants = [
        Variant(backend="abacus", file="model.onnx", precision="fp32", targets=[]),
        Variant(backend="ort", file="elsewhere.onnx", precision="fp32", targets=["riscv64"]),
        Variant(backend="ort", file="model.onnx", precision="fp32", targets=["cpu"]),
    ]
    made = runnable_bundle(files=files_of("pose") | {"elsewhere.onnx": b"not a model"}, variants=variants)
    assert [proof.file for proof in put(tmp_path, made).record.proofs] == ["model.onnx"]


def test_a_bad_config_is_refused_with_its_key(tmp_path):
    put(tmp_path, runnable_bundle())
    (tmp_path / APP / "config.json").write_text('{"min_confidence": 2}')
    with pytest.raises(ConfigError, match="min_confidence"):
        put(tmp_path, runnable_bundle(version="2.0.0"))


def test_a_rollback_verifies_and_proves_again(tmp_path):
    put(tmp_path, runnable_bundle())
    put(tmp_path, runnable_bundle(version="2.0.0"))
    with pytest.raises(UnknownKeyError):
        roll_back(APP, Store(tmp_path), trust(OTHER_KEY), wait_s=0)
    assert versions(tmp_path) == {APP: "2.0.0"}


def test_judged_again_after_waiting(tmp_path):
    """Another installation came first: the older of the two is refused, and not put over the newer."""
    put(tmp_path, runnable_bundle())
    newer_is_in = threading.Event()

    def say(text):
        if text.startswith("proving"):
            put(tmp_path, runnable_bundle(version="3.0.0"))
            newer_is_in.set()

    with pytest.raises(DowngradeError, match=r"3\.0\.0 was installed before"):
        put(tmp_path, runnable_bundle(version="2.0.0"), say=say)
    assert newer_is_in.is_set()
    assert versions(tmp_path) == {APP: "3.0.0"}


def test_while_another_changes(tmp_path):
    put(tmp_path, runnable_bundle())
    with changing(Store(tmp_path), 0), pytest.raises(LockedError):
        put(tmp_path, runnable_bundle(version="2.0.0"))


@pytest.fixture
def hostile(tmp_path_factory, monkeypatch):
    monkeypatch.syspath_prepend(str(plugin_folder(tmp_path_factory.mktemp("plugins") / "hostile")))


def test_a_model_that_crashes_is_refused_and_changes_nothing(tmp_path, hostile):
    put(tmp_path, runnable_bundle())
    with pytest.raises(ModelError, match="SIGSEGV"):
        put(tmp_path, hostile_bundle("run-segfault", version="2.0.0"))
    with pytest.raises(ModelError, match="SIGABRT"):
        put(tmp_path, hostile_bundle("load-abort", version="2.0.0"), rehearse=True)
    assert versions(tmp_path) == {APP: "1.2.3"}


def test_a_rollback_holds_no_lock_while_it_checks(tmp_path, hostile):
    install_unproven(tmp_path, hostile_bundle("run-loop"))
    install_unproven(tmp_path, runnable_bundle(version="2.0.0"))
    proving, ended = threading.Event(), []

    def go_back():
        try:
            limits, say = LoadLimits(wall_s=3.0), lambda _: proving.set()
            roll_back(APP, Store(tmp_path), trust(), wait_s=0, limits=limits, say=say)
        except ModelError as error:
            ended.append(str(error))

    thread = threading.Thread(target=go_back)
    thread.start()
    assert proving.wait(10)
    with changing(Store(tmp_path), 0):
        assert not ended
    thread.join(20)
    assert ended == [f"{APP}: was not loaded within 3 s"]
    assert versions(tmp_path) == {APP: "2.0.0"}


def test_a_rollback_checks_what_another_change_has_put_in_the_place(tmp_path):
    for version in ("1.0.0", "2.0.0"):
        put(tmp_path, runnable_bundle(version=version))
    checked = []

    def say(text):
        if text.startswith("proving"):
            checked.append(text.split()[2])
            if len(checked) == 1:
                install_unproven(tmp_path, runnable_bundle(version="3.0.0"))

    roll_back(APP, Store(tmp_path), trust(), wait_s=0, say=say)
    assert checked == ["1.0.0", "2.0.0"]
    assert versions(tmp_path) == {APP: "2.0.0"}
