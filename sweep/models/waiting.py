"""What the engine of slots minds on the host: which slot holds which prefix, which rows wait and which have ended."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

import numpy as np

from sweep.models.draws import Settings, uniforms

READ_AT_ONCE = 16384  # tokens of prefixes, padding among them

Ids = tuple[int, ...]


class Pool:
    """Which slot holds which prefix; the one that was used longest ago gives its slot up."""

    def __init__(self, slots: range) -> None:
        self.n_slots = len(slots)
        self.slot_of: dict[Ids, int] = {}  # in the order of their last use
        self._free = list(slots)
        self._sorted: list[Ids] = []

    def nearest(self, ids: Ids) -> tuple[Ids | None, int]:
        """The prefix that shares the longest beginning, a neighbour in the order of tokens, and its length."""
        place = bisect_left(self._sorted, ids)
        near = max(self._sorted[max(0, place - 1) : place + 1], key=lambda one: shared(ids, one), default=None)
        n = 0 if near is None else shared(ids, near)
        return (near, n) if n else (None, 0)

    def taken(self, kept: set[Ids]) -> int:
        """A slot for a prefix, to be `add`ed once it is written; none that holds one of `kept`."""
        if not self._free:
            oldest = next((one for one in self.slot_of if one not in kept), None)
            assert oldest is not None, "more prefixes at once than the pool has slots"
            self._free.append(self.slot_of.pop(oldest))
            self._sorted.remove(oldest)
        return self._free.pop()

    def add(self, ids: Ids, slot: int) -> None:
        self.slot_of[ids] = slot
        insort(self._sorted, ids)

    def used(self, ids: Ids) -> int:
        slot = self.slot_of.pop(ids)
        self.slot_of[ids] = slot
        return slot


class Work:
    """The rows of a call: those that wait, and those that have ended."""

    def __init__(self, n_rows: dict[Ids, int], settings: Settings) -> None:
        self.n_rows, self.settings = n_rows, settings
        # popped from the end; relatives follow each other
        self.waiting = [(ids, row) for ids in sorted(n_rows, reverse=True) for row in reversed(range(n_rows[ids]))]
        self.n_drawn = dict.fromkeys(self.waiting, 0)
        self._numbers: dict[Ids, np.ndarray] = {}
        self._ended: dict[Ids, dict[int, list[int]]] = {}

    def numbers(self, ids: Ids) -> np.ndarray:
        if ids not in self._numbers:
            self._numbers[ids] = uniforms(self.settings, ids, self.n_rows[ids])
        return self._numbers[ids]

    def end(self, ids: Ids, row: int, tokens: list[int]) -> list[tuple[Ids, list[list[int]]]]:
        """The prefix with all its rows where this was the last one."""
        ended = self._ended.setdefault(ids, {})
        ended[row] = tokens
        if len(ended) < self.n_rows[ids]:
            return []
        self._numbers.pop(ids, None)
        del self._ended[ids]
        return [(ids, [ended[i] for i in range(len(ended))])]


def shared(one: Ids, other: Ids) -> int:
    """Tokens that two prefixes begin with alike."""
    for n, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return n
    return min(len(one), len(other))


def batches(prefixes: Sequence[Ids]) -> Iterator[list[Ids]]:
    """Of at most READ_AT_ONCE tokens, as if all of a batch were as long as its longest."""
    batch: list[Ids] = []
    for ids in prefixes:
        if batch and (len(batch) + 1) * max(len(ids), *map(len, batch)) > READ_AT_ONCE:
            yield batch
            batch = []
        batch.append(ids)
    if batch:
        yield batch
