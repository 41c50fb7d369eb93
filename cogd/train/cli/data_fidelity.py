"""`cogd-train data fidelity`: how like real recordings the simulation is."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

from cogd.errors import ConfigError
from cogd.sim.chips import CHIPS
from cogd.sim.domain import DOMAINS, HOMES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from cogd.sim.domain import Domain
    from cogd.train.data.fidelity import Comparison, Measured
    from cogd.train.data.track import Dataset

_FASTEST_HZ = 100.0
_SIMULATED_MINUTES = 0.5
_FIRST_ROOM = 3_000_000
"""Rooms that neither train nor test."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Real data sets, and how much to simulate beside them."""
    parser.add_argument("dataset", nargs="+", help="real recordings, as espectre:DIR or geotec:DIR")
    parser.add_argument("--domain", choices=sorted(DOMAINS), default=HOMES.name, help="(%(default)s)")
    parser.add_argument("--rooms", type=int, default=30, metavar="N", help="simulated rooms (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="length of a piece (%(default)s)")
    parser.add_argument(
        "--chip", choices=sorted(CHIPS), help="of the simulated radios; else the recorded ones, if known"
    )
    parser.add_argument("--seed", type=int, default=1, help="of what happens in the rooms (%(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")


def run(arguments: argparse.Namespace) -> int:
    """Compare data set by data set."""
    import msgspec

    from cogd.train.data.dataset import open_dataset
    from cogd.train.data.fidelity import compare, measure

    if arguments.rooms < 1 or not 1 <= arguments.seconds <= 60 or not 0 <= arguments.seed < 900:
        raise ConfigError(
            "--rooms, --seconds or --seed is out of its bounds",
            hint="rooms must be 1 or more, seconds 1 to 60, and a seed 0 to 899",
        )
    reports = []
    for text in arguments.dataset:
        dataset = open_dataset(text)
        real = measure(dataset, arguments.seconds)
        simulation = beside(dataset, DOMAINS[arguments.domain], arguments)
        simulated = measure(simulation, arguments.seconds, _tell)
        compared = compare(real, simulated)
        if not compared:
            raise ConfigError(
                f"{dataset.name} has no piece of {arguments.seconds:g} s with one label", hint="try fewer --seconds"
            )
        if arguments.json:
            rows = [{**dataclasses.asdict(row), "agrees": row.agrees, "covers": row.covers} for row in compared]
            reports.append({"real": dataset.name, "simulated": simulation.name, "statistics": rows})
        else:
            _print_table(dataset, simulation, (real, simulated), compared)
    if arguments.json:
        print(msgspec.json.encode({"piece_s": arguments.seconds, "reports": reports}).decode())
    return 0


def beside(dataset: Dataset, domain: Domain, arguments: argparse.Namespace) -> Dataset:
    """Rooms with the chips of the real recordings, empty and with one person, at their rate."""
    from cogd.train.data.simulated import SimulatedRooms, simulated_rooms

    recordings = dataset.recordings()
    names = {(recording.chip or "").lower().removeprefix("esp32-") for recording in recordings}
    recorded = tuple(sorted(name for name in names if name in CHIPS))
    chips = (arguments.chip,) if arguments.chip else recorded or domain.chips
    rates = sorted(recording.rate_hz for recording in recordings if recording.rate_hz is not None)
    rate_hz = min(_FASTEST_HZ, round(rates[len(rates) // 2])) if rates else _FASTEST_HZ
    plan = SimulatedRooms(
        rooms=tuple(range(_FIRST_ROOM, _FIRST_ROOM + arguments.rooms)),
        persons=(0, 1),
        minutes=_SIMULATED_MINUTES,
        nodes=1,
        seed=arguments.seed,
        rates_hz=(rate_hz, rate_hz),
        domain=dataclasses.replace(domain, chips=chips),
    )
    return simulated_rooms(plan)


def _tell(done: int, of: int) -> None:
    if sys.stderr.isatty():
        print(f"\rsimulated {done} of {of}", end="\n" if done == of else "", file=sys.stderr)


def _print_table(
    dataset: Dataset, simulation: Dataset, pieces: tuple[Measured, Measured], compared: Sequence[Comparison]
) -> None:
    from cogd.train.data.fidelity import STATISTICS

    print(f"real: {dataset.name}\nsimulated: {simulation.name}")
    for label in dict.fromkeys(row.label for row in compared):
        rows = [row for row in compared if row.label == label]
        real, simulated = (len(measured[label]) for measured in pieces)
        agree, covered = sum(row.agrees for row in rows), sum(row.covers for row in rows)
        print(f"\n{label}: {real} real pieces, {simulated} simulated; {agree} of {len(rows)} agree, {covered} covered")
        quantiles = f"{'10 %':>9} {'50 %':>9} {'90 %':>9}"
        print(f"{'':20} {'real':>5}{quantiles[5:]}  {'sim.':>5}{quantiles[5:]}  distance inside")
        for row in rows:
            figures = "  ".join(" ".join(f"{value:9.3f}" for value in side) for side in (row.real, row.simulated))
            differs = ("" if row.agrees else "  differs") + ("" if row.covers else "  not covered")
            print(f"{row.statistic:20} {figures}  {row.distance:8.2f} {row.inside:6.2f}{differs}")
    print(
        "\nAgrees: the simulated median lies between the real 10 % and 90 %. Covered: the real median lies between the"
    )
    print("simulated 10 % and 90 %. Distance: the largest one of the distribution functions (Kolmogorov-Smirnov).")
    print("Inside: share of the simulated pieces within the real range.")
    for name, meaning in STATISTICS.items():
        print(f"  {name}: {meaning}")
