"""The event of the pose head: `pose.frame`. docs/events.md describes it.

It holds every field of the published cogs' `pose.frame`, so that their consumers keep working.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from cogd.events import InferenceFields
from cogd.events.units import Count, Number, Probability


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One skeleton.

    Attributes:
        keypoints: 17 (x, y) in picture coordinates 0..1, COCO order.
        confidence: calibrated probability that the pose is right, the joints off by no more than half a torso's length
            on average; or null.
        error_50: for each joint the radius around it, in picture coordinates, that holds the true joint with a
            probability of 50 %; or null.
    """

    keypoints: list[list[Number]]
    confidence: Probability | None
    error_50: list[Number] | None


class PoseFields(InferenceFields, frozen=True, kw_only=True):
    """The skeletons that a model infers from a window of one node.

    Attributes:
        n_persons: number of skeletons in `persons`; not a count of people: the known models infer one skeleton always.
        persons: the skeletons.
    """

    event_name: ClassVar[str] = "pose.frame"

    n_persons: Count
    persons: list[Person]
