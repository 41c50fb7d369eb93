"""What `cogd bench` measures: tight and paced, and the sweep where it is asked for."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cogd.bench.figures import Figure, Result, Tight
from cogd.bench.live import measure_live
from cogd.bench.nodes import LIVE_LEAST, cost_noise, latency_noise, sweep, sweep_figures
from cogd.bench.tight import measure_tight
from cogd.machine import commit, split_cores, this_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cogd.runtime.app import App
    from cogd.settings import Settings


def measure(
    apps: Sequence[App],
    settings: Settings,
    frames: int,
    seconds: float,
    counts: Sequence[int] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Result:
    """Measure every app.

    Args:
        apps: what to measure, each by itself in the tight loop, all together in the daemon.
        settings: of the daemon.
        frames: events of each app in the tight loop.
        seconds: how long the daemon runs with each number of nodes.
        counts: numbers of nodes of the sweep; none leaves it out.
        say: told what is being measured.
    """
    say(f"the daemon, one node, {seconds:g} s")  # first: the simulation has not filled the memory yet
    paced, recorded = measure_live(apps, settings, 1, seconds)
    rows, noises = [], []
    for nodes in counts:
        say(f"the daemon, {nodes} nodes, {seconds:g} s")
        for row, spread in sweep(apps, settings, [nodes], seconds, split_cores()):
            rows.append(row)
            noises.append(spread)
    tight: list[Tight] = []
    compared: dict[str, Figure] = {}
    for app in apps:
        say(f"{app.id} in a tight loop, {frames} frames")
        measured, figures = measure_tight(app, frames)
        tight.append(measured)
        compared |= figures
    bare_us = sum(measured.bare_us.p50 for measured in tight if measured.bare_us is not None)
    if bare_us:  # what all apps' bare inferences of a frame take together
        for name, value, spread in (
            ("paced.cpu_ratio", paced.cpu_us_per_frame / bare_us, cost_noise(recorded)),
            ("paced.p50_ratio", paced.event_us.p50 / bare_us, latency_noise(recorded)),
        ):
            compared[name] = Figure(value=round(value, 4), noise=spread, least=LIVE_LEAST)
    return Result(
        date=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        commit=commit(),
        machine=this_machine(),
        tight=tight,
        paced=paced,
        nodes=rows,
        compared=compared | sweep_figures(rows, noises, bare_us),
    )
