"""The simulator as a data set: its datagrams go through the same parser, link rules and windows as the daemon's."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import cogd
from cogd.csi.frame import Origin
from cogd.errors import ConfigError, TrainError
from cogd.sim.domain import DOMAINS, KIT
from cogd.sim.simulator import Scene, Simulator
from cogd.train.data import cache
from cogd.train.data.frames import TrackBuilder
from cogd.train.data.options import refuse_other_options
from cogd.train.data.track import Dataset, Recording, Timing, Track
from cogd.wire import adr018

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from cogd.sim.domain import Domain
    from cogd.sim.simulator import Truth

_CHUNK_FRAMES = 100


@dataclass(frozen=True)
class SimulatedRooms:
    """Which scenes to simulate: every number of persons in every room.

    Attributes:
        rooms: seeds of the rooms.
        persons: numbers of persons.
        minutes: length of each scene.
        nodes: receivers in each room.
        seed: of what happens in the rooms.
        rates_hz: packets a second and node, lowest and highest: each room's lies between, drawn on a logarithmic scale.
        stride: frames from one window to the next.
        domain: what rooms, people, radios and disturbances are drawn from.
        same_radios: all scenes of a room are heard by the same devices, and not by others each time.
    """

    rooms: tuple[int, ...]
    persons: tuple[int, ...]
    minutes: float
    nodes: int = 2
    seed: int = 1
    rates_hz: tuple[float, float] = (20.0, 20.0)
    stride: int = 10
    domain: Domain = KIT
    same_radios: bool = False


def open_recordings(place: str, options: Mapping[str, str]) -> Dataset:
    """Open `sim:rooms=2&persons=0,1&minutes=0.5&nodes=2&seed=1&rate=20&first_room=0&domain=kit`.

    `rooms` is how many rooms, beginning with number `first_room`; of a `rate` such as `12-140` each room has its own;
    `domain` is one of `cogd.sim.domain.DOMAINS`; with `radios=room` all scenes of a room are heard by the same devices.
    `cache` is a folder, or `on`, to keep what was simulated.

    Raises:
        ConfigError: an option has no usable value.
    """
    del place
    refuse_other_options(
        "sim",
        options,
        ("rooms", "persons", "minutes", "nodes", "seed", "rate", "first_room", "domain", "radios", "cache"),
    )
    domain = DOMAINS.get(options.get("domain", KIT.name))
    if domain is None:
        raise ConfigError(f"sim: there is no domain {options['domain']!r}", hint="one of " + ", ".join(DOMAINS))
    if options.get("radios", "scene") not in {"scene", "room"}:
        raise ConfigError(f"sim: radios is {options['radios']!r}", hint="room or scene")
    try:
        first = int(options.get("first_room", "0"))
        low, _, high = options.get("rate", "20").partition("-")
        plan = SimulatedRooms(
            rooms=tuple(range(first, first + int(options.get("rooms", "1")))),
            persons=tuple(int(number) for number in options.get("persons", "1").split(",")),
            minutes=float(options.get("minutes", "1")),
            nodes=int(options.get("nodes", "2")),
            seed=int(options.get("seed", "1")),
            rates_hz=(float(low), float(high or low)),
            domain=domain,
            same_radios=options.get("radios") == "room",
        )
    except ValueError as error:
        raise ConfigError(f"sim: {error}", hint="sim:rooms=2&persons=0,1&minutes=0.5") from error
    bounds = {
        "rooms": ("1 or more", bool(plan.rooms)),
        "nodes": ("1 to 255", 1 <= plan.nodes <= 255),
        "minutes": ("above 0", 0 < plan.minutes < 1e5),
        "rate": ("above 0, at most 1000, the lower one first", 0 < plan.rates_hz[0] <= plan.rates_hz[1] <= 1000),
        "persons": ("0 to 7", all(0 <= persons <= 7 for persons in plan.persons)),
    }
    for name, (bound, kept) in bounds.items():
        if not kept:
            raise ConfigError(f"sim: {name}={options[name]} is out of its bounds", hint=f"{name} must be {bound}")
    return simulated_rooms(plan, cache.chosen_folder(options.get("cache"), None))


def simulated_rooms(plan: SimulatedRooms, folder: Path | None = None) -> Dataset:
    """The data set of a plan; nothing is simulated before a track is asked for.

    Args:
        plan: what to simulate.
        folder: keeps what was simulated, if given.
    """
    listed: list[Recording] = []
    for room in plan.rooms:
        rate_hz = _rate_hz(plan, room)
        for persons in plan.persons:
            seed = plan.seed * 1_000_003 + room * 101 + persons
            radios = plan.seed * 1_000_003 + room * 101 if plan.same_radios else None
            scene = Scene(plan.nodes, persons, seed, room, rate_hz, domain=plan.domain, radios=radios)
            session = f"room {room}, {persons} persons, seed {plan.seed}"
            listed += [
                Recording(
                    name=f"{session}, node {node}",
                    session=session,
                    room=f"simulated room {room}",
                    subject=None,
                    chip=scene.radio(node - 1).chip,
                    node=node,
                    rate_hz=rate_hz,
                    timing=Timing.MEASURED,
                    files=(),
                    load=partial(_track, scene, plan.minutes, node, folder),
                    setup=f"simulated room {room}" if plan.same_radios else None,
                )
                for node in range(1, plan.nodes + 1)
            ]
    rates = "-".join(f"{rate:g}" for rate in sorted(set(plan.rates_hz)))
    name = (
        f"cogd simulator: rooms {_listed(plan.rooms)}, persons {list(plan.persons)}, {plan.minutes:g} min each, "
        f"{plan.nodes} nodes, {rates} Hz, seed {plan.seed}, domain {plan.domain}"
        + (", the same radios in all scenes of a room" if plan.same_radios else "")
    )
    return Dataset(name, "Apache-2.0", "ht56", tuple(listed), Path())


def _rate_hz(plan: SimulatedRooms, room: int) -> float:
    low, high = plan.rates_hz
    if low == high:
        return low
    share = float(np.random.default_rng([plan.seed, room]).random())
    return round(math.exp((1 - share) * math.log(low) + share * math.log(high)), 2)


def _listed(rooms: tuple[int, ...]) -> str:
    """Rooms as a range where they are one: a manifest's text holds 4,000 characters."""
    if rooms == tuple(range(rooms[0], rooms[0] + len(rooms))):
        return f"{rooms[0]} to {rooms[-1]}"
    return str(list(rooms))


def _track(scene: Scene, minutes: float, node: int, folder: Path | None) -> Track:
    if folder is None:
        return _play(scene, minutes)[node]
    keys = {
        number: cache.key_of(_code(), repr(scene), repr(minutes), str(number)) for number in range(1, scene.nodes + 1)
    }
    found = cache.fetch(folder, keys[node])
    if found is None:
        for number, track in _play(scene, minutes).items():
            cache.store(folder, keys[number], track)
        found = cache.fetch(folder, keys[node])
    if found is None:
        raise TrainError(
            f"the cached track {folder / keys[node]} is gone again", hint="does another process delete it?"
        )
    return found


@lru_cache(maxsize=1)
def _code() -> tuple[Path, ...]:
    """The files that decide what is simulated and how it becomes a track."""
    package = Path(cogd.__path__[0])
    others = ("csi/frame.py", "csi/input_rules.py", "csi/link.py", "csi/tones.py", "wire/adr018.py", "wire/ignored.py")
    own = ("train/data/frames.py", "train/data/simulated.py", "train/data/track.py")
    return (*sorted((package / "sim").glob("*.py")), *(package / name for name in (*others, *own)))


@lru_cache(maxsize=1)
def _play(scene: Scene, minutes: float) -> dict[int, Track]:
    """The tracks of a scene's nodes; the last scene's are kept, for its nodes are asked for one after the other."""
    simulator = Simulator(scene)
    builders = {number: TrackBuilder() for number in range(1, scene.nodes + 1)}
    truths: list[Truth] = []
    for _ in range(max(1, round(minutes * 60 * scene.rate_hz / _CHUNK_FRAMES))):
        chunk = simulator.advance(_CHUNK_FRAMES)
        truths.append(chunk.truth)
        for packet in chunk.packets:
            datagram = adr018.decode(packet.datagram)
            if isinstance(datagram, adr018.CsiDatagram):
                builders[datagram.node_id].add(
                    adr018.to_frame(
                        datagram, source="sim", time_s=packet.time_s, arrival_s=packet.time_s, origin=Origin.SIMULATED
                    )
                )
    return {number: _labelled(builder.track(), truths) for number, builder in builders.items()}


def _moving(truth: Truth) -> NDArray[np.int8]:
    """1 where somebody moves, 0 where nothing does; -1 where only a thing does, which is neither motion nor quiet."""
    return np.where(truth.moving.any(axis=1), 1, np.where(truth.disturbed, -1, 0)).astype(np.int8)


def _labelled(track: Track, truths: list[Truth]) -> Track:
    """The track with the truth of the step nearest after each frame."""
    times_s = np.concatenate([truth.times_s for truth in truths])
    step = np.minimum(np.searchsorted(times_s, track.time_s), len(times_s) - 1)
    persons = truths[0].persons
    keypoints = visible = None
    if persons == 1:
        keypoints = np.concatenate([truth.keypoints[:, 0] for truth in truths]).astype(np.float32)[step]
        seen = np.concatenate([truth.visible[:, 0] for truth in truths])[step]
        visible = np.where(seen, np.uint8(2), np.uint8(0))  # alone, nobody is hidden by others: unseen is out of sight
    return replace(
        track,
        keypoints=keypoints,
        visible=visible,
        persons=np.full(len(track), persons, dtype=np.int64),
        moving=np.concatenate([_moving(truth) for truth in truths])[step],
    )
