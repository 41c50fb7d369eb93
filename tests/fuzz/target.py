"""Runs one of the properties under atheris, which is no dependency of the tests: only fuzz targets import this.

Those are programs of their own, because libFuzzer starts `sys.argv[0]` again when it merges.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["cogd.bundle", "tests.fuzz.properties"]):
    from tests.fuzz.properties import PROPERTIES

from tests.fuzz.mutate_json import mutate_json


def fuzz(name: str, *, json: bool = False) -> None:
    """Try inputs against the property `name` until libFuzzer's limits in `sys.argv` are reached.

    Args:
        name: of `PROPERTIES`.
        json: the inputs are JSON, and are to be changed as such.
    """
    more = {"custom_mutator": _mutate_json} if json else {}
    atheris.Setup(sys.argv, PROPERTIES[name], **more)
    atheris.Fuzz()


def _mutate_json(raw: bytes, max_size: int, seed: int) -> bytes:
    return mutate_json(raw, max_size, seed, atheris.Mutate)
