"""Sequences of a micro-batch in one row of tokens: no padding between them, and what two of them share computed once.

An item's first sequence is laid down whole; each further one only from where it leaves the first, as a branch whose
tokens attend to the shared part as well. A pair costs its prefix once, and with it every token that chosen and rejected
have in common at their beginning.

    tokens     | first of item 0 | first of item 1 | ... | branch of item 0 | branch of item 1 | ...

Attention is told of this by a `Layout`. A kernel for sequences of any length reads `Lengths`; where there is none (CPU,
fp32) rows of about one width are one `Block` each, for which a few of them are filled up: on a small model a call costs
more than the tokens that it saves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

FILLED = 1 / 8  # of a block's tokens: how many may be filling


@dataclass(frozen=True, slots=True)
class Tokens:
    """Prefix and continuation as ids, (n_tokens,) int32; ids[n_prefix:] carry the loss."""

    ids: np.ndarray
    n_prefix: int

    @property
    def n_trained(self) -> int:
        return len(self.ids) - self.n_prefix


Item = tuple[Tokens, ...]  # what a batch counts: a row (one sequence) or a pair (chosen, rejected)


@dataclass(frozen=True, slots=True)
class Block:
    """n_rows rows of `width` tokens, one after the other from `start` on.

    Without keys a row attends to itself, causally. Otherwise keys (n_rows, n_keys) says which tokens a row's queries
    look at, and is_seen (n_rows, 1, width, n_keys) which of them each query sees.
    """

    start: int
    n_rows: int
    width: int
    keys: Tensor | None = None
    is_seen: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Lengths:
    """Where rows of any length begin and end, (n_rows + 1,) int32 each; keys: the tokens that are looked at, row after
    row, None where they are the tokens themselves. A row's last query sees all its keys, the one before all but one."""

    queries: Tensor
    of_keys: Tensor
    longest_query: int
    longest_key: int
    keys: Tensor | None = None


Layout = Lengths | tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Pack:
    """One row of tokens and where its continuation tokens are predicted."""

    input_ids: Tensor  # (1, n_tokens): the last token of a sequence predicts nothing and is left out
    position_ids: Tensor  # (1, n_tokens): place of a token in its own sequence
    layout: Layout
    positions: Tensor  # (n_trained,) the token before each target
    targets: Tensor  # (n_trained,) sequence after sequence, item after item
    sequence: Tensor  # (n_trained,) which sequence a target belongs to
    n_sequences: int

    def sums(self, values: Tensor) -> Tensor:
        """(n_trained,) values summed by sequence, (n_sequences,)."""
        return values.new_zeros(self.n_sequences).index_add(0, self.sequence, values)


@dataclass(slots=True)
class _Row:
    """Tokens of one sequence that are laid down: all but the n_shared that it has from the row `of`."""

    ids: np.ndarray
    n_shared: int = 0
    of: "_Row | None" = None
    begin: int = -1  # its first token's place in the pack

    def keys(self) -> np.ndarray:
        own = np.arange(self.begin, self.begin + len(self.ids))
        return own if self.of is None else np.concatenate([self.of.begin + np.arange(self.n_shared), own])

    def places(self, start: int, end: int) -> np.ndarray:
        """Where tokens start to end of the whole sequence lie."""
        own = np.arange(self.begin + max(start - self.n_shared, 0), self.begin + end - self.n_shared)
        if self.of is None or start >= self.n_shared:
            return own
        return np.concatenate([np.arange(self.of.begin + start, self.of.begin + min(end, self.n_shared)), own])


def n_packed(item: Item) -> int:
    """Tokens that a forward pass over an item reads, filling aside."""
    first, *rest = (tokens.ids[:-1] for tokens in item)
    return len(first) + sum(len(ids) - n_common(first, ids) for ids in rest)


def n_common(first: np.ndarray, other: np.ndarray) -> int:
    """Tokens that two sequences begin with alike."""
    n = min(len(first), len(other))
    differs = first[:n] != other[:n]
    return int(differs.argmax()) if differs.any() else n


def pack(items: Sequence[Item], pad_id: int, device: torch.device, has_kernel: bool) -> Pack:
    """Items as one row of tokens.

    Args:
        pad_id: fills up a block's shorter rows; no other token sees it, and it is no target.
        has_kernel: attention takes rows of any length, so nothing is filled up.
    """
    firsts, branches, of_sequence = _rows(items)
    filled = 0.0 if has_kernel else FILLED
    blocks, n_tokens = [*_blocks(firsts, filled), *_blocks(branches, filled)], 0
    for block in blocks:
        for row in block:
            row.begin = n_tokens
            n_tokens += len(block[0].ids)
    input_ids, position_ids = np.full(n_tokens, pad_id, dtype=np.int64), np.zeros(n_tokens, dtype=np.int64)
    for row in (*firsts, *branches):
        own = slice(row.begin, row.begin + len(row.ids))
        input_ids[own] = row.ids
        position_ids[own] = np.arange(row.n_shared, row.n_shared + len(row.ids))
    tokens = [tokens for item in items for tokens in item]
    places = [row.places(t.n_prefix - 1, len(t.ids) - 1) for row, t in zip(of_sequence, tokens, strict=True)]
    targets = np.concatenate([t.ids[t.n_prefix :] for t in tokens], dtype=np.int64)
    sequence = np.repeat(np.arange(len(tokens)), [t.n_trained for t in tokens])
    return Pack(
        _moved(input_ids[None], device),
        _moved(position_ids[None], device),
        _lengths(blocks, device) if has_kernel else tuple(_block(block, device) for block in blocks),
        _moved(np.concatenate(places), device),
        _moved(targets, device),
        _moved(sequence, device),
        len(tokens),
    )


def _rows(items: Sequence[Item]) -> tuple[list[_Row], list[_Row], list[_Row]]:
    """First sequences, branches that have a token of their own, and the row that each sequence of each item ends in."""
    firsts, branches, of_sequence = [], [], []
    for item in items:
        first = _Row(item[0].ids[:-1])
        firsts.append(first)
        of_sequence.append(first)
        for tokens in item[1:]:
            ids = tokens.ids[:-1]
            n_shared = n_common(first.ids, ids)
            branch = _Row(ids[n_shared:], n_shared, first)
            of_sequence.append(branch)
            if len(branch.ids):
                branches.append(branch)
    return firsts, branches, of_sequence


def _blocks(rows: Sequence[_Row], filled: float) -> list[list[_Row]]:
    """Rows by length, the longest first, in groups that would be filled up by at most `filled` of their tokens."""
    blocks: list[list[_Row]] = []
    n_filling = n_tokens = 0
    for row in sorted(rows, key=lambda row: -len(row.ids)):
        n = len(row.ids)
        missing = len(blocks[-1][0].ids) - n if blocks else 0
        if blocks and n_filling + missing <= filled * (n_tokens + n):
            blocks[-1].append(row)
            n_filling, n_tokens = n_filling + missing, n_tokens + n
        else:
            blocks.append([row])
            n_filling, n_tokens = 0, n
    return blocks


def _block(rows: Sequence[_Row], device: torch.device) -> Block:
    begin, n_rows, width = rows[0].begin, len(rows), len(rows[0].ids)
    if rows[0].of is None:
        return Block(begin, n_rows, width)
    looked_at = [row.keys() for row in rows]
    n_keys = max(map(len, looked_at))
    keys = np.zeros((n_rows, n_keys), dtype=np.int64)
    for i, places in enumerate(looked_at):
        keys[i, : len(places)] = places
    n_seen = np.array([[row.n_shared] for row in rows]) + np.arange(1, width + 1)  # a query sees itself and before
    n_seen = np.minimum(n_seen, np.array([[len(places)] for places in looked_at]))  # and no filling
    is_seen = np.arange(n_keys) < n_seen[:, None, :, None]
    return Block(begin, n_rows, width, _moved(keys, device), _moved(is_seen, device))


def _lengths(blocks: Sequence[Sequence[_Row]], device: torch.device) -> Lengths:
    rows = [row for block in blocks for row in block]
    of_queries = [len(row.ids) for row in rows]
    of_keys = [row.n_shared + n for row, n in zip(rows, of_queries, strict=True)]
    is_branched = any(row.of is not None for row in rows)
    return Lengths(
        _moved(np.cumsum([0, *of_queries], dtype=np.int32), device),
        _moved(np.cumsum([0, *of_keys], dtype=np.int32), device),
        max(of_queries),
        max(of_keys),
        _moved(np.concatenate([row.keys() for row in rows]), device) if is_branched else None,
    )


def _moved(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device, non_blocking=True)
