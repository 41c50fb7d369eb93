"""The log is only added to, a page is a function of it, and comparing knows noise."""

import xml.etree.ElementTree as ET

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd.bench.compare import NOISES, change, compare, table
from cogd.bench.figures import Figure, latency, noise
from cogd.bench.log import LOG, PAGE, append, read
from cogd.bench.plot import nodes_plot
from cogd.bench.render import render
from cogd.bench.tables import METHOD, text
from cogd.errors import ResultsError

from .conftest import MACHINE, live, result


def test_the_log_is_only_added_to(tmp_path):
    append(tmp_path, result())
    first = (tmp_path / LOG).read_bytes()
    append(tmp_path, result(p50_ratio=1.4))
    assert (tmp_path / LOG).read_bytes().startswith(first)
    assert read(tmp_path / LOG) == [result(), result(p50_ratio=1.4)]


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (b"{}\n", "line 2 is no result"),
        (b"\n", "line 2 is no result"),
        (b"\xff\n", "line 2 is no result"),
        (b'{"format": "cogd-bench/9"}\n', "line 2 is no result"),
        (msgspec.json.encode(result()), "line 2 does not end"),
    ],
)
def test_a_line_that_is_none_is_named_and_nothing_is_added(tmp_path, spoilt, said):
    append(tmp_path, result())
    log = tmp_path / LOG
    log.write_bytes(log.read_bytes() + spoilt)
    before = log.read_bytes()
    for refused in (lambda: read(log), lambda: append(tmp_path, result())):
        with pytest.raises(ResultsError, match=said):
            refused()
    assert log.read_bytes() == before


def test_the_page_is_a_function_of_the_log(tmp_path):
    append(tmp_path, result())
    append(tmp_path, result(date="2027-01-02T00:00:00+00:00", nodes=[]))
    files = render(read(tmp_path / LOG))
    assert files == render(read(tmp_path / LOG))
    assert {path.name for path in tmp_path.iterdir()} == {LOG, *files}
    for name, content in files.items():
        assert (tmp_path / name).read_text() == content


def test_the_page_shows_the_newest_of_each_part_and_every_run():
    older = result(date="2027-01-01T00:00:00+00:00")
    newer = result(date="2027-01-02T00:00:00+00:00", p50_ratio=1.25, nodes=[])
    other = result(machine=msgspec.structs.replace(MACHINE, processor="Another"), nodes=[], tight=[], compared={})
    files = render([older, newer, other])
    page = files[PAGE]
    assert page.index("Another") < page.index("## A processor")
    assert page.count("| 2027-01-01") + page.count("| 2027-01-02") == 3
    assert "1.25" in page
    assert "nodes-2.svg" in page
    assert set(files) == {PAGE, "nodes-2.svg"}
    for published in ("5.4 ms", "8.4 ms", "76.2 ms", "305 us", "< 5 ms"):
        assert published in page


def test_the_terminal_shows_every_part_with_its_method():
    shown = text(result())
    for method in METHOD.values():
        assert method in shown
    for part in ("demo-pose 0.2.0", "p99.9", "A processor", "Python 3.11.7", "cogd 0.1.0"):
        assert part in shown


def test_the_plot_is_xml_with_all_numbers_of_nodes_and_both_colour_schemes():
    picture = nodes_plot([live(300, 60.0), live(1, 500.0), live(3, 300.0)])
    words = [element.text for element in ET.fromstring(picture).iter() if element.tag.endswith("text")]
    for word in ("1", "3", "300", "cogd", "linear growth", "deadline", "p50", "p99"):
        assert word in words
    assert "prefers-color-scheme: dark" in picture
    assert picture == nodes_plot([live(1, 500.0), live(3, 300.0), live(300, 60.0)])
    ET.fromstring(nodes_plot([live(3, 0.0)]))


def test_the_same_run_is_no_regression():
    comparison = compare(result(), [result()])
    assert comparison.regressions == []
    assert comparison.same_machine
    assert "same" in table(comparison)


def test_a_slower_run_is_one():
    comparison = compare(result(p50_ratio=2.0), [result()])
    assert comparison.regressions == ["tight.demo-pose.p50_ratio"]
    assert "regression" in table(comparison)
    assert compare(result(), [result(p50_ratio=2.0)]).changes[0].verdict == "better"


def test_the_last_run_on_the_same_machine_counts():
    elsewhere = msgspec.structs.replace(MACHINE, processor="Another")
    here, there = result(date="here"), result(date="there", machine=elsewhere)
    assert compare(result(), [result(date="old"), here, there]).date == "here"
    only = compare(result(), [there])
    assert (only.date, only.same_machine) == ("there", False)
    newer_cogd = msgspec.structs.replace(MACHINE, versions={"cogd": "9.9.9"})
    assert compare(result(machine=newer_cogd), [here, there]).same_machine


def test_nothing_to_compare_with_is_an_error():
    for earlier in ([], [result(compared={})]):
        with pytest.raises(ResultsError, match="no earlier run"):
            compare(result(), earlier)


values = st.floats(0.01, 1e4)
noises = st.floats(0, 2)


@given(values, values, noises, noises, st.sampled_from(["lower", "higher"]))
def test_a_change_within_the_noise_of_either_run_is_none(old, new, old_noise, new_noise, better):
    then, now = (
        Figure(value=value, noise=spread, better=better) for value, spread in ((old, old_noise), (new, new_noise))
    )
    found = change("x", then, now)
    factor = max(new / old, old / new)
    allowed = max(NOISES * max(old_noise, new_noise), 0.10)
    assert found.allowed == pytest.approx(allowed, abs=1e-3)
    if factor < (1 + allowed) * 0.999:
        assert found.verdict == "same"
    if factor > (1 + allowed) * 1.001:
        assert found.verdict == ("regression" if (new > old) == (better == "lower") else "better")
    back = change("x", now, then)
    assert {"regression": "better", "better": "regression", "same": "same"}[found.verdict] == back.verdict


@given(values, noises)
def test_a_figure_is_no_regression_of_itself(value, spread):
    figure = Figure(value=value, noise=spread)
    assert change("x", figure, figure).verdict == "same"


@given(st.lists(values, min_size=1, max_size=50))
def test_percentiles_are_in_order(seconds):
    import numpy as np

    found = latency(np.asarray(seconds))
    ordered = [found.p50, found.p90, found.p99, found.p99_9, found.max]
    assert ordered == sorted(ordered)
    assert found.max == pytest.approx(max(seconds) * 1e6, abs=0.1)


def test_noise_of_nothing_is_none():
    assert (noise([]), noise([3.0]), noise([0.0, 0.0]), noise([1.0, 2.0, 3.0])) == (0, 0, 0, 1.0)


@pytest.mark.parametrize(
    ("old", "new"), [((1.0, 0.0), (0.0, 0.0)), ((0.0, 0.0), (1.0, 0.0)), ((1.0, float("nan")), (100.0, 0.0))]
)
def test_figures_of_which_nothing_can_be_said_are_not_compared(old, new):
    figures = [Figure(value=value, noise=noise, better="lower", least=0.1) for value, noise in (old, new)]
    with pytest.raises(ResultsError, match="can't be compared"):
        change("x", *figures)


def test_a_disk_that_fails_leaves_the_log_as_it_was(tmp_path, monkeypatch):
    append(tmp_path, result())
    before = (tmp_path / LOG).read_bytes()

    def failing(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cogd.bench.log.os.fsync", failing)
    with pytest.raises(ResultsError, match="No space left"):
        append(tmp_path, result())
    assert (tmp_path / LOG).read_bytes() == before


def test_a_page_that_cannot_be_written_is_told_apart(tmp_path):
    (tmp_path / PAGE).mkdir()
    with pytest.raises(ResultsError, match=PAGE) as caught:
        append(tmp_path, result())
    assert "was added" in caught.value.hint
    assert len(read(tmp_path / LOG)) == 1
    assert not [path.name for path in tmp_path.iterdir() if path.name.endswith(".new")]
