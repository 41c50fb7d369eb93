"""Raw recordings as frames, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogd.csi.frame import Origin
from cogd.errors import TrainError, WireError
from cogd.wire import recording

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cogd.csi.frame import Frame


def recorded_frames(path: Path) -> Iterator[Frame]:
    """The CSI frames of a recording in the order of its lines; bad lines are left out, as a replay leaves them out.

    Raises:
        TrainError: the file can't be read.
    """
    reader = recording.Recording()
    try:
        with path.open("rb") as lines:
            for line in lines:
                try:
                    read = reader.read(line)
                except WireError:
                    continue
                for recorded in read.frames:
                    if recorded.simulated:
                        raise TrainError(
                            f"{path} is a recording of a simulation", hint="give a recording of real nodes"
                        )
                    yield recording.to_frame(recorded, source=Origin.REPLAYED.value, arrival_s=recorded.time_s)
    except OSError as error:
        raise TrainError(f"{path} can't be read: {error.strerror}") from error
