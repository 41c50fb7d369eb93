import json
import typing

import msgspec
import pytest

from cogd import events, inferred
from cogd.events import EVENTS, Event, encode
from cogd.inferred import Context, CountFields, InferenceFields, MotionFields, Person, PoseFields, WindowInfo

CONTEXT = {
    "tick": 3,
    "app": "pose-estimation",
    "version": "1.0.0",
    "digest": "sha256:0",
    "backend": "ort",
    "node": "a/1",
    "time": 1000.5,
    "origin": "live",
    "window": WindowInfo(frames=20, span_s=0.95, measured_tones=52),
}


def line_of(fields: msgspec.Struct, name: str) -> dict:
    encoded = encode(Event(ts=1.25, level="info", event=name, fields=fields))
    assert encoded.endswith(b"}\n")
    assert encoded.count(b"\n") == 1
    return json.loads(encoded)


def pose(text: str = "a/1") -> PoseFields:
    person = Person(keypoints=[[0.5, 0.25]] * 17, confidence=None, error_50=None)
    return PoseFields(**(CONTEXT | {"node": text}), latency_ms=1.5, n_persons=1, persons=[person])


def test_an_event_is_one_line_with_four_keys():
    line = line_of(pose(), "pose.frame")
    assert list(line) == ["ts", "level", "event", "fields"]
    assert (line["ts"], line["level"], line["event"]) == (1.25, "info", "pose.frame")


def test_a_newline_in_a_name_does_not_break_the_line():
    assert line_of(pose("a\nb/1"), "pose.frame")["fields"]["node"] == "a\nb/1"


def test_a_pose_frame_has_the_published_fields():
    fields = line_of(pose(), "pose.frame")["fields"]
    assert {"tick", "n_persons", "persons"} <= set(fields)
    assert set(fields["persons"][0]) == {"keypoints", "confidence", "error_50"}
    assert len(fields["persons"][0]["keypoints"]) == 17


def test_a_count_has_the_published_fields():
    published = {
        "tick", "count", "confidence", "count_p95_low", "count_p95_high", "n_nodes", "probs", "low_confidence",
        "raw_count",
    }  # fmt: skip
    assert published <= set(CountFields.__struct_fields__)


@pytest.mark.parametrize("kind", [PoseFields, CountFields, MotionFields])
def test_every_inferred_event_names_where_it_comes_from(kind):
    assert issubclass(kind, InferenceFields)
    assert {*CONTEXT, "latency_ms"} == set(InferenceFields.__struct_fields__)


def test_a_context_gives_its_fields_to_an_event():
    assert Context(**CONTEXT).fields() == CONTEXT


def test_what_can_not_be_known_is_null_and_not_left_out():
    person = line_of(pose(), "pose.frame")["fields"]["persons"][0]
    assert (person["confidence"], person["error_50"]) == (None, None)


def test_every_event_type_has_its_name_in_the_list_and_in_the_union():
    kinds = {
        kind
        for module in (events, inferred)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__ == module.__name__
    }
    parts = {msgspec.Struct, Event, Context, InferenceFields, WindowInfo, Person, events.AppInfo, events.NodeTotals}
    parts |= {events.LiveSource, events.LiveNode, events.RunTotals}
    assert kinds - parts == set(EVENTS.values()) == set(typing.get_args(events.Fields))


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_has_a_schema(name):
    schema = msgspec.json.schema(EVENTS[name])
    (definition,) = [part for part in schema["$defs"].values() if part.get("title") == EVENTS[name].__name__]
    assert set(definition["properties"]) == set(EVENTS[name].__struct_fields__)
