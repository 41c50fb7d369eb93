"""The manifest's schema: what it takes, and that nothing else escapes than its own error."""

import copy
import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogd import demo
from cogd.bench import standard
from cogd.bundle.archive import read_archive
from cogd.bundle.features import KNOWN_FEATURES
from cogd.bundle.manifest import (
    Manifest,
    Requires,
    check_expiry,
    check_requirements,
    encode_manifest,
    parse_manifest,
)
from cogd.bundle.members import MAX_MANIFEST_BYTES
from cogd.errors import ExpiredError, FeatureError, ManifestError, RequirementError

from .factory import make_bundle, make_manifest, manifest_json

VALID = manifest_json()
HEX = "0" * 64
ABSENT = object()


def dump(value: object) -> bytes:
    return json.dumps(value).encode()


def put(path: str, value: object) -> dict[str, object]:
    """A copy of the valid manifest's JSON with the value at the dotted `path` replaced, or removed."""
    whole = copy.deepcopy(VALID)
    *way, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
    target = whole
    for step in way:
        target = target[step]
    if value is ABSENT:
        del target[last]
    elif isinstance(target, list) and last == len(target):
        target.append(value)
    else:
        target[last] = value
    return whole


def entry(path: str, size: int = 1) -> dict[str, object]:
    return {"path": path, "size": size, "sha256": HEX}


def test_round_trip():
    raw = make_bundle().members["bundle.json"]
    manifest = parse_manifest(raw)
    assert encode_manifest(manifest) == raw
    assert raw.endswith(b"}\n")
    assert raw.startswith(b'{\n  "format": "cogd.bundle/1",\n  "id": "person-count"')
    assert manifest == msgspec.structs.replace(make_manifest(), files=manifest.files)


def test_encoding_does_not_depend_on_the_order_of_dicts():
    golden = make_manifest().golden
    one = msgspec.structs.replace(golden, tolerance={"fp32": 0.1, "int8": 0.01})
    two = msgspec.structs.replace(golden, tolerance={"int8": 0.01, "fp32": 0.1})
    assert encode_manifest(make_manifest(golden=one)) == encode_manifest(make_manifest(golden=two))


@pytest.mark.parametrize("value", [np.float32(1), "\ud800", object()])
def test_encoding_what_json_has_not(value):
    with pytest.raises(ManifestError):
        encode_manifest(make_manifest(id=value))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_does_not_come_back(value):
    manifest = parse_manifest(TEXT.encode())
    metric = msgspec.structs.replace(manifest.provenance.metrics[0], value=value)
    provenance = msgspec.structs.replace(manifest.provenance, metrics=[metric])
    with pytest.raises(ManifestError, match=r"metrics\[0\]\.value`"):
        parse_manifest(encode_manifest(msgspec.structs.replace(manifest, provenance=provenance)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("version", "10.0.0-rc.1"),
        ("id", "a1"),
        ("id", "--"),
        ("created", "2024-02-29T23:59:59Z"),
        ("expires", "2026-01-02T03:04:06Z"),
        ("expires", None),
        ("requires.cogd", ">=1.0.0-alpha.1"),
        ("requires.features", ["a-feature"]),
        ("head", "a-third-partys-head"),
        ("input.min_gap_s", 0),
        ("input.layout", "time_major_mislabelled_56x20"),
        ("input.normaliser", None),
        ("output.tensors.0.shape", []),
        ("output.trained_classes", None),
        ("output.labels.0", "niemand, 誰も"),
        ("golden.tolerance.fp16", 0.1),
        ("files.4", entry("LICENCE")),
        ("files.4", entry("a..b")),
        ("variants.1", {"backend": "hailo", "file": "model.onnx", "precision": "fp32", "targets": []}),
        ("provenance.data.0.sha256", HEX),
        ("provenance.limits.0", "two\nlines"),
        ("provenance.metrics.0.value", -3),
        ("provenance.metrics.0.better", "lower"),
        ("provenance.metrics.0.low", None),
    ],
)
def test_accepted(path, value):
    assert parse_manifest(dump(put(path, value))).format == "cogd.bundle/1"


@pytest.mark.parametrize(
    ("path", "value", "names"),
    [
        ("format", "cogd.bundle/2", "format"),
        *(("id", value, "$.id") for value in ("a", "A1", "a" * 33, "a_b", "a b", "ab\n", "äb", 12, None)),
        *(("head", value, "$.head") for value in ("", "Pose", "../pose")),
        *(("version", value, "$.version") for value in ("1.2", "1.2.3+b", "v1.2.3", "1.2.3\n", "1.2.٣", "01.2.3")),
        ("version", "1.2.3-" + "a" * 64, "$.version"),
        *(
            ("created", value, "$.created")
            for value in (
                "2026-01-02",
                "2026-01-02T03:04:05+00:00",
                "2026-01-02 03:04:05Z",
                "2026-01-02T03:04:05.5Z",
                "2026-02-30T03:04:05Z",
                "2026-01-02T24:00:00Z",
                "2026-01-02T03:04:60Z",
                "0000-01-02T03:04:05Z",
                "2026-01-02T03:04:05Z\n",
            )
        ),
        *(
            ("expires", value, "expires")
            for value in (
                VALID["created"],
                "2026-01-02T03:04:04Z",
                "2027-02-29T00:00:00Z",
                "2027-01-02",
                "2027-01-02T00:00:00+00:00",
                "never",
                "",
                1,
            )
        ),
        *(("requires.cogd", value, "$.requires.cogd") for value in ("0.1.0", ">0.1.0", ">= 0.1.0", ">=0.1", "")),
        ("requires.features", ["aa", "aa"], "requires.features[1]"),
        ("requires.features", [f"f{n}" for n in range(65)], "$.requires.features"),
        ("requires.features", ["A"], "$.requires.features[0]"),
        ("requires.more", 1, "more"),
        ("input.layout", "other", "$.input.layout"),
        ("input.tones", "ht20", "$.input.tones"),
        ("input.subcarriers", 0, "$.input.subcarriers"),
        ("input.subcarriers", 513, "$.input.subcarriers"),
        ("input.subcarriers", 56.0, "$.input.subcarriers"),
        ("input.subcarriers", True, "$.input.subcarriers"),
        ("input.frames", 1, "$.input.frames"),
        ("input.frames", 1025, "$.input.frames"),
        ("input.rate_hz", 0, "$.input.rate_hz"),
        ("input.rate_hz", 1000.5, "$.input.rate_hz"),
        ("input.rate_hz", "25", "$.input.rate_hz"),
        ("input.min_gap_s", -0.1, "$.input.min_gap_s"),
        ("input.max_gap_s", 0.01, "$.input.max_gap_s"),
        ("input.max_gap_s", 60.1, "$.input.max_gap_s"),
        ("input.gain", "agc", "$.input.gain"),
        ("input.normaliser", "no.safetensors", "$.input.normaliser"),
        ("input.normaliser", "bundle.json", "$.input.normaliser"),
        ("input.rate_hz", ABSENT, "rate_hz"),
        ("output.tensors", [], "$.output.tensors"),
        ("output.tensors", [{"name": "a", "shape": [1]}] * 2, "output.tensors[1]"),
        ("output.tensors.0.shape", [0], "shape"),
        ("output.tensors.0.shape", [1] * 8, "shape"),
        ("output.labels", ["a", "b", "a"], "output.labels[2]"),
        ("output.labels.0", "", "labels[0]"),
        ("output.labels.0", "\x1b[31m", "labels[0]"),
        ("output.trained_classes", [], "trained_classes"),
        ("output.trained_classes", [1, 0], "output.trained_classes"),
        ("output.trained_classes", [1, 1], "output.trained_classes"),
        ("output.trained_classes", [0, 3], "output.trained_classes"),
        ("output.trained_classes", [-1], "trained_classes[0]"),
        ("output.confidence", "softmax", "$.output.confidence"),
        ("output.confidence", "platt", "$.output.calibration"),
        ("output.calibration", "golden.safetensors", "$.output.calibration"),
        ("variants", [], "$.variants"),
        ("variants.0.file", "other.onnx", "$.variants[0].file"),
        ("variants.0.precision", "fp64", "$.variants[0].precision"),
        ("variants.0.precision", "int8", "$.golden.tolerance"),
        ("variants.0.targets", ["a b"], "$.variants[0].targets[0]"),
        ("variants.1", VALID["variants"][0], "$.variants[1]"),
        ("golden.file", "nothing", "$.golden.file"),
        *(("golden.tolerance.fp32", value, "$.golden.tolerance") for value in (0, -1, 0.11, 1e-999, True, None)),
        ("golden.tolerance", {}, "$.golden.tolerance"),
        ("golden.tolerance.fp64", 0.1, "$.golden.tolerance"),
        ("files", [], "$.files"),
        ("files", [entry(f"f{n}") for n in range(63)], "$.files"),
        ("files.0", entry("README.md"), "MODEL_CARD.md"),
        *(
            ("files.4", entry(name), "$.files[4].path")
            for name in (
                "",
                ".",
                "..",
                "../a",
                "a/b",
                "/a",
                ".a",
                "a b",
                "a\\b",
                "a\n",
                "a" * 101,
                "-a",
                "é",
                "a\0",
            )
        ),
        *(
            ("files.4", entry(name), "$.files[4].path")
            for name in ("bundle.json", "bundle.dsse.json", "Bundle.JSON", "config.json", "manifest.json", "PID")
        ),
        ("files.4", entry("model.onnx"), "$.files[4]"),
        ("files.4", entry("MODEL.onnx"), "$.files[4]"),
        ("files.4", entry("big", (64 << 20) + 1), "$.files[4].size"),
        ("files.4", entry("big", 64 << 20), "$.files"),
        ("files.0.size", -1, "$.files[0].size"),
        ("files.0.sha256", "0" * 63, "$.files[0].sha256"),
        ("files.0.sha256", "A" * 64, "$.files[0].sha256"),
        ("files.0.sha256", HEX + "\n", "$.files[0].sha256"),
        ("provenance.trainer", "", "$.provenance.trainer"),
        ("provenance.data.0.sha256", "x", "$.provenance.data[0].sha256"),
        ("provenance.data.0.licence", ABSENT, "licence"),
        ("provenance.metrics.0.baseline_value", ABSENT, "baseline_value"),
        ("provenance.metrics.0.value", None, "$.provenance.metrics[0].value"),
        ("provenance.metrics.0.n", -1, "$.provenance.metrics[0].n"),
        ("provenance.metrics.0.n", 1 << 80, "$.provenance.metrics[0].n"),
        ("provenance.metrics.0.better", "bigger", "$.provenance.metrics[0].better"),
        ("provenance.metrics.0.low", "0.5", "$.provenance.metrics[0].low"),
        ("provenance.metrics.0.interval", "", "$.provenance.metrics[0].interval"),
        *((f"provenance.metrics.0.{one}", 1, "$.provenance.metrics[0]") for one in ("low", "high")),
        ("provenance.metrics.0.interval", "95 %", "$.provenance.metrics[0]"),
        ("provenance.limits", "none", "$.provenance.limits"),
        ("more", 1, "more"),
        ("golden", ABSENT, "golden"),
    ],
)
def test_refused_and_named(path, value, names):
    with pytest.raises(ManifestError) as error:
        parse_manifest(dump(put(path, value)))
    assert names in str(error.value)
    assert str(error.value).startswith("bundle.json: ")


@pytest.mark.parametrize(("field", "value"), [("subcarriers", 55), ("frames", 21)])
def test_the_mislabelled_layout_has_one_size(field, value):
    whole = put("input.layout", "time_major_mislabelled_56x20")
    whole["input"][field] = value
    with pytest.raises(ManifestError, match=r"\$\.input\.layout"):
        parse_manifest(dump(whole))


def test_platt_with_its_file():
    whole = put("output.confidence", "platt")
    whole["output"]["calibration"] = "calibration.safetensors"
    with pytest.raises(ManifestError, match="calibration"):
        parse_manifest(dump(whole))
    whole["files"].append(entry("calibration.safetensors"))
    assert parse_manifest(dump(whole)).output.calibration == "calibration.safetensors"


INTERVAL = {"low": 0.7, "high": 0.8, "interval": "95 %, percentile bootstrap over 12 rooms"}


def test_a_figure_with_its_interval():
    whole = put("provenance.metrics.0.better", "higher")
    whole["provenance"]["metrics"][0] |= INTERVAL
    manifest = parse_manifest(dump(whole))
    metric = manifest.provenance.metrics[0]
    assert (metric.better, metric.low, metric.high, metric.interval) == ("higher", *INTERVAL.values())
    assert parse_manifest(encode_manifest(manifest)) == manifest


@pytest.mark.parametrize(("low", "high"), [(0.7, 0.7), (0.8, 0.9), (-1.0, 0.0)])
def test_an_interval_need_not_hold_a_biased_figure(low, high):
    whole = put("provenance.metrics.0.low", low)
    whole["provenance"]["metrics"][0] |= {"high": high, "interval": INTERVAL["interval"]}
    assert parse_manifest(dump(whole)).provenance.metrics[0].low == low


@pytest.mark.parametrize("absent", INTERVAL)
def test_an_interval_is_said_in_full(absent):
    whole = put("provenance.metrics.0.better", "higher")
    whole["provenance"]["metrics"][0] |= INTERVAL
    del whole["provenance"]["metrics"][0][absent]
    with pytest.raises(ManifestError, match=r"together or not at all - at `\$\.provenance\.metrics\[0\]`"):
        parse_manifest(dump(whole))


def test_an_interval_has_its_ends_in_order():
    whole = put("provenance.metrics.0.low", 0.81)
    whole["provenance"]["metrics"][0] |= {"high": 0.8, "interval": "95 %"}
    with pytest.raises(ManifestError, match=r"0\.81 is above high, 0\.8 - at `\$\.provenance\.metrics\[0\]\.low`"):
        parse_manifest(dump(whole))


def test_a_figure_without_them_is_written_without_them():
    raw = encode_manifest(make_manifest())
    assert list(json.loads(raw)["provenance"]["metrics"][0])[-1] == "n"
    assert b'"low"' not in raw


TEXT = json.dumps(VALID)


@pytest.mark.parametrize(
    "raw",
    [
        TEXT.replace('"id":', '"id": "other", "id":'),
        TEXT.replace('"id":', '"\\u0069d": "other", "id":'),
        TEXT.replace('"id":', '"id": "person-count", "id":'),
        TEXT.replace('"rate_hz":', '"rate_hz": 20, "rate_hz":'),
        TEXT.replace('"fp32": 0.0001', '"fp32": 0.1, "fp32": 0.0001'),
    ],
)
def test_a_key_twice(raw):
    assert raw != TEXT
    with pytest.raises(ManifestError, match=r"the key `(id|rate_hz|fp32)` is there twice"):
        parse_manifest(raw.encode())


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"x"',
        b"[" * 500_000,
        b'{"a":' * 150_000,
        b'{"id":' + b"[" * 500_000,
        b'{"files":' + b"[" * 500_000,
        TEXT.encode() + b"x",
        TEXT.encode() + TEXT.encode(),
        TEXT.encode("utf-16"),
        b"\xef\xbb\xbf" + TEXT.encode(),
        TEXT.replace("25.0", "NaN").encode(),
        TEXT.replace("25.0", "Infinity").encode(),
        TEXT.replace("25.0", "1e999").encode(),
        TEXT.replace("25.0", "1" * 5000).encode(),
        TEXT.replace("1000", "1" * 5000).encode(),
        TEXT.replace("0.75", "-1e400").encode(),
        TEXT.replace("simulated", "\\ud800").encode(),
        TEXT.encode().replace(b"simulated", b"\xff"),
        TEXT.encode().replace(b"simulated", b"\xed\xa0\x80"),
        TEXT.encode().replace(b'"id"', b'"\xff"'),
        TEXT.replace("'", '"').replace("{", "{/**/", 1).encode(),
        TEXT.replace("]}", ",]}").encode(),
        b" " * (MAX_MANIFEST_BYTES + 1),
        b"{" + b'"a":1,' * 100_000 + b'"a":1}',
    ],
    ids=range(27),
)
def test_broken_json(raw):
    with pytest.raises(ManifestError) as error:
        parse_manifest(raw)
    assert len(str(error.value)) < 400


def test_size():
    padded = TEXT.ljust(MAX_MANIFEST_BYTES)
    assert parse_manifest(padded.encode()).id == VALID["id"]
    with pytest.raises(ManifestError, match="has 1048577 bytes, more than 1048576"):
        parse_manifest(padded.encode() + b" ")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_garbage(raw):
    with pytest.raises(ManifestError):
        parse_manifest(raw)


@given(st.data())
def test_any_bytes_changed(data):
    raw = bytearray(TEXT.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        manifest = parse_manifest(bytes(raw))
    except ManifestError:
        return
    assert parse_manifest(encode_manifest(manifest)) == manifest


def _paths(value: object, before: str = "") -> list[str]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    here = [before.removeprefix(".")] if before else []
    return here + [path for key, inner in items for path in _paths(inner, f"{before}.{key}")]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(_paths(VALID)), json_values)
def test_any_value_in_any_place(path, value):
    try:
        manifest = parse_manifest(dump(put(path, value)))
    except ManifestError:
        return
    assert parse_manifest(encode_manifest(manifest)) == manifest


def test_every_key_is_required():
    for path in _paths(VALID):
        if path != "input.kind" and not path.rsplit(".", 1)[-1].isdecimal():
            with pytest.raises(ManifestError):
                parse_manifest(dump(put(path, ABSENT)))


@pytest.mark.parametrize(
    ("needs", "have", "enough"),
    [
        ("0.1.0", "0.1.0", True),
        ("0.1.0", "0.10.0", True),
        ("0.9.0", "0.10.0", True),
        ("0.10.0", "0.9.9", False),
        ("1.0.0", "1.0.0-rc.1", False),
        ("1.0.0-rc.1", "1.0.0", True),
        ("0.1.0", "1.0.dev3", False),
    ],
)
def test_requirement_of_a_version(needs, have, enough):
    manifest = make_manifest(requires=Requires(cogd=f">={needs}", features=[]))
    if enough:
        check_requirements(manifest, have)
    else:
        with pytest.raises(RequirementError, match=have):
            check_requirements(manifest, have)


def test_requirement_of_a_feature():
    manifest = make_manifest(requires=Requires(cogd=">=0.1.0", features=["complex-input", "two-nodes"]))
    check_requirements(manifest, "0.1.0", frozenset({"complex-input", "two-nodes", "more"}))
    with pytest.raises(FeatureError, match=r": two-nodes$"):
        check_requirements(manifest, "0.1.0", frozenset({"complex-input"}))
    with pytest.raises(FeatureError):
        check_requirements(manifest, "0.1.0")
    assert frozenset({"cell-median"}) == KNOWN_FEATURES


def cells(**changes: object) -> Manifest:
    """A manifest whose columns are cells, with fields of its input replaced."""
    manifest = make_manifest(requires=Requires(cogd=">=0.1.0", features=["cell-median"]))
    wanted = {"columns": "cell_median", "gain": "none", "min_gap_s": 0.0, "rate_hz": 20.0} | changes
    spec = msgspec.structs.replace(manifest.input, normaliser=None, **wanted)
    return msgspec.structs.replace(manifest, input=spec, files=parse_manifest(TEXT.encode()).files)


class TestTheKindOfInput:
    def test_is_written_first(self):
        assert next(iter(json.loads(encode_manifest(make_manifest()))["input"].items())) == ("kind", "csi")

    def test_is_csi_where_it_is_absent(self):
        assert parse_manifest(dump(put("input.kind", ABSENT))) == parse_manifest(dump(VALID))

    @pytest.mark.parametrize("kind", ["image", "CSI", "", "csi\n"])
    def test_that_is_not_known_is_refused_with_what_helps(self, kind):
        with pytest.raises(ManifestError, match=r"input\.kind: .*this cogd knows `csi`") as refused:
            parse_manifest(dump(put("input.kind", kind)))
        assert "update cogd" in refused.value.hint


class TestColumnsThatAreCells:
    def test_are_read_as_written_and_name_their_feature(self):
        manifest = cells()
        assert parse_manifest(encode_manifest(manifest)) == manifest
        check_requirements(manifest, "0.1.0")
        assert parse_manifest(encode_manifest(cells(rate_hz=5.0))).input.max_gap_s == 0.2  # as long as a cell

    @pytest.mark.parametrize(
        ("changes", "names"),
        [
            ({"min_gap_s": 0.01}, "input.min_gap_s"),
            ({"gain": "window_rms"}, "input.gain"),
            ({"rate_hz": 4.9}, "input.rate_hz"),
            ({"columns": "cells"}, "input.columns"),
        ],
    )
    def test_want_an_input_that_fits(self, changes, names):
        with pytest.raises(ManifestError, match=rf"\$\.{names}`"):
            parse_manifest(encode_manifest(cells(**changes)))

    @pytest.mark.parametrize(("columns", "features"), [("frames", ["cell-median"]), ("cell_median", ["other"])])
    def test_and_the_feature_go_together(self, columns, features):
        manifest = cells(columns=columns)
        requires = Requires(cogd=">=0.1.0", features=features)
        with pytest.raises(ManifestError, match=r"\$\.input\.columns`"):
            parse_manifest(encode_manifest(msgspec.structs.replace(manifest, requires=requires)))

    def test_that_are_frames_are_not_written(self):
        assert b"columns" not in encode_manifest(make_manifest())
        said = put("input.columns", "frames")
        assert parse_manifest(dump(said)).input.columns == "frames"


def test_without_an_expiry_the_encoding_is_as_it_ever_was():
    assert b"expires" not in encode_manifest(make_manifest())
    archives = [*demo.APPS.glob("*.tar"), *standard.APPS.glob("*.tar")]
    assert len(archives) == 5
    for archive in archives:
        raw = read_archive(archive.read_bytes())["bundle.json"]
        kind = b'    "kind": "csi",\n'  # was not written when these were made
        assert encode_manifest(parse_manifest(raw)).replace(kind, b"") == raw.replace(kind, b"")


def test_an_expiry_stands_beside_the_time_of_making():
    raw = make_bundle(expires="2027-01-02T03:04:05Z").members["bundle.json"]
    assert list(json.loads(raw))[3:5] == ["created", "expires"]
    assert parse_manifest(raw).expires == "2027-01-02T03:04:05Z"


CREATED_S = 1767323045  # date -u -d 2026-01-02T03:04:05Z +%s


@pytest.mark.parametrize("now_s", [0, CREATED_S, 1e12])
def test_what_has_no_expiry_never_expires(now_s):
    check_expiry(make_manifest(), now_s)


def test_expiry():
    manifest = make_manifest(expires="2026-01-02T03:05:05Z")
    for now_s in (CREATED_S, CREATED_S + 59.9):
        check_expiry(manifest, now_s)
    for now_s in (CREATED_S + 60, CREATED_S + 1e9):
        with pytest.raises(ExpiredError, match=r"person-count 1\.2\.3: expired at 2026-01-02T03:05:05Z; it is 20"):
            check_expiry(manifest, now_s)


@pytest.mark.parametrize("now_s", [0, -1, CREATED_S - 0.1])
def test_a_clock_that_stands_before_the_time_of_making_is_wrong(now_s):
    with pytest.raises(ExpiredError, match="the clock shows") as error:
        check_expiry(make_manifest(expires="2026-01-02T03:05:05Z"), now_s)
    assert "clock" in error.value.hint


def test_types_are_frozen():
    manifest = parse_manifest(TEXT.encode())
    with pytest.raises(AttributeError):
        manifest.id = "other"
    assert isinstance(manifest, Manifest)
