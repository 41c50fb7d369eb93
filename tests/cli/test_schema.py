import json

import pytest

from cogd.cli import main
from cogd.events import registry
from cogd.events.registry import known_events
from cogd.events.schema import event_schema, events_schema


def test_prints_the_schema_of_an_event(capsys):
    assert main(["schema", "count"]) == 0
    assert json.loads(capsys.readouterr().out) == event_schema(known_events()["count"])


def test_prints_one_schema_of_all_events(capsys):
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == events_schema(known_events().values())


def test_names_the_events_that_there_are(capsys):
    assert main(["schema", "counts"]) == 2
    error = capsys.readouterr().err
    assert "there is no event 'counts'" in error
    assert "pose.frame, run.started" in error


def test_writes_a_file_for_each_event(tmp_path):
    assert main(["schema", "--output-dir", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.json" for name in known_events()}
    assert json.loads((tmp_path / "motion.json").read_bytes()) == event_schema(known_events()["motion"])


def test_a_folder_that_is_not_there_is_a_typed_error(tmp_path, capsys):
    assert main(["schema", "--output-dir", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "status"), [(["schema", "run.started"], 0), (["schema"], 20)])
def test_a_broken_head_hides_its_own_events_alone(monkeypatch, words, status):
    monkeypatch.setattr(registry, "head_names", lambda: ["absent"])
    assert main(words) == status
