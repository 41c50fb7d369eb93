"""Every bar of the project with its figure, and whether it is met: `make bench`.

    python bench/bars.py [--folder bench] [--idle-minutes M] [--many-seconds S] [--json | --render]

Runs the benchmarks in a quick form, at most five minutes in all; adds one line to FOLDER/results.jsonl and writes
FOLDER/RESULTS.md anew. Exit status 0 only when every bar is met; what can't be measured here is not met, and fails
unless it needs an accelerator. `--idle-minutes 30` watches the idle program as long as its bar says. Bars are never
loosened: a missed one stays red.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cogd import log
from cogd.bench.compare import compare, table
from cogd.bench.figures import Bar, Result
from cogd.bench.idle import measure_idle, program
from cogd.bench.live import measure_live
from cogd.bench.log import LOG, append, read, write_page
from cogd.bench.nodes import NODES, growth
from cogd.bench.saturation import MISSED, overload, sustained
from cogd.bench.standard import standard_catalogue
from cogd.bench.tables import bars_table, columns, text
from cogd.cli.common import load_all
from cogd.errors import ResultsError
from cogd.machine import split_cores
from cogd.settings import Settings

if TYPE_CHECKING:
    from cogd.bench.figures import Idle, Live, Overload, Sustained
    from cogd.runtime.app import App

HERE = Path(__file__).parent
NATIVE = "published native binary: cold 5.4 ms x86_64, 8.4 ms Pi 5, 76.2 ms Windows"
INFERENCE = "published: warm 305 us on a Core Ultra 9; ADR-103's gate < 5 ms on a Pi 5"

IDLE_S, MANY_S, SWEEP_S = 30.0, 60.0, 3.0
TRY_S, SEARCH_S = 3.0, 40.0
NORMAL_NODES = 40

Figures = dict[str, float | str | bool | None]


def main() -> int:
    """Measure, judge, add, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=HERE, help="where the log is")
    parser.add_argument("--idle-minutes", type=float, default=IDLE_S / 60, metavar="M", help="(%(default)s)")
    parser.add_argument("--many-seconds", type=float, default=MANY_S, metavar="S", help="(%(default)s)")
    parser.add_argument("--json", action="store_true", help="the result, for machines")
    parser.add_argument("--render", action="store_true", help="measure nothing, write FOLDER/RESULTS.md from the log")
    arguments = parser.parse_args()
    log.configure("warn")
    if arguments.render:
        write_page(arguments.folder)
        return 0
    path = arguments.folder / LOG
    earlier = read(path) if path.exists() else []
    result = measure(arguments.idle_minutes * 60, arguments.many_seconds)
    append(arguments.folder, result)
    if arguments.json:
        print(msgspec.json.encode(result).decode())
    else:
        print(text(msgspec.structs.replace(result, bars=[])))
        try:
            print(f"\n{table(compare(result, earlier))}\n")
        except ResultsError as error:
            print(f"\n{error}\n")
        print("\n".join(columns(bars_table(result.bars))))
    return int(any(bar.fails for bar in result.bars))


def measure(idle_s: float, many_s: float) -> Result:
    """All parts, one after the other: they would disturb each other."""
    started_s = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - started_s:5.0f} s  {what}", file=sys.stderr, flush=True)

    beside: dict[str, Figures] = {}
    for name, arguments, limit_s in (
        ("cold", ["--rounds", "30"], 60.0),
        ("export", ["--rounds", "5"], 60.0),
        ("training", [] if has_h100() else ["--quick"], 90.0),
    ):
        say(f"bench/{name}.py")
        beside[name] = other(HERE / f"{name}.py", arguments, limit_s)
    say("cogd bench")
    result = bench(["--frames", "10000", "--seconds", f"{SWEEP_S:g}", "--nodes", ",".join(map(str, NODES))])
    apps = load_all(standard_catalogue())[0]
    pose, cores = next(app for app in apps if app.bundle.manifest.head == "pose"), split_cores()
    say(f"300 nodes, {many_s:g} s")
    many, _ = measure_live([pose], Settings(), 300, many_s, cores)
    say("the highest rate")
    highest = sustained(pose, Settings(), cores, TRY_S, SEARCH_S)
    say("overload")
    flood = flooded(pose, cores, highest)
    say(f"idle, {idle_s:g} s")
    idle = measure_idle(idle_s)
    say("done")
    measured = msgspec.structs.replace(result, many=many, sustained=highest, overload=flood, idle=idle, beside=beside)
    return msgspec.structs.replace(measured, bars=judge(measured))


def flooded(app: App, cores: tuple[list[int], list[int]], highest: Sustained | None) -> Overload | None:
    """Three times the highest rate, if it was found."""
    if highest is None or not highest.frames_per_s:
        return None
    return overload(app, Settings(), cores, NORMAL_NODES, highest.frames_per_s)


def bench(arguments: list[str]) -> Result:
    """What `cogd bench` gives."""
    done = subprocess.run(
        [*program(), "bench", "--demo", "--json", *arguments], capture_output=True, check=False, timeout=180
    )
    if done.returncode:
        raise SystemExit(f"cogd bench ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    return msgspec.convert(json.loads(done.stdout)["result"], Result)


def other(script: Path, arguments: list[str], limit_s: float) -> Figures:
    """What another benchmark gives; `not_measured` says why there is nothing."""
    if not script.exists():
        return {"not_measured": f"there is no {script.name}"}
    with tempfile.TemporaryFile() as err:
        try:
            done = subprocess.run(
                [sys.executable, str(script), "--json", *arguments],
                stdout=subprocess.PIPE,
                stderr=err,
                check=False,
                timeout=limit_s,
            )
        except subprocess.TimeoutExpired:
            return {"not_measured": f"it took longer than {limit_s:g} s"}
        if done.returncode:
            err.seek(0)
            last = err.read().decode(errors="replace").strip().splitlines()[-1:] or [""]
            return {"not_measured": f"it ended with {done.returncode}: {last[0]}"}
    figures = json.loads(done.stdout)
    return {
        key: value for key, value in figures.items() if value is None or isinstance(value, float | int | str | bool)
    }


def judge(result: Result) -> list[Bar]:
    """Every bar, of what was measured."""
    return [
        *_cold(result.beside.get("cold", {})),
        _export(result.beside.get("export", {})),
        *_hot(result),
        *_many(result.many, result.nodes),
        *_limits(result.sustained, result.overload),
        *_idle(result.idle),
        *_training(result.beside.get("training", {})),
    ]


def number(figures: Figures, key: str) -> float | None:
    """A figure, if it is one."""
    value = figures.get(key)
    return float(value) if isinstance(value, float | int) and not isinstance(value, bool) else None


def _cold(cold: Figures) -> list[Bar]:
    why = str(cold.get("not_measured", ""))
    health = why or f"{cold.get('health_ms')} ms, python -I -S {cold.get('base_ms')} ms; {NATIVE}"
    live = why or f"{cold.get('live_ms')} ms, python -I -S {cold.get('live_base_ms')} ms"
    return [
        Bar(name="1 cold cogd health / python -I -S", figure=number(cold, "health_ratio"), bar=7.5, beside=health),
        Bar(name="1 cogd health --live / python -I -S", figure=number(cold, "live_ratio"), bar=2.5, beside=live),
    ]


def _export(export: Figures) -> Bar:
    said = str(export.get("not_measured", "")) or (
        f"edge {export.get('pose_edge_p50_us')} us, plain {export.get('pose_plain_p50_us')} us, "
        f"tract {export.get('tract_p50_us')} us, OpenVINO {export.get('openvino_p50_us')} us"
    )
    return Bar(name="2 exported pose model / plain export, p50", figure=number(export, "ratio"), bar=0.80, beside=said)


def _hot(result: Result) -> list[Bar]:
    bars = []
    for app in result.tight:
        bare = app.bare_us
        for name, ratio, bar in (("p50", app.p50_ratio, 1.6), ("p99", app.p99_ratio, 2.5)):
            said = "no bare session.run" if bare is None else _beside(name, app.event_us, bare)
            bars.append(Bar(name=f"3 {app.app}, way / session.run, {name}", figure=ratio, bar=bar, beside=said))
    return bars


def _beside(name: str, whole: object, bare: object) -> str:
    return f"{getattr(whole, name):.1f} us, session.run {getattr(bare, name):.1f} us; {INFERENCE}"


def _many(many: Live | None, rows: list[Live]) -> list[Bar]:
    said = "not run"
    if many is not None:
        said = (
            f"{many.seconds:g} s, p50 {many.event_us.p50 / 1e3:.1f} ms, p99.9 {many.event_us.p99_9 / 1e3:.1f} ms, "
            f"CPU {many.cpu:.0%}, other programs had its core {many.waited:.1%} of the time"
        )
    costs = ", ".join(f"{row.nodes}: {row.cpu_us_per_frame:.0f} us" for row in rows)
    return [
        Bar(
            name="4 300 nodes x 25 Hz, pose: share late or missing",
            figure=None if many is None else many.missed,
            bar=MISSED,
            beside=said,
        ),
        Bar(
            name="4 CPU against nodes, exponent (1: linear)",
            figure=growth(rows) if len(rows) > 1 else None,
            bar=1.0,
            beside=f"CPU a frame by nodes: {costs}",
        ),
    ]


def _limits(highest: Sustained | None, flood: Overload | None) -> list[Bar]:
    rate = Bar(
        name="4 highest rate / raw ONNX Runtime in batches",
        figure=None if highest is None else highest.ratio,
        bar=0.60,
        at_most=False,
        beside="" if highest is None else f"{highest.frames_per_s:.0f} a second, raw {highest.raw_per_s:.0f}",
    )
    said = "no rate was kept that could be exceeded"
    if flood is not None:
        said = f"offered {flood.offered_per_s:.0f} a second; shed: {flood.shed}"
    return [
        rate,
        Bar(
            name="4 overload: age of the oldest event / max_wait_ms",
            figure=None if flood is None else round(flood.slowest_ms / flood.max_wait_ms, 3),
            bar=1.5,
            beside=said,
        ),
        Bar(
            name="4 overload: share of datagrams lost uncounted",
            figure=None if flood is None else flood.uncounted,
            bar=MISSED,
            beside=said,
        ),
        Bar(
            name="4 overload: recovered, s",
            figure=None if flood is None else flood.recovered_s,
            bar=1.0,
            beside="" if flood is None else f"late or missing from then on {flood.missed_after:.3%}",
        ),
    ]


def _idle(idle: Idle | None) -> list[Bar]:
    if idle is None:
        return [Bar(name="5 idle", figure=None, bar=0.06, beside="not run")]
    said = f"{idle.command}, {idle.seconds:g} s"
    quick = "" if idle.seconds >= 30 * 60 else f"quick form of 30 min: after the first {idle.settled_s:g} s"
    return [
        Bar(name="5 idle: CPU, cores", figure=idle.cpu, bar=0.06, beside=said),
        Bar(name="5 idle: resident memory, MiB", figure=idle.rss_mib, bar=96.0, beside=said),
        Bar(name="5 idle: growth of memory, MiB", figure=idle.growth_mib, bar=1.0, beside=quick),
        Bar(name="5 20th frame to first event, s", figure=idle.first_event_s, bar=1.5, beside=said),
    ]


def _training(training: Figures, *, there: bool | None = None) -> list[Bar]:
    """Its bars are for one H100; without one they are not measured, and fail nothing.

    Args:
        training: its figures.
        there: whether there is an H100; None asks the machine.
    """
    there = has_h100() if there is None else there
    quick = "extrapolated, " if training.get("extrapolated") else ""
    bars = []
    for name, bar in (("pose", 1.0), ("count", 2.0)):
        seconds = number(training, f"{name}_s")
        said = str(training.get("not_measured", "")) or (
            f"on {training.get('device')}: {quick}{seconds} s, {training.get(f'{name}_share_of_peak')} of the rate of "
            "the best matrix product (as mm or as 1x1 convolution)" + ("" if there else "; no H100 here")
        )
        figure = seconds if there else None
        bars.append(Bar(name=f"7 training {name} on one H100, s", figure=figure, bar=bar, beside=said, needed=there))
    return bars


def has_h100() -> bool:
    """Whether an H100 is at hand: asked of the driver's program, for what is too slow to train must not hide it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    said = subprocess.run([program, "--list-gpus"], capture_output=True, check=False, text=True)
    return "H100" in said.stdout


if __name__ == "__main__":
    sys.exit(main())
