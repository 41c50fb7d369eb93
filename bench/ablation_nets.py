"""The networks that were tried for count and pose. What wins goes into `cogd.train.nets`; the others are only here."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Front = Literal["static", "dynamic", "both"]
Pooling = Literal["mean", "attention", "deviation"]

_LOUDNESS = 50.0
"""Quiet noise, some hundredths of a tone's amplitude, stays in the straight part of the logarithm."""


class Pool(nn.Module):
    """Over time: the mean, a weighted mean whose weights are learnt, or mean and standard deviation."""

    def __init__(self, channels: int, pooling: Pooling) -> None:
        super().__init__()
        self.attention = nn.Conv1d(channels, 1, 1) if pooling == "attention" else None
        self.deviation = pooling == "deviation"
        self.outputs = channels * (2 if self.deviation else 1)

    def forward(self, encoded: Tensor) -> Tensor:
        """`[batch, channels, time]` to `[batch, outputs]`."""
        if self.attention is not None:
            return (encoded * torch.softmax(self.attention(encoded), dim=2)).sum(dim=2)
        mean = encoded.mean(dim=2)
        return torch.cat([mean, encoded.std(dim=2)], dim=1) if self.deviation else mean


class Encoder(nn.Module):
    """Three convolutions and what is made of them over time."""

    def __init__(self, layers: tuple[nn.Conv1d, nn.Conv1d, nn.Conv1d], pooling: Pooling) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.pool = Pool(layers[2].out_channels, pooling)
        self.outputs = self.pool.outputs

    def forward(self, window: Tensor) -> Tensor:
        """Encode."""
        for layer in self.layers:
            window = functional.relu(layer(window))
        pooled: Tensor = self.pool(window)
        return pooled


class Published(Encoder):
    """The encoder of the published cogs: three dilated convolutions."""

    def __init__(
        self, inputs: int = 56, widths: tuple[int, int, int] = (64, 128, 128), pooling: Pooling = "mean"
    ) -> None:
        layers = (
            nn.Conv1d(inputs, widths[0], 3, padding=1),
            nn.Conv1d(widths[0], widths[1], 3, padding=2, dilation=2),
            nn.Conv1d(widths[1], widths[2], 3, padding=4, dilation=4),
        )
        super().__init__(layers, pooling)


class Strided(Encoder):
    """Convolutions that halve the time twice: longer windows at the published encoder's cost."""

    def __init__(
        self, inputs: int = 56, widths: tuple[int, int, int] = (48, 96, 112), pooling: Pooling = "mean"
    ) -> None:
        layers = (
            nn.Conv1d(inputs, widths[0], 5, stride=2, padding=2),
            nn.Conv1d(widths[0], widths[1], 5, stride=2, padding=2),
            nn.Conv1d(widths[1], widths[2], 3, padding=2, dilation=2),
        )
        super().__init__(layers, pooling)


class Spectrum(nn.Module):
    """Log power of the first 12 cosine components over the tones, in 10 bands of the window's frequencies."""

    def __init__(self, columns: int, components: int = 12, bands: int = 10) -> None:
        super().__init__()
        tones, time = torch.arange(56.0), torch.arange(columns, dtype=torch.float32)
        basis = torch.stack([torch.cos(math.pi * (tones + 0.5) * j / 56) for j in range(1, components + 1)])
        self.register_buffer("basis", (basis / basis.norm(dim=1, keepdim=True))[:, :, None])
        lines = torch.arange(1, columns // 2 + 1)
        turns = 2 * math.pi * lines[:, None] * time / columns
        taper = torch.hann_window(columns, periodic=False) / columns**0.5
        self.register_buffer("waves", torch.cat([torch.cos(turns), torch.sin(turns)]) * taper)
        edges = torch.logspace(0, math.log10(columns // 2 + 1), bands + 1).round().long().unique()
        pairs = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
        self.register_buffer(
            "bands", torch.stack([((lines >= low) & (lines < high)) / (high - low) for low, high in pairs])
        )
        self.outputs = components * len(pairs)
        self.standard = nn.BatchNorm1d(self.outputs, affine=False)

    def forward(self, window: Tensor) -> Tensor:
        """`[batch, 56, columns]` to `[batch, outputs]`."""
        components = functional.conv1d(window, self.get_buffer("basis"))
        waves = (components - components.mean(dim=2, keepdim=True)) @ self.get_buffer("waves").T
        power = waves.square().unflatten(2, (2, -1)).sum(dim=2)
        standard: Tensor = self.standard(torch.log(power @ self.get_buffer("bands").T + 1e-6).flatten(1))
        return standard


class Variant(nn.Module):
    """A front end, one or two encoders, and a perceptron for each output.

    Args:
        columns: of a window; the newest of those that are given.
        front: what the encoder sees: the columns, how they differ from their mean over the window (compressed: the
            sign times the logarithm), or the mean and that.
        encoder: None where only the spectrum is looked at.
        spectrum: beside it, or None.
        outputs: sizes of the outputs.
        hidden: width of the perceptrons.
    """

    def __init__(
        self,
        columns: int,
        front: Front,
        encoder: Encoder | None,
        spectrum: Spectrum | None,
        outputs: tuple[int, ...],
        hidden: int,
    ) -> None:
        super().__init__()
        self.columns, self.front, self.encoder, self.spectrum = columns, front, encoder, spectrum
        self.register_buffer("mean", torch.zeros(56, 1))
        self.register_buffer("std", torch.ones(56, 1))
        width = (encoder.outputs if encoder else 0) + (spectrum.outputs if spectrum else 0)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, size)) for size in outputs
        )

    def fit(self, windows: Tensor) -> None:
        """Take the statistics that the static input is normalised by."""
        self.get_buffer("mean").copy_(windows.mean(dim=(0, 2))[:, None])
        self.get_buffer("std").copy_(windows.std(dim=(0, 2))[:, None] + 1e-6)

    def forward(self, windows: Tensor) -> list[Tensor]:
        """The outputs of `[batch, 56, columns or more]`."""
        window = windows[:, :, -self.columns :]
        features = []
        if self.encoder is not None:
            features.append(self.encoder(self._seen(window)))
        if self.spectrum is not None:
            features.append(self.spectrum(window))
        joined = torch.cat(features, dim=1)
        return [head(joined) for head in self.heads]

    def _seen(self, window: Tensor) -> Tensor:
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        if self.front == "static":
            return (window - mean) / std
        still = window.mean(dim=2, keepdim=True)
        moves = window - still
        compressed = torch.sign(moves) * torch.log1p(_LOUDNESS * moves.abs())
        if self.front == "dynamic":
            return compressed
        return torch.cat([((still - mean) / std).expand_as(moves), compressed], dim=1)
