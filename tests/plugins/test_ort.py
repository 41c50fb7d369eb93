from pathlib import Path

import numpy as np
import pytest

import cogd_ort
from cogd.backends.base import ModelShape
from cogd.errors import ModelError
from cogd_ort import OrtBackend
from tests.backends.onnx_bytes import DOUBLE, FLOAT, graph, int_attribute, linear_model, model, node, tensor, value_info

WEIGHTS = {
    "left": np.random.default_rng(1).normal(size=(12, 5)).astype(np.float32),
    "right": np.random.default_rng(2).normal(size=(12, 1)).astype(np.float32),
}
SHAPE = ModelShape(input_shape=(3, 4), outputs={"left": (5,), "right": (1,)}, max_batch=8)


@pytest.fixture(scope="module")
def session():
    return OrtBackend().load(linear_model(WEIGHTS, (3, 4)), SHAPE)


def batch_of(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(size, 3, 4)).astype(np.float32)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_a_batch_of_any_size_gives_what_numpy_gives(session, size):
    batch = batch_of(size)
    outputs = session.run(batch)
    assert set(outputs) == {"left", "right"}
    for name, weight in WEIGHTS.items():
        np.testing.assert_allclose(outputs[name], batch.reshape(size, 12) @ weight, atol=1e-5)
        assert outputs[name].dtype == np.float32


def test_sizes_may_follow_in_any_order(session):
    for size in (8, 1, 5, 1, 8, 2):
        batch = batch_of(size, seed=size)
        np.testing.assert_allclose(session.run(batch)["left"], batch.reshape(size, 12) @ WEIGHTS["left"], atol=1e-5)


def test_outputs_are_the_callers_to_keep(session):
    first = session.run(batch_of(4, seed=1))
    kept = {name: values.copy() for name, values in first.items()}
    session.run(batch_of(8, seed=2))
    for name, values in kept.items():
        np.testing.assert_array_equal(first[name], values)
        first[name][:] = 0
    np.testing.assert_array_equal(session.run(batch_of(4, seed=1))["left"], kept["left"])


def test_the_callers_batch_is_not_changed_or_kept(session):
    batch = batch_of(3)
    before = batch.copy()
    first = session.run(batch)["left"]
    np.testing.assert_array_equal(batch, before)
    batch[:] = 0
    np.testing.assert_array_equal(session.run(before)["left"], first)


def test_a_batch_that_is_not_contiguous_is_read_right(session):
    batch = np.ascontiguousarray(batch_of(4).transpose(2, 1, 0)).transpose(2, 1, 0)
    np.testing.assert_allclose(session.run(batch)["left"], batch.reshape(4, 12) @ WEIGHTS["left"], atol=1e-5)


def test_a_batch_of_too_many_windows_is_not_cut_short(session):
    with pytest.raises(ValueError, match="shape"):
        session.run(batch_of(9))


def test_a_graph_that_passes_its_input_through_gives_copies_too():
    identity = graph(
        [node("Identity", ("csi",), "same")],
        [],
        [value_info("csi", ("batch", 3, 4))],
        [value_info("same", ("batch", 3, 4))],
    )
    session = OrtBackend().load(model(identity), ModelShape((3, 4), {"same": (3, 4)}, 8))
    batch = batch_of(2)
    first = session.run(batch)["same"]
    session.run(batch_of(2, seed=9))
    np.testing.assert_array_equal(first, batch)


def test_more_outputs_than_asked_for_are_left_out():
    session = OrtBackend().load(linear_model(WEIGHTS, (3, 4)), ModelShape((3, 4), {"right": (1,)}, 8))
    assert set(session.run(batch_of(2))) == {"right"}


class TestAModelIsRefused:
    def refused(self, model_bytes: bytes, shape: ModelShape = SHAPE, match: str | None = None) -> None:
        with pytest.raises(ModelError, match=match):
            OrtBackend().load(model_bytes, shape)

    @pytest.mark.parametrize(
        "data",
        [b"", b"not a model", bytes(1000), b"\xff" * 1000, linear_model(WEIGHTS, (3, 4))[:-20]],
        ids=["empty", "text", "zeros", "ones", "cut off"],
    )
    def test_that_is_garbage(self, data):
        self.refused(data)

    def test_with_another_operator_than_there_are(self):
        unknown = graph(
            [node("Divination", ("csi",), "left")],
            [],
            [value_info("csi", ("batch", 3, 4))],
            [value_info("left", ("batch", 5))],
        )
        self.refused(model(unknown), match="ONNX Runtime can't load the model")

    @pytest.mark.parametrize("input_shape", [(4, 3), (3, 5), (12,), (1, 3, 4)])
    def test_with_another_input_shape(self, input_shape):
        size = int(np.prod(input_shape))
        weights = {name: np.zeros((size, weight.shape[1]), np.float32) for name, weight in WEIGHTS.items()}
        self.refused(linear_model(weights, input_shape), match="the model's input is csi")

    def test_with_a_batch_size_of_its_own(self):
        self.refused(linear_model(WEIGHTS, (3, 4), batch=2), match="the model's input is csi")

    def test_with_an_output_missing(self):
        self.refused(linear_model({"left": WEIGHTS["left"]}, (3, 4)), match="right of batch x .* is missing")

    def test_with_an_output_of_another_shape(self):
        wider = WEIGHTS | {"right": np.zeros((12, 2), np.float32)}
        self.refused(linear_model(wider, (3, 4)), match="right of batch x")

    def test_with_two_inputs(self):
        two = graph(
            [node("Add", ("a", "b"), "left")],
            [],
            [value_info("a", ("batch", 5)), value_info("b", ("batch", 5))],
            [value_info("left", ("batch", 5))],
        )
        self.refused(model(two), ModelShape((5,), {"left": (5,)}, 8), match="the model's input is a .*, b ")

    @pytest.mark.parametrize(("cast_from", "cast_to"), [(DOUBLE, FLOAT), (FLOAT, DOUBLE)])
    def test_of_another_type(self, cast_from, cast_to):
        cast = graph(
            [node("Cast", ("csi",), "left", int_attribute("to", cast_to))],
            [],
            [value_info("csi", ("batch", 5), cast_from)],
            [value_info("left", ("batch", 5), cast_to)],
        )
        self.refused(model(cast), ModelShape((5,), {"left": (5,)}, 8), match="double")

    @pytest.mark.parametrize("where", ["weights.bin", "./weights.bin", "sub/../weights.bin"])
    def test_whose_weights_lie_in_a_file_of_the_current_directory(self, where, tmp_path, monkeypatch):
        """ONNX Runtime reads them, and nobody signed them."""
        (tmp_path / "sub").mkdir()
        (tmp_path / "weights.bin").write_bytes(WEIGHTS["left"].tobytes())
        monkeypatch.chdir(tmp_path)
        self.refused(
            linear_model({"left": WEIGHTS["left"]}, (3, 4), outside=where),
            ModelShape((3, 4), {"left": (5,)}, 8),
            match="weights from another file",
        )

    def test_whose_weights_lie_at_an_address_of_this_process(self):
        self.refused(
            linear_model({"left": WEIGHTS["left"]}, (3, 4), outside="*/_ORT_MEM_ADDR_/*"),
            match="weights from another file",
        )


class TestOptions:
    @pytest.fixture
    def options(self, monkeypatch):
        """The options that ONNX Runtime was given."""
        seen = []
        real = cogd_ort.onnxruntime.InferenceSession

        def spy(data, options, **rest):
            seen.append((options, rest))
            return real(data, options, **rest)

        monkeypatch.setattr(cogd_ort.onnxruntime, "InferenceSession", spy)
        OrtBackend().load(linear_model(WEIGHTS, (3, 4)), SHAPE)
        return seen[0]

    def test_are_one_thread_that_does_not_spin(self, options):
        given, _ = options
        assert (given.intra_op_num_threads, given.inter_op_num_threads) == (1, 1)
        assert given.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        assert given.get_session_config_entry("session.inter_op.allow_spinning") == "0"

    def test_are_the_cpu_and_the_format_that_was_checked(self, options):
        given, rest = options
        assert rest == {"providers": ["CPUExecutionProvider"]}
        assert given.get_session_config_entry("session.load_model_format") == "ONNX"

    def test_start_no_threads(self):
        before = len(list(Path("/proc/self/task").iterdir()))
        sessions = [OrtBackend().load(linear_model(WEIGHTS, (3, 4)), SHAPE) for _ in range(3)]
        for session in sessions:
            session.run(batch_of(8))
        assert len(list(Path("/proc/self/task").iterdir())) == before


def test_tensors_of_a_shape_that_is_free_are_refused():
    free = graph(
        [node("Identity", ("csi",), "same")],
        [tensor("unused", np.zeros(1))],
        [value_info("csi", ("batch", 3, "frames"))],
        [value_info("same", ("batch", 3, "frames"))],
    )
    with pytest.raises(ModelError, match="the model's input"):
        OrtBackend().load(model(free), ModelShape((3, 4), {"same": (3, 4)}, 8))
