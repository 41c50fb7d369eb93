"""The motion head on real recordings: the packaged bundle, and networks that were trained on one room to know another.

    python bench/motion.py [--bundle FILE --trust NAME.pub] [--cross | --spans] [--seconds 5] [--json]

Needs the recordings that COGD_DATA names (default ../shared/data): `espectre` and `geotec`. Each line is one data set
at one rate: `all` frames or thinned to 20 a second, without a baseline and, where quiet stretches are long enough, with
the one that `cogd calibrate` makes of the first seconds of each setup's quiet room. Figures are balanced accuracies of
windows of 1 s, four a second, by room (or session) and by chip; those with a baseline are of the nodes that have one,
and what the others have is said below them. Which frames a slow node sends is chance, so figures at 20 a second are
the mean of twenty draws.

`--cross` also trains, by the recipe of `cogd-train motion` and at six rates: on espectre's one room, tested in the
other, both ways; on geotec's first session, tested in the two later ones. Each once on these recordings alone, where
one chip of the training room, or three tenths of the session, only calibrate; and once beside 200 simulated rooms, some
of which calibrate, as the packaged bundle is made. Takes about five minutes.

`--spans` tells instead which stretches of espectre `cogd calibrate` would take for a quiet room: all of 10 s and of
5 s, at all frames and twenty times at 20 a second.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cogd import demo
from cogd.bundle.archive import read_archive
from cogd.bundle.keys import generate, load_public
from cogd.bundle.load import load_bundle
from cogd.bundle.trust import TrustStore
from cogd.bundle.verify import verify_bundle
from cogd.runtime.app import load_app
from cogd.train.configfile import read_config
from cogd.train.data.cut import cut_windows
from cogd.train.data.dataset import open_dataset
from cogd.train.data.windows import join
from cogd.train.evaluate import answer_of, evaluate
from cogd.train.load import load_windows
from cogd.train.package import Naming, package
from cogd.train.run import Run, train
from cogd.train.rundir import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from cogd.runtime.app import App
    from cogd.train.config import Config
    from cogd.train.data.windows import Windows

STRIDE = 5
RATES = "all,50,25,20,15,10"
ROOMS = ("bedroom", "living_room")
SLOW = tuple(f"20,19.99,20.01,19.98,20.02&thin_seed={seed}" for seed in range(4))
"""Clocks differ, and with them how a node's frames fall into cells."""

Line = dict[str, Any]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=demo.APPS / "demo-motion.tar", help="(the packaged one)")
    parser.add_argument("--trust", type=Path, default=demo.PUBLIC_KEY, metavar="NAME.pub", help="(the packaged one's)")
    parser.add_argument("--cross", action="store_true", help="train on one room or session, test in the others")
    parser.add_argument("--spans", action="store_true", help="what is taken for a quiet room, and nothing else")
    parser.add_argument("--seconds", type=float, default=5.0, help="that a quiet room is watched (%(default)s)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args()
    data = Path(os.environ.get("COGD_DATA", "../shared/data"))
    trust = TrustStore([(load_public(arguments.trust), arguments.trust)])
    app = load_app(load_bundle(arguments.bundle, trust))
    if arguments.spans:
        for text in spans(app, data):
            print(text, flush=True)
        return
    for line in measure(app, arguments.bundle.name, data, arguments.seconds):
        show(line, as_json=arguments.json)
    if arguments.cross:
        for line in cross(data, arguments.seconds):
            show(line, as_json=arguments.json)


def measure(app: App, name: str, data: Path, seconds: float) -> Iterator[Line]:
    """The app on everything that its training did not see."""
    for draws in (("all",), SLOW):
        for calibrate_s in (None, seconds):
            yield mean(judged(app, name, f"espectre:{data / 'espectre'}?thin={draw}", calibrate_s) for draw in draws)
        for session in ("D2", "D3"):
            spec = f"geotec:{data / 'geotec'}?session={session}/*"
            yield mean(judged(app, name, f"{spec}&thin={draw}", None) for draw in draws)


def spans(app: App, data: Path) -> Iterator[str]:
    """How many stretches of each kind would be taken for a quiet room, and how probable motion is in their middle."""
    rule = app.head.quiet
    if rule is None:
        raise SystemExit(f"{app.bundle.manifest.id} has no use for a baseline")
    for seconds in (10, 5):
        for draw in ("all", *SLOW):
            dataset = open_dataset(f"espectre:{data / 'espectre'}?thin={draw}")
            taken: dict[int, list[str]] = {0: [], 1: []}
            medians: dict[int, list[float]] = {0: [], 1: []}
            for recording in dataset.listed:
                windows = cut_windows(replace(dataset, listed=(recording,)), app.window)
                answer = answer_of(app, windows.csi)
                probability = np.where(answer.predicted, answer.confidence, 1 - answer.confidence)
                begin_s = windows.start_s[0]
                for number in range(10 // seconds):
                    inside = (windows.start_s >= begin_s + number * seconds) & (
                        windows.end_s <= begin_s + (number + 1) * seconds + 0.3
                    )
                    kind = int(windows.moving[0])
                    medians[kind].append(float(np.median(probability[inside])))
                    if rule.why_not(answer.score[inside].tolist()) is None:
                        taken[kind].append(recording.name)
            yield (
                f"espectre thin={draw}, {seconds} s: of {len(medians[0])} quiet {len(taken[0])} are taken, "
                f"highest {max(medians[0]):.2f}; of {len(medians[1])} with motion {len(taken[1])}, "
                f"lowest {min(medians[1]):.2f}"
            )


def mean(lines: Iterable[Line]) -> Line:
    """One line of several draws of the same data; of one alone it is that."""
    first, *others = drawn = list(lines)
    if not others:
        return first
    groups = dict.fromkeys(group for line in drawn for group in line["parts"])
    notes = dict.fromkeys(note for line in drawn for note in line["without_baseline"])

    def over(name: str) -> float:
        return round(float(np.mean([line[name] for line in drawn])), 4)

    return first | {
        "data": first["data"].replace("&thin_seed=0", f", drawn {len(drawn)} times"),
        "windows": sum(line["windows"] for line in drawn),
        "low": None,
        "high": None,
        "parts": {
            group: round(float(np.mean([line["parts"][group] for line in drawn if group in line["parts"]])), 4)
            for group in groups
        },
        "without_baseline": list(notes),
        **{name: over(name) for name in ("balanced_accuracy", "auroc", "confidence_ece")},
    }


def cross(data: Path, seconds: float) -> Iterator[Line]:
    """Trained on one room or session, judged in the others."""
    espectre, geotec = f"espectre:{data / 'espectre'}", f"geotec:{data / 'geotec'}"
    simulated = _load({"data.held_out_rooms": 0})
    for test, trains in (ROOMS, ROOMS[::-1]):
        split = {"split.test": [test], "split.calibration_by": "session", "split.calibration": ["*_c6_*"]}
        rooms = {
            f"{trains} alone": trained({"data.spec": f"{espectre}?thin={RATES}", "split.kind": "room", **split}),
            f"{trains} and simulated rooms": beside(simulated, f"{espectre}?room={trains}&thin={RATES}"),
        }
        for name, app in rooms.items():
            for rate in ("all", "20"):
                for calibrate_s in (None, seconds):
                    yield judged(app, name, f"{espectre}?room={test}&thin={rate}", calibrate_s)
    spec = f"{geotec}?session=D1/*&thin={RATES}"
    split = {"split.test": ["D1/e10*"], "split.calibration": ["D1/e07*", "D1/e08*", "D1/e09*"]}
    sessions = {
        "D1 alone": trained({"data.spec": spec, "split.kind": "session", **split}),
        "D1 and simulated rooms": beside(simulated, spec),
    }
    for name, app in sessions.items():
        for session in ("D2", "D3"):
            for rate in ("all", "20"):
                yield judged(app, name, f"{geotec}?session={session}/*&thin={rate}", None)


def trained(changes: Mapping[str, object]) -> App:
    """An app of a network that was trained on recordings alone."""
    config = _config({"data.stride": 2, **changes})
    return _app_of(Run(config, _load({"data.stride": 2, **changes}), None, Path()))


def beside(simulated: Windows, spec: str) -> App:
    """An app of a network that was trained on a data set and simulated rooms; only of these some calibrate."""
    further = _load({"data.spec": spec, "data.stride": 2})
    config = _config({"split.test": 0.05, "split.calibration": 0.3})
    return _app_of(Run(config, join([simulated, further]), None, Path(), only_train=len(further)))


def _config(changes: Mapping[str, object]) -> Config:
    return read_config("motion", None, {"train.device": "cpu", **changes})


def _load(changes: Mapping[str, object]) -> Windows:
    return load_windows(_config(changes), lambda *_: None).windows


def _app_of(run: Run) -> App:
    key = generate()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        train(replace(run, out=out))
        archive = package(out / MODEL, Naming("cross", "0.0.0"), [key])
    return load_app(verify_bundle(read_archive(archive), TrustStore.of(key.public)))


def judged(app: App, name: str, spec: str, calibrate_s: float | None) -> Line:
    """One line: the balanced accuracy of the whole, and of each room and chip."""
    evaluation, (judged_part, *_) = evaluate(app, open_dataset(spec), STRIDE, calibrate_s=calibrate_s)
    figures = {metric.name: metric for metric in evaluation.metrics if metric.split == judged_part.part}
    others = [m for m in evaluation.metrics if m.name == "balanced_accuracy" and m.split != judged_part.part]
    parts = {
        group: round(metric.value, 4)
        for metric in evaluation.parts
        if metric.name == "balanced_accuracy"
        and (group := metric.split.removeprefix(judged_part.part + "; ")).startswith(("room ", "chip "))
    }
    balanced = figures["balanced_accuracy"]
    return {
        "model": name,
        "data": spec.partition("?")[0].partition(":")[0] + " " + spec.partition("?")[2],
        "calibrated_s": calibrate_s,
        "windows": balanced.n,
        "balanced_accuracy": round(balanced.value, 4),
        "low": balanced.low,
        "high": balanced.high,
        "auroc": round(figures["motion_auroc"].value, 4),
        "confidence_ece": round(figures["confidence_ece"].value, 4),
        "parts": parts,
        "without_baseline": [note for note in evaluation.notes if note.startswith("no baseline")]
        + [f"{m.n} windows without a baseline: balanced accuracy {m.value:.4f}" for m in others],
    }


def show(line: Line, *, as_json: bool) -> None:
    """Print it."""
    if as_json:
        print(json.dumps(line), flush=True)
        return
    calibrated = f", calibrated {line['calibrated_s']:g} s" if line["calibrated_s"] else ""
    interval = f" ({line['low']:.3f} to {line['high']:.3f})" if line["low"] is not None else ""
    print(f"{line['model']} | {line['data']}{calibrated} | {line['balanced_accuracy']:.4f}{interval}", end=" | ")
    print(f"AUROC {line['auroc']:.4f} | ECE {line['confidence_ece']:.4f} | {line['windows']} windows")
    parts = line["parts"]
    if parts:
        print("    " + ", ".join(f"{name} {value:.3f}" for name, value in parts.items()))
    notes = line["without_baseline"]
    print("".join(f"    {note}\n" for note in notes), end="", flush=True)


if __name__ == "__main__":
    main()
