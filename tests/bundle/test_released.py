"""Bundles of every format that was ever released: each stays here as it was made, and runs for ever."""

import io
from pathlib import Path

import pytest

from cogd.bundle.load import load_bundle
from cogd.bundle.receive import receive_bundle
from cogd.bundle.trust import TrustStore
from cogd.runtime.app import load_app

FOLDER = Path(__file__).parent / "released"

DIGESTS = {"format-1": "sha256:effe78c5f0c757cb8d996c7aed50d120dccbba36adb1bdb7cba4d4a17ece32b9"}
"""Written down when they were made, so that nobody makes them again. A new format adds one; none is ever changed."""


def test_all_are_here():
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.{kind}" for name in DIGESTS for kind in ("tar", "pub")}


@pytest.mark.parametrize("name", DIGESTS)
def test_it_still_verifies_and_runs(name):
    path, trust = FOLDER / f"{name}.tar", TrustStore.load(files=[FOLDER / f"{name}.pub"])
    bundle = load_bundle(path, trust)
    assert bundle.digest == DIGESTS[name]
    assert receive_bundle(io.BytesIO(path.read_bytes()), trust).digest == DIGESTS[name]
    app = load_app(bundle)  # reproduces its golden pair, or it would not load
    assert app.golden_error <= app.golden_tolerance
