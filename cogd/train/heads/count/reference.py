"""The count network of this project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cogd.train.reference.published import encode, perceptron

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

_LAYERS: Final = ((1, 2, 1, 2), (2, 2, 1, 2), (3, 1, 2, 2))
"""Number, stride, dilation and padding of each convolution."""


def forward(weights: Mapping[str, NDArray[np.float32]], csi: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """`count_logits [batch, 8]` and `conf_logits [batch, 1]`, float32, of model inputs `[batch, 56, frames]`."""
    tensors = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items()}
    encoded = csi.astype(np.float64)
    encoded = encoded - encoded.mean(axis=2, keepdims=True)
    encoded = 10.0 * encoded / (1.0 + np.abs(10.0 * encoded))
    for number, stride, dilation, padding in _LAYERS:
        weight, bias = tensors[f"strided.c{number}.weight"], tensors[f"strided.c{number}.bias"]
        encoded = np.maximum(_conv(encoded, weight, bias, stride, dilation, padding), 0.0)
    pooled = encoded.mean(axis=2)
    return {
        f"{head}_logits": _perceptron(tensors, f"{head}_head", pooled).astype(np.float32) for head in ("count", "conf")
    }


def _conv(values: Array, weight: Array, bias: Array, stride: int, dilation: int, padding: int) -> Array:
    """Cross-correlation: `[b, i, t]` and `[o, i, taps]` to `[b, o, columns]`, a column for every whole stride."""
    padded = np.pad(values, ((0, 0), (0, 0), (padding, padding)))
    reach = dilation * (weight.shape[2] - 1) + 1
    starts = np.arange(0, padded.shape[2] - reach + 1, stride)
    taps = dilation * np.arange(weight.shape[2])
    seen = padded[:, :, starts[:, None] + taps]
    convolved: Array = np.einsum("bict,oit->boc", seen, weight, optimize=True) + bias[:, None]
    return convolved


def _perceptron(tensors: Mapping[str, Array], name: str, values: Array) -> Array:
    hidden = np.maximum(values @ tensors[f"{name}.fc1.weight"].T + tensors[f"{name}.fc1.bias"], 0.0)
    return hidden @ tensors[f"{name}.fc2.weight"].T + tensors[f"{name}.fc2.bias"]


def forward_v1(weights: Mapping[str, NDArray[np.float32]], csi: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The published network: `count_logits [batch, 8]` and `conf_logits [batch, 1]`, float32."""
    tensors = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items()}
    pooled = encode(tensors, csi)
    return {
        "count_logits": perceptron(tensors, "count_head", pooled).astype(np.float32),
        "conf_logits": perceptron(tensors, "conf_head", pooled).astype(np.float32),
    }
