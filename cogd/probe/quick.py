"""The quick way: verify an app, load its model by the C API, run the golden input once, compare."""

from __future__ import annotations

import json
import os
import re
import time
from array import array

import cogd
from cogd.backends.onnx_file import check_self_contained
from cogd.backends.onnx_static import unbounded_reason
from cogd.bundle.archive import read_archive_file
from cogd.bundle.authentic import authenticate, bundle_digest, check_file
from cogd.bundle.features import KNOWN_FEATURES
from cogd.bundle.folder import app_names, open_folder, pointer, read_present
from cogd.bundle.layout import CONFIG_NAME
from cogd.bundle.members import ENVELOPE_NAME, MANIFEST_NAME, size_limit
from cogd.bundle.regular import read_regular_file
from cogd.bundle.semver import is_at_least
from cogd.bundle.trust import TrustStore
from cogd.csi.input_rules import SUBCARRIERS
from cogd.defaults import DEMO_APPS, DEMO_KEY
from cogd.device import device_targets
from cogd.errors import CogdError
from cogd.heads.rules import find_check
from cogd.probe.facts import Facts, read_tensors
from cogd.probe.golden import MAX_BATCH, golden_windows, largest_difference, prepare
from cogd.probe.live import tell
from cogd.probe.not_quick import NotQuick
from cogd.probe.ort import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cogd.probe.facts import Tensor
    from cogd.probe.options import Options
    from cogd.probe.ort import Runtime, Starting


class _Verified:
    """An app all of whose files are the signed ones, with what the proof needs."""

    __slots__ = ("backend", "digest", "expected", "facts", "model", "prepared", "rows", "tolerance")

    def __init__(self, facts: Facts, digest: str, files: Mapping[str, bytes]) -> None:
        """Make everything ready but the session.

        Raises:
            NotQuick: something is not as expected.
        """
        self.facts, self.digest = facts, digest
        self.backend, file, self.tolerance = _first_variant(facts)
        if facts.subcarriers != SUBCARRIERS:
            raise NotQuick(f"{facts.subcarriers} subcarriers")
        _check_head(facts, files)
        golden = read_tensors(facts.golden_file, files[facts.golden_file])
        windows = golden_windows(facts, golden)
        normaliser = read_tensors(facts.normaliser, files[facts.normaliser]) if facts.normaliser else None
        self.rows = windows.shape[0]
        self.prepared: array[float] = prepare(facts, windows, normaliser)
        self.expected: list[tuple[str, Tensor]] = []
        for tensor in facts.output.tensors:
            expected = golden.get(tensor.name)
            if expected is None or expected.shape != [self.rows, *tensor.shape]:
                raise NotQuick(f"{facts.golden_file} lacks the expected {tensor.name}")
            self.expected.append((tensor.name, expected))
        self.model = files[file]
        check_self_contained(self.model)
        if (reason := unbounded_reason(self.model, (facts.subcarriers, facts.frames), MAX_BATCH)) is not None:
            raise NotQuick(f"the model may loop or grow ({reason}): it is checked in a process that can be ended")

    def run(self, runtime: Runtime) -> tuple[float, float]:
        """The largest difference from the golden output, and how long the run took in milliseconds.

        Raises:
            NotQuick: the golden output was not reproduced.
            ModelError: ONNX Runtime can't load or run the model.
        """
        facts = self.facts
        session = Session(runtime, self.model)
        try:
            wanted_input = [-1, facts.subcarriers, facts.frames]
            if [tensor.shape for tensor in session.inputs] != [wanted_input]:
                raise NotQuick("the model's input")
            outputs = {tensor.name: tensor.shape for tensor in session.outputs}
            for name, expected in self.expected:
                if outputs.get(name.encode()) != [-1, *expected.shape[1:]]:
                    raise NotQuick(f"the model's output {name}")
            names = [name.encode() for name, _ in self.expected]
            started_s = time.perf_counter()
            results = session.run(self.prepared, [self.rows, *wanted_input[1:]], names)
            took_ms = (time.perf_counter() - started_s) * 1e3
        finally:
            session.close()
        worst = 0.0
        for (name, expected), (shape, data) in zip(self.expected, results, strict=True):
            if shape != expected.shape:
                raise NotQuick(f"the model's output {name}")
            error = largest_difference(array("f", data), expected.values)
            if not error <= self.tolerance / 2:  # a NaN is a mismatch too; what is near the limit is not judged here
                raise NotQuick(f"{facts.id} is off its golden output by {error:.3g}")
            worst = max(worst, error)
        return worst, took_ms


def prove(options: Options, starting: Starting) -> int:
    """Prove the apps and print a `health.ok` for each; returns 0.

    Raises:
        NotQuick: the ordinary way must judge; nothing was printed.
        OSError: standard output can't be written.
    """
    try:
        apps = [*_read_all(options)]
        if not apps:
            raise NotQuick("there is no app")
        runtime = starting.wait()
        lines = [_line(app, *app.run(runtime)) for app in apps]
        runtime.close()
    except CogdError as error:
        raise NotQuick(f"{error.code}: {error}") from None
    except (OSError, ValueError) as error:  # ValueErrors: what a name that is none for a file or for C raises
        raise NotQuick(str(error)) from None
    return tell(b"".join(lines), healthy=True)


def _line(app: _Verified, golden_error: float, took_ms: float) -> bytes:
    """The event, in the form that `cogd.events.encode` gives it."""
    fields = {
        "app": app.facts.id,
        "version": app.facts.version,
        "digest": app.digest,
        "backend": app.backend,
        "golden_error": golden_error,
        "golden_tolerance": app.tolerance,
        "golden_ms": round(took_ms, 3),
        "way": "c-api",
        "fallback_reason": None,
    }
    event = {"ts": time.time(), "level": "info", "event": "health.ok", "fields": fields}
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _read_all(options: Options) -> Iterator[_Verified]:
    """The app that was asked for, or every one, in the order of the ordinary way."""
    keys = [*options.trust, DEMO_KEY] if options.demo else options.trust
    directory = DEMO_APPS if options.demo and "apps_dir" not in options.flags else options.setting("apps_dir")
    trust = TrustStore.load([options.setting("trust_dir")], files=keys)
    if directory == DEMO_APPS:
        read, suffix = _read_archive, ".tar"
        names = sorted(name.removesuffix(suffix) for name in os.listdir(directory) if name.endswith(suffix))
    else:
        read, suffix = _read_folder, ""
        names = app_names(directory)
    for name in names if options.app_id is None else [name for name in names if name == options.app_id]:
        path = os.path.join(directory, name + suffix)
        app = read(path, trust)
        if app.facts.id != name:
            raise NotQuick(f"{path} holds the app {app.facts.id}")
        yield app


def _read_archive(path: str, trust: TrustStore) -> _Verified:
    members = read_archive_file(path)
    manifest = members.pop(MANIFEST_NAME)
    facts, digest = _authenticated(manifest, members.pop(ENVELOPE_NAME), trust)
    if members.keys() != {name for name, _, _ in facts.files}:
        raise NotQuick(f"{path} has other files than were signed")
    return _Verified(facts, digest, _checked(facts, members))


def _read_folder(path: str, trust: TrustStore) -> _Verified:
    _check_config(path)
    with open_folder(os.path.join(path, pointer(path))) as folder:
        signed = read_present(folder, {name: size_limit(name) for name in (MANIFEST_NAME, ENVELOPE_NAME)})
        if len(signed) < 2:
            raise NotQuick(f"{path}: the manifest or its envelope is missing")
        facts, digest = _authenticated(signed[MANIFEST_NAME], signed[ENVELOPE_NAME], trust)
        files = read_present(folder, {name: size for name, size, _ in facts.files})
    return _Verified(facts, digest, _checked(facts, files))


def _authenticated(manifest: bytes, envelope: bytes, trust: TrustStore) -> tuple[Facts, str]:
    """Signature first; only what is signed is read."""
    authenticate(manifest, envelope, trust)
    facts = Facts(manifest)
    try:
        is_met = facts.lowest_cogd.startswith(">=") and is_at_least(cogd.__version__, facts.lowest_cogd[2:])
    except ValueError:
        is_met = False
    if not is_met or {*facts.features} - KNOWN_FEATURES:
        raise NotQuick(f"{facts.id} requires cogd {facts.lowest_cogd} {facts.features}")
    return facts, bundle_digest(manifest)


def _checked(facts: Facts, files: Mapping[str, bytes]) -> dict[str, bytes]:
    checked = {name: check_file(name, files.get(name), size, sha256) for name, size, sha256 in facts.files}
    used = [facts.golden_file, facts.normaliser, facts.output.calibration, *(file for _, file, _, _ in facts.variants)]
    if unknown := [name for name in used if name is not None and name not in checked]:
        raise NotQuick(f"{unknown[0]} is not among the signed files")
    return checked


def _first_variant(facts: Facts) -> tuple[str, str, float]:
    """Backend, file and tolerance of the variant that the daemon would try first."""
    here = device_targets()
    for backend, file, precision, targets in facts.variants:
        if not targets or here & {*targets}:
            tolerance = facts.tolerance.get(precision)
            if backend != "ort":
                raise NotQuick(f"the backend is {backend}")
            if not isinstance(tolerance, float) or not 0 < tolerance <= 0.1:
                raise NotQuick(f"the golden tolerance for {precision}")
            return backend, file, tolerance
    raise NotQuick("no variant is for this device")


def _check_head(facts: Facts, files: Mapping[str, bytes]) -> None:
    output = facts.output
    tensors = read_tensors(output.calibration, files[output.calibration]) if output.calibration else {}
    check = find_check(facts.head)
    if check is None:
        raise NotQuick(f"the head {facts.head} has no rules")
    try:
        check(output, {name: tensor.values for name, tensor in tensors.items()})
    except CogdError:
        raise
    except Exception as error:  # noqa: BLE001  # the plugin border: a third party's rules may fail in any way
        raise NotQuick(f"the head {facts.head}: {type(error).__name__}: {error}") from None


def _check_config(folder: str) -> None:
    """See that an app's `config.json` is absent, or holds a plain `min_confidence` and nothing else."""
    try:
        raw = read_regular_file(os.path.join(folder, CONFIG_NAME), limit=4096, follow=True).data
    except FileNotFoundError:
        return
    except OSError as error:
        raise NotQuick(f"{CONFIG_NAME}: {error.strerror}") from None
    space = rb"[ \t\r\n]*"  # as JSON has it
    words = (rb"\{", rb'"min_confidence"', rb":", rb"(0|1|0\.[0-9]+|1\.0)", rb"\}")
    if re.fullmatch(space + space.join(words) + space, raw) is None:
        raise NotQuick(f"{CONFIG_NAME} holds more than a plain min_confidence")
