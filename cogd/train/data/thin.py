"""Recordings as a slower node would have made them: some of their frames, at about even times."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from cogd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from cogd.train.data.track import Dataset, Recording, Track

_ALL: Final = "all"
_JITTER_S: Final = 0.003
"""Packets leave late by the absolute value of a normal deviate of this width, as clocks and queues have it."""


def parse_rates(text: str) -> tuple[float | None, ...]:
    """`all,50,20`: frames a second; None is a copy with all frames.

    Raises:
        ConfigError: it is not that, or a rate is there twice.
    """
    try:
        rates = tuple(None if word == _ALL else float(word) for word in text.split(","))
    except ValueError:
        rates = ()
    usable = all(rate is None or 0 < rate < math.inf for rate in rates)
    if not rates or not usable or len(set(rates)) != len(rates):
        raise ConfigError(f"thin={text} is not a list of different rates in hertz", hint="such as thin=all,50,20")
    return rates


def parse_seed(text: str) -> int:
    """A whole number.

    Raises:
        ConfigError: it is none, or below 0.
    """
    if not text.isascii() or not text.isdigit():
        raise ConfigError(f"thin_seed={text} is not a whole number", hint="such as thin=20&thin_seed=1")
    return int(text)


def thinned(dataset: Dataset, rates_hz: Sequence[float | None], seed: int = 0) -> Dataset:
    """Every recording once for each rate.

    Copies stay in their session, so that no split parts them, and are receivers of their own there.

    Args:
        dataset: what is thinned; a recording that is slower than a rate stays as it is.
        rates_hz: frames a second; None: all frames.
        seed: with another one, other frames stay, as with another slow node.
    """
    receivers = max((recording.node for recording in dataset.listed), default=0) + 1
    sessions: dict[str, list[Recording]] = {}
    for recording in dataset.listed:
        copies = [_copy(recording, rate_hz, number * receivers, seed) for number, rate_hz in enumerate(rates_hz)]
        sessions.setdefault(recording.session, []).extend(copies)
    listed = tuple(recording for session in sessions.values() for recording in session)
    drawn = f", seed {seed}" if seed else ""
    return replace(dataset, name=f"{dataset.name}, {_told(rates_hz)}{drawn}", listed=listed)


def _told(rates_hz: Sequence[float | None]) -> str:
    slower = [f"{rate_hz:g}" for rate_hz in rates_hz if rate_hz is not None]
    words = ["all frames"] if None in rates_hz else []
    return " and ".join([*words, *([f"thinned to {', '.join(slower)} Hz"] if slower else [])])


def _copy(recording: Recording, rate_hz: float | None, further: int, seed: int) -> Recording:
    if rate_hz is None:
        return replace(recording, node=recording.node + further)
    name = f"{recording.name}, thinned to {rate_hz:g} Hz" + (f", seed {seed}" if seed else "")
    own_seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    return replace(
        recording,
        name=name,
        node=recording.node + further,
        rate_hz=None if recording.rate_hz is None else min(recording.rate_hz, rate_hz),
        load=partial(_load, recording.load, rate_hz, own_seed),
    )


def _load(load: Callable[[], Track], rate_hz: float, seed: int) -> Track:
    track, generator = load(), np.random.default_rng(seed)
    edges = np.flatnonzero(np.diff(track.segment)) + 1
    rows = [
        first + rows_at_rate(track.time_s[first:end], rate_hz, generator)
        for first, end in zip([0, *edges], [*edges, len(track)], strict=True)
    ]
    kept = np.concatenate(rows)
    return track.take(kept)


def rows_at_rate(time_s: NDArray[np.float64], rate_hz: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Which frames, in ascending order of their times `[n]`, a node of this rate would have sent.

    The first at or after each tick of a clock, whose phase is drawn; each tick is late by a little.
    """
    if len(time_s) == 0:
        return np.empty(0, dtype=np.int64)
    ticks_s = np.arange(time_s[0] + generator.random() / rate_hz, time_s[-1], 1 / rate_hz)
    ticks_s += np.abs(generator.normal(0, _JITTER_S, len(ticks_s)))
    rows = np.unique(np.searchsorted(time_s, ticks_s))
    return rows[rows < len(time_s)].astype(np.int64)
