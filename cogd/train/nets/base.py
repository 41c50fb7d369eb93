"""What a network is."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

JOINT_COUNT = 17
CLASS_COUNT = 8


class Net(nn.Module):
    """A network: model inputs `[batch, 56, frames]` to a tuple of outputs, which have names."""

    output_names: ClassVar[tuple[str, ...]]
    wants_normaliser: ClassVar[bool] = True
    """Whether its input is shifted and scaled row by row first."""
    least_frames: ClassVar[int] = 1
    """Columns that its input must have."""
