"""The published networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def forward(weights: Mapping[str, NDArray[np.float32]], csi: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Outputs by name of model inputs `[batch, 56, frames]`; which network it is follows from the weights' names.

    Returns:
        `keypoints [batch, 34]`, or `count_logits [batch, 8]` and `conf_logits [batch, 1]`; float32.
    """
    tensors = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items()}
    pooled = encode(tensors, csi)
    if "head.fc1.weight" in tensors:
        logits = perceptron(tensors, "head", pooled)
        return {"keypoints": (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)}
    return {
        "count_logits": perceptron(tensors, "count_head", pooled).astype(np.float32),
        "conf_logits": perceptron(tensors, "conf_head", pooled).astype(np.float32),
    }


def encode(tensors: Mapping[str, Array], csi: NDArray[np.floating]) -> Array:
    """Three dilated convolutions `enc.c1` to `enc.c3` and their mean over time: `[batch, 128]`."""
    encoded = csi.astype(np.float64)
    for number, dilation in ((1, 1), (2, 2), (3, 4)):
        encoded = _relu(_conv(encoded, tensors[f"enc.c{number}.weight"], tensors[f"enc.c{number}.bias"], dilation))
    return np.asarray(encoded.mean(axis=2))


def _relu(values: Array) -> Array:
    return np.maximum(values, 0.0)


def _conv(values: Array, weight: Array, bias: Array, dilation: int) -> Array:
    """Cross-correlation, three taps, padded to keep the length: `[b, i, t]`, `[o, i, 3]` to `[b, o, t]`."""
    frames = values.shape[2]
    padded = np.pad(values, ((0, 0), (0, 0), (dilation, dilation)))
    result = np.broadcast_to(bias[None, :, None], (len(values), len(bias), frames)).copy()
    for tap in range(3):
        result += np.einsum("oi,bit->bot", weight[:, :, tap], padded[:, :, tap * dilation : tap * dilation + frames])
    return result


def perceptron(tensors: Mapping[str, Array], name: str, values: Array) -> Array:
    """Two linear layers with a ReLU between, of that name."""
    hidden = _relu(values @ tensors[f"{name}.fc1.weight"].T + tensors[f"{name}.fc1.bias"])
    return hidden @ tensors[f"{name}.fc2.weight"].T + tensors[f"{name}.fc2.bias"]
