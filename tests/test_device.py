import platform

import pytest

from cogd.device import device_targets


@pytest.mark.parametrize(
    ("machine", "targets"),
    [
        ("aarch64", {"cpu", "aarch64", "arm64", "arm"}),
        ("x86_64", {"cpu", "x86_64", "amd64"}),
        ("riscv64", {"cpu", "riscv64"}),
        ("armv7l", {"cpu", "armv7l"}),
    ],
)
def test_targets(machine, targets):
    assert device_targets(machine) == targets


def test_this_device():
    assert {"cpu", platform.machine()} <= device_targets()
