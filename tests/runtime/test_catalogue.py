"""The real catalogue of apps, on a real apps directory."""

import contextlib
import os

import pytest

from cogd.bundle.changes import changing
from cogd.bundle.store import Store
from cogd.errors import LockedError, ModelError, NothingToRollBackError, UnknownKeyError
from cogd.runtime import catalogue as module
from cogd.runtime.catalogue import AppsCatalogue
from cogd.runtime.crashes import CrashMemory
from tests.bundle.apps import install, installed
from tests.bundle.factory import KEY, OTHER_KEY, trust

from .factory import runnable_bundle

APP = "pose-app"


@pytest.fixture
def apps(tmp_path):
    installed(tmp_path / "apps", runnable_bundle())
    return tmp_path / "apps"


def test_scan_and_load(apps):
    (apps / APP / "config.json").write_text('{"min_confidence": 0.25}')
    installed(apps, runnable_bundle("count", keys=[OTHER_KEY]))
    catalogue = AppsCatalogue(apps, trust)
    (bundle,), (rejected,) = catalogue.scan()
    assert (rejected.id, rejected.path, type(rejected.error)) == ("count-app", str(apps / "count-app"), UnknownKeyError)
    app = catalogue.load(bundle)
    assert (app.id, app.min_confidence) == (APP, 0.25)


def test_the_keys_are_read_anew(apps):
    keys = [KEY]
    catalogue = AppsCatalogue(apps, lambda: trust(*keys))
    assert len(catalogue.scan()[0]) == 1
    keys[:] = [OTHER_KEY]
    assert catalogue.scan()[0] == []


def test_archives_are_run_as_they_are(tmp_path):
    path = runnable_bundle().save(tmp_path / "pose.tar")
    (tmp_path / "bad.tar").write_bytes(b"")
    catalogue = AppsCatalogue(tmp_path, trust, archives=[path, tmp_path / "bad.tar"])
    (bundle,), (rejected,) = catalogue.scan()
    assert (catalogue.load(bundle).id, rejected.id) == (APP, "bad")
    catalogue.collect()
    assert sorted(os.listdir(tmp_path)) == ["bad.tar", "pose.tar"]


def test_take_back(apps):
    catalogue, store = AppsCatalogue(apps, trust), Store(apps)
    newer = runnable_bundle(version="2.0.0")
    install(apps, newer)
    catalogue.take_back(APP, "sha256:another")
    assert store.installed(APP).version == "2.0.0"
    catalogue.take_back(APP, newer.verified().digest)
    assert store.installed(APP).version == "1.2.3"
    with pytest.raises(NothingToRollBackError):
        catalogue.take_back(APP, store.installed(APP).digest)
    catalogue.take_back("nobody", "sha256:0")


def test_collect_clears_left_overs_unless_somebody_is_installing(apps, monkeypatch):
    left = apps / ".cogd" / "staging" / "new"
    left.mkdir()
    catalogue = AppsCatalogue(apps, trust)
    with changing(Store(apps), 0):
        left.mkdir()
        catalogue.collect()
        assert left.exists()
        monkeypatch.setattr(module, "_LOCK_WAIT_S", 0.0)
        with pytest.raises(LockedError):
            catalogue.take_back(APP, "sha256:0")
    catalogue.collect()
    assert not left.exists()
    AppsCatalogue(apps / "missing", trust).collect()
    assert not (apps / "missing").exists()


def test_collect_where_this_user_may_not_write(open_path, ordinary_user):
    installed(open_path / "apps", runnable_bundle())
    with ordinary_user():
        AppsCatalogue(open_path / "apps", trust).collect()


def test_what_needs_a_trial(apps):
    catalogue, store = AppsCatalogue(apps, trust), Store(apps)
    old, new = runnable_bundle().verified(), runnable_bundle(version="2.0.0").verified()
    install(apps, runnable_bundle(version="2.0.0"))
    assert catalogue.needs_trial(new)
    with changing(store, 0) as changes:
        changes.roll_back(APP)
    assert not catalogue.needs_trial(old)  # somebody has decided
    install(apps, runnable_bundle(version="2.0.0"))
    catalogue.note_proven(APP, new.digest)
    assert not catalogue.needs_trial(new)
    (apps / APP / "current" / ".install.json").write_bytes(b"")
    assert catalogue.needs_trial(new)


def test_what_daemons_have_died_over_is_not_loaded(apps, tmp_path):
    digest = runnable_bundle().verified().digest
    for _ in range(3):
        crashes = CrashMemory(tmp_path / "crashes.json", "a boot")
        with contextlib.suppress(SystemExit), crashes.running([digest]):
            with crashes.loading(digest):
                os.replace(tmp_path / "crashes.json", tmp_path / "kept")
            raise SystemExit
        os.replace(tmp_path / "kept", tmp_path / "crashes.json")  # as if the process had died there
    crashes = CrashMemory(tmp_path / "crashes.json", "a boot")
    catalogue = AppsCatalogue(apps, trust, crashes=crashes)
    (bundle,), _ = catalogue.scan()
    with (
        crashes.running(catalogue.digests()),
        pytest.raises(ModelError, match=r"pose-app 1\.2\.3: is left out: 3 starts"),
    ):
        catalogue.load(bundle)


def test_digests_are_those_to_suspect_first(apps):
    digest = {version: runnable_bundle(version=version).verified().digest for version in ("1.2.3", "2.0.0")}
    count = runnable_bundle("count")
    installed(apps, count)
    catalogue = AppsCatalogue(apps, trust)
    assert set(catalogue.digests()) == {digest["1.2.3"], count.verified().digest}
    install(apps, runnable_bundle(version="2.0.0"))
    assert catalogue.digests()[0] == digest["2.0.0"]
    assert set(catalogue.digests()) == {*digest.values(), count.verified().digest}
    catalogue.note_proven(APP, digest["2.0.0"])
    assert set(catalogue.digests()) == {digest["2.0.0"], count.verified().digest}


def test_a_daemon_begins_with_the_last_good_version(apps):
    catalogue = AppsCatalogue(apps, trust)
    assert [bundle.manifest.version for bundle in catalogue.scan_first()[0]] == ["1.2.3"]
    assert not catalogue.on_trial
    for version in ("2.0.0", "3.0.0"):
        install(apps, runnable_bundle(version=version))
    assert [bundle.manifest.version for bundle in catalogue.scan_first()[0]] == ["1.2.3"]
    assert catalogue.on_trial
    catalogue.take_back(APP, runnable_bundle(version="3.0.0").verified().digest)
    assert Store(apps).installed(APP).version == "1.2.3"


def test_trust_in_what_runs(apps):
    keys = [KEY]
    catalogue = AppsCatalogue(apps, lambda: trust(*keys))
    bundle = runnable_bundle().verified()
    catalogue.check_trust(bundle)
    keys[:] = [OTHER_KEY]
    with pytest.raises(UnknownKeyError):
        catalogue.check_trust(bundle)
