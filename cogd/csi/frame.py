"""One CSI measurement of one node."""

from __future__ import annotations

from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray


class Origin(StrEnum):
    """Where a frame came from; every event repeats it."""

    LIVE = "live"
    REPLAYED = "replayed"
    SIMULATED = "simulated"


class Frame(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One CSI measurement: exactly one of `iq` and `amplitude` is given.

    Attributes:
        node: `<source>/<node_id>`.
        time_s: when it was measured, unix seconds: the source's own time where it has one, else its arrival.
        arrival_s: monotonic clock when it reached this process; latency is counted from here.
        origin: live, replayed or simulated.
        bins: how many bins the receiver measured; `amplitude` may hold fewer.
        iq: int8 `[bins, 2]`, each pair (imaginary, real) as ESP-IDF orders them; the first antenna only.
        amplitude: float32 `[n]`, ready-made amplitudes of the first n bins in arrival order.
        sequence: the node's counter, modulo 2**32; None where the wire has none.
        rssi_dbm: received signal strength.
        noise_floor_dbm: noise floor as the radio reports it.
        freq_mhz: channel centre frequency.
    """

    node: str
    time_s: float
    arrival_s: float
    origin: Origin
    bins: int
    iq: NDArray[np.int8] | None = None
    amplitude: NDArray[np.float32] | None = None
    sequence: int | None = None
    rssi_dbm: float | None = None
    noise_floor_dbm: float | None = None
    freq_mhz: int | None = None
