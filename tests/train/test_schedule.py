import math

import pytest
import torch

from cogd.train.schedule import MovingAverage, learning_rate
from tests.train.factory import make_config

pytestmark = pytest.mark.train


def rates(epochs: int, **changes) -> list[float]:
    train = make_config(learning_rate=0.5, epochs=max(epochs, 6), **changes).train
    return [learning_rate(train, epoch) for epoch in range(epochs)]


def torchs(epochs: int, scheduler) -> list[float]:
    """What torch's own scheduler gives."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    schedule = scheduler(optimiser)
    seen = []
    for _ in range(epochs):
        seen.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return seen


def test_cosine_is_torchs_with_warm_restarts_to_the_bit():
    expected = torchs(120, lambda opt: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(opt, 50))

    assert rates(120, restart_epochs=50) == expected


def test_steps_are_torchs():
    expected = torchs(60, lambda opt: torch.optim.lr_scheduler.MultiStepLR(opt, [30, 45], gamma=0.1))

    assert rates(60, schedule="steps", milestones=[30, 45]) == pytest.approx(expected)


def test_a_warm_up_rises_in_a_line_and_then_the_schedule_begins():
    assert rates(5, schedule="constant", warmup_epochs=4) == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5])
    cosine = rates(8, warmup_epochs=2, restart_epochs=3)
    assert cosine[:2] == pytest.approx([0.25, 0.5])
    assert cosine[2:] == pytest.approx([0.25 * (1 + math.cos(math.pi * k / 3)) for k in (0, 1, 2, 0, 1, 2)])
    steps = rates(7, schedule="steps", warmup_epochs=2, milestones=[3, 5], gamma=0.5)
    assert steps == pytest.approx([0.25, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125])


def test_an_average_is_taken_in_place_and_taken_back():
    net = torch.nn.BatchNorm1d(2)
    average = MovingAverage(net, 0.75)
    with torch.no_grad():
        net.weight.fill_(3.0)
    net.num_batches_tracked.fill_(5)
    average.update()  # the first keeps a tenth of what was random
    place = net.weight.data_ptr()

    with average.in_place():
        assert net.weight.tolist() == pytest.approx([0.1 * 1 + 0.9 * 3] * 2)
        assert net.num_batches_tracked == 5
        assert net.weight.data_ptr() == place
    assert net.weight.tolist() == [3.0, 3.0]

    for _ in range(200):
        average.update()
    assert average.tensors["weight"].tolist() == pytest.approx([3.0, 3.0])
    with torch.no_grad():
        net.weight.fill_(7.0)
    average.update()
    assert average.tensors["weight"].tolist() == pytest.approx([0.75 * 3 + 0.25 * 7] * 2)
