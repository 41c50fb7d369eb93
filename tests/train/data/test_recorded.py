import json

import pytest

from cogd.csi.frame import Origin
from cogd.errors import TrainError
from cogd.train.data.recorded import recorded_frames

pytestmark = pytest.mark.train


def raw_csi(number: int, **changes: object) -> str:
    line = {"timestamp": 1000 + number / 20, "node_id": 1, "magic": "0xC5110001", "size": 148, "rssi": 1}
    iq_hex = "".join(f"{(number + bin_) % 90 + 1:02x}0a" for bin_ in range(64))
    return json.dumps(line | {"type": "raw_csi", "iq_hex": iq_hex, "subcarriers": 64} | changes)


def test_frames_come_in_the_order_of_their_lines_as_replayed(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(raw_csi(number) for number in range(5)))

    frames = list(recorded_frames(path))

    assert [frame.time_s for frame in frames] == [1000 + number / 20 for number in range(5)]
    assert {frame.origin for frame in frames} == {Origin.REPLAYED}
    assert len({frame.node for frame in frames}) == 1


def test_bad_lines_are_left_out(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([raw_csi(0), "no json", "{}", raw_csi(1, iq_hex="zz"), raw_csi(2)]))

    assert len(list(recorded_frames(path))) == 2


def test_a_real_recording_holds_its_raw_csi(recording):
    assert sum(1 for _ in recorded_frames(recording)) == 5309


def test_a_missing_recording_is_refused(tmp_path):
    with pytest.raises(TrainError, match="No such file"):
        list(recorded_frames(tmp_path / "missing.jsonl"))


def test_a_recording_of_a_simulation_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    node = {"node_id": 1, "rssi_dbm": -48.0, "amplitude": [5.0] * 56, "subcarrier_count": 64}
    update = {"type": "sensing_update", "timestamp": 1000.0, "source": "simulated", "tick": 1, "nodes": [node]}
    path.write_text(json.dumps(update) + "\n" + json.dumps(update | {"tick": 2, "timestamp": 1000.1}))

    with pytest.raises(TrainError, match="recording of a simulation"):
        list(recorded_frames(path))
