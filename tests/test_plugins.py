from importlib.metadata import EntryPoint

import pytest

from cogd import plugins
from cogd.errors import PluginError
from cogd.plugins import GROUPS, load_plugin, plugin_names


@pytest.fixture
def installed(monkeypatch):
    """Says what is installed, instead of the real entry points."""

    def install(*entries: EntryPoint) -> None:
        def entry_points(*, group, name=None):
            return [entry for entry in entries if entry.group == group and name in {None, entry.name}]

        monkeypatch.setattr(plugins, "entry_points", entry_points)

    return install


@pytest.mark.parametrize("group", GROUPS)
def test_every_built_in_plugin_can_be_loaded(group):
    for name in plugin_names(group):
        assert isinstance(load_plugin(group, name), type)


def test_the_built_in_plugins_are_registered():
    assert {"udp", "http", "https", "replay", "sim"} <= set(plugin_names("cogd.sources"))
    assert "stdout" in plugin_names("cogd.sinks")
    assert {"pose", "count"} <= set(plugin_names("cogd.heads"))
    assert "ort" in plugin_names("cogd.backends")


def test_an_unknown_name_tells_the_known_ones():
    with pytest.raises(PluginError, match=r"there is no source 'tcp'; installed are .*replay.*udp"):
        load_plugin("cogd.sources", "tcp")


def test_a_third_partys_plugin_is_found_like_our_own(installed):
    installed(EntryPoint("mine", "collections:OrderedDict", "cogd.heads"))
    assert load_plugin("cogd.heads", "mine").__name__ == "OrderedDict"
    assert plugin_names("cogd.heads") == ["mine"]


@pytest.mark.parametrize("target", ["no_such_module_at_all:X", "collections:NoSuchClass"])
def test_a_plugin_that_can_not_be_imported_says_why(installed, target):
    installed(EntryPoint("mine", target, "cogd.sinks"))
    with pytest.raises(PluginError, match=r"the sink 'mine' \(.*\) can't be imported"):
        load_plugin("cogd.sinks", "mine")


def test_a_plugin_whose_module_raises_anything_is_a_plugin_error(installed, tmp_path, monkeypatch):
    (tmp_path / "broken_by_design.py").write_text("raise RuntimeError('no device')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    installed(EntryPoint("mine", "broken_by_design:X", "cogd.backends"))
    with pytest.raises(PluginError, match="can't be imported: no device"):
        load_plugin("cogd.backends", "mine")


def test_a_plugin_that_is_no_class_is_refused(installed):
    installed(EntryPoint("mine", "math:pi", "cogd.heads"))
    with pytest.raises(PluginError, match="is not a class"):
        load_plugin("cogd.heads", "mine")
