import hashlib
import json
import struct

import msgspec
import numpy as np
import pytest
import torch

from cogd.errors import ProofError, UnknownPlatformError
from cogd.train import proof
from cogd.train.heads.pose.config import RECIPE as POSE
from tests.train.factory import run_cli

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def proven():
    return proof.prove()


def test_every_loss_falls_by_more_than_it_must(proven):
    for fall in proven[1].values():
        assert fall.share > proof.LEAST_FALL
        assert fall.last < fall.first * (1 - proof.LEAST_FALL)


def test_the_packaged_expectations_hold_on_their_platform_and_are_not_taken_for_others(proven):
    """On a platform without an entry this proves nothing, and the command says so by its status."""
    known = proof.this_platform() in [entry.platform for entry in proof.read_expected()]

    ran = run_cli("proof")

    for digest in proven[0].weights.values():  # which were trained before
        assert f"weights {digest}\n" in ran.out
    assert ran.status == (0 if known else UnknownPlatformError.exit_status), ran.err
    assert ("proven: the weights are those expected" in ran.out) == known
    assert ("no digest was ever committed for this platform: torch 2.13" in ran.err) == (not known)


def test_an_entry_that_was_generated_is_proven_and_another_is_not(tmp_path, monkeypatch, proven):
    monkeypatch.setattr(proof, "prove", lambda: proven)
    expected = tmp_path / "expected.json"
    assert run_cli("proof", "--generate", "--expected", expected).status == 0

    assert run_cli("proof", "--expected", expected).status == 0
    entries = json.loads(expected.read_bytes())
    entries[0]["weights"]["count"] = "0" * 64
    expected.write_text(json.dumps(entries))
    ran = run_cli("proof", "--expected", expected)
    assert (ran.status, "other weights than expected on this platform: count" in ran.err) == (41, True)
    entries[0]["platform"]["threads"] = 77
    expected.write_text(json.dumps(entries))
    assert run_cli("proof", "--expected", expected).status == 42
    expected.write_text("{}")
    ran = run_cli("proof", "--expected", expected)
    assert (ran.status, "holds no expectations" in ran.err) == (41, True)


def test_generate_prints_an_entry_and_nothing_else(monkeypatch, proven):
    monkeypatch.setattr(proof, "prove", lambda: proven)

    ran = run_cli("proof", "--generate")

    assert msgspec.json.decode(ran.out, type=list[proof.Expectation]) == [proven[0]]


def test_a_new_entry_takes_the_place_of_the_old_one_of_its_platform(proven):
    found = proven[0]
    other = msgspec.structs.replace(found, platform=msgspec.structs.replace(found.platform, threads=9))
    stale = msgspec.structs.replace(found, weights={"pose": "0" * 64})

    written = msgspec.json.decode(proof.with_entry([stale, other], found), type=list[proof.Expectation])

    assert written == [other, found]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"data": "0" * 64}, "the data are not those"),
        ({"weights": {}}, "other weights than expected on this platform: count, count with everything, pose, "),
    ],
)
def test_other_data_or_other_runs_are_not_the_same_proof(proven, change, told):
    with pytest.raises(ProofError, match=told):
        proof.judge(proven[0], [msgspec.structs.replace(proven[0], **change)])


def test_a_loss_that_does_not_fall_proves_nothing(monkeypatch):
    monkeypatch.setattr(
        proof,
        "reproducibility_runs",
        lambda: {"idle": proof.changed(POSE, {"train.epochs": 3, "train.learning_rate": 1e-9})},
    )

    with pytest.raises(ProofError, match=r"idle: the loss went from .* and must fall by 50%"):
        proof.prove()


def test_the_digest_is_over_names_and_values():
    weights = {"b": torch.tensor([[1.5, -2.0]]), "a.c": torch.tensor(0.25)}

    expected = hashlib.sha256()
    expected.update(struct.pack("<I", 3) + b"a.c" + struct.pack("<f", 0.25))
    expected.update(struct.pack("<I", 1) + b"b" + struct.pack("<ff", 1.5, -2.0))

    assert proof.digest_of(weights) == expected.hexdigest()


def test_the_data_are_numbers_that_a_float_holds_exactly():
    windows = proof.proof_windows()

    assert (windows.csi * 256 == np.round(windows.csi * 256)).all()
    assert (windows.keypoints * 16 == np.round(windows.keypoints * 16)).all()
    assert set(windows.persons.tolist()) == {0, 1, 2, 3}


def test_one_bit_more_is_another_proof(monkeypatch, proven):
    """Of the data, as of anything else that is trained on."""
    windows = proof.proof_windows()
    windows.csi[7, 3, 2] += np.float32(2**-20)
    monkeypatch.setattr(proof, "proof_windows", lambda: windows)
    only = {"pose": proof.reproducibility_runs()["pose"]}
    monkeypatch.setattr(proof, "reproducibility_runs", lambda: only)

    found = proof.prove()[0]

    assert found.data != proven[0].data
    assert found.weights["pose"] != proven[0].weights["pose"]
