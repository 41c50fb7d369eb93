"""`cogd bench`: how long it takes from a datagram to an event, here, and whether that has become worse."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cogd.cli.common import add_settings_arguments, catalogue, load_all, no_app, read_settings
from cogd.errors import ConfigError, RegressionError, ResultsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cogd.bench.figures import Result

MOST_NODES = 4000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, and what to do with it."""
    add_settings_arguments(parser)
    parser.add_argument(
        "--frames", type=int, default=10_000, metavar="N", help="in the tight loop (default %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, metavar="S", help="of the daemon at 25 Hz, each (default %(default)g)"
    )
    parser.add_argument(
        "--nodes", type=_counts, default=(), metavar="N[,N...]", help="measure the daemon with so many nodes too"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument(
        "--append",
        type=Path,
        nargs="?",
        const=Path("bench"),
        metavar="FOLDER",
        help="add the result to FOLDER/results.jsonl and write FOLDER/RESULTS.md anew (default bench)",
    )
    parser.add_argument(
        "--against", type=Path, metavar="FILE", help="compare with the last run of a results.jsonl; status 1 if worse"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, add, print, compare."""
    _check(arguments)
    settings = read_settings(arguments).settings
    from cogd.bench.standard import standard_catalogue

    loaded, rejected = load_all(standard_catalogue() if arguments.demo else catalogue(arguments, settings))
    if not loaded:
        raise no_app(settings, rejected)
    apps = [app for app in loaded if app.window.cell_s is None]
    if not apps:
        raise ConfigError("no app has an event for every frame", hint="apps whose columns are cells are not measured")

    from cogd import log
    from cogd.bench.log import LOG, append, read
    from cogd.bench.suite import measure
    from cogd.bench.tables import text

    log.configure("warn")
    for item in rejected:
        print(f"cogd: left out: {item.path}: {item.error}", file=sys.stderr)
    for app in loaded:
        if app not in apps:
            print(f"cogd: left out: {app.id}: its columns are cells, so not every frame has an event", file=sys.stderr)
    earlier = read(arguments.against) if arguments.against else None
    if earlier == []:
        raise ResultsError(f"{arguments.against}: there is no run in it", hint="add one with `cogd bench --append`")
    if arguments.append and (arguments.append / LOG).exists():
        read(arguments.append / LOG)  # what can't be added to is told before anybody waits
    result = measure(apps, settings, arguments.frames, arguments.seconds, arguments.nodes, _say)
    if not arguments.json:
        print(text(result), flush=True)  # before anything that may fail: it took minutes
    if arguments.append:
        append(arguments.append, result)
    return _compare(result, earlier, as_json=arguments.json)


def _check(arguments: argparse.Namespace) -> None:
    if not 1 <= arguments.frames <= 10_000_000:
        raise ConfigError(f"--frames {arguments.frames} is not within 1..10000000", hint="give a number of frames")
    if not 1 <= arguments.seconds <= 86_400:
        raise ConfigError(
            f"--seconds {arguments.seconds:g} is not within 1..86400", hint="a window takes 0.8 s to fill"
        )


def _compare(result: Result, earlier: Sequence[Result] | None, *, as_json: bool) -> int:
    """Print what became of the figures, for machines with the result in one document; returns the exit status."""
    from cogd.bench.compare import compare, table

    comparison = compare(result, earlier) if earlier else None
    if as_json:
        print(msgspec.json.encode({"result": result, "comparison": comparison}).decode())
    elif comparison is not None:
        print(f"\n{table(comparison)}")
    if comparison is None or not comparison.regressions:
        return 0
    regression = RegressionError(f"worse than on {comparison.date}: {', '.join(comparison.regressions)}")
    if not as_json:
        raise regression
    print(f"cogd: {regression.code}: {regression}", file=sys.stderr)  # the one document on stdout says it too
    return regression.exit_status


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError:
        counts = ()
    if not counts or counts[0] < 1 or counts[-1] > MOST_NODES:
        raise argparse.ArgumentTypeError(f"{text!r} is not numbers of nodes, 1..{MOST_NODES}, with commas between")
    return counts


def _say(what: str) -> None:
    """Where somebody watches, what they wait for."""
    if sys.stderr.isatty():
        print(f"cogd: measuring {what}", file=sys.stderr)
