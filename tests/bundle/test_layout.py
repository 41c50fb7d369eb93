from pathlib import Path

import pytest

from cogd.bundle.layout import RECORD_NAME, Layout, pointed_name, pointer_target, version_name, version_number
from cogd.bundle.members import is_safe_name


@pytest.mark.parametrize("version", ["0.0.1", "1.2.3-rc.1", "1.0.0-" + "a" * 58])
@pytest.mark.parametrize("number", [1, 10, 999_999_999])
def test_names_and_pointers(number, version):
    name = version_name(number, version)
    assert version_number(name) == number
    assert pointed_name(pointer_target(name)) == name


@pytest.mark.parametrize(
    "name", ["", "1.0.0", "0-1.0.0", "01-1.0.0", "1-", "-1-1.0.0", "1-1.0.0/x", "1-1.0.0\n", "a-1.0.0"]
)
def test_other_names(name):
    assert version_number(name) == 0
    assert pointed_name(f"versions/{name}") is None


@pytest.mark.parametrize(
    "target", ["", "1-1.0.0", "/versions/1-1.0.0", "../versions/1-1.0.0", "versions", "versions/.."]
)
def test_other_pointers(target):
    assert pointed_name(target) is None


def test_no_bundle_can_hold_our_names():
    assert not is_safe_name(RECORD_NAME)
    layout = Layout(Path("/apps"))
    assert not is_safe_name(layout.private.name)
    for path in (layout.lock, layout.staging, layout.memory("x")):
        assert path.is_relative_to(layout.private)
