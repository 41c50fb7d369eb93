import pytest

from .device import Device


@pytest.fixture
def device(tmp_path):
    device = Device(tmp_path)
    yield device
    for daemon in device.daemons:
        daemon.process.kill()
        daemon.process.communicate()
