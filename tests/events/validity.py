"""Whether events that tests see are valid under their schemas."""

import functools
import json
from collections import Counter

from cogd.events import Event, encode
from cogd.events.registry import known_events
from cogd.events.schema import event_schema

try:
    import jsonschema
except ModuleNotFoundError:  # tests/events/test_schema.py does not pass without it
    jsonschema = None

ENOUGH = 3
"""Events of one name and one level that a test checks."""


@functools.cache
def _validator(name: str):
    kind = known_events().get(name)
    return None if jsonschema is None or kind is None else jsonschema.Draft202012Validator(event_schema(kind))


class Checked:
    """Keeps events, and validates the first ones of each name and level; those of the tests' own types are not."""

    def __init__(self, kept: list) -> None:
        self._kept = kept
        self._seen: Counter[tuple[str, str]] = Counter()

    def __call__(self, event: Event) -> None:
        self._kept.append(event)
        key = event.event, event.level
        self._seen[key] += 1
        validator = _validator(event.event)
        if validator is not None and self._seen[key] <= ENOUGH:
            validator.validate(json.loads(encode(event)))
