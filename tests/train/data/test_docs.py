"""What docs/data.md says is true of the code."""

import argparse
import re
from pathlib import Path

import pytest

from cogd.errors import ConfigError
from cogd.train.cli import data_inspect
from cogd.train.data.dataset import KINDS, open_dataset
from cogd.train.data.options import THIN

pytestmark = pytest.mark.train

TEXT = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_documented(kind):
    assert re.search(rf"^\| `{kind}:[A-Z]*`", TEXT, re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_is_documented_and_no_other(kind, tmp_path):
    """A kind names its options when it is given one that it doesn't have."""
    with pytest.raises(ConfigError) as told:
        open_dataset(f"{kind}:{'' if kind == 'sim' else f'{tmp_path}?'}nonsense=1")
    known = set(told.value.hint.removeprefix("it has ").split(", ")) - {
        "session",
        "room",
        "subject",
        "chip",
        *THIN,
    }

    row = re.search(rf"^\| [^|]*`{kind}`[^|]*\| (.*) \|$", TEXT.split("further options")[1], re.MULTILINE)
    assert set(re.findall(r"`([a-z_]+)(?:=[a-z]+)?`", row[1] if row else "")) == known


def test_documented_options_of_inspect_exist():
    parser = argparse.ArgumentParser()
    data_inspect.add_arguments(parser)
    known = {name for action in parser._actions for name in action.option_strings}
    assert set(re.findall(r"--[a-z][a-z-]+", TEXT)) <= known
