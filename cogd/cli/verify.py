"""`cogd verify BUNDLE`: signature, digests, manifest."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cogd.bundle.load import load_bundle
from cogd.bundle.manifest import check_expiry
from cogd.cli.common import add_demo_argument, add_trust_argument, read_settings, read_trust

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to verify, and whom to trust."""
    parser.add_argument("bundle", type=Path, help="bundle.tar, or the folder of an app")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (default /etc/cogd/cogd.toml)")
    parser.add_argument("--trust-dir", metavar="DIR", help="folder of trusted public keys, *.pub")
    add_trust_argument(parser)
    add_demo_argument(parser)
    parser.add_argument("--json", action="store_true", help="for machines")


def run(arguments: argparse.Namespace) -> int:
    """Verify as an installation would, and say what the bundle is."""
    bundle = load_bundle(arguments.bundle, read_trust(arguments, read_settings(arguments).settings.trust_dir))
    manifest = bundle.manifest
    check_expiry(manifest, time.time())
    facts = {
        "id": manifest.id,
        "version": manifest.version,
        "created": manifest.created,
        "expires": manifest.expires,
        "head": manifest.head,
        "digest": bundle.digest,
        "key_ids": list(bundle.key_ids),
        "files": {entry.path: entry.size for entry in manifest.files},
    }
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    print(f"{manifest.id} {manifest.version}: signature and {len(manifest.files)} files are good")
    print(f"  digest  {bundle.digest}")
    for key_id in bundle.key_ids:
        print(f"  key     {key_id}")
    for entry in manifest.files:
        print(f"  file    {entry.path} ({entry.size} bytes)")
    return 0
