"""A head is known by name in its own folders alone: `cogd/heads/<head>` and `cogd/train/heads/<head>`.

What the sources of cogd hold is read, not run: string and bytes literals, and imports.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cogd
from cogd.events.registry import known_events
from cogd.heads.registry import head_class, head_names

COGD = Path(cogd.__file__).parent
FOLDERS = ("heads", "train/heads")

HEADS = [name for name in head_names() if head_class(name).__module__.startswith("cogd.heads.")]
NAMES = {*HEADS, *(kind.event_name for name in HEADS for kind in head_class(name).events)}


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Every module outside the heads' folders, by its path from `cogd`."""
    for root in (COGD, COGD.parent / "plugins"):
        for path in sorted(root.rglob("*.py")):
            name = str(path.relative_to(root))
            if not name.startswith(tuple(f"{folder}/" for folder in FOLDERS)):
                yield name, ast.parse(path.read_text(encoding="utf-8"))


def mentions(tree: ast.Module) -> Iterator[str]:
    """Where a module names a head, or an event of one."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if text in NAMES:
                yield f"line {node.lineno}: {text!r}"
            case ast.Constant(value=bytes(data)) if any(f'"{name}"'.encode() in data for name in NAMES):
                yield f"line {node.lineno}: {data!r}"
            case ast.Import(names=aliases):
                yield from (f"line {node.lineno}: {alias.name}" for alias in aliases if _is_of_a_head(alias.name))
            case ast.ImportFrom(module=str(module), names=aliases):
                full = [f"{module}.{alias.name}" for alias in aliases]
                yield from (f"line {node.lineno}: {name}" for name in full if _is_of_a_head(name))


def _is_of_a_head(module: str) -> bool:
    return any(
        f"{module}.".startswith(f"cogd.{folder.replace('/', '.')}.{name}.") for folder in FOLDERS for name in HEADS
    )


def test_the_packaged_heads_are_all_there():
    assert {"pose", "count", "motion"} <= set(HEADS)
    assert not NAMES - known_events().keys() - set(HEADS)


def test_no_module_outside_a_heads_folders_names_it():
    found = {name: list(mentions(tree)) for name, tree in sources()}
    assert {name: where for name, where in found.items() if where} == {}


@pytest.mark.parametrize(
    "code",
    [
        'x = "count"',
        'x = b\'"event":"pose.frame"\'',
        "from cogd.heads.pose.rules import JOINT_COUNT",
        "from cogd.heads import motion",
        "import cogd.train.heads.count",
        'def f(head):\n    return head == "motion"',
    ],
)
def test_a_mention_is_found(code):
    assert len(list(mentions(ast.parse(code)))) == 1


@pytest.mark.parametrize("code", ["from cogd.heads.base import Head", '"""The head counts."""', 'x = f"{y} count"'])
def test_what_is_none_is_not(code):
    assert not list(mentions(ast.parse(code)))
