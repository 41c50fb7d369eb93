"""The model as small computers run it fastest: the exported graph rewritten, and the proof that it is the same.

The plain export computes what was trained and is what the rewritten one is held to. Where that fails, the plain one is
kept and says why: a rewrite must never cost a training run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx

from cogd.errors import ModelError, TrainError
from cogd.train.export import (
    PARITY_TOLERANCE,
    check_parity,
    check_self_contained,
    difference,
    export_onnx,
    runner,
)
from cogd.train.graph import fold_normaliser, two_dimensional

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from cogd.csi.model_input import ModelInput
    from cogd.train.nets.base import Net


@dataclass(frozen=True)
class EdgeModel:
    """An exported model.

    Attributes:
        model: the ONNX file.
        normaliser_inside: the graph normalises its input: the daemon must not.
        graph: in words, what was done to the graph, or why nothing was.
    """

    model: bytes
    normaliser_inside: bool
    graph: str


def export_for_edge(
    net: Net, weights: Mapping[str, NDArray[np.float32]], model_input: ModelInput, frames: int
) -> tuple[EdgeModel, float]:
    """Export a network and rewrite it.

    Args:
        net: the trained network.
        weights: the same weights by name, for the NumPy reference.
        model_input: how the network's input is made; its normaliser goes into the graph.
        frames: columns of the input.

    Returns:
        The model, and its largest difference from the NumPy reference.

    Raises:
        ModelError: the exporter made something that is not self-contained.
        TrainError: the model is not what was trained.
    """
    plain = export_onnx(net, net.output_names, frames)
    edge = rewrite(plain, model_input, frames)
    try:
        return edge, check_parity(edge.model, weights, frames, model_input if edge.normaliser_inside else None)
    except TrainError as error:
        parity = check_parity(plain, weights, frames)  # raises where the training itself is at fault
        return EdgeModel(plain, normaliser_inside=False, graph=f"as exported: rewritten, {error}"), parity


def rewrite(plain: bytes, model_input: ModelInput, frames: int) -> EdgeModel:
    """The rewritten model if it differs by at most 1e-5 from the plain one at batch 1, 2, 7 and 64, or else that one.

    `graph` of the result says which, and why.
    """
    proto = onnx.load_model_from_string(plain)
    inside = model_input.mean is not None and model_input.std is not None
    if not inside and not any(node.op_type == "Conv" for node in proto.graph.node):
        return EdgeModel(plain, normaliser_inside=False, graph="as exported: there is nothing to rewrite")
    try:
        if model_input.mean is not None and model_input.std is not None:
            proto = fold_normaliser(proto, model_input.mean, model_input.std)
        model = two_dimensional(proto).SerializeToString()
        check_self_contained(model, "the rewritten model")
    except ModelError as error:
        return EdgeModel(plain, normaliser_inside=False, graph=f"as exported: {error}")
    run_plain = runner(plain)
    off = difference(runner(model), lambda csi: run_plain(model_input.normalise(csi)), frames, model_input)
    if not off <= PARITY_TOLERANCE:
        return EdgeModel(plain, normaliser_inside=False, graph=f"as exported: rewritten, it would be off by {off:.2e}")
    done = "2-D convolutions" + (", normaliser inside" if inside else "")
    return EdgeModel(model, normaliser_inside=inside, graph=f"{done}; {off:.1e} from the graph as exported")
