"""verify, manifest, health, config and version on real little bundles."""

import json

import numpy as np
import pytest
import safetensors.numpy

import cogd as package
from cogd.bundle.keys import save_public
from cogd.settings import Settings
from tests.bundle.factory import KEY, OTHER_KEY
from tests.runtime.factory import files_of, golden_tensors, runnable_bundle, some_windows


def wrong_golden(kind: str = "pose") -> dict[str, bytes]:
    """Files of a bundle that no backend can reproduce."""
    tensors = golden_tensors(kind, some_windows())
    tensors["keypoints"] = tensors["keypoints"] + np.float32(0.5)
    return files_of(kind, **{"golden.safetensors": safetensors.numpy.save(tensors)})


def lines(result) -> list[dict]:
    return [json.loads(line) for line in result.out.splitlines()]


def test_version_prints_the_packages_version(cogd):
    assert cogd("version").out == f"cogd {package.__version__}\n"


class TestVerify:
    def test_says_what_a_good_bundle_is(self, cogd, home):
        path = home.install("pose", version="2.0.1")
        result = cogd("verify", path, "--trust-dir", home.trust)
        assert result.status == 0
        assert "pose-app 2.0.1: signature and 3 files are good" in result.out
        assert KEY.public.key_id in result.out
        assert result.err == ""

    def test_says_the_same_to_machines(self, cogd, home):
        path = home.install("pose", version="2.0.1")
        facts = json.loads(cogd("verify", path, "--trust-dir", home.trust, "--json").out)
        bundle = runnable_bundle("pose", version="2.0.1").verified()
        assert facts["digest"] == bundle.digest
        assert (facts["id"], facts["version"], facts["head"]) == ("pose-app", "2.0.1", "pose")
        assert facts["key_ids"] == [KEY.public.key_id]
        assert facts["files"] == {name: len(data) for name, data in bundle.files.items()}

    def test_reads_an_unpacked_app_too(self, cogd, home, tmp_path):
        folder = runnable_bundle().unpack(tmp_path / "pose-app")
        assert cogd("verify", folder, "--trust-dir", home.trust).status == 0

    def test_takes_a_key_from_a_file(self, cogd, home, tmp_path):
        path = runnable_bundle(keys=[OTHER_KEY]).save(tmp_path / "b.tar")
        save_public(tmp_path / "other.pub", OTHER_KEY.public)
        assert cogd("verify", path, "--trust-dir", home.trust).status == 14
        assert cogd("verify", path, "--trust-dir", home.trust, "--trust", tmp_path / "other.pub").status == 0

    def test_refuses_a_changed_file_with_its_own_status(self, cogd, home, tmp_path):
        folder = runnable_bundle().unpack(tmp_path / "pose-app")
        model = folder / "model.onnx"
        model.write_bytes(model.read_bytes()[:-1] + b"\x00")
        result = cogd("verify", folder, "--trust-dir", home.trust)
        assert (result.status, result.out) == (15, "")
        assert "bad-digest: model.onnx" in result.err

    def test_refuses_what_is_no_bundle(self, cogd, home, tmp_path):
        (tmp_path / "x.tar").write_bytes(b"nothing")
        assert cogd("verify", tmp_path / "x.tar", "--trust-dir", home.trust).status == 11
        assert cogd("verify", tmp_path / "absent.tar", "--trust-dir", home.trust).status == 11

    def test_refuses_a_key_file_that_is_none(self, cogd, home, tmp_path):
        path = home.install()
        (tmp_path / "bad.pub").write_text("not a key")
        assert cogd("verify", path, "--trust-dir", home.trust, "--trust", tmp_path / "bad.pub").status == 19


class TestManifest:
    def test_prints_the_exact_signed_bytes(self, cogd, home):
        home.install("pose")
        home.install("count")
        result = cogd("manifest", "count-app", *home.flags)
        assert result.status == 0
        assert result.out.encode() == runnable_bundle("count").members["bundle.json"]

    def test_of_an_unknown_app_tells_the_known_ones(self, cogd, home):
        home.install("pose")
        result = cogd("manifest", "tarot", *home.flags)
        assert (result.status, result.out) == (21, "")
        assert "there are: pose-app" in result.err

    def test_of_a_refused_app_tells_why(self, cogd, home):
        home.install("pose", keys=[OTHER_KEY])
        result = cogd("manifest", "pose-app", *home.flags)
        assert (result.status, result.out) == (14, "")


class TestHealth:
    def test_of_good_apps_is_ok_for_each(self, cogd, home):
        home.install("pose")
        home.install("count")
        result = cogd("health", *home.flags)
        assert result.status == 0
        assert [(line["event"], line["fields"]["app"]) for line in lines(result)] == [
            ("health.ok", "count-app"),
            ("health.ok", "pose-app"),
        ]
        for line in lines(result):
            assert 0 <= line["fields"]["golden_error"] <= line["fields"]["golden_tolerance"] == 1e-4
            assert line["fields"]["backend"] == "ort"

    def test_of_one_app_leaves_the_others_out(self, cogd, home):
        home.install("pose")
        home.install("count", files=files_of("count", **{"model.onnx": b"broken"}))
        assert cogd("health", "pose-app", *home.flags).status == 0
        result = cogd("health", "count-app", *home.flags)
        assert result.status == 1
        assert [line["fields"]["code"] for line in lines(result)] == ["bad-model"]

    def test_fails_where_one_of_several_does_and_tells_all(self, cogd, home):
        home.install("pose", files=wrong_golden())
        home.install("count")
        result = cogd("health", *home.flags)
        assert result.status == 1
        ok, failed = lines(result)
        assert (ok["event"], failed["event"]) == ("health.ok", "health.failed")
        assert failed["fields"]["code"] == "golden-mismatch"
        assert failed["level"] == "error"
        assert failed["fields"]["hint"]

    def test_fails_where_there_is_no_app(self, cogd, home):
        result = cogd("health", *home.flags)
        assert result.status == 1
        assert [line["fields"]["code"] for line in lines(result)] == ["no-app"]

    def test_of_an_app_that_is_not_there_is_not_anothers(self, cogd, home):
        """Part of another's name, or of the folder's path, does not make it the one."""
        home.install("count", keys=[OTHER_KEY])
        for absent in ("count", "app", "apps"):
            result = cogd("health", absent, *home.flags)
            assert result.status == 1
            assert [line["fields"]["code"] for line in lines(result)] == ["no-app"], absent

    def test_of_a_refused_app_tells_why(self, cogd, home):
        home.install("count", keys=[OTHER_KEY])
        result = cogd("health", "count-app", *home.flags)
        assert [line["fields"]["code"] for line in lines(result)] == ["unknown-key"]


class TestConfigShow:
    def test_prints_every_setting_with_its_origin(self, cogd, tmp_path, monkeypatch):
        file = tmp_path / "cogd.toml"
        file.write_text('tick_ms = 50\nsources = ["udp://0.0.0.0:1", "sim:"]\n')
        monkeypatch.setenv("COGD_FROZEN_AFTER", "7")
        result = cogd("config", "show", "--config", file, "--apps-dir", "/a", "--json")
        shown = json.loads(result.out)
        assert set(shown) == set(Settings.model_fields)
        assert shown["tick_ms"] == {"value": 50, "origin": f"file {file}"}
        assert shown["sources"] == {"value": ["udp://0.0.0.0:1", "sim:"], "origin": f"file {file}"}
        assert shown["frozen_after"] == {"value": 7, "origin": "environment COGD_FROZEN_AFTER"}
        assert shown["apps_dir"] == {"value": "/a", "origin": "flag"}
        assert shown["max_pending"]["origin"] == "default"

    def test_prints_one_line_a_setting_for_people(self, cogd):
        printed = cogd("config", "show").out.splitlines()
        assert [line.split()[0] for line in printed] == list(Settings.model_fields)
        assert next(line for line in printed if line.startswith("http_token_file")).split() == [
            "http_token_file", "-", "default",
        ]  # fmt: skip

    def test_takes_the_flags_that_run_takes(self, cogd):
        shown = json.loads(
            cogd("config", "show", "--json", "--tick-ms", "80", "--source", "sim:", "--source", "udp:").out
        )
        assert shown["tick_ms"] == {"value": 80, "origin": "flag"}
        assert shown["sources"] == {"value": ["sim:", "udp:"], "origin": "flag"}

    def test_tells_what_the_demo_sets(self, cogd, monkeypatch):
        monkeypatch.setenv("COGD_SOURCES", "udp://0.0.0.0:1")
        shown = json.loads(cogd("config", "show", "--json", "--demo").out)
        assert shown["sources"]["origin"] == shown["apps_dir"]["origin"] == "flag --demo"

    @pytest.mark.parametrize("words", [["--tick-ms", "fast"], ["--config", "/no/such/file"], ["--absent-after-s", "1"]])
    def test_ends_with_2_and_a_hint_where_a_setting_is_wrong(self, words, cogd):
        result = cogd("config", "show", *words)
        assert (result.status, result.out) == (2, "")
        assert result.err.startswith("cogd: config: ")
        assert "\ncogd: hint: " in result.err
