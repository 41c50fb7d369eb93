"""Recorded steps, on the CPU: what a CUDA graph forbids is forbidden here, but for the graph itself."""

import numpy as np
import pytest
import torch

from cogd.errors import TrainError
from cogd.train.loop import Loop
from cogd.train.step import Steps, make_optimiser
from cogd.train.tasks import outputs_of
from tests.train import factory
from tests.train.factory import make_config, make_split, make_windows

pytestmark = pytest.mark.train

READS = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__")
"""What waits for the device; so does a new tensor of values that the host has."""


class Recorder:
    """Warms up as for a CUDA graph, then calls the work itself; counts what it recorded and what was played."""

    def __init__(self, warm_ups: int = 3):
        self.warm_ups, self.recorded, self.played = warm_ups, 0, 0

    def __call__(self, work):
        with pytest.MonkeyPatch.context() as patch:
            for name in READS:
                patch.setattr(torch.Tensor, name, self.refuse)
            for number in range(self.warm_ups):
                if number == self.warm_ups - 1:  # this one stands for the recording
                    patch.setattr(torch, "tensor", self.refuse)
                work()
        self.recorded += 1

        def play():
            self.played += 1
            work()

        return play

    @staticmethod
    def refuse(*_, **__):
        raise AssertionError("a step that is recorded looks at a value")


def make_task(head, config=None):
    torch.manual_seed(0)
    windows = make_windows(persons=np.arange(40, dtype=np.int64) % 3)
    return factory.make_task(head, windows, make_split().train, config), windows.csi


def make_loop(head="pose", capture=None, **changes) -> Loop:
    config = make_config(head, **changes)
    task, csi = make_task(head, config)
    return Loop(task, csi, make_split(), config, capture=capture)


def weights_of(loop: Loop) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in loop._task.net.parameters()])


@pytest.mark.parametrize("head", ["pose", "count"])
def test_recording_leaves_everything_as_it_was(head):
    """Else the warm-up would be training: on the first row, again and again."""
    trained = []
    for warm_ups in (0, 5):
        loop = make_loop(head, Recorder(warm_ups))
        losses = []
        loop.run(lambda epoch, losses=losses: losses.append((epoch.loss, epoch.score)))
        trained.append((weights_of(loop), losses))

    assert torch.equal(trained[0][0], trained[1][0])
    assert trained[0][1] == trained[1][1]


EVERYTHING = {
    "batch_size": 7, "clip_norm": 0.5, "ema_decay": 0.9, "noise_std": 0.1, "gain_range": 0.2, "mask_frames": 4,
    "roll_frames": 2, "subcarrier_dropout": 0.2, "dropout_epochs": 3, "warmup_epochs": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("head", "changes"),
    [
        ("pose", {**EVERYTHING, "loss.bone": 0.5, "loss.oks": 0.5, "loss.temporal": 0.5}),
        ("count", {**EVERYTHING, "mixup_alpha": 0.3, "loss.label_smoothing": 0.1}),
    ],
)
def test_everything_that_a_step_may_do_can_be_recorded(head, changes):
    recorder = Recorder()
    loops = [make_loop(head, capture, learning_rate=1e-3, **changes) for capture in (None, recorder)]
    for loop in loops:
        loop.run()

    plain, recorded = (weights_of(loop) for loop in loops)
    torch.testing.assert_close(recorded, plain, rtol=0, atol=2e-4)  # the learning rate moves a weight by six times that
    assert (recorder.recorded, recorder.played) == (2, 24)


@pytest.mark.parametrize("head", ["pose", "count"])
def test_recorded_steps_learn_what_steps_that_are_launched_anew_do(head):
    """But for rounding: the learning rate is a float32 there, and AdamW's sums are fused."""
    loops = [make_loop(head, capture, learning_rate=1e-3) for capture in (None, Recorder())]
    before = weights_of(loops[0])
    for loop in loops:
        loop.run()

    plain, recorded = (weights_of(loop) for loop in loops)
    assert (plain - before).abs().max() > 1e-3
    torch.testing.assert_close(recorded, plain, rtol=0, atol=2e-5)


def test_one_step_is_recorded_for_each_size_of_batch_and_played_for_all():
    recorder = Recorder()
    make_loop("count", recorder).run()

    assert recorder.recorded == 2  # of 24 windows: 7, 7, 7 and 3
    assert recorder.played == 4 * 6


def test_recorded_steps_work_on_the_same_memory_throughout():
    loop = make_loop("count", Recorder())
    seen = []

    def places(*_):
        state = [value for values in loop._optimiser.state.values() for value in values.values()]
        rate = loop._optimiser.param_groups[0]["lr"]
        seen.append([tensor.data_ptr() for tensor in (*loop._task.net.parameters(), *state, rate)])

    loop.run(places)

    assert len(seen) == 6
    assert all(place == seen[0] for place in seen)


@pytest.mark.parametrize("head", ["pose", "count"])
def test_a_recorded_run_that_is_resumed_ends_with_the_same_bits(tmp_path, head):
    whole, halted = make_loop(head, Recorder()), make_loop(head, Recorder(), epochs=3)
    whole.run()
    if head == "pose":
        halted._recipe = make_config(head).train  # the last epochs, in which subcarriers are dropped, are those of six
        assert not halted.run(stop=lambda: halted._epoch == 3)
        halted.save(tmp_path / "halted")
    else:
        halted.run()
        halted.save(tmp_path / "halted")

    resumed = make_loop(head, Recorder())
    resumed.run(lambda *_: None)  # whatever it had recorded is of other tensors
    assert resumed.resume(tmp_path / "halted") == 3
    resumed.run()

    assert torch.equal(weights_of(resumed), weights_of(whole))


@pytest.mark.parametrize("capture", [None, Recorder()], ids=["launched", "recorded"])
def test_the_loss_is_added_up_over_windows_and_taken_once(capture):
    task, csi = make_task("pose")
    recipe = make_config(learning_rate=1e-12).train  # so small that the weights stay
    on_device = torch.from_numpy(csi)
    steps = Steps(task, on_device, make_optimiser(task, recipe, recorded=capture is not None), recipe, capture)
    parts = torch.split(torch.arange(20), 7)
    with torch.no_grad():
        expected = sum(
            float(task.terms(outputs_of(task.net, on_device[part]), part)["keypoint"].value) * len(part)
            for part in parts
        )

    for part in parts:
        steps.learn(part, {})

    assert steps.take_losses() == {"keypoint": pytest.approx(expected, rel=1e-6)}
    assert steps.take_losses() == {"keypoint": 0.0}


@pytest.mark.parametrize("capture", [None, Recorder()], ids=["launched", "recorded"])
def test_a_loss_that_is_no_number_in_one_batch_of_an_epoch_ends_the_training(capture):
    task, csi = make_task("count")
    csi = csi.copy()
    csi[make_split().train[5]] = np.nan
    loop = Loop(task, csi, make_split(), make_config("count"), capture=capture)

    with pytest.raises(TrainError, match="the loss is nan in epoch 1"):
        loop.run()


def test_dropped_subcarriers_are_dropped_from_a_recorded_step_and_come_back():
    task, csi = make_task("pose")
    seen = []
    task.net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    recipe = make_config().train
    steps = Steps(task, torch.from_numpy(csi), make_optimiser(task, recipe, recorded=True), recipe, Recorder(0))
    rows, kept = torch.arange(4), torch.arange(56).repeat(4, 1) % 3 > 0

    steps.learn(rows, {"kept": kept})
    steps.learn(rows, {"kept": torch.ones_like(kept)})

    assert torch.equal(seen[0], torch.from_numpy(csi)[:4] * kept[:, :, None])
    assert torch.equal(seen[1], torch.from_numpy(csi)[:4])
