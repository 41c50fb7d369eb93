import sys

import pytest

from cogd.errors import ConfigError
from cogd.train.history import Epoch, History, read_history, tensorboard

pytestmark = pytest.mark.train


def epoch(number: int, loss: float = 0.5) -> Epoch:
    return Epoch(epoch=number, loss=loss, terms={"one": loss / 2}, score=0.25, learning_rate=1e-3, seconds=0.125)


def test_a_line_is_one_json_object_an_epoch(tmp_path):
    history = History(tmp_path / "history.jsonl", 0)
    history.add(epoch(1))
    history.add(epoch(2, 0.1))

    assert (tmp_path / "history.jsonl").read_text() == (
        '{"epoch":1,"loss":0.5,"terms":{"one":0.25},"score":0.25,"learning_rate":0.001,"seconds":0.125}\n'
        '{"epoch":2,"loss":0.1,"terms":{"one":0.05},"score":0.25,"learning_rate":0.001,"seconds":0.125}\n'
    )
    assert read_history(tmp_path / "history.jsonl") == [epoch(1), epoch(2, 0.1)]


def test_a_run_that_begins_anew_has_no_epochs_of_the_one_before(tmp_path):
    History(tmp_path / "history.jsonl", 0).add(epoch(1))

    History(tmp_path / "history.jsonl", 0)

    assert read_history(tmp_path / "history.jsonl") == []


def test_epochs_behind_the_checkpoint_are_done_again_and_told_once(tmp_path):
    path = tmp_path / "history.jsonl"
    history = History(path, 0)
    for number in range(1, 6):
        history.add(epoch(number))
    with path.open("ab") as file:
        file.write(b'{"epoch":6,"loss":0.')  # it died in the middle of a line

    resumed = History(path, 3)
    resumed.add(epoch(4, 0.2))

    assert read_history(path) == [epoch(1), epoch(2), epoch(3), epoch(4, 0.2)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["history.jsonl"]


def test_tensorboard_has_the_same_curves(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    add = tensorboard(tmp_path, 0)
    for number in range(1, 6):
        add(epoch(number, number / 8))
    add = tensorboard(tmp_path, 3)  # it went on from the third
    add(epoch(4, 0.75))

    events = accumulator.EventAccumulator(str(tmp_path), purge_orphaned_data=True).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "score", "learning_rate", "loss/one"}
    assert [(point.step, point.value) for point in events.Scalars("loss")] == [
        (1, 0.125), (2, 0.25), (3, 0.375), (4, 0.75),
    ]  # fmt: skip


def test_without_tensorboard_the_pip_line_is_given(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)

    with pytest.raises(ConfigError, match="TensorBoard is not installed") as refused:
        tensorboard(tmp_path, 0)

    assert refused.value.hint == "pip install 'cogd[tensorboard]'"
