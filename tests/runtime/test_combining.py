"""When readings of several nodes are combined, that it depends on the frames alone, and what `count.fused` holds."""

import asyncio
import dataclasses
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogd.csi.frame import Origin
from cogd.csi.link import LinkLimits
from cogd.events import AppFailed, Emitter, Event, WindowInfo, encode
from cogd.heads.base import Head, Reading
from cogd.heads.count.events import CountFields, FusedCountFields
from cogd.heads.count.fusion import FRESH_S, fuse
from cogd.heads.count.head import CountHead
from cogd.heads.pose.events import PoseFields
from cogd.runtime.combining import Combining
from cogd.runtime.engine import Engine
from tests.sources.conftest import FakeClock

from .factory import COUNT, fake_app, frames_of, interleaved


def count_of(node: str, time: float, probs=(0.2, 0.5, 0.3), **changes) -> CountFields:
    fields = {
        "tick": 7, "app": "count-app", "version": "1.2.3", "digest": "sha256:1", "backend": "fake", "node": node,
        "time": time, "origin": Origin.LIVE, "window": WindowInfo(frames=4, span_s=0.15, measured_tones=52),
        "count": 1, "raw_count": 1, "confidence": None, "low_confidence": False, "count_p95_low": 0,
        "count_p95_high": 2, "n_nodes": 1, "probs": list(probs), "classes": [0, 1, 2], "latency_ms": 1.5,
    }  # fmt: skip
    return CountFields(**(fields | changes))


def of_head(head):
    return dataclasses.replace(fake_app("count"), head=head)


class Heard:
    """A `Combining`, and what it emitted."""

    def __init__(self, app=None):
        self.app = app or fake_app("count")
        self.said = []
        self.fusion = Combining(Emitter(FakeClock(), self.said.append))

    def hear(self, *counts: CountFields, emitted=True) -> list:
        """Returns what was said of them."""
        before = len(self.said)
        for fields in counts:
            self.fusion.observe(Reading(fields, fields.confidence), self.app, emitted)
        return [event.fields for event in self.said[before:]]


class TestItIsSaid:
    def test_once_every_fresh_node_has_counted_anew(self):
        h = Heard()
        nodes = ("a/1", "a/2", "a/3")
        h.hear(*(count_of(node, 100.0) for node in nodes))
        h.said.clear()
        for n in range(1, 6):
            told = h.hear(*(count_of(node, 100 + n / 20) for node in nodes))
            assert [(fields.nodes, fields.n_nodes) for fields in told] == [(list(nodes), 3)]

    def test_though_a_node_is_slower_or_silent(self):
        h = Heard()
        h.hear(count_of("a/1", 100.0), count_of("a/2", 100.0))
        told = h.hear(*(count_of("a/1", 100 + n / 20) for n in range(1, 61)))
        assert 9 <= len(told) <= 11  # at its second count each time, until the other's is no longer fresh
        assert told[-1].time <= 100 + FRESH_S
        h.said.clear()
        h.hear(*(count_of("a/1", 103 + n / 20) for n in range(20)))
        assert not h.said

    def test_of_one_source_alone(self):
        h = Heard()
        told = h.hear(*(count_of(node, 100 + n / 20) for n in range(5) for node in ("a/1", "b/1", "b/2")))
        assert told
        assert {tuple(fields.nodes) for fields in told} == {("b/1", "b/2")}
        assert {fields.source for fields in told} == {"b"}

    def test_of_one_version_alone(self):
        h = Heard()
        told = h.hear(
            *(count_of(f"a/{n % 2}", 100 + n / 20, digest=f"sha256:{n % 2}", version=f"{n % 2}") for n in range(10))
        )
        assert not told

    def test_never_of_one_node(self):
        assert not Heard().hear(*(count_of("a/1", 100 + n / 20) for n in range(100)))

    def test_of_what_was_emitted_alone(self):
        h = Heard()
        h.hear(count_of("a/1", 100.0))
        assert not h.hear(*(count_of("a/2", 100 + n / 20) for n in range(5)), emitted=False)
        assert not h.hear(count_of("a/1", 100.05))

    def test_again_after_a_clock_was_set_back(self):
        h = Heard()
        h.hear(count_of("a/1", 5000.0), count_of("a/2", 5000.0))
        told = h.hear(*(count_of(node, 100 + n / 20) for n in range(3) for node in ("a/1", "a/2")))
        assert [fields.time for fields in told][-1] == 100.1

    def test_of_no_other_head(self):
        h, pose = Heard(), fake_app("pose")
        fields = PoseFields(
            **{name: getattr(count_of("a/1", 100.0), name) for name in PoseFields.__struct_fields__[:10]},
            n_persons=1,
            persons=[],
        )
        for _ in range(3):
            h.fusion.observe(Reading(fields), pose, True)
        assert not h.fusion._rounds

    def test_of_the_last_sources_and_bundles_alone(self):
        h = Heard()
        for n in range(200):
            h.hear(count_of(f"s{n}/1", 100.0))
        assert len(h.fusion._rounds) == 64


class Sums(Head):
    """A third party's head: combines whatever its nodes give, within three seconds."""

    name = "sums"
    events = (CountFields, FusedCountFields)

    def __init__(self, combine):
        self.combiner = SimpleNamespace(fresh_s=3.0, combine=combine)

    def read(self, outputs, contexts, baselines=()):
        return []


class TestAnotherHeadsCombiner:
    def test_gets_the_fresh_readings_by_node_and_the_newest(self):
        calls = []
        h = Heard(of_head(Sums(lambda *call: calls.append(call))))
        one, other, newest = count_of("a/2", 100.0), count_of("a/1", 101.0), count_of("a/2", 103.9)
        assert not h.hear(one, other, newest)
        assert calls == [("a", [other, newest], newest)]
        h.hear(count_of("a/2", 104.1), count_of("a/2", 104.2))
        assert len(calls) == 1

    def test_that_fails_costs_its_event_alone_and_says_why_once(self):
        def fail(source, readings, newest):
            raise KeyError("no such joint")

        h = Heard(of_head(Sums(fail)))
        told = h.hear(*(count_of(node, 100 + n / 20) for n in range(3) for node in ("a/1", "a/2")))
        assert [(type(fields), fields.reason) for fields in told] == [
            (AppFailed, "its head can't combine nodes: KeyError: 'no such joint'")
        ]


class TestItSays:
    def told(self, *counts, head=None):
        h = Heard(None if head is None else of_head(head))
        (told,) = h.hear(counts[-1], *counts)
        return told

    def test_what_the_nodes_together_make(self):
        one, other = (0.1, 0.8, 0.1), (0.3, 0.3, 0.4)
        told = self.told(count_of("a/2", 100.0, one, confidence=0.9), count_of("a/1", 100.5, other, confidence=0.3))
        np.testing.assert_allclose(told.probs, fuse([one, other], [0.9, 0.3]), atol=1e-6)
        assert (told.count, told.classes, told.nodes, told.source) == (1, [0, 1, 2], ["a/1", "a/2"], "a")
        assert (told.count_p95_low, told.count_p95_high) == (0, 2)
        assert (told.time, told.tick, told.latency_ms, told.origin) == (100.5, 7, 1.5, "live")
        assert told.confidence is None

    def test_numbers_and_not_places(self):
        told = self.told(*(count_of(node, 100.0, (0.01, 0.98, 0.01), classes=[1, 4, 6]) for node in ("a/1", "a/2")))
        assert (told.count, told.count_p95_low, told.count_p95_high) == (4, 4, 4)

    @pytest.mark.parametrize("best", [0.5, 0.99, 1.0])
    def test_how_sure_it_is_where_that_was_fitted(self, best):
        output = msgspec.structs.replace(COUNT, confidence="platt", calibration="c.safetensors")
        numbers = {"temperature": 1, "slope": 1, "offset": 0, "fused_slope": 0.5, "fused_offset": -0.2}
        head = CountHead(output, {name: np.float32([value]) for name, value in numbers.items()})
        rest = (1 - best) / 2
        told = self.told(*(count_of(node, 100.0, (rest, best, rest)) for node in ("a/1", "a/2")), head=head)
        together = fuse([(rest, best, rest)] * 2, [None, None])[1]
        logit = np.log(together / (1 - together))
        assert told.confidence == pytest.approx(1 / (1 + np.exp(-(0.5 * logit - 0.2))), abs=2e-6)


def play(frames, every: list[int]) -> list[bytes]:
    """The events of an engine with combining, with a tick after so many frames each; without what a tick decides."""
    clock, events = FakeClock(), []
    emitter = Emitter(clock, events.append)
    engine = Engine(
        [fake_app("count")],
        LinkLimits(),
        clock,
        emitter,
        believe_simulated=lambda source: False,
        max_pending=4096,
    )
    engine.observers.append(Combining(emitter).observe)

    async def run() -> None:
        left = iter(every)
        due = next(left, 1)
        for frame in frames:
            clock.now_s = frame.arrival_s
            engine.take(frame)
            due -= 1
            if due <= 0:
                await engine.tick()
                due = next(left, 1)
        await engine.tick()

    asyncio.run(run())
    engine.close()
    return [encode(_of_frames_alone(event)) for event in events if event.event.startswith("count")]


def _of_frames_alone(event: Event) -> Event:
    """The same event without what is said of the tick."""
    return Event(
        ts=0.0,
        level=event.level,
        event=event.event,
        fields=msgspec.structs.replace(event.fields, tick=0, latency_ms=0.0),
    )


FRAMES = interleaved(frames_of("a/1", 40), frames_of("a/2", 30, start_s=100.013), frames_of("a/3", 15, rate_hz=9))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(1, 20), max_size=60))
def test_the_events_do_not_depend_on_when_ticks_fall(every):
    at_once = play(FRAMES, [])
    assert sum(b'"count.fused"' in line for line in at_once) > 20
    assert play(FRAMES, every) == at_once
