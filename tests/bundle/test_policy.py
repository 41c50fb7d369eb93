"""Who may replace what: pins, ratchet, rotation, revocation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cogd.bundle.keys import PrivateKey
from cogd.bundle.policy import judge
from cogd.bundle.record import remember
from cogd.bundle.revocation import Revocation
from cogd.bundle.rotation import make_rotation, read_rotation
from cogd.bundle.semver import precedence
from cogd.bundle.trust import TrustStore
from cogd.errors import (
    BundleError,
    DowngradeError,
    PinnedKeyError,
    RevokedKeyError,
    SameVersionError,
    ThresholdError,
)

from .apps import record_of
from .factory import KEY, OTHER_KEY, make_bundle, trust

THIRD_KEY = PrivateKey(bytes(range(64, 96)))
KEYS = {"a": KEY, "b": OTHER_KEY, "c": THIRD_KEY}
NOW = "2026-01-02T03:04:05Z"


def store(*names, rotated=(), revoked=(), threshold=1):
    return TrustStore(
        ((KEYS[name].public, Path(name)) for name in names),
        rotations=[(read_rotation(make_rotation(KEYS[o], KEYS[n], NOW)), Path(f"{o}-{n}")) for o, n in rotated],
        revocations=[
            (Revocation(key_id=KEYS[name].public.key_id, reason="", revoked_at=NOW), Path(name)) for name in revoked
        ],
        threshold=threshold,
    )


def bundle(version, *names, files=None):
    keys = [KEYS[name] for name in names or "a"]
    return make_bundle(**({"files": files} if files else {}), keys=keys, version=version)


class Installed:
    """What is installed and remembered, as the store keeps it."""

    def __init__(self, trusted=None):
        self.trust = trusted or store(*"abc")
        self.record = self.memory = None

    def install(self, version, *names, allow_downgrade=False, files=None):
        made = bundle(version, *names, files=files)
        from cogd.bundle.verify import verify_bundle

        verified = verify_bundle(made.members, self.trust)
        verdict = judge(verified, self.record, self.memory, self.trust, allow_downgrade=allow_downgrade)
        self.record = record_of(made, verdict)
        self.memory = remember(self.memory, self.record)
        return verdict

    def ids(self, *names):
        return tuple(sorted(KEYS[name].public.key_id for name in names))


@pytest.fixture
def app():
    return Installed()


def test_first_then_up_then_the_same(app):
    first = app.install("1.0.0")
    assert (first.change, first.key_ids, first.pinned) == ("first", app.ids("a"), app.ids("a"))
    assert app.install("1.0.1").change == "upgrade"
    assert app.install("1.0.1").change == "same"
    assert app.install("1.1.0-rc.1").change == "upgrade"
    assert app.install("1.1.0").change == "upgrade"


def test_down_is_refused_and_may_be_allowed(app):
    app.install("2.0.0")
    with pytest.raises(DowngradeError, match=r"person-count 1\.9\.9: 2\.0\.0 was installed before") as caught:
        app.install("1.9.9")
    assert "cogd rollback person-count" in caught.value.hint
    with pytest.raises(DowngradeError):
        app.install("2.0.0-rc.1")
    allowed = app.install("1.9.9", allow_downgrade=True)
    assert (allowed.change, allowed.older_than) == ("downgrade", "2.0.0")
    # The ratchet did not go down: what is newer than what runs but older than the highest needs leave again.
    with pytest.raises(DowngradeError):
        app.install("1.9.10")
    assert app.install("1.9.10", allow_downgrade=True).change == "upgrade"
    assert app.install("2.0.0").change == "upgrade"


def test_what_is_installed_may_be_repaired_after_a_rollback(app):
    app.install("1.0.0")
    before = app.record
    app.install("2.0.0")
    app.record = before  # rolled back
    assert app.install("1.0.0").change == "same"
    assert app.install("2.0.0").change == "upgrade"


def test_another_bundle_with_the_same_version(app):
    other = {"files": {**make_bundle().verified().files, "MODEL_CARD.md": b"# Another\n"}}
    app.install("1.0.0")
    for allow in (False, True):
        with pytest.raises(SameVersionError, match="was installed before"):
            app.install("1.0.0", allow_downgrade=allow, **other)
    app.record = None  # removed
    with pytest.raises(SameVersionError):
        app.install("1.0.0", **other)


def test_another_bundle_with_a_version_of_long_ago(app):
    other = {"files": {**make_bundle().verified().files, "MODEL_CARD.md": b"# Another\n"}}
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        app.install(version)
    with pytest.raises(SameVersionError):
        app.install("1.0.0", allow_downgrade=True, **other)


def test_another_publisher(app):
    app.install("1.0.0", "a")
    with pytest.raises(PinnedKeyError, match="signed by") as caught:
        app.install("2.0.0", "b")
    assert "cogd remove --forget person-count" in caught.value.hint
    app.record = None  # removal does not change hands, forgetting does
    with pytest.raises(PinnedKeyError):
        app.install("2.0.0", "b")
    app.memory = None
    assert app.install("2.0.0", "b").change == "first"


def test_a_lost_memory_is_made_up_from_what_is_installed(app):
    app.install("2.0.0", "a")
    app.memory = None
    with pytest.raises(PinnedKeyError):
        app.install("3.0.0", "b")
    with pytest.raises(DowngradeError):
        app.install("1.0.0", "a")


def test_a_second_signature_is_not_pinned_later(app):
    app.install("1.0.0", "a")
    assert app.install("1.1.0", "a", "b").pinned == app.ids("a")
    with pytest.raises(PinnedKeyError):
        app.install("1.2.0", "b")


def test_keys_pinned_together_may_each_go_on_alone_but_not_back(app):
    assert app.install("1.0.0", "a", "b").pinned == app.ids("a", "b")
    app.install("3.0.0", "a")
    for _ in range(2):  # the other key's ratchet is lower; but this one is in use too, after a removal as well
        with pytest.raises(DowngradeError):
            app.install("2.0.0", "b")
        app.record = None


def test_rotation_hands_the_app_over(app):
    app.install("1.0.0", "a")
    app.trust = store(*"ab", rotated=["ab"])
    assert app.install("1.1.0", "b").pinned == app.ids("a", "b")
    app.trust = store(*"ab")  # the statement is no longer there: what was learnt stays
    assert app.install("1.2.0", "b").change == "upgrade"


def test_a_replaced_key_installs_nothing(app):
    app.install("1.0.0", "a")
    app.trust = store(*"ab", rotated=["ab"])
    with pytest.raises(RevokedKeyError, match="have been replaced"):
        app.install("1.1.0", "a")
    assert app.install("1.1.0", "a", "b").key_ids == app.ids("b")


def test_the_ratchet_starts_anew_with_a_new_key(app):
    """A thief of the old key signed 99.0.0: its successor is not bound by that."""
    app.install("1.0.0", "a")
    app.install("99.0.0", "a")
    app.trust = store(*"ab", rotated=["ab"])
    assert app.install("1.1.0", "b").change == "downgrade"
    with pytest.raises(DowngradeError):
        app.install("1.0.1", "b")


def test_the_ratchet_starts_anew_after_a_revocation(app):
    app.install("1.0.0", "a", "b")
    app.install("99.0.0", "a")
    app.trust = store(*"ab", revoked="a")
    assert app.install("1.1.0", "b").change == "downgrade"


def test_too_few_keys_that_still_count(app):
    app.trust = store(*"abc", rotated=["ac"], threshold=2)
    made = bundle("1.0.0", "a", "b")
    with pytest.raises(ThresholdError, match="1 present keys, 2 are needed"):
        judge(made.verified(), None, None, app.trust)
    assert app.install("1.0.0", "b", "c").key_ids == app.ids("b", "c")


def test_judging_changes_nothing(app):
    app.install("1.0.0")
    before = msgspec.json.encode([app.record, app.memory])
    judge(bundle("2.0.0").verified(), app.record, app.memory, trust())
    assert msgspec.json.encode([app.record, app.memory]) == before
    assert dataclasses.fields(judge(bundle("2.0.0").verified(), None, None, trust()))


VERSIONS = ["0.9.0", "1.0.0-rc.1", "1.0.0", "1.1.0", "2.0.0", "99.0.0"]
MADE = {(version, name): bundle(version, name).verified() for version in VERSIONS for name in "abc"}


class AppLife(RuleBasedStateMachine):
    """Any order of installing, rolling back, removing, rotating and revoking. What must hold is told per key."""

    def __init__(self):
        super().__init__()
        self.record = self.memory = self.previous = None
        self.rotated, self.revoked = (), ""
        self.publisher = None
        self.highest = {}

    @property
    def trust(self):
        return store(*"abc", rotated=self.rotated, revoked=self.revoked)

    @rule(version=st.sampled_from(VERSIONS), name=st.sampled_from("abc"))
    def install(self, version, name):
        verified = MADE[version, name]
        if name in self.revoked:
            return  # verification refuses it before anything is judged
        try:
            verdict = judge(verified, self.record, self.memory, self.trust)
        except BundleError:
            # Nothing that its publisher made in the right order is ever refused.
            in_use = [v for key, versions in self.highest.items() if self._in_use(key) for v in versions]
            newest = max([*in_use, *self._installed()], default=None, key=precedence)
            in_order = newest is None or precedence(version) > precedence(newest)
            assert not (in_order and self._may_sign(name))
            return
        assert self._may_sign(name)
        if verdict.change != "same":
            assert all(precedence(old) <= precedence(version) for old in self.highest.get(name, []))
        made = bundle(version, name)
        self.previous, self.record = self.record, record_of(made, verdict)
        self.memory = remember(self.memory, self.record)
        self.highest.setdefault(name, []).append(version)
        self.publisher = self.publisher or name

    @precondition(lambda self: self.previous is not None)
    @rule()
    def roll_back(self):
        self.record, self.previous = self.previous, None

    @precondition(lambda self: self.record is not None)
    @rule()
    def remove(self):
        self.record = self.previous = None

    @precondition(lambda self: not self.rotated)
    @rule()
    def rotate(self):
        self.rotated = ("ab",)

    @precondition(lambda self: not self.revoked)
    @rule()
    def revoke(self):
        self.revoked = "c"

    def _in_use(self, name):
        return name not in self.revoked and not (self.rotated and name == "a")

    def _installed(self):
        return [self.record.version] if self.record is not None else []

    def _may_sign(self, name):
        if self.rotated and name == "a":
            return False
        return self.publisher in {None, name} or (bool(self.rotated) and (self.publisher, name) == ("a", "b"))

    @invariant()
    def memory_knows_the_highest(self):
        for name, versions in self.highest.items():
            highest = max(versions, key=precedence)
            assert self.memory.highest[KEYS[name].public.key_id].version == highest


AppLife.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestAppLife = AppLife.TestCase
