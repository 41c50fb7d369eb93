#!/usr/bin/env python3
"""Fuzz `properties.envelope` with atheris: `tests/fuzz/run`."""

from tests.fuzz.target import fuzz

if __name__ == "__main__":
    fuzz("envelope", json=True)
