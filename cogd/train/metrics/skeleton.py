"""What a pose's joints are, and the lengths that its errors are measured by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cogd.sim.bodies import JOINTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Mask = NDArray[np.bool_]

_NO_LENGTH = 1e-6


@dataclass(frozen=True)
class Tolerance:
    """How far a joint may be from the truth and still be right.

    Attributes:
        name: the figure's name: `pck20_torso_rsho_lhip`.
        text: `20% of the distance between ...`.
        of: tolerance `[n]` of truths `[n, joints, dims]` and which joints are visible; NaN where there is none.
    """

    name: str
    text: str
    of: Callable[[Array, Mask], Array]


@dataclass(frozen=True)
class Normaliser:
    """A length of the truth that errors are measured by.

    Attributes:
        name: in figures' names.
        text: in their definitions.
        length: `[n]`; NaN where a pose has none.
        family: `pck`, or `pckh` where the length is a head's.
    """

    name: str
    text: str
    length: Callable[[Array, Mask], Array]
    family: str = "pck"

    def share(self, share: float) -> Tolerance:
        """That much of the length."""
        return Tolerance(
            f"{self.family}{share * 100:.0f}_{self.name}",
            f"{share:.0%} of {self.text}",
            lambda truth, visible: share * self.length(truth, visible),
        )


@dataclass(frozen=True)
class Space:
    """The coordinates that poses are in: a word for figures' names, and what it means."""

    name: str
    text: str

    def within(self, distance: float) -> Tolerance:
        """The same distance for every pose, large or small."""
        return Tolerance(
            f"pck_abs{distance:g}_{self.name}",
            f"a distance of {distance:g}",
            lambda truth, _: np.full(len(truth), distance),
        )


PICTURE: Final = Space("picture", "in picture coordinates (width = height = 1)")
METRES: Final = Space("m", "in metres")


def between(first: int, second: int, name: str, text: str, family: str = "pck") -> Normaliser:
    """The distance between two joints; a pose has none where one isn't visible or the two coincide."""

    def length(truth: Array, visible: Mask) -> Array:
        distance = np.linalg.norm(truth[:, first] - truth[:, second], axis=-1)
        return np.where(visible[:, first] & visible[:, second] & (distance >= _NO_LENGTH), distance, np.nan)

    return Normaliser(name, text, length, family)


def box_sides(truth: Array, visible: Mask) -> Array:
    """Sides `[n, dims]` of the smallest upright box around the visible joints; NaN where none is visible."""
    seen = visible[..., None]
    low = np.where(seen, truth, np.inf).min(axis=1)
    high = np.where(seen, truth, -np.inf).max(axis=1)
    some = np.asarray(visible.any(axis=1))
    return np.where(some[:, None], high - np.where(np.isfinite(low), low, 0), np.nan)


def _box_diagonal(truth: Array, visible: Mask) -> Array:
    diagonal = np.linalg.norm(box_sides(truth, visible), axis=-1)
    return np.where(diagonal >= _NO_LENGTH, diagonal, np.nan)


def _hips_else_box(truth: Array, visible: Mask) -> Array:
    hips = HIPS.length(truth, visible)
    return np.where(np.isfinite(hips), hips, _box_diagonal(truth, visible))


TORSO: Final = between(6, 11, "torso_rsho_lhip", "the distance between the truth's right shoulder and left hip")
HIPS: Final = between(11, 12, "hip_hip", "the distance between the truth's hips")
HIPS_ELSE_BOX: Final = Normaliser(
    "hip_hip_else_box",
    "the distance between the truth's hips, or of the diagonal of the box around its visible joints where a hip isn't "
    "visible or the two coincide (ADR-173's torso diameter; hips nearly coincide in profile)",
    _hips_else_box,
)
BOX: Final = Normaliser("box", "the diagonal of the box around the truth's visible joints", _box_diagonal)
EARS: Final = between(3, 4, "ears", "the distance between the truth's ears, as the head's size", "pckh")
TORSO_BODY25: Final = between(
    2,
    12,
    "torso_rsho_lhip",
    "the distance between the truth's right shoulder and left hip (joints 2 and 12 of BODY_25, elsewhere miscalled "
    "neck and pelvis)",
)
TORSO_H36M: Final = between(11, 1, "torso_lsho_rhip", "the distance between the truth's left shoulder and right hip")
HEAD_H36M: Final = between(
    8, 10, "neck_headtop", "the distance between the truth's neck and top of the head, as the head's size", "pckh"
)


@dataclass(frozen=True)
class Skeleton:
    """A joint set.

    Attributes:
        name: whose.
        joints: their names in order.
        tolerances: what its keypoints are counted as correct by, first the one that is also told for each joint.
        sigmas: the joints' fall-offs for OKS, or None where nobody published any.
    """

    name: str
    joints: tuple[str, ...]
    tolerances: tuple[Tolerance, ...]
    sigmas: tuple[float, ...] | None = None


COCO: Final = Skeleton(
    "COCO",
    JOINTS,
    (
        TORSO.share(0.2),
        TORSO.share(0.5),
        HIPS_ELSE_BOX.share(0.2),
        BOX.share(0.2),
        EARS.share(0.5),
        PICTURE.within(0.05),
    ),
    # https://cocodataset.org/#keypoints-eval, section 1.3
    (.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089),
)  # fmt: skip

BODY25: Final = Skeleton(
    "BODY_25, its first 15",
    (
        "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
        "mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    ),
    (TORSO_BODY25.share(0.2), TORSO_BODY25.share(0.5), BOX.share(0.2)),
)  # fmt: skip

H36M: Final = Skeleton(
    "Human3.6M",
    (
        "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "spine", "neck",
        "nose", "head_top", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
    ),
    (TORSO_H36M.share(0.2), TORSO_H36M.share(0.5), HEAD_H36M.share(0.5), BOX.share(0.2), METRES.within(0.05)),
)  # fmt: skip
