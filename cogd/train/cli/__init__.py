"""The command line of cogd-train: one small module a verb, imported only when its verb is called."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cogd.cli.dispatch import dispatch
from cogd.train.cli.training import TrainingVerb
from cogd.train.heads.registry import trainer_names, trainer_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERBS: Mapping[str, str] = {  # beside those of the heads
    "proof": "train on fixed numbers and compare the weights, bit by bit, with those expected on this platform",
    "data": "look into data sets",
    "bundle": "make a signed bundle of a trained model",
    "evaluate": "score a bundle on a labelled data set",
    "report": "draw a run: figures, curves and pictures in one HTML page and one PNG",
    "import-cog": "make a signed bundle of a published cog's weights",
    "keygen": "make an Ed25519 key pair",
    "rotate": "state that a new key takes the place of an old one",
}


def verbs() -> dict[str, str]:
    """Return every verb and what it does: one for each head that can be trained, then the others."""
    return {name: trainer_of(name).summary for name in trainer_names()} | dict(VERBS)


_EXTRA = dict.fromkeys(("torch", "onnx", "onnxscript", "tqdm", "scipy"), "train") | {"matplotlib": "report"}
"""The extra of this project that brings a package."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `cogd-train`."""
    try:
        words = sys.argv[1:] if argv is None else argv
        heads = {name: TrainingVerb(name) for name in trainer_names()}
        return dispatch("cogd-train", "From CSI to signed models.", "cogd.train.cli", verbs(), words, made=heads)
    except ModuleNotFoundError as error:
        extra = _EXTRA.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(f"cogd-train: {error.name} is not installed", file=sys.stderr)
        print(f"cogd-train: hint: pip install 'cogd[{extra}]'", file=sys.stderr)
        return 30
