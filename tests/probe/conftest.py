from tests.cli.conftest import _no_settings_from_outside, cogd, home, open_home  # noqa: F401
