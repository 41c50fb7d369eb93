"""The last event of each kind, app and node."""

from cogd.events import Event, LinkChanged, SourceChanged
from cogd.runtime import state as state_module
from cogd.runtime.state import LastEvents


def link(node, state="live"):
    fields = LinkChanged(node=node, state=state, previous="absent", time=None)
    return Event(ts=1.0, level="info", event="link.state", fields=fields)


def test_the_newest_takes_the_place_of_the_one_before():
    last = LastEvents()
    for event in (link("a/1"), link("a/2"), newest := link("a/1", "stale")):
        last.keep(event)
    assert set(last.copy()) == {("link.state", "", "a/1"), ("link.state", "", "a/2")}
    assert last.copy()["link.state", "", "a/1"] is newest


def test_a_source_stands_in_the_place_of_the_node():
    last = LastEvents()
    event = Event(ts=1, level="info", event="source.state", fields=SourceChanged(source="a", state="up", reason=None))
    last.keep(event)
    assert last.copy() == {("source.state", "", "a"): event}


def test_so_many_of_one_name_are_kept(monkeypatch):
    monkeypatch.setattr(state_module, "MAX_KEPT", 3)
    last = LastEvents()
    for number in range(5):
        last.keep(link(f"a/{number}"))
    last.keep(link("a/4"))
    assert [node for _, _, node in last.copy()] == ["a/2", "a/3", "a/4"]
