"""What the docs say is true of the code: every setting, event, field, exit status, reason and layout is there."""

from __future__ import annotations

import argparse
import importlib
import json
import re
from pathlib import Path

import msgspec
import pytest

from cogd import errors
from cogd.bench import compare, figures
from cogd.bench.staged import STAGES
from cogd.bundle import layout
from cogd.bundle.appliance import AppConfig
from cogd.cli import VERBS
from cogd.csi.link import LinkLimits, LinkState
from cogd.csi.node import DROP_REASONS
from cogd.csi.window import Reset
from cogd.events import InferenceFields, WindowInfo
from cogd.events.registry import known_events
from cogd.plugins import GROUPS
from cogd.settings import PREFIX, Settings
from cogd.train.cli.training import TrainingVerb
from cogd.train.heads.registry import trainer_names, trainer_of

ROOT = Path(__file__).parents[1]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def every_error() -> list[type[errors.CogdError]]:
    found = [errors.CogdError]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == "cogd.errors"]


@pytest.mark.parametrize("key", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(key):
    row = re.search(rf"^\| `{key}` \| (.*?) \|", read("docs/settings.md"), re.MULTILINE)
    assert row, f"{key} has no row in docs/settings.md"
    default = Settings.model_fields[key].default
    shown = row[1].strip("`")
    if isinstance(default, tuple):
        assert shown == (" ".join(default) or "none")
    elif default is None:
        assert shown == "none"
    elif isinstance(default, bool):
        assert shown == str(default).lower()
    elif isinstance(default, int | float):
        assert float(shown) == default
    else:
        assert shown == str(default)


def test_no_setting_is_documented_that_does_not_exist():
    assert set(re.findall(r"^\| `([a-z_]+)` \|", read("docs/settings.md"), re.MULTILINE)) == set(Settings.model_fields)
    mentioned = set(re.findall(rf"{PREFIX}[A-Z_]+", read("docs/settings.md")))
    assert mentioned - {PREFIX + key.upper() for key in Settings.model_fields} == {"COGD_CONFIG", "COGD_DATA"}


@pytest.mark.parametrize(("name", "kind"), known_events().items())
def test_every_event_and_field_is_documented(name, kind):
    text = read("docs/events.md")
    assert f"`{name}`" in text
    for field in kind.__struct_fields__:
        assert f"`{field}`" in text, f"{name}: {field} is not in docs/events.md"


def test_shared_fields_are_documented_once_for_both_inferred_events():
    section = read("docs/events.md").split("`pose.frame` adds")[0]
    for field in (*InferenceFields.__struct_fields__, *WindowInfo.__struct_fields__):
        assert f"`{field}`" in section


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.code)
def test_every_error_is_documented_under_its_exit_status(kind):
    row = re.search(rf"^\| {kind.exit_status} \| (.*?) \|", read("docs/errors.md"), re.MULTILINE)
    assert row, f"the exit status {kind.exit_status} has no row in docs/errors.md"
    assert f"`{kind.code}`" in row[1]


def test_codes_are_unique_and_documented_ones_exist():
    codes = [kind.code for kind in every_error()]
    assert len(codes) == len(set(codes))
    rows = [line.split("|") for line in read("docs/errors.md").splitlines() if re.match(r"\| \d", line)]
    assert set(re.findall(r"`([a-z-]+)`", " ".join(row[2] for row in rows))) == set(codes)


def test_reasons_and_states_are_documented():
    text = read("docs/input.md")
    for word in (*DROP_REASONS, *Reset, *LinkState):
        assert f"`{word}`" in text
    for word in (
        "overload",
        "inference_failed",
        "below_min_confidence",
        "too_many_nodes",
        "stopping",
        "sink_overload",
        "sink_failed",
    ):
        assert f"`{word}`" in read("docs/events.md")


def test_the_documented_limits_are_the_defaults():
    limits, text = LinkLimits(), read("docs/input.md")
    assert f"nothing for {limits.stale_after_s:g} s" in text
    assert f"nothing for {limits.absent_after_s:g} s" in text
    assert (limits.frozen_after, "ten frames in a row" in text) == (10, True)
    settings = Settings.model_fields
    assert (
        settings["stale_after_s"].default,
        settings["absent_after_s"].default,
        settings["frozen_after"].default,
    ) == (
        limits.stale_after_s,
        limits.absent_after_s,
        limits.frozen_after,
    )


def test_plugin_groups_are_documented():
    for group in GROUPS:
        assert f"`{group}`" in read("docs/input.md") + read("docs/training.md")


def options(package: str, verb: str) -> set[str]:
    parser = argparse.ArgumentParser()
    if package == "cogd.train.cli" and verb in trainer_names():
        TrainingVerb(verb).add_arguments(parser)
    else:
        importlib.import_module(f"{package}.{verb.replace('-', '_')}").add_arguments(parser)
    return _options(parser)


def _options(parser: argparse.ArgumentParser) -> set[str]:
    found = {name for action in parser._actions for name in action.option_strings}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= set().union(*(_options(choice) for choice in action.choices.values()))
    return found


def test_documented_options_exist():
    known = set().union(*(options("cogd.cli", verb) for verb in VERBS), options("cogd.train.cli", "rotate"))
    for name in ("docs/install.md", "docs/trust.md"):
        assert set(re.findall(r"--[a-z][a-z-]+", read(name))) <= known, name
    for verb in ("install", "rollback", "remove", "list", "push"):
        assert f"cogd {verb} " in read("docs/install.md") or f"`cogd {verb}`" in read("docs/install.md")
        assert "--json" in options("cogd.cli", verb)


def test_the_apps_config_and_layout_are_documented():
    text = read("docs/install.md")
    for word in (*AppConfig.__struct_fields__, "below_min_confidence"):
        assert f"`{word}`" in text
    for word in (
        layout.CURRENT,
        layout.VERSIONS,
        layout.CONFIG_NAME,
        layout.RECORD_NAME,
        layout.PROBATION_NAME,
        *layout.LINKED,
    ):
        assert word in text


def test_the_benchmarks_figures_and_options_are_documented():
    text = read("docs/bench.md")
    for kind in (figures.Tight, figures.Live, figures.Sustained, figures.Overload, figures.Idle, figures.Latency):
        for field in kind.__struct_fields__:
            assert f"`{field}`" in text, f"{kind.__name__}.{field} is not in docs/bench.md"
    for word in (*STAGES, "better", "same", "regression", "met", "missed", "not measured"):
        assert f"`{word}`" in text
    assert (compare.NOISES, "by more than the greater noise" in text) == (1, True)
    assert f"{figures.DEADLINE_S * 1e3:g} ms after their frame" in text
    for option in ("--frames", "--seconds", "--nodes", "--json", "--append", "--against"):
        assert option in text
        assert option in options("cogd.cli", "bench")


@pytest.mark.parametrize("head", trainer_names())
def test_every_key_of_a_training_run_is_documented_with_its_default(head):
    rows = re.findall(r"^\| `([a-z]+)\.([a-z_]+)` \| (.*?) \| (.*) \|$", read("docs/training.md"), re.MULTILINE)
    tables = msgspec.to_builtins(trainer_of(head).recipe)
    for section, table in tables.items():
        for name, value in table.items():
            mine = [(default, text) for where, key, default, text in rows if (where, key) == (section, name)]
            assert mine, f"{section}.{name} has no row in docs/training.md"
            expected = f"`{json.dumps(value)}`"
            assert any(default == expected or f"{head} {expected}" in default for default, _ in mine), (name, mine)
    known = {
        (section, name)
        for recipe in [trainer_of(name).recipe for name in trainer_names()]
        for section in tables
        for name in _keys(recipe, section)
    }
    assert {(section, name) for section, name, *_ in rows} == known


def _keys(recipe, section):
    return getattr(recipe, section).__struct_fields__


def test_the_documentation_of_training_is_true():
    text = read("docs/training.md")
    for verb in ("pose", "proof"):
        for option in options("cogd.train.cli", verb) - {"-h", "--help"}:
            if option in (
                "--config",
                "--set",
                "--dry-run",
                "--resume",
                "--allow-leaky",
                "--threads",
                "--generate",
                "--expected",
            ):
                assert option in text, option
    assert set(re.findall(r"--[a-z][a-z-]+", text)) <= {
        *(option for verb in ("pose", "proof") for option in options("cogd.train.cli", verb)),
        "--standalone",
        "--nproc",
    }
    for kind in (errors.ProofError, errors.UnknownPlatformError):
        assert f"| {kind.exit_status} |" in text
    for recipe in [trainer_of(name).recipe for name in trainer_names()]:
        for term in recipe.loss.weights():
            assert re.search(rf"^\| `{term}` \|", text, re.MULTILINE), term


def test_links_between_documents_lead_somewhere():
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
