import os
from pathlib import Path

import pytest

from cogd import settings as settings_module
from cogd.errors import ConfigError
from cogd.settings import Settings, load_settings, unknown_variables


@pytest.fixture(autouse=True)
def _bare(monkeypatch, tmp_path):
    """No environment and no default file."""
    for name in [name for name in os.environ if name.upper().startswith("COGD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(settings_module, "DEFAULT_FILE", tmp_path / "absent.toml")


@pytest.fixture
def file(tmp_path):
    """Writes a settings file."""

    def write(text: str, name: str = "cogd.toml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


OTHER = {  # another value than the default of every setting: in the file, in the environment, and read
    "sources": ('["sim:", "udp:"]', "sim: udp:", ("sim:", "udp:")),
    "sinks": ('["stdout:", "x:"]', " stdout:   x: ", ("stdout:", "x:")),
    "sink_credentials": ('["a=/x", "b=/y"]', "a=/x  b=/y", ("a=/x", "b=/y")),
    "apps_dir": ('"/a"', "/a", Path("/a")),
    "trust_dir": ('"/t"', "/t", Path("/t")),
    "tick_ms": ("50", "50", 50),
    "batch_ms": ("20", "20", 20),
    "max_pending": ("7", "7", 7),
    "max_wait_ms": ("100", "100", 100),
    "stale_after_s": ("1.5", "1.5", 1.5),
    "absent_after_s": ("20", "20", 20.0),
    "frozen_after": ("3", "3", 3),
    "believe_simulated": ("true", "true", True),
    "http_timeout_s": ("0.5", "0.5", 0.5),
    "http_token_file": ('"/k"', "/k", Path("/k")),
    "control_socket": ('"/c"', "/c", Path("/c")),
    "canary_s": ("2.5", "2.5", 2.5),
    "state_dir": ('"/srv/state"', "/srv/state", Path("/srv/state")),
    "fuse_counts": ("false", "false", False),
    "log_level": ('"debug"', "debug", "debug"),
}


def test_every_setting_is_tried_here():
    assert set(OTHER) == set(Settings.model_fields)


def test_all_have_defaults_and_say_so():
    loaded = load_settings({})
    assert set(loaded.origins.values()) == {"default"}
    assert set(loaded.origins) == set(Settings.model_fields)
    assert loaded.settings.sources == ("udp://0.0.0.0:5005",)


class TestEveryLayer:
    @pytest.mark.parametrize("key", OTHER)
    def test_file(self, key, file):
        path = file(f"{key} = {OTHER[key][0]}\n")
        loaded = load_settings({}, path)
        assert getattr(loaded.settings, key) == OTHER[key][2]
        assert loaded.origins.pop(key) == f"file {path}"
        assert set(loaded.origins.values()) == {"default"}

    @pytest.mark.parametrize("key", OTHER)
    def test_environment(self, key, monkeypatch):
        monkeypatch.setenv(f"COGD_{key.upper()}", OTHER[key][1])
        loaded = load_settings({})
        assert getattr(loaded.settings, key) == OTHER[key][2]
        assert loaded.origins[key] == f"environment COGD_{key.upper()}"

    @pytest.mark.parametrize("key", OTHER)
    def test_flag(self, key):
        loaded = load_settings({key: OTHER[key][2]})
        assert getattr(loaded.settings, key) == OTHER[key][2]
        assert loaded.origins[key] == "flag"

    def test_flags_are_words_where_the_command_line_gives_words(self):
        loaded = load_settings({"tick_ms": "50", "sources": ["sim:", "udp:"], "apps_dir": "/a"})
        assert (loaded.settings.tick_ms, loaded.settings.sources) == (50, ("sim:", "udp:"))
        assert loaded.settings.apps_dir == Path("/a")

    def test_flags_that_were_not_given_change_nothing(self):
        assert load_settings({"tick_ms": None}).origins["tick_ms"] == "default"


class TestPrecedence:
    def test_is_flag_demo_environment_file_default(self, file, monkeypatch):
        path = file("tick_ms = 50\nmax_pending = 50\nfrozen_after = 50\nabsent_after_s = 50\n")
        monkeypatch.setenv("COGD_TICK_MS", "60")
        monkeypatch.setenv("COGD_MAX_PENDING", "60")
        monkeypatch.setenv("COGD_FROZEN_AFTER", "60")
        loaded = load_settings({"tick_ms": 80}, path, demo={"tick_ms": 70, "max_pending": 70})
        read = [
            (getattr(loaded.settings, key), loaded.origins[key])
            for key in ("tick_ms", "max_pending", "frozen_after", "absent_after_s", "stale_after_s")
        ]
        assert read == [
            (80, "flag"),
            (70, "flag --demo"),
            (60, "environment COGD_FROZEN_AFTER"),
            (50.0, f"file {path}"),
            (2.0, "default"),
        ]

    def test_a_list_replaces_and_does_not_extend(self, file, monkeypatch):
        monkeypatch.setenv("COGD_SOURCES", "udp:")
        assert load_settings({}, file('sources = ["sim:", "http://x"]')).settings.sources == ("udp:",)

    def test_a_value_that_is_overridden_is_not_judged(self, file, monkeypatch):
        monkeypatch.setenv("COGD_TICK_MS", "60")
        assert load_settings({}, file('tick_ms = "fast"')).settings.tick_ms == 60


class TestTheFile:
    def test_is_named_by_the_environment(self, file, monkeypatch):
        monkeypatch.setenv("COGD_CONFIG", str(file("tick_ms = 50")))
        assert load_settings({}).settings.tick_ms == 50

    def test_named_by_a_flag_comes_before_the_environments(self, file, monkeypatch):
        monkeypatch.setenv("COGD_CONFIG", str(file("tick_ms = 50", "a.toml")))
        assert load_settings({}, file("tick_ms = 60", "b.toml")).settings.tick_ms == 60

    def test_by_default_is_read_if_it_is_there(self, file, monkeypatch):
        monkeypatch.setattr(settings_module, "DEFAULT_FILE", file("tick_ms = 50"))
        assert load_settings({}).settings.tick_ms == 50

    @pytest.mark.parametrize("by", ["flag", "environment"])
    def test_that_was_named_must_be_there(self, by, tmp_path, monkeypatch):
        absent = tmp_path / "typo.toml"
        monkeypatch.setenv("COGD_CONFIG", str(absent) if by == "environment" else "")
        with pytest.raises(ConfigError, match=r"no settings file .*typo\.toml"):
            load_settings({}, absent if by == "flag" else None)

    def test_with_an_unknown_key_names_key_file_and_the_known_ones(self, file):
        path = file("tik_ms = 50")
        with pytest.raises(ConfigError, match=f"tik_ms .from file {path}. is not a setting") as caught:
            load_settings({}, path)
        assert "tick_ms" in caught.value.hint

    def test_with_a_table_names_it(self, file):
        with pytest.raises(ConfigError, match=r"http .from file .*is not a setting"):
            load_settings({}, file("[http]\ntimeout_s = 1\n"))

    @pytest.mark.parametrize("text", ["tick_ms = ", "= 3", "tick_ms = 1\ntick_ms = 2", "\x00"])
    def test_that_is_no_toml_names_itself(self, text, file):
        path = file(text)
        with pytest.raises(ConfigError, match=str(path)):
            load_settings({}, path)

    def test_that_is_no_utf_8_names_itself(self, tmp_path):
        path = tmp_path / "cogd.toml"
        path.write_bytes(b'log_level = "\xff"')
        with pytest.raises(ConfigError, match=str(path)):
            load_settings({}, path)


class TestABadValue:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("tick_ms", "fast"),
            ("tick_ms", "4"),
            ("tick_ms", "1001"),
            ("tick_ms", "40.5"),
            ("max_pending", "0"),
            ("stale_after_s", "nan"),
            ("stale_after_s", "0"),
            ("absent_after_s", "inf"),
            ("http_timeout_s", "-1"),
            ("frozen_after", "1"),
            ("believe_simulated", "perhaps"),
            ("log_level", "loud"),
            ("sources", ""),
            ("sinks", "   "),
        ],
    )
    def test_names_key_value_and_origin_with_a_fix(self, key, value, monkeypatch):
        name = f"COGD_{key.upper()}"
        monkeypatch.setenv(name, value)
        with pytest.raises(ConfigError) as caught:
            load_settings({})
        assert str(caught.value).startswith(f"{key} = ")
        assert f"(from environment {name})" in str(caught.value)
        assert caught.value.hint
        assert caught.value.exit_status == 2

    def test_in_the_file_names_the_file(self, file):
        path = file("tick_ms = 2000")
        with pytest.raises(ConfigError, match=f"tick_ms = 2000 .from file {path}.: .*1000"):
            load_settings({}, path)

    def test_of_a_flag_names_the_flag(self):
        with pytest.raises(ConfigError, match=r"tick_ms = 'x' .from flag.:"):
            load_settings({"tick_ms": "x"})

    def test_inside_a_list_names_the_list(self, file):
        with pytest.raises(ConfigError, match="sources = 3"):
            load_settings({}, file('sources = ["sim:", 3]'))

    def test_of_two_that_contradict_each_other_names_both(self):
        with pytest.raises(ConfigError, match="absent_after_s is less than stale_after_s"):
            load_settings({"absent_after_s": 1, "stale_after_s": 2})


def test_settings_can_not_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load_settings({}).settings.tick_ms = 50


def test_variables_that_are_no_settings_are_told():
    environment = {
        "COGD_TICK_MS": "1",
        "COGD_CONFIG": "x",
        "COGD_DATA": "x",
        "COGD_TIK_MS": "1",
        "COGD_": "1",
        "PATH": "/bin",
        "COGDX": "1",
    }
    assert unknown_variables(environment) == ["COGD_", "COGD_TIK_MS"]
