"""JSON Schema (draft 2020-12) of event lines, made from the event types.

Descriptions come from the docstrings: a type's first paragraph and its section `Attributes`. Units come from the types
in `cogd.events.units`, or from the ends of the fields' names.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec
from msgspec import inspect as types

from cogd.events.base import SCHEMA, EventFields, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

JsonSchema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_UNITS: Final = {"s": "s", "ms": "ms", "us": "us", "hz": "Hz", "m": "m", "dbm": "dBm"}
"""Units by the end of a field's name."""


def event_schema(kind: type[EventFields]) -> JsonSchema:
    """The schema of one event's whole line: `ts`, `level`, `event` and `fields`."""
    line, parts = _line(kind, "")
    return {"$schema": DIALECT, "$id": _urn(kind.event_name), **line} | ({"$defs": parts} if parts else {})


def events_schema(kinds: Iterable[type[EventFields]]) -> JsonSchema:
    """One schema of the lines of several events; each is in `$defs` under its name."""
    lines: JsonSchema = {}
    parts: JsonSchema = {}
    for kind in kinds:
        line, own = _line(kind, "")
        if any(parts.get(name, part) != part for name, part in own.items()):  # two heads use one name
            line, own = _line(kind, f"{kind.event_name}.")
        lines[kind.event_name] = line
        parts |= own
    return {
        "$schema": DIALECT,
        "$id": _urn("any"),
        "title": "event",
        "description": "One line of cogd's output.",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in lines],
        "$defs": lines | parts,
    }


def _urn(name: str) -> str:
    return f"urn:cogd:event:{SCHEMA}:{name}"


def _line(kind: type[EventFields], prefix: str) -> tuple[JsonSchema, JsonSchema]:
    """The schema of a line, and the parts that it refers to; their names begin with the prefix."""
    _, found = msgspec.json.schema_components([kind], ref_template=f"#/$defs/{prefix}{{name}}")
    structs = {struct.__name__: struct for struct in _structs(types.type_info(kind))}
    parts = {name: _struct(part, structs[name]) for name, part in found.items()}
    fields = parts.pop(kind.__name__)
    line = {
        "title": kind.event_name,
        "description": fields.pop("description"),
        "type": "object",
        "properties": {
            "ts": {"description": "When the event was made, unix time.", "type": "number", "unit": "s"},
            "level": {"description": "How urgent it is.", "enum": list(get_args(Level))},
            "event": {"description": "The event's name.", "const": kind.event_name},
            "fields": {"description": "The event's own fields."} | fields,
        },
        "required": ["ts", "level", "event", "fields"],
    }
    return line, {f"{prefix}{name}": part for name, part in parts.items()}


def _structs(info: types.Type, seen: frozenset[type] = frozenset()) -> Iterator[type[msgspec.Struct]]:
    """The struct types that a type is made of, itself included."""
    if isinstance(info, types.StructType) and info.cls not in seen:
        yield info.cls
        for field in info.fields:
            yield from _structs(field.type, seen | {info.cls})
    elif isinstance(info, types.Metadata):
        yield from _structs(info.type, seen)
    elif isinstance(info, types.UnionType):
        for each in info.types:
            yield from _structs(each, seen)
    elif isinstance(info, types.CollectionType):
        yield from _structs(info.item_type, seen)
    elif isinstance(info, types.TupleType):
        for each in info.item_types:
            yield from _structs(each, seen)
    elif isinstance(info, types.DictType):
        yield from _structs(info.value_type, seen)


def _struct(schema: JsonSchema, kind: type[msgspec.Struct]) -> JsonSchema:
    """Make msgspec's schema of a struct that of its output, in which every field is there."""
    texts = _attribute_texts(kind)
    properties = {
        name: {"description": texts[name]} | _field(name, field) if name in texts else _field(name, field)
        for name, field in schema["properties"].items()
    }
    left_out = kind.__struct_config__.omit_defaults
    return {
        "description": _summary(kind),
        "type": "object",
        "properties": properties,
        "required": schema.get("required", []) if left_out else list(properties),
    }


def _field(name: str, schema: JsonSchema) -> JsonSchema:
    unit = _UNITS.get(name.rpartition("_")[2]) if "_" in name else None
    return _with_unit({key: value for key, value in schema.items() if key != "default"}, unit)


def _with_unit(schema: JsonSchema, unit: str | None) -> JsonSchema:
    """Write `T | None` as one type where JSON Schema can, and give numbers without a unit this one."""
    if "anyOf" in schema:
        outer, choices = {**schema}, schema["anyOf"]
        del outer["anyOf"]
        if len(choices) == 2 and choices[1] == {"type": "null"} and isinstance(choices[0].get("type"), str):
            return _with_unit(outer | choices[0] | {"type": [choices[0]["type"], "null"]}, unit)
        return outer | {"anyOf": [_with_unit(each, unit) for each in choices]}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            return schema | {key: _with_unit(schema[key], unit)}
    names = schema.get("type", ())
    is_number = not {"number", "integer"}.isdisjoint([names] if isinstance(names, str) else names)
    return {"unit": unit} | schema if unit and is_number else schema


def _summary(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or kind.__name__).partition("\n\n")[0].split())


def _attribute_texts(kind: type) -> dict[str, str]:
    """What the docstrings of a type and its bases say of each field."""
    texts: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        _, _, section = inspect.cleandoc(each.__doc__ or "").partition("\nAttributes:\n")
        for name, text in re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE):
            texts[name] = " ".join(text.split())
    return texts
