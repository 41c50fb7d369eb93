"""Writes the inputs that fuzzing starts from: `python -m tests.fuzz.seeds FOLDER` makes FOLDER/<target>/."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cogd.bundle import dsse
from cogd.bundle.archive import write_archive
from tests.bundle.factory import KEY, OTHER_KEY, make_bundle
from tests.fuzz.properties import CHANGES, MADE, OTHER

HEAD = {"bundle.json": b"{}", "bundle.dsse.json": b"{}"}
MANIFEST = MADE.members["bundle.json"]


def _step(which: int, where: int, much: int) -> bytes:
    return bytes([which]) + where.to_bytes(2, "big") + bytes([much])


SEEDS: dict[str, list[bytes]] = {
    "archive": [
        write_archive(HEAD),
        write_archive(HEAD | {"a": b"", "model.onnx": b"x" * 700}),
        write_archive(HEAD | {f"f{n}": b"" for n in range(3)}),
    ],
    "manifest": [
        MANIFEST,
        make_bundle(expires="2026-01-02T03:04:06Z").members["bundle.json"],
        json.dumps(json.loads(MANIFEST), separators=(",", ":")).encode(),
        b"{}",
    ],
    "envelope": [
        dsse.sign(b"{}", [KEY]),
        dsse.sign(b"", [KEY, OTHER_KEY]),
        dsse.sign(b"\0\xff", [OTHER_KEY]),
        MADE.members["bundle.dsse.json"],
        OTHER.members["bundle.dsse.json"],
    ],
    "bundle": [
        b"",
        *(_step(which, where, much) for which in range(len(CHANGES)) for where, much in [(600, 1), (6000, 200)]),
        # A header's name or size changed, and its checksum made right again.
        *(_step(0, where, 1) + _step(len(CHANGES) - 1, 0, 0) for where in (0, 124, 134, 156, 512)),
    ],
}


def main(folder: Path) -> None:
    for target, inputs in SEEDS.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, raw in enumerate(inputs):
            (folder / target / f"seed-{number}").write_bytes(raw)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
