from tests.wire.conftest import data  # noqa: F401  # the recordings that are not part of the project
