"""The packaged motion bundle on real recordings that did not train it, against its bars."""

from __future__ import annotations

import numpy as np
import pytest

from cogd import demo
from cogd.bundle.keys import load_public
from cogd.bundle.load import load_bundle
from cogd.bundle.trust import TrustStore
from cogd.runtime.app import load_app
from cogd.train.data.dataset import open_dataset
from cogd.train.evaluate import evaluate

pytestmark = pytest.mark.train

STRIDE = 5
AT_20_HZ = [f"thin=20,19.99,20.01,19.98,20.02&thin_seed={seed}" for seed in range(4)]
"""Twenty nodes: which frames a slow node sends is chance, and the means of five such draws differ by 0.01."""


@pytest.fixture(scope="module")
def app():
    trust = TrustStore([(load_public(demo.PUBLIC_KEY), demo.PUBLIC_KEY)])
    return load_app(load_bundle(demo.APPS / "demo-motion.tar", trust))


@pytest.fixture(scope="module")
def rooms(app, data):
    """Balanced accuracy of each room of espectre, by how it is thinned and for how long its quiet room was watched."""
    measured: dict[tuple[str, float | None], dict[str, float]] = {}

    def of(thin: str, calibrate_s: float | None) -> dict[str, float]:
        if (thin, calibrate_s) not in measured:
            dataset = open_dataset(f"espectre:{data / 'espectre'}?{thin}")
            evaluation, _ = evaluate(app, dataset, STRIDE, calibrate_s=calibrate_s)
            assert not evaluation.same_data
            measured[thin, calibrate_s] = {
                metric.split.rpartition("; room ")[2]: metric.value
                for metric in evaluation.parts
                if "; room " in metric.split
            }
        return measured[thin, calibrate_s]

    return of


def test_it_was_trained_on_simulation_and_geotec_alone_and_says_so(app):
    (source, *others) = app.bundle.manifest.provenance.data

    assert all(one.name.startswith("cogd simulator") for one in others)
    assert "geotec, session D1/*" in source.name
    assert "espectre" not in source.name
    assert "ODC-By 1.0; cite Matey-Sanz" in source.licence


def test_rooms_never_seen_without_calibration(rooms):
    figures = rooms("thin=all", None)

    assert figures.keys() == {"bedroom", "living_room"}
    assert min(figures.values()) >= 0.95, figures


def test_at_20_hz_it_loses_little(rooms):
    native, slow = rooms("thin=all", None), [rooms(thin, None) for thin in AT_20_HZ]

    lost = np.mean(list(native.values())) - np.mean([list(drawn.values()) for drawn in slow])
    assert lost <= 0.02, (native, slow)


def test_after_the_quiet_room_was_watched(rooms):
    """For 5 s: the recordings of quiet rooms last 10 s, and the rest is judged."""
    figures = rooms("thin=all", 5.0)

    assert min(figures.values()) >= 0.98, figures


@pytest.mark.parametrize("session", ["D2", "D3"])
def test_later_sessions_of_the_room_of_which_one_session_trained(app, data, session):
    dataset = open_dataset(f"geotec:{data / 'geotec'}?session={session}/*")
    evaluation, _ = evaluate(app, dataset, STRIDE)

    assert not evaluation.same_data
    assert evaluation.metrics[0].name == "balanced_accuracy"
    assert evaluation.metrics[0].value >= 0.95


def test_what_trained_it_is_found_out(app, data):
    dataset = open_dataset(f"geotec:{data / 'geotec'}?session=D1/*")

    assert evaluate(app, dataset, STRIDE)[0].same_data
