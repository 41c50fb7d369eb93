"""The run directory: everything that becomes a bundle, but for name, version and signature.

model.onnx               the exported network, rewritten for speed
weights.safetensors      the same weights under the names of the published cogs
description.json         head, input, output, tolerance, provenance: the manifest's content
normaliser.safetensors   `mean`, `std` of each row of what the weights were trained on; in the bundle only if the model
                         does not have them inside (`input.normaliser` of the description)
calibration.safetensors  what the head applies, if there is a calibration
golden.safetensors       `window` and the expected outputs by name
report.json, report.txt  the figures, and the gates
predictions.safetensors  what was said of the test part, beside the truth: `cogd-train report` draws it
history.jsonl            one JSON object an epoch: `epoch`, `loss`, `terms`, `score`, `learning_rate`, `seconds`
tensorboard/             the same for TensorBoard, if asked for
report.html, report.png  drawn by `cogd-train report`
checkpoint.pt            to go on training
fold-1.pt ...            the same of each fold's network, with `train.folds`
config.toml              every key of the configuration that the run was given
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import safetensors
import safetensors.numpy

from cogd.bundle.manifest import InputSpec, OutputSpec, Provenance
from cogd.errors import TrainError
from cogd.train.report.log import DEFAULT_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


MODEL = "model.onnx"
WEIGHTS = "weights.safetensors"
DESCRIPTION = "description.json"
NORMALISER = "normaliser.safetensors"
CALIBRATION = "calibration.safetensors"
GOLDEN = "golden.safetensors"
CHECKPOINT = "checkpoint.pt"
CONFIG = "config.toml"
TENSORBOARD = "tensorboard"
REPORT = "report.json"
REPORT_TEXT = "report.txt"
PREDICTIONS = "predictions.safetensors"
HISTORY = "history.jsonl"
PAGE, PICTURE = "report.html", "report.png"

RESULTS: Final = (
    DESCRIPTION, MODEL, WEIGHTS, NORMALISER, CALIBRATION, GOLDEN, REPORT, REPORT_TEXT, PREDICTIONS, PAGE, PICTURE,
)  # fmt: skip
"""What a finished run adds, and what is drawn of it. The description is first away and last written: a directory that
has one holds the files of one run."""

_OTHER_LOG = "--log FILE in a folder that there is"

GOLDEN_TOLERANCE = {"fp32": 1e-4}
"""Ten times the parity that the export is held to: another processor may add up in another order."""


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model is, without a name."""

    title: str
    head: str
    input: InputSpec
    output: OutputSpec
    golden_tolerance: dict[str, float]
    provenance: Provenance


def refuse_place(folder: Path) -> None:
    """Raise TrainError if a folder is none, and can't be made one."""
    there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    if not there.is_dir():
        raise TrainError(f"{there} is a file, not a run directory", hint="--out with another directory")
    if not os.access(there, os.W_OK | os.X_OK):
        raise TrainError(f"{there} can't be written to", hint="--out with another directory")


def refuse_run(folder: Path) -> None:
    """Raise TrainError if a folder holds a run, or an evaluation, which a new one would take the place of."""
    if (folder / DESCRIPTION).exists():
        raise TrainError(
            f"{folder} holds a finished run",
            hint="--out with another directory; or --resume for more epochs, --overwrite to put a new run in its place",
        )
    if (folder / CHECKPOINT).exists():
        raise TrainError(
            f"{folder} holds a run that is not finished",
            hint="--resume to go on with it; or --overwrite to put a new one in its place",
        )
    if (folder / REPORT).exists() or (folder / PREDICTIONS).exists():
        raise TrainError(
            f"{folder} holds what `cogd-train evaluate` kept",
            hint="--out with another directory; or --overwrite to put a run in its place",
        )


def log_of(folder: Path, log: str) -> Path:
    """Where a run adds its line: the configured log, or the one that the runs of one folder share."""
    return Path(log) if log else folder.resolve().with_name(DEFAULT_NAME)


def refuse_log(folder: Path, log: str) -> None:
    """Raise TrainError if the finished run could not add its line to its log, as far as that shows before it begins."""
    path = log_of(folder, log)
    try:
        with path.open("r+b") as opened:
            if opened.seek(0, os.SEEK_END) and (opened.seek(-1, os.SEEK_END), opened.read())[1] != b"\n":
                raise TrainError(f"{path}: its last line was cut off", hint="look at it and end or remove that line")
    except FileNotFoundError:
        place = path.parent.resolve()
        if not place.exists() and folder.resolve().is_relative_to(place):
            return  # it is made with the run directory
        if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
            raise TrainError(
                f"the log {path} can't be written: {place} is no folder that may be written to", hint=_OTHER_LOG
            ) from None
    except OSError as error:
        raise TrainError(f"the log {path} can't be written: {error.strerror}", hint=_OTHER_LOG) from error


def clear(folder: Path, *, resume: bool) -> None:
    """Take away what is not of the run that begins: all that one before left; if it goes on, what came of it so far."""
    for name in RESULTS:
        (folder / name).unlink(missing_ok=True)
    if not resume:
        for path in (folder / CHECKPOINT, folder / HISTORY, *folder.glob("fold-*.pt")):
            path.unlink(missing_ok=True)
        if (folder / TENSORBOARD).is_dir():
            shutil.rmtree(folder / TENSORBOARD)


def write_description(folder: Path, description: Description) -> None:
    """Write `description.json`.

    Raises:
        TrainError: it could not be read again, for example because a text is empty.
    """
    text = msgspec.json.format(msgspec.json.encode(description), indent=2)
    try:
        msgspec.json.decode(text, type=Description)
    except msgspec.ValidationError as error:
        raise TrainError(f"the model can't be described: {error}") from error
    (folder / DESCRIPTION).write_bytes(text + b"\n")


def read_description(folder: Path) -> Description:
    """Read `description.json`.

    Raises:
        TrainError: it is not there, or not one.
    """
    path = folder / DESCRIPTION
    try:
        return msgspec.json.decode(path.read_bytes(), type=Description)
    except FileNotFoundError as error:
        raise TrainError(
            f"{path} is missing: a bundle must say how the model's input is made",
            hint="`cogd-train pose`, `count` and `import-cog` write it beside the model",
        ) from error
    except OSError as error:
        raise TrainError(f"{path} can't be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise TrainError(f"{path} is not a description of a model: {error}") from error


def write_golden(folder: Path, windows: NDArray[np.float32], expected: Mapping[str, NDArray[np.float32]]) -> None:
    """Write the golden pair: raw windows `[n, 56, frames]` and the outputs of the NumPy reference for them."""
    write_tensors(folder / GOLDEN, {"window": np.ascontiguousarray(windows), **expected})


def write_tensors(
    path: Path, tensors: Mapping[str, NDArray[np.generic]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file with the modes of any other file; the library's own way leaves it to its owner alone."""
    path.write_bytes(safetensors.numpy.save(dict(tensors), None if metadata is None else dict(metadata)))


def read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read a weight file.

    Raises:
        TrainError: it is not there, or not a safetensors file of float32.
    """
    try:
        tensors = safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError, TypeError, AttributeError) as error:  # the latter: no NumPy type
        raise TrainError(f"{path} is not a readable safetensors file: {error}") from error
    wrong = [name for name, tensor in tensors.items() if tensor.dtype != np.float32]
    if wrong:
        raise TrainError(f"{path} holds {wrong[0]} as {tensors[wrong[0]].dtype}, not float32")
    return tensors
