"""The quick way's parts: words and settings, facts, tensors, the golden pair, the C API."""

from __future__ import annotations

import contextlib
import json
import math
from array import array

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from cogd import defaults
from cogd.bundle.manifest import encode_manifest, parse_manifest
from cogd.csi.model_input import ModelInput
from cogd.errors import ManifestError, ModelError
from cogd.probe import facts as facts_module
from cogd.probe import ort
from cogd.probe.facts import Facts, read_tensors
from cogd.probe.golden import golden_windows, largest_difference, prepare
from cogd.probe.not_quick import NotQuick
from cogd.probe.options import read_words
from cogd.settings import Settings, load_settings
from tests.backends.onnx_bytes import linear_model
from tests.runtime.factory import CELLS, fake_bundle, input_spec, runnable_bundle, some_windows, weights_of

PATHS = ("apps_dir", "trust_dir", "control_socket")


class TestSettings:
    def test_the_names_and_defaults_are_those_of_the_settings(self):
        assert set(Settings.model_fields) == defaults.SETTINGS
        for key in PATHS:
            assert read_words([]).setting(key) == str(Settings.model_fields[key].default)

    @pytest.mark.parametrize("key", PATHS)
    def test_a_flag_wins_over_the_environment_and_that_over_the_file(self, key, tmp_path, monkeypatch):
        file = tmp_path / "cogd.toml"
        file.write_text(f'{key} = "/of/file"\ntick_ms = 50\nsources = ["sim:"]\n')
        flag, words = "--" + key.replace("_", "-"), ["--config", str(file)]
        layers = [([], "/of/file"), ([flag, "/of/flag"], "/of/flag")]
        for more, expected in layers:
            assert read_words([*words, *more]).setting(key) == expected
            flags = {key: more[1]} if more else {}
            assert str(getattr(load_settings(flags, file).settings, key)) == expected
        monkeypatch.setenv("COGD_CONFIG", str(file))
        assert read_words([]).setting(key) == "/of/file"
        monkeypatch.setenv(f"COGD_{key.upper()}", "/of/environment")
        assert read_words([]).setting(key) == str(getattr(load_settings({}).settings, key)) == "/of/environment"
        assert read_words([flag, "/of/flag"]).setting(key) == "/of/flag"

    @pytest.mark.parametrize(
        "text", ["apps_dir = 3\n", 'apps_dir = ""\n', "apps_dir\n", 'apps_dri = "/x"\n', 'apps_dir = "\udcff"\n']
    )
    def test_a_file_that_pydantic_might_refuse_is_left_to_it(self, text, tmp_path):
        file = tmp_path / "cogd.toml"
        file.write_text(text, errors="surrogateescape")
        with pytest.raises(NotQuick):
            read_words(["--config", str(file)]).setting("apps_dir")

    def test_a_file_that_is_not_there_is_left_to_the_ordinary_way(self, tmp_path):
        with pytest.raises(NotQuick, match="No such file"):
            read_words(["--config", str(tmp_path / "none")]).setting("apps_dir")

    def test_variables_that_are_not_in_capitals_are_left_to_pydantic(self, monkeypatch):
        monkeypatch.setenv("cogd_apps_dir", "/x")
        assert str(load_settings({}).settings.apps_dir) == "/x"
        with pytest.raises(NotQuick, match="not in capitals"):
            read_words([])

    def test_an_empty_variable_is_left_to_pydantic(self, monkeypatch):
        monkeypatch.setenv("COGD_APPS_DIR", "")
        with pytest.raises(NotQuick):
            read_words([]).setting("apps_dir")

    def test_the_command_obeys_them(self, cogd, home, tmp_path, monkeypatch):
        home.install()
        file = tmp_path / "cogd.toml"
        file.write_text(f'apps_dir = "{home.apps}"\ntick_ms = 80\n')
        monkeypatch.setenv("COGD_TRUST_DIR", str(home.trust))
        (line,) = cogd("health", "--config", file).out.splitlines()
        assert json.loads(line)["fields"]["way"] == "c-api"
        monkeypatch.setenv("COGD_APPS_DIR", "/nowhere")
        assert cogd("health", "--config", file).status == 1

    @pytest.mark.parametrize("text", ["apps_dri = '/x'\n", "tick_ms = \n"])
    def test_the_command_refuses_what_other_verbs_refuse(self, cogd, tmp_path, text):
        (tmp_path / "cogd.toml").write_text(text)
        assert cogd("health", "--config", tmp_path / "cogd.toml").status == 2


class TestWords:
    def test_that_are_plain_are_understood(self):
        options = read_words(["pose", "--demo", "--trust", "a", "--trust", "b", "--apps-dir", "c", "--live"])
        assert (options.app_id, options.demo, options.live, options.trust) == ("pose", True, True, ["a", "b"])
        assert options.flags == {"apps_dir": "c"}

    @pytest.mark.parametrize(
        "words",
        [["a", "b"], ["--help"], ["-h"], ["--apps-dir"], ["--apps-dir", "-x"], ["--apps-dir=x"], ["--apps", "x"], [""],
         ["--"], ["--ordinary"], ["--trust", ""]],
    )  # fmt: skip
    def test_that_are_not_are_left_to_argparse(self, words):
        with pytest.raises(NotQuick):
            read_words(words)


def facts_of(**changes) -> Facts:
    return Facts(runnable_bundle(**changes).members["bundle.json"])


def cell_facts() -> Facts:
    return Facts(encode_manifest(fake_bundle(**CELLS).manifest))


class TestFacts:
    def test_are_those_of_the_manifest(self):
        manifest = runnable_bundle("count").verified().manifest
        facts = facts_of(kind="count")
        assert (facts.id, facts.version, facts.head) == (manifest.id, manifest.version, manifest.head)
        assert (facts.layout, facts.gain, facts.subcarriers, facts.frames) == ("subcarrier_major", "window_rms", 56, 4)
        assert facts.files == [(entry.path, entry.size, entry.sha256) for entry in manifest.files]
        assert facts.output.trained_classes == manifest.output.trained_classes
        assert facts.tolerance == manifest.golden.tolerance

    def test_of_columns_that_are_cells_are_those_of_the_manifest(self):
        facts = cell_facts()
        assert (facts.features, facts.gain, facts.frames) == (["cell-median"], "none", 4)

    @pytest.mark.parametrize(
        ("change", "path"),
        [
            (0.01, ("input", "min_gap_s")),
            ("window_rms", ("input", "gain")),
            (1.0, ("input", "rate_hz")),
            ("cells", ("input", "columns")),
            ([], ("requires", "features")),
        ],
    )
    def test_of_cells_that_do_not_fit_are_given_up(self, change, path):
        said = json.loads(encode_manifest(fake_bundle(**CELLS).manifest))
        put(change, *path)(said)
        signed = json.dumps(said).encode()
        with pytest.raises(ManifestError):
            parse_manifest(signed)
        with pytest.raises(NotQuick):
            Facts(signed)

    @pytest.mark.parametrize("place", [(), ("output",), ("input",), ("golden",), ("requires",), ("variants", 0)])
    @pytest.mark.parametrize("value", [None, True, -1, 1.5, "", [], {}, [1], [None], "absent"])
    def test_that_are_of_another_type_are_given_up(self, place, value):
        """Whatever stands in the place of a part that is read: never another exception."""
        whole = json.loads(runnable_bundle("count").members["bundle.json"])
        part = whole
        for step in place:
            part = part[step]
        for key in list(part):
            before = part[key]
            part[key] = value
            if value == "absent":
                del part[key]
            with contextlib.suppress(NotQuick):
                Facts(json.dumps(whole).encode())
            part[key] = before

    @pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"[" * 100_000, b"\xff", b'{"format":"x"}'])
    def test_of_what_is_no_manifest_are_given_up(self, raw):
        with pytest.raises(NotQuick):
            Facts(raw)

    def test_of_a_manifest_with_a_key_twice_are_given_up(self):
        raw = runnable_bundle().members["bundle.json"]
        with pytest.raises(NotQuick, match="twice"):
            Facts(raw.replace(b'"id":', b'"id": "x", "id":', 1))


class TestTensors:
    def test_are_read_as_safetensors_reads_them(self):
        tensors = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.full((), 7, np.float32), "c": np.zeros(0)}
        tensors["c"] = tensors["c"].astype(np.float32)
        data = safetensors.numpy.save(tensors, metadata={"by": "x"})
        read = read_tensors("x", data)
        assert read.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert read[name].shape == [*tensor.shape]
            assert [*read[name].values] == tensor.ravel().tolist()

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\0" * 8,
            safetensors.numpy.save({"a": np.zeros(2, np.float64)}),
            safetensors.numpy.save({"a": np.asarray([math.inf], np.float32)}),
            safetensors.numpy.save({"a": np.zeros(2, np.float32)}) + b"\0",
            safetensors.numpy.save({"a": np.zeros(2, np.float32)})[:-1],
            safetensors.numpy.save({"a": np.zeros(2, np.float32)}).replace(b"[2]", b"[3]"),
            safetensors.numpy.save({"a": np.zeros(2, np.float32)}).replace(b"[0,8]", b"[4,8]"),
            safetensors.numpy.save({"a": np.zeros(2, np.float32)}).replace(b"[0,8]", b"[0,9]"),
            safetensors.numpy.save({"a": np.zeros(2, np.float32)}).replace(b"[0,8]", b"[000]"),
        ],
    )
    def test_that_are_not_plain_are_given_up(self, data):
        with pytest.raises(NotQuick):
            read_tensors("x", data)

    @given(st.binary(max_size=200))
    def test_garbage_is_given_up(self, data):
        with pytest.raises(NotQuick):
            read_tensors("x", data)

    def test_on_a_big_endian_device_are_given_up(self, monkeypatch):
        monkeypatch.setattr(facts_module.sys, "byteorder", "big")
        with pytest.raises(NotQuick, match="endian"):
            read_tensors("x", safetensors.numpy.save({"a": np.zeros(2, np.float32)}))


class TestTheGoldenInput:
    @pytest.mark.parametrize("gain", ["none", "window_rms"])
    @pytest.mark.parametrize("layout", ["subcarrier_major", "time_major_mislabelled_56x20"])
    @pytest.mark.parametrize("normalised", [False, True])
    @given(seed=st.integers(0, 1000))
    @settings(max_examples=10)
    def test_is_what_the_daemon_makes(self, gain, layout, normalised, seed):
        rng = np.random.default_rng(seed)
        windows = rng.uniform(0, 40, (3, 56, 20)).astype(np.float32)
        mean, std = (rng.uniform(0.1, 2, 56).astype(np.float32) for _ in range(2))
        tensors = read_tensors("n", safetensors.numpy.save({"mean": mean, "std": std, "window": windows}))
        facts = facts_of(input=input_spec(frames=20))
        facts.gain, facts.layout = gain, layout
        made = prepare(facts, golden_windows(facts, tensors), tensors if normalised else None)
        wanted = ModelInput(layout, gain, *((mean, std) if normalised else ())).prepare(windows)
        np.testing.assert_allclose(np.asarray(made, np.float32).reshape(windows.shape), wanted, rtol=1e-6, atol=1e-5)

    def test_of_an_almost_silent_window_is_what_the_daemon_makes(self):
        windows = np.full((1, 56, 4), 2e-5, np.float32)
        tensors = read_tensors("n", safetensors.numpy.save({"window": windows}))
        made = prepare(facts_of(), golden_windows(facts_of(), tensors), None)
        assert made[0] == pytest.approx(1.0)
        assert ModelInput("subcarrier_major", "window_rms").prepare(windows).flat[0] == pytest.approx(1.0)

    def test_of_a_silent_window_is_silence(self):
        facts = facts_of()
        tensors = read_tensors("n", safetensors.numpy.save({"window": np.zeros((1, 56, 4), np.float32)}))
        assert not any(prepare(facts, golden_windows(facts, tensors), None))

    @pytest.mark.parametrize("rule", [("gain", "other"), ("layout", "other")])
    def test_by_another_rule_is_given_up(self, rule):
        facts = facts_of()
        setattr(facts, *rule)
        tensors = read_tensors("n", safetensors.numpy.save({"window": some_windows()}))
        with pytest.raises(NotQuick):
            prepare(facts, golden_windows(facts, tensors), None)

    @pytest.mark.parametrize(
        "normaliser",
        [
            {"mean": np.zeros(56)},
            {"mean": np.zeros(55), "std": np.ones(56)},
            {"mean": np.zeros(56), "std": np.zeros(56)},
        ],
    )
    def test_with_a_normaliser_that_does_not_fit_is_given_up(self, normaliser):
        facts = facts_of()
        given = {name: values.astype(np.float32) for name, values in normaliser.items()}
        tensors = read_tensors("n", safetensors.numpy.save({"window": some_windows(), **given}))
        with pytest.raises(NotQuick):
            prepare(facts, golden_windows(facts, tensors), tensors)

    @pytest.mark.parametrize("shape", [(3, 56, 5), (56, 4), (0, 56, 4), (65, 56, 4), (1, 1, 56, 4)])
    def test_of_another_shape_is_given_up(self, shape):
        tensors = read_tensors("n", safetensors.numpy.save({"window": np.zeros(shape, np.float32)}))
        with pytest.raises(NotQuick):
            golden_windows(facts_of(), tensors)


def test_a_difference_that_is_no_number_is_the_largest():
    assert largest_difference([1.0, 2.0, 3.0], [1.5, 1.0, 3.0]) == 1.0
    assert largest_difference([], []) == 0.0
    assert math.isnan(largest_difference([9.0, math.nan, 1.0], [0.0, 0.0, 0.0]))


class TestTheCApi:
    @pytest.fixture
    def runtime(self):
        runtime = ort.Runtime(ort.find_library())
        yield runtime
        runtime.close()

    def test_runs_a_model_as_onnx_runtimes_python_does(self, runtime):
        import onnxruntime

        model = linear_model(weights_of("count"), (56, 4))
        windows = some_windows(5)
        session = ort.Session(runtime, model)
        assert [(tensor.name, tensor.shape) for tensor in session.inputs] == [(session.inputs[0].name, [-1, 56, 4])]
        names = [tensor.name for tensor in session.outputs]
        given = session.run(array("f", windows.ravel()), [*windows.shape], names)
        session.close()
        theirs = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        wanted = theirs.run([name.decode() for name in names], {theirs.get_inputs()[0].name: windows})
        for (shape, data), array_ in zip(given, wanted, strict=True):
            assert np.array_equal(np.frombuffer(data, np.float32).reshape(shape), array_)

    @pytest.mark.parametrize("model", [b"", b"broken", linear_model(weights_of("pose"), (56, 4))[:-40]])
    def test_says_why_a_model_cannot_be_loaded(self, runtime, model):
        with pytest.raises(ModelError, match=r"^ONNX Runtime: \w"):
            ort.Session(runtime, model)

    def test_says_why_a_model_cannot_be_run(self, runtime):
        session = ort.Session(runtime, linear_model(weights_of("pose"), (56, 4), sigmoid=True))
        with pytest.raises(ModelError, match="ONNX Runtime: "):
            session.run(array("f", bytes(4 * 8)), [2, 2, 2], [b"keypoints"])
        with pytest.raises(ModelError, match="ONNX Runtime: "):
            session.run(array("f", bytes(4 * 224)), [1, 56, 4], [b"tarot"])
        session.close()

    def test_does_not_report_to_its_maker(self):
        import os

        assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def without(*path):
    def change(said):
        for step in path[:-1]:
            said = said[step]
        del said[path[-1]]

    return change


def put(value, *path):
    def change(said):
        for step in path[:-1]:
            said = said[step]
        said[path[-1]] = value

    return change


class TestWhatTheSchemaRefuses:
    """Whatever `parse_manifest` refuses of what decides what runs and how is not healthy here either."""

    @pytest.mark.parametrize(
        "change",
        [
            put("nonsense", "input", "tones"),
            put(0.0, "input", "max_gap_s"),
            put(-3.0, "input", "rate_hz"),
            put(-0.5, "input", "min_gap_s"),
            put("nonsense", "version"),
            put("1.2", "version"),
            put("yesterday", "created"),
            put("never", "expires"),
            put(1, "unknown"),
            put(1, "input", "unknown"),
            put(1, "output", "unknown"),
            put(1, "golden", "unknown"),
            put(1, "requires", "unknown"),
            put(1, "variants", 0, "unknown"),
            put(1, "files", 0, "unknown"),
            put(1, "output", "tensors", 0, "unknown"),
            put({}, "provenance"),
            put(5.0, "golden", "tolerance", "int8"),
            put(["1", "1", "2", "3"], "output", "labels"),
            put("../x", "files", 0, "path"),
            without("provenance"),
            without("created"),
            without("input", "tones"),
            without("output", "confidence_note"),
        ],
    )
    def test_is_given_up(self, change):
        said = json.loads(runnable_bundle("count").members["bundle.json"])
        Facts(json.dumps(said).encode())
        change(said)
        signed = json.dumps(said).encode()
        with pytest.raises(ManifestError):
            parse_manifest(signed)
        with pytest.raises(NotQuick):
            Facts(signed)

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
    def test_in_another_encoding_is_given_up(self, encoding):
        signed = runnable_bundle().members["bundle.json"].decode().encode(encoding)
        with pytest.raises(NotQuick):
            Facts(signed)

    def test_twice_is_given_up(self):
        said = json.loads(runnable_bundle().members["bundle.json"])
        said["files"].append(said["files"][0])
        with pytest.raises(NotQuick):
            Facts(json.dumps(said).encode())
