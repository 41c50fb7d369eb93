import pytest

from cogd.bundle.manifest import Metric
from cogd.train.report.text import format_figures

pytestmark = pytest.mark.train


def metric(name: str, low: float | None, part: str = "held-out rooms") -> Metric:
    drawn = {} if low is None else {"low": low, "high": 0.9, "interval": "95 %, 6 rooms drawn 1000 times"}
    return Metric(
        name=name, definition="d", split=part, value=0.5, baseline_name="b", baseline_value=0.1, n=16, better="higher",
        **drawn,
    )  # fmt: skip


def test_a_table_says_how_its_intervals_were_made_and_why_one_is_lacking():
    lines = format_figures([metric("accuracy", 0.4), metric("recall.2", None), metric("accuracy", 0.4, "other data")])

    first, second = "\n".join(lines).split("other data")
    assert first.count("interval: 95 %, 6 rooms drawn 1000 times") == 1
    told = first.partition("interval: - where ")[2].partition("\n")[0]
    assert "fewer than 5 rooms, sessions or stretches hold what the figure is of" in told
    assert "undefined in more than 5% of the draws" in told
    assert "interval: - " not in second, "nothing is lacking there"
