from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cogd.csi.tones import (
    HT_TONES,
    LAYOUTS,
    Layout,
    detect_layout,
    frame_amplitudes,
    measured_tones,
    select_tones,
)
from cogd.errors import ToneError

from .factory import HT, LLTF, iq_of, make_frame

TONES = np.asarray(HT_TONES, dtype=float)
HE = [128 + tone for tone in (*range(-122, -1), *range(2, 123))]
HE_SEEN = [*range(5, 128), *range(129, 256)]
"""The bins that a real HE frame fills: 250, eight more than the standard's tones."""
CENTRED = [*range(4, 32), *range(33, 61)]
"""Active bins of a C6's 64-bin HT frame."""
CLASSIC = [*range(30), *range(35, 64)]
"""Active bins of the classic ESP32, which fills three that the standard leaves empty; its first two hold no CSI."""
LLTF_CENTRED = [*range(6, 32), *range(33, 59)]
"""Active bins of a 64-bin L-LTF frame in centred order, as a C6 sends now and then."""


def ramp(tone: np.ndarray) -> np.ndarray:
    """A known amplitude for each tone: linear, so that linear interpolation gives it back."""
    return 100.0 + tone


def tone_of_bin(bins: int) -> np.ndarray:
    """The tone of each bin, written down anew from the standard and the facts, not from the code's tables."""
    if bins == 256:
        return (np.arange(256) - 128) / 4
    fft = np.where(np.arange(64) < 32, np.arange(64), np.arange(64) - 64).astype(float)
    return np.tile(fft, bins // 64)


def ramp_frame(bins: int, active, tones: np.ndarray, foreign=()):
    """A frame with the ramp in its active bins; `foreign` bins hold another field's, of other gain."""
    amplitude = np.zeros(bins)
    amplitude[list(active)] = ramp(tones[list(active)])
    amplitude[list(foreign)] = 7.0
    return make_frame(amplitude=amplitude)


FRAMES = {
    "lltf-64": (ramp_frame(64, LLTF, tone_of_bin(64)), 52),
    "ht-64": (ramp_frame(64, HT, tone_of_bin(64)), 56),
    "ht-64-classic": (ramp_frame(64, CLASSIC, tone_of_bin(64), foreign=(0, 1)), 55),
    "lltf-64-classic": (ramp_frame(64, LLTF, tone_of_bin(64), foreign=(0, 1)), 51),
    "lltf-64-centred": (ramp_frame(64, LLTF_CENTRED, np.arange(64) - 32.0), 52),
    "lltf-64-centred overwritten": (ramp_frame(64, LLTF_CENTRED, np.arange(64) - 32.0, foreign=(0, 1)), 52),
    "lltf-64-centred leaking": (ramp_frame(64, LLTF_CENTRED, np.arange(64) - 32.0, foreign=(4,)), 52),
    "ht-64-centred overwritten": (ramp_frame(64, CENTRED, np.arange(64) - 32.0, foreign=(0, 1)), 56),
    "ht-64-centred": (ramp_frame(64, CENTRED, np.arange(64) - 32.0), 56),
    "ht-128": (ramp_frame(128, [64 + bin_ for bin_ in HT], tone_of_bin(128), LLTF), 56),
    "ht-192": (
        ramp_frame(192, [64 + bin_ for bin_ in HT], tone_of_bin(192), [*LLTF, *(128 + bin_ for bin_ in HT)]),
        56,
    ),
    "he-256": (ramp_frame(256, HE, tone_of_bin(256)), 56),
    "he-256 seen": (ramp_frame(256, HE_SEEN, tone_of_bin(256)), 56),
    "ready-56": (make_frame(amplitude=ramp(TONES), bins=128), 56),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_ramp_lands_on_its_tones(name):
    frame, measured = FRAMES[name]
    picked = select_tones(frame, "ht56")
    assert picked.kind == name.split(" ")[0]
    assert picked.measured == measured
    assert picked.values.dtype == np.float32
    assert picked.values.shape == (56,)
    expected = ramp(np.clip(TONES, -26, 26)) if measured in {51, 52} else ramp(TONES)  # the outermost tones are held
    np.testing.assert_allclose(picked.values, expected, rtol=1e-5)


def test_every_layout_has_a_test():
    assert {layout.name for layout in LAYOUTS} == {name.split(" ")[0] for name in FRAMES}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_layouts_are_in_order_and_pick_a_bin_once(layout):
    assert list(layout.tones) == sorted(set(layout.tones))
    assert len(set(layout.picks)) == len(layout.picks) == len(layout.tones)
    assert measured_tones(layout) in {51, 52, 55, 56}


@pytest.mark.parametrize("where", range(56))
def test_each_ht_tone_comes_from_one_bin(where):
    tone = HT_TONES[where]
    for bins, offset in ((64, 0), (128, 64), (192, 64)):
        iq = iq_of(bins, [offset + bin_ for bin_ in HT], 10)
        iq[offset + tone % 64] = (30, 40)
        values = select_tones(make_frame(iq), "ht56").values
        assert np.flatnonzero(values != 10).tolist() == [where]
        assert values[where] == 50.0


def test_the_c6_orders_its_bins_from_the_lowest_frequency_up():
    iq = iq_of(64, CENTRED, 10)
    iq[4] = (20, 0)
    iq[60] = (30, 0)
    values = select_tones(make_frame(iq), "ht56").values
    assert (values[0], values[55]) == (20, 30)


def test_amplitudes_of_the_extremes_of_int8():
    iq = np.array([[-128, -128], [127, 127], [0, -128], [3, 4]], np.int8)
    amplitudes = frame_amplitudes(make_frame(iq))
    assert amplitudes.dtype == np.float32
    np.testing.assert_allclose(amplitudes, [181.0193, 179.6051, 128.0, 5.0], rtol=1e-6)


# --- the first 56 bins -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bins", [56, 64, 128, 192, 256])
def test_first56_is_the_first_56_bins_as_they_come(bins):
    iq = np.ones((bins, 2), np.int8)
    iq[:, 0] = np.arange(bins).astype(np.int8)
    picked = select_tones(make_frame(iq), "first56")
    np.testing.assert_allclose(picked.values, np.hypot(np.arange(56), 1), rtol=1e-6)
    assert (picked.kind, picked.measured) == (f"first56-{bins}", 56)


def test_first56_tells_frames_of_different_width_apart():
    amplitude = np.ones(56)
    narrow = select_tones(make_frame(amplitude=amplitude, bins=64), "first56")
    wide = select_tones(make_frame(amplitude=amplitude, bins=128), "first56")
    assert narrow.kind != wide.kind


@pytest.mark.parametrize("amplitude", [np.ones(55), np.zeros(64), np.zeros(56), []])
def test_first56_needs_56_bins_that_are_not_all_zero(amplitude):
    with pytest.raises(ToneError):
        select_tones(make_frame(amplitude=amplitude, bins=64), "first56")


@pytest.mark.parametrize(
    ("active", "tones", "kind"),
    [
        (LLTF, tone_of_bin(64), "lltf-64-first56"),
        (HT, tone_of_bin(64), "ht-64-first56"),
        (CENTRED, np.arange(64) - 32.0, "ht-64-centred-first56"),
        (LLTF_CENTRED, np.arange(64) - 32.0, "lltf-64-centred-first56"),
    ],
)
def test_a_server_that_hands_on_56_of_64_bins(active, tones, kind):
    amplitude = np.zeros(64)
    amplitude[active] = ramp(tones[active])
    picked = select_tones(make_frame(amplitude=amplitude[:56], bins=64), "ht56")
    kept = tones[[bin_ for bin_ in active if bin_ < 56]]
    assert picked.kind == kind
    assert picked.measured == len(set(kept) & set(TONES))
    inside = np.isin(TONES, kept)
    np.testing.assert_allclose(picked.values[inside], ramp(TONES[inside]), rtol=1e-5)


def test_a_real_c6_mixes_frames_of_two_kinds_and_a_real_classic_esp32_overwrites_tone_1(data):
    def kinds(name: str) -> Counter[tuple[str, int]]:
        with np.load(data / "espectre" / name) as file:
            frames = file["csi_data"].reshape(-1, 64, 2)
        return Counter(
            (tones.kind, tones.measured) for tones in (select_tones(make_frame(iq), "ht56") for iq in frames)
        )

    assert kinds("movement/movement_c6_64sc_20260310_230434.npz") == {
        ("ht-64-centred", 56): 1302,
        ("lltf-64-centred", 52): 130,
    }
    assert kinds("baseline/baseline_esp32_64sc_20260310_232100.npz") == {("ht-64-classic", 55): 1120}


# --- frames that fit nothing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["ht56", "first56"])
@pytest.mark.parametrize("bins", [56, 64, 128, 192, 256])
def test_a_frame_of_zeros(bins, rule):
    with pytest.raises(ToneError, match="zero"):
        select_tones(make_frame(np.zeros((bins, 2), np.int8)), rule)


@pytest.mark.parametrize(
    ("bins", "guard"),
    [(128, [94]), (128, [98]), (128, range(94, 99)), (192, [94]), (192, [98]), (256, [0]), (256, [4])],
)
def test_power_in_a_guard_band(bins, guard):
    """A 40 MHz frame of the same width fills the bins that a 20 MHz one leaves empty."""
    active = [64 + bin_ for bin_ in HT] if bins < 256 else HE
    assert select_tones(make_frame(iq_of(bins, active)), "ht56")
    with pytest.raises(ToneError, match="guard band"):
        select_tones(make_frame(iq_of(bins, [*active, *guard])), "ht56")


def test_64_bins_without_a_known_guard_band():
    with pytest.raises(ToneError):
        select_tones(make_frame(iq_of(64, range(64))), "ht56")


@pytest.mark.parametrize("bins", [1, 52, 55, 57, 63, 65, 114, 127, 129, 255])
def test_widths_that_no_layout_has(bins):
    with pytest.raises(ToneError, match=f"{bins} bins"):
        select_tones(make_frame(iq_of(bins, range(bins))), "ht56")


def test_a_frame_without_bins():
    frame = make_frame(np.zeros((64, 2), np.int8))
    frame = msgspec.structs.replace(frame, iq=None)
    with pytest.raises(ToneError, match="without bins"):
        select_tones(frame, "ht56")


@given(st.sampled_from([1, 56, 64, 128, 192, 256]).flatmap(lambda bins: arrays(np.int8, (bins, 2))))
def test_any_frame_gives_56_finite_values_or_is_refused(iq):
    for rule in ("ht56", "first56"):
        try:
            picked = select_tones(make_frame(iq), rule)
        except ToneError:
            continue
        assert picked.values.shape == (56,)
        assert np.isfinite(picked.values).all()
        assert (picked.values >= 0).all()
        assert 0 < picked.measured <= 56


@given(st.sampled_from([56, 64]).flatmap(lambda bins: arrays(np.bool_, bins)))
def test_a_layout_picks_no_bin_that_its_frame_lacks(active):
    try:
        layout = detect_layout(active, 64)
    except ToneError:
        return
    assert isinstance(layout, Layout)
    assert max(layout.picks) < len(active)
