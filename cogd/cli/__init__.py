"""The command line: one small module a verb, imported only when its verb is called.

A verb's module has `HELP`, `add_arguments(parser)` and `run(arguments) -> int`, the exit status.
"""

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

VERBS: Mapping[str, str] = {
    "run": "run the apps on the sources and emit events",
    "install": "verify a bundle, prove it on this device and put it into place",
    "rollback": "go back to the version before",
    "remove": "take an app away",
    "list": "show what is installed",
    "push": "install a bundle on another machine over SSH",
    "health": "prove that the apps work: verify, load, reproduce the golden pair",
    "bench": "measure the way from datagram to event",
    "verify": "check a bundle's signature, digests and manifest",
    "trust": "list, add, revoke and rotate the keys that sign bundles",
    "manifest": "print an app's signed manifest",
    "config": "show every setting, its value and where it came from",
    "version": "print the version",
}


class Verb(Protocol):
    """What a verb's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the verb's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; returns the exit status."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `cogd`."""
    return dispatch("cogd", "WiFi CSI in, signed models, measured events out.", "cogd.cli", VERBS, argv)


def dispatch(program: str, description: str, package: str, verbs: Mapping[str, str], argv: Sequence[str] | None) -> int:
    """Parse the verb, import its module alone, run it, and turn a typed error into a message and an exit status."""
    argv = [*(sys.argv[1:] if argv is None else argv)]  # here `list` is the verb
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
                modules[verb] = cast("Verb", importlib.import_module(f"{package}.{verb.replace('-', '_')}"))
                modules[verb].add_arguments(command)
        try:
            arguments = parser.parse_args(argv)
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
    except BrokenPipeError:  # whoever read our output has gone; there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:  # a full disk under our output, for one
        print(f"{program}: {SinkError.code}: {error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return SinkError.exit_status
    except KeyboardInterrupt:
        return 130


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
