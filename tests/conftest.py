import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data() -> Path:
    """Recordings that are not part of the project: `COGD_DATA`, or `../shared/data` beside the repository."""
    folder = Path(os.environ.get("COGD_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder} (set COGD_DATA)")
    return folder
