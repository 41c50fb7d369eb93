from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.csi.window import WindowSpec
from cogd.errors import ConfigError
from cogd.train.data.cut import cut_windows
from cogd.train.data.dataset import open_dataset
from cogd.train.data.thin import parse_rates, rows_at_rate, thinned
from cogd.train.data.track import Dataset, Recording, Timing, Track


def make_dataset(*names: str, rate_hz: float = 100.0, seconds: float = 4.0) -> Dataset:
    """Recordings whose first tone counts the frames."""
    count = round(rate_hz * seconds)

    def load() -> Track:
        amplitude = np.ones((count, 56), np.float32)
        amplitude[:, 0] = np.arange(count)
        return Track(
            time_s=np.arange(count) / rate_hz, amplitude=amplitude, kind=np.zeros(count, np.int16), kinds=("ht-64",),
            segment=(np.arange(count) >= count // 2).astype(np.int32), moving=np.zeros(count, np.int8),
        )  # fmt: skip

    recordings = tuple(
        Recording(name, session=name, room=None, subject=None, chip=None, node=node, rate_hz=rate_hz,
                  timing=Timing.MEASURED, files=(), load=load)
        for node, name in enumerate(names)
    )  # fmt: skip
    return Dataset("made up", "CC0-1.0", "ht56", recordings, Path())


@pytest.mark.parametrize(("text", "rates"), [("20", (20.0,)), ("all,50,12.5", (None, 50.0, 12.5)), ("all", (None,))])
def test_rates_are_read(text, rates):
    assert parse_rates(text) == rates


@pytest.mark.parametrize("text", ["", "0", "-5", "20,20", "fast", "inf", "nan", "20,", "all,all"])
def test_what_are_no_rates_is_refused(text):
    with pytest.raises(ConfigError, match="thin="):
        parse_rates(text)


@given(st.floats(1, 60), st.integers(0, 1000))
def test_frames_come_at_about_that_rate(rate_hz, seed):
    time_s = np.cumsum(np.random.default_rng(seed).uniform(0.005, 0.011, 2000))
    rows = rows_at_rate(time_s, rate_hz, np.random.default_rng(seed))

    assert (np.diff(rows) > 0).all()
    assert len(rows) == pytest.approx((time_s[-1] - time_s[0]) * rate_hz, abs=2 + 0.02 * len(time_s))
    gaps_s = np.diff(time_s[rows])
    assert gaps_s.mean() == pytest.approx(1 / rate_hz, rel=0.1)
    assert gaps_s.min() > 1 / rate_hz - 0.03


def test_a_slower_recording_keeps_its_frames():
    time_s = np.arange(50) / 10

    assert len(rows_at_rate(time_s, 40.0, np.random.default_rng(0))) >= 49
    assert len(rows_at_rate(np.empty(0), 40.0, np.random.default_rng(0))) == 0


def test_a_copy_for_each_rate_in_the_same_session():
    dataset = thinned(make_dataset("a", "b"), (None, 50.0, 20.0))

    assert [one.session for one in dataset.listed] == ["a"] * 3 + ["b"] * 3
    assert len({(one.session, one.node) for one in dataset.listed}) == 6
    assert len({one.name for one in dataset.listed}) == 6
    assert [one.rate_hz for one in dataset.listed[:3]] == [100.0, 50.0, 20.0]
    assert [len(one.track()) for one in dataset.listed[:3]] == pytest.approx([400, 200, 80], abs=4)
    assert dataset.name == "made up, all frames and thinned to 50, 20 Hz"


def test_frames_and_their_labels_stay_together():
    (recording,) = thinned(make_dataset("a"), (20.0,)).listed
    track, whole = recording.track(), make_dataset("a").listed[0].track()
    kept = track.amplitude[:, 0].astype(int)

    for column in ("time_s", "amplitude", "kind", "segment", "moving"):
        np.testing.assert_array_equal(getattr(track, column), getattr(whole, column)[kept])


def test_the_same_frames_each_time_and_others_of_another_recording():
    one, other = (thinned(make_dataset("a", "b"), (20.0,)).listed for _ in range(2))

    np.testing.assert_array_equal(one[0].track().time_s, other[0].track().time_s)
    assert one[0].track().time_s.tolist() != one[1].track().time_s.tolist()


def test_another_seed_keeps_other_frames_at_the_same_rate():
    usual, other = (thinned(make_dataset("a"), (None, 20.0), seed) for seed in (0, 1))

    assert usual.listed[1].track().time_s.tolist() != other.listed[1].track().time_s.tolist()
    assert len(other.listed[1].track()) == pytest.approx(len(usual.listed[1].track()), abs=4)
    assert other.name == usual.name + ", seed 1"
    np.testing.assert_array_equal(usual.listed[0].track().time_s, other.listed[0].track().time_s)


@pytest.mark.parametrize(
    ("options", "message"), [("thin=20&thin_seed=-1", "thin_seed=-1"), ("thin_seed=1", "goes with")]
)
def test_a_seed_is_a_whole_number_and_goes_with_a_rate(options, message):
    with pytest.raises(ConfigError, match=message) as refused:
        open_dataset(f"sim:rooms=1&{options}")
    assert "thin=20&thin_seed=1" in refused.value.hint


def test_every_kind_takes_it(data):
    spec = WindowSpec("ht56", 20, 0.0, 0.25, 0.05)
    plain, slow = (
        open_dataset(f"espectre:{data / 'espectre'}?chip=C3&room=living_room{thin}") for thin in ("", "&thin=20")
    )

    assert slow.origin.sha256 == plain.origin.sha256
    assert slow.name.endswith(", thinned to 20 Hz")
    rates = [len(track) / track.time_s[-1] for track in (one.track() for one in slow.listed)]
    assert rates == pytest.approx([20.0] * len(rates), abs=0.5)
    assert len(cut_windows(slow, spec, 5)) == pytest.approx(len(cut_windows(plain, spec, 5)), rel=0.05)
    with pytest.raises(ConfigError, match="thin=often"):
        open_dataset("sim:thin=often")
