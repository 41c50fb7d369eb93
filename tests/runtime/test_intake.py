import pytest

from cogd.runtime.intake import SourceIntake

from .factory import fake_app, frames_of


@pytest.fixture
def b(bench):
    return bench(fake_app())


@pytest.fixture
def intake(b):
    return SourceIntake("a", b.engine, b.emitter, now_s=100.0)


def states(b) -> list[str]:
    return [fields.state for fields in b.named("source.state")]


def test_a_state_is_said_once(b, intake):
    for _ in range(3):
        intake.down("refused")
    for _ in range(3):
        intake.up()
    intake.ended()
    intake.ended()
    assert states(b) == ["down", "up", "ended"]
    assert [fields.reason for fields in b.named("source.state")] == ["refused", None, None]
    assert [event.level for event in b.events] == ["warn", "info", "info"]


def test_a_frame_says_that_the_source_is_up_and_reaches_the_engine(b, intake):
    for frame in frames_of("a/1", 3):
        intake.offer(frame)
    assert states(b) == ["up"]
    assert b.engine.nodes.totals()["a/1"].frames == 3


async def test_a_frame_that_must_not_be_lost_reaches_the_engine_too(b, intake):
    for frame in frames_of("a/1", 3):
        await intake.put(frame)
    assert states(b) == ["up"]
    assert b.engine.nodes.totals()["a/1"].frames == 3


def test_silence_is_said_once_and_ends_with_a_frame(b, intake):
    for now_s in (101.0, 109.9, 110.0, 111.0, 200.0):
        intake.silent(now_s, 10.0)
    intake.offer(frames_of("a/1", 1, start_s=201.0)[0])
    intake.silent(202.0, 10.0)
    assert states(b) == ["silent", "up"]
    assert b.named("source.state")[0].reason == "no frame for 10 s"


@pytest.mark.parametrize("say", [lambda intake: intake.down("refused"), lambda intake: intake.ended()])
def test_a_source_that_is_down_or_has_ended_is_not_called_silent(b, intake, say):
    say(intake)
    intake.silent(1000.0, 10.0)
    assert "silent" not in states(b)


def test_what_is_no_frame_is_counted_by_reason(intake):
    intake.count("malformed")
    intake.count("vitals", 3)
    intake.count("malformed", 2)
    assert intake.counts == {"malformed": 3, "vitals": 3}
