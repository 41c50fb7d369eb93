"""What is shipped: the wheel runs by itself, the service file is tight, nothing poisonous is pulled in."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from cogd import demo

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAX_EXPOSURE = 20
"""Of 100, as `systemd-analyze security` counts."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_the_packages_and_the_demo_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {"cogd", "cogd_ort"} == {top for top in tops if not top.endswith(".dist-info")}
    for shipped in (
        "cogd/demo/apps/demo-pose.tar",
        "cogd/demo/apps/demo-count.tar",
        "cogd/demo/apps/demo-motion.tar",
        "cogd/demo/demo.pub",
        "cogd/py.typed",
    ):
        assert shipped in names
    assert not [name for name in names if name.endswith((".pem", ".pt"))]


def test_the_unpacked_wheel_runs_the_demo_from_elsewhere(wheel, tmp_path):
    """In isolation from the checkout, so that a file missing from the wheel is missed."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    done = subprocess.run(
        [sys.executable, "-m", "cogd", "run", "--demo", "--duration", "7"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        check=True,
        timeout=60,
    )
    events = {json.loads(line)["event"] for line in done.stdout.splitlines()}
    assert {"run.started", "pose.frame", "count", "motion", "run.stopped"} <= events


def test_the_packaged_bundles_are_small():
    assert sum(path.stat().st_size for path in demo.APPS.iterdir()) < 1.5e6


def test_torchvision_is_absent():
    """Its CUDA build breaks every package that imports it beside the CPU build of torch."""
    assert importlib.util.find_spec("torchvision") is None


def test_torch_is_pinned_to_the_build_that_the_makefile_installs_first():
    (pin,) = [need for need in PROJECT["project"]["optional-dependencies"]["train"] if need.startswith("torch")]
    makefile = (ROOT / "Makefile").read_text()
    assert f"install --quiet {pin}\n" in makefile
    assert makefile.index(pin) < makefile.index("[train,report,dev]")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_service_is_hardened():
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={MAX_EXPOSURE}", "systemd/cogd.service"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-200:] + done.stderr


def test_only_the_folders_of_the_house_are_at_top_level():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    tops = {line.split("/")[0] for line in tracked.splitlines() if "/" in line}
    assert tops <= {".ci", "bench", "cogd", "docs", "packaging", "plugins", "systemd", "tests"}
