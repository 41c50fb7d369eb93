"""What the verbs that train share: configuration, data, progress, Ctrl-C, report."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cogd.errors import ConfigError, TrainError
from cogd.train import rundir
from cogd.train.configfile import parse_override, read_config
from cogd.train.heads.registry import trainer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from cogd.train.config import Config
    from cogd.train.load import Loaded, Progress

_FLAGS = {
    "device": "train.device", "paired": "data.spec", "licence": "data.licence", "rooms": "data.rooms",
    "held_out_rooms": "data.held_out_rooms", "minutes": "data.minutes", "nodes": "data.nodes",
    "stride": "data.stride", "persons": "data.persons", "seed": "train.seed", "epochs": "train.epochs",
    "batch_size": "train.batch_size", "learning_rate": "train.learning_rate", "out": "output.folder",
    "log": "output.log",
    "allow_leaky": "split.allow_leaky",
}  # fmt: skip
"""Options that are another way to write a key of the configuration."""


class TrainingVerb:
    """`cogd-train HEAD`: the verb that trains a head.

    Args:
        head: its name.
    """

    def __init__(self, head: str) -> None:
        self._head = head

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options for data and recipe."""
        add_training_arguments(parser, self._head)

    def run(self, arguments: argparse.Namespace) -> int:
        """Train; returns the exit status."""
        return run_training(arguments, self._head)


def add_training_arguments(parser: argparse.ArgumentParser, head: str) -> None:
    """Configuration, and the keys of it that are asked for most."""
    recipe = trainer_of(head).recipe
    parser.add_argument("--out", metavar="DIR", help="the run directory to write (output.folder)")
    parser.add_argument("--log", metavar="FILE", help="where the finished run adds a line (training.jsonl beside DIR)")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML or JSON; where it is missing, a template is written"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the configuration: train.epochs=10"
    )
    held = parser.add_mutually_exclusive_group()
    held.add_argument("--resume", action="store_true", help="go on from the run directory's checkpoint and config")
    held.add_argument("--overwrite", action="store_true", help="put a new run in the place of one that DIR holds")
    parser.add_argument(
        "--dry-run", action="store_true", help="build everything of a little of the data, do one step, write nothing"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="where to train; auto: CUDA if there is one")
    parser.add_argument("--allow-leaky", action="store_true", default=None, help="take a leaky split all the same")
    data = parser.add_argument_group("data: simulated, unless --paired or data.spec is given")
    data.add_argument("--paired", metavar="FILE", help="paired.jsonl: CSI with keypoints of a camera")
    data.add_argument("--licence", metavar="TEXT", help="licence of that file, for the bundle")
    data.add_argument("--rooms", type=int, metavar="N", help=f"simulated rooms to train on ({recipe.data.rooms})")
    data.add_argument(
        "--held-out-rooms", type=int, metavar="N", help=f"rooms only to test on ({recipe.data.held_out_rooms})"
    )
    data.add_argument("--minutes", type=float, metavar="M", help=f"of each scene ({recipe.data.minutes})")
    data.add_argument("--nodes", type=int, metavar="N", help=f"nodes in each room ({recipe.data.nodes})")
    data.add_argument("--stride", type=int, metavar="N", help=f"frames from window to window ({recipe.data.stride})")
    data.add_argument("--persons", type=_numbers, metavar="N,N", help="persons in the scenes, one scene each")
    train = parser.add_argument_group("recipe: the head's own, unless changed")
    train.add_argument("--seed", type=int, help=f"of data, weights and order ({recipe.train.seed})")
    train.add_argument("--epochs", type=int, help=f"({recipe.train.epochs})")
    train.add_argument("--batch-size", type=int, help=f"0: all at once ({recipe.train.batch_size})")
    train.add_argument("--learning-rate", type=float, help=f"({recipe.train.learning_rate})")


def run_training(arguments: argparse.Namespace, head: str) -> int:
    """Make or read the data, train, print the report."""
    from cogd.train.heads.networks import net_of
    from cogd.train.load import load_windows
    from cogd.train.run import Run, train

    config = configured(arguments, head)
    net_of(config)  # before anything is read
    if arguments.dry_run:
        return _run_dry(config)
    out = Path(config.output.folder)
    rundir.refuse_place(out)
    if arguments.resume and not (out / rundir.CHECKPOINT).exists():
        raise TrainError(f"{out} holds no checkpoint", hint="train without --resume")
    if not (arguments.resume or arguments.overwrite):
        rundir.refuse_run(out)
    rundir.refuse_log(out, config.output.log)
    first = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun started
    data = _loaded(load_windows, config, shown=first)
    if isinstance(data, int):
        return data
    with _Bars(shown=first) as bars:
        run = Run(config, data.windows, data.held_out, out, resume=arguments.resume, only_train=data.only_train)
        with stoppable() as stopped_by:
            metrics = train(
                run,
                lambda epoch: bars.tell(
                    "training",
                    epoch.epoch,
                    config.train.epochs,
                    loss=f"{epoch.loss:.4f}",
                    calibration=f"{epoch.score:.4f}",
                ),
                stop=lambda: bool(stopped_by),
                progress_after=lambda name, epoch: bars.tell(
                    name, epoch.epoch, config.train.epochs, loss=f"{epoch.loss:.4f}", calibration=f"{epoch.score:.4f}"
                ),
            )
    if metrics is None:
        if first:
            print(f"cogd-train: stopped; {out / rundir.CHECKPOINT} has everything that was done", file=sys.stderr)
            print(f"cogd-train: hint: go on with `cogd-train {head} --out {out} --resume`", file=sys.stderr)
        return 128 + (stopped_by[0] if stopped_by else signal.SIGINT)  # another process may have had the signal
    if first:
        print((out / rundir.REPORT_TEXT).read_text(encoding="utf-8"), end="")
        print(f"run directory {out}: bundle it with `cogd-train bundle --model {out}/{rundir.MODEL} ...`")
    return 0


def _run_dry(config: Config) -> int:
    from cogd.train.dryrun import dry_run
    from cogd.train.load import load_some

    some = _loaded(load_some, config, shown=True)
    if isinstance(some, int):
        return some
    print(dry_run(config, some), end="")
    print("a dry run: nothing was written")
    return 0


def _loaded(load: Callable[[Config, Progress], Loaded], config: Config, *, shown: bool) -> Loaded | int:
    """The data, or the exit status where somebody interrupts."""
    stopped_by: list[int] = []
    try:
        with _Bars(shown=shown) as bars, stoppable(at_once=True) as stopped_by:
            return load(config, bars.tell)
    except KeyboardInterrupt:
        if shown:
            print("cogd-train: stopped before the training began; the run directory is as it was", file=sys.stderr)
            print("cogd-train: hint: give the same command again", file=sys.stderr)
        return 128 + (stopped_by[0] if stopped_by else signal.SIGINT)


def configured(arguments: argparse.Namespace, head: str) -> Config:
    """The head's recipe, the file over it, `--set` over that and options over all."""
    changes = dict(map(parse_override, arguments.set))
    for name, key in _FLAGS.items():
        value = getattr(arguments, name)
        if value is not None:
            changes[key] = f"paired:{value}" if name == "paired" else value
    file: Path | None = arguments.config
    if file is None and arguments.resume and arguments.out is not None:
        begun = Path(arguments.out) / rundir.CONFIG
        file = begun if begun.exists() else None
    config = read_config(head, file, changes)
    if not config.output.folder and not arguments.dry_run:
        raise ConfigError("there is no run directory to write", hint="--out DIR, or output.folder")
    return config


@contextlib.contextmanager
def stoppable(*, at_once: bool = False) -> Iterator[list[int]]:
    """Inside, SIGINT and SIGTERM put their number into the list; a second SIGINT interrupts at once, as ever.

    Args:
        at_once: the first one interrupts, too.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    received: list[int] = []

    def take(number: int, _: FrameType | None) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if at_once:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 0,1,2") from error
    return numbers


class _Bars:
    """Progress bars on a terminal, one after the other; silent elsewhere."""

    def __init__(self, *, shown: bool) -> None:
        from tqdm import tqdm

        self._make: Callable[..., tqdm[None]] = tqdm
        self._shown, self._label = shown, ""
        self._bar: tqdm[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def tell(self, label: str, done: int, total: int, **figures: str) -> None:
        """So much of so much is done."""
        if self._bar is None or label != self._label:
            self.__exit__()
            disable = None if self._shown else True
            self._bar = self._make(total=total, desc=label, file=sys.stderr, disable=disable, leave=False)
            self._label = label
        if figures:
            self._bar.set_postfix(figures, refresh=False)
        self._bar.update(done - self._bar.n)
