"""The pose network with a scale for each joint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cogd.train.reference.published import encode, perceptron

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_COORDINATES = 34
_CHANGE_SCALE = 50.0
_STILL_SCALE = 3.0


def forward(weights: Mapping[str, NDArray[np.float32]], csi: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """`keypoints [batch, 34]` and `log_scale [batch, 17]` of model inputs `[batch, 56, frames]`; float32."""
    tensors = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items()}
    mean = csi.mean(axis=2, keepdims=True, dtype=np.float64)
    change = csi - mean
    encoded = encode(tensors, np.copysign(np.log1p(_CHANGE_SCALE * np.abs(change)), change))
    still = _STILL_SCALE * (mean[:, :, 0] - 1.0)
    values = perceptron(tensors, "pose", np.concatenate([encoded, still], axis=1))
    keypoints = 1.0 / (1.0 + np.exp(-values[:, :_COORDINATES]))
    return {
        "keypoints": keypoints.astype(np.float32),
        "log_scale": values[:, _COORDINATES:].astype(np.float32),
    }


def forward_v1(weights: Mapping[str, NDArray[np.float32]], csi: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """The published network: `keypoints [batch, 34]` of model inputs `[batch, 56, frames]`; float32."""
    tensors = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items()}
    logits = perceptron(tensors, "head", encode(tensors, csi))
    return {"keypoints": (1.0 / (1.0 + np.exp(-logits))).astype(np.float32)}
