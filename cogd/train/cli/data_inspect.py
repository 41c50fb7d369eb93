"""`cogd-train data inspect`: what is in a data set, counted and measured, with a picture."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from cogd.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from cogd.train.data.summary import RecordingSummary, Summary

_ROWS = 40
"""So many recordings are listed; `--json` has all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The data set, how to cut it, and what to write."""
    parser.add_argument("spec", metavar="SPEC", help="KIND:PLACE?option=value; docs/data.md has the kinds")
    parser.add_argument("--out", type=Path, metavar="FILE.png", help="draw some recordings: amplitudes, labels, tones")
    parser.add_argument("--json", action="store_true", help="one JSON object, with every recording")
    cut = parser.add_argument_group("windows to count")
    cut.add_argument("--frames", type=int, default=20, metavar="N", help="frames of a window (%(default)s)")
    cut.add_argument("--stride", type=int, default=10, metavar="N", help="frames to the next window (%(default)s)")
    cut.add_argument("--min-gap", type=float, default=0.0, metavar="S", help="least time between frames (%(default)s)")
    cut.add_argument("--max-gap", type=float, default=0.25, metavar="S", help="most time between frames (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Read, count, print, draw."""
    import msgspec

    from cogd.csi.window import WindowSpec
    from cogd.train.data.dataset import open_dataset
    from cogd.train.data.summary import summarise

    if arguments.frames < 2 or arguments.stride < 1 or not 0 <= arguments.min_gap <= arguments.max_gap:
        raise ConfigError(
            f"there are no windows of {arguments.frames} frames every {arguments.stride}, "
            f"{arguments.min_gap:g} to {arguments.max_gap:g} s apart",
            hint="frames must be 2 or more, stride 1 or more, and min-gap from 0 to max-gap",
        )
    if arguments.out is not None:
        import cogd.train.data.picture  # first, for its package may be missing
    dataset = open_dataset(arguments.spec)
    spec = WindowSpec(dataset.tones, arguments.frames, arguments.min_gap, arguments.max_gap)
    summary = summarise(dataset, spec, arguments.stride, _tell if sys.stderr.isatty() else None)
    if arguments.out is not None:
        cogd.train.data.picture.draw(dataset, summary, arguments.out)
    if arguments.json:
        print(msgspec.json.encode(summary).decode())
        return 0
    print("\n".join(_text(summary)))
    if arguments.out is not None:
        print(f"\npicture: {arguments.out}")
    return 0


def _tell(done: int, of: int) -> None:
    print(f"\r{done} of {of} recordings", end="\n" if done == of else "", file=sys.stderr, flush=True)


def _text(summary: Summary) -> list[str]:
    recordings = summary.recordings
    frames, windows = sum(r.frames for r in recordings), sum(r.windows for r in recordings)
    cut = summary.cut
    gaps = f"{cut.min_gap_s:g} to {cut.max_gap_s:g}"
    lines = [
        summary.name,
        f"  licence     {summary.licence}",
        f"  sha256      {summary.sha256 or 'none: it is made anew from its name'}",
        f"  recordings  {len(recordings)} in {len({r.session for r in recordings})} sessions",
        f"  rooms       {_each(r.room for r in recordings)}",
        f"  chips       {_each(r.chip for r in recordings)}",
        f"  subjects    {_each(r.subject for r in recordings)}",
        f"  frames      {frames} in {sum(r.seconds for r in recordings):.1f} s; times are {_timing(recordings)}",
        f"  layouts     {_counted(_sum(r.kinds for r in recordings))}",
        f"  left out    {_counted(_sum(r.left_out for r in recordings)) or 'nothing'}",
        f"  NaN, zero   {sum(r.nan_frames for r in recordings)} frames with a value missing; {_zeros(recordings)}",
        f"  windows     {windows} of {cut.frames} frames, {cut.stride} apart; {gaps} s between frames",
        f"  tones       {summary.tones}",
        f"  motion      {_counted(_sum(r.moving for r in recordings)) or 'none'}",
        f"  persons     {_counted(_sum(r.persons for r in recordings)) or 'none'}",
        f"  keypoints   {sum(r.keypoint_windows for r in recordings)} windows",
        "",
    ]
    rows = [_COLUMNS, *(_row(r) for r in recordings[:_ROWS])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines += [
        "  ".join(
            cell.ljust(width) if number in _LEFT else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    if len(recordings) > _ROWS:
        lines.append(f"... and {len(recordings) - _ROWS} more; --json has them all")
    return lines


_COLUMNS = (
    "recording",
    "room",
    "chip",
    "frames",
    "s",
    "Hz",
    "longest gap s",
    "gaps",
    "NaN",
    "windows",
    "moving",
    "layouts",
)
_LEFT = {0, 1, 2, 10, 11}


def _row(r: RecordingSummary) -> tuple[str, ...]:
    rate = f"{r.rate_hz:g}" if r.rate_hz is not None else "?" if r.stated_rate_hz is None else f"({r.stated_rate_hz:g})"
    return (
        r.name,
        r.room or "-",
        r.chip or "-",
        str(r.frames),
        f"{r.seconds:.1f}",
        rate,
        "-" if r.longest_gap_s is None else f"{r.longest_gap_s:g}",
        str(r.gaps),
        str(r.nan_frames),
        str(r.windows),
        _counted(r.moving) or "-",
        _counted(r.kinds),
    )


def _timing(recordings: Iterable[RecordingSummary]) -> str:
    told = {
        "measured": "measured frame by frame",
        "duration": "laid out evenly over a measured duration",
        "nominal": "laid out evenly at a nominal rate (in brackets), which nobody measured",
    }
    return "; ".join(told[timing] for timing in dict.fromkeys(r.timing for r in recordings))


def _zeros(recordings: tuple[RecordingSummary, ...]) -> str:
    frames = sum(r.frames - r.nan_frames for r in recordings)
    share = sum(r.zero_share * (r.frames - r.nan_frames) for r in recordings) / max(1, frames)
    dead = sum(r.dead_tones > 0 for r in recordings)
    repeated = sum(r.repeated_frames for r in recordings)
    return f"{share:.3%} of the values zero; {dead} recordings with dead tones; {repeated} frames repeat the one before"


def _each(names: Iterable[str | None]) -> str:
    return _counted(Counter("not told" if name is None else name for name in names), limit=12)


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


def _counted(counts: dict[str, int], limit: int = 20) -> str:
    told = [f"{name} {count}" for name, count in counts.items() if count]
    return ", ".join(told[:limit]) + (f" and {len(told) - limit} more" if len(told) > limit else "")
