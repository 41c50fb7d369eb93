import itertools
import json
import tomllib
from typing import Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogd.errors import ConfigError
from cogd.train.configfile import changed, check, parse_override, read_config, template
from cogd.train.heads.count.config import RECIPE as COUNT
from cogd.train.heads.motion.config import RECIPE as MOTION
from cogd.train.heads.pose.config import RECIPE as POSE
from cogd.train.heads.registry import trainer_names, trainer_of


@pytest.mark.parametrize("head", trainer_names())
def test_the_template_parses_to_exactly_the_defaults(head):
    parsed = tomllib.loads(template(trainer_of(head).recipe))

    assert msgspec.convert(parsed, type(trainer_of(head).recipe)) == trainer_of(head).recipe
    assert parsed == json.loads(msgspec.json.encode(trainer_of(head).recipe))  # no key is missing, none is more


@pytest.mark.parametrize("head", trainer_names())
def test_every_key_of_the_template_says_what_it_means(head):
    lines = template(trainer_of(head).recipe).splitlines()

    for above, line in itertools.pairwise(lines):
        if " = " in line and not line.startswith("#"):
            assert above.startswith("# ")
            assert len(above) > 8, line


@pytest.mark.parametrize("head", trainer_names())
def test_every_word_that_a_key_may_have_is_told_above_it(head):
    text = template(trainer_of(head).recipe)
    for section in get_type_hints(type(trainer_of(head).recipe)).values():
        for name, hint in get_type_hints(section).items():
            if get_origin(hint) is Literal:
                comment = text.partition(f"\n{name} = ")[0].rpartition("# ")[2]
                assert all(word in comment for word in get_args(hint)), (name, comment)


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_a_missing_file_is_written_as_a_template_that_then_works(tmp_path, suffix):
    path = tmp_path / f"run.{suffix}"

    with pytest.raises(ConfigError, match="was missing: a template with every default is there now") as told:
        read_config("count", path)

    assert "same command again" in told.value.hint
    assert read_config("count", path) == COUNT
    before = path.read_bytes()
    read_config("count", path)
    assert path.read_bytes() == before


def test_a_template_that_can_not_be_written_is_said_to_be_so(tmp_path):
    with pytest.raises(ConfigError, match="no template can be written there"):
        read_config("count", tmp_path / "missing" / "run.toml")


def test_the_file_is_over_the_recipe_and_the_command_line_over_the_file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("[train]\nepochs = 7\nbatch_size = 9\n[loss]\nbone = 0.5\n")

    config = read_config("pose", path, {"train.epochs": 3})

    assert (config.train.epochs, config.train.batch_size, config.train.learning_rate) == (3, 9, 1e-3)
    assert config.loss.weights()["bone"] == 0.5
    as_json = tmp_path / "run.json"
    as_json.write_text(json.dumps({"train": {"epochs": 7, "batch_size": 9}, "loss": {"bone": 0.5}}))
    assert read_config("pose", as_json) == read_config("pose", path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[train]\nepoch = 3\n", "train.epoch is not known; is train.epochs meant?"),
        ("epochs = 3\n", "epochs is not known; is train.epochs meant?"),
        ("[trian]\nepochs = 3\n", "trian.epochs is not known; is train.epochs meant?"),
        ("[data]\nseed = 3\n", "data.seed is not known; is split.seed meant?"),
        ("[loss]\nbone = 1.0\n", "loss.bone is not known"),  # of another head
        ("[zzz]\nqqq = 1\n", "zzz.qqq is not known"),
        ("[train]\nepochs = 0\n", "train.epochs: Expected `int` >= 1"),
        ("[train]\nepochs = '3'\n", "train.epochs: Expected `int`, got `str`"),
        ("[train]\nepochs = 3.5\n", "train.epochs: Expected `int`, got `float`"),
        ("[train]\nlearning_rate = nan\n", "train.learning_rate"),
        ("[train]\nkeep = 'some'\n", "train.keep: Invalid enum value 'some'"),
        ("[data]\npersons = [1, 9]\n", "data.persons[1]: Expected `int` <= 7"),
        ("[data]\npersons = []\n", "data.persons: Expected `array` of length >= 1"),
        ("[train]\nepochs = \n", "can't be parsed"),
        ("[model]\nhead = 'pose'\n", "model.head is 'pose', not 'count'"),
    ],
)
def test_what_a_file_may_not_say_is_refused_with_key_file_and_the_nearest_key(tmp_path, text, told):
    path = tmp_path / "run.toml"
    path.write_text(text)

    with pytest.raises(ConfigError) as refused:
        read_config("count", path)

    assert told in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_head_given_on_the_command_line_must_be_the_commands_own(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("[train]\nepochs = 7\n")

    with pytest.raises(ConfigError, match=r"the command line: model\.head is 'pose', not 'motion'") as refused:
        read_config("motion", path, {"model.head": "pose", "model.net": "pose_v1"})

    assert "cogd-train pose" in refused.value.hint


@pytest.mark.parametrize("content", [b"[1]", b"null", b"{", b"\xff", b"[" * 100_000])
def test_json_that_is_no_configuration_is_refused(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=r"run\.json") as refused:
        read_config("count", path)

    assert "cogd config" not in refused.value.hint, "a verb of the daemon's program"


def test_a_file_must_say_by_its_name_what_it_is(tmp_path):
    with pytest.raises(ConfigError, match=r"neither \.toml nor \.json"):
        read_config("count", tmp_path / "run.yaml")


def test_a_directory_is_no_configuration(tmp_path):
    with pytest.raises(ConfigError, match="is a directory, not a configuration") as refused:
        read_config("count", tmp_path)

    assert "rename" not in refused.value.hint


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train.schedule": "steps"}, "needs train.milestones"),
        ({"train.milestones": [3]}, "are for train.schedule = 'steps'"),
        ({"train.schedule": "steps", "train.milestones": [5, 5]}, "must rise"),
        ({"train.schedule": "steps", "train.milestones": [500]}, "at most train.epochs"),
        ({"train.warmup_epochs": 400}, "must be below train.epochs"),
        ({"split.test": 0.6, "split.calibration": 0.5}, "must leave something to train"),
        ({"split.test": ["room 1"]}, "by name are for split.kind session, room or subject"),
        ({"split.calibration_by": "session"}, "is for split.kind session, room or subject"),
        ({"split.kind": "random"}, "leaky and needs split.allow_leaky"),
        ({"loss.keypoint": 0.0}, "must not all be 0"),
        ({"train.mixup_alpha": 0.2, "loss.temporal": 0.1}, "exclude each other"),
        ({"data.persons": [1, 1]}, "must name each number once"),
        ({"data.spec": ""}, "must not be empty"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(changes, told):
    with pytest.raises(ConfigError) as refused:
        check(changed(POSE, changes))

    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("text", "changes", "told"),
    [
        ("", {"data.rates_hz": [100.0, 10.0]}, "the command line: data.rates_hz"),
        ("", {"split.kind": "random"}, "the command line: split.kind"),
        ("", {"train.folds": 2}, "the command line: train.folds"),
        ("[split]\nkind = 'random'\n", {"train.epochs": 3}, "FILE: split.kind"),
        ("[split]\ntest = 0.6\n", {"split.calibration": 0.5}, "FILE and the command line: split.test"),
        ("[split]\ntest = 0.6\n", {"split.test": 0.95}, "the command line: split.test"),
        ("[data]\nrooms = 3\n", {"loss.keypoint": 0.0}, "FILE and the command line: the weights"),
    ],
)
def test_what_contradicts_is_told_with_where_it_was_given(tmp_path, text, changes, told):
    path = tmp_path / "run.toml"
    path.write_text("[train]\nbatch_size = 9\n" + text)

    with pytest.raises(ConfigError) as refused:
        read_config("pose", path, changes)

    assert str(refused.value).startswith(told.replace("FILE", str(path)))


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("train.gamma", 0.0), ("train.gamma", 1.0), ("train.learning_rate", 0.0), ("train.weight_decay", -0.1),
        ("train.clip_norm", -1.0), ("train.ema_decay", 1.0), ("train.milestones", [0]), ("train.patience", -1),
        ("loss.keypoint", -1.0), ("split.test", 1.0), ("split.test", 0.0), ("output.checkpoint_epochs", 0),
        ("train.epochs", 1_000_001), ("train.learning_rate", float("inf")),
    ],
)  # fmt: skip
def test_values_out_of_bounds_are_refused(key, bad):
    with pytest.raises(ConfigError, match=key):
        changed(POSE, {key: bad})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.epochs=10", ("train.epochs", 10)),
        ('data.spec="sim:rooms=2&persons=0,1"', ("data.spec", "sim:rooms=2&persons=0,1")),
        ("data.spec=sim:rooms=2&persons=0,1", ("data.spec", "sim:rooms=2&persons=0,1")),
        ("train.milestones=[3, 5]", ("train.milestones", [3, 5])),
        ("split.allow_leaky=true", ("split.allow_leaky", True)),
        ("train.keep=best", ("train.keep", "best")),
        ("data.licence=a = b", ("data.licence", "a = b")),
        ("data.licence=1\ntrain.epochs = 5", ("data.licence", "1\ntrain.epochs = 5")),  # one key a time
        ("data.licence=", ("data.licence", "")),
    ],
)
def test_overrides_are_toml_or_a_word(text, expected):
    assert parse_override(text) == expected


def test_an_override_needs_a_value():
    with pytest.raises(ConfigError, match="is not KEY=VALUE"):
        parse_override("train.epochs")


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1), st.lists(st.text(), min_size=1))
def test_any_text_survives_being_written_and_read(text, names):
    config = changed(MOTION, {"data.licence": text, "split.kind": "room", "split.test": names})

    assert msgspec.convert(tomllib.loads(template(config)), type(MOTION)) == config


@given(st.text(), st.text())
def test_no_override_does_more_than_its_key(key, value):
    try:
        name, parsed = parse_override(f"{key}={value}")
        config = changed(COUNT, {name: parsed})
    except ConfigError:
        return
    assert changed(config, {name: _at(COUNT, name)}) == COUNT


def _at(config, key):
    section, _, name = key.partition(".")
    return getattr(getattr(config, section), name)


def test_the_digest_is_of_everything_but_where_the_run_goes():
    assert changed(POSE, {"output.folder": "here", "output.log": "there"}).digest() == POSE.digest()
    for key, value in {"train.seed": 1, "loss.beta": 0.2, "data.rooms": 2, "output.tensorboard": True}.items():
        assert changed(POSE, {key: value}).digest() != POSE.digest()
