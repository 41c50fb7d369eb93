import json

import numpy as np
import pytest

from cogd.csi.frame import Origin
from cogd.csi.link import LinkLimits
from cogd.csi.node import Node
from cogd.csi.window import WindowSpec
from cogd.errors import TrainError
from cogd.train.data.cut import cut_windows
from cogd.train.data.dataset import open_dataset
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


def test_each_node_of_a_recording_is_a_recording_of_one_session(tmp_path):
    path = tmp_path / "a.jsonl"
    lltf = "".join("0000" if bin_ == 0 or 27 <= bin_ <= 37 else "050a" for bin_ in range(64))
    lines = [raw_csi(number, node_id=1 + number % 2, iq_hex=lltf) for number in range(10)]
    path.write_text("\n".join(lines))

    one, two = open_dataset(f"recording:{path}").recordings()

    assert (one.session, two.session, one.node, two.node) == ("a.jsonl", "a.jsonl", 1, 2)
    np.testing.assert_allclose(two.track().time_s, [1000 + number / 20 for number in range(1, 10, 2)])


def test_its_windows_are_those_of_the_daemon(recording):
    """Frame by frame through the daemon's own node, on a recording in which kinds of frames are mixed."""
    spec = WindowSpec("ht56", 20, 0.02, 0.5)
    nodes: dict[str, Node] = {}
    expected: dict[str, list[np.ndarray]] = {}
    for frame in recorded_frames(recording):
        node = nodes.setdefault(frame.node, Node(frame.node, [spec], LinkLimits(), believe_simulated=False))
        if node.take(frame).complete:
            expected.setdefault(frame.node.partition("/")[2], []).append(node.windows[spec].view())

    windows = cut_windows(open_dataset(f"recording:{recording}"), spec)

    assert set(expected) == {"1", "2"}
    for node, own in expected.items():
        np.testing.assert_array_equal(windows.csi[windows.node == int(node)], np.stack(own))


def test_a_file_without_frames_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n")

    with pytest.raises(TrainError, match=r"a\.jsonl holds no frames"):
        open_dataset(f"recording:{path}")
