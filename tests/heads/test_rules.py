"""Rules are found by convention, of packaged heads and of a third party's, and without NumPy."""

import subprocess
import sys
from pathlib import Path

import pytest

from cogd.errors import ManifestError
from cogd.heads.rules import find_check
from cogd.plugins import load_plugin, plugin_names
from tests.heads.distribution import write_distribution
from tests.heads.factory import MOTION, POSE, count_output

RULES = "from cogd.errors import ManifestError\ndef check(output, calibration):\n    raise ManifestError('no smile')\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch):
    """Installs a distribution of one head `smile`."""

    def install(name: str, entry: str, files: dict[str, str]) -> None:
        write_distribution(tmp_path / name, name, entry, files)
        monkeypatch.syspath_prepend(str(tmp_path / name))

    yield install
    for name in [name for name in sys.modules if name.partition(".")[0].startswith("smile")]:
        del sys.modules[name]


def test_every_packaged_head_has_rules_that_need_no_numpy():
    code = (
        "import sys\n"
        "from cogd.heads.rules import find_check\n"
        f"assert all(find_check(name) for name in {['pose', 'count', 'motion']})\n"
        "assert not {'numpy', 'msgspec', 'importlib.metadata'} & set(sys.modules), sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert {"pose", "count", "motion"} <= set(plugin_names("cogd.heads"))


@pytest.mark.parametrize("name", ["pose", "count", "motion"])
@pytest.mark.parametrize("output", [POSE, MOTION, count_output(), count_output(confidence="platt")])
def test_rules_refuse_what_the_head_refuses(name, output):
    def refused(call):
        try:
            call(output, {})
        except ManifestError as error:
            return str(error)
        return None

    assert refused(find_check(name)) == refused(load_plugin("cogd.heads", name))


def test_a_third_partys_rules_are_next_to_its_head_and_the_head_is_not_imported(install):
    head = "raise RuntimeError('imported')"
    install("smile", "smile.head:Smile", {"smile/__init__.py": "", "smile/head.py": head, "smile/rules.py": RULES})
    check = find_check("smile")
    with pytest.raises(ManifestError, match="no smile"):
        check(POSE, {})


@pytest.mark.parametrize(
    ("entry", "files"),
    [
        ("smile.head:Smile", {"smile/__init__.py": "", "smile/head.py": ""}),
        ("smile.head:Smile", {"smile/__init__.py": "", "smile/rules.py": "raise RuntimeError('no')"}),
        ("smile.head:Smile", {"smile/__init__.py": "1 / 0", "smile/rules.py": RULES}),
        ("smile.head:Smile", {"smile/__init__.py": "", "smile/rules.py": "def other(): pass"}),
        ("smile:Smile", {"smile.py": ""}),
    ],
    ids=["no module", "module fails", "package fails", "no function", "no package"],
)
def test_a_head_without_usable_rules_has_none(install, entry, files):
    install("smile", entry, files)
    assert find_check("smile") is None


def test_the_rules_of_two_distributions_of_one_name_are_not_taken(install):
    install("smile", "smile.head:Smile", {"smile/__init__.py": "", "smile/rules.py": RULES})
    install("smile_too", "smile_too.head:Smile", {"smile_too/__init__.py": "", "smile_too/rules.py": RULES})
    assert find_check("smile") is None


@pytest.mark.parametrize("name", ["tarot", "base", "rules", "pose.rules", "../pose", "", "po se"])
def test_a_name_of_no_head_has_no_rules(name):
    assert find_check(name) is None
