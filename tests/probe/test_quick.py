"""The quick way: what it imports, that it says what the ordinary way says, and when it gives up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import safetensors.numpy

from cogd import demo
from cogd.bundle import verify
from cogd.bundle.keys import save_public
from cogd.bundle.manifest import OutputSpec, Requires, Variant
from cogd.bundle.revocation import encode_revocation
from cogd.bundle.trust import TrustStore
from cogd.probe import golden, ort, quick
from cogd.probe.not_quick import NotQuick
from cogd.runtime import app as app_module
from tests.backends.onnx_bytes import linear_model
from tests.bundle.apps import installed
from tests.bundle.factory import KEY, OTHER_KEY, revocation
from tests.heads.distribution import write_distribution
from tests.runtime.factory import COUNT, MOTION, files_of, input_spec, motion_bundle, some_windows, weights_of

BIN = Path(sys.executable).parent
DEAR = {
    "argparse", "asyncio", "cffi", "dataclasses", "email", "importlib.metadata", "inspect", "logging", "msgspec",
    "nacl.bindings", "numpy", "onnxruntime", "pathlib", "pydantic", "pydantic_core", "pydantic_settings",
    "safetensors", "selectors", "socket", "structlog", "threading", "typing",
}  # fmt: skip
"""What the quick way must not wait for."""


def events(result) -> list[dict]:
    return [json.loads(line) for line in result.out.splitlines()]


def judged(result) -> tuple:
    """What a result says but for when, how and how long."""
    said = events(result)
    for event in said:
        del event["ts"]
        for name in ("way", "fallback_reason", "golden_ms"):
            event["fields"].pop(name, None)
    return result.status, said, result.err


def both_ways(cogd, *words):
    """The answer, and the ordinary one."""
    quickly, ordinary = cogd("health", *words), cogd("health", *words, "--ordinary")
    assert {event["fields"]["way"] for event in events(ordinary)} <= {"ordinary"}
    assert not any(event["fields"]["fallback_reason"] for event in events(ordinary))
    return quickly, ordinary


def ways(result) -> set[tuple[str, bool]]:
    """The ways that were taken, each with whether a reason is given."""
    return {(e["fields"]["way"], e["fields"]["fallback_reason"] is not None) for e in events(result)}


QUICK, FELL_BACK = {("c-api", False)}, {("ordinary", True)}


def imported_by(*words: str) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    code = (
        "import sys\nfrom cogd.cli import main\n"
        "status = main(sys.argv[1:])\nprint(*sys.modules, file=sys.stderr)\nsys.exit(status)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COGD_", "COV_"))}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, capture_output=True, check=False, text=True
    )
    return set(done.stderr.split()), done


class TestWhatIsImported:
    def before(self) -> set[str]:
        """What the environment's own .pth files import, such as an editable installation's."""
        code = "import sys; print(*sys.modules)"
        return set(
            subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
        )

    def test_the_quick_way_does_without_what_is_dear(self):
        modules, done = imported_by("health", "--demo")
        assert done.returncode == 0
        assert {json.loads(line)["fields"]["way"] for line in done.stdout.splitlines()} == {"c-api"}
        assert not (modules - self.before()) & DEAR
        assert "cogd.probe.quick" in modules

    def test_asking_a_daemon_needs_next_to_nothing(self):
        code = (
            "import sys\nfrom cogd.probe.options import read_words\nfrom cogd.probe import live\n"
            "before = set(sys.modules)\nprint(*sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
        assert not (set(done.stdout.split()) - self.before()) & (DEAR | {"re", "json", "ctypes", "cogd.errors"})

    def test_other_verbs_do_not_import_the_probe(self):
        modules, done = imported_by("version")
        assert done.returncode == 0
        assert not {name for name in modules if name.startswith("cogd.probe")}


class TestHealthyApps:
    def test_both_ways_say_the_same_of_the_packaged_ones(self, cogd):
        quickly, ordinary = both_ways(cogd, "--demo")
        assert ways(quickly) == QUICK
        assert quickly.status == ordinary.status == 0
        for one, other in zip(events(quickly), events(ordinary), strict=True):
            assert [*one] == [*other]
            assert [*one["fields"]] == [*other["fields"]]
            for name in ("app", "version", "digest", "backend", "golden_tolerance"):
                assert one["fields"][name] == other["fields"][name]
            rounding = one["fields"]["golden_tolerance"] / 4  # the last bit of the gain makes a tenth of it
            assert one["fields"]["golden_error"] == pytest.approx(other["fields"]["golden_error"], abs=rounding)
            assert one["fields"]["golden_ms"] > 0 < other["fields"]["golden_ms"]

    @pytest.mark.parametrize("kind", ["pose", "count"])
    def test_both_ways_say_the_same_of_an_installed_one(self, cogd, home, kind):
        home.install(kind)
        quickly, ordinary = both_ways(cogd, *home.flags)
        assert ways(quickly) == QUICK
        assert quickly.status == ordinary.status == 0

    def test_both_ways_say_the_same_of_one_whose_columns_are_cells(self, cogd, home):
        installed(home.apps, motion_bundle())
        quickly, ordinary = both_ways(cogd, *home.flags)
        assert ways(quickly) == QUICK
        assert quickly.status == ordinary.status == 0

    def test_with_a_calibration_for_several_nodes_it_goes_quickly_too(self, cogd, home):
        home.install("count", **calibrated(fused_slope=1.0, fused_offset=0.5))
        quickly, ordinary = both_ways(cogd, *home.flags)
        assert (quickly.status, ordinary.status, ways(quickly)) == (0, 0, QUICK)

    def test_of_two_apps_the_one_that_is_named_is_proven(self, cogd, home):
        home.install("pose")
        home.install("count", files=files_of("count", **{"model.onnx": b"broken"}))
        result = cogd("health", "pose-app", *home.flags)
        assert (result.status, ways(result)) == (0, QUICK)

    def test_with_a_normaliser_and_a_calibration_it_goes_quickly_too(self, cogd, home):
        home.install("count", **calibrated())
        quickly, ordinary = both_ways(cogd, *home.flags)
        assert (quickly.status, ordinary.status, ways(quickly)) == (0, 0, QUICK)

    @pytest.mark.parametrize("config", ['{"min_confidence": 0.25}', '{\n  "min_confidence": 1\n}\n', None])
    def test_with_a_plain_config_or_none_it_goes_quickly(self, cogd, home, config):
        path = home.install() / "config.json"
        path.unlink() if config is None else path.write_text(config)
        assert ways(cogd("health", *home.flags)) == QUICK

    def test_a_threshold_and_a_rotation_are_obeyed(self, cogd, home):
        home.install(keys=[KEY, OTHER_KEY])
        (home.trust / "threshold").write_text("2\n")
        result = cogd("health", *home.flags)
        assert (result.status, ways(result), events(result)[0]["fields"]["code"]) == (1, FELL_BACK, "threshold")
        save_public(home.trust / "other.pub", OTHER_KEY.public)
        result = cogd("health", *home.flags)
        assert (result.status, ways(result)) == (0, QUICK)


def calibrated(**calibration: float) -> dict:
    """Changes of a bundle that give it a normaliser that does nothing and a calibration."""
    values = {"temperature": 1.5, "slope": 1.0, "offset": 0.0} | calibration
    tensors = {name: np.asarray([value], np.float32) for name, value in values.items()}
    files = files_of(
        "count",
        **{
            "n.safetensors": safetensors.numpy.save({"mean": np.zeros(56, np.float32), "std": np.ones(56, np.float32)}),
            "c.safetensors": safetensors.numpy.save(tensors),
        },
    )
    output = OutputSpec(
        tensors=COUNT.tensors,
        labels=COUNT.labels,
        trained_classes=COUNT.trained_classes,
        confidence="platt",
        calibration="c.safetensors",
        confidence_note="of the count",
    )
    return {"files": files, "input": input_spec(normaliser="n.safetensors"), "output": output}


def wrong_golden(**changes) -> dict[str, bytes]:
    tensors = safetensors.numpy.load(files_of("pose")["golden.safetensors"])
    tensors["keypoints"] = tensors["keypoints"] + np.float32(0.01)
    return files_of("pose", **{"golden.safetensors": safetensors.numpy.save(tensors | changes)})


def golden_without(name: str) -> dict[str, bytes]:
    tensors = safetensors.numpy.load(files_of("pose")["golden.safetensors"])
    del tensors[name]
    return files_of("pose", **{"golden.safetensors": safetensors.numpy.save(tensors)})


def outside() -> dict[str, bytes]:
    """A model whose weights are in another file."""
    return files_of("pose", **{"model.onnx": linear_model(weights_of("pose"), (56, 4), sigmoid=True, outside="w.bin")})


def fixed_batch() -> dict[str, bytes]:
    return files_of("pose", **{"model.onnx": linear_model(weights_of("count"), (56, 4))})


RULES = "from cogd.heads.pose.rules import check\n"


class TestAHeadOfAThirdParty:
    @pytest.fixture
    def smile(self, tmp_path, monkeypatch, home):
        """Installs the head `smile`, with these rules, and an app of it."""

        def install(rules: str | None) -> None:
            head = "from cogd.heads.pose.head import PoseHead\nclass Smile(PoseHead):\n    name = 'smile'\n"
            files = {"smile/__init__.py": "", "smile/head.py": head} | ({"smile/rules.py": rules} if rules else {})
            write_distribution(tmp_path / "site", "smile", "smile.head:Smile", files)
            monkeypatch.syspath_prepend(str(tmp_path / "site"))
            home.install("pose", head="smile")

        yield install
        for name in [name for name in sys.modules if name.partition(".")[0] == "smile"]:
            del sys.modules[name]

    def test_is_judged_by_its_own_rules_without_being_imported(self, cogd, home, smile):
        smile(RULES)
        quickly = cogd("health", *home.flags)
        assert "smile.head" not in sys.modules
        assert (quickly.status, ways(quickly)) == (0, QUICK)
        assert judged(quickly) == judged(cogd("health", *home.flags, "--ordinary"))

    @pytest.mark.parametrize("rules", [None, "1 / 0", "def check(output, calibration):\n    raise ValueError('no')\n"])
    def test_without_rules_that_work_is_judged_in_the_ordinary_way(self, cogd, home, smile, rules):
        smile(rules)
        quickly, ordinary = both_ways(cogd, *home.flags)
        assert judged(quickly) == judged(ordinary)
        assert (quickly.status, ways(quickly)) == (0, FELL_BACK)


def variant(backend: str = "ort", *targets: str, file: str = "model.onnx") -> Variant:
    return Variant(backend=backend, file=file, precision="fp32", targets=[*targets])


class TestAnAppThatIsNotWell:
    """The ordinary way is the judge: same status, same code, same words."""

    @pytest.mark.parametrize(
        ("code", "changes"),
        [
            ("golden-mismatch", {"files": wrong_golden()}),
            ("bad-manifest", {"files": golden_without("keypoints")}),
            ("bad-manifest", {"files": golden_without("window")}),
            ("bad-manifest", {"files": files_of("pose", **{"golden.safetensors": b"none"})}),
            ("bad-model", {"files": files_of("pose", **{"model.onnx": b"broken"})}),
            ("bad-model", {"files": files_of("pose", **{"model.onnx": b""})}),
            ("bad-model", {"files": outside()}),
            ("bad-model", {"files": fixed_batch()}),
            ("unknown-key", {"keys": [OTHER_KEY]}),
            ("requirement", {"requires": Requires(cogd=">=99.0.0", features=[])}),
            ("unknown-feature", {"requires": Requires(cogd=">=0.1.0", features=["telepathy"])}),
            ("requirement", {"input": input_spec(subcarriers=64)}),
            ("plugin", {"head": "tarot"}),
            ("bad-manifest", {"head": "count"}),
            ("plugin", {"variants": [variant("hailo")]}),
            ("wrong-architecture", {"variants": [variant("ort", "vax")]}),
            ("bad-manifest", {"files": wrong_golden(window=some_windows(65))}),
        ],
    )
    def test_is_judged_as_in_the_ordinary_way(self, cogd, home, monkeypatch, code, changes):
        with monkeypatch.context() as patched:  # else nobody here could install it
            patched.setattr(verify, "check_requirements", lambda *arguments: None)
            home.install("pose", **changes)
        quickly, ordinary = both_ways(cogd, *home.flags)
        assert judged(quickly) == judged(ordinary)
        assert quickly.status == 1
        assert [event["fields"]["code"] for event in events(quickly)] == [code]
        assert ways(quickly) == FELL_BACK

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda home: home.install(keys=[OTHER_KEY]),
            lambda home: home.install(files=outside()),
            lambda home: (home.install() / "current" / "MODEL_CARD.md").write_bytes(b"another"),
            lambda home: (home.install() / "current" / "model.onnx").write_bytes(outside()["model.onnx"]),
        ],
    )
    def test_never_has_its_model_loaded_by_the_quick_way_before_all_was_verified(self, cogd, home, monkeypatch, spoil):
        spoil(home)
        monkeypatch.setattr(quick, "Session", lambda *arguments: pytest.fail("the model was loaded"))
        assert cogd("health", *home.flags).status == 1

    @pytest.mark.parametrize(
        "changes",
        [
            {"output": msgspec.structs.replace(MOTION, labels=["moving", "quiet"])},
            {"output": msgspec.structs.replace(MOTION, trained_classes=[0])},
            {"head": "count"},
        ],
    )
    def test_with_an_output_that_does_not_suit_the_head_is_judged_as_in_the_ordinary_way(self, cogd, home, changes):
        installed(home.apps, motion_bundle(**changes))
        quickly, ordinary = both_ways(cogd, *home.flags)
        assert judged(quickly) == judged(ordinary)
        assert (quickly.status, ways(quickly)) == (1, FELL_BACK)

    @pytest.mark.parametrize("values", [{"temperature": 0.0}, {"slope": float("inf")}, {"fused_slope": 1.0}])
    def test_with_a_bad_calibration_is_judged_as_in_the_ordinary_way(self, cogd, home, values):
        home.install("count", **calibrated(**values))
        quickly, ordinary = both_ways(cogd, *home.flags)
        assert judged(quickly) == judged(ordinary)
        assert (quickly.status, ways(quickly)) == (1, FELL_BACK)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda folder: (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:-1] + b"x"),
            lambda folder: (folder / "model.onnx").unlink(),
            lambda folder: (folder / "golden.safetensors").write_bytes(b""),
            lambda folder: (folder / "bundle.json").write_bytes((folder / "bundle.json").read_bytes() + b" "),
            lambda folder: (folder / "bundle.json").unlink(),
            lambda folder: (folder / "bundle.dsse.json").write_bytes(b"{}"),
            lambda folder: (folder / "bundle.dsse.json").write_bytes(
                (folder / "bundle.dsse.json").read_bytes().replace(b'"sig":"', b'"sig":"AAAA', 1)
            ),
        ],
    )
    def test_whose_files_were_changed_is_judged_as_in_the_ordinary_way(self, cogd, home, spoil):
        spoil(home.install() / "current")
        quickly, ordinary = both_ways(cogd, *home.flags)
        assert judged(quickly) == judged(ordinary)
        assert (quickly.status, ways(quickly)) == (1, FELL_BACK)

    def test_whose_key_was_revoked_is_judged_as_in_the_ordinary_way(self, cogd, home):
        home.install()
        (home.trust / "x.revoked").write_bytes(encode_revocation(revocation(KEY)))
        (home.trust / "x.revoked").chmod(0o644)
        quickly, ordinary = both_ways(cogd, *home.flags)
        assert judged(quickly) == judged(ordinary)
        assert events(quickly)[0]["fields"]["code"] == "revoked-key"

    def test_that_is_not_there_is_judged_as_in_the_ordinary_way(self, cogd, home):
        for words in ([], ["pose-app"]):
            quickly, ordinary = both_ways(cogd, *words, *home.flags)
            assert judged(quickly) == judged(ordinary)
            assert (quickly.status, ways(quickly)) == (1, FELL_BACK)

    def test_under_anothers_name_is_judged_as_in_the_ordinary_way(self, cogd, home):
        folder = home.install()
        folder.rename(folder.parent / "another")
        quickly, ordinary = both_ways(cogd, *home.flags)
        assert judged(quickly) == judged(ordinary)
        assert (quickly.status, ways(quickly)) == (1, FELL_BACK)

    def test_whose_settings_file_is_not_there_is_not_judged_at_all(self, cogd, home):
        home.install()
        quickly, ordinary = both_ways(cogd, *home.flags, "--config", "/nowhere/cogd.toml")
        assert (quickly.status, ordinary.status) == (2, 2)

    def test_whose_archive_holds_more_than_was_signed_is_given_up(self, monkeypatch):
        trust = TrustStore.load(files=[demo.PUBLIC_KEY])
        (archive, *_) = demo.archives()
        members = quick.read_archive_file(str(archive))
        monkeypatch.setattr(quick, "read_archive_file", lambda path: dict(members))
        assert quick._read_archive("x", trust)
        monkeypatch.setattr(quick, "read_archive_file", lambda path: members | {"extra.bin": b""})
        with pytest.raises(NotQuick, match="other files"):
            quick._read_archive("x", trust)

    @pytest.mark.parametrize(
        "config",
        ['{"min_confidence": 2}', '{"min_confidence": 0.5, "poll_ms": 50}', "", "[]", '\v{"min_confidence": 0}',
         '{"min_confidence": 0}\f'],
    )  # fmt: skip
    def test_with_another_config_is_judged_by_the_ordinary_way(self, cogd, home, config):
        (home.install() / "config.json").write_text(config)
        quickly, ordinary = both_ways(cogd, *home.flags)
        assert judged(quickly)[0] == judged(ordinary)[0]
        assert ways(quickly) == FELL_BACK

    def test_beside_a_good_one_leaves_both_to_the_ordinary_way(self, cogd, home):
        home.install("pose", files=wrong_golden())
        home.install("count")
        quickly, ordinary = both_ways(cogd, *home.flags)
        assert quickly.status == ordinary.status == 1
        assert ways(quickly) == FELL_BACK
        assert [e["event"] for e in events(quickly)] == ["health.ok", "health.failed"]


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("embedded null byte")])
def test_a_disk_that_fails_and_names_that_are_none_are_left_to_the_ordinary_way(cogd, home, monkeypatch, error):
    def fail(path, trust):
        raise error

    home.install()
    monkeypatch.setattr(quick, "_read_folder", fail)
    result = cogd("health", *home.flags)
    assert (result.status, ways(result)) == (0, FELL_BACK)
    assert str(error) in events(result)[0]["fields"]["fallback_reason"]


class TestWithoutTheCApi:
    @pytest.mark.parametrize("path", ["/no/such/libonnxruntime.so.1", ort.__file__])
    def test_of_a_library_that_cannot_be_loaded_the_event_says_so(self, cogd, home, monkeypatch, path):
        home.install()
        monkeypatch.setattr(ort, "find_library", lambda: path)
        result = cogd("health", *home.flags)
        assert (result.status, ways(result)) == (0, FELL_BACK)
        assert "can't be used" in events(result)[0]["fields"]["fallback_reason"]

    def test_of_a_library_that_is_another_the_event_says_so(self, cogd, home, monkeypatch):
        import _ctypes

        home.install()
        monkeypatch.setattr(ort, "find_library", lambda: _ctypes.__file__)
        result = cogd("health", *home.flags)
        assert (result.status, ways(result)) == (0, FELL_BACK)
        assert "OrtGetApiBase" in events(result)[0]["fields"]["fallback_reason"]

    def test_of_an_api_that_is_too_old_the_event_says_so(self, cogd, home, monkeypatch):
        home.install()
        monkeypatch.setattr(ort, "API_VERSION", 10_000)
        result = cogd("health", *home.flags)
        assert (result.status, ways(result)) == (0, FELL_BACK)
        assert "no C API of version 10000" in events(result)[0]["fields"]["fallback_reason"]

    def test_there_is_one_library_or_none(self, tmp_path, monkeypatch):
        real = ort.find_library()
        assert Path(real).name.startswith("libonnxruntime.so.")
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        capi = tmp_path / "onnxruntime" / "capi"
        for missing, name in (
            ("numpy", "numpy/__init__.py"),
            ("cogd_ort", "cogd_ort/__init__.py"),
            ("Python module", "onnxruntime/capi/onnxruntime_pybind11_state.x.so"),
            ("0 files", "onnxruntime/capi/libonnxruntime.so.1.0.0"),
        ):  # what the daemon imports, and then what is loaded here
            with pytest.raises(NotQuick, match=missing):
                ort.find_library()
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        for name in ("libonnxruntime_providers_shared.so", "libonnxruntime.so.1.0.0.bak"):
            (capi / name).touch()
        assert ort.find_library() == str(capi / "libonnxruntime.so.1.0.0")
        (capi / "libonnxruntime.so.1.0.1").touch()
        with pytest.raises(NotQuick, match="2 files"):
            ort.find_library()

    def test_another_libc_is_let_be(self, monkeypatch):
        monkeypatch.setattr(ort.ctypes, "CDLL", lambda path: object())
        ort._grow_in_large_steps()


class TestTheInstalledProgram:
    def run(self, *words: str, **kwargs) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([BIN / "cogd", "health", *words], check=False, **kwargs)

    def test_proves_the_packaged_apps(self):
        done = self.run("--demo", capture_output=True)
        assert (done.returncode, done.stderr) == (0, b"")
        assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["health.ok"] * 3

    def test_tells_a_full_disk_as_other_verbs_do(self):
        with Path("/dev/full").open("wb") as full:
            done = self.run("--demo", stdout=full, stderr=subprocess.PIPE)
        assert (done.returncode, done.stderr) == (5, b"cogd: sink: [Errno 28] No space left on device\n")

    def test_tells_nobody_that_its_reader_has_gone(self):
        reading, writing = os.pipe()
        os.close(reading)
        done = self.run("--demo", stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        assert (done.returncode, done.stderr) == (0, b"")

    @pytest.mark.parametrize("words", [["nope", "--demo"], ["--live", "--control-socket", "/nowhere"]])
    def test_gives_its_verdict_also_where_its_reader_has_gone(self, words):
        reading, writing = os.pipe()
        os.close(reading)
        done = self.run(*words, stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        assert (done.returncode, done.stderr) == (1, b"")

    def test_of_a_name_that_is_no_text_is_told(self):
        done = self.run(b"\xff\xfe", "--demo", capture_output=True)
        assert (done.returncode, json.loads(done.stdout)["fields"]["app"]) == (1, "\\udcff\\udcfe")

    def test_without_a_standard_output_fails_as_other_verbs_do(self):
        done = subprocess.run(
            ["/bin/sh", "-c", f"exec {BIN / 'cogd'} health --demo >&-"], check=False, capture_output=True
        )
        assert (done.returncode, done.stderr) == (5, b"cogd: sink: standard output is closed\n")

    def test_explains_itself_and_refuses_nonsense(self):
        done = self.run("--help", capture_output=True)
        assert done.returncode == 0
        assert b"--live" in done.stdout
        assert self.run("--nonsense", capture_output=True).returncode == 2

    def test_can_be_interrupted_at_any_time(self):
        """A library must not be on its way in while the interpreter ends."""
        for delay_ms in range(8, 48, 2):
            running = subprocess.Popen(
                [BIN / "cogd", "health", "--demo"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(delay_ms / 1000)
            running.send_signal(signal.SIGINT)
            assert running.wait(30) in {0, 1, 130, -signal.SIGINT}  # 1: before there is anything of ours

    def test_reads_no_weights_from_the_current_folder(self, home, tmp_path):
        """ONNX Runtime would; the model is not handed to it."""
        home.install("pose", files=outside())
        (tmp_path / "w.bin").write_bytes(weights_of("pose")["keypoints"].tobytes())
        done = self.run(*home.flags, cwd=tmp_path, capture_output=True)
        assert done.returncode == 1
        assert json.loads(done.stdout)["fields"]["code"] == "bad-model"


def test_what_is_written_twice_is_the_same():
    assert golden.MAX_BATCH == app_module.MAX_BATCH
