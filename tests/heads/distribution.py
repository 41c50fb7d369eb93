"""A distribution that is installed, as far as Python can tell: a folder with a package and its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_distribution(site: Path, name: str, entry: str, files: Mapping[str, str]) -> None:
    """Write one that has the head `smile`; `entry` is its entry point's value, `files` are its modules by path."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[cogd.heads]\nsmile = {entry}\n")
    for path, text in files.items():
        (site / path).parent.mkdir(exist_ok=True)
        (site / path).write_text(text)
