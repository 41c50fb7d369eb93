"""The golden check in a child process: what a model does to it, it does to nobody else, and not for long."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest

from cogd.bundle.manifest import Golden
from cogd.errors import DigestError, GoldenError, ModelError, PluginError
from cogd.runtime import golden_request
from cogd.runtime.golden_process import check_in_child, prove_in_child
from cogd.runtime.loader import LIMITS, LoadLimits
from tests.backends.onnx_bytes import (
    field,
    graph,
    graph_attribute,
    model,
    node,
    tensor,
    tensor_attribute,
    value_info,
)
from tests.bundle.factory import KEY, OTHER_KEY, trust

from .factory import FRAMES, files_of, runnable_bundle
from .hostile import hostile_bundle, plugin_folder

SHORT = LoadLimits(wall_s=2.0, cpu_s=10.0)


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """The hostile distribution, on the path of this process and so of its children."""
    monkeypatch.syspath_prepend(str(plugin_folder(tmp_path / "hostile")))
    return tmp_path / "hostile"


def check(made, limits=SHORT):
    return check_in_child(made.verified(), made.trust, limits)


def of_model(onnx: bytes, **changes):
    return runnable_bundle("pose", files_of("pose", **{"model.onnx": onnx}), **changes)


def children() -> list[int]:
    """Process ids of this process's children, zombies included."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                if int(file.read().rpartition(")")[2].split()[1]) == os.getpid():
                    found.append(int(name))
        except OSError:
            continue
    return found


class TestAGoodApp:
    def test_is_checked(self):
        made = runnable_bundle()
        before = children()
        checked = check(made)
        assert (checked.backend, checked.golden_tolerance, checked.proofs) == ("ort", 1e-4, [])
        assert 0 <= checked.golden_error <= 1e-4
        assert checked.golden_ms > 0
        assert children() == before

    def test_is_measured(self):
        made = runnable_bundle()
        (proof,) = prove_in_child(made.verified(), made.trust)
        assert (proof.backend, proof.runs) == ("ort", 100)
        assert 0 < proof.latency_p50_ms <= proof.latency_p90_ms

    def test_may_write_to_standard_output_without_harm(self, hostile, capfd):
        check(hostile_bundle("run-write"))
        assert capfd.readouterr().out == ""


class TestARefusal:
    def test_is_the_error_that_it_is_here(self):
        with pytest.raises(GoldenError) as raised:
            check(runnable_bundle(golden=Golden(file="golden.safetensors", tolerance={"fp32": 1e-12})))
        assert raised.value.hint == GoldenError.hint
        with pytest.raises(PluginError, match="no head 'tarot'"):
            check(runnable_bundle(head="tarot"))

    @pytest.mark.parametrize("line", [b"\n", b"{}\n", b'{"type":"checked"}\n', b"\xff\n", b'{"type":"refused"}\n'])
    def test_in_another_form_is_no_answer(self, line):
        with pytest.raises(ModelError, match="gave no answer"):
            golden_request.parse("pose-app", line)

    def test_with_an_unknown_code_is_a_bad_model(self):
        with pytest.raises(ModelError, match="so there"):
            golden_request.parse("pose-app", b'{"type":"refused","code":"lock","message":"so there","hint":""}\n')


class TestTheRequest:
    def test_can_not_be_changed(self):
        made = runnable_bundle()
        fd = golden_request.seal(made.verified(), made.trust, timed=False, limits=SHORT)
        try:
            for change in (lambda: os.write(fd, b"x"), lambda: os.truncate(fd, 0), lambda: os.pwrite(fd, b"x", 0)):
                with pytest.raises(PermissionError):
                    change()
            request, bundle = golden_request.read(os.dup(fd))
            assert bundle.digest == request.digest == made.verified().digest
            assert request.limits == SHORT
        finally:
            os.close(fd)

    def test_is_verified_again(self):
        made, other = runnable_bundle(), runnable_bundle(version="9.9.9")
        seal = golden_request.seal(other.verified(), trust(KEY, OTHER_KEY), timed=False, limits=SHORT)
        with open(seal, "rb") as file:
            file.seek(0)
            line = file.readline().replace(other.verified().digest.encode(), made.verified().digest.encode())
            rest = file.read()
        fd = os.memfd_create("forged")
        os.write(fd, line + rest)
        with pytest.raises(DigestError, match="not the one that was verified"):
            golden_request.read(fd)


class TestWhatAModelDoes:
    @pytest.mark.parametrize(
        ("backend", "message"),
        [
            ("run-memory", "the backend run-memory ran out of memory: std::bad_alloc"),
            ("run-key", "the backend run-key failed: KeyError"),
            ("run-exit", "the backend run-exit failed: SystemExit: 3"),
            ("run-vanish", r"ended without an answer \(exit 0\)"),
            ("load-abort", r"crashed the process that checked it \(SIGABRT\)"),
            ("run-segfault", r"crashed the process that checked it \(SIGSEGV\)"),
            ("run-loop", r"was not loaded within 2 s"),
            ("run-child", r"was not loaded within 2 s"),
            ("run-hoard", r"the backend run-hoard ran out of memory"),
        ],
    )
    def test_is_the_rejection_of_its_app(self, hostile, monkeypatch, backend, message):
        monkeypatch.setenv("HOSTILE_MARK", "mark-" + hostile.parent.name)
        before, started_s = children(), time.monotonic()
        with pytest.raises(ModelError, match=message) as raised:
            check(hostile_bundle(backend))
        assert raised.value.exit_status == 18
        assert raised.value.hint
        assert time.monotonic() - started_s < 20
        assert children() == before
        assert not processes_with("mark-" + hostile.parent.name)

    def test_with_the_processor_is_limited_by_itself(self, hostile):
        with pytest.raises(ModelError, match="used more than 1 s of processor time"):
            check(hostile_bundle("run-spin"), LoadLimits(wall_s=60.0, cpu_s=1.0))

    def test_at_an_installation_after_the_golden_run_too(self, hostile):
        made = hostile_bundle("late-segfault")
        with pytest.raises(ModelError, match="SIGSEGV"):
            prove_in_child(made.verified(), made.trust, SHORT)


def processes_with(word: str) -> list[int]:
    """Process ids of all processes with a word in their command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                if word.encode() in file.read().split(b"\0"):
                    found.append(int(name))
        except OSError:
            continue
    return found


INPUT = value_info("x", ("batch", 56, FRAMES))
OUTPUT = value_info("keypoints", ("batch", 34))
INT64 = 7


def whole(*numbers: int) -> bytes:
    """A tensor of 64-bit whole numbers; a single one has no axis."""
    dims = field(1, len(numbers)) if len(numbers) > 1 else b""
    return dims + field(2, INT64) + field(9, np.int64(numbers).tobytes())


def constant(name: str, value: bytes) -> bytes:
    return node("Constant", (), name, tensor_attribute("value", value))


def endless_loop() -> bytes:
    """A model that counts to the largest whole number."""
    truth = field(2, 9) + field(9, b"\x01")
    body = graph(
        [node("Identity", ("go",), "go_on"), node("Identity", ("was",), "now")],
        [],
        [value_info("i", (), INT64), value_info("go", (), 9), value_info("was", ("batch", 34))],
        [value_info("go_on", (), 9), value_info("now", ("batch", 34))],
    )
    weights = tensor("w", np.zeros((56 * FRAMES, 34), np.float32))
    nodes = [
        node("Flatten", ("x",), "flat"),
        node("MatMul", ("flat", "w"), "first"),
        constant("times", whole(2**63 - 1)),
        constant("yes", truth),
        node("Loop", ("times", "yes", "first"), "keypoints", graph_attribute("body", body)),
    ]
    return model(graph(nodes, [weights], [INPUT], [OUTPUT]))


def many_nodes(count: int) -> bytes:
    """A model of a long line of additions."""
    names = ["x", *(f"t{i}" for i in range(count))]
    nodes = [node("Add", (before, "x"), after) for before, after in pairwise(names)]
    nodes.append(node("Identity", (names[-1],), "keypoints"))
    return model(graph(nodes, [], [INPUT], [value_info("keypoints", ("batch", 34))]))


def bomb(floats: int) -> bytes:
    """A model that fills a tensor of so many numbers and adds their sum."""
    weights = tensor("w", np.zeros((56 * FRAMES, 34), np.float32))
    nodes = [
        node("Flatten", ("x",), "flat"),
        node("MatMul", ("flat", "w"), "first"),
        constant("size", field(1, 1) + field(2, INT64) + field(9, np.int64([floats]).tobytes())),
        node("ConstantOfShape", ("size",), "many"),
        node("ReduceSum", ("many",), "sum"),
        node("Add", ("first", "sum"), "keypoints"),
    ]
    return model(graph(nodes, [weights], [INPUT], [OUTPUT]))


class TestModelFiles:
    def test_have_less_than_30_s(self):
        assert LIMITS.wall_s <= 20
        assert LIMITS.cpu_s <= 20

    def refused(self, made, message):
        started_s = time.monotonic()
        with pytest.raises(ModelError, match=message) as raised:
            check(made, LoadLimits(wall_s=4.0))
        assert time.monotonic() - started_s < 14
        return raised.value

    def test_that_loop_for_ever(self):
        self.refused(of_model(endless_loop()), "was not loaded within 4 s")

    def test_with_400_000_nodes(self):
        self.refused(of_model(many_nodes(400_000)), ".")

    def test_that_fill_the_memory(self):
        assert "memory" in self.refused(of_model(bomb(25 << 30)), "out of memory|Failed to allocate").hint

    def test_of_absurd_shapes(self):
        self.refused(of_model(bomb(2**62)), ".")


PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from cogd.runtime.golden_process import check_in_child
from tests.runtime.hostile import hostile_bundle
made = hostile_bundle("run-child")
print("begins", flush=True)
check_in_child(made.verified(), made.trust)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_ends_it_at_once_and_leaves_no_process(hostile, number):
    mark = f"mark-{number}-{hostile.parent.name}"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(hostile)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOSTILE_MARK": mark},
    )
    with parent:
        assert parent.stdout.readline() == b"begins\n"
        until_s = time.monotonic() + 20
        while not processes_with(mark):
            assert time.monotonic() < until_s
            time.sleep(0.05)
        sent_s = time.monotonic()
        parent.send_signal(number)
        assert parent.wait(10) == -number  # as it would have ended without a child
        assert time.monotonic() - sent_s < 2
    if number != signal.SIGKILL:
        assert not processes_with(mark)
    else:  # the child dies with its parent; what a backend starts has to see to itself
        for pid in processes_with(mark):
            os.kill(pid, signal.SIGKILL)
    until_s = time.monotonic() + 5
    while processes_with("cogd.runtime.golden_child"):
        assert time.monotonic() < until_s
        time.sleep(0.05)
