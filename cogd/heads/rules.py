"""Find a head's rules for bundles without importing the head, so that `cogd health` need not import NumPy.

By convention the rules are the function `check` of a module `rules` in the head's package, next to the module that the
entry point names: the rules of `my = "my_head.head:MyHead"` are `my_head.rules.check`. It gets the manifest's `output`
and the values of the calibration's tensors by name, returns nothing, and raises `ManifestError` exactly where the
head's constructor does. The package and that module import neither NumPy nor msgspec. Where a head has no such module
the full check loads the head itself.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cogd.heads.calibration import Calibration, Output

    Check = Callable[[Output, Calibration], None]


def find_check(name: str) -> Check | None:
    """The rules of the head of that name; None: it has none, is not installed, or its rules can't be imported."""
    if name.isidentifier() and (check := _check_of(f"cogd.heads.{name}.rules")) is not None:
        return check
    from importlib.metadata import entry_points  # noqa: PLC0415  # slow, and only needed for third parties' heads

    modules = {entry.module.rpartition(".")[0] for entry in entry_points(group="cogd.heads", name=name)}
    if len(modules) != 1 or not (package := modules.pop()):  # two distributions: `cogd.plugins` refuses them
        return None
    return _check_of(f"{package}.rules")


def _check_of(module: str) -> Check | None:
    try:
        check: Check | None = getattr(__import__(module, fromlist=["check"]), "check", None)
    except Exception:  # noqa: BLE001  # the plugin border: a third party's module may fail in any way
        return None
    return check
