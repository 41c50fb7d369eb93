"""What the appliance's dashboard and gateway find (ADR-100)."""

import json
from hashlib import sha256

import pytest

from cogd.bundle.appliance import DEFAULT_CONFIG, AppConfig, adr100_manifest, read_config
from cogd.errors import ConfigError

from .factory import make_bundle

MADE = make_bundle()


def test_the_manifest_has_exactly_the_eight_fields():
    fields = json.loads(adr100_manifest(MADE.verified(), 1778772536))
    assert fields == {
        "id": "person-count",
        "version": "1.2.3",
        "binary_url": "",
        "binary_bytes": len(MADE.archive),
        "binary_sha256": sha256(MADE.archive).hexdigest(),
        "binary_signature": "",
        "installed_at": 1778772536,
        "status": "installed",
    }


def config(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_config(tmp_path)


def test_no_config_and_the_default_one_are_the_same(tmp_path):
    assert read_config(tmp_path) == read_config(tmp_path / "missing") == AppConfig()
    assert config(tmp_path, DEFAULT_CONFIG) == AppConfig()


def test_the_published_cogs_configs_are_taken(tmp_path):
    found = config(
        tmp_path,
        '{"sensing_url": "http://127.0.0.1:3000/api/v1/sensing/latest", "model_path": "pose_v1.safetensors",'
        ' "poll_ms": 40, "min_confidence": 0.185}',
    )
    assert (found.min_confidence, found.poll_ms) == (0.185, 40)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"volume": 11}', "volume"),
        ('{"min_confidence": 1.01}', "min_confidence"),
        ('{"min_confidence": -0.01}', "min_confidence"),
        ('{"min_confidence": null}', "min_confidence"),
        ('{"min_confidence": "0.3"}', "min_confidence"),
        ('{"min_confidence": 0.1, "min_confidence": 0.9}', "min_confidence"),
        ('{"poll_ms": 9}', "poll_ms"),
        ('{"poll_ms": 1001}', "poll_ms"),
        ('{"poll_ms": 40.5}', "poll_ms"),
        ('{"sensing_url": "not a url"}', "sensing_url"),
        ('{"model_path": ""}', "model_path"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, key):
    with pytest.raises(ConfigError, match=rf"config\.json: .*{key}") as caught:
        config(tmp_path, text)
    assert "min_confidence, sensing_url, model_path, poll_ms" in caught.value.hint


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff", b'{"a": NaN}', b"[" * 60_000])
def test_what_is_no_config(tmp_path, raw):
    with pytest.raises(ConfigError, match=r"config\.json: "):
        config(tmp_path, raw)


def test_what_can_not_be_read(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigError, match="is not a regular file"):
        read_config(tmp_path)
    (tmp_path / "config.json").rmdir()
    with pytest.raises(ConfigError, match="more than 65536"):
        config(tmp_path, b" " * 65_537)
