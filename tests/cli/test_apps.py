"""As whom the apps directory is changed."""

import os
import pwd

import pytest

from cogd.cli import apps
from cogd.errors import StorageError

NOBODY = pwd.getpwuid(65534)


@pytest.fixture
def service_user(monkeypatch):
    monkeypatch.setattr(apps, "_SERVICE_USER", NOBODY.pw_name)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_the_first_apps_directory_is_the_services(tmp_path, service_user):
    apps._make_for_service(tmp_path / "lib" / "apps")
    assert (tmp_path / "lib" / "apps").stat().st_uid == NOBODY.pw_uid
    assert (tmp_path / "lib").stat().st_uid == 0


def test_where_it_can_not_be_made(tmp_path, service_user):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="the apps directory"):
        apps._make_for_service(tmp_path / "file" / "apps")


def test_where_there_is_no_service(tmp_path, monkeypatch):
    monkeypatch.setattr(apps, "_SERVICE_USER", "no-such-user")
    apps._make_for_service(tmp_path / "apps")
    assert not (tmp_path / "apps").exists()
