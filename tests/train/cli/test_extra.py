"""What `cogd-train` does where the extra `train` is not installed."""

import subprocess
import sys

import pytest

from cogd import demo
from tests.train.factory import TINY

pytestmark = pytest.mark.train

BLOCKED = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
from cogd.train.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run_without(missing: tuple[str, ...], *arguments: object) -> subprocess.CompletedProcess[str]:
    code = BLOCKED.format(missing=set(missing))
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def refused(ran, package: str) -> bool:
    return (ran.returncode, ran.stdout, ran.stderr) == (
        30,
        "",
        f"cogd-train: {package} is not installed\ncogd-train: hint: pip install 'cogd[train]'\n",
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("pose", "--out", "run", *TINY),
        ("bundle", "--model", "m", "--id", "aa", "--version", "1.0.0", "--key", "k", "--out", "o"),
        ("import-cog", "w", "--key", "k", "--out", "o"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_without_torch_the_pip_line_is_given(arguments):
    ran = run_without(("torch", "onnx", "onnxscript", "tqdm"), *arguments)

    assert refused(ran, "torch") or refused(ran, "onnx"), ran.stderr


def test_without_torch_keys_can_be_made_and_training_explains_itself(tmp_path):
    missing = ("torch", "onnx", "onnxscript", "tqdm")

    assert run_without(missing, "keygen", "--out", tmp_path / "key").returncode == 0
    assert run_without(missing, "pose", "--help").returncode == 0
    assert run_without(missing, "--help").returncode == 0


def test_without_scipy_the_figures_can_not_be_made_and_the_pip_line_is_given():
    ran = run_without(("scipy",), "evaluate", "bundle.tar", "sim:")

    assert refused(ran, "scipy"), ran.stderr


def test_evaluating_needs_no_torch(tmp_path):
    arguments = ("evaluate", "--demo", demo.APPS / "demo-count.tar", "sim:rooms=1&persons=1&minutes=0.3", "--json")
    ran = run_without(("torch", "onnx", "onnxscript", "matplotlib"), *arguments)

    assert ran.returncode == 0, ran.stderr


def test_without_matplotlib_the_extra_that_draws_is_named(tmp_path):
    ran = run_without(("matplotlib",), "report", tmp_path)

    assert ran.returncode == 30
    assert ran.stderr.endswith("matplotlib is not installed\ncogd-train: hint: pip install 'cogd[report]'\n")
    assert run_without(("matplotlib", "torch"), "report", "--help").returncode == 0


def test_a_package_that_is_none_of_the_extras_is_not_blamed_on_it():
    ran = run_without(("msgspec",), "pose", "--out", "run", *TINY)

    assert ran.returncode == 1
    assert "No module named 'msgspec'" in ran.stderr
    assert "pip install" not in ran.stderr
