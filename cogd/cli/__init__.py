"""The command line: one small module a verb, imported only when its verb is called.

A verb's module has `HELP`, `add_arguments(parser)` and `run(arguments) -> int`, the exit status.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # what is imported here, `cogd health` waits for
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

VERBS: Mapping[str, str] = {
    "run": "run the apps on the sources and emit events",
    "install": "verify a bundle, prove it on this device and put it into place",
    "rollback": "go back to the version before",
    "remove": "take an app away",
    "list": "show what is installed",
    "push": "install a bundle on another machine over SSH",
    "calibrate": "let the running daemon watch a quiet room, so that it knows motion from none",
    "health": "prove that the apps work: verify, load, reproduce the golden pair",
    "bench": "measure the way from datagram to event",
    "verify": "check a bundle's signature, digests and manifest",
    "trust": "list, add, revoke and rotate the keys that sign bundles",
    "manifest": "print an app's signed manifest",
    "schema": "print the JSON Schema of one event or of all",
    "config": "show every setting, its value and where it came from",
    "version": "print the version",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `cogd`."""
    words = [*(sys.argv[1:] if argv is None else argv)]  # here `list` is the verb
    given: dict[str, object] = {}
    if words[:1] == ["health"] and sys.stdout is not None:
        from cogd.probe import attempt

        try:
            answer = attempt(words[1:])
        except OSError as error:
            from cogd.cli.dispatch import output_failed

            return output_failed("cogd", error)
        except KeyboardInterrupt:
            if argv is None:
                os._exit(130)  # a thread may be loading a library, which must not be while the interpreter ends
            return 130
        if isinstance(answer, int):
            if argv is None:  # the installed program: all is written, and taking the interpreter apart takes time
                os._exit(answer)
            return answer
        given["fallback"] = answer
    from cogd.cli.dispatch import dispatch

    status = dispatch("cogd", "WiFi CSI in, signed models, measured events out.", "cogd.cli", VERBS, words, given)
    worker = sys.modules.get("cogd.runtime.worker")
    if argv is None and worker is not None and worker.any_busy():
        sys.stderr.flush()
        os._exit(status)  # standard output was flushed by `dispatch`
    return status
