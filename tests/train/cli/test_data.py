import json
import struct
import subprocess
import sys

import numpy as np
import pytest

from tests.train.cli.test_extra import run_without
from tests.train.data.test_dataset import make_dataset, make_recording, make_track
from tests.train.data.test_espectre import write
from tests.train.factory import run_cli

pytestmark = pytest.mark.train


@pytest.fixture
def folder(tmp_path):
    write(tmp_path)
    write(tmp_path, label="movement", name="movement_c6_1.npz", chip="C6", room="kitchen")
    return tmp_path


def test_what_is_in_a_data_set_is_counted_and_printed(folder):
    ran = run_cli("data", "inspect", f"espectre:{folder}")

    assert ran.status == 0, ran.err
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in ran.out.splitlines() if line.strip()}
    assert lines["licence"] == "GPL-3.0"
    assert lines["recordings"] == "2 in 2 sessions"
    assert lines["rooms"] == "bedroom 1, kitchen 1"
    assert lines["chips"] == "S3 1, C6 1"
    assert lines["frames"].startswith("100 in 1.0 s; times are laid out evenly over a measured duration")
    assert lines["layouts"] == "ht-64 100"
    assert lines["motion"] == "quiet 4, moving 4"
    assert lines["baseline_s3_1"].split() == [
        "bedroom",
        "S3",
        "50",
        "0.5",
        "100",
        "0.01",
        "0",
        "0",
        "4",
        "quiet",
        "4",
        "ht-64",
        "50",
    ]


def test_the_same_for_machines(folder):
    ran = run_cli("data", "inspect", f"espectre:{folder}?room=kitchen", "--json", "--stride", "1", "--frames", "10")

    told = json.loads(ran.out)
    assert told["sha256"] is not None
    assert told["cut"] == {"frames": 10, "stride": 1, "min_gap_s": 0.0, "max_gap_s": 0.25}
    (recording,) = told["recordings"]
    assert recording["room"] == "kitchen"
    assert (recording["frames"], recording["windows"], recording["moving"]) == (50, 41, {"moving": 41})
    assert (recording["timing"], recording["rate_hz"], recording["stated_rate_hz"]) == ("duration", 100.0, 100.0)


def test_gaps_missing_frames_zeros_and_repetitions_are_counted():
    from cogd.csi.window import WindowSpec
    from cogd.train.data.summary import summarise

    time_s = np.array([0, 0.1, 0.2, 0.3, 1.3, 1.4, 1.5, 1.6, 9.0, 9.1])
    track = make_track(
        10,
        first=1.0,
        time_s=time_s,
        segment=np.array([0] * 8 + [1] * 2, dtype=np.int32),
        kind=np.array([0] * 9 + [1], dtype=np.int16),
        kinds=("a", "b"),
        moving=np.array([0] * 8 + [1] * 2, dtype=np.int8),
        persons=np.array([2] * 8 + [-1] * 2),
        left_out={"late": 3},
    )
    track.amplitude[2] = np.nan
    track.amplitude[4:6] = 5.0
    track.amplitude[:, 7] = 0.0

    (told,) = summarise(make_dataset(make_recording(track=track)), WindowSpec("ht56", 2, 0.0, 0.25), 1).recordings

    assert (told.frames, told.seconds, told.segments) == (10, 9.1, 2)
    assert told.rate_hz == pytest.approx(8 / 1.7, abs=0.01)  # within the stretches, not over the pause between them
    assert (told.gaps, told.longest_gap_s, told.median_gap_ms) == (1, 1.0, 100.0)
    assert told.kinds == {"a": 9, "b": 1}
    assert (told.nan_frames, told.dead_tones, told.repeated_frames) == (1, 1, 1)
    assert told.zero_share == pytest.approx(1 / 56, abs=1e-5)
    assert told.left_out == {"late": 3}
    assert (told.windows, told.moving, told.persons) == (5, {"quiet": 5}, {"2": 5})


def test_a_rate_that_nobody_measured_is_not_told_as_one(tmp_path):
    np.savez(tmp_path / "a.npz", amplitude=np.ones((40, 56), np.float32), label=np.repeat(["SEATED_RX", "TURN_RX"], 20))

    told = json.loads(run_cli("data", "inspect", f"geotec:{tmp_path}", "--json").out)["recordings"][0]

    assert (told["timing"], told["rate_hz"], told["stated_rate_hz"]) == ("nominal", None, 100.0)
    assert told["median_gap_ms"] is told["longest_gap_s"] is None
    assert told["moving"] == {"quiet": 1, "moving": 1, "changing": 1}
    assert "(100)" in run_cli("data", "inspect", f"geotec:{tmp_path}").out


def test_the_picture_is_a_png_of_the_recordings(folder, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "out.png"

    ran = run_cli("data", "inspect", f"espectre:{folder}", "--out", picture)

    assert ran.status == 0, ran.err
    content = picture.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert width == 1430
    assert height > 500
    assert ran.out.endswith(f"picture: {picture}\n")


def test_a_pictures_waterfall_is_the_amplitude_and_white_where_nothing_came():
    pytest.importorskip("matplotlib")
    from cogd.train.data.picture import _in_time

    track = make_track(400, time_s=np.concatenate([np.arange(200) * 0.01, 6 + np.arange(200) * 0.01]))
    image = _in_time(track, track.amplitude, np.ones(400, dtype=bool))

    assert image.shape == (100, 56)
    empty = np.isnan(image).all(axis=1)
    assert empty.mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose(image[~empty][0], track.amplitude[:8].mean(axis=0), atol=1)
    assert (np.diff(image[~empty][:, 0]) > 0).all()


@pytest.mark.parametrize("spec", ["sim:minutes=0.05", "recorded"])
def test_pictures_of_other_kinds_can_be_drawn(spec, tmp_path, request):
    pytest.importorskip("matplotlib")
    if spec == "recorded":
        spec = f"recording:{request.getfixturevalue('recording')}"

    assert run_cli("data", "inspect", spec, "--out", tmp_path / "out.png").status == 0


def test_a_picture_that_can_not_be_written_is_told(folder, tmp_path):
    pytest.importorskip("matplotlib")
    ran = run_cli("data", "inspect", f"espectre:{folder}", "--out", tmp_path / "no" / "out.png")

    assert ran.status == 30
    assert "out.png can't be written: No such file or directory" in ran.err
    assert "--out FILE in a folder that may be written to" in ran.err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["nonsense:x"], 2, "is not a data set"),
        (["espectre:/nowhere"], 30, "dataset_info.json can't be read"),
        (["sim:", "--frames", "1"], 2, "frames must be 2 or more"),
        (["sim:", "--min-gap", "1"], 2, "min-gap from 0 to max-gap"),
    ],
)
def test_what_can_not_be_inspected_is_refused(words, status, message):
    ran = run_cli("data", "inspect", *words)

    assert ran.status == status
    assert message in ran.err


def test_an_action_must_be_given_and_help_names_it():
    assert run_cli("data").status == 2
    assert "inspect" in run_cli("data", "--help").out
    assert "--out FILE.png" in run_cli("data", "inspect", "--help").out


@pytest.mark.parametrize(
    "words", [["data", "--help"], ["data", "inspect", "--help"], ["data", "inspect", "sim:minutes=0.05"]]
)
def test_neither_torch_nor_matplotlib_is_loaded_without_need(words):
    code = (
        "import sys\nfrom cogd.train.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, timeout=60)
    assert not {"torch", "matplotlib", "scipy", "onnx"} & set(done.stderr.split())


def test_without_matplotlib_the_extra_is_named_and_all_but_the_picture_works(folder, tmp_path):
    words = ("data", "inspect", f"espectre:{folder}")

    ran = run_without(("matplotlib", "torch"), *words, "--out", tmp_path / "out.png")

    assert ran.returncode == 30
    assert ran.stderr == "cogd-train: matplotlib is not installed\ncogd-train: hint: pip install 'cogd[report]'\n"
    assert run_without(("matplotlib", "torch"), *words).returncode == 0
