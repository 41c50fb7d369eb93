"""Events own their names: they stand in the types alone, and the types are cheap to import."""

import ast
import re
import subprocess
import sys
from pathlib import Path

from cogd.events.registry import known_events

ROOT = Path(__file__).parents[2]
NAMES = sorted(known_events())
FILES = sorted([*ROOT.glob("cogd/**/*.py"), *ROOT.glob("plugins/**/*.py")])

ALLOWED = {
    ("cogd/probe/quick.py", "health.ok"),  # without msgspec, so without the types; tests/probe compares both ways
    ("cogd/settings.py", "count.fused"),  # a setting's description
    ("cogd/runtime/crashes.py", "run.stopped"),  # an error message, which says what was missing
}


def homes() -> dict[str, str]:
    """The file of each event's type."""
    modules = {name: sys.modules[kind.__module__].__file__ for name, kind in known_events().items()}
    return {name: str(Path(file).relative_to(ROOT)) for name, file in modules.items()}


def texts(source: str) -> list[str]:
    """Every string and bytes literal, docstrings excepted."""
    tree = ast.parse(source)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    literals = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings]
    values = [node.value for node in literals]
    return [v.decode("latin-1") if isinstance(v, bytes) else v for v in values if isinstance(v, str | bytes)]


def named(text: str) -> set[str]:
    """The events that a text names; where a name is an ordinary word, only as a line's `event`."""
    return {
        name
        for name in NAMES
        if re.search(rf'"event": ?"{re.escape(name)}"', text)
        or ("." in name and re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w/-])", text))
    }


def test_the_search_finds_what_it_looks_for():
    source = """
def f():
    'app.failed'
    return b'"event":"count"', "app.updated", "a.run.started", "motion"
"""
    assert {name for text in texts(source) for name in named(text)} == {"count", "app.updated"}


def test_a_name_stands_in_its_type_alone():
    named_in = {str(path.relative_to(ROOT)): texts(path.read_text()) for path in FILES}
    found = {(file, name) for file, literals in named_in.items() for text in literals for name in named(text)}
    assert found - ALLOWED == {(home, name) for name, home in homes().items() if "." in name}


def test_importing_the_types_imports_nothing_heavy():
    program = "import sys; import cogd.events; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "cogd.events.run" in modules
    heavy = {"numpy", "asyncio", "pydantic", "structlog", "importlib.metadata"}
    assert not heavy & modules
    assert not {name for name in modules if name.startswith("cogd.") and not name.startswith("cogd.events")}
