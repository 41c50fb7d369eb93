"""Every event type of an installation: the built-in ones and those of heads."""

from typing import ClassVar

import pytest

from cogd.errors import PluginError
from cogd.events import BUILT_IN, InferenceFields, registry
from cogd.events.registry import known_events
from cogd.heads.count.events import CountFields, FusedCountFields
from cogd.heads.motion.events import MotionFields
from cogd.heads.pose.events import PoseFields


class BreathFields(InferenceFields, frozen=True, kw_only=True):
    event_name: ClassVar[str] = "breath"
    rate_hz: float


class ImposterFields(InferenceFields, frozen=True, kw_only=True):
    event_name: ClassVar[str] = "run.stopped"


@pytest.fixture
def heads(monkeypatch):
    """Installs heads by name."""

    def install(**heads):
        monkeypatch.setattr(registry, "head_names", lambda: sorted(heads))
        monkeypatch.setattr(registry, "head_class", heads.get)

    return install


def head_of(*kinds):
    return type("SomeHead", (), {"events": kinds})


def test_the_built_in_events_and_those_of_the_heads_are_known():
    kinds = {*BUILT_IN, PoseFields, CountFields, FusedCountFields, MotionFields}
    assert known_events() == {kind.event_name: kind for kind in kinds}


def test_a_head_of_a_third_party_brings_its_events(heads):
    heads(breath=head_of(BreathFields))
    assert known_events()["breath"] is BreathFields


def test_two_heads_may_share_a_type(heads):
    heads(one=head_of(BreathFields), other=head_of(BreathFields))
    assert known_events()["breath"] is BreathFields


def test_an_event_is_not_taken_over_silently(heads):
    heads(bad=head_of(ImposterFields))
    with pytest.raises(PluginError, match=r"the head 'bad' has an event 'run\.stopped'"):
        known_events()
