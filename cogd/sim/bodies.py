"""Bodies: skeletons of 17 joints that walk, turn, stand and sit.

Segment lengths are the usual fractions of the body height (Drillis and Contini 1966, as reprinted in Winter,
Biomechanics and Motor Control of Human Movement, 4th ed., figure 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.sim.room import Room

JOINTS: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
"""COCO's 17 keypoints in COCO's order."""

STEP_S = 0.01
"""Bodies move in steps of this length; places between two steps are interpolated."""

_SITTING_DOWN_S = 1.2
_THIGH, _SHANK, _UPPER_ARM, _FOREARM, _ANKLE_HEIGHT = 0.245, 0.246, 0.186, 0.146, 0.039


class _Act(Enum):
    WALK = "walk"
    STAND = "stand"
    SIT = "sit"


@dataclass
class _State:
    """Where a body is and what it is doing."""

    x: float
    y: float
    heading: float
    speed: float = 0.0
    stride: float = 0.0  # phase of the gait, radians
    sitting: float = 0.0  # 0 standing, 1 sitting
    act: _Act = _Act.STAND
    until_s: float = 0.0
    goal: tuple[float, float] = (0.0, 0.0)


class Body:
    """One person. Its path depends on its generator alone, not on how it is asked for."""

    def __init__(self, room: Room, rng: np.random.Generator) -> None:
        self._room = room
        self._rng = rng
        self._height_m = float(rng.uniform(1.55, 1.9))
        self._pace_m_s = float(rng.uniform(0.7, 1.2))
        x, y = room.random_place(rng)
        self._state = _State(x, y, float(rng.uniform(-np.pi, np.pi)))
        self._steps = 0
        self._sway = rng.uniform(0.15, 0.5, size=2)

    def advance(self, steps: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Live on for some steps; returns joints `[steps, 17, 3]` in metres and whether it moved, `[steps]`."""
        track = np.empty((steps, 7))
        for row in track:
            state = self._step()
            row[:] = state.x, state.y, state.heading, state.stride, state.sitting, state.speed, self._steps * STEP_S
        moving = track[:, 5] > 0.1
        sitting = track[:, 4]
        moving |= (sitting > 0) & (sitting < 1)
        return self._joints(track), moving

    def _step(self) -> _State:
        state, now_s = self._state, self._steps * STEP_S
        self._steps += 1
        if state.act is _Act.WALK:
            self._walk(state)
        else:
            self._move(state, 0.0)
            if now_s >= state.until_s:
                self._choose(state, now_s)
        wanted = 1.0 if state.act is _Act.SIT else 0.0
        state.sitting += float(np.clip(wanted - state.sitting, -STEP_S / _SITTING_DOWN_S, STEP_S / _SITTING_DOWN_S))
        return state

    def _choose(self, state: _State, now_s: float) -> None:
        if state.act is _Act.SIT:
            state.act, state.until_s = _Act.STAND, now_s + _SITTING_DOWN_S + 0.3
            return
        draw = self._rng.random()
        if draw < 0.7:
            state.act, state.goal = _Act.WALK, self._room.random_place(self._rng)
        elif draw < 0.85:
            state.act, state.until_s = _Act.SIT, now_s + self._rng.uniform(3.0, 7.0)
        else:
            state.act, state.until_s = _Act.STAND, now_s + self._rng.uniform(0.5, 2.5)

    def _walk(self, state: _State) -> None:
        away_x, away_y = state.goal[0] - state.x, state.goal[1] - state.y
        distance = float(np.hypot(away_x, away_y))
        turn = (np.arctan2(away_y, away_x) - state.heading + np.pi) % (2 * np.pi) - np.pi
        state.heading += float(np.clip(turn, -2.5 * STEP_S, 2.5 * STEP_S))
        facing = abs(turn) < 0.6
        wanted = self._pace_m_s * min(1.0, distance / 0.4) if facing else 0.0
        self._move(state, wanted)
        if distance < 0.15:
            state.act, state.until_s = _Act.STAND, self._steps * STEP_S + self._rng.uniform(0.2, 1.5)

    @staticmethod
    def _move(state: _State, wanted_m_s: float) -> None:
        """One step at a speed that comes nearer to the wanted one, by 2 m/s in a second at most."""
        state.speed += float(np.clip(wanted_m_s - state.speed, -2.0 * STEP_S, 2.0 * STEP_S))
        state.x += state.speed * np.cos(state.heading) * STEP_S
        state.y += state.speed * np.sin(state.heading) * STEP_S
        state.stride += 2 * np.pi * state.speed / 1.3 * STEP_S  # two steps of 0.65 m a cycle

    def _joints(self, track: NDArray[np.float64]) -> NDArray[np.float64]:
        """Forward kinematics: `[n, 7]` states to `[n, 17, 3]` joints."""
        x, y, heading, stride, sitting, speed, now_s = track.T
        h = self._height_m
        swing = 0.5 * speed / 1.2 * np.sin(stride)
        lift = 0.9 * np.minimum(speed, 1.0) * np.maximum(0.0, np.sin(stride + 1.2))
        lift_other = 0.9 * np.minimum(speed, 1.0) * np.maximum(0.0, np.sin(stride + 1.2 + np.pi))
        sway = 0.006 * np.sin(2 * np.pi * self._sway[0] * now_s)
        lean = 0.25 * np.sin(np.pi * sitting) + 0.05
        seat = sitting * np.pi / 2
        legs = [self._limb(_THIGH, _SHANK, seat + sign * swing, -(1 - sitting) * up - seat)
                for sign, up in ((1.0, lift), (-1.0, lift_other))]  # fmt: skip
        hip_z = _ANKLE_HEIGHT * h - np.minimum(legs[0][1][1], legs[1][1][1])
        gesture = 0.06 * np.sin(2 * np.pi * self._sway[1] * now_s) * np.maximum(0.0, 1.0 - speed / 0.3)
        arms = [self._limb(_UPPER_ARM, _FOREARM, -sign * swing + 0.5 * sitting + gesture, 0.35 + 0.9 * sitting)
                for sign in (1.0, -1.0)]  # fmt: skip
        shoulder_z = hip_z + 0.288 * h * np.cos(lean)
        shoulder_y = 0.288 * h * np.sin(lean)
        head_z, head_y = shoulder_z + 0.13 * h, shoulder_y + 0.02 * h
        zero = np.zeros_like(x)
        body = [  # (right, forward, up) of each joint, COCO's order; left is negative
            (zero, head_y + 0.09, head_z), (zero - 0.032, head_y + 0.08, head_z + 0.03),
            (zero + 0.032, head_y + 0.08, head_z + 0.03), (zero - 0.075, head_y, head_z + 0.02),
            (zero + 0.075, head_y, head_z + 0.02),
        ]  # fmt: skip
        shoulder, hip = 0.115 * h, 0.075 * h
        body += [(zero + side * shoulder, shoulder_y, shoulder_z) for side in (-1, 1)]
        for part in (0, 1):
            body += [(zero + side * shoulder * 1.1, shoulder_y + arm[part][0], shoulder_z + arm[part][1])
                     for side, arm in zip((-1, 1), arms, strict=True)]  # fmt: skip
        body += [(zero + side * hip, zero, hip_z) for side in (-1, 1)]
        for part in (0, 1):
            body += [(zero + side * hip, leg[part][0], hip_z + leg[part][1])
                     for side, leg in zip((-1, 1), legs, strict=True)]  # fmt: skip
        right, forward, up = (np.stack([joint[axis] for joint in body], axis=1) for axis in range(3))
        cos, sin = np.cos(heading)[:, None], np.sin(heading)[:, None]
        return np.stack(
            [x[:, None] + forward * cos + (right + sway[:, None]) * sin,
             y[:, None] + forward * sin - (right + sway[:, None]) * cos, up], axis=-1,
        )  # fmt: skip

    def _limb(
        self, upper: float, lower: float, angle: NDArray[np.float64], bend: NDArray[np.float64] | float
    ) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """A two-segment limb hanging down: (forward, up) of its middle and of its end, from its root."""
        h = self._height_m
        middle = upper * h * np.sin(angle), -upper * h * np.cos(angle)
        lower_angle = angle + bend
        return middle, (middle[0] + lower * h * np.sin(lower_angle), middle[1] - lower * h * np.cos(lower_angle))
