"""The option `resample` of data sets with more or fewer subcarriers than a model takes."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cogd.csi.input_rules import SUBCARRIERS
from cogd.errors import ConfigError, TrainError
from cogd.train.data import subcarriers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

OPTIONS: Final[tuple[str, ...]] = ("resample", "fit")
METHODS: Final[tuple[str, ...]] = ("linear", "complex", "sparse", "variance")


@dataclass(frozen=True)
class Resampling:
    """How the measured subcarriers become those of a model.

    Attributes:
        method: one of `METHODS`.
        fit: `variance`: names of sessions, in which `*` stands for anything, on which the selection is fitted.
    """

    method: str = "linear"
    fit: tuple[str, ...] = ()

    def fits(self, sessions: Iterable[str]) -> list[str]:
        """The sessions that the selection is fitted on.

        Raises:
            TrainError: a pattern fits none.
        """
        listed = list(sessions)
        for pattern in self.fit:
            if not fnmatch.filter(listed, pattern):
                raise TrainError(f"there is no session {pattern!r} to fit the selection of subcarriers on")
        return [name for name in listed if any(fnmatch.fnmatchcase(name, pattern) for pattern in self.fit)]

    def apply(
        self,
        amplitude: NDArray[np.floating],
        radians: NDArray[np.floating] | None,
        chosen: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Amplitude and phase `[n, measured]` to `[n, 56]`; the phase is None where it was.

        Raises:
            TrainError: `complex` without a phase.
        """
        if self.method == "variance" and chosen is not None:
            phase = None if radians is None else radians[:, chosen].astype(np.float32)
            return amplitude[:, chosen].astype(np.float32), phase
        if self.method == "complex":
            if radians is None:
                raise TrainError("resample=complex needs phases, and these data have none", hint="resample=linear")
            return subcarriers.interpolate_complex(amplitude, radians, SUBCARRIERS)
        method = subcarriers.interpolate_sparse if self.method == "sparse" else subcarriers.interpolate
        phase = None if radians is None else subcarriers.interpolate_phase(radians, SUBCARRIERS)
        return method(amplitude, SUBCARRIERS), phase


def parse_resampling(kind: str, options: Mapping[str, str]) -> Resampling:
    """Read the options `resample` and `fit`.

    Raises:
        ConfigError: there is no such method, or `fit` is missing or goes with another method.
    """
    method = options.get("resample", "linear")
    if method not in METHODS:
        raise ConfigError(f"{kind}: resample={method}", hint="one of " + ", ".join(METHODS))
    fit = tuple(options["fit"].split(",")) if "fit" in options else ()
    if (method == "variance") != bool(fit):
        raise ConfigError(
            f"{kind}: resample=variance and fit go together",
            hint="resample=variance&fit=SESSIONS, the sessions that train, such as fit=E01/*,E02/*",
        )
    return Resampling(method, fit)
