"""From what a body does to where its joints and the parts that scatter waves are.

Segment lengths are the usual fractions of the body height (Drillis and Contini 1966, as reprinted in Winter,
Biomechanics and Motor Control of Human Movement, 4th ed., figure 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.float64]

JOINTS: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
"""COCO's 17 keypoints in COCO's order."""

SCATTERERS_RCS_M2 = np.asarray(
    [0.16, 0.54, 0.54, 0.42, 0.16, 0.16, 0.13, 0.13, 0.19, 0.19, 0.13, 0.13], dtype=np.float32
)
"""Radar cross-section of the parts that scatter: head, chest, belly, pelvis, elbows, wrists, knees, ankles. Together
2.9 m2. An adult's is of the order of 1 m2 (Knott, Radar Cross Section, 2nd ed., table 4); the rest stands for what is
left out, above all paths by more than one wall: with 0.9 m2 the tones varied half as much as in recordings of somebody
moving, with this three quarters as much (`cogd-train data fidelity`)."""

_THIGH, _SHANK, _UPPER_ARM, _FOREARM, _ANKLE_HEIGHT = 0.245, 0.246, 0.186, 0.146, 0.039
_TRUNK, _HEAD, _HALF_SHOULDERS, _HALF_HIPS = 0.288, 0.13, 0.115, 0.075


class Channel(IntEnum):
    """Columns of a track: what a body does at every step."""

    X = 0
    Y = 1
    HEADING = 2
    SPEED = 3
    STRIDE = 4  # phase of the gait, radians
    SITTING = 5  # 0 standing, 1 sitting
    PITCH = 6  # 0 upright, pi/2 lying on the back
    WAVE = 7  # 0 arm hanging, 1 arm raised
    WAVE_PHASE = 8  # of the raised forearm, radians


@dataclass(frozen=True)
class Build:
    """What a person is like.

    Attributes:
        height_m: standing.
        build: factor on width and on the root of the radar cross-section.
        sway_hz: of the trunk and of the hanging arms.
        breath_hz: how often the chest moves.
        breath_m: how far.
    """

    height_m: float
    build: float
    sway_hz: tuple[float, float]
    breath_hz: float
    breath_m: float


def joints_of(track: NDArray[np.float64], times_s: Column, build: Build) -> NDArray[np.float64]:
    """Forward kinematics: joints `[n, 17, 3]` of a track `[n, 9]`."""
    h = build.height_m
    _, _, _, speed, stride, sitting, _, wave, wave_phase = track.T
    swing = 0.5 * speed / 1.2 * np.sin(stride)
    lifts = [0.9 * np.minimum(speed, 1.0) * np.maximum(0.0, np.sin(stride + 1.2 + turn)) for turn in (0.0, np.pi)]
    seat = sitting * np.pi / 2
    legs = [_limb(_THIGH * h, _SHANK * h, seat + sign * swing, -(1 - sitting) * lift - seat)
            for sign, lift in zip((1.0, -1.0), lifts, strict=True)]  # fmt: skip
    hip_z = -np.minimum(legs[0][1][1], legs[1][1][1])
    gesture = 0.06 * np.sin(2 * np.pi * build.sway_hz[1] * times_s) * np.maximum(0.0, 1.0 - speed / 0.3)
    hanging = [-sign * swing + 0.5 * sitting + gesture for sign in (1.0, -1.0)]
    bent = 0.35 + 0.9 * sitting
    raised = hanging[1] * (1 - wave) + 2.2 * wave  # the right arm waves
    forearm = bent * (1 - wave) + (0.7 + 0.6 * np.sin(wave_phase)) * wave
    arms = [_limb(_UPPER_ARM * h, _FOREARM * h, hanging[0], bent), _limb(_UPPER_ARM * h, _FOREARM * h, raised, forearm)]
    lean = 0.25 * np.sin(np.pi * sitting) + 0.05
    shoulder_z, shoulder_y = hip_z + _TRUNK * h * np.cos(lean), _TRUNK * h * np.sin(lean)
    head_z, head_y = shoulder_z + _HEAD * h, shoulder_y + 0.02 * h

    local = np.empty((len(track), 17, 3))  # right, forward, up of each joint
    for joint, (right, ahead, up) in enumerate(
        [(0.0, 0.09, 0.0), (-0.032, 0.08, 0.03), (0.032, 0.08, 0.03), (-0.075, 0.0, 0.02), (0.075, 0.0, 0.02)]
    ):
        _put(local, joint, right, head_y + ahead, head_z + up)
    for side, sign in enumerate((-1.0, 1.0)):
        arm, leg = arms[side], legs[side]
        _put(local, 5 + side, sign * _HALF_SHOULDERS * h, shoulder_y, shoulder_z)
        for part in (0, 1):
            outside = sign * _HALF_SHOULDERS * h * 1.1
            _put(local, 7 + 2 * part + side, outside, shoulder_y + arm[part][0], shoulder_z + arm[part][1])
            _put(local, 13 + 2 * part + side, sign * _HALF_HIPS * h, leg[part][0], hip_z + leg[part][1])
        _put(local, 11 + side, sign * _HALF_HIPS * h, 0.0, hip_z)
    local[..., 0] += 0.006 * np.sin(2 * np.pi * build.sway_hz[0] * times_s)[:, None]
    return _placed(local, track, h)


def _placed(local: NDArray[np.float64], track: NDArray[np.float64], height_m: float) -> NDArray[np.float64]:
    """Turn (right, forward, up) into the room's axes: tip over backwards, turn to the heading, set on the floor."""
    tip = track[:, Channel.PITCH]
    if tip.any():
        cos, sin = np.cos(tip)[:, None], np.sin(tip)[:, None]
        middle = (_THIGH + _SHANK) * height_m * np.sin(tip)[:, None]  # so that the hips stay over their place
        ahead, up = local[..., 1].copy(), local[..., 2].copy()
        local[..., 1] = ahead * cos - up * sin + middle
        local[..., 2] = ahead * sin + up * cos
    cos, sin = np.cos(track[:, Channel.HEADING])[:, None], np.sin(track[:, Channel.HEADING])[:, None]
    right, ahead, up = (local[..., axis] for axis in range(3))
    placed = np.empty_like(local)
    placed[..., 0] = track[:, Channel.X, None] + ahead * cos + right * sin
    placed[..., 1] = track[:, Channel.Y, None] + ahead * sin - right * cos
    placed[..., 2] = up - up.min(axis=1, keepdims=True) + _ANKLE_HEIGHT * height_m
    return placed


def scatterers_of(joints: NDArray[np.float64], times_s: Column, build: Build) -> NDArray[np.float32]:
    """Where `SCATTERERS_RCS_M2` are, `[n, 12, 3]`, of joints `[n, 17, 3]`; the chest breathes."""
    shoulders, hips = joints[:, 5:7].mean(axis=1), joints[:, 11:13].mean(axis=1)
    across, up = joints[:, 6] - joints[:, 5], shoulders - hips
    ahead = np.cross(up, across)
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    breath = build.breath_m * np.sin(2 * np.pi * build.breath_hz * times_s)[:, None]
    points = np.empty((len(joints), 12, 3), dtype=np.float32)
    points[:, 0] = joints[:, 3:5].mean(axis=1)
    points[:, 1] = hips + 0.75 * up + ahead * (0.11 * build.build + breath)
    points[:, 2] = hips + 0.35 * up + ahead * (0.11 * build.build + 0.5 * breath)
    points[:, 3] = hips
    points[:, 4:8] = joints[:, 7:11]
    points[:, 8:12] = joints[:, 13:17]
    return points


def _put(local: NDArray[np.float64], joint: int, right: float, ahead: Column | float, up: Column) -> None:
    local[:, joint, 0], local[:, joint, 1], local[:, joint, 2] = right, ahead, up


def _limb(
    upper_m: float, lower_m: float, angle: Column, bend: Column
) -> tuple[tuple[Column, Column], tuple[Column, Column]]:
    """A two-segment limb hanging down: (forward, up) of its middle and of its end, from its root."""
    middle = upper_m * np.sin(angle), -upper_m * np.cos(angle)
    lower = angle + bend
    return middle, (middle[0] + lower_m * np.sin(lower), middle[1] - lower_m * np.cos(lower))
