"""An app's `min_confidence` keeps back what is less sure; what is not known to be sure or not passes."""

import dataclasses

import numpy as np
import pytest

from cogd.heads.count.head import CountHead
from tests.heads.factory import count_output

from .factory import FRAMES, fake_app, frames_of

PLATT = {"temperature": np.float32([1]), "slope": np.float32([1]), "offset": np.float32([0])}


def calibrated(min_confidence):
    head = CountHead(count_output(confidence="platt", calibration="c.safetensors"), PLATT)
    return dataclasses.replace(fake_app("count"), head=head, min_confidence=min_confidence)


async def test_what_is_less_sure_is_counted_and_not_emitted(bench):
    everything = bench(calibrated(0.0))
    await everything.play(frames_of("a/1", FRAMES + 40))
    confidences = [fields.confidence for fields in everything.named("count")]
    limit = float(np.median(confidences))
    some = bench(calibrated(limit))
    await some.play(frames_of("a/1", FRAMES + 40))
    sure = [confidence for confidence in confidences if confidence >= limit]
    assert 0 < len(sure) < len(confidences)
    assert [fields.confidence for fields in some.named("count")] == pytest.approx(sure)
    assert some.engine.dropped["below_min_confidence"] == len(confidences) - len(sure)
    assert some.engine.inferences["count-app"] == len(sure)


@pytest.mark.parametrize("kind", ["count", "pose"])
async def test_without_a_confidence_everything_passes(bench, kind):
    b = bench(dataclasses.replace(fake_app(kind), min_confidence=1.0))
    await b.play(frames_of("a/1", FRAMES + 3))
    assert b.engine.inferences[f"{kind}-app"] == 4
    assert not b.engine.dropped
