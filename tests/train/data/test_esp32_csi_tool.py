import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.errors import TrainError
from cogd.train.data.dataset import open_dataset
from cogd.train.data.esp32_csi_tool import _parse
from cogd.train.data.track import Timing

pytestmark = pytest.mark.train

HEADER = (
    "type,role,mac,rssi,rate,sig_mode,mcs,bandwidth,smoothing,not_sounding,aggregation,stbc,fec_coding,sgi,noise_floor,"
    "ampdu_cnt,channel,secondary_channel,local_timestamp,ant,sig_len,rx_state,real_time_set,real_timestamp,len,CSI_DATA\n"
)
HT = [*range(1, 29), *range(36, 64)]


def pairs_of(number: int) -> np.ndarray:
    pairs = np.zeros((64, 2), dtype=np.int64)
    pairs[HT] = np.random.default_rng(number).integers(1, 100, (56, 2))
    return pairs


def line(number: int, *, pairs=None, local_us=None, address="AA:BB:CC:DD:EE:FF", length=384, host="") -> str:
    values = " ".join(str(value) for value in (pairs_of(number) if pairs is None else pairs).ravel())
    local_us = 1_000_000 + number * 10_000 if local_us is None else local_us
    fields = f"CSI_DATA,STA,{address},-40,11,1,7,0,0,0,0,0,0,0,-97,0,6,1,{local_us},0,131,0,0,6.37,{length}"
    return f"{fields},[{values} ]{host}\n"


def track_of(tmp_path, text: str, query: str = ""):
    path = tmp_path / "log.csv"
    path.write_text(text)
    (recording,) = open_dataset(f"esp32-csv:{path}{query}").recordings()
    assert recording.timing is Timing.MEASURED
    return recording.track()


@pytest.mark.parametrize("header", ["", HEADER])
@pytest.mark.parametrize("host", ["", ",1740694846.64"])
@pytest.mark.parametrize("length", [128, 384])
def test_lines_become_frames_whatever_len_says(tmp_path, header, host, length):
    text = header + "".join(line(number, host=host, length=length) for number in range(5))

    track = track_of(tmp_path, text)

    np.testing.assert_allclose(track.time_s, 1 + np.arange(5) * 0.01)
    expected = np.stack([np.hypot(*pairs_of(number)[[*range(36, 64), *range(1, 29)]].T) for number in range(5)])
    np.testing.assert_allclose(track.amplitude, expected, rtol=1e-6)
    assert (track.kinds, track.left_out) == (("ht-64",), {})


def test_the_brackets_may_hold_384_numbers(tmp_path):
    pairs = np.zeros((192, 2), dtype=np.int64)
    pairs[[64 + bin_ for bin_ in HT]] = 7

    track = track_of(tmp_path, line(0, pairs=pairs))

    assert track.kinds == ("ht-192",)
    np.testing.assert_allclose(track.amplitude, np.hypot(7, 7), rtol=1e-6)


def test_the_radios_clock_goes_on_where_it_begins_anew(tmp_path):
    text = line(0, local_us=2**32 - 5_000) + line(1, local_us=5_000) + line(2, local_us=15_000)

    track = track_of(tmp_path, text)

    np.testing.assert_allclose(np.diff(track.time_s), [0.01, 0.01], atol=1e-6)
    assert (track.segment == 0).all()


def test_a_radio_that_booted_begins_a_new_stretch(tmp_path):
    text = line(0, local_us=900_000_000) + line(1, local_us=1_000_000) + line(2, local_us=1_010_000)

    assert track_of(tmp_path, text).segment.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    "broken",
    [
        line(1)[:200],
        line(1).replace(" ]", " 5 ]"),
        line(1).replace("[", "[x "),
        line(1).replace("[", "[300 "),
        line(1).replace("-40,", "", 1),
        line(1, local_us=-5),
        "CSI_DATA,STA,AA\n",
        line(1).replace("[0 0", "[0.5 0", 1),
    ],
)
def test_a_garbled_line_is_left_out_and_counted(tmp_path, broken):
    track = track_of(tmp_path, line(0) + broken.rstrip("\n") + "\n" + line(2))

    assert len(track) == 2
    assert track.left_out == {"broken_line": 1}


def test_other_text_on_the_serial_line_is_passed_over(tmp_path):
    track = track_of(tmp_path, "I (1234) wifi: connected\n\n" + line(0))

    assert (len(track), track.left_out) == (1, {})


def test_a_frame_that_was_written_twice_counts_once(tmp_path):
    track = track_of(tmp_path, line(0) + line(0) + line(1))

    assert (len(track), track.left_out) == (2, {"duplicate": 1})


def test_one_transmitter_must_be_chosen_where_there_are_several(tmp_path):
    text = line(0) + line(1, address="11:22:33:44:55:66") + line(2)

    with pytest.raises(TrainError, match="frames of 2 transmitters") as told:
        track_of(tmp_path, text)
    assert "AA:BB:CC:DD:EE:FF, 11:22:33:44:55:66" in told.value.hint
    track = track_of(tmp_path, text, "?address=AA:BB:CC:DD:EE:FF")
    assert (len(track), track.left_out) == (2, {"other_transmitter": 1})


@pytest.mark.parametrize("text", ["", HEADER, "nonsense\n", line(0, pairs=np.zeros((64, 2), dtype=int))])
def test_a_file_without_a_frame_is_refused_by_name(tmp_path, text):
    with pytest.raises(TrainError, match=r"log\.csv holds no frame that can be used") as told:
        track_of(tmp_path, text)
    assert "{" not in str(told.value)


def test_what_a_file_without_a_frame_had_instead_is_told(tmp_path):
    with pytest.raises(TrainError, match=r"left out: 2 of broken line\)"):
        track_of(tmp_path, "CSI_DATA,1\nCSI_DATA,2\n")


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path):
    for place in (tmp_path, tmp_path / "missing.csv"):
        with pytest.raises(TrainError, match="there is no CSV at"):
            open_dataset(f"esp32-csv:{place}")


@given(fields=st.lists(st.text(max_size=12), max_size=30), rest=st.text(max_size=60))
def test_any_line_is_read_or_left_out(fields, rest):
    parsed = _parse(fields, rest)
    assert parsed is None or parsed[2].dtype == np.int8


def test_the_real_recordings(data):
    (wisensing,) = open_dataset(f"esp32-csv:{data / 'wisensing'}").recordings()
    track = wisensing.track()
    assert (len(track), track.kinds, track.left_out) == (7888, ("lltf-64-centred",), {})
    assert 7887 / (track.time_s[-1] - track.time_s[0]) == pytest.approx(54, abs=1)

    traffic, sample = open_dataset(f"esp32-csv:{data / 'csikit'}").recordings()
    assert (len(traffic.track()), traffic.track().left_out) == (833, {"broken_line": 1})
    assert (len(sample.track()), sample.track().left_out) == (33, {"duplicate": 27})
    assert sample.track().kinds == ("lltf-64-classic",)
