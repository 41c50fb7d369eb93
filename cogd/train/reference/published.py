"""The parts of the published networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Array = NDArray[np.float64]


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
