"""What is kept of each epoch: a line of `history.jsonl`, and curves for TensorBoard where they are asked for."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import msgspec

from cogd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """What an epoch gave.

    Attributes:
        epoch: its number, from 1.
        loss: mean over the training part, of each batch with the weights before its step.
        terms: the same of each term of the loss, before it is weighted.
        score: the task's, on the calibration part, after the epoch.
        learning_rate: in this epoch.
        seconds: it took, the score included.
    """

    epoch: int
    loss: float
    terms: dict[str, float]
    score: float
    learning_rate: float
    seconds: float


class History:
    """Appends a line an epoch; begun anew, or cut back to what a checkpoint has behind it.

    Args:
        path: the file.
        epochs_done: of the checkpoint that the run goes on from; later lines were of epochs that are done again.
    """

    def __init__(self, path: Path, epochs_done: int) -> None:
        self._path = path
        kept = [epoch for epoch in read_history(path) if epoch.epoch <= epochs_done]
        partial = path.with_suffix(".partial")
        partial.write_bytes(b"".join(map(_line, kept)))
        partial.replace(path)

    def add(self, epoch: Epoch) -> None:
        """Append a line."""
        with self._path.open("ab") as file:
            file.write(_line(epoch))


def read_history(path: Path) -> list[Epoch]:
    """The epochs of a file, up to its end or the first line that was not written whole; none where there is no file."""
    return list(_epochs(path))


def _epochs(path: Path) -> Iterator[Epoch]:
    lines = path.read_bytes().splitlines() if path.exists() else []
    with contextlib.suppress(msgspec.DecodeError):
        for line in lines:
            yield msgspec.json.decode(line, type=Epoch)


class Writer(Protocol):
    """As much of TensorBoard's writer as is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Add a point to a curve."""

    def flush(self) -> None:
        """Write what is pending."""


def tensorboard(folder: Path, epochs_done: int) -> Callable[[Epoch], None]:
    """What writes an epoch's curves into a folder; points behind the checkpoint's epoch are taken back.

    Raises:
        ConfigError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  loads a package that most runs do without
    except ImportError as error:
        raise ConfigError(
            f"output.tensorboard: TensorBoard is not installed ({error})", hint="pip install 'cogd[tensorboard]'"
        ) from error
    writer: Writer = SummaryWriter(str(folder), purge_step=epochs_done + 1)

    def add(epoch: Epoch) -> None:
        curves = {"loss": epoch.loss, "score": epoch.score, "learning_rate": epoch.learning_rate}
        curves |= {f"loss/{name}": value for name, value in epoch.terms.items()}
        for name, value in curves.items():
            writer.add_scalar(name, value, epoch.epoch)
        writer.flush()

    return add


def _line(epoch: Epoch) -> bytes:
    return msgspec.json.encode(epoch) + b"\n"
