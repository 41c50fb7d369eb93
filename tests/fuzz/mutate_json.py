"""Changes JSON as JSON, so that most inputs get past the parser to what is checked behind it."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

VALUES = (None, True, "", "0", "\x1b[2J", "\ud800", "ä", 0, -1, 1, 0.5, -0.0, 1e308, 1 << 53, 1 << 64, [], {}, [[]])


def mutate_json(raw: bytes, max_size: int, seed: int, mutate_bytes: Callable[[bytes, int], bytes]) -> bytes:
    """`raw` with one to three of its values changed, moved, doubled or taken away; or changed as mere bytes."""
    chance = random.Random(seed)
    if chance.random() < 0.25:
        return mutate_bytes(raw, max_size)
    try:
        root = [json.loads(raw)]  # in a list, so that the whole value has a place as well
        for _ in range(chance.randint(1, 3)):
            _change(root, chance, mutate_bytes)
        text = json.dumps(root[0] if root else None, separators=(",", ":")).encode()
    except (ValueError, RecursionError):  # it is no JSON, or too deep, or has too long a number
        return mutate_bytes(raw, max_size)
    return text if len(text) <= max_size else mutate_bytes(raw, max_size)


def _change(root: list[Any], chance: random.Random, mutate_bytes: Callable[[bytes, int], bytes]) -> None:
    places = list(_places(root))
    if not places:
        return
    (within, at), (other, there) = chance.choice(places), chance.choice(places)
    match chance.randrange(6):
        case 0:
            within[at] = chance.choice(VALUES)
        case 1:
            within[at] = json.loads(json.dumps(other[there]))  # a copy: nothing may hold itself
        case 2:
            del within[at]
        case 3 if isinstance(within, list):
            within.insert(at, json.loads(json.dumps(within[at])))
        case 4 if isinstance(within, dict):
            within[chance.choice(["", "x", "format", "\n\x1b"])] = within.pop(at)
        case _:
            match within[at]:
                case str() as text:
                    raw = text.encode(errors="replace")
                    within[at] = mutate_bytes(raw, len(raw) + 64).decode(errors="replace")
                case bool() | None:
                    within[at] = not within[at]
                case int() | float() as number:
                    within[at] = chance.choice([number + 1, number - 1, -number, number * 10, number // 2])


def _places(value: Any) -> Any:
    """Each value below `value`, as the list or object that it is in, and its index or key."""
    inner = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, item in inner:
        yield value, key
        yield from _places(item)
