"""What `cogd-train pose` and `count` share: data, recipe, progress, report."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cogd.errors import ConfigError, TrainError
from cogd.train import rundir
from cogd.train.data.simulated import SimulatedRooms, simulate_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cogd.train.data.windows import Windows
    from cogd.train.recipe import Recipe

_TRAINING_ROOM, _HELD_OUT_ROOM = 100_000, 1_000_000
"""Rooms are numbered from here, on by a thousand with each seed: training rooms, held-out ones and the small numbers
that people give to `sim:` never meet."""


def add_training_arguments(parser: argparse.ArgumentParser, recipe: Recipe, persons: Sequence[int]) -> None:
    """Data and recipe; defaults are the published recipe's."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run directory to write")
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="log that the finished run adds a line to (training.jsonl beside DIR)"
    )
    parser.add_argument("--resume", action="store_true", help="go on from the run directory's checkpoint")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to train; auto: CUDA if there is one"
    )
    data = parser.add_argument_group("data: simulated, unless --paired is given")
    data.add_argument("--paired", type=Path, metavar="FILE", help="paired.jsonl: CSI with keypoints of a camera")
    data.add_argument("--licence", default="not stated", metavar="TEXT", help="licence of that file, for the bundle")
    data.add_argument("--rooms", type=int, default=40, metavar="N", help="simulated rooms to train on (%(default)s)")
    data.add_argument("--held-out-rooms", type=int, default=8, metavar="N", help="rooms only to test on (%(default)s)")
    data.add_argument("--minutes", type=float, default=2.0, metavar="M", help="of each scene (%(default)s)")
    data.add_argument("--nodes", type=int, default=2, metavar="N", help="nodes in each room (%(default)s)")
    data.add_argument("--stride", type=int, default=20, metavar="N", help="frames from window to window (%(default)s)")
    data.add_argument(
        "--persons",
        type=_numbers,
        default=tuple(persons),
        metavar="N,N",
        help="persons in the scenes, one scene each",
    )
    train = parser.add_argument_group("recipe: the published one, unless changed")
    train.add_argument("--seed", type=int, default=recipe.seed, help="of data, weights and order (%(default)s)")
    train.add_argument("--epochs", type=int, default=recipe.epochs, help="(%(default)s)")
    train.add_argument("--batch-size", type=int, default=recipe.batch_size, help="0: all at once (%(default)s)")
    train.add_argument("--learning-rate", type=float, default=recipe.learning_rate, help="(%(default)s)")


def run_training(arguments: argparse.Namespace, base: Recipe) -> int:
    """Make or read the data, train, print the report."""
    from cogd.train.report.log import DEFAULT_NAME
    from cogd.train.run import Run, train

    if arguments.epochs < 1 or arguments.batch_size < 0 or not 0 < arguments.learning_rate <= 1:
        raise ConfigError("epochs must be 1 or more, batch size 0 or more, learning rate above 0 and at most 1")
    recipe = dataclasses.replace(
        base,
        seed=arguments.seed,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
    )
    windows, held_out = _data(arguments)
    if arguments.resume and not (arguments.out / rundir.CHECKPOINT).exists():
        raise TrainError(f"{arguments.out} holds no checkpoint", hint="train without --resume")
    log = arguments.log or arguments.out.resolve().with_name(DEFAULT_NAME)
    run = Run(recipe, windows, held_out, arguments.out, resume=arguments.resume, device=arguments.device, log=log)
    with _Bar(recipe.epochs, "training") as bar:
        train(run, lambda epoch, loss, score: bar.to(epoch, loss=f"{loss:.4f}", calibration=f"{score:.4f}"))
    print((arguments.out / rundir.REPORT_TEXT).read_text(encoding="utf-8"), end="")
    print(
        f"run directory {arguments.out}: bundle it with `cogd-train bundle --model {arguments.out}/{rundir.MODEL} ...`"
    )
    return 0


def _data(arguments: argparse.Namespace) -> tuple[Windows, Windows | None]:
    if arguments.paired is not None:
        from cogd.train.data.paired import read_paired

        return read_paired(arguments.paired, arguments.licence), None
    if min(arguments.rooms, arguments.nodes, arguments.stride) < 1 or not 0 < arguments.minutes < math.inf:
        raise ConfigError("rooms, nodes, stride and minutes must be above 0")
    if arguments.nodes > 255 or not 0 <= arguments.seed < 900:
        raise ConfigError("a room holds 255 nodes at most, and a seed is 0 to 899")
    if max(arguments.rooms, arguments.held_out_rooms) > 1000:
        raise ConfigError("a seed has 1000 rooms at most")

    def simulate(first: int, rooms: int, label: str) -> Windows:
        plan = SimulatedRooms(
            rooms=tuple(range(first, first + rooms)),
            persons=arguments.persons,
            minutes=arguments.minutes,
            nodes=arguments.nodes,
            seed=arguments.seed,
            stride=arguments.stride,
        )
        with _Bar(rooms * len(arguments.persons), label) as bar:
            return simulate_windows(plan, lambda done, _: bar.to(done))

    windows = simulate(_TRAINING_ROOM + arguments.seed * 1000, arguments.rooms, "simulating")
    if arguments.held_out_rooms < 1:
        return windows, None
    return windows, simulate(_HELD_OUT_ROOM + arguments.seed * 1000, arguments.held_out_rooms, "held-out rooms")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 0,1,2") from error
    if not numbers or min(numbers) < 0 or max(numbers) > 7 or len(set(numbers)) != len(numbers):
        raise argparse.ArgumentTypeError("numbers of persons are 0 to 7, each once")
    return numbers


class _Bar:
    """A progress bar on a terminal; silent elsewhere."""

    def __init__(self, total: int, label: str) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=total, desc=label, file=sys.stderr, disable=None, leave=False)
        self.to: Callable[..., None] = self._to

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def _to(self, done: int, **figures: str) -> None:
        if figures:
            self._bar.set_postfix(figures, refresh=False)
        self._bar.update(done - self._bar.n)
