"""The backend `ort`: ONNX Runtime on the CPU, one thread, no spinning, preallocated and bound buffers.

One thread, because these networks are too small to share: with the default options worker threads spin between the
ticks and burn a whole core at 25 Hz for no gain.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from cogd.backends.onnx import LOG_ERRORS_ONLY, SESSION_CONFIG, THREADS
from cogd.backends.onnx_file import check_self_contained
from cogd.backends.onnx_static import unbounded_reason
from cogd.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cogd.backends.base import ModelShape

__all__ = ["OrtBackend", "session_options"]


def session_options() -> onnxruntime.SessionOptions:
    """The options that models are run with."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = THREADS
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = LOG_ERRORS_ONLY
    for key, value in SESSION_CONFIG.items():
        options.add_session_config_entry(key, value)
    return options


class OrtBackend:
    """Runs ONNX models on the CPU."""

    name = "ort"

    def load(self, model: bytes, shape: ModelShape) -> _OrtSession:
        """Load an ONNX model from bytes.

        Raises:
            ModelError: ONNX Runtime refuses it, it wants weights from another file, or its input and outputs are not
                the ones of `shape`.
        """
        check_self_contained(model)
        try:
            session = onnxruntime.InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # the plugin border: its exceptions have no common base
            raise ModelError(f"ONNX Runtime can't load the model: {error}") from error
        bounded = unbounded_reason(model, shape.input_shape, shape.max_batch) is None
        return _OrtSession(session, shape, only_computes=bounded)


class _OrtSession:
    """A session with one input buffer and one buffer an output, bound once for each batch size."""

    def __init__(self, session: onnxruntime.InferenceSession, shape: ModelShape, *, only_computes: bool) -> None:
        inputs = session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or not _fits(inputs[0].shape, shape.input_shape):
            described = ", ".join(f"{item.name} {item.type} {item.shape}" for item in inputs)
            raise ModelError(f"the model's input is {described}, not float32 of batch x {shape.input_shape}")
        outputs = {item.name: item for item in session.get_outputs()}
        for name, wanted in shape.outputs.items():
            item = outputs.get(name)
            if item is None or item.type != "tensor(float)" or not _fits(item.shape, wanted):
                described = ", ".join(f"{o.name} {o.type} {o.shape}" for o in outputs.values())
                raise ModelError(f"the model's outputs are {described}; {name} of batch x {wanted} is missing")
        self.only_computes = only_computes
        self._session = session
        self._shape = shape
        self._input_name = inputs[0].name
        self._input = np.zeros((shape.max_batch, *shape.input_shape), dtype=np.float32)
        self._outputs = {
            name: np.zeros((shape.max_batch, *wanted), dtype=np.float32) for name, wanted in shape.outputs.items()
        }
        self._by_size: dict[int, tuple[NDArray[np.float32], onnxruntime.IOBinding]] = {}

    def run(self, batch: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Outputs of 1..max_batch inputs; the arrays are copies."""
        size = len(batch)
        bound, binding = self._by_size.get(size) or self._bind(size)
        if batch is not bound:
            bound[:] = batch
        self._session.run_with_iobinding(binding)
        return {name: buffer[:size].copy() for name, buffer in self._outputs.items()}

    def buffer(self, size: int) -> NDArray[np.float32]:
        """The part of the input that is bound for this batch size."""
        return (self._by_size.get(size) or self._bind(size))[0]

    def _bind(self, size: int) -> tuple[NDArray[np.float32], onnxruntime.IOBinding]:
        binding = self._session.io_binding()
        bound = self._input[:size]
        binding.bind_input(self._input_name, "cpu", 0, np.float32, bound.shape, bound.ctypes.data)
        for name, buffer in self._outputs.items():
            binding.bind_output(name, "cpu", 0, np.float32, (size, *self._shape.outputs[name]), buffer.ctypes.data)
        self._by_size[size] = bound, binding
        return self._by_size[size]


def _fits(actual: list[int | str | None], wanted: tuple[int, ...]) -> bool:
    """Whether a model's shape is a free batch axis followed by the wanted sizes."""
    return (
        len(actual) == len(wanted) + 1
        and not isinstance(actual[0], int)
        and math.prod(wanted) > 0
        and tuple(actual[1:]) == wanted
    )
