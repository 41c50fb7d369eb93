"""The radios: which bins each kind of chip delivers, and how its measurements err.

The figures were measured on recordings of five chips in two quiet rooms (30 recordings of 10 s, 56 tones, about 100
frames a second; gain locked but for the classic ESP32) and of a sixth chip in a third room:

* What differs from one frame to the next in a tone, the frame's common gain taken out: 0.65 to 1.05 counts (S3), 0.94
  to 0.99 (C3), 0.48 to 0.61 (C5), 0.40 to 0.63 (C6), 0.69 to 1.2 (classic ESP32), whatever the level of the tone.
  Rounding to whole counts is 0.29 of it. Root mean square level of the 56 tones, in this order: 40 to 45, 30 to 46, 25
  to 32, 15 to 25, 40 to 43.
* That error is nearly independent from tone to tone (correlation of neighbours 0.05 to 0.23), but for a part that bends
  all tones together (correlation -0.1 to -0.25 between the two ends): 0.5 % of the amplitude (S3), 0.8 % (C5), 0.9 to
  1.5 % (C3), 0.4 to 2.1 % (C6). The classic ESP32
  averages neighbours: 0.52 to 0.66 at one tone's distance, 0.18 to 0.28 at two, nothing at four; that is what the
  weights 1/4, 1/2, 1/4 leave.
* The common gain of locked chips wobbles by 0.21 to 0.29 dB, in step with the beacon interval of 102.4 ms (9.8 Hz and
  its multiples): the access point's power droops after each beacon. Its distribution is skewed, 0.2 dB below the median
  to 0.6 dB above.
* The classic ESP32 chooses its gain anew for each packet: 60 to 70 % within 0.5 dB of the median, 10 to 20 % 3 to 4 dB
  below, as many 2 to 3.5 dB above, independent from packet to packet (correlation of successive gains below 0.06).
  Recordings made with ESP32-CSI-Tool have half as many changes.
* An S3 without gain lock brings every packet to the same level within 0.3 dB: 12 to 14 counts (L-LTF), 51 (HT).
* Foreign frames, weaker and of another shape, one at a time: 0.9 % on one of three C3, nearly none elsewhere. On C6 2
  to 9 % of the frames are L-LTF in the middle of HT ones, at half their amplitude.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cogd.csi.tones import LAYOUTS, Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

_BY_NAME = {layout.name: layout for layout in LAYOUTS}

Range = tuple[float, float]


@dataclass(frozen=True)
class Chip:
    """A kind of radio in the mode that it is used in.

    Attributes:
        layout: its tones and their bins.
        bins: bins in a frame.
        legacy: layout of the training field that stands before it in a longer frame, if one does.
        level_counts: root mean square amplitude.
        noise_counts: standard deviation of each component's error, before rounding.
        bend: error common to all tones, as a share of the amplitude.
        foreign_share: of frames that are another transmitter's.
        legacy_share: of frames that hold the L-LTF alone, at half the amplitude.
        gain_locked: the gain is found once and kept; else each packet has its own.
        averaged: neighbouring tones are averaged.
        first_word: the first word of a frame, bins 0 and 1, is overwritten (ESP-IDF: `first_word_invalid`).
    """

    layout: Layout
    bins: int
    level_counts: Range
    noise_counts: Range
    bend: Range
    foreign_share: Range
    legacy: Layout | None = None
    legacy_share: Range = (0.0, 0.0)
    gain_locked: bool = True
    averaged: bool = False
    first_word: bool = False


def _chip(layout: str, level_counts: Range, noise_counts: Range, **others: Range | bool) -> Chip:
    bins = int(layout.split("-")[1])
    kept = {"bend": (0.003, 0.009), "foreign_share": (0.0, 0.004), **others}
    return Chip(
        _BY_NAME[layout],
        bins,
        level_counts=level_counts,
        noise_counts=noise_counts,
        legacy=_BY_NAME["lltf-64"] if bins == 128 else None,
        first_word=layout.endswith("-classic"),
        **kept,  # type: ignore[arg-type]
    )


CHIPS: Mapping[str, Chip] = {
    "esp32": _chip("ht-64-classic", (36, 46), (0.9, 2.0), bend=(0.002, 0.01), gain_locked=False, averaged=True),
    "esp32-lltf": _chip("lltf-64-classic", (14, 24), (0.4, 1.0), bend=(0.002, 0.01), gain_locked=False, averaged=True),
    "s2": _chip("ht-64", (20, 45), (0.5, 1.2)),
    "s3": _chip("ht-64", (30, 48), (0.5, 1.1)),
    "s3-lltf": _chip("lltf-64", (12, 15), (0.3, 0.8), gain_locked=False),
    "s3-128": _chip("ht-128", (44, 54), (0.5, 1.1), gain_locked=False),
    "c3": _chip("ht-64", (28, 48), (0.7, 1.2), bend=(0.005, 0.016), foreign_share=(0.0, 0.01)),
    "c5": _chip("ht-64-centred", (22, 34), (0.35, 0.75), bend=(0.003, 0.012)),
    "c6": _chip("ht-64-centred", (13, 30), (0.3, 0.75), bend=(0.003, 0.025), legacy_share=(0.02, 0.09)),
    "c6-he": _chip("he-256", (13, 30), (0.3, 0.75), bend=(0.003, 0.025)),
}
"""Kinds of radio by name."""

AGC_LEVELS_DB = (-3.6, 2.6)
"""Where gains that are far from the usual one lie."""
AGC_SPREAD_DB = 0.4
"""Standard deviation around each of these, and around the usual one."""
BEACON_S = 0.1024
"""Interval between an access point's beacons: 100 time units of 1.024 ms (IEEE 802.11-2020, 9.4.1.3)."""
LEGACY_TONE = 26
"""The outermost tone of the L-LTF (IEEE 802.11-2020, 17.3.3)."""
