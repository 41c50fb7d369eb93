"""`cogd trust`: the keys that this machine trusts, and every change of them."""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cogd.bundle import trust_folder
from cogd.bundle.keys import MAX_KEY_FILE_BYTES, PublicKey, parse_public
from cogd.bundle.regular import read_regular_file
from cogd.bundle.rotation import read_rotation
from cogd.bundle.trust import TrustStore
from cogd.errors import KeyFileError
from cogd.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

_RELOAD = "running daemons take it on reload: systemctl reload cogd"
_KEY_ID = re.compile(r"[0-9a-fA-F]{8,64}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, and in which folder."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="settings file (default /etc/cogd/cogd.toml)")
    common.add_argument("--trust-dir", metavar="DIR", help="the trust folder (default: of the settings)")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, what: str, do: Callable[[argparse.Namespace, Path], None]) -> argparse.ArgumentParser:
        command = actions.add_parser(name, parents=[common], help=what, description=what[0].upper() + what[1:] + ".")
        command.set_defaults(do=do)
        return command

    listing = action("list", "show every key, what became of it, and how many signatures a bundle needs", _list)
    listing.add_argument("--json", action="store_true", help="for machines")
    show = action("show", "show one key, or what is in a file", _show)
    show.add_argument("key", metavar="KEY|FILE", help="key id or its beginning; or a public key or a statement")
    show.add_argument("--json", action="store_true", help="for machines")
    add = action("add", "trust a publisher's public key", _add)
    add.add_argument("file", type=Path, metavar="FILE.pub", help="the public key, PEM")
    add.add_argument("--name", metavar="N", help="what to call its file (default: the beginning of its id)")
    revoke = action("revoke", "never again accept what a key has signed", _revoke)
    revoke.add_argument("key", metavar="KEYID", help="key id, or 8 characters or more of its beginning")
    revoke.add_argument("--reason", default="", metavar="TEXT", help="one line, for whoever asks later")
    rotate = action("rotate", "let a new key take the place of an old one that signed a statement", _rotate)
    rotate.add_argument("statement", type=Path, metavar="STATEMENT", help="file that `cogd-train rotate` wrote")
    threshold = action("threshold", "ask for K signatures by different publishers on every bundle", _threshold)
    threshold.add_argument("k", type=int, metavar="K", help="1 to 8")


def run(arguments: argparse.Namespace) -> int:
    """Do it, in the folder of the flag, else of the settings."""
    settings = load_settings({"trust_dir": arguments.trust_dir}, arguments.config).settings
    arguments.do(arguments, settings.trust_dir)
    return 0


def _list(arguments: argparse.Namespace, folder: Path) -> None:
    trust = TrustStore.load([folder])
    key_ids = [*trust, *trust.revoked]
    if arguments.json:
        facts = {"folder": str(folder), "threshold": trust.threshold, "keys": [_facts(trust, k) for k in key_ids]}
        print(json.dumps(facts, indent=2))
        return
    for key_id in key_ids:
        print(f"{key_id}  {trust.origin(key_id)}  {_described(trust, key_id)}")
    if not key_ids:
        print(f"no key is trusted: there is none in {folder}")
    print(f"threshold {trust.threshold}: a bundle needs {_signatures(trust.threshold)}")
    _warn_if_out_of_reach(trust)


def _show(arguments: argparse.Namespace, folder: Path) -> None:
    trust = TrustStore.load([folder])
    if _KEY_ID.fullmatch(arguments.key):
        key_id = trust.find(arguments.key)
        facts = _facts(trust, key_id)
        key = trust.get(key_id)
    else:
        facts, key = _facts_of_file(trust, Path(arguments.key))
    if key is not None:
        facts["pem"] = key.to_pem()
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        if name != "pem" and value is not None:
            print(f"{name.replace('_', ' '):10} {value}")
    if key is not None:
        print(key.to_pem(), end="")


def _facts_of_file(trust: TrustStore, path: Path) -> tuple[dict[str, str | None], PublicKey | None]:
    data = _read(path)
    if not data.lstrip().startswith(b"{"):
        key = parse_public(path, data)
        return _facts(trust, key.key_id), key
    try:
        rotation = read_rotation(data)
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}", hint=error.hint) from error
    return {
        "old": rotation.old.key_id,
        "old_state": _state(trust, rotation.old.key_id),
        "new": rotation.new.key_id,
        "new_state": _state(trust, rotation.new.key_id),
        "created": rotation.created,
    }, None


def _add(arguments: argparse.Namespace, folder: Path) -> None:
    added = trust_folder.add(folder, arguments.file, arguments.name)
    print(f"{added.key.key_id} {'was trusted already' if added.was_there else 'is trusted'}: {added.path}")
    if not added.was_there:
        print(_RELOAD)


def _revoke(arguments: argparse.Namespace, folder: Path) -> None:
    revocation = trust_folder.revoke(folder, arguments.key, arguments.reason, time.time())
    trust = TrustStore.load([folder])
    print(f"{revocation.key_id} is {revocation}")
    if (new := trust.retired.get(revocation.key_id)) is not None:
        print(f"it had handed over to {new} ({_state(trust, new)}): revoke that too if a thief may have done so")
    _warn_if_out_of_reach(trust)
    print(_RELOAD)


def _rotate(arguments: argparse.Namespace, folder: Path) -> None:
    rotation = trust_folder.rotate(folder, _read(arguments.statement))
    print(f"{rotation.new.key_id} has taken the place of {rotation.old.key_id}")
    print("what the old key signed and is installed runs on; what it alone signs from now on is not installed")
    print(_RELOAD)


def _threshold(arguments: argparse.Namespace, folder: Path) -> None:
    trust_folder.set_threshold(folder, arguments.k)
    print(f"a bundle needs {_signatures(arguments.k)}; installed ones that have fewer do not run any more")
    print(_RELOAD)


def _facts(trust: TrustStore, key_id: str) -> dict[str, str | None]:
    revocation = trust.revoked.get(key_id)
    return {
        "key_id": key_id,
        "state": _state(trust, key_id),
        "file": str(trust.origin(key_id)) if key_id in trust or revocation is not None else None,
        "successor": trust.retired.get(key_id),
        "revoked_at": revocation.revoked_at if revocation is not None else None,
        "reason": revocation.reason if revocation is not None else None,
    }


def _state(trust: TrustStore, key_id: str) -> str:
    if key_id in trust.revoked:
        return "revoked"
    if key_id not in trust:
        return "unknown"
    return "retired" if key_id in trust.retired else "trusted"


def _described(trust: TrustStore, key_id: str) -> str:
    if (revocation := trust.revoked.get(key_id)) is not None:
        return str(revocation)
    state = _state(trust, key_id)
    return f"{state} -> {trust.retired[key_id]}" if state == "retired" else state


def _signatures(threshold: int) -> str:
    return "the signature of one of them" if threshold == 1 else f"signatures by {threshold} different publishers"


def _warn_if_out_of_reach(trust: TrustStore) -> None:
    usable = len(trust.current(trust))
    if trust and usable < trust.threshold:
        print(f"nothing can be installed: {trust.threshold} must sign, and only {usable} can")


def _read(path: Path) -> bytes:
    try:
        return read_regular_file(path, limit=MAX_KEY_FILE_BYTES, follow=True).data
    except OSError as error:
        hint = "give a file, or a key id or the first 8 characters or more of it"
        raise KeyFileError(f"{path}: {error.strerror}", hint=hint) from error
