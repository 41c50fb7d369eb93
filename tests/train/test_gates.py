import numpy as np
import pytest

from cogd.bundle.manifest import DataSource, Metric
from cogd.train.gates import gate_lines, gates, rooms_that_trained
from cogd.train.predictions import Predictions

pytestmark = pytest.mark.train

ROOMS = ("simulated room 5", "simulated room 6", "attic")
VALUES = {
    "within_1": 0.81, "mae_persons": 0.6, "confidence_auroc": 0.79, "confidence_ece": 0.051,
    "confidence_r_over_rmax": 0.5,
}  # fmt: skip


def part(head="count", persons=range(8), rooms=(0, 1), name="held-out rooms", **changes) -> Predictions:
    truth = np.repeat(list(persons), 2)
    count = len(truth)
    fields = {
        "head": head, "part": name, "truth": truth, "predicted": truth, "confidence": None, "score": None,
        "session": np.zeros(count, int), "room": np.resize(rooms, count), "end_s": np.arange(count) * 1.0,
        "names": {"session": ("s",), "room": ROOMS}, "labels": tuple("01234567"),
    }  # fmt: skip
    return Predictions(**(fields | changes))


def metric(name, value, split="held-out rooms", baseline=0.1, **changes) -> Metric:
    fields = {"definition": "d", "baseline_name": "b", "n": 16, "better": "higher", "low": value - 0.02,
              "high": value + 0.02, "interval": "made so"}  # fmt: skip
    return Metric(name=name, split=split, value=value, baseline_value=baseline, **(fields | changes))


METRICS = [metric(name, value) for name, value in VALUES.items()]


def by_figure(found) -> dict[str, str]:
    return {gate.gate.split()[0]: gate.met for gate in found}


def test_each_figure_is_held_against_its_bar():
    found = gates([part()], METRICS, {"simulated room 7"})

    assert by_figure(found) == {
        "within_1": "met", "mae_persons": "met", "confidence_auroc": "not met", "confidence_ece": "not met",
        "confidence_r_over_rmax": "met",
    }  # fmt: skip
    assert [gate.bar for gate in found] == [">= 0.8", "<= 0.6", ">= 0.8", "<= 0.05", ">= 0.5"]
    assert [(gate.figure, gate.low, gate.high) for gate in found] == [(m.value, m.low, m.high) for m in METRICS]


def test_a_pose_is_held_against_twice_the_mean_pose():
    poses = part("pose", truth=np.zeros((16, 17, 2)), rooms=(2,))
    for value, met in ((0.2, "met"), (0.19, "not met")):
        (gate,) = gates([poses], [metric("pck20_torso_rsho_lhip", value, baseline=0.1)], ())
        assert (gate.met, gate.bar) == (met, ">= 2 x the mean pose's = 0.2000")


def test_motion_has_no_gates():
    assert gates([part("motion")], METRICS, ()) == []


@pytest.mark.parametrize(
    ("unfit", "trained", "why"),
    [
        (part(), {"simulated room 6"}, "windows of the same rooms trained"),
        (part(), None, "which rooms trained is not known"),
        (part(rooms=(0, -1)), (), "the data don't tell their rooms"),
        (part(rooms=(0, 2)), (), "the rooms are not simulated"),
        (part(persons=(0, 1, 2, 4, 5, 7)), (), "no window is of 3 or 6 persons"),
        (part(persons=(0, 2, 3, 4, 5, 6, 7)), (), "no window is of 1 person"),
        (part(leaky=True), (), "the split is leaky"),
    ],
)
def test_where_the_condition_does_not_hold_nothing_is_measured(unfit, trained, why):
    found = gates([unfit], METRICS, trained)

    assert {(gate.met, gate.figure, gate.low, gate.why) for gate in found} == {("not measured", None, None, why)}
    assert len(found) == 5


@pytest.mark.parametrize(
    ("confidence", "why"),
    [(None, "the model has no confidence"), (np.full(16, 0.5), "it is not defined on these windows")],
)
def test_a_figure_that_is_not_there_is_not_measured_and_it_is_said_why(confidence, why):
    found = gates([part(confidence=confidence)], METRICS[:2], ())

    assert list(by_figure(found).values()) == ["met", "met", *["not measured"] * 3]
    assert [gate.why for gate in found] == [None, None, *[why] * 3]


def test_where_no_part_will_do_it_is_said_what_the_closest_lacks():
    trained = part(name="held-out time", rooms=(1,))
    few = part(name="held-out rooms", rooms=(0,), persons=(0, 2))
    real = part(name="other data", rooms=(2,), persons=(0, 2))

    for parts in ([trained, few, real], [real, few, trained]):
        found = gates(parts, METRICS, {"simulated room 6"})

        assert {(gate.part, gate.why) for gate in found} == {
            ("held-out rooms", "no window is of 1, 3, 4, 5, 6 or 7 persons")
        }
        assert len(found) == 5


def test_a_part_has_its_own_figures_however_its_name_ends():
    longer = part(name="OVERLAP: held-out rooms")
    other = [metric(one.name, one.value / 2, longer.part) for one in METRICS]

    assert [gate.figure for gate in gates([part()], [*METRICS, *other], ())] == [*VALUES.values()]


def test_parts_that_fulfil_the_condition_are_judged_and_the_others_left_out():
    other = part(name="seen rooms", rooms=(1,))
    together = part(name="fused counts of 2 nodes; held-out rooms", rooms=(0,))
    metrics = [*METRICS, metric("within_1", 0.9, together.part)]

    found = gates([part(rooms=(0,)), together, other], metrics, {"simulated room 6"})

    assert [gate.part for gate in found] == [*["held-out rooms"] * 5, *[together.part] * 5]
    assert (found[0].figure, found[5].figure) == (0.81, 0.9)


def test_the_rooms_of_a_bundle_are_those_that_its_data_name():
    one = DataSource(
        name="cogd simulator: rooms 3 to 5, persons [0]; cogd simulator: rooms [9, 11], x", sha256=None, licence="a"
    )
    recorded = DataSource(name="a flat", sha256="ab" * 32, licence="a")

    assert rooms_that_trained([one]) == {f"simulated room {number}" for number in (3, 4, 5, 9, 11)}
    assert rooms_that_trained([one, recorded]) is None


def test_the_table_has_everything():
    text = "\n".join(gate_lines(gates([part()], METRICS, ()), "by room"))

    assert "gates on held-out rooms" in text
    assert ">= 0.8    0.8100   0.7900 - 0.8300  met" in text
    assert "not measured: which rooms" in "\n".join(gate_lines(gates([part()], METRICS, None), "by room"))
