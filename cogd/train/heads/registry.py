"""The heads that can be trained: the entry points of the group `cogd.trainers`, each loaded when first asked for."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

from cogd.errors import ConfigError, PluginError, TrainError
from cogd.plugins import load_plugin, plugin_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from cogd.train.heads.base import TrainerHead


def trainer_names() -> list[str]:
    """Return the names of the heads that can be trained, sorted."""
    return plugin_names("cogd.trainers")


@cache
def trainer_of(name: str) -> TrainerHead:
    """Return the trainer's half of a head.

    Raises:
        ConfigError: no installed distribution has one of that name, or it can't be imported.
    """
    try:
        return cast("TrainerHead", load_plugin("cogd.trainers", name)())
    except PluginError as error:
        raise ConfigError(
            f"the head {name!r} can't be trained: {error}", hint="one of " + ", ".join(trainer_names())
        ) from error


def forward(weights: Mapping[str, NDArray[np.float32]], csi: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Return outputs by name, float32, of model inputs, by the reference implementation that these weights belong to.

    Raises:
        TrainError: no head has a reference for such weights.
    """
    for name in trainer_names():
        if (reference := trainer_of(name).reference(weights)) is not None:
            return reference(weights, csi)
    raise TrainError(
        f"no head has a reference implementation for a network with the weight {next(iter(weights), None)!r}",
        hint="the head's `references` name one by a weight of each family of networks",
    )
