"""Tiny trees in MM-Fi's official layout: random numbers, written by SciPy; the data themselves are not at hand."""

from pathlib import Path

import numpy as np
import scipy.io


def frame(number: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude and phase `[3, 114, 10]` of frame `number`, counted from 1."""
    rng = np.random.default_rng([seed, number])
    return rng.uniform(1, 40, (3, 114, 10)), rng.uniform(-np.pi, np.pi, (3, 114, 10))


def write_action(root: Path, place: str, *, seed: int = 0, rgb: bool = False, truth: bool = True) -> Path:
    """One action such as `E01/S01/A01`; returns its folder."""
    folder = root / place
    (folder / "wifi-csi").mkdir(parents=True)
    for number in range(1, 298):
        amplitude, phase = frame(number, seed)
        write_frame(folder / "wifi-csi" / f"frame{number:03d}.mat", amplitude, phase)
    if truth:
        np.save(folder / "ground_truth.npy", np.random.default_rng(seed).normal(size=(297, 17, 3)))
    if rgb:
        (folder / "rgb").mkdir()
        for number in range(1, 298):
            np.save(folder / "rgb" / f"frame{number:03d}.npy", np.full((17, 2), [number, 240.0]))
    return folder


def write_frame(path: Path, amplitude: np.ndarray, phase: np.ndarray) -> None:
    scipy.io.savemat(path, {"CSIamp": amplitude, "CSIphase": phase})
