"""What is interrupted: every way to change an apps directory, and what it must have been when seen from outside."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple
from unittest import mock

import msgspec

from cogd import installer
from cogd.bundle.changes import changing
from cogd.bundle.layout import LINKED, RECORD_NAME, Layout, version_number
from cogd.bundle.load import load_apps, load_folder
from cogd.bundle.policy import judge
from cogd.bundle.semver import precedence
from cogd.bundle.store import Store
from cogd.errors import CogdError, NoAppError, NothingToRollBackError
from cogd.runtime.app import load_app
from tests.bundle.apps import PROOF
from tests.bundle.factory import KEY, OTHER_KEY, trust
from tests.runtime.factory import files_of, runnable_bundle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cogd.bundle.record import Memory
    from cogd.bundle.verify import VerifiedBundle

APP = "pose-app"
NOW = 1_800_000_000
USER_CONFIG = b'{"min_confidence":0.25}'
TRUST = trust(KEY, OTHER_KEY)


@cache
def bundle(version: str, *, card: str = "# A dummy", stranger: bool = False) -> VerifiedBundle:
    """A bundle that can run. No two have one file in common but for the model."""
    files = files_of("pose", **{"MODEL_CARD.md": f"{card} {version}\n".encode()})
    made = runnable_bundle("pose", files, version=version, keys=[OTHER_KEY if stranger else KEY])
    return made.verified()


def proven():
    """Within this context bundles are installed without the proof: its threads and its time are not the subject."""
    return mock.patch.object(installer, "prove_in_child", return_value=[PROOF])


def install(version: str, *, allow_downgrade: bool = False, wait_s: float = 0) -> Callable[[Path], None]:
    def act(apps: Path) -> None:
        installer.install(
            bundle(version), Store(apps), TRUST, now_unix_s=NOW, wait_s=wait_s, allow_downgrade=allow_downgrade
        )

    return act


def roll_back(apps: Path) -> None:
    installer.roll_back(APP, Store(apps), TRUST, wait_s=0)


def remove(*, forget: bool) -> Callable[[Path], None]:
    def act(apps: Path) -> None:
        with changing(Store(apps), 0) as changes:
            changes.remove(APP, forget=forget)

    return act


def recover(apps: Path) -> None:
    """What whoever takes the lock next does first."""
    with changing(Store(apps), 0):
        pass


def configure(apps: Path) -> None:
    """The user's own `config.json`; the appliance makes the folder for it where there is none."""
    (apps / APP).mkdir(parents=True, exist_ok=True)
    (apps / APP / "config.json").write_bytes(USER_CONFIG)


def damage(apps: Path) -> None:
    """One bit of the model that is installed."""
    path = apps / APP / "current" / "model.onnx"
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


@dataclass(frozen=True)
class Operation:
    """One change.

    Attributes:
        before: what is done first, in peace.
        act: the change.
        done: the errors by which a repetition says that there is nothing left to do.
        forgets: whether it unlearns whose app it is, and how new it was.
    """

    before: tuple[Callable[[Path], None], ...]
    act: Callable[[Path], None]
    done: tuple[type[CogdError], ...] = ()
    forgets: bool = False


_TWO = (install("1.0.0"), configure, install("2.0.0"))

OPERATIONS = {
    "first": Operation((), install("2.0.0")),
    "first, beside config.json": Operation((configure,), install("2.0.0")),
    "first, after a removal": Operation((install("1.0.0"), remove(forget=False)), install("2.0.0")),
    "upgrade": Operation(_TWO, install("3.0.0")),
    "repair": Operation((*_TWO, damage), install("2.0.0")),
    "downgrade": Operation(_TWO, install("1.0.0", allow_downgrade=True)),
    "rollback": Operation(_TWO, roll_back, (NothingToRollBackError,)),
    "remove": Operation(_TWO, remove(forget=False), (NoAppError,)),
    "remove --forget": Operation(_TWO, remove(forget=True), (NoAppError,), forgets=True),
}


class State(NamedTuple):
    """An apps directory as others see it.

    Attributes:
        view: what the daemon, a rollback, the user and the appliance would find.
        refused: what becomes of bundles that are not to be installed here.
        memory: what is remembered of the app.
    """

    view: dict[str, object]
    refused: dict[str, str]
    memory: Memory | None


def state_of(apps: Path) -> State:
    """What is to be seen in an apps directory. It takes no lock and changes nothing."""
    store = Store(apps)
    loaded, rejected = load_apps(apps, TRUST)
    record = store.installed(APP)
    view = {
        "apps": [(app.bundle.manifest.version, app.bundle.digest, _digests(app.bundle.members())) for app in loaded],
        "rejected": [item.error.code for item in rejected],
        "record": record and msgspec.structs.replace(record, previous=None),  # the name of a folder
        "previous": _previous(store),
        "config": _read(apps / APP / "config.json"),
        "linked": [_read(apps / APP / name) for name in LINKED],
    }
    return State(view, _refused(store), store.memory(APP))


def _previous(store: Store) -> str | None:
    try:
        return load_folder(store.previous_folder(APP), TRUST).digest
    except (NoAppError, NothingToRollBackError):
        return None


def _refused(store: Store) -> dict[str, str]:
    suspects = {
        "older": bundle("0.9.0"),
        "between": bundle("1.5.0"),
        "another 2.0.0": bundle("2.0.0", card="# Another"),
        "a stranger's": bundle("9.0.0", stranger=True),
    }
    verdicts = {}
    for name, suspect in suspects.items():
        try:
            judge(suspect, store.installed(APP), store.memory(APP), TRUST)
        except CogdError as error:
            verdicts[name] = error.code
    return verdicts


def _digests(members: dict[str, bytes]) -> dict[str, str]:
    return {name: sha256(data).hexdigest() for name, data in members.items()}


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def files_of_apps(apps: Path) -> dict[str, tuple[object, ...]]:
    """Every file, link and folder with its content and mode; cogd's own folders and lock are no garbage.

    The numbers of version folders count the versions that ever were: here they are replaced by their order.
    """
    names = sorted((path.name for path in apps.glob("*/versions/*")), key=version_number)
    order = {name: f"#{place}-{name.partition('-')[2]}" for place, name in enumerate(names)}
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(apps.rglob("*")):
        parts = path.relative_to(apps).parts
        name = "/".join(order.get(part, part) for part in parts)
        if path.is_symlink():
            head, _, tail = str(path.readlink()).rpartition("/")
            found[name] = ("link", head, order.get(tail, tail))
        elif path.is_dir():
            if parts[0] != Layout(apps).private.name:
                found[name] = ("folder", path.stat().st_mode)
        elif path != Layout(apps).lock:
            found[name] = ("file", path.stat().st_mode, _content(path, order))
    return found


def _content(path: Path, order: dict[str, str]) -> object:
    data = path.read_bytes()
    if path.name == RECORD_NAME:
        with contextlib.suppress(ValueError):
            record = msgspec.json.decode(data)
            return record | {"previous": order.get(record["previous"])}
    return data


class Reference(NamedTuple):
    """What an operation begins with and comes to when nothing disturbs it."""

    operation: Operation
    disk: Path
    old: State
    new: State
    old_files: dict[str, tuple[object, ...]]
    new_files: dict[str, tuple[object, ...]]


def apps_of(disk: Path) -> Path:
    """The apps directory on `disk`; neither it nor the folder around it need be there."""
    return disk / "lib" / "apps"


def reference(operation: Operation, folder: Path) -> Reference:
    """Do all that is done before in `folder`/before, and the operation in a copy of it."""
    before, after = folder / "before", folder / "after"
    before.mkdir()
    for step in operation.before:
        step(apps_of(before))
    copy(before, after)
    operation.act(apps_of(after))
    old, new = apps_of(before), apps_of(after)
    return Reference(operation, before, state_of(old), state_of(new), files_of_apps(old), files_of_apps(new))


def copy(source: Path, target: Path) -> Path:
    """A copy of a whole disk."""
    shutil.copytree(source, target, symlinks=True)
    return target


def check(reference: Reference, apps: Path, *, finished: bool = False, run: bool = False, recovery: bool = True) -> str:
    """What an interrupted operation left behind is its beginning or its end, and its repetition comes to its end.

    Args:
        reference: the operation.
        apps: is changed by this.
        finished: the operation had returned: only its end will do.
        run: whether to run what is installed too.
        recovery: whether somebody else takes the lock before the operation is repeated.

    Returns:
        Which of the two it was.

    Raises:
        AssertionError: neither.
    """
    operation, old, new = reference.operation, reference.old, reference.new
    state = state_of(apps)
    outcome = "new" if state.view == new.view else "old"
    assert state.view == (new.view if outcome == "new" else old.view), f"neither old nor new: {_difference(state, old)}"
    assert outcome == "new" or not finished, "it had returned, and is undone"
    _check_memory(reference, outcome, state)
    if run:
        for app in load_apps(apps, TRUST)[0]:
            load_app(app.bundle)
    if recovery:
        recover(apps)
        recovered = state_of(apps)
        assert recovered.view == state.view, f"the recovery changed it: {_difference(recovered, state)}"
        _check_memory(reference, outcome, recovered)
        _check_files(reference, outcome, files_of_apps(apps))
    try:
        operation.act(apps)
    except operation.done:
        assert outcome == "new", "a repetition finds nothing to do"
    repeated = state_of(apps)
    assert repeated == new, f"a repetition comes to something else: {_difference(repeated, new)}"
    assert files_of_apps(apps) == reference.new_files, "garbage after a repetition"
    return outcome


def _check_memory(reference: Reference, outcome: str, state: State) -> None:
    old, new = reference.old, reference.new
    if reference.operation.forgets:
        assert state.memory in ((old.memory, new.memory) if outcome == "new" else (old.memory,)), "memory is damaged"
        return
    expected = new if outcome == "new" else old
    assert state.refused == expected.refused, f"refuses {state.refused} instead of {expected.refused}"
    assert not_lower(state.memory, old.memory), f"has forgotten: {old.memory} -> {state.memory}"


def not_lower(after: Memory | None, before: Memory | None) -> bool:
    """Whether nothing was unlearnt."""
    if before is None:
        return True
    return (
        after is not None
        and set(after.pinned) >= set(before.pinned)
        and all(
            key_id in after.highest and precedence(after.highest[key_id].version) >= precedence(seen.version)
            for key_id, seen in before.highest.items()
        )
    )


def _check_files(reference: Reference, outcome: str, files: dict[str, tuple[object, ...]]) -> None:
    expected = reference.new_files if outcome == "new" else reference.old_files
    if reference.operation.forgets and outcome == "new":  # the app goes first, and then what is remembered
        files = {name: entry for name, entry in files.items() if not name.startswith(".cogd/memory/")}
    extra, missing = files.keys() - expected.keys(), expected.keys() - files.keys()
    changed = {name for name in files.keys() & expected.keys() if files[name] != expected[name]}
    difference = f"too many {sorted(extra)}, missing {sorted(missing)}, changed {sorted(changed)}"
    assert files == expected, f"after the recovery of {outcome}: {difference}"


def _difference(state: State, other: State) -> str:
    lines = [
        f"{key} is {value!r:.300} instead of {other.view[key]!r:.300}"
        for key, value in state.view.items()
        if value != other.view[key]
    ]
    return "; ".join(lines)
