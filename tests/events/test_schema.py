"""The JSON Schemas: made from the types, committed, and true of real events."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, ClassVar

import jsonschema
import msgspec
import pytest

from cogd.csi.frame import Origin
from cogd.csi.link import LinkState
from cogd.csi.window import Reset
from cogd.events import BUILT_IN, EventFields, InferenceFields, LinkChanged, WindowReset
from cogd.events.registry import known_events
from cogd.events.schema import DIALECT, event_schema, events_schema

ROOT = Path(__file__).parents[2]
SCHEMAS = {name: event_schema(kind) for name, kind in known_events().items()}
ALL = events_schema(known_events().values())

WITHOUT_A_UNIT = {"pid", "schema"}
"""Numbers that measure nothing."""


def parts(schema, path="") -> list:
    """Every schema inside of one, with the names of the fields that lead to it."""
    inner = [
        *((f"{path}.{name}", each) for name, each in schema.get("properties", {}).items()),
        *((name, each) for name, each in schema.get("$defs", {}).items()),
        *((path, schema[key]) for key in ("items", "additionalProperties") if isinstance(schema.get(key), dict)),
        *((path, each) for each in schema.get("anyOf", ())),
    ]
    return [(path, schema), *(found for where, each in inner for found in parts(each, where))]


@pytest.mark.parametrize("schema", [*SCHEMAS.values(), ALL], ids=[*SCHEMAS, "all"])
def test_is_valid_and_states_its_draft(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == DIALECT == jsonschema.Draft202012Validator.META_SCHEMA["$id"]


def test_the_committed_files_are_those_of_the_types():
    files = {file.stem: json.loads(file.read_bytes()) for file in (ROOT / "docs/schema").glob("*.json")}
    assert files == SCHEMAS, "make schema"


@pytest.mark.parametrize(("name", "schema"), SCHEMAS.items())
def test_every_field_is_described_and_every_number_has_its_unit(name, schema):
    for path, part in parts(schema):
        for field, own in part.get("properties", {}).items():
            assert own.get("description", "").endswith("."), f"{name}: {path}.{field}"
        kinds = part.get("type", ())
        if not {"number", "integer"}.isdisjoint([kinds] if isinstance(kinds, str) else kinds):
            assert "unit" in part or path.rpartition(".")[2] in WITHOUT_A_UNIT, f"{name}: {path}"


@pytest.mark.parametrize(("name", "kind"), known_events().items())
def test_has_every_field_and_all_are_required(name, kind):
    fields = SCHEMAS[name]["properties"]["fields"]
    assert tuple(fields["properties"]) == tuple(fields["required"]) == kind.__struct_fields__


def test_says_what_may_be_null():
    fields = SCHEMAS["count"]["properties"]["fields"]["properties"]
    assert fields["confidence"]["type"] == ["number", "null"]
    assert fields["count"]["type"] == "integer"
    assert SCHEMAS["health.live"]["$defs"]["LiveSource"]["properties"]["state"]["anyOf"][1] == {"type": "null"}


def test_units_are_those_of_the_fields():
    fields = SCHEMAS["motion"]["properties"]["fields"]["properties"]
    units = {name: fields[name].get("unit") for name in ("time", "latency_ms", "probability", "node", "baseline_time")}
    assert units == {"time": "s", "latency_ms": "ms", "probability": "1", "node": None, "baseline_time": "s"}


def test_examples_are_all_that_there_is():
    def examples(kind, field):
        return event_schema(kind)["properties"]["fields"]["properties"][field]["examples"]

    assert examples(LinkChanged, "state") == [*LinkState]
    assert examples(WindowReset, "reason") == [*Reset]
    assert examples(known_events()["motion"], "origin") == [*Origin]


def test_a_field_that_is_missing_wrong_or_null_is_found():
    schema = jsonschema.Draft202012Validator(SCHEMAS["link.state"])
    line = {
        "ts": 1.0,
        "level": "info",
        "event": "link.state",
        "fields": {"node": "a/1", "state": "live", "previous": "absent", "time": None},
    }
    assert schema.is_valid(line)
    assert schema.is_valid(line | {"later": 1})  # fields may be added
    assert not schema.is_valid(line | {"event": "link"})
    assert not schema.is_valid(line | {"level": "fatal"})
    assert not schema.is_valid(line | {"fields": line["fields"] | {"node": None}})
    assert not schema.is_valid(line | {"fields": {"node": "a/1", "state": "live", "previous": "absent"}})


class Organ(msgspec.Struct, frozen=True):
    """An organ.

    Attributes:
        rate_hz: how often it moves.
    """

    rate_hz: Annotated[float, msgspec.Meta(gt=0)] | None


class WindowInfo(msgspec.Struct, frozen=True):
    """Another type of the same name."""

    glass: str


class Vitals(InferenceFields, frozen=True, kw_only=True):
    """Vital signs."""

    event_name: ClassVar[str] = "vitals"
    organs: dict[str, list[Organ]]


class Draught(EventFields, frozen=True, kw_only=True):
    """A window is open."""

    event_name: ClassVar[str] = "draught"
    open: tuple[WindowInfo, ...] | None
    omitted: int | None = None


def test_a_third_party_event_gets_units_from_its_fields_names():
    schema = event_schema(Vitals)
    assert schema["$defs"]["Organ"]["properties"]["rate_hz"] == {
        "description": "how often it moves.",
        "unit": "Hz",
        "type": ["number", "null"],
        "exclusiveMinimum": 0,
    }
    assert "baseline" not in schema["properties"]["fields"]["properties"]


def test_two_types_of_one_name_are_kept_apart():
    schema = events_schema([*known_events().values(), Vitals, Draught])
    assert "glass" not in schema["$defs"]["WindowInfo"]["properties"]
    assert list(schema["$defs"]["draught.WindowInfo"]["properties"]) == ["glass"]
    line = {"ts": 1, "level": "info", "event": "draught", "fields": {"open": [{"glass": "x"}], "omitted": None}}
    assert jsonschema.Draft202012Validator(schema).is_valid(line)
    line["fields"]["open"] = [{"frames": 1}]
    assert not jsonschema.Draft202012Validator(schema).is_valid(line)


def documented() -> list[dict]:
    """The events that README and docs show."""
    texts = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    lines = [line for text in texts for line in text.read_text().splitlines() if line.startswith('{"ts":')]
    return [json.loads(line) for line in lines]


def test_the_documented_events_fit():
    lines = documented()
    assert {"run.started", "pose.frame", "motion", "count", "count.fused", "run.stopped"} <= {
        line["event"] for line in lines
    }
    check(lines)


def check(lines: list[dict]) -> None:
    validators = {name: jsonschema.Draft202012Validator(schema) for name, schema in SCHEMAS.items()}
    every = jsonschema.Draft202012Validator(ALL)
    for line in lines:
        validators[line["event"]].validate(line)
        assert set(line["fields"]) == set(SCHEMAS[line["event"]]["properties"]["fields"]["properties"])
    for name in {line["event"] for line in lines}:
        every.validate(next(line for line in lines if line["event"] == name))


def test_real_events_fit(tmp_path):
    """Of the daemon with the packaged apps, and of both ways of `cogd health`."""
    lines = [
        json.loads(line)
        for words in (["run", "--demo", "--duration", "6"], ["health", "--demo"], ["health", "--demo", "--ordinary"])
        for line in subprocess.run(
            [sys.executable, "-m", "cogd", *words], capture_output=True, check=True, cwd=tmp_path
        ).stdout.splitlines()
    ]
    assert {"run.started", "source.state", "link.state", "pose.frame", "motion", "run.stopped", "health.ok"} <= {
        line["event"] for line in lines
    }
    assert next(line for line in lines if line["event"] == "run.started")["fields"]["schema"] == 1
    check(lines)


@pytest.mark.parametrize("kind", BUILT_IN)
def test_every_built_in_type_describes_itself(kind):
    assert event_schema(kind)["description"].endswith(".")
