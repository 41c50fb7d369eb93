"""`cogd push USER@HOST BUNDLE`: `ssh USER@HOST cogd install - < BUNDLE`, and nothing more.

What is installed is decided over there, by the keys that are trusted over there. Here a file that is no bundle is
refused, before anybody types a passphrase for it.
"""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cogd.bundle.archive import read_archive
from cogd.bundle.manifest import parse_manifest
from cogd.bundle.members import MANIFEST_NAME, MAX_BUNDLE_BYTES
from cogd.bundle.regular import read_regular_file
from cogd.errors import ArchiveError, ConfigError, PushError

if TYPE_CHECKING:
    import argparse

_SSH_FAILED: Final = 255  # ssh(1), "EXIT STATUS"
_NOT_FOUND: Final = 127  # what every shell says of a command that it can't find


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What, where to, and through what."""
    parser.add_argument("host", metavar="USER@HOST", help="the other machine, as ssh knows it")
    parser.add_argument("bundle", metavar="BUNDLE", type=Path, help="bundle.tar")
    parser.add_argument("--dry-run", action="store_true", help="verify, judge and prove there, but change nothing")
    parser.add_argument("--allow-downgrade", action="store_true", help="let an older version pass; it is logged there")
    parser.add_argument("--wait", type=float, metavar="SECONDS", help="for another installation there to end")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument(
        "--ssh", default="ssh", metavar="COMMAND", help="as in --ssh 'ssh -p 2222 -i key' (default %(default)s)"
    )
    parser.add_argument(
        "--cogd",
        default="cogd",
        metavar="COMMAND",
        help="cogd's name there, as in --cogd 'sudo /opt/cogd/bin/cogd' (default %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Send it; the exit status, and all that is printed, is that of `cogd install` on the other machine."""
    command = [*_words("--ssh", arguments.ssh), _host(arguments.host), _far_command(arguments)]
    return _send(command, _read(arguments.bundle), arguments.host)


def _read(path: Path) -> bytes:
    """The bytes of the archive `path`, which is a bundle in its form; whether it may be trusted is not asked here."""
    try:
        archive = read_regular_file(path, limit=MAX_BUNDLE_BYTES, follow=True).data
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror}", hint="give the path of a bundle.tar") from error
    parse_manifest(read_archive(archive)[MANIFEST_NAME])
    return archive


def _send(command: list[str], archive: bytes, host: str) -> int:
    """Run ssh with the archive as its standard input; returns the far side's exit status.

    The far side may end before it has read everything; then its status says why.
    """
    try:
        status = subprocess.run(command, input=archive, check=False).returncode  # noqa: S603 - no shell, it was asked for
    except OSError as error:
        raise PushError(
            f"{command[0]} can't be run: {error.strerror}", hint="install openssh-client, or name another with --ssh"
        ) from error
    if status == _NOT_FOUND:
        raise PushError(
            f"{host} has no such command: {command[-1]}",
            hint="install cogd there, or say where it is: --cogd /opt/cogd/bin/cogd",
        )
    if status == _SSH_FAILED or status < 0:
        end = f"signal {-status}" if status < 0 else f"status {status}"
        raise PushError(
            f"the connection to {host} failed or broke off ({command[0]} ended with {end})",
            hint=f"try `{shlex.join([*command[:-1], 'cogd version'])}`",
        )
    return status


def _far_command(arguments: argparse.Namespace) -> str:
    """One word for ssh, which the shell over there takes apart again."""
    words = [*_words("--cogd", arguments.cogd), "install", "-"]
    flags = {
        "--dry-run": arguments.dry_run,
        "--allow-downgrade": arguments.allow_downgrade,
        "--json": arguments.json,
    }
    words += [flag for flag, given in flags.items() if given]
    words += ["--wait", str(arguments.wait)] if arguments.wait is not None else []
    return shlex.join(words)


def _words(flag: str, command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"{flag} {command!r}: {error}", hint="quote it as for a shell") from error
    # ssh takes what starts with a dash for one of its options, even behind the host.
    if not words or words[0].startswith("-"):
        raise ConfigError(f"{flag} {command!r} is no command", hint=f"give a program and its arguments, or no {flag}")
    return words


def _host(host: str) -> str:
    if not host or host.startswith("-"):
        raise ConfigError(f"{host!r} is no host", hint="give USER@HOST; ssh's options go into --ssh")
    return host
