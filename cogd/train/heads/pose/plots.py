"""Pictures of poses for the report: skeletons beside the truth, and whether the stated radii hold the joints."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from scipy.special import gammaincinv

from cogd.heads.pose.rules import RADIUS_50
from cogd.sim.bodies import JOINTS
from cogd.train.report.panel import Panel
from cogd.train.report.plots import MODEL, TRUTH, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from numpy.typing import NDArray

    from cogd.train.predictions import Predictions

_BONES: Final = tuple(
    (JOINTS.index(first), JOINTS.index(second))
    for first, second in (
        ("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "left_ear"), ("right_eye", "right_ear"),
        ("left_shoulder", "right_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"), ("left_shoulder", "left_hip"),
        ("right_shoulder", "right_hip"), ("left_hip", "right_hip"), ("left_hip", "left_knee"),
        ("left_knee", "left_ankle"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
    )
)  # fmt: skip
OVERLAYS: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Which skeletons are drawn: those at these places in the order of the error, so that nobody picks them."""


def pose_panels(predictions: Predictions) -> list[Panel]:
    """Return the skeletons."""
    return [Panel("Skeletons, from good to bad", 2, 2.9, partial(overlays, predictions=predictions))]


def radius_panels(predictions: Predictions) -> list[Panel]:
    """Return how well the radii hold the joints; nothing where the model states none."""
    if predictions.radius is None:
        return []
    return [Panel("Do the radii hold the joints?", 1, 3.6, partial(radii, predictions=predictions))]


def overlays(canvas: SubFigure, predictions: Predictions) -> None:
    """Skeletons over the truth, at fixed places in the order of the error: from good to bad, not the best ones."""
    error = np.linalg.norm(predictions.predicted - predictions.truth, axis=-1).mean(axis=1)
    order = np.argsort(error, kind="stable")
    chosen = [int(order[round(place * (len(order) - 1))]) for place in OVERLAYS]
    for number, (axes, row) in enumerate(zip(canvas.subplots(1, len(OVERLAYS)), chosen, strict=True)):
        if predictions.radius is not None:
            _radii(axes, predictions.predicted[row], predictions.radius[row])
        _skeleton(axes, predictions.truth[row], TRUTH, 2.4)
        _skeleton(axes, predictions.predicted[row], MODEL, 1.4)
        axes.set_aspect("equal")
        axes.set_xlim(0, 1)
        axes.set_ylim(1, 0)  # a picture's y goes down
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_color("#d0d0d0")
        axes.set_xlabel(f"{OVERLAYS[number]:.0%} are closer\nmean distance {error[row]:.3f}", fontsize=8.5)
    handles = [Line2D([], [], color=TRUTH, linewidth=2.4, label="true")]
    handles.append(Line2D([], [], color=MODEL, linewidth=1.4, label="said"))
    if predictions.radius is not None:
        circle = Line2D([], [], marker="o", color=MODEL, alpha=0.35, markersize=9, fillstyle="none", linestyle="none")
        circle.set_label("holds the joint half of the time")
        handles.append(circle)
    canvas.legend(handles=handles, loc="outside upper right", ncols=len(handles), frameon=False, fontsize=8)


def _skeleton(axes: Axes, pose: NDArray[np.float32], color: str, width: float) -> None:
    for first, second in _BONES:
        axes.plot(pose[[first, second], 0], pose[[first, second], 1], color=color, linewidth=width, alpha=0.85)
    axes.plot(pose[:, 0], pose[:, 1], ".", color=color, markersize=2.5)


def _radii(axes: Axes, pose: NDArray[np.float32], radius: NDArray[np.float64]) -> None:
    for (x, y), far in zip(pose.tolist(), radius.tolist(), strict=True):
        axes.add_patch(Circle((x, y), far, edgecolor=MODEL, facecolor="none", linewidth=0.6, alpha=0.35))


def radii(canvas: SubFigure, predictions: Predictions) -> None:
    """How many errors are within the radius for each probability, of each joint and of all together."""
    if predictions.radius is None:
        return
    scaled = np.linalg.norm(predictions.predicted - predictions.truth, axis=-1) / predictions.radius * RADIUS_50
    stated = np.linspace(0.02, 0.98, 49)
    within = (scaled[..., None] <= gammaincinv(2, stated)).mean(axis=0)  # [joints, probabilities]
    axes = canvas.add_subplot()
    plain(axes)
    axes.plot([0, 1], [0, 1], color=TRUTH, linewidth=1, linestyle=(0, (4, 3)))
    axes.plot(stated, within.T, color=MODEL, linewidth=0.6, alpha=0.4)
    axes.plot(stated, within.mean(axis=0), color=MODEL, linewidth=1.8)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("probability that is stated (dashed: it holds; thin: each joint)", fontsize=8)
    axes.set_ylabel("share of joints within the radius")
    axes.grid(color="#e6e6e6")
