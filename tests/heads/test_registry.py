"""Every installed head keeps the contract; what does not is refused, with what it lacks."""

from typing import ClassVar

import pytest

from cogd.errors import PluginError
from cogd.events import EventFields, InferenceFields
from cogd.heads import registry
from cogd.heads.base import Head
from cogd.heads.registry import head_class, head_names


class BreathFields(InferenceFields, frozen=True, kw_only=True):
    event_name: ClassVar[str] = "breath"


class NamelessFields(EventFields, frozen=True, kw_only=True):
    pass


class Breath(Head):
    name = "breath"
    events = (BreathFields,)

    def __init__(self, output, calibration):
        pass

    def read(self, outputs, contexts, baselines=()):
        return []


@pytest.fixture
def installed(monkeypatch):
    """Installs a class as the head `breath`."""
    return lambda kind: monkeypatch.setattr(registry, "load_plugin", lambda group, name: kind)


@pytest.mark.parametrize("name", head_names())
def test_every_packaged_head_keeps_the_contract(name):
    assert head_class(name).name == name


def test_a_third_partys_head_declares_nothing_that_it_lacks(installed):
    installed(Breath)
    assert head_class("breath") is Breath
    assert (Breath(None, {}).quiet, Breath(None, {}).combiner) == (None, None)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (type("Duck", (), {"name": "breath", "events": (BreathFields,)}), "does not derive from cogd.heads.base.Head"),
        (type("NoRead", (Head,), {"name": "breath", "events": (BreathFields,)}), "lacks __init__, read"),
        (type("Other", (Breath,), {"name": "sigh"}), "has the name 'sigh'; it must be 'breath'"),
        (type("NoEvents", (Breath,), {"events": ()}), "must have `events`"),
        (type("NoStruct", (Breath,), {"events": (dict,)}), "must have `events`"),
        (type("NoName", (Breath,), {"events": (NamelessFields,)}), "must have `events`"),
    ],
)
def test_another_class_is_refused(installed, kind, why):
    installed(kind)
    with pytest.raises(PluginError, match=why):
        head_class("breath")


def test_a_class_without_a_name_is_refused(installed):
    class Nameless(Head):
        events = (BreathFields,)
        __init__ = Breath.__init__
        read = Breath.read

    installed(Nameless)
    with pytest.raises(PluginError, match="has the name None"):
        head_class("breath")
