"""`cogd-train evaluate`: a signed bundle on a labelled data set, with every figure."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cogd.cli.common import add_demo_argument, add_trust_argument
from cogd.defaults import TRUST_DIR
from cogd.errors import ArchiveError, ConfigError, TrainError, UnknownKeyError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from cogd.bundle.manifest import Metric
    from cogd.bundle.verify import VerifiedBundle
    from cogd.train.evaluate import Evaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The bundle, whom to trust, and the data."""
    parser.add_argument("bundle", type=Path, help="bundle.tar, or the folder of an app")
    parser.add_argument("dataset", help="KIND:PLACE, as `cogd-train data inspect` takes it")
    parser.add_argument("--stride", type=int, metavar="N", help="frames from window to window (a window's length)")
    parser.add_argument(
        "--calibrate-s",
        type=float,
        metavar="S",
        help="first watch each setup's quiet room for S s (2 to 600), as cogd calibrate",
    )
    parser.add_argument("--trust-dir", type=Path, default=Path(TRUST_DIR), metavar="DIR", help="(%(default)s)")
    add_trust_argument(parser)
    add_demo_argument(parser)
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep figures and predictions, for `cogd-train report`")


def run(arguments: argparse.Namespace) -> int:
    """Verify, run, score, print."""
    import msgspec

    from cogd.runtime.app import load_app
    from cogd.train import rundir
    from cogd.train.data.dataset import open_dataset
    from cogd.train.evaluate import evaluate

    if arguments.stride is not None and arguments.stride < 1:
        raise ConfigError(f"a stride of {arguments.stride} frames", hint="1 or more")
    if arguments.out is not None and (arguments.out / rundir.CONFIG).exists():
        raise TrainError(f"{arguments.out} is a run directory, which has a report of its own", hint="another --out")
    app = load_app(_verified(arguments))
    evaluation, parts = evaluate(
        app, open_dataset(arguments.dataset), arguments.stride, calibrate_s=arguments.calibrate_s
    )
    encoded = msgspec.json.format(msgspec.json.encode(evaluation), indent=2)
    if arguments.out is not None:
        from cogd.train.predictions import write_predictions

        try:
            arguments.out.mkdir(parents=True, exist_ok=True)
            for name in (rundir.PAGE, rundir.PICTURE):  # of what was kept there before
                (arguments.out / name).unlink(missing_ok=True)
            (arguments.out / rundir.REPORT).write_bytes(encoded + b"\n")
        except OSError as error:
            raise TrainError(f"{arguments.out} can't be written: {error.strerror}") from error
        write_predictions(arguments.out / rundir.PREDICTIONS, parts)
    if arguments.json:
        sys.stdout.write(encoded.decode() + "\n")
    else:
        _print(evaluation)
    return 0


def _verified(arguments: argparse.Namespace) -> VerifiedBundle:
    from cogd.bundle.load import load_bundle
    from cogd.cli.common import read_trust

    try:
        return load_bundle(arguments.bundle, read_trust(arguments, arguments.trust_dir))
    except UnknownKeyError as error:
        raise UnknownKeyError(str(error), hint="name the key that signed it: --trust NAME.pub") from error
    except ArchiveError as error:
        if str(arguments.bundle) in str(error):
            raise
        raise ArchiveError(f"{arguments.bundle}: {error}", hint=error.hint) from error


def _of(part: str, parts: Sequence[str], metrics: Sequence[Metric]) -> list[Metric]:
    """Those of a part's rooms and sessions: of two parts, the one's name may begin with the other's."""
    return [
        metric
        for metric in metrics
        if part == max((one for one in parts if metric.split.startswith(f"{one}; ")), key=len)
    ]


def _print(evaluation: Evaluation) -> None:
    from cogd.train.gates import gate_lines
    from cogd.train.report.text import format_figures, format_groups

    app, windows = evaluation.app, evaluation.windows
    calibrated = "calibrated" in windows
    parts = list(dict.fromkeys(metric.split for metric in evaluation.metrics))
    alone = [metric for metric in evaluation.parts if metric.split in parts]
    grouped = [metric for metric in evaluation.parts if metric.split not in parts]
    lines = [
        f"{app['id']} {app['version']} ({app['digest']}), head {app['head']}, run by {app['backend']}",
        f"on {evaluation.data.name}; licence {evaluation.data.licence}",
        f"{windows['cut']} windows every {evaluation.stride} frames, {windows['labelled']} with a label"
        + (f", {windows['calibrated']} with a baseline, {windows['uncalibrated']} without" if calibrated else ""),
        *(f"note: {note}" for note in evaluation.notes),
        *(f"limit of the bundle: {limit}" for limit in evaluation.limits),
        "",
        *(line for part in parts for line in format_groups(_of(part, parts, grouped), part)),
        *gate_lines(evaluation.gates, evaluation.split),
        *format_figures(evaluation.metrics, alone),
    ]
    if evaluation.confusion is not None:
        names = evaluation.labels
        lines += ["", "confusion, true in rows: " + " ".join(f"{name:>7}" for name in names)]
        lines += [
            f"{name:>24} " + " ".join(f"{number:7d}" for number in row)
            for name, row in zip(names, evaluation.confusion, strict=True)
        ]
    print("\n".join(lines))
