import sys
from pathlib import Path

import pytest

from cogd.errors import PluginError
from cogd.plugins import GROUPS, check_collisions, load_plugin, plugin_names


def write_distribution(folder: Path, name: str, group: str, **entries: str) -> Path:
    """What an installer leaves of a distribution: a folder `*.dist-info` with its entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = {value}" for key, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    return folder


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs distributions, each in a folder of its own at the end of the path."""

    def install(name: str, group: str, **entries: str) -> Path:
        folder = write_distribution(tmp_path / str(len(list(tmp_path.iterdir()))), name, group, **entries)
        monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
        return folder

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
    installed("theirs", "cogd.heads", mine="collections:OrderedDict")
    assert load_plugin("cogd.heads", "mine").__name__ == "OrderedDict"
    assert "mine" in plugin_names("cogd.heads")


@pytest.mark.parametrize("target", ["no_such_module_at_all:X", "collections:NoSuchClass"])
def test_a_plugin_that_can_not_be_imported_says_why(installed, target):
    installed("theirs", "cogd.sinks", mine=target)
    with pytest.raises(PluginError, match=r"the sink 'mine' \(.*\) can't be imported"):
        load_plugin("cogd.sinks", "mine")


def test_a_plugin_whose_module_raises_anything_is_a_plugin_error(installed, tmp_path, monkeypatch):
    (tmp_path / "broken_by_design.py").write_text("raise RuntimeError('no device')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    installed("theirs", "cogd.backends", mine="broken_by_design:X")
    with pytest.raises(PluginError, match="can't be imported: no device"):
        load_plugin("cogd.backends", "mine")


def test_a_plugin_that_is_no_class_is_refused(installed):
    installed("theirs", "cogd.heads", mine="math:pi")
    with pytest.raises(PluginError, match="is not a class"):
        load_plugin("cogd.heads", "mine")


class TestANameThatTwoDistributionsRegister:
    """Which one would run is up to the order of the import path: neither does."""

    @pytest.mark.parametrize("group", GROUPS)
    def test_is_refused_by_the_names_of_both(self, installed, group):
        installed("one-plugin", group, same="collections:OrderedDict")
        installed("another-plugin", group, same="collections:Counter", other="collections:deque")
        both = r"'same': one-plugin 1\.0 \(collections:OrderedDict\) and another-plugin 1\.0 \(collections:Counter\)"
        with pytest.raises(PluginError, match=both):
            load_plugin(group, "same")
        with pytest.raises(PluginError, match=both):
            check_collisions()
        assert load_plugin(group, "other").__name__ == "deque"

    def test_is_refused_too_where_it_is_a_built_in_one(self, tmp_path, monkeypatch):
        folder = write_distribution(tmp_path, "silent", "cogd.sources", sim="collections:OrderedDict")
        monkeypatch.setattr(sys, "path", [str(folder), *sys.path])  # in front of ours
        both = r"the source 'sim': (silent 1\.0 .* and cogd |cogd .* and silent 1\.0 )"
        with pytest.raises(PluginError, match=both):
            load_plugin("cogd.sources", "sim")
        with pytest.raises(PluginError, match=both):
            check_collisions()

    def test_is_refused_too_where_both_name_the_same_class(self, installed):
        installed("one-plugin", "cogd.sinks", same="collections:OrderedDict")
        installed("another-plugin", "cogd.sinks", same="collections:OrderedDict")
        with pytest.raises(PluginError, match=r"one-plugin .* and another-plugin"):
            check_collisions()

    def test_is_no_collision_where_a_distribution_is_on_the_path_twice(self, installed):
        installed("one-plugin", "cogd.heads", same="collections:OrderedDict")
        installed("One_Plugin", "cogd.heads", same="collections:OrderedDict")
        check_collisions()
        assert load_plugin("cogd.heads", "same").__name__ == "OrderedDict"

    def test_is_no_collision_in_two_groups(self, installed):
        installed("one-plugin", "cogd.heads", same="collections:OrderedDict")
        installed("another-plugin", "cogd.sinks", same="collections:OrderedDict")
        check_collisions()


def test_what_is_installed_here_collides_with_nothing():
    check_collisions()
