"""Export to one self-contained ONNX file, and the proof that it computes what was trained."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import torch

from cogd.errors import ModelError, TrainError
from cogd.train.graph import without_metadata
from cogd.train.heads.registry import forward

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray
    from torch import nn

    from cogd.csi.model_input import ModelInput

    Forward = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]

OPSET = 18
INPUT_NAME = "csi_window"
PARITY_TOLERANCE = 1e-5
PARITY_BATCHES = (1, 2, 7, 64)


def export_onnx(net: nn.Module, output_names: tuple[str, ...], frames: int) -> bytes:
    """The network as one ONNX file: opset 18, any batch size, weights inside.

    Raises:
        ModelError: the exporter made something else.
    """
    net.eval()
    batch = torch.export.Dim("batch")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of optional packages and of its own deprecations
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            net,
            (torch.zeros(2, 56, frames),),
            path,
            input_names=[INPUT_NAME],
            output_names=list(output_names),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            dynamic_shapes={INPUT_NAME: {0: batch}},
            verbose=False,
        )
        model: bytes = without_metadata(onnx.load_model_from_string(path.read_bytes())).SerializeToString()
    check_self_contained(model, "the exported model")
    return model


def check_self_contained(model: bytes, name: str) -> None:
    """See that an ONNX file holds all its weights and nothing that points out of it.

    Raises:
        ModelError: it is not valid ONNX, has another opset, or its weights are in another file.
    """
    try:
        proto = onnx.load_model_from_string(model)
    except Exception as error:  # protobuf's DecodeError has no public home
        raise ModelError(f"{name} is not an ONNX file: {error}") from error
    tensors = _tensors(proto.graph) + [tensor for function in proto.functions for tensor in _constants(function.node)]
    outside = [tensor.name for tensor in tensors if tensor.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        raise ModelError(
            f"{name} has no weights: {len(outside)} of its tensors ({outside[0]}, ...) are in a file beside it"
        )
    if not proto.graph.node:
        raise ModelError(f"{name} holds no graph")
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    if versions.get("") != OPSET:
        raise ModelError(f"{name} has opset {versions.get('')}, not {OPSET}", hint="export it with opset 18")
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"{name} is not valid ONNX: {error}") from error


def _tensors(graph: onnx.GraphProto) -> list[onnx.TensorProto]:
    """Every tensor in a graph: initialisers, constants in attributes, and those of inner graphs."""
    sparse = [part for tensor in graph.sparse_initializer for part in (tensor.values, tensor.indices)]
    return [*graph.initializer, *sparse, *_constants(graph.node)]


def _constants(nodes: Iterable[onnx.NodeProto]) -> list[onnx.TensorProto]:
    found: list[onnx.TensorProto] = []
    for node in nodes:
        for attribute in node.attribute:
            found += [attribute.t] if attribute.HasField("t") else []
            found += attribute.tensors
            for sparse in ([attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []) + list(
                attribute.sparse_tensors
            ):
                found += [sparse.values, sparse.indices]
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                found += _tensors(inner)
    return found


def check_parity(
    model: bytes,
    weights: Mapping[str, NDArray[np.float32]],
    frames: int,
    normaliser: ModelInput | None = None,
    seed: int = 0,
) -> float:
    """Largest difference between the ONNX file, read in an empty folder, and the NumPy reference.

    Args:
        model: the ONNX file.
        weights: what the reference computes with.
        frames: columns of the input.
        normaliser: holds the normaliser that is inside the graph: the reference is given normalised input.
        seed: of the inputs.

    Raises:
        TrainError: it is above 1e-5 at batch 1, 2, 7 or 64.
    """

    def reference(csi: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        return forward(weights, csi if normaliser is None else normaliser.normalise(csi))

    worst = difference(runner(model), reference, frames, normaliser, seed)
    if not worst <= PARITY_TOLERANCE:
        raise TrainError(f"the exported model is off by {worst:.2e}, more than {PARITY_TOLERANCE:.0e}")
    return worst


def runner(model: bytes) -> Forward:
    """ONNX Runtime with a model that it read in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda csi: dict(zip(names, session.run(None, {INPUT_NAME: csi}), strict=True))


def difference(one: Forward, other: Forward, frames: int, normaliser: ModelInput | None, seed: int = 0) -> float:
    """Largest difference between the outputs of two models at batch 1, 2, 7 and 64; NaN where one has a NaN.

    The inputs are random: what a normaliser makes standard normal, or that itself where there is none.
    """
    rng = np.random.default_rng(seed)
    worst = 0.0
    for batch in PARITY_BATCHES:
        csi = rng.normal(size=(batch, 56, frames))
        if normaliser is not None and normaliser.mean is not None and normaliser.std is not None:
            csi = csi * normaliser.std[:, None] + normaliser.mean[:, None]
        values, expected = one(csi.astype(np.float32)), other(csi.astype(np.float32))
        for name in expected:
            worst = float(np.maximum(worst, np.abs(values[name] - expected[name]).max()))  # a NaN stays
    return worst
