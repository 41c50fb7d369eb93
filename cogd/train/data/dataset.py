"""Open a data set of any kind by its specification, `KIND:PLACE?option=value&...`."""

from __future__ import annotations

import fnmatch
import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import parse_qsl

from cogd.errors import ConfigError, TrainError
from cogd.train.data.options import FILTERS, THIN
from cogd.train.data.thin import parse_rates, parse_seed, thinned

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cogd.train.data.track import Dataset

KINDS: Mapping[str, str] = {
    "espectre": "DIR with dataset_info.json and .npz of int8 bins: quiet and moving, by room and chip",
    "geotec": "DIR of .npz with 56 ready amplitudes and an activity for each frame",
    "esp32-csv": "FILE or DIR of CSV as ESP32-CSI-Tool writes them, with and without header",
    "recording": "FILE of raw recorded CSI, one JSON message a line",
    "paired": "FILE of windows beside the keypoints of a camera, one JSON object a line",
    "mmfi": "DIR in MM-Fi's official layout: E01/S01/A01/wifi-csi/frame001.mat",
    "wifi-densepose": "DIR in the layout of wifi-densepose-train: S01/A01/wifi_csi.npy",
    "sim": "the simulator: sim:rooms=2&persons=0,1&minutes=0.5",
}
"""The kinds that `open_dataset` reads, and what each names."""


_READERS: Mapping[str, str] = {
    "espectre": "cogd.train.data.espectre",
    "geotec": "cogd.train.data.geotec",
    "esp32-csv": "cogd.train.data.esp32_csi_tool",
    "recording": "cogd.train.data.recorded",
    "paired": "cogd.train.data.paired",
    "mmfi": "cogd.train.data.mmfi",
    "wifi-densepose": "cogd.train.data.wifi_densepose",
    "sim": "cogd.train.data.simulated",
}
"""The module that reads each kind; imported when a data set of that kind is opened."""


class _Reader(Protocol):
    def open_recordings(self, place: str, options: Mapping[str, str]) -> Dataset:
        """Open what is at a place; raises ConfigError for an option that the kind doesn't know."""


def open_dataset(text: str) -> Dataset:
    """Open a data set by its specification, `KIND:PLACE?option=value&...`.

    Every kind takes the options `session`, `room`, `subject` and `chip`: only recordings of these names, separated by
    commas, `*` standing for anything; and `thin`: each recording thinned to these rates in hertz (`all`: as it is),
    where `thin_seed` draws which frames stay. The kind's own options are documented in its module.

    Raises:
        ConfigError: the specification is not one.
        TrainError: there is no such data set, or it is broken.
    """
    kind, colon, rest = text.partition(":")
    if not colon or kind not in KINDS:
        raise ConfigError(f"{text!r} is not a data set", hint="KIND:PLACE, where KIND is one of " + ", ".join(KINDS))
    place, _, query = rest.partition("?") if kind != "sim" else ("", "", rest)
    if kind != "sim" and not place:
        raise ConfigError(f"{text!r} names no place", hint=f"{kind}:{KINDS[kind]}")
    options = dict(parse_qsl(query, keep_blank_values=True))
    filters = {name: tuple(options.pop(name).split(",")) for name in FILTERS if name in options}
    thin, thin_seed = (options.pop(name, None) for name in THIN)
    rates_hz = None if thin is None else parse_rates(thin)
    seed = 0 if thin_seed is None else parse_seed(thin_seed)
    if rates_hz is None and thin_seed is not None:
        raise ConfigError("thin_seed goes with thin", hint="such as thin=20&thin_seed=1")
    reader = cast("_Reader", importlib.import_module(_READERS[kind]))
    dataset = _filtered(reader.open_recordings(place, options), filters)
    return dataset if rates_hz is None else thinned(dataset, rates_hz, seed)


def _filtered(dataset: Dataset, filters: Mapping[str, tuple[str, ...]]) -> Dataset:
    """Only the recordings whose session, room, subject and chip are among those named."""
    listed = dataset.listed
    for name, patterns in filters.items():
        there = dict.fromkeys(str(getattr(recording, name)) for recording in dataset.listed)
        for pattern in patterns:
            if not fnmatch.filter(there, pattern):
                raise TrainError(f"{dataset.name} has no {name} {pattern!r}", hint="it has " + _some(tuple(there)))
        listed = tuple(
            recording
            for recording in listed
            if any(fnmatch.fnmatchcase(str(getattr(recording, name)), pattern) for pattern in patterns)
        )
    if not listed:
        asked = "; ".join(f"{name} {' or '.join(patterns)}" for name, patterns in filters.items())
        raise TrainError(
            f"{dataset.name} has no recording that is all of this: {asked}", hint="leave one of these options out"
        )
    said = "".join(f", {name} {' and '.join(patterns)}" for name, patterns in filters.items())
    return replace(dataset, name=dataset.name + said, listed=listed)


def _some(names: tuple[str, ...]) -> str:
    """A list that fits into a message."""
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
