"""Tones: which of a frame's bins are active subcarriers, at which frequency, and how they become a model's input.

A bin layout is a list of (bin, tone) pairs; a tone is counted in HT20 subcarriers of 312.5 kHz from the carrier
(IEEE 802.11-2020, 19.3.6 and table 19-6): the legacy training field (L-LTF) fills tones -26..-1 and 1..26, the
high-throughput one (HT-LTF) -28..-1 and 1..28; high-efficiency (HE) tones are four times as dense. Which bins the
ESP32 family leaves empty was measured on recordings; docs/input.md has the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from cogd.csi.input_rules import SUBCARRIERS
from cogd.errors import ToneError

if TYPE_CHECKING:
    from cogd.csi.frame import Frame

ToneRule = Literal["ht56", "first56"]

HT_TONES: tuple[int, ...] = (*range(-28, 0), *range(1, 29))
"""The 56 tones of a 20 MHz HT channel: what the rule `ht56` delivers, lowest frequency first."""

_LLTF_TONES: tuple[int, ...] = (*range(-26, 0), *range(1, 27))


@dataclass(frozen=True)
class Layout:
    """Where a frame's active tones lie.

    Attributes:
        name: names the kind of the frame; kinds differ in gain, so a window holds one kind only.
        tones: tone of each pick, in units of an HT20 subcarrier, increasing.
        picks: bin of each tone.
    """

    name: str
    tones: tuple[float, ...]
    picks: tuple[int, ...]


def _fft_order(name: str, tones: tuple[int, ...], *, offset: int = 0, size: int = 64, bins: int = 0) -> Layout:
    """Bins as an FFT delivers them: DC first, negative frequencies in the upper half. `bins` cuts the list short."""
    pairs = [(tone, offset + tone % size) for tone in tones]
    kept = [(tone, pick) for tone, pick in pairs if not bins or pick < bins]
    return Layout(name, tuple(float(tone) for tone, _ in kept), tuple(pick for _, pick in kept))


def _centred(name: str, tones: tuple[int, ...], *, centre: int, scale: int = 1, bins: int = 0) -> Layout:
    """Bins with DC in the middle. `scale` bins lie in one HT20 subcarrier."""
    kept = [(tone, centre + tone) for tone in tones if not bins or centre + tone < bins]
    return Layout(name, tuple(tone / scale for tone, _ in kept), tuple(pick for _, pick in kept))


_HE_TONES = (*range(-122, -1), *range(2, 123))


def _classic(layout: Layout) -> Layout:
    """A 64-bin layout in FFT order without tone 1.

    The classic ESP32 overwrites the first word, which holds tones 0 and 1 (ESP-IDF: `first_word_invalid`).
    """
    kept = [(tone, pick) for tone, pick in zip(layout.tones, layout.picks, strict=True) if tone != 1]
    return Layout(f"{layout.name}-classic", tuple(tone for tone, _ in kept), tuple(pick for _, pick in kept))


_LLTF_64 = _fft_order("lltf-64", _LLTF_TONES)
_LLTF_64_CLASSIC = _classic(_LLTF_64)
_LLTF_64_CENTRED = _centred("lltf-64-centred", _LLTF_TONES, centre=32)
_HT_64 = _fft_order("ht-64", HT_TONES)
_HT_64_CLASSIC = _classic(_HT_64)
_HT_64_CENTRED = _centred("ht-64-centred", HT_TONES, centre=32)
_HT_128 = _fft_order("ht-128", HT_TONES, offset=64)
_HT_192 = _fft_order("ht-192", HT_TONES, offset=64)
_HE_256 = _centred("he-256", _HE_TONES, centre=128, scale=4)
_READY_56 = Layout("ready-56", tuple(float(tone) for tone in HT_TONES), tuple(range(56)))

_OF_64 = (_LLTF_64, _LLTF_64_CLASSIC, _LLTF_64_CENTRED, _HT_64, _HT_64_CLASSIC, _HT_64_CENTRED)

LAYOUTS: tuple[Layout, ...] = (*_OF_64, _HT_128, _HT_192, _HE_256, _READY_56)
"""Every layout of a complete frame."""


_WIDE = {
    128: (_HT_128, slice(94, 99)),
    192: (_HT_192, slice(94, 99)),
    256: (_HE_256, slice(0, 5)),
}
"""Wider frames: their layout and the bins that must be empty in it (a 40 MHz frame fills them)."""


def _amplitude_only(layout: Layout, bins: int) -> Layout:
    """The part of a 64-bin layout that the first `bins` bins hold, under a name of its own."""
    kept = [(tone, pick) for tone, pick in zip(layout.tones, layout.picks, strict=True) if pick < bins]
    return Layout(f"{layout.name}-first{bins}", tuple(t for t, _ in kept), tuple(p for _, p in kept))


_FIRST_56 = {layout.name: _amplitude_only(layout, 56) for layout in _OF_64}


def detect_layout(active: NDArray[np.bool_], bins: int) -> Layout:
    """Tell a frame's layout from its width and from which bins are empty.

    Args:
        active: bool `[n]`, True where a bin is not exactly zero; n may be less than `bins` for ready amplitudes.
        bins: how many bins the receiver measured.

    Raises:
        ToneError: no layout fits.
    """
    n = len(active)
    if not active.any():
        raise ToneError("a frame whose bins are all zero")
    if n == bins and bins in _WIDE:
        layout, guard = _WIDE[bins]
        if active[guard].any():
            raise ToneError(f"a frame of {bins} bins with power in bins {guard.start}-{guard.stop - 1}, its guard band")
        return layout
    if n == 56 and active[1:55].all():
        return _READY_56
    if n in {56, 64}:
        # A sensing server hands on the first 56 bins of whatever came; in every ESP32-S3 frame these are L-LTF.
        known = _layout_of_64(active)
        return known if n == 64 else _FIRST_56[known.name]
    raise ToneError(f"a frame of {bins} bins ({n} of them given) fits no known layout")


def _layout_of_64(active: NDArray[np.bool_]) -> Layout:
    """The layout by the empty bins: guard bands and the carrier.

    The first word is looked at only for whether there is something in it: the carrier's bin is empty but on the classic
    ESP32.
    """
    if not active[30:35].any():  # the upper guard band of the FFT order; bins 0-29 and 35-63 at the widest
        if active[[27, 28, 36, 37]].any():
            return _HT_64_CLASSIC if active[0] else _HT_64
        return _LLTF_64_CLASSIC if active[0] else _LLTF_64
    if not active[[2, 3, 32]].any():  # guard band and carrier of the centred order
        # Now and then a C6's L-LTF frame has a faint 1 in one of the edges; the upper two are beyond 56 bins.
        edges = int(active[4:6].sum()) + int(active[59:61].sum())
        return _HT_64_CENTRED if edges >= 2 else _LLTF_64_CENTRED
    raise ToneError(
        "a 64-bin frame whose empty bins are neither the FFT order's (30-34) nor the centred one's (2, 3, 32)"
    )


@lru_cache(maxsize=64)
def _resampling(tones: tuple[float, ...]) -> NDArray[np.float32] | None:
    """Matrix `[n, 56]` that interpolates linearly onto the HT tones, the outermost held; None where nothing to do."""
    targets = np.asarray(HT_TONES, dtype=np.float64)
    if tones == tuple(targets):
        return None
    identity = np.eye(len(tones))
    columns = [np.interp(targets, tones, row) for row in identity]
    return np.asarray(columns, dtype=np.float32)


def _amplitude_of_every_pair() -> NDArray[np.float32]:
    pairs = np.arange(1 << 16, dtype=np.uint16).view(np.int8).reshape(-1, 2).astype(np.float32)
    return np.hypot(pairs[:, 0], pairs[:, 1])


_AMPLITUDES = _amplitude_of_every_pair()
"""Amplitude of a pair of int8, by the pair's bytes read as one number: a look-up is a third of the arithmetic."""


class _Selection(msgspec.Struct, frozen=True):
    """How the HT tones are made of a frame's bins: which bins, and the matrix that interpolates if need be."""

    kind: str
    picks: NDArray[np.intp]
    resampling: NDArray[np.float32] | None
    measured: int


@lru_cache(maxsize=1024)
def _selection(active: bytes, bins: int) -> _Selection:
    """The selection for frames with these empty bins; a node's frames mostly have the same, so that it is kept.

    Args:
        active: a bool for each bin, as `NDArray.tobytes` writes them.
        bins: how many bins the receiver measured.
    """
    layout = detect_layout(np.frombuffer(active, dtype=np.bool_), bins)
    picks = np.asarray(layout.picks, dtype=np.intp)
    return _Selection(layout.name, picks, _resampling(layout.tones), measured_tones(layout))


class Tones(msgspec.Struct, frozen=True, eq=False):
    """A frame's amplitudes as a model wants them.

    Attributes:
        values: float32 `[56]`.
        kind: the frame's kind; two kinds have different gain.
        measured: how many of the 56 values are measured tones; the others are interpolated.
    """

    values: NDArray[np.float32]
    kind: str
    measured: int


def select_tones(frame: Frame, rule: ToneRule) -> Tones:
    """Pick a frame's tones.

    `ht56`: the 56 HT tones, lowest frequency first; from L-LTF and HE frames by linear interpolation over
    frequency. `first56`: the first 56 bins in arrival order, empty ones included, as the published cogs feed them.

    Raises:
        ToneError: the frame's bins fit no known layout, or are fewer than the rule needs.
    """
    if rule == "first56":
        amplitudes = frame_amplitudes(frame)
        first = amplitudes[:SUBCARRIERS]
        if len(first) < SUBCARRIERS or not first.any():
            raise ToneError(f"a frame of {len(amplitudes)} bins, or of zeros only, has no first {SUBCARRIERS}")
        return Tones(first, f"first56-{frame.bins}", SUBCARRIERS)
    if frame.amplitude is not None:
        selection = _selection(frame.amplitude.astype(np.bool_).tobytes(), frame.bins)
        tones = frame.amplitude.take(selection.picks)
    else:
        pairs = _pairs(frame)
        selection = _selection(pairs.astype(np.bool_).tobytes(), frame.bins)
        tones = _AMPLITUDES.take(pairs.take(selection.picks))
    values = tones if selection.resampling is None else tones.dot(selection.resampling)
    return Tones(values, selection.kind, selection.measured)


def frame_amplitudes(frame: Frame) -> NDArray[np.float32]:
    """Amplitude of each bin, float32 `[n]`, in arrival order and in the receiver's units (int8 counts)."""
    if frame.amplitude is not None:
        return frame.amplitude
    return _AMPLITUDES.take(_pairs(frame))


def _pairs(frame: Frame) -> NDArray[np.uint16]:
    """Each bin's two bytes as one number, `[bins]`: an index into the amplitudes."""
    if frame.iq is None:
        raise ToneError(f"a frame of node {frame.node} without bins")
    return np.frombuffer(frame.iq.tobytes(), dtype=np.uint16)


def measured_tones(layout: Layout) -> int:
    """How many of the 56 HT tones a layout measures itself."""
    return len(set(layout.tones) & {float(tone) for tone in HT_TONES})
