"""Looks at the test set: every evaluation on test problems leaves a line in its store, and nothing removes it.

<store>/test_looks.jsonl      a line an evaluation, written and synced before its result is published

An evaluation is counted by its key, so one that was interrupted, or is built again, counts once. What a choice on test
would need is two policies at one point of the grid, tested on the same problems: that is counted too.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sweep import leases, sharing
from sweep.artifacts import LOOKS, Store
from sweep.data.jsonl import object_of, record_of
from sweep.data.records import Problem


@dataclass(frozen=True)
class Look:
    """One evaluation on the test split: whose policy (by its key), at which point of the grid, on which problems."""

    key: str
    problems: str  # what they are: problems_sha256
    n_test: int
    arm: str
    source: str
    method: str
    n_problems: int
    seed: int
    policy: str
    when: str  # ISO time, UTC


@dataclass(frozen=True)
class Looks:
    """A store's record, in the order of its lines.

    Args:
        id: of the record itself, by its first line; the same however much it has grown.
        unreadable: why each line that is no record is none: the writer was killed, or the file was changed.
    """

    id: str
    seen: tuple[Look, ...]
    unreadable: tuple[str, ...]


def problems_sha256(problems: Sequence[Problem]) -> str:
    told = json.dumps([[one.problem_id, one.question, one.answer] for one in problems], ensure_ascii=False)
    return hashlib.sha256(told.encode()).hexdigest()


def note(store: Store, look: Look) -> None:
    """Append a look to the store's record; it is on the disk when this returns.

    Raises:
        ValueError: the record is a link or no regular file.
        OSError: it cannot be written to.
    """
    path = store.root / LOOKS
    descriptor = sharing.opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        _lock(descriptor, fcntl.LOCK_EX)
        end = os.fstat(descriptor).st_size
        is_cut = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"  # its writer was killed: that line stays alone
        line = memoryview((("\n" if is_cut else "") + json.dumps(asdict(look), sort_keys=True) + "\n").encode())
        while line:
            line = line[os.write(descriptor, line) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if end == 0:
        _sync_folder(store)


def looks_of(store: Store) -> Looks | None:
    """The store's record; None where it has none, as stores had before looks were counted."""
    try:
        with (store.root / LOOKS).open("rb") as stream:
            _lock(stream.fileno(), fcntl.LOCK_SH)
            content = stream.read()
    except FileNotFoundError:
        return None
    seen, unreadable = [], []
    lines = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        where = f"{LOOKS}, line {number}"
        try:
            if line.strip():
                seen.append(record_of(Look, object_of(line, where), where))
        except ValueError as error:
            unreadable.append(str(error))
    return Looks(hashlib.sha256(lines[0]).hexdigest()[:16], tuple(seen), tuple(unreadable))


def _lock(descriptor: int, operation: int) -> None:
    """Dropped when the file is closed. Where there are no locks, one append is all that a line is."""
    try:
        fcntl.flock(descriptor, operation)
    except OSError as error:
        if error.errno not in leases.NO_LOCKS:
            raise


def _sync_folder(store: Store) -> None:
    descriptor = os.open(store.root, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
