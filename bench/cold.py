"""How long `cogd health` takes, cold and live, beside a Python that does nothing.

    python bench/cold.py [--rounds 30] [--json]

In each round every command runs once, in turn, so that what else the machine does falls on all alike; the medians are
compared. `base` is `python -I -S -c pass` of the installation that is measured, whose program `cogd` is run as it was
installed. The measured time is that of the whole process, from its start to its end.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEALTH_BAR, LIVE_BAR = 7.5, 2.5
NATIVE_MS = 5.4
"""Of the published native binary's `health` on x86_64, as its makers say (8.4 ms on a Raspberry Pi 5). It verifies no
signature and has no interpreter to start; another machine than this one."""

START_S = 30.0


def measure(rounds: int = 30, python: Path = Path(sys.executable)) -> dict[str, float]:
    """Medians in milliseconds and their ratios to `base_ms`, for the installation that `python` belongs to.

    Raises:
        RuntimeError: a command did not say that all is well, or not in the way that is to be measured.
    """
    cogd = str(python.parent / "cogd")
    with tempfile.TemporaryDirectory() as folder:
        socket = str(Path(folder) / "control.sock")
        one, both = [cogd, "health", "demo-pose", "--demo"], [cogd, "health", "--demo"]
        commands: dict[str, tuple[list[str], str | None]] = {
            "base": ([str(python), "-I", "-S", "-c", "pass"], None),
            "health": (one, "c-api"),
            "health_both": (both, "c-api"),
            "ordinary": ([*both, "--ordinary"], "ordinary"),
            "live": ([cogd, "health", "--live", "--control-socket", socket], "live"),
        }
        daemon = subprocess.Popen(
            [cogd, "run", "--demo", "--control-socket", socket],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        try:
            _await(commands["live"][0])
            quiet = {name: command for name, command in commands.items() if name != "live"}
            live = {name: commands[name] for name in ("base", "live")}
            live_ms = dict(_medians(live, rounds))
        finally:
            daemon.terminate()
            daemon.wait()
        found = dict(_medians(quiet, rounds))
    figures = {f"{name}_ms": round(value, 2) for name, value in found.items()}
    figures |= {f"{name}_ratio": round(value / found["base"], 2) for name, value in found.items() if name != "base"}
    figures |= {"live_base_ms": round(live_ms["base"], 2), "live_ms": round(live_ms["live"], 2)}
    figures["live_ratio"] = round(live_ms["live"] / live_ms["base"], 2)
    return figures | {"health_bar": HEALTH_BAR, "live_bar": LIVE_BAR, "native_ms": NATIVE_MS, "rounds": rounds}


def _medians(commands: Mapping[str, tuple[list[str], str | None]], rounds: int) -> Iterator[tuple[str, float]]:
    took_ms: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):  # the first one warms the disk's cache
        for name, (command, way) in commands.items():
            started_s = time.perf_counter()
            done = subprocess.run(command, capture_output=True, check=False, env=_environment())
            if number:
                took_ms[name].append((time.perf_counter() - started_s) * 1e3)
            _check(command, way, done)
    for name, values in took_ms.items():
        yield name, statistics.median(values)


def _check(command: list[str], way: str | None, done: subprocess.CompletedProcess[bytes]) -> None:
    events = [json.loads(line) for line in done.stdout.splitlines()]
    ways = {event["fields"]["way"] for event in events if event["event"] != "health.live"}
    if done.returncode != 0 or ways != ({way} if way else set()):
        raise RuntimeError(f"{' '.join(command)}: {done.returncode} {done.stdout!r} {done.stderr!r}")


def _environment() -> dict[str, str]:
    """As a user's: no settings, and nothing that keeps Python from storing what it has compiled, as installers do."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("COGD_", "PYTHON"))}


def _await(live: list[str]) -> None:
    """Wait until the daemon answers and its nodes are heard."""
    until_s = time.monotonic() + START_S
    while subprocess.run(live, capture_output=True, check=False, env=_environment()).returncode != 0:
        if time.monotonic() > until_s:
            raise RuntimeError(f"the daemon is not well within {START_S:g} s")
        time.sleep(0.1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How long `cogd health` takes beside a Python that does nothing.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the installation to measure")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments.rounds, arguments.python)
    if arguments.json:
        print(json.dumps(figures))
        return
    print(f"medians of {arguments.rounds}; python -I -S -c pass: {figures['base_ms']} ms")
    for name, said in (
        ("health", f"cogd health demo-pose --demo (at most {HEALTH_BAR})"),
        ("health_both", "cogd health --demo, two apps"),
        ("ordinary", "cogd health --demo --ordinary"),
        ("live", f"cogd health --live, two apps (at most {LIVE_BAR})"),
    ):
        print(f"{figures[f'{name}_ms']:8.1f} ms {figures[f'{name}_ratio']:7.2f}x  {said}")
    print(f"{NATIVE_MS:8.1f} ms           the published native binary, x86_64, by its makers' figures")


if __name__ == "__main__":
    main()
