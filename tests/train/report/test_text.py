import pytest

from cogd.bundle.manifest import Metric
from cogd.train.report.text import format_figures, format_groups

pytestmark = pytest.mark.train


def metric(name: str, low: float | None, part: str = "held-out rooms", definition: str = "d") -> Metric:
    drawn = {} if low is None else {"low": low, "high": 0.9, "interval": "95 %, 6 rooms drawn 1000 times"}
    return Metric(
        name=name, definition=definition, split=part, value=0.5, baseline_name="b", baseline_value=0.1, n=16,
        better="higher",
        **drawn,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("part", "heading"),
    [
        ("held-out rooms: by room, seed 0", "held-out rooms, the split's test part"),
        ("fused counts of 2 nodes; held-out rooms: by room, seed 0",
         "fused counts of 2 nodes; held-out rooms, the split's test part"),
        ("held-out rooms: no part of them trained", "held-out rooms: no part of them trained"),
        ("LEAKY: at random", "LEAKY: at random"),
    ],
)  # fmt: skip
def test_a_part_is_called_without_the_description_of_the_split(part, heading):
    lines = format_figures([metric("accuracy", 0.4, part)], split="by room, seed 0")

    assert lines[0] == heading


def test_a_part_of_no_split_has_its_whole_name():
    assert format_figures([metric("accuracy", 0.4, "OVERLAP: made up: all")])[0] == "OVERLAP: made up: all"


def test_a_leaky_part_keeps_its_mark():
    split = "LEAKY: windows drawn at random, and so on"
    lines = format_figures([metric("accuracy", 0.4, f"fused counts of 2 nodes; {split}")], split=split)

    assert lines[0] == "fused counts of 2 nodes; LEAKY: test part"


def test_a_table_says_how_its_intervals_were_made_and_why_one_is_lacking():
    lines = format_figures([metric("accuracy", 0.4), metric("recall.2", None), metric("accuracy", 0.4, "other data")])

    first, second = "\n".join(lines).split("other data")
    assert first.count("interval: 95 %, 6 rooms drawn 1000 times") == 1
    told = first.partition("interval: - where ")[2].partition("\n")[0]
    assert "fewer than 5 rooms, sessions or stretches hold what the figure is of" in told
    assert "undefined in more than 5% of the draws" in told
    assert "interval: - " not in second, "nothing is lacking there"


def test_figures_of_several_for_each_joint_are_a_row_a_joint_and_defined_once():
    joints = ("nose", "left_eye", "right_eye")
    alone = [
        metric(f"{name}.{joint}", 0.4, definition=f"{joint}: what {name} is")
        for name in ("pck", "mpjpe")
        for joint in joints
    ]
    lines = format_figures([metric("pck", 0.4)], alone)

    for joint in joints:
        (row,) = [line for line in lines if joint in line]
        assert row.count("0.5000 (0.1000)") == 2
    assert [line for line in lines if "what" in line] == ["pck.*: what pck is", "mpjpe.*: what mpjpe is"]
    assert any("--json has the intervals" in line for line in lines)


def test_one_figure_of_each_class_stands_in_the_table_with_its_interval():
    lines = format_figures([metric("accuracy", 0.4)], [metric("recall.2", 0.3, definition="2 persons: what it is")])

    (row,) = [line for line in lines if line.startswith("  recall.2")]
    assert "0.3000 - 0.9000" in row
    assert lines[-1] == "recall.*: what it is"


def test_of_many_rooms_the_first_are_told_and_how_many_more_there_are():
    part = "made up"
    rooms = [metric("accuracy", None, f"{part}; room {number}") for number in range(11)]
    sessions = [metric("accuracy", None, f"{part}; session {number}") for number in range(8)]
    text = "\n".join(format_groups([*rooms, *sessions], part))

    assert "room 7" in text
    assert "room 8" not in text
    assert "session 7" in text
    assert "and 3 rooms more: --json has all" in text
