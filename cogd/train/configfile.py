"""Reading a run's configuration: TOML or JSON over the head's recipe, single keys over that.

Strict: an unknown key, a value of another type or out of its bounds is refused with its name, the file and the nearest
key that exists. A file that is missing is written as a template with every default and its meaning.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from typing import TYPE_CHECKING, Literal, cast, get_args, get_origin, get_type_hints

import msgspec

from cogd.errors import ConfigError
from cogd.train.heads.registry import trainer_names, trainer_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cogd.train.config import Config

    Table = dict[str, object]

_HINT = "docs/training.md lists every key"
_ANEW = "--config with a name that is not there yet writes a template"


def read_config(head: str, path: Path | None = None, overrides: Mapping[str, object] | None = None) -> Config:
    """The recipe of a head, changed by a file and then by single keys such as `train.epochs`.

    Raises:
        ConfigError: the file is missing (a template is written in its place), can't be read, or a key or value of it
            is not known; or the keys contradict each other.
    """
    given: list[tuple[str, Mapping[str, object]]] = []
    if path is not None:
        given.append((str(path), _leaves(_read(head, path))))
    given.append(("the command line", overrides or {}))
    config, origins = trainer_of(head).recipe, dict[str, str]()
    for origin, changes in given:
        config = _of_head(head, changed(config, changes, origin), origin)
        origins.update(dict.fromkeys(changes, origin))
    return check(config, origins)


def _of_head(head: str, config: Config, origin: str) -> Config:
    """The same configuration, which is one of this head: the sections of another's have other keys."""
    if config.model.head != head:
        raise ConfigError(
            f"{origin}: model.head is {config.model.head!r}, not {head!r}",
            hint=f"cogd-train {config.model.head} trains that; model.head may be left out",
        )
    return config


def changed(config: Config, changes: Mapping[str, object], origin: str = "the change") -> Config:
    """A configuration with keys such as `train.epochs` replaced; the keys' bounds are checked, not how they agree.

    Args:
        config: what is changed.
        changes: dotted key to value.
        origin: where the changes were read, for messages.

    Raises:
        ConfigError: a key is not known, or a value is none of its key's.
    """
    tables = _tables(config)
    for key, value in changes.items():
        section, _, name = key.partition(".")
        if section not in tables or name not in tables[section]:
            raise ConfigError(f"{origin}: {key} is not known{_nearest(key, tables)}", hint=_HINT)
        tables[section][name] = value
    try:
        return msgspec.convert(tables, type(config))
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        raise ConfigError(f"{origin}: {place.rstrip('`') or 'a key'}: {message}", hint=_HINT) from error


def parse_override(text: str) -> tuple[str, object]:
    """`KEY=VALUE` of a command line; the value is TOML, and a word that is no TOML value is a text.

    Raises:
        ConfigError: it has no `=`.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"{text!r} is not KEY=VALUE", hint="such as --set train.epochs=10")
    try:
        parsed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return key.strip(), value
    return key.strip(), parsed["value"] if len(parsed) == 1 else value


def check(config: Config, origins: Mapping[str, str] | None = None) -> Config:
    """The same configuration, whose keys don't contradict each other.

    Args:
        config: to be checked.
        origins: where each key was given, for messages; a key that was not is the recipe's.

    Raises:
        ConfigError: they do.
    """
    train, split, weights = config.train, config.split, config.loss.weights()
    shares = [share for share in (split.test, split.calibration) if isinstance(share, float)]
    foldable = [name for name in trainer_names() if trainer_of(name).can_fold]
    by_group = split.kind in {"session", "room", "subject"}
    rising = all(one < other for one, other in zip(train.milestones, train.milestones[1:], strict=False))
    rules = {
        "train.milestones must rise, and be at most train.epochs": rising
        and max((*train.milestones, 0)) <= train.epochs,
        "train.milestones are for train.schedule = 'steps'": not train.milestones or train.schedule == "steps",
        "train.schedule = 'steps' needs train.milestones": train.schedule != "steps" or bool(train.milestones),
        "train.warmup_epochs must be below train.epochs": train.warmup_epochs < train.epochs,
        "split.test and split.calibration must leave something to train": sum(shares) < 1,
        "split.test and split.calibration by name are for split.kind session, room or subject": by_group
        or len(shares) == 2,
        "split.calibration_by is for split.kind session, room or subject": by_group or not split.calibration_by,
        "the weights of the loss's terms must not all be 0": sum(weights.values()) > 0,
        "train.mixup_alpha and loss.temporal exclude each other": not (
            train.mixup_alpha and weights.get("temporal", 0)
        ),
        "split.kind = 'random' is leaky and needs split.allow_leaky (--allow-leaky)": (
            split.kind != "random" or split.allow_leaky
        ),
        f"train.folds are 2 or more, or 0, and for the head {' or '.join(foldable)} alone": train.folds == 0
        or (train.folds > 1 and config.model.head in foldable),
        "train.folds need loss.cross_entropy, and loss.confidence or loss.brier": train.folds == 0
        or (weights.get("cross_entropy", 0) > 0 and weights.get("confidence", 0) + weights.get("brier", 0) > 0),
        "data.persons must name each number once": len(set(config.data.persons)) == len(config.data.persons),
        "data.rates_hz must be the lowest, then the highest": config.data.rates_hz[0] <= config.data.rates_hz[1],
        "data.cell_s must be at most data.max_gap_s": config.data.cell_s <= config.data.max_gap_s,
        "data.spec must not be empty": bool(config.data.spec),
    }
    for rule, kept in rules.items():
        if not kept:
            raise ConfigError(f"{_blamed(rule, origins or {})}: {rule}", hint=_HINT)
    return config


def _blamed(rule: str, origins: Mapping[str, str]) -> str:
    """Where the keys were given that a rule names; where it names none that was, all that were given."""
    keys = set(re.findall(r"\b[a-z]+\.[a-z_]+\b", rule))
    named = [origin for key, origin in origins.items() if key in keys]
    return " and ".join(dict.fromkeys(named or origins.values())) or "the configuration"


def template(config: Config) -> str:
    """Every key with its value, as TOML, each under a comment that says what it means."""
    sections = []
    for section, table in _tables(config).items():
        struct = getattr(config, section)
        lines = [f"# {(struct.__doc__ or '').partition(chr(10))[0]}", f"[{section}]"]
        for name, value in table.items():
            lines += [f"# {_description(type(struct), name)}", f"{name} = {_toml(value)}"]
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


def _read(head: str, path: Path) -> Table:
    if path.is_dir():
        raise ConfigError(f"{path} is a directory, not a configuration", hint="--config FILE, a .toml or .json file")
    if path.suffix not in {".toml", ".json"}:
        raise ConfigError(f"{path} is neither .toml nor .json by its name", hint="rename it")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        _write_template(head, path)
        raise ConfigError(
            f"{path} was missing: a template with every default is there now",
            hint="look it over, then give the same command again",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} can't be read: {error}", hint=_ANEW) from error
    try:
        parsed: object = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} can't be parsed: {error}", hint=_ANEW) from error
    if not isinstance(parsed, dict):
        raise ConfigError(f"{path} is not an object of sections", hint=_HINT)
    return parsed


def _write_template(head: str, path: Path) -> None:
    recipe = trainer_of(head).recipe
    json_text = msgspec.json.format(msgspec.json.encode(recipe), indent=2).decode() + "\n"
    try:
        path.write_text(template(recipe) if path.suffix == ".toml" else json_text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path} is missing, and no template can be written there: {error.strerror}",
            hint="--config FILE in a folder that may be written to",
        ) from error


def _leaves(parsed: Table) -> Table:
    """Dotted keys; a section that is no table stays a key of its own, which is then not known."""
    flat: Table = {}
    for section, table in parsed.items():
        if isinstance(table, dict):
            flat.update({f"{section}.{name}": value for name, value in table.items()})
        else:
            flat[section] = table
    return flat


def _tables(config: Config) -> dict[str, Table]:
    return cast("dict[str, Table]", msgspec.to_builtins(config))


def _nearest(key: str, tables: Mapping[str, Table]) -> str:
    """The known key that was most likely meant: of the same name elsewhere, or spelt like it."""
    known = [f"{section}.{name}" for section, table in tables.items() for name in table]
    same = [other for other in known if other.partition(".")[2] == key.rpartition(".")[2]]
    near = same or difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    return f"; is {near[0]} meant?" if near else ""


def _description(struct: type, name: str) -> str:
    """What a key means, and the words that it may be."""
    hint = get_type_hints(struct, include_extras=True)[name]
    notes = [note.description for note in getattr(hint, "__metadata__", ()) if isinstance(note, msgspec.Meta)]
    meaning = next((note for note in reversed(notes) if note), "")  # the key's own note comes after its type's
    words = get_args(get_type_hints(struct)[name])
    if get_origin(get_type_hints(struct)[name]) is Literal:
        meaning += f" ({', '.join(repr(word) for word in words)})"
    return meaning


def _toml(value: object) -> str:
    """A value as TOML: texts, numbers, truth values and lists of them are written as in JSON, but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
