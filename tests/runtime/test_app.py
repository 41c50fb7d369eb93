import msgspec
import numpy as np
import pytest
import safetensors.numpy

from cogd.bundle.manifest import Golden, Variant
from cogd.csi.model_input import ModelInput
from cogd.errors import GoldenError, ManifestError, ModelError, PluginError, RequirementError
from cogd.runtime import app as app_module
from cogd.runtime.app import load_app
from tests.backends.onnx_bytes import linear_model

from .factory import (
    COUNT,
    FRAMES,
    FakeSession,
    compute,
    files_of,
    golden_tensors,
    input_spec,
    runnable_bundle,
    some_windows,
    weights_of,
)

ORT = Variant(backend="ort", file="model.onnx", precision="fp32", targets=[])
TOLERANCES = {"fp32": 1e-4, "int8": 0.1}


def tensors(**values) -> bytes:
    return safetensors.numpy.save({name: np.asarray(value) for name, value in values.items()})


def golden(head: str = "pose", **changes) -> bytes:
    return safetensors.numpy.save(golden_tensors(head, some_windows()) | changes)


def load(head: str = "pose", *, changed: dict | None = None, **manifest):
    return load_app(runnable_bundle(head, files_of(head, **(changed or {})), **manifest).verified())


def normalised(mean: np.ndarray, std: np.ndarray):
    spec = input_spec(normaliser="normaliser.safetensors")
    windows = some_windows()
    prepared = ModelInput(spec.layout, spec.gain, np.zeros(56, np.float32), np.full(56, 2, np.float32)).prepare(windows)
    return load(
        changed={
            "normaliser.safetensors": tensors(mean=mean, std=std),
            "golden.safetensors": safetensors.numpy.save(golden_tensors("pose", windows, prepared)),
        },
        input=spec,
    )


class TestALoadedApp:
    @pytest.mark.parametrize("head", ["pose", "count"])
    def test_computes_what_its_model_says(self, head):
        app = load(head)
        windows = some_windows(7)
        expected = compute(head, ModelInput("subcarrier_major", "window_rms").prepare(windows))
        outputs = app.infer(windows)
        assert outputs.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(outputs[name], values, atol=1e-5)

    def test_tells_how_well_it_reproduced_its_golden_pair(self):
        app = load()
        assert 0 <= app.golden_error <= app.golden_tolerance == 1e-4

    def test_describes_itself_by_its_signed_manifest(self):
        app = load("count", version="4.5.6")
        info = app.info()
        assert (info.id, info.version, info.head, info.backend) == ("count-app", "4.5.6", "count", "ort")
        assert info.digest == app.bundle.digest
        assert info.key_ids == list(app.bundle.key_ids)

    def test_wants_the_windows_of_its_manifest(self):
        window = load(input=input_spec(min_gap_s=0.02, max_gap_s=0.3, tones="first56")).window
        assert (window.tones, window.frames, window.min_gap_s, window.max_gap_s) == ("first56", FRAMES, 0.02, 0.3)

    def test_normalises_its_input_before_the_model(self):
        assert normalised(np.zeros(56, np.float32), np.full(56, 2, np.float32)).golden_error < 1e-4

    def test_is_refused_when_its_normaliser_is_another_than_the_golden_pairs(self):
        with pytest.raises(GoldenError):
            normalised(np.zeros(56, np.float32), np.full(56, 3, np.float32))


class TestTheGoldenPair:
    def test_that_the_backend_misses_refuses_the_app_and_says_by_how_much(self):
        right = golden_tensors("pose", some_windows())["keypoints"]
        with pytest.raises(GoldenError, match=r"ort is off its golden output by 0\.01, more than 0\.0001"):
            load(changed={"golden.safetensors": golden(keypoints=right + np.float32(0.01))})

    def test_that_one_single_value_misses_refuses_the_app(self):
        values = golden_tensors("pose", some_windows())["keypoints"]
        values[2, 33] += np.float32(0.001)
        with pytest.raises(GoldenError):
            load(changed={"golden.safetensors": golden(keypoints=values)})

    def test_that_the_second_output_misses_refuses_the_app(self):
        right = golden_tensors("count", some_windows())["conf_logits"]
        with pytest.raises(GoldenError):
            load("count", changed={"golden.safetensors": golden("count", conf_logits=right + np.float32(0.01))})

    def test_within_the_tolerance_of_the_variants_precision_is_good(self):
        values = golden_tensors("pose", some_windows())["keypoints"] + np.float32(0.05)
        app = load(
            changed={"golden.safetensors": golden(keypoints=values)},
            variants=[msgspec.structs.replace(ORT, precision="int8")],
            golden=Golden(file="golden.safetensors", tolerance=TOLERANCES),
        )
        assert app.golden_error == pytest.approx(0.05, rel=1e-3)
        assert app.golden_tolerance == 0.1

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_with_a_number_that_is_none_is_refused(self, value):
        values = golden_tensors("pose", some_windows())["keypoints"]
        values[0, 0] = value
        with pytest.raises(ManifestError, match="keypoints must be finite float32"):
            load(changed={"golden.safetensors": golden(keypoints=values)})

    def test_is_missed_by_a_model_that_answers_nan(self):
        weights = {"keypoints": np.full_like(weights_of("pose")["keypoints"], np.nan)}
        with pytest.raises(GoldenError, match="by nan"):
            load(changed={"model.onnx": linear_model(weights, (56, FRAMES), sigmoid=True)})

    @pytest.mark.parametrize(
        "window",
        [some_windows(0), some_windows(65), some_windows(2)[:, :55], some_windows(2)[:, :, 1:], some_windows(1)[0]],
        ids=["none", "too many", "too few rows", "too few frames", "no batch axis"],
    )
    def test_of_another_shape_is_refused(self, window):
        with pytest.raises(ManifestError, match="must hold `window`"):
            load(changed={"golden.safetensors": golden(window=window)})

    def test_of_float64_is_refused(self):
        with pytest.raises(ManifestError, match="window must be finite float32"):
            load(changed={"golden.safetensors": golden(window=some_windows().astype(np.float64))})

    def test_without_an_expected_output_is_refused(self):
        with pytest.raises(ManifestError, match="lacks the expected keypoints"):
            load(changed={"golden.safetensors": tensors(window=some_windows())})

    def test_whose_expected_output_has_another_shape_is_refused(self):
        with pytest.raises(ManifestError, match="lacks the expected keypoints"):
            load(changed={"golden.safetensors": golden(keypoints=np.zeros((3, 33), np.float32))})

    @pytest.mark.parametrize("data", [b"", b"golden", b"\xff" * 64, (2**62).to_bytes(8, "little") + b"{}"])
    def test_in_a_file_of_another_kind_is_refused(self, data):
        with pytest.raises(ManifestError, match="not a safetensors file"):
            load(changed={"golden.safetensors": data})


class TestTheNormaliser:
    good = np.ones(56, np.float32)

    @pytest.mark.parametrize(
        ("mean", "std"),
        [
            (good[:55], good[:55]),
            (good, good[:1]),
            (good[:, None], good[:, None]),
            (good, np.where(np.arange(56) == 9, 0, good).astype(np.float32)),
            (good, -good),
        ],
        ids=["too short", "one for all", "two axes", "one zero", "negative"],
    )
    def test_that_can_not_be_applied_is_refused(self, mean, std):
        with pytest.raises(ManifestError, match="must hold `mean` and positive `std` of 56 values"):
            normalised(mean, std)

    def test_without_std_is_refused(self):
        with pytest.raises(ManifestError, match="positive `std`"):
            load(
                changed={"normaliser.safetensors": tensors(mean=self.good)},
                input=input_spec(normaliser="normaliser.safetensors"),
            )


class TestVariants:
    other = Variant(backend="ort", file="other.onnx", precision="fp32", targets=[])
    absent = Variant(backend="abacus", file="model.onnx", precision="fp32", targets=[])

    def test_the_next_is_taken_where_the_first_has_no_backend(self):
        assert load(variants=[self.absent, ORT]).backend == "ort"

    def test_the_next_is_taken_where_the_first_misses_the_golden_pair(self):
        weights = {"keypoints": weights_of("pose")["keypoints"] * 2}
        wrong = linear_model(weights, (56, FRAMES), sigmoid=True)
        app = load(changed={"other.onnx": wrong}, variants=[self.other, ORT])
        assert app.golden_error <= 1e-4

    def test_the_first_is_kept_where_it_is_good(self, monkeypatch):
        class Never:
            def load(self, model, shape):
                raise AssertionError("the second variant was loaded")

        real = app_module.load_plugin
        monkeypatch.setattr(app_module, "load_plugin", lambda g, name: Never if name == "abacus" else real(g, name))
        assert load(variants=[ORT, self.absent]).backend == "ort"

    def test_alone_gives_its_own_error(self):
        with pytest.raises(PluginError, match=r"no backend 'abacus'; installed are .*ort"):
            load(variants=[self.absent])

    def test_that_all_fail_give_one_error_that_names_each(self):
        with pytest.raises(ModelError, match=r"no backend 'abacus'.*; .*can't load the model|not ONNX"):
            load(changed={"other.onnx": b"not a model"}, variants=[self.absent, self.other])

    def test_gets_the_signed_bytes_and_the_shapes_of_the_manifest(self, monkeypatch):
        seen = {}

        class Spy:
            name = "spy"

            def load(self, model, shape):
                seen.update(model=model, shape=shape)
                return FakeSession("count")

        real = app_module.load_plugin
        monkeypatch.setattr(app_module, "load_plugin", lambda g, name: Spy if name == "spy" else real(g, name))
        load("count", changed={"model.onnx": b"any bytes"}, variants=[msgspec.structs.replace(ORT, backend="spy")])
        assert seen["model"] == b"any bytes"
        assert seen["shape"].input_shape == (56, FRAMES)
        assert seen["shape"].outputs == {"count_logits": (4,), "conf_logits": (1,)}
        assert seen["shape"].max_batch == 64


class TestTheBundle:
    def test_that_wants_another_number_of_subcarriers_asks_too_much(self):
        with pytest.raises(RequirementError, match=r"input\.subcarriers is 52; this cogd selects 56"):
            load(input=input_spec(subcarriers=52))

    def test_with_an_unknown_head_is_refused(self):
        with pytest.raises(PluginError, match="no head 'tarot'"):
            load_app(runnable_bundle("pose", head="tarot").verified())

    def test_whose_outputs_do_not_suit_its_head_is_refused(self):
        with pytest.raises(ManifestError, match="pose head"):
            load_app(runnable_bundle("pose", output=COUNT).verified())

    def test_whose_model_has_other_outputs_than_it_says_is_refused(self):
        with pytest.raises(ModelError, match="count_logits"):
            load("count", changed={"model.onnx": files_of("pose")["model.onnx"]})

    def test_hands_its_calibration_to_the_head(self):
        output = msgspec.structs.replace(COUNT, confidence="platt", calibration="calibration.safetensors")
        one = np.ones(1, np.float32)
        app = load(
            "count",
            changed={"calibration.safetensors": tensors(temperature=one, slope=one * 0, offset=one * 0)},
            output=output,
        )
        assert app.head._line.probability(3.0, 0.0) == 0.5

    def test_with_a_broken_calibration_is_refused(self):
        output = msgspec.structs.replace(COUNT, confidence="platt", calibration="calibration.safetensors")
        with pytest.raises(ManifestError, match="temperature, slope and offset"):
            load("count", changed={"calibration.safetensors": tensors(slope=np.ones(1, np.float32))}, output=output)
