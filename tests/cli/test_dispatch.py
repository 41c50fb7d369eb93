import subprocess
import sys
from types import SimpleNamespace

import pytest

from cogd import errors
from cogd.cli import VERBS, dispatch


def every_error() -> list[type[errors.CogdError]]:
    found = [errors.CogdError]
    for kind in found:
        found += kind.__subclasses__()
    return found


@pytest.fixture
def failing_verb(monkeypatch):
    """Makes `cogd version` end with an exception."""

    def fail(error: BaseException) -> None:
        def run(arguments):
            raise error

        verb = SimpleNamespace(add_arguments=lambda parser: None, run=run)
        monkeypatch.setattr(dispatch.importlib, "import_module", lambda name: verb)

    return fail


class TestATypedError:
    @pytest.mark.parametrize("kind", every_error())
    def test_is_told_on_stderr_with_its_code_and_hint_and_sets_the_exit_status(self, kind, cogd, failing_verb):
        failing_verb(kind("the thing is broken", hint="mend the thing"))
        result = cogd("version")
        assert result.status == kind.exit_status
        assert result.err == f"cogd: {kind.code}: the thing is broken\ncogd: hint: mend the thing\n"
        assert result.out == ""

    @pytest.mark.parametrize("kind", every_error())
    def test_has_an_exit_status_that_is_a_failure_and_no_signals(self, kind):
        assert 1 <= kind.exit_status < 126

    def test_without_a_hint_prints_none(self, cogd, failing_verb):
        failing_verb(errors.CogdError("no idea"))
        assert cogd("version").err == "cogd: error: no idea\n"

    def test_that_gives_no_hint_has_its_classs(self):
        assert errors.SignatureError("x").hint == errors.SignatureError.hint != ""

    def test_has_a_code_of_its_own(self):
        codes = [kind.code for kind in every_error()]
        assert len(codes) == len(set(codes))

    def test_shares_its_exit_status_with_none_but_its_like(self):
        by_status: dict[int, set[str]] = {}
        for kind in every_error():
            by_status.setdefault(kind.exit_status, set()).add(kind.code)
        assert {frozenset(codes) for codes in by_status.values() if len(codes) > 1} == {
            frozenset({"error", "regression"}),
            frozenset({"wire", "tones"}),
        }

    @pytest.mark.parametrize("kind", every_error())
    def test_that_is_not_made_by_a_base_class_has_a_hint(self, kind):
        if kind.code not in {"error", "bundle", "train"}:
            assert kind.hint or kind is errors.ConfigError

    def test_of_a_bad_value_is_given_its_hint_each_time(self):
        with pytest.raises(TypeError, match="hint"):
            errors.ConfigError("no value")


class TestWhatIsNotTyped:
    def test_is_not_hidden(self, cogd, failing_verb):
        failing_verb(ZeroDivisionError("a bug"))
        with pytest.raises(ZeroDivisionError):
            cogd("version")

    def test_interrupt_gives_130(self, cogd, failing_verb):
        failing_verb(KeyboardInterrupt())
        assert cogd("version").status == 130


class TestUsage:
    @pytest.mark.parametrize("words", [[], ["no-such-verb"], ["version", "--no-such-flag"]])
    def test_that_is_wrong_gives_2_and_says_so_on_stderr(self, words, cogd):
        result = cogd(*words)
        assert result.status == 2
        assert result.out == ""
        assert "usage: cogd" in result.err

    def test_help_names_every_verb(self, cogd):
        result = cogd("--help")
        assert result.status == 0
        for verb, summary in VERBS.items():
            assert verb in result.out
            assert summary.split(",")[0].split(":")[0] in " ".join(result.out.split())

    @pytest.mark.parametrize("verb", VERBS)
    def test_every_verb_has_help(self, verb, cogd):
        result = cogd(verb, "--help")
        assert result.status == 0
        assert f"usage: cogd {verb}" in result.out


HEAVY = {
    "numpy",
    "onnxruntime",
    "torch",
    "pydantic",
    "aiohttp",
    "msgspec",
    "nacl",
    "structlog",
    "uvloop",
    "safetensors",
}


def imported_by(*words: str) -> set[str]:
    """The packages that a `cogd` command imports."""
    code = (
        "import sys\nfrom cogd.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words", [["--help"], ["version"], ["version", "--help"]])
def test_what_needs_no_package_imports_none(words):
    assert not imported_by(*words) & HEAVY


@pytest.mark.parametrize("verb", ["run", "config"])
def test_no_verb_imports_torch_or_a_backend_to_print_its_help(verb):
    assert not imported_by(verb, "--help") & {"torch", "onnxruntime", "onnx"}


@pytest.mark.parametrize("words", [["version"], ["--help"], ["config", "show"]])
def test_a_reader_that_has_gone_is_no_error(words):
    """As in `cogd config show | head -0`."""
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    done = subprocess.run(
        [sys.executable, "-m", "cogd", *words],
        stdout=reader.stdin,
        stderr=subprocess.PIPE,
        check=False,
        timeout=60,
        env={"PATH": "/usr/bin", "COGD_CONFIG": ""},
    )
    reader.stdin.close()
    assert (done.returncode, done.stderr) == (0, b"")
