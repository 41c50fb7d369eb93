"""What a backend is: the contract of the entry-point group `cogd.backends`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ModelShape:
    """What goes in and comes out.

    Attributes:
        input_shape: of one window, without the batch axis.
        outputs: shape of each output by name, without the batch axis.
        max_batch: the most windows that are run at once.
    """

    input_shape: tuple[int, ...]
    outputs: Mapping[str, tuple[int, ...]]
    max_batch: int


class Session(Protocol):
    """A loaded model. Used by one thread at a time.

    Attributes:
        only_computes: whether `run` can do nothing but compute on this processor for a time that its input's size
            bounds: it waits for no device, lock or process, and the model has no loop. Short batches of such a
            session are run where they are, the others on a thread that may hang without harm.
    """

    only_computes: bool

    def buffer(self, size: int) -> NDArray[np.float32]:
        """Where the next batch of `size` inputs may be prepared, `[size, ...]`: from there nothing is copied."""

    def run(self, batch: NDArray[np.float32]) -> Mapping[str, NDArray[np.float32]]:
        """Outputs by name, `[batch, ...]`, of a batch of 1..max_batch inputs; the arrays are the caller's to keep."""


class Backend(Protocol):
    """A plugin that runs model files. Made without arguments; importing its module must not touch a device."""

    name: str

    def load(self, model: bytes, shape: ModelShape) -> Session:
        """Load a model from verified bytes; it must not read anything else.

        Raises:
            ModelError: the model can't be loaded or has other inputs or outputs.
        """
