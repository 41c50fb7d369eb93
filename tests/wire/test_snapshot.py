import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.csi.frame import Origin
from cogd.errors import WireError
from cogd.wire import snapshot
from cogd.wire.ignored import Ignored
from cogd.wire.snapshot import Freshness, NoData, Snapshot

VALID = {
    "type": "sensing_update",
    "timestamp": 1781000000.123,
    "source": "esp32",
    "tick": 4711,
    "nodes": [
        {
            "node_id": 2,
            "rssi_dbm": -48.0,
            "position": [2.0, 0.0, 1.5],
            "amplitude": [0.0, 14.25, *([7.5] * 54)],
            "subcarrier_count": 64,
        }
    ],
    "features": {"mean_rssi": -48.0, "variance": 1.7, "change_points": 2},
    "classification": {"motion_level": "present_still", "presence": True, "confidence": 0.63},
    "signal_field": {"grid_size": [20, 1, 20], "values": [0.5] * 400},
    "vital_signs": {"breathing_rate_bpm": 14.2, "heart_rate_bpm": None},
    "estimated_persons": 1,
}
WRONG = {
    "null": None,
    "true": True,
    "text": "x",
    "empty text": "",
    "list": [],
    "list of null": [None],
    "object": {},
    "integer": 7,
    "negative": -1,
    "fraction": 0.5,
    "huge": 10**30,
}


def encoded(message) -> bytes:
    return json.dumps(message).encode()


def parsed(message) -> Snapshot:
    value = snapshot.parse(encoded(message))
    assert isinstance(value, Snapshot)
    return value


def changed(path: tuple, value) -> dict:
    message = copy.deepcopy(VALID)
    inner = message
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return message


def without(path: tuple) -> dict:
    message = copy.deepcopy(VALID)
    inner = message
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return message


@pytest.mark.parametrize("message", [VALID, {"snapshot": VALID}], ids=["bare", "wrapped"])
def test_a_snapshot(message):
    seen = parsed(message)
    assert (seen.timestamp_s, seen.tick, seen.source, seen.origin) == (1781000000.123, 4711, "esp32", Origin.LIVE)
    (node,) = seen.nodes
    assert (node.node_id, node.rssi_dbm, node.bins) == (2, -48.0, 64)
    assert node.amplitude.dtype == np.float32
    assert node.amplitude.tolist() == VALID["nodes"][0]["amplitude"]
    assert not node.amplitude.flags.writeable


def test_no_data_yet():
    assert snapshot.parse(b'{"status":"no data yet"}') == NoData("no data yet")


def test_another_status_is_not_a_snapshot():
    with pytest.raises(WireError, match="timestamp"):
        snapshot.parse(b'{"status":"fine"}')


def test_offline_nodes_are_no_data():
    assert snapshot.parse(encoded(changed(("source",), "esp32:offline"))) == NoData("esp32:offline")


@pytest.mark.parametrize(
    ("source", "origin"),
    [
        ("esp32", Origin.LIVE),
        ("wifi:simulated", Origin.LIVE),
        ("wifi:offline", Origin.LIVE),
        ("simulated", Origin.SIMULATED),
        ("simulate", Origin.SIMULATED),
        ("simulated:2", Origin.SIMULATED),
        ("Simulated", Origin.SIMULATED),
    ],
)
def test_origin(source, origin):
    assert parsed(changed(("source",), source)).origin is origin


@pytest.mark.parametrize(
    ("message_type", "kind"),
    [("edge_vitals", "vitals"), ("wasm_event", "wasm_output"), ("pose_data", "server_pose")],
)
def test_other_messages_of_the_server(message_type, kind):
    assert snapshot.parse(encoded({"type": message_type, "node_id": 1})) == Ignored(kind)


def test_a_message_of_an_unknown_type():
    with pytest.raises(WireError, match="'news'"):
        snapshot.parse(b'{"type":"news"}')


OPTIONAL = {("tick",), ("type",), ("nodes", 0, "rssi_dbm")}
READ = {
    ("timestamp",): {"integer", "fraction"},
    ("source",): {"text", "empty text"},
    ("tick",): {"null", "integer"},
    ("nodes",): {"list"},
    ("nodes", 0): set(),
    ("nodes", 0, "node_id"): {"integer"},
    ("nodes", 0, "rssi_dbm"): {"null", "integer", "negative", "fraction", "huge"},
    ("nodes", 0, "amplitude"): {"list"},
    ("nodes", 0, "amplitude", 3): {"integer", "fraction", "huge"},
    ("nodes", 0, "subcarrier_count"): set(),  # 7 is less than the amplitudes given
    ("type",): {"null"},
    ("features",): set(WRONG),
    ("classification",): set(WRONG),
    ("signal_field",): set(WRONG),
    ("vital_signs",): set(WRONG),
    ("estimated_persons",): set(WRONG),
    ("nodes", 0, "position"): set(WRONG),
}


@pytest.mark.parametrize("path", READ, ids=lambda path: ".".join(map(str, path)))
@pytest.mark.parametrize("name", WRONG)
def test_every_field_of_every_wrong_type(path, name):
    body = encoded(changed(path, WRONG[name]))
    if name in READ[path]:
        assert isinstance(snapshot.parse(body), Snapshot)
    else:
        with pytest.raises(WireError):
            snapshot.parse(body)


@pytest.mark.parametrize("path", READ, ids=lambda path: ".".join(map(str, path)))
def test_fields_that_are_missing(path):
    body = encoded(without(path))
    needed = path[0] in {"timestamp", "source"} or path == ("nodes",)
    needed |= len(path) == 3 and path[2] in {"node_id", "amplitude", "subcarrier_count"}
    if needed:
        with pytest.raises(WireError):
            snapshot.parse(body)
    else:
        assert isinstance(snapshot.parse(body), Snapshot)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"x"',
        b"{}",
        b"{",
        b"\xff\xfe",
        encoded(VALID)[:-1],
        encoded(VALID) + b"x",
        encoded(VALID).replace(b"present_still", b"present_\xffstill"),
        encoded(VALID).replace(b"14.25", b"NaN"),
        encoded(VALID).replace(b"14.25", b"Infinity"),
        encoded(VALID).replace(b"14.25", b"1e999"),
        encoded(VALID).replace(b"14.25", b"1e39"),
        encoded(VALID).replace(b"14.25", b"-0.1"),
        encoded(VALID).replace(b"14.25", b"9" * 6000),
        encoded(VALID).replace(b"4711", b"9" * 6000),
        encoded(VALID).replace(b"1781000000.123", b"1e300"),
        encoded(VALID).replace(b'"features"', b'"features": ' + b"[" * 200_000 + b"]" * 200_000 + b', "x"'),
        b"[" * 200_000,
        b'{"snapshot":[]}',
        b'{"snapshot":{"status":"no data yet"}}',
        "ÿ".encode("utf-16"),
    ],
)
def test_bodies_that_are_no_snapshot(body):
    with pytest.raises(WireError):
        snapshot.parse(body)


def test_too_many_amplitudes():
    assert isinstance(
        snapshot.parse(
            encoded(
                changed(("nodes", 0), {"node_id": 1, "rssi_dbm": -1, "amplitude": [1] * 1024, "subcarrier_count": 1024})
            )
        ),
        Snapshot,
    )
    with pytest.raises(WireError):
        snapshot.parse(encoded(changed(("nodes", 0, "amplitude"), [1.0] * 1025)))


def test_fewer_bins_than_amplitudes_contradict_each_other():
    with pytest.raises(WireError, match="56 amplitudes of a frame of 30 bins"):
        snapshot.parse(encoded(changed(("nodes", 0, "subcarrier_count"), 30)))


def test_a_node_can_be_listed_once():
    with pytest.raises(WireError, match="twice"):
        snapshot.parse(encoded(changed(("nodes",), VALID["nodes"] * 2)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=300) | JSON.map(encoded))
def test_any_bytes_are_read_or_refused(body):
    refusal = ""
    try:
        assert isinstance(snapshot.parse(body), Snapshot | NoData | Ignored)
    except WireError as error:
        refusal = str(error)
    assert len(refusal) < 300


@given(st.sampled_from(sorted(READ, key=str)), JSON)
def test_any_value_in_any_field_is_read_or_refused(path, value):
    try:
        seen = snapshot.parse(encoded(changed(path, value)))
    except WireError:
        return
    if isinstance(seen, Snapshot):
        for node in seen.nodes:
            assert np.isfinite(node.amplitude).all()
            assert (node.amplitude >= 0).all()
            assert len(node.amplitude) <= node.bins
            assert 0 <= node.node_id < 256


def test_a_frame_of_a_reading():
    seen = parsed(VALID)
    frame = snapshot.to_frame(seen.nodes[0], seen, source="server", arrival_s=3.0, origin=seen.origin)
    assert (frame.node, frame.time_s, frame.arrival_s, frame.origin) == (
        "server/2",
        1781000000.123,
        3.0,
        Origin.LIVE,
    )
    assert (frame.bins, frame.rssi_dbm, frame.sequence, frame.iq) == (64, -48.0, None, None)
    assert frame.amplitude is seen.nodes[0].amplitude


# --- what is new in a snapshot ---------------------------------------------------------------------------------


def of(tick: int | None, nodes: dict[int, float | None], timestamp: float | None = None) -> Snapshot:
    """A snapshot whose nodes have 56 equal amplitudes, or none."""
    return parsed(
        {
            "timestamp": (tick or 0) / 10 if timestamp is None else timestamp,
            "source": "esp32",
            "tick": tick,
            "nodes": [
                {
                    "node_id": node,
                    "amplitude": [] if level is None else [level] * 56,
                    "subcarrier_count": 0 if level is None else 64,
                }
                for node, level in nodes.items()
            ],
        }
    )


def fresh_nodes(freshness: Freshness, seen: Snapshot) -> list[int]:
    return [reading.node_id for reading in freshness.fresh(seen).readings]


def test_the_same_snapshot_again_is_nothing_new():
    freshness = Freshness()
    assert fresh_nodes(freshness, of(1, {1: 5.0})) == [1]
    again = freshness.fresh(of(1, {1: 5.0}))
    assert (again.readings, again.dropped) == ((), {"repeated_snapshot": 1})


def test_the_node_that_was_measured_anew_is_found():
    freshness = Freshness()
    assert fresh_nodes(freshness, of(1, {1: 5.0, 2: 6.0})) == [1, 2]
    second = freshness.fresh(of(2, {2: 7.0, 1: 5.0}))
    assert [reading.node_id for reading in second.readings] == [2]
    assert second.dropped == {"repeated_reading": 1}
    assert fresh_nodes(freshness, of(3, {1: 8.0, 2: 7.0})) == [1]


def test_a_node_alone_that_repeats_itself_is_heard_so_that_it_can_be_seen_to_be_frozen():
    freshness = Freshness()
    for tick in range(5):
        assert fresh_nodes(freshness, of(tick, {1: 5.0})) == [1]


def test_a_node_of_another_width_is_fresh():
    freshness = Freshness()
    freshness.fresh(of(1, {1: 5.0, 2: 6.0}))
    wider = {"timestamp": 0.2, "source": "esp32", "tick": 2, "nodes": []}
    wider["nodes"] = [
        {"node_id": 1, "amplitude": [5.0] * 56, "subcarrier_count": 128},
        {"node_id": 2, "amplitude": [6.0] * 56, "subcarrier_count": 64},
    ]
    assert fresh_nodes(freshness, parsed(wider)) == [1]


def test_empty_amplitudes_are_counted_and_forget_nothing():
    freshness = Freshness()
    freshness.fresh(of(1, {1: 5.0, 2: 6.0}))
    emptied = freshness.fresh(of(2, {1: None, 2: None}))
    assert (emptied.readings, emptied.dropped) == ((), {"empty_amplitude": 2})
    assert fresh_nodes(freshness, of(3, {1: 5.0, 2: 7.0})) == [2]


def test_a_server_that_was_started_again_is_believed():
    freshness = Freshness()
    freshness.fresh(of(1000, {1: 5.0, 2: 6.0}, timestamp=100.0))
    assert fresh_nodes(freshness, of(1, {1: 5.0, 2: 6.0}, timestamp=105.0)) == [1, 2]


def test_without_ticks_the_timestamp_tells():
    freshness = Freshness()
    assert fresh_nodes(freshness, of(None, {1: 5.0}, timestamp=1.0)) == [1]
    assert fresh_nodes(freshness, of(None, {1: 6.0}, timestamp=1.0)) == []
    assert fresh_nodes(freshness, of(None, {1: 6.0}, timestamp=1.5)) == [1]


def test_the_same_tick_at_another_time_is_another_snapshot():
    freshness = Freshness()
    freshness.fresh(of(1, {1: 5.0}, timestamp=1.0))
    assert fresh_nodes(freshness, of(1, {1: 5.0}, timestamp=2.0)) == [1]


@given(
    st.lists(
        st.dictionaries(st.integers(0, 3), st.none() | st.integers(1, 3).map(float), min_size=1, max_size=4),
        min_size=1,
        max_size=30,
    )
)
def test_a_change_is_never_missed_and_every_reading_is_accounted_for(history):
    freshness = Freshness()
    last: dict[int, float] = {}
    for tick, nodes in enumerate(history):
        result = freshness.fresh(of(tick, nodes))
        heard = {reading.node_id for reading in result.readings}
        changes = {node for node, level in nodes.items() if level is not None and last.get(node) != level}
        assert changes <= heard
        assert len(nodes) == 1 or heard == changes
        assert len(result.readings) + sum(result.dropped.values()) == len(nodes)
        last |= {node: level for node, level in nodes.items() if level is not None}


def test_memory_is_bounded():
    freshness = Freshness()
    for tick in range(4):
        freshness.fresh(of(tick, dict.fromkeys(range(256), tick + 1.0)))
    assert len(freshness._amplitudes) == snapshot.MAX_NODES
    with pytest.raises(WireError):
        of(9, {256: 1.0})
