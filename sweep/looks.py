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
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sweep import leases, sharing
from sweep.artifacts import LOOKS, Store
from sweep.data.jsonl import object_of, record_of
from sweep.data.records import Problem
from sweep.disk import flush


@dataclass(frozen=True)
class Look:
    """One evaluation on test problems, of kinds seen in training or not: whose policy (by its key), at which point of
    the grid, on which problems."""

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
        flush(store.root)


def looks_of(store: Store) -> Looks | None:
    """The store's record; None where it has none, as stores had before looks were counted."""
    try:
        with open(store.root / LOOKS, "rb", opener=sharing.regular) as stream:
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


def counted(record: Looks | None, keys: Collection[str]) -> dict[str, Any]:
    """What the record tells of a table of these evaluations, for its provenance.

    records         the store's record (id, since, unreadable lines) and its evaluations by test problems
    n_evaluations   on the table's test problems, whether the table shows them or not
    n_policies      most policies at one (arm, n_problems, seed) on the same problems; 1: nothing was chosen on test
    n_left_out      where there are several, most of them that the table does not show
    n_unrecorded    the table's own evaluations that the record has not: made before it, or in another store
    """
    seen = {look.key: look for look in record.seen} if record else {}
    problems = {seen[key].problems for key in keys if key in seen}
    if record is None or not problems:
        return {"records": [], "n_evaluations": 0, "n_policies": 0, "n_left_out": 0, "n_unrecorded": len(keys)}
    looks = [look for look in seen.values() if look.problems in problems]
    cells: dict[tuple[str, str, int, int], dict[str, bool]] = {}  # the policies of each, and whether the table has them
    for look in looks:
        cell = cells.setdefault((look.problems, look.arm, look.n_problems, look.seed), {})
        cell[look.policy] = cell.get(look.policy, False) or look.key in keys
    several = [list(cell.values()).count(False) for cell in cells.values() if len(cell) > 1]
    return {
        "records": [{
            "id": record.id, "since": record.seen[0].when, "n_unreadable": len(record.unreadable),
            "n_evaluations": dict(sorted(Counter(look.problems[:16] for look in looks).items())),
        }],
        "n_evaluations": len(looks), "n_policies": max(map(len, cells.values())), "n_left_out": max(several, default=0),
        "n_unrecorded": sum(key not in seen for key in keys),
    }  # fmt: skip


def merged(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The counts of several tables as one: sums over records, and one record's later count in place of its earlier.

    Policies are counted within a record, so with several the number is that of the most-looked-at cell of any one.
    """
    records: dict[str, dict[str, Any]] = {}
    for one in (record for count in counts for record in count["records"]):
        known = records.setdefault(one["id"], {**one, "n_evaluations": {}})
        known["n_unreadable"] = max(known["n_unreadable"], one["n_unreadable"])
        for problems, n in one["n_evaluations"].items():
            known["n_evaluations"][problems] = max(n, known["n_evaluations"].get(problems, 0))
    return {
        "records": list(records.values()),
        "n_evaluations": sum(n for one in records.values() for n in one["n_evaluations"].values()),
        **{name: max(count[name] for count in counts) for name in ("n_policies", "n_left_out")},
        "n_unrecorded": sum(count["n_unrecorded"] for count in counts),
    }


def _lock(descriptor: int, operation: int) -> None:
    """Dropped when the file is closed. Where there are no locks, one append is all that a line is."""
    try:
        fcntl.flock(descriptor, operation)
    except OSError as error:
        if error.errno not in leases.NO_LOCKS:
            raise
