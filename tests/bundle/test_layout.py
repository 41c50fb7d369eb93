from pathlib import Path

import pytest

from cogd.bundle.layout import (
    PROBATION_NAME,
    RECORD_NAME,
    Layout,
    is_app_id,
    pointed_name,
    pointer_target,
    version_name,
    version_number,
)
from cogd.bundle.members import is_safe_name
from cogd.errors import NoAppError


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
    assert not is_safe_name(PROBATION_NAME)
    layout = Layout(Path("/apps"))
    assert not is_safe_name(layout.private.name)
    for path in (layout.lock, layout.staging, layout.memory("an-app")):
        assert path.is_relative_to(layout.private)


@pytest.mark.parametrize("app_id", ["ab", "pose-estimation", "-x", "0" * 32])
def test_ids(app_id):
    assert is_app_id(app_id)
    assert Layout(Path("/apps")).app(app_id).parent == Path("/apps")


@pytest.mark.parametrize("app_id", ["a", "", "..", "../x", "a/b", "A-B", "a b", "ab\n", "0" * 33])
def test_what_is_no_id(app_id):
    assert not is_app_id(app_id)
    for path in (Layout(Path("/apps")).app, Layout(Path("/apps")).memory):
        with pytest.raises(NoAppError):
            path(app_id)
