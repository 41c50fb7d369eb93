"""The real two-node recording, read here without any of cogd's parsers: an oracle and a source of traffic."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

NAME = "ruview/pretrain-1775182186.csi.jsonl"


@dataclass(frozen=True)
class RealFrame:
    """One recorded CSI frame."""

    time_s: float
    node_id: int
    iq: bytes

    @property
    def bins(self) -> int:
        return len(self.iq) // 2

    @property
    def amplitude(self) -> np.ndarray:
        pairs = np.frombuffer(self.iq, dtype=np.int8).astype(np.float64).reshape(-1, 2)
        return np.sqrt(pairs[:, 0] ** 2 + pairs[:, 1] ** 2)

    def datagram(self, sequence: int) -> bytes:
        header = struct.pack("<IBBHIIbbBB", 0xC5110001, self.node_id, 1, self.bins, 2437, sequence, -50, -92, 0, 0)
        return header + self.iq


def read_frames(data: Path) -> list[RealFrame]:
    rows = [json.loads(line) for line in (data / NAME).read_text().splitlines()]
    return [
        RealFrame(row["timestamp"], row["node_id"], bytes.fromhex(row["iq_hex"]))
        for row in rows
        if row.get("type") == "raw_csi"
    ]


def snapshots(frames: list[RealFrame]) -> list[bytes]:
    """What a sensing server would answer after each frame: every node heard so far, the first 56 bins of each."""
    latest: dict[int, RealFrame] = {}
    bodies = []
    for tick, frame in enumerate(frames):
        latest[frame.node_id] = frame
        nodes = [
            {
                "node_id": heard.node_id,
                "rssi_dbm": -50.0,
                "position": [2.0, 0.0, 1.5],
                "amplitude": heard.amplitude[:56].tolist(),
                "subcarrier_count": heard.bins,
            }
            for heard in latest.values()
        ]
        snapshot = {
            "type": "sensing_update",
            "timestamp": round(frame.time_s, 3),
            "source": "esp32",
            "tick": tick,
            "nodes": nodes,
            "features": {"mean_rssi": -50.0, "variance": 1.0},
            "classification": {"motion_level": "present_still", "presence": True, "confidence": 0.6},
        }
        bodies.append(json.dumps(snapshot).encode())
    return bodies
