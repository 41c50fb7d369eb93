"""Bodies: people who walk, turn, stand, sit, wave, fall and lie, one act after another.

An act is worked out in one piece, from the state that the one before left; so a life depends on its generator alone,
not on how it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from cogd.sim.domain import KIT
from cogd.sim.skeleton import JOINTS, Build, Channel, joints_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cogd.sim.domain import Domain
    from cogd.sim.room import Room

__all__ = ["JOINTS", "RESTING", "STEP_S", "Act", "Body"]

STEP_S = 0.01
"""Bodies move in steps of this length; places between two steps are interpolated."""

_ACCELERATION_M_S2 = 2.0
_TURN_RAD_S = 2.2
_STRIDE_M = 1.3  # two steps of 0.65 m


class Act(IntEnum):
    """What somebody does."""

    STAND = 0
    SIT = 1
    LIE = 2
    WALK = 3
    TURN = 4
    WAVE = 5
    SIT_DOWN = 6
    STAND_UP = 7
    FALL = 8
    GET_UP = 9


RESTING = frozenset({Act.STAND, Act.SIT, Act.LIE})
"""Acts in which nobody is said to move."""

_AFTER_STANDING = ((Act.WALK, 0.62), (Act.TURN, 0.1), (Act.WAVE, 0.1), (Act.SIT_DOWN, 0.13), (Act.FALL, 0.05))
_ACTS = [act for act, _ in _AFTER_STANDING]
_ODDS = np.cumsum([odds for _, odds in _AFTER_STANDING])


@dataclass(frozen=True)
class Life:
    """A stretch of a body's life.

    Attributes:
        joints: `[n, 17, 3]` metres.
        act: int8 `[n]`, see `Act`.
    """

    joints: NDArray[np.float64]
    act: NDArray[np.int8]

    @property
    def moving(self) -> NDArray[np.bool_]:
        """Whether the person moved, `[n]`."""
        return np.asarray(self.act > Act.LIE)


class Body:
    """One person in a room.

    Args:
        room: where.
        rng: of everything that the person is and does.
        domain: what people are like and how restless.
        in_picture: whether the person stays where the camera sees all of it.
    """

    def __init__(self, room: Room, rng: np.random.Generator, domain: Domain = KIT, *, in_picture: bool = True) -> None:
        self._room, self._rng, self._domain, self._in_picture = room, rng, domain, in_picture
        self.build = Build(
            height_m=float(rng.uniform(*domain.body_height_m)),
            build=float(rng.uniform(*domain.body_build)),
            sway_hz=(float(rng.uniform(0.15, 0.5)), float(rng.uniform(0.15, 0.5))),
            breath_hz=float(rng.uniform(*domain.breath_hz)),
            breath_m=float(rng.uniform(*domain.breath_m)),
        )
        self._pace_m_s = float(rng.uniform(*domain.pace_m_s))
        self._activity = float(rng.uniform(*domain.activity))
        self._state = np.zeros(len(Channel))
        self._state[[Channel.X, Channel.Y]] = room.random_place(rng, in_picture=in_picture)
        self._state[Channel.HEADING] = rng.uniform(-np.pi, np.pi)
        self._track = np.empty((0, len(Channel)))
        self._acts = np.empty(0, dtype=np.int8)
        self._passed = 0
        self._act = Act.STAND

    def advance(self, steps: int) -> Life:
        """Live on for some steps."""
        while len(self._track) < steps:
            self._live()
        track, acts = self._track[:steps], self._acts[:steps]
        times_s = np.arange(self._passed, self._passed + steps, dtype=np.float64) * STEP_S
        self._track, self._acts = self._track[steps:], self._acts[steps:]
        self._passed += steps
        return Life(joints_of(track, times_s, self.build), acts)

    def _live(self) -> None:
        """Add one act to the track."""
        self._act = self._next()
        track = self._do(self._act)
        self._state = track[-1].copy()
        self._track = np.concatenate([self._track, track])
        self._acts = np.concatenate([self._acts, np.full(len(track), self._act, dtype=np.int8)])

    def _next(self) -> Act:
        last, draw = self._act, self._rng.random()
        if last in {Act.SIT_DOWN, Act.FALL}:
            return Act.SIT if last is Act.SIT_DOWN else Act.LIE
        if last in {Act.SIT, Act.LIE}:
            if draw > self._activity:
                return last
            return Act.STAND_UP if last is Act.SIT else Act.GET_UP
        if draw > self._activity:
            return Act.STAND
        return _ACTS[min(int(np.searchsorted(_ODDS, self._rng.random(), side="right")), len(_ACTS) - 1)]

    def _do(self, act: Act) -> NDArray[np.float64]:
        match act:
            case Act.WALK:
                return self._walk()
            case Act.TURN:
                return self._turn()
            case Act.WAVE:
                return self._wave()
            case Act.FALL:
                return self._fall()
            case Act.SIT_DOWN:
                return self._shift(Channel.SITTING, 1.0, self._rng.uniform(1.0, 1.6))
            case Act.STAND_UP:
                return self._shift(Channel.SITTING, 0.0, self._rng.uniform(1.0, 1.8))
            case Act.GET_UP:
                return self._shift(Channel.PITCH, 0.0, self._rng.uniform(1.8, 3.5))
            case Act.STAND | Act.SIT | Act.LIE:
                return self._hold(self._rng.uniform(*self._domain.rest_s))

    def _hold(self, seconds: float) -> NDArray[np.float64]:
        """As it was, for a while: `[steps, 9]`."""
        return np.tile(self._state, (max(2, round(seconds / STEP_S)), 1))

    def _shift(self, channel: Channel, to: float, seconds: float) -> NDArray[np.float64]:
        """One channel goes smoothly to a value."""
        track = self._hold(seconds)
        track[:, channel] += (to - track[:, channel]) * _smooth(len(track))
        return track

    def _turn_to(self, heading: float) -> NDArray[np.float64]:
        turn = (heading - self._state[Channel.HEADING] + np.pi) % (2 * np.pi) - np.pi
        seconds = 0.1 + abs(turn) / _TURN_RAD_S * np.pi / 2  # the fastest moment of a smooth turn is at that rate
        return self._shift(Channel.HEADING, float(self._state[Channel.HEADING] + turn), seconds)

    def _turn(self) -> NDArray[np.float64]:
        return self._turn_to(float(self._state[Channel.HEADING] + self._rng.uniform(0.6, np.pi) * self._sign()))

    def _walk(self) -> NDArray[np.float64]:
        x, y = self._room.random_place(self._rng, in_picture=self._in_picture)
        away_x, away_y = x - self._state[Channel.X], y - self._state[Channel.Y]
        turning = self._turn_to(float(np.arctan2(away_y, away_x)))
        distance = float(np.hypot(away_x, away_y))
        ramp_s = min(self._pace_m_s / _ACCELERATION_M_S2, (distance / _ACCELERATION_M_S2) ** 0.5)
        top_m_s = ramp_s * _ACCELERATION_M_S2
        seconds = 2 * ramp_s + (distance - ramp_s * top_m_s) / max(top_m_s, 0.05)
        self._state = turning[-1].copy()
        walking = self._hold(seconds)
        elapsed = np.arange(1, len(walking) + 1) * STEP_S
        speed = np.clip(_ACCELERATION_M_S2 * np.minimum(elapsed, seconds - elapsed), 0.0, top_m_s)
        covered = np.cumsum(speed) * STEP_S
        heading = walking[:, Channel.HEADING]
        walking[:, Channel.X] += covered * np.cos(heading)
        walking[:, Channel.Y] += covered * np.sin(heading)
        walking[:, Channel.SPEED] = speed
        walking[:, Channel.STRIDE] += 2 * np.pi * covered / _STRIDE_M
        walking[-1, Channel.SPEED] = 0.0
        return np.concatenate([turning, walking])

    def _wave(self) -> NDArray[np.float64]:
        track = self._hold(self._rng.uniform(1.5, 4.0))
        elapsed = np.arange(len(track)) * STEP_S
        raising = np.clip(np.minimum(elapsed, elapsed[::-1]) / 0.6, 0.0, 1.0)
        track[:, Channel.WAVE] = raising * raising * (3 - 2 * raising)
        track[:, Channel.WAVE_PHASE] = 2 * np.pi * self._rng.uniform(1.0, 2.2) * elapsed
        return track

    def _fall(self) -> NDArray[np.float64]:
        """Backwards, away from the nearest wall: the heading is turned so that there is room behind."""
        width, depth, _ = self._room.size_m
        x, y = self._state[Channel.X], self._state[Channel.Y]
        turning = self._turn_to(float(np.arctan2(y - depth / 2, x - width / 2)))
        self._state = turning[-1].copy()
        falling = self._shift(Channel.PITCH, np.pi / 2, self._rng.uniform(0.6, 1.1))
        falling[:, Channel.PITCH] = np.pi / 2 * np.linspace(0, 1, len(falling)) ** 2  # as a felled tree: ever faster
        return np.concatenate([turning, falling])

    def _sign(self) -> float:
        return 1.0 if self._rng.random() < 0.5 else -1.0


def _smooth(steps: int) -> NDArray[np.float64]:
    """From above 0 to 1 along half a cosine."""
    return np.asarray((1 - np.cos(np.pi * np.arange(1, steps + 1) / steps)) / 2)
