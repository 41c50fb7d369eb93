import base64
import dataclasses
import io
import json
import shutil
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from cogd.errors import TrainError
from cogd.train import rundir
from cogd.train.heads.registry import trainer_of
from cogd.train.metrics.confidence import Usual
from cogd.train.predictions import Answer, Predictions, write_predictions
from cogd.train.report.source import read_source
from cogd.train.scoring import baselines, score, score_closely

pytestmark = pytest.mark.train

matplotlib = pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
from matplotlib.figure import Figure, SubFigure  # noqa: E402

from cogd.train.report.page import LEAKY, render_html, render_png  # noqa: E402
from cogd.train.report.plots import curves  # noqa: E402
from tests.train.factory import make_windows, run_cli  # noqa: E402

NAMES = {"session": tuple("abcdefgh"), "room": (), "subject": ()}

FETCHING = {"src", "href", "action", "poster", "data", "srcset"}


class Page(HTMLParser):
    """What a browser would fetch, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [value for name, value in attrs if name in FETCHING]

    def handle_data(self, data):
        self.text += data + "\n"


def pictures_of(html: str) -> set[str]:
    """Their titles."""
    return {part.partition('"')[0] for part in html.split('alt="')[1:]}


@pytest.fixture
def finished(request, tmp_path):
    """A copy of a run directory."""

    def copy(head: str):
        return shutil.copytree(request.getfixturevalue(f"{head}_run"), tmp_path / head)

    return copy


def change_report(run, **changes) -> None:
    report = json.loads((run / rundir.REPORT).read_bytes())
    (run / rundir.REPORT).write_text(json.dumps(report | changes))


@pytest.mark.parametrize(
    ("head", "pictures"),
    [
        ("pose", {"Loss and score", "Figures", "Joints", "Skeletons, from good to bad"}),
        ("count", {"Loss and score", "Figures", "Classes", "Confusion"}),
    ],
)
def test_a_run_has_one_page_that_fetches_nothing_and_one_picture(finished, head, pictures):
    run = finished(head)
    ran = run_cli("report", run)
    assert ran.status == 0, ran.err
    html = (run / "report.html").read_text()
    page = Page(html)

    assert page.fetched
    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.fetched)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "@import" not in html
    assert "url(" not in html
    for picture in page.fetched:
        svg = base64.b64decode(picture.partition(",")[2]).decode()
        assert "<image" not in svg or 'xlink:href="data:' in svg
    assert pictures <= pictures_of(html)
    description = rundir.read_description(run)
    for metric in description.provenance.metrics:
        assert {f"{metric.value:.4f}", metric.name, metric.definition, metric.baseline_name} <= set(
            page.text.split("\n")
        )
    for limit in description.provenance.limits:
        assert limit in page.text
    assert (run / "report.png").read_bytes().startswith(b"\x89PNG")


def test_a_leaky_run_is_marked_on_the_page_and_in_the_picture(finished):
    run = finished("count")
    before = read_source(run)
    assert LEAKY not in render_html(before)
    change_report(run, leaky=True)
    after = read_source(run)

    assert LEAKY in render_html(after)
    before, after = (
        dataclasses.replace(source, predictions=[], history=[]) for source in (before, after)
    )  # it's quick
    assert red_pixels(render_png(after)) > 2000 > red_pixels(render_png(before))


def red_pixels(png: bytes) -> int:
    """How many are of the mark's colour."""
    from matplotlib.image import imread

    picture = (np.asarray(imread(io.BytesIO(png)))[..., :3] * 255).round()
    return int((np.abs(picture - (0xB3, 0x26, 0x1E)).max(axis=-1) < 8).sum())


def test_a_run_without_a_history_has_no_curves(finished):
    run = finished("count")
    (run / rundir.HISTORY).unlink()
    source = read_source(run)

    assert source.history == []
    assert "Loss and score" not in render_html(source)


def test_motion_has_its_classes_by_name(tmp_path):
    rng = np.random.default_rng(0)
    windows = make_windows(
        80, moving=(np.arange(80) // 10 % 2).astype(np.int8), session=np.arange(80) // 10, names=NAMES
    )
    logits = rng.normal(size=80) + 2.0 * windows.moving - 1
    answer = Answer(logits > 0, ("quiet", "moving"), 1 / (1 + np.exp(-np.abs(logits))), logits)
    part = Predictions.of_windows(
        "motion", "two flats", windows, np.arange(80), answer, trainer_of("motion").truth(windows)
    )
    beside = baselines("motion", windows, np.arange(80), usual=Usual("half", 0.5))
    figures = {"metrics": score(part, beside), "parts": score_closely(part, beside)}
    about = {"title": "motion 1.0.0 on two flats", "split": "all", "windows": {"labelled": 80}, "limits": ["none"]}
    (tmp_path / rundir.REPORT).write_bytes(msgspec.json.encode(about | figures))
    write_predictions(tmp_path / rundir.PREDICTIONS, [part])
    html = render_html(read_source(tmp_path))

    assert {"Confusion", "Reliability of the confidence", "Risk and coverage", "Classes"} <= pictures_of(html)
    svg = "".join(base64.b64decode(picture.partition(",")[2]).decode() for picture in Page(html).fetched)
    assert "<!-- quiet -->" in svg  # matplotlib notes each text that it draws as a path
    assert "<!-- moving -->" in svg


def test_the_same_run_gives_the_same_page(count_run):
    source = read_source(count_run)

    assert render_html(source) == render_html(source)


def test_what_a_name_holds_is_text_on_the_page(finished):
    run = finished("count")
    report = json.loads((run / rundir.REPORT).read_bytes())
    report["metrics"][0]["baseline_name"] = "<script>alert(1)</script>"
    change_report(run, metrics=report["metrics"], split="a < b & c")
    html = render_html(read_source(run))

    assert "<script>" not in html
    assert "a &lt; b &amp; c" in html


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (rundir.REPORT, None, r"report\.json can't be read"),
        (rundir.REPORT, b"{", r"report\.json is not the report of a run"),
        (rundir.HISTORY, b"{}\n", r"history\.jsonl is not the history of a training"),
        (rundir.PREDICTIONS, None, "is not a readable file of predictions"),
        (rundir.DESCRIPTION, None, r"description\.json is missing"),
    ],
)
def test_what_is_no_finished_run_is_refused_with_the_file(finished, name, content, message):
    run = finished("pose")
    (run / name).unlink()
    if content is not None:
        (run / name).write_bytes(content)

    with pytest.raises(TrainError, match=message) as refused:
        read_source(run)
    assert refused.value.hint


def test_several_folders_can_not_go_into_one(count_run, pose_run, tmp_path):
    ran = run_cli("report", count_run, pose_run, "--out", tmp_path)

    assert ran.status == 30
    assert "one folder" in ran.err


def test_a_pose_that_says_how_far_off_it_may_be_is_drawn_with_that(tmp_path):
    rng = np.random.default_rng(0)
    windows = make_windows(80, session=np.arange(80) // 10, names=NAMES)
    said = windows.keypoints + rng.normal(0, 0.1, (80, 17, 2)).astype(np.float32)
    answer = Answer(said, ("nose",) * 17, rng.random(80), radius=rng.uniform(0.05, 0.2, (80, 17)))
    part = Predictions.of_windows(
        "pose", "two flats", windows, np.arange(80), answer, trainer_of("pose").truth(windows)
    )
    beside = baselines("pose", windows, np.arange(80), usual=Usual("half", 0.5))
    figures = {"metrics": score(part, beside), "parts": score_closely(part, beside)}
    about = {"title": "pose 1.0.0 on two flats", "split": "all", "windows": {"labelled": 80}, "limits": ["none"]}
    (tmp_path / rundir.REPORT).write_bytes(msgspec.json.encode(about | figures))

    circles = {}
    for name, drawn in {"with": part, "without": dataclasses.replace(part, radius=None)}.items():
        write_predictions(tmp_path / rundir.PREDICTIONS, [drawn])
        html = render_html(read_source(tmp_path))
        assert {"Reliability of the confidence", "Risk and coverage", "Skeletons, from good to bad"} <= pictures_of(
            html
        )
        assert ("Do the radii hold the joints?" in pictures_of(html)) == (name == "with")
        (skeletons,) = [part for part in html.split("<img") if "Skeletons, from good to bad" in part]
        svg = base64.b64decode(skeletons.partition("base64,")[2].partition('"')[0]).decode()
        circles[name] = svg.count('<g id="patch_')
    assert circles["with"] - circles["without"] == 5 * 17


def test_the_gates_are_on_the_page(finished):
    folder = finished("count")
    source = read_source(folder)
    assert {gate.met for gate in source.gates} == {"not measured"}

    page = Page(render_html(source))

    assert "Gates" in page.text
    assert "mae_persons in simulated rooms of which nothing trained, with 0 to 7 persons" in page.text
    assert "not measured: " in page.text
    assert "gates on" in (folder / rundir.REPORT_TEXT).read_text()


def test_nothing_in_the_picture_is_cut_and_the_gates_are_aligned(finished, monkeypatch):
    run = finished("count")
    split = "LEAKY: windows drawn at random, and " + "further " * 90
    change_report(run, split=split, leaky=True)
    source = read_source(run)
    (gate, *_) = source.gates
    part = dataclasses.replace(source.predictions[0], part=f"a long name; {split}")
    texts: list[tuple[str, str]] = []
    text_on = SubFigure.text

    def text(canvas, x, y, words, **how):
        texts.append((words, how.get("family", "")))
        return text_on(canvas, x, y, words, **how)

    monkeypatch.setattr(SubFigure, "text", text)
    render_png(dataclasses.replace(source, predictions=[part], history=[], metrics=[], parts=[]))

    (table,) = [text for text, family in texts if family == "monospace"]
    assert gate.gate in table
    assert max(len(line) for text, _ in texts for line in text.split("\n")) < 210
    assert not any("\N{HORIZONTAL ELLIPSIS}" in text for text, _ in texts)
    assert any(text == "a long name; LEAKY: test part" for text, _ in texts)
    assert "".join(text for text, _ in texts).count("further") == 90, "the description of the split, once"


def test_epochs_are_whole_numbers(count_run):
    history = [*read_source(count_run).history][:1] * 2
    figure = Figure()
    curves(figure, [msgspec.structs.replace(one, epoch=number) for number, one in enumerate(history, 1)])

    assert {float(tick).is_integer() for tick in figure.axes[-1].get_xticks()} == {True}
