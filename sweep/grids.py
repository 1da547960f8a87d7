"""Every grid that was ever run in a store: what of it is not there to be collected as garbage.

<store>/.grids/<hash>.json        name, command, date, and every stage's key with its parents' keys
<store>/.grids/<hash>.lease       held by each sweep of that grid while it runs
<store>/.grids/lock               shared while a grid is noted, exclusive while `gc --delete` removes
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sweep import leases, sharing
from sweep.artifacts import Store
from sweep.disk import write_atomically
from sweep.manifest import is_key

FOLDER = ".grids"
NAME = re.compile(r"[0-9a-f]{16}", re.ASCII)


@dataclass(frozen=True)
class Grid:
    """One grid: its usual name (exec.sweep_name), what it was run with, and its stages' keys with their parents'."""

    hash: str
    name: str
    command: tuple[str, ...]
    created: str
    parents: Mapping[str, tuple[str, ...]]


def note(store: Store, name: str, parents: Mapping[str, Sequence[str]]) -> str:
    """Write a grid down before any of it is built; its hash. The same grid again is noted once."""
    folder = sharing.real_folder(store.root, FOLDER)
    keys = {key: sorted(of) for key, of in sorted(parents.items())}
    digest = _digest(name, keys)
    with leases.held(folder / "lock", is_shared=True):
        if not (folder / f"{digest}.json").exists():
            now = datetime.now(UTC).isoformat(timespec="seconds")
            told = {"name": name, "command": sys.argv[1:], "created": now, "parents": keys}
            write_atomically(folder / f"{digest}.json", json.dumps(told))
    return digest


def _digest(name: str, parents: Mapping[str, Sequence[str]]) -> str:
    told = {key: sorted(of) for key, of in sorted(parents.items())}
    return hashlib.sha256(json.dumps([name, told]).encode()).hexdigest()[:16]


@contextmanager
def running(store: Store, name: str, parents: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Notes a grid and holds its lease while it runs, so that nobody removes what is built for it."""
    digest = note(store, name, parents)
    with leases.held(store.root / FOLDER / f"{digest}.lease", is_shared=True):
        yield


def is_running(store: Store, grid: Grid) -> bool:
    """Whether a sweep of the grid runs at this moment, as its lease says."""
    path = store.root / FOLDER / f"{grid.hash}.lease"
    if not path.exists():
        return False
    lease = leases.take(path, is_waiting=False)
    if lease is None:
        return True
    lease.give_back()
    return not lease.is_locked  # where there are no locks, a file that is there may be somebody's


def grids(store: Store) -> tuple[list[Grid], dict[str, str]]:
    """The grids of a store by date, and what is wrong with each record that cannot be read."""
    found, problems = [], {}
    for path in sorted((store.root / FOLDER).glob("*.json")):
        if not NAME.fullmatch(path.stem):
            continue
        try:
            found.append(_grid(path))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            problems[f"{FOLDER}/{path.name}"] = f"it cannot be read ({type(error).__name__}: {error})"
    return sorted(found, key=lambda grid: (grid.created, grid.hash)), problems


def _grid(path: Path) -> Grid:
    raw = json.loads(sharing.bytes_of(path))
    parents = {key: tuple(of) for key, of in raw["parents"].items()}
    known = set(parents)
    if not all(map(is_key, known)) or not all(known.issuperset(of) for of in parents.values()):
        raise ValueError("a stage or a parent of it is not a key of the grid")
    if (found := _digest(str(raw["name"]), parents)) != path.stem:
        raise ValueError(f"its name and stages make it {found}: it was changed since it was written")
    return Grid(path.stem, str(raw["name"]), tuple(map(str, raw["command"])), str(raw["created"]), parents)
