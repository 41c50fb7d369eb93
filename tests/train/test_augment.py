import numpy as np
import pytest
import torch

from cogd.train.augment import Augmentation, apply, part
from tests.train.factory import make_config

pytestmark = pytest.mark.train

CSI = torch.from_numpy(np.random.default_rng(0).normal(1, 0.1, (200, 56, 20)).astype(np.float32))
ROWS = torch.arange(200)


def augmented(**changes) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    train = make_config(**{"subcarrier_dropout": 0.0, "dropout_epochs": 0, **changes}).train
    draw = Augmentation(train, (56, 20)).draw(ROWS, drop=True)
    return apply(CSI, draw, CSI[draw["partner"]] if "partner" in draw else None), draw


def test_everything_is_off_by_default_but_for_the_published_dropout():
    csi, draw = augmented()

    assert draw == {}
    assert csi is CSI


def test_noise():
    csi, _ = augmented(noise_std=0.3)

    added = (csi - CSI).numpy()
    assert added.mean() == pytest.approx(0, abs=5e-3)
    assert added.std() == pytest.approx(0.3, rel=0.02)


def test_gain_is_one_factor_a_window():
    csi, _ = augmented(gain_range=0.2)

    factor = (csi / CSI).numpy()
    assert np.ptp(factor, axis=(1, 2)).max() < 1e-5
    assert (factor >= 0.8).all()
    assert (factor <= 1.2001).all()
    assert factor[:, 0, 0].std() == pytest.approx(0.2 / np.sqrt(3), rel=0.15)


def test_masked_frames_are_a_run_of_at_most_so_many():
    csi, _ = augmented(mask_frames=4)

    lengths = set()
    starts = set()
    for window, original in zip(csi, CSI, strict=True):
        silent = (window == 0).all(dim=0)
        assert torch.equal(window[:, ~silent], original[:, ~silent])
        frames = torch.nonzero(silent).flatten().tolist()
        assert frames == list(range(frames[0], frames[-1] + 1)) if frames else True
        lengths.add(len(frames))
        starts.update(frames[:1])
    assert lengths == {0, 1, 2, 3, 4}
    assert {0, 19} <= starts  # the edges too


def test_rolling_moves_frames_around():
    csi, draw = augmented(roll_frames=2)

    assert set(draw["shift"].tolist()) == {-2, -1, 0, 1, 2}
    for window, original, shift in zip(csi, CSI, draw["shift"].tolist(), strict=True):
        assert torch.equal(window, torch.roll(original, shift, dims=1))


def test_mixing_is_of_pairs_in_one_share_a_batch():
    csi, draw = augmented(mixup_alpha=0.4)

    assert sorted(draw["partner"].tolist()) == ROWS.tolist()
    share = float(draw["share"][0])
    assert (draw["share"] == share).all()
    assert 0 < share < 1
    torch.testing.assert_close(csi, share * CSI + (1 - share) * CSI[draw["partner"]])


def test_the_mixed_loss_is_the_mixture_of_the_losses():
    from cogd.train.step import Steps, make_optimiser
    from tests.train.factory import make_task, make_windows

    windows = make_windows(6, persons=np.asarray([0, 1, 2, 0, 1, 2]))
    config = make_config("count")
    task = make_task("count", windows, np.arange(6), config)
    csi, rows = torch.from_numpy(windows.csi), torch.arange(4)
    partner, share = torch.tensor([3, 0, 5, 1]), 0.3
    with torch.no_grad():
        named = dict(zip(task.net.output_names, task.net(share * csi[rows] + (1 - share) * csi[partner]), strict=True))
        own, other = task.terms(named, rows), task.terms(named, partner)
    steps = Steps(task, csi, make_optimiser(task, config.train, recorded=False), config.train)

    steps.learn(rows, {"partner": partner, "share": torch.full((4,), share)})

    for name, total in steps.take_losses().items():
        assert total / 4 == pytest.approx(share * float(own[name].value) + (1 - share) * float(other[name].value))


def test_windows_of_a_part_are_augmented_as_in_the_whole():
    everything = {"noise_std": 0.1, "gain_range": 0.1, "mask_frames": 3, "roll_frames": 2, "mixup_alpha": 0.2}
    whole, draw = augmented(**everything, subcarrier_dropout=0.2, dropout_epochs=6)
    mine = slice(50, 120)
    some = part(draw, mine)

    assert torch.equal(apply(CSI[mine], some, CSI[some["partner"]]), whole[mine])


@pytest.mark.parametrize("changed", ["seed", "state"])
def test_draws_follow_from_seed_and_state(changed):
    changes = {"noise_std": 0.1, "mask_frames": 3, "mixup_alpha": 0.2, "subcarrier_dropout": 0.2}
    train = make_config(**changes).train
    one, same = Augmentation(train, (56, 20)), Augmentation(train, (56, 20))
    assert equal(one.draw(ROWS, drop=True), same.draw(ROWS, drop=True))

    state = one.state()
    expected = one.draw(ROWS, drop=True)
    if changed == "seed":
        assert not equal(Augmentation(make_config(**changes, seed=1).train, (56, 20)).draw(ROWS, drop=True), expected)
    else:
        later = Augmentation(train, (56, 20))
        later.set_state(state)
        assert equal(later.draw(ROWS, drop=True), expected)
        assert not equal(later.draw(ROWS, drop=True), expected)


def equal(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_flips_turn_every_other_window_round():
    csi, draw = augmented(flips=["tones", "time", "change"])

    expected = CSI.numpy().copy()
    for row in range(len(expected)):
        window = expected[row]
        if draw["tones"][row]:
            window = window[::-1]
        if draw["time"][row]:
            window = window[:, ::-1]
        if draw["change"][row]:
            window = 2 * window.mean(axis=1, keepdims=True) - window
        expected[row] = window
    np.testing.assert_allclose(csi.numpy(), expected, rtol=1e-5)
    for name in ("tones", "time", "change"):
        assert 70 < int(draw[name].sum()) < 130


def test_a_flip_changes_no_other_draw():
    _, without = augmented(noise_std=0.3, roll_frames=2)
    _, with_flips = augmented(noise_std=0.3, roll_frames=2, flips=["time"])

    assert set(with_flips) - set(without) == {"time"}
    for name, tensor in without.items():
        assert torch.equal(with_flips[name], tensor)
