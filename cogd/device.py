"""What this device is, in the words that a manifest's `variants.targets` uses."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ALIASES: Final[dict[str, frozenset[str]]] = {
    # `arm` is ADR-100's word for the 64-bit Raspberry Pi 5; elsewhere upstream it means armv7, which is not meant here.
    "aarch64": frozenset({"aarch64", "arm64", "arm"}),
    "x86_64": frozenset({"x86_64", "amd64"}),
}


def device_targets(machine: str | None = None) -> frozenset[str]:
    """The targets that fit this device: `cpu`, and every name of its architecture.

    Args:
        machine: as `uname -m` says; this device's where None.
    """
    name = os.uname().machine if machine is None else machine
    return frozenset({"cpu"}) | _ALIASES.get(name, frozenset({name}))
