import json

import msgspec
import pytest

from cogd import events
from cogd.events import (
    BUILT_IN,
    AppFailed,
    Context,
    Emitter,
    EventFields,
    HealthLive,
    InferenceFields,
    LinkChanged,
    SourceChanged,
    WindowInfo,
    encode,
)
from cogd.events.registry import known_events
from cogd.heads.count.events import CountFields
from cogd.heads.motion.events import MotionFields
from cogd.heads.pose.events import Person, PoseFields
from tests.sources.conftest import FakeClock

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


def emitted(fields: EventFields, *arguments) -> bytes:
    lines = []
    Emitter(FakeClock(), lambda event: lines.append(encode(event))).emit(fields, *arguments)
    return lines[0]


def line_of(fields: EventFields, *arguments) -> dict:
    encoded = emitted(fields, *arguments)
    assert encoded.endswith(b"}\n")
    assert encoded.count(b"\n") == 1
    return json.loads(encoded)


def pose(text: str = "a/1") -> PoseFields:
    person = Person(keypoints=[[0.5, 0.25]] * 17, confidence=None, error_50=None)
    return PoseFields(**(CONTEXT | {"node": text}), latency_ms=1.5, n_persons=1, persons=[person])


def test_an_event_is_one_line_with_four_keys():
    line = line_of(pose())
    assert list(line) == ["ts", "level", "event", "fields"]
    assert (line["ts"], line["level"], line["event"]) == (1000050.0, "info", "pose.frame")


def test_a_newline_in_a_name_does_not_break_the_line():
    assert line_of(pose("a\nb/1"))["fields"]["node"] == "a\nb/1"


def test_a_pose_frame_has_the_published_fields():
    fields = line_of(pose())["fields"]
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
    person = line_of(pose())["fields"]["persons"][0]
    assert (person["confidence"], person["error_50"]) == (None, None)


def test_an_event_says_what_its_type_says():
    failed = AppFailed(app="a", backend="ort", reason="none")
    assert emitted(failed) == (
        b'{"ts":1000050.0,"level":"error","event":"app.failed","fields":{"app":"a","backend":"ort","reason":"none"}}\n'
    )


def test_a_level_that_is_given_stands():
    assert line_of(AppFailed(app="a", backend="ort", reason="none"), "debug")["level"] == "debug"


def test_events_of_one_moment_can_share_their_time():
    made = []
    Emitter(FakeClock(), made.append).emit(AppFailed(app="a", backend="ort", reason="none"), ts=0.0)
    assert made[0].ts == 0.0


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        (LinkChanged(node="a/1", state="live", previous="stale", time=1.0), "info"),
        (LinkChanged(node="a/1", state="stale", previous="live", time=1.0), "warn"),
        (LinkChanged(node="a/1", state="simulated", previous="absent", time=1.0), "warn"),
        (SourceChanged(source="a", state="up", reason=None), "info"),
        (SourceChanged(source="a", state="ended", reason=None), "info"),
        (SourceChanged(source="a", state="down", reason="refused"), "warn"),
        (SourceChanged(source="a", state="silent", reason="no frame"), "warn"),
        (HealthLive(cogd="1", pid=1, ticks=1, healthy=True, reasons=[], sources={}, nodes={}), "info"),
        (HealthLive(cogd="1", pid=1, ticks=1, healthy=False, reasons=["x"], sources={}, nodes={}), "error"),
    ],
)
def test_the_level_of_some_events_depends_on_what_they_say(fields, level):
    assert line_of(fields)["level"] == level


def subclasses(kind: type) -> set[type]:
    return {kind} | {each for child in kind.__subclasses__() for each in subclasses(child)}


def test_every_event_type_of_ours_is_in_the_list_or_belongs_to_a_head():
    ours = {kind for kind in subclasses(EventFields) if kind.__module__.split(".")[0] == "cogd"}
    assert ours - {EventFields, InferenceFields} == set(known_events().values())
    in_list = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, EventFields)}
    assert in_list - {EventFields, InferenceFields} == set(BUILT_IN)


@pytest.mark.parametrize(("name", "kind"), known_events().items())
def test_every_event_type_is_frozen_and_has_a_schema(name, kind):
    assert name == kind.event_name
    assert kind.__struct_config__.frozen
    schema = msgspec.json.schema(kind)
    (definition,) = [part for part in schema["$defs"].values() if part.get("title") == kind.__name__]
    assert set(definition["properties"]) == set(kind.__struct_fields__)
