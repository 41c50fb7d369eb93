"""The networks, a file for each family. `cogd.train.reference` has each of them once more, without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cogd.train.nets.base import CLASS_COUNT, JOINT_COUNT, Net
from cogd.train.nets.count import StridedCountNet
from cogd.train.nets.motion import MotionNet
from cogd.train.nets.pose import PoseNetV2
from cogd.train.nets.published import CountNet, PoseNet

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CLASS_COUNT", "JOINT_COUNT", "NETS", "Net"]

NETS: Final[Mapping[str, type[Net]]] = {
    "pose_v1": PoseNet,
    "pose_v2": PoseNetV2,
    "count_v1": CountNet,
    "count_v2": StridedCountNet,
    "motion_v1": MotionNet,
}
"""What `model.net` of a configuration may be."""
