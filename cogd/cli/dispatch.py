"""Parse a verb, import its module alone, run it, and turn a typed error into a message and an exit status."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys
from typing import TYPE_CHECKING, Protocol, cast

from cogd.errors import CogdError, SinkError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Verb(Protocol):
    """What a verb's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the verb's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; returns the exit status."""


def dispatch(
    program: str,
    description: str,
    package: str,
    verbs: Mapping[str, str],
    argv: Sequence[str],
    given: Mapping[str, object] | None = None,
    made: Mapping[str, Verb] | None = None,
) -> int:
    """Parse the verb, import its module alone, run it, and turn a typed error into a message and an exit status.

    Args:
        program: its name.
        description: what it is.
        package: where the verbs' modules are.
        verbs: verb to what it does.
        argv: the words behind the program's name.
        given: attributes of the arguments that are not on the command line.
        made: verbs that are no modules of the package.
    """
    if sys.stdout is None:
        print(f"{program}: {SinkError.code}: standard output is closed", file=sys.stderr)
        return SinkError.exit_status
    parser = argparse.ArgumentParser(prog=program, description=description)
    commands = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    chosen = next((word for word in argv if not word.startswith("-")), None)
    modules: dict[str, Verb] = {}
    try:
        for verb, summary in verbs.items():
            command = commands.add_parser(verb, help=summary, description=summary[0].upper() + summary[1:] + ".")
            if verb == chosen:
                module = f"{package}.{verb.replace('-', '_')}"
                modules[verb] = (made or {}).get(verb) or cast("Verb", importlib.import_module(module))
                modules[verb].add_arguments(command)
        try:
            arguments = parser.parse_args(argv, argparse.Namespace(**(given or {})))
            return modules[arguments.verb].run(arguments)
        finally:
            sys.stdout.flush()  # here, where a reader that has gone can be dealt with
    except CogdError as error:
        with contextlib.suppress(OSError):  # whoever called us may have gone; the exit status says it too
            print(f"{program}: {error.code}: {error}", file=sys.stderr)
            if error.hint:
                print(f"{program}: hint: {error.hint}", file=sys.stderr)
            if "--json" in argv:
                print(_as_json(error), flush=True)
        return error.exit_status
    except OSError as error:
        return output_failed(program, error)
    except KeyboardInterrupt:
        return 130


def output_failed(program: str, error: OSError) -> int:
    """The exit status where standard output can't be written; whoever has gone is not told."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(error, BrokenPipeError):
        return 0
    print(f"{program}: {SinkError.code}: {error}", file=sys.stderr)  # a full disk, for one
    return SinkError.exit_status


def _as_json(error: CogdError) -> str:
    return json.dumps(
        {
            "error": {
                "code": error.code,
                "exit_status": error.exit_status,
                "message": str(error),
                "hint": error.hint or None,
            }
        }
    )
