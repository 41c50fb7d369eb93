import math
import os
import pickle

import numpy as np
import pytest
import torch

from cogd.errors import TrainError
from cogd.train import loop as loop_module
from cogd.train.data.split import rows_split
from cogd.train.loop import Loop
from cogd.train.tasks import CountTask, PoseTask
from tests.train.factory import make_recipe, make_split, make_windows

pytestmark = pytest.mark.train

PERSONS = np.arange(40, dtype=np.int64) % 3


def make_loop(head="pose", *, recipe=None, weights_seed=0, checkpoint=None, every=1, split=None, **columns) -> Loop:
    torch.manual_seed(weights_seed)
    split = split or make_split()
    windows = make_windows(**{"persons": PERSONS, **columns})
    task = PoseTask(windows) if head == "pose" else CountTask(windows, split.train)
    return Loop(task, windows.csi, split, recipe or make_recipe(head), checkpoint, every)


def weights_of(loop: Loop) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in loop._task.net.state_dict().items()}


def assert_same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


class Stopped(Exception):  # noqa: N818
    pass


def stop_after(epochs: int):
    def progress(epoch: int, loss: float, score: float) -> None:
        if epoch == epochs:
            raise Stopped

    return progress


@pytest.mark.parametrize("head", ["pose", "count"])
@pytest.mark.parametrize("stopped_after", [1, 3, 4, 5])
def test_a_resumed_run_ends_with_the_bits_of_an_uninterrupted_one(tmp_path, head, stopped_after):
    checkpoint = tmp_path / "checkpoint.pt"
    whole = make_loop(head, checkpoint=tmp_path / "whole.pt")
    whole.run()
    with pytest.raises(Stopped):
        make_loop(head, checkpoint=checkpoint).run(stop_after(stopped_after))

    resumed = make_loop(head, weights_seed=99, checkpoint=checkpoint)
    assert resumed.resume(checkpoint) == stopped_after
    resumed.run()

    assert_same_bits(weights_of(resumed), weights_of(whole))
    last, expected = torch.load(checkpoint), torch.load(tmp_path / "whole.pt")
    assert_same_bits(last["model"], expected["model"])
    assert last["best_score"] == expected["best_score"]
    assert torch.equal(last["dropout_rng"], expected["dropout_rng"])


def test_more_epochs_may_be_asked_for_than_a_run_was_begun_with(tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    straight = make_loop("count", recipe=make_recipe("count", epochs=7))
    straight.run()
    make_loop("count", recipe=make_recipe("count", epochs=4), checkpoint=checkpoint).run()

    extended = make_loop("count", recipe=make_recipe("count", epochs=7), weights_seed=99)
    assert extended.resume(checkpoint) == 4
    extended.run()

    assert_same_bits(weights_of(extended), weights_of(straight))


def test_fewer_epochs_than_are_done_already_can_not_be_asked_for(tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    make_loop(checkpoint=checkpoint).run()

    with pytest.raises(TrainError, match="has 6 epochs behind it, more than the 5"):
        make_loop(recipe=make_recipe(epochs=5)).resume(checkpoint)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch_size", 5),
        ("learning_rate", 2e-2),
        ("weight_decay", 0.02),
        ("restart_epochs", 3),
        ("subcarrier_dropout", 0.2),
        ("dropout_epochs", 1),
        ("keep", "best"),
        ("seed", 1),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused_by_the_name_of_the_difference(tmp_path, field, value):
    checkpoint = tmp_path / "checkpoint.pt"
    make_loop(checkpoint=checkpoint).run()

    with pytest.raises(TrainError, match=f"begun with another {field}$"):
        make_loop(recipe=make_recipe(**{field: value})).resume(checkpoint)


def test_a_checkpoint_of_the_other_head_is_refused(tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    make_loop(checkpoint=checkpoint).run()

    with pytest.raises(TrainError, match="begun with another head, "):
        make_loop("count").resume(checkpoint)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"keypoints": np.full((40, 17, 2), 0.5, dtype=np.float32)},
        {"weight": np.ones(40, dtype=np.float32)},
        {"split": make_split(23, 9, 8)},  # the same rows in the same order, cut elsewhere
        {"split": rows_split("mixed", np.arange(24)[::-1].copy(), np.arange(24, 32), np.arange(32, 40))},
    ],
    ids=["inputs", "keypoints", "weights", "cut", "order"],
)
def test_a_checkpoint_of_other_data_labels_or_split_is_refused(tmp_path, changes):
    checkpoint = tmp_path / "checkpoint.pt"
    make_loop(checkpoint=checkpoint).run()

    with pytest.raises(TrainError, match="other data or another split"):
        make_loop(**changes).resume(checkpoint)


def test_a_checkpoint_of_other_counts_is_refused(tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    make_loop("count", checkpoint=checkpoint).run()

    with pytest.raises(TrainError, match="other data or another split"):
        make_loop("count", persons=(PERSONS + 1) % 3).resume(checkpoint)


class Payload:
    """What a pickle that runs code looks like."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("form", ["zip", "pickle"])
def test_a_checkpoint_with_code_in_it_is_refused_and_nothing_runs(tmp_path, form):
    checkpoint, mark = tmp_path / "checkpoint.pt", tmp_path / "executed"
    if form == "zip":
        torch.save({"recipe": {}, "data": "", "model": Payload(mark)}, checkpoint)
    else:
        checkpoint.write_bytes(pickle.dumps({"recipe": Payload(mark)}, protocol=2))

    with pytest.raises(TrainError, match="is not a checkpoint"):
        make_loop().resume(checkpoint)

    assert not mark.exists()
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists(), "the payload would have left its mark"


@pytest.mark.parametrize(
    "content", [b"", b"no checkpoint at all", b"PK\x03\x04", b"\x80\x02}.", pickle.dumps([1], protocol=2)]
)
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(content)

    with pytest.raises(TrainError, match="is not a checkpoint"):
        make_loop().resume(checkpoint)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_a_truncated_checkpoint_is_refused(tmp_path, share):
    checkpoint = tmp_path / "checkpoint.pt"
    make_loop(checkpoint=checkpoint).run()
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: int(len(whole) * share)])

    with pytest.raises(TrainError, match="is not a checkpoint"):
        make_loop().resume(checkpoint)


@pytest.mark.parametrize("key", ["recipe", "data", "epoch", "model", "order_rng", "best_model"])
def test_a_checkpoint_that_lacks_a_part_is_refused_by_its_name(tmp_path, key):
    checkpoint = tmp_path / "checkpoint.pt"
    make_loop(checkpoint=checkpoint).run()
    state = torch.load(checkpoint)
    del state[key]
    torch.save(state, checkpoint)

    with pytest.raises(TrainError, match=f"lacks {key}"):
        make_loop().resume(checkpoint)


def test_a_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(TrainError, match="is not a checkpoint"):
        make_loop().resume(tmp_path / "checkpoint.pt")


def test_the_old_checkpoint_stays_when_writing_the_new_one_dies(tmp_path, monkeypatch):
    checkpoint = tmp_path / "checkpoint.pt"
    loop = make_loop(checkpoint=checkpoint)
    loop.save(checkpoint)
    before = checkpoint.read_bytes()

    def die(state, path):
        path.write_bytes(before[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", die)
    with pytest.raises(TrainError, match="No space left"):
        loop.run()

    assert checkpoint.read_bytes() == before
    assert list(tmp_path.iterdir()) == [checkpoint]
    assert make_loop().resume(checkpoint) == 0


def test_checkpoints_are_written_every_so_many_epochs_and_after_the_last(tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    seen = []
    loop = make_loop(recipe=make_recipe(epochs=5), checkpoint=checkpoint, every=2)

    loop.run(lambda epoch, *_: seen.append(torch.load(checkpoint)["epoch"] if checkpoint.exists() else 0))

    assert seen == [0, 2, 2, 4, 5]


class Scripted:
    """A task whose scores are given, and which remembers what it was asked."""

    def __init__(self, task, scores=()):
        self._task, self._scores = task, list(scores)
        self.net, self.labels = task.net, task.labels
        self.asked: list[list[int]] = []
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def to(self, device):
        self._task.to(device)

    def loss(self, csi, rows):
        self.seen.append((csi.clone(), rows.clone()))
        return self._task.loss(csi, rows)

    def score(self, csi, rows):
        self.asked.append(rows.tolist())
        return self._scores.pop(0)


def scripted_loop(recipe, scores, split=None) -> tuple[Scripted, Loop]:
    torch.manual_seed(0)
    windows = make_windows()
    task = Scripted(PoseTask(windows), scores)
    return task, Loop(task, windows.csi, split or make_split(), recipe)


@pytest.mark.parametrize(
    ("keep", "scores", "kept"),
    [
        ("best", [0.1, 0.2, 0.9, 0.3], 3),
        ("best", [0.9, 0.2, 0.9, 0.3], 1),  # a tie keeps the earlier
        ("best", [-4.0, -3.0, -2.0, -1.0], 4),
        ("last", [0.1, 0.2, 0.9, 0.3], 4),
    ],
)
def test_the_kept_weights_are_those_of_the_best_epoch_on_the_calibration_part_or_the_last(keep, scores, kept):
    task, loop = scripted_loop(make_recipe(epochs=4, keep=keep), scores)
    after = []

    loop.run(lambda *_: after.append({name: tensor.clone() for name, tensor in task.net.state_dict().items()}))

    assert_same_bits(task.net.state_dict(), after[kept - 1])
    assert task.asked == [list(range(24, 32))] * 4  # never the test part


def test_every_epoch_sees_each_training_window_once_in_another_order():
    task, loop = scripted_loop(make_recipe(epochs=3, batch_size=7), [0.0] * 3)

    loop.run()

    rows = torch.cat([rows for _, rows in task.seen]).reshape(3, 24)
    assert [len(rows) for _, rows in task.seen] == [7, 7, 7, 3] * 3
    for epoch in rows:
        assert sorted(epoch.tolist()) == list(range(24))
    assert len({tuple(epoch.tolist()) for epoch in rows}) == 3


def test_subcarriers_are_dropped_whole_per_window_and_only_in_the_last_epochs():
    windows, recipe = make_windows(), make_recipe(epochs=5, dropout_epochs=2, subcarrier_dropout=0.25)
    task, loop = scripted_loop(recipe, [0.0] * 5)

    loop.run()

    for epoch, (csi, rows) in enumerate(task.seen):
        original = torch.from_numpy(windows.csi)[rows]
        dropped = (csi == 0).all(dim=2)
        if epoch < 3:
            assert torch.equal(csi, original)
            continue
        assert torch.equal(csi[~dropped], original[~dropped])
        assert 0.2 < dropped.float().mean() < 0.3  # of 24 x 56
        assert dropped.any(dim=1).all()
        assert not (dropped == dropped[0]).all()


def test_the_learning_rate_falls_as_a_cosine_and_starts_again():
    rates = []
    _, loop = scripted_loop(make_recipe(epochs=7, restart_epochs=3), [0.0] * 7)

    loop.run(lambda *_: rates.append(loop._optimiser.param_groups[0]["lr"]))

    expected = [1e-2 * (1 + math.cos(math.pi * (epoch % 3) / 3)) / 2 for epoch in range(1, 8)]
    assert rates == pytest.approx(expected)


def test_a_score_in_parts_is_the_score_of_the_whole(monkeypatch):
    loop = make_loop()
    rows = torch.arange(40)
    whole = loop.score(rows)

    monkeypatch.setattr(loop_module, "_EVALUATION_BATCH", 7)

    assert loop.score(rows) == pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("poison", ["input", "label", "learning rate"])
def test_a_loss_that_is_no_number_ends_the_training(poison):
    if poison == "learning rate":
        loop = make_loop("count", recipe=make_recipe("count", learning_rate=1e20))
    elif poison == "input":
        csi = make_windows().csi
        csi[3, 2, 1] = np.nan
        loop = make_loop(csi=csi)
    else:
        keypoints = make_windows().keypoints
        keypoints[3, 2, 1] = np.inf
        loop = make_loop(keypoints=keypoints)

    with pytest.raises(TrainError, match=r"the loss is (nan|inf) in epoch [12]"):
        loop.run()


@pytest.mark.parametrize("head", ["pose", "count"])
def test_training_lowers_the_loss(head):
    losses = []

    recipe = make_recipe(head, epochs=25, restart_epochs=25, dropout_epochs=0, learning_rate=2e-3)
    make_loop(head, recipe=recipe).run(lambda _, loss, __: losses.append(loss))

    assert losses[-1] < 0.8 * losses[0]
