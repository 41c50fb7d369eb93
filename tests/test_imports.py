"""The import graph of the package, read from its sources: statements at module level and inside functions alike."""

import ast
from pathlib import Path

import cogd

ROOT = Path(cogd.__file__).parent
MODULES = {
    ".".join(("cogd", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in ROOT.rglob("*.py")
}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imported_names(tree: ast.AST):
    """Dotted names that a module imports when it runs, and strings that name a module for `importlib`."""
    for node in ast.iter_child_nodes(tree):
        if is_type_checking(node):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in MODULES:
            yield node.value
        yield from imported_names(node)


def imports(name: str) -> set[str]:
    """Modules of the package that a module imports; a package's own name stands for its `__init__`."""
    tree = ast.parse(MODULES[name].read_text())
    return {found for found in imported_names(tree) if found in MODULES and found != name}


GRAPH = {name: imports(name) for name in MODULES}
"""What is imported when the program runs."""


def circles(graph):
    """Strongly connected components of more than one module (Tarjan 1972)."""
    index, low, on_stack, stack, found = {}, {}, set(), [], []

    def visit(name):
        index[name] = low[name] = len(index)
        stack.append(name)
        on_stack.add(name)
        for other in graph[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in on_stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            component = set()
            while name not in component:
                component.add(stack.pop())
            on_stack.difference_update(component)
            if len(component) > 1:
                found.append(sorted(component))

    for name in graph:
        if name not in index:
            visit(name)
    return found


def with_type_checking():
    """The graph that a type checker sees, which a reader follows too."""
    graph = {}
    for name, path in MODULES.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        graph[name] = {other for other in found if other in MODULES and other != name}
    return graph


def test_no_module_imports_itself_through_others():
    """Imports for type checkers count too: a reader follows them as well."""
    typed = with_type_checking()
    assert circles({name: found | typed[name] for name, found in GRAPH.items()}) == []


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_the_daemon_imports_nothing_of_the_trainer():
    assert {
        name: sorted(trainer)
        for name, found in GRAPH.items()
        if not name.startswith("cogd.train")
        and (trainer := {other for other in found if other.startswith("cogd.train")})
    } == {}


def test_only_the_trainer_imports_torch():
    users = {
        name
        for name, path in MODULES.items()
        if "torch" in {found.partition(".")[0] for found in imported_names(ast.parse(path.read_text()))}
    }
    assert users
    assert all(name.startswith("cogd.train") for name in users)
