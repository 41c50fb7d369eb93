"""Parts of the published cogs' networks, layer for layer, under the names of their weight files."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class Encoder(nn.Module):
    """Three dilated convolutions over time: `[batch, 56, frames]` to `[batch, 128]`."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv1d(56, 64, 3, padding=1)
        self.c2 = nn.Conv1d(64, 128, 3, padding=2, dilation=2)
        self.c3 = nn.Conv1d(128, 128, 3, padding=4, dilation=4)

    def forward(self, csi_window: Tensor) -> Tensor:
        """Encode and average over time."""
        encoded = functional.relu(self.c1(csi_window))
        encoded = functional.relu(self.c2(encoded))
        return functional.relu(self.c3(encoded)).mean(dim=2)


class Perceptron(nn.Module):
    """Two linear layers with a ReLU between."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden, outputs)

    def forward(self, values: Tensor) -> Tensor:
        """Apply both layers."""
        hidden: Tensor = functional.relu(self.fc1(values))
        outputs: Tensor = self.fc2(hidden)
        return outputs
