"""What heads' rules share. Imports neither NumPy nor msgspec, so that `cogd health` starts fast."""

from __future__ import annotations

from math import isfinite

from cogd.errors import ManifestError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    class OutputTensor(Protocol):
        """A tensor of a manifest's output."""

        @property
        def name(self) -> str:
            """Its name."""

        @property
        def shape(self) -> Sequence[int]:
            """Without the batch axis."""

    class Output(Protocol):
        """The parts of a manifest's `output` that rules may use: see `cogd.bundle.manifest.OutputSpec`.

        What the manifest's schema demands of any head is already checked, such as that every trained class has a label.
        """

        @property
        def tensors(self) -> Sequence[OutputTensor]:
            """The outputs that the model gives, in order."""

        @property
        def labels(self) -> Sequence[str]:
            """The classes or joints."""

        @property
        def trained_classes(self) -> Sequence[int] | None:
            """Ascending places in `labels` that were trained; None: there are no classes."""

        @property
        def confidence(self) -> str:
            """`platt` or `none`."""

    Calibration = Mapping[str, Sequence[float]]


def numbers(calibration: Calibration, names: Sequence[str]) -> list[float]:
    """One finite number of each name.

    Raises:
        ManifestError: one is missing, not a single number or not finite.
    """
    try:
        found = [number for (number,) in (calibration[name] for name in names)]
    except (KeyError, ValueError) as error:
        listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        raise ManifestError(f"the calibration must hold {listed}, one number each") from error
    if not all(map(isfinite, found)):
        raise ManifestError("the calibration's numbers must be finite")
    return found
