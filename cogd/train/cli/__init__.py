"""The command line of cogd-train: one small module a verb, imported only when its verb is called."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cogd.cli.dispatch import dispatch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERBS: Mapping[str, str] = {
    "pose": "train the pose network on simulation or on paired.jsonl",
    "count": "train the person-count network on simulation or on paired.jsonl",
    "motion": "train the motion network, which tells moving from quiet",
    "proof": "train on fixed numbers and compare the weights, bit by bit, with those expected on this platform",
    "data": "look into data sets",
    "bundle": "make a signed bundle of a trained model",
    "evaluate": "score a bundle on a labelled data set",
    "report": "draw a run: figures, curves and pictures in one HTML page and one PNG",
    "import-cog": "make a signed bundle of a published cog's weights",
    "keygen": "make an Ed25519 key pair",
    "rotate": "state that a new key takes the place of an old one",
}

_EXTRA = dict.fromkeys(("torch", "onnx", "onnxscript", "tqdm", "scipy"), "train") | {"matplotlib": "report"}
"""The extra of this project that brings a package."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `cogd-train`."""
    try:
        words = sys.argv[1:] if argv is None else argv
        return dispatch("cogd-train", "From CSI to signed models.", "cogd.train.cli", VERBS, words)
    except ModuleNotFoundError as error:
        extra = _EXTRA.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(f"cogd-train: {error.name} is not installed", file=sys.stderr)
        print(f"cogd-train: hint: pip install 'cogd[{extra}]'", file=sys.stderr)
        return 30
