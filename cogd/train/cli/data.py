"""`cogd-train data`: what can be done with data sets, each in a module of its own."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from cogd.cli.dispatch import Verb

ACTIONS: Mapping[str, str] = {
    "inspect": "show what is in a data set, with a picture",
}
"""Action to what it does; `inspect` is the module `data_inspect`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and its arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for action, summary in ACTIONS.items():
        module = cast("Verb", importlib.import_module(f"cogd.train.cli.data_{action}"))
        command = actions.add_parser(action, help=summary, description=summary[0].upper() + summary[1:] + ".")
        module.add_arguments(command)
        command.set_defaults(do=module.run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    status: int = arguments.do(arguments)
    return status
