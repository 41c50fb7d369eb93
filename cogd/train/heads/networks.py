"""The network that a configuration names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cogd.errors import ConfigError
from cogd.train.heads.registry import trainer_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cogd.train.config import Config
    from cogd.train.nets.base import Net


def make_net(config: Config, needed: Sequence[str]) -> Net:
    """The configured network, with fresh weights.

    Args:
        config: its `model.net`.
        needed: outputs that it must have.

    Raises:
        ConfigError: as `net_of`, or it lacks an output.
    """
    name, net = config.model.net, net_of(config)()
    missing = [output for output in needed if output not in net.output_names]
    if missing:
        raise ConfigError(
            f"model.net: {name} does not give {', '.join(missing)}",
            hint=f"it gives {', '.join(net.output_names)}; choose another network, head or loss",
        )
    return net


def net_of(config: Config) -> type[Net]:
    """The configured network.

    Raises:
        ConfigError: there is none of that name, or it needs longer windows.
    """
    name = config.model.net
    head = trainer_of(config.model.head)
    net, frames = head.net(name), config.data.frames
    if net is None:
        raise ConfigError(f"model.net: there is no network {name}", hint="one of " + ", ".join(head.nets))
    if frames < net.least_frames:
        raise ConfigError(
            f"data.frames is {frames}, and {name} needs windows of {net.least_frames} columns or more",
            hint=f"data.frames={net.least_frames} or more, or another model.net",
        )
    return net
