"""Raw recordings: frames line by line, and a data set of their nodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cogd.csi.frame import Origin
from cogd.errors import TrainError, WireError
from cogd.train.data.frames import TrackBuilder
from cogd.train.data.options import refuse_other_options
from cogd.train.data.track import Dataset, Recording, Timing
from cogd.wire import recording

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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


def open_recordings(place: str, options: Mapping[str, str]) -> Dataset:
    """Open a file as a data set: one session, a recording for each node; nothing is known of room and people.

    The file is read when it is opened: only its lines tell the nodes. Option: `licence`.

    Raises:
        TrainError: the file can't be read, or holds no frames.
    """
    refuse_other_options("recording", options, ("licence",))
    path = Path(place)
    builders: dict[str, TrackBuilder] = {}
    for frame in recorded_frames(path):
        builders.setdefault(frame.node.partition("/")[2], TrackBuilder()).add(frame)
    if not builders:
        raise TrainError(f"{path} holds no frames", hint="is it a recording of raw CSI?")
    listed = tuple(
        Recording(
            name=f"{path.name} node {node}",
            session=path.name,
            room=None,
            subject=None,
            chip=None,
            node=int(node) if node.isdecimal() else 0,
            rate_hz=None,
            timing=Timing.MEASURED,
            files=(path,),
            load=builder.track,
        )
        for node, builder in sorted(builders.items())
    )
    return Dataset(f"recording {path.name}", options.get("licence", "not stated"), "ht56", listed, path.parent)
