"""Frames for tests."""

import numpy as np

from cogd.csi.frame import Frame, Origin

LLTF = [*range(1, 27), *range(38, 64)]
"""Active bins of a 64-bin L-LTF frame in FFT order; DC and 27-37 are empty."""
HT = [*range(1, 29), *range(36, 64)]
"""Active bins of a 64-bin HT-LTF in FFT order."""


def iq_of(bins: int, active, level: float = 10) -> np.ndarray:
    """Imaginary parts of `level` in the active bins."""
    iq = np.zeros((bins, 2), np.int8)
    iq[list(active), 0] = level
    return iq


def lltf(level: int = 10) -> np.ndarray:
    return iq_of(64, LLTF, level)


def ht128(level: int = 10) -> np.ndarray:
    return iq_of(128, [*LLTF, *(64 + bin_ for bin_ in HT)], level)


def make_frame(iq=None, *, time_s=100.0, sequence=None, node="a/1", origin=Origin.LIVE, amplitude=None, bins=None):
    if iq is None and amplitude is None:
        iq = lltf()
    if amplitude is not None:
        amplitude = np.asarray(amplitude, np.float32)
    measured = len(amplitude if iq is None else iq)
    return Frame(
        node=node,
        time_s=time_s,
        arrival_s=time_s,
        origin=origin,
        bins=bins or measured,
        iq=iq,
        amplitude=amplitude,
        sequence=sequence,
    )
