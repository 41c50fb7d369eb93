"""Domain randomisation: how rooms, devices, people, radios and disturbances may differ from one another.

A pair is the low and the high end of a uniform distribution; a `chance` is a probability. What is drawn depends on the
room's seed, and for radios and people on the scene's, and on nothing else.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace

import msgspec

Range = tuple[float, float]


@dataclass(frozen=True)
class Domain:
    """What a room, and a scene in it, is drawn from. The default spans homes and the radios that were measured.

    Attributes:
        name: what the domain is called where data made with it are named.
        width_m: across, as the camera sees it.
        depth_m: away from the camera.
        height_m: floor to ceiling.
        materials: of walls, by the names of `cogd.sim.materials`; each wall is one of them.
        wall_spread: factor on a wall's reflection: layers, studs, windows; and most waves fall in at an angle, where
            walls throw back more than the formula for a square fall says (Fresnel; concrete at 60 degrees 1.6 times).
        furniture: number of pieces.
        furniture_rcs_m2: radar cross-section of each.
        furniture_moved: share of the pieces that stand elsewhere in each scene of the same room.
        free_placement_chance: that devices stand anywhere along the walls and not in the plan of a kit.
        corner_chance: that a corner of the room is walled off (an L-shaped room).
        next_room_chance: that a node stands behind a wall, where placement is free.
        roam_chance: that people go anywhere in a scene, and not only where the camera sees them from head to foot.
        line_loss_db: by how much the line of sight is weaker than in free space: antennas that do not face each other,
            cupboards and screens between.
        body_height_m: of people.
        body_build: factor on the width and on the root of the radar cross-section of a person.
        pace_m_s: of walking.
        breath_m: how far a chest moves.
        breath_hz: how often.
        rest_s: how long somebody sits, stands or lies still.
        activity: probability that somebody who stood still then walks, turns, waves or falls rather than rests again.
        door_chance: that a door is opened and closed during the scene.
        fan_chance: that a fan turns.
        curtain_chance: that a curtain moves in a draught.
        chips: kinds of radio, by the names of `cogd.sim.chips`; each node is one of them.
        radio_spread: 0: every radio is the ideal one with `Impairments`' defaults; 1: as the measured ones differ.
        interference_chance: that another network disturbs a node: bursts of loss and of noise, foreign frames.
        gap_chance: that a node runs out of memory now and then and sends nothing for up to 2 s.
    """

    name: str = "homes"
    width_m: Range = (2.8, 7.5)
    depth_m: Range = (3.6, 8.0)
    height_m: Range = (2.3, 3.2)
    materials: tuple[str, ...] = ("concrete", "brick", "plasterboard", "wood", "glass")
    wall_spread: Range = (1.0, 2.2)
    furniture: Range = (4, 24)
    furniture_rcs_m2: Range = (0.02, 0.8)
    furniture_moved: float = 0.2
    free_placement_chance: float = 0.7
    corner_chance: float = 0.25
    next_room_chance: float = 0.15
    roam_chance: float = 0.75
    line_loss_db: Range = (0.0, 16.0)
    body_height_m: Range = (1.45, 1.98)
    body_build: Range = (0.8, 1.6)
    pace_m_s: Range = (0.5, 1.4)
    breath_m: Range = (0.002, 0.008)
    breath_hz: Range = (0.17, 0.33)
    rest_s: Range = (1.5, 14.0)
    activity: Range = (0.35, 0.95)
    door_chance: float = 0.15
    fan_chance: float = 0.08
    curtain_chance: float = 0.1
    chips: tuple[str, ...] = ("esp32", "esp32-lltf", "s2", "s3", "s3-lltf", "c3", "c5", "c6", "c6-he")
    radio_spread: float = 1.0
    interference_chance: float = 0.25
    gap_chance: float = 0.05

    def digest(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of all ranges: two domains of one digest are the same."""
        return hashlib.sha256(msgspec.json.encode(asdict(self), order="sorted")).hexdigest()[:12]

    def __str__(self) -> str:
        """The name and the digest, for the origin of data."""
        return f"{self.name} ({self.digest()})"


KIT = Domain(
    name="kit",
    width_m=(4.6, 6.2),
    depth_m=(5.2, 6.8),
    height_m=(2.4, 2.8),
    furniture=(6, 13),
    furniture_rcs_m2=(0.02, 0.4),
    furniture_moved=0.0,
    free_placement_chance=0.0,
    corner_chance=0.0,
    next_room_chance=0.0,
    roam_chance=0.0,
    line_loss_db=(0.0, 0.0),
    body_height_m=(1.55, 1.9),
    body_build=(0.9, 1.1),
    pace_m_s=(0.7, 1.2),
    rest_s=(0.5, 7.0),
    activity=(0.7, 0.7),
    door_chance=0.0,
    fan_chance=0.0,
    curtain_chance=0.0,
    chips=("s3",),
    radio_spread=0.0,
    interference_chance=0.0,
    gap_chance=0.0,
)
"""One kit, put up the same way in every home, with good radios and nothing that disturbs: what `sim:` plays."""

HOMES = Domain()
"""Homes of many kinds with the radios that were measured: what models are trained on."""

PICTURED = replace(HOMES, name="pictured", roam_chance=0.0)
"""The same, but people stay where the camera sees all of them: for poses."""

DOMAINS = {domain.name: domain for domain in (KIT, HOMES, PICTURED)}
"""Domains by name."""
