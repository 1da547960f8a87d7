"""Rows and pairs as tokens, and the log-probabilities of their continuations.

Training, the DPO reference and scoring all go through packs and `TokenLogps`, so that one convention
holds everywhere: temperature 1, continuation tokens alone, prefix tokens never.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from sweep.data.records import Judged, Pair, Row
from sweep.models.attention import has_kernel, reading_packs
from sweep.models.logps import MAX_LOGITS, TokenLogps
from sweep.models.packing import Item, Pack, Tokens, n_packed, pack
from sweep.models.policy import Policy, encode_continuations, encode_prefixes
from sweep.models.precision import in_precision


def encode_rows(policy: Policy, rows: Sequence[Row] | Sequence[Pair] | Sequence[Judged]) -> list[Item]:
    """Every row or judged solution as (continuation,), every pair as (chosen, rejected), in order, none left out.

    Raises:
        ValueError: rows of two kinds are mixed, a sequence is longer than the model's max_length,
            a continuation has no token, or a word is unknown.
    """
    kinds = {type(row) for row in rows}
    if kinds not in ({Row}, {Pair}, {Judged}):
        found = ", ".join(sorted(kind.__name__ for kind in kinds)) or "nothing"
        raise ValueError(f"expected rows that are all Row, all Pair or all Judged, and at least one; found {found}")
    prefixes = encode_prefixes(policy, [row.prefix for row in rows])
    pairs = [row for row in rows if isinstance(row, Pair)]
    if pairs:
        sides = [
            _continuations(policy, [(pair.chosen, pair.is_chosen_final) for pair in pairs]),
            _continuations(policy, [(pair.rejected, pair.is_rejected_final) for pair in pairs]),
        ]
    else:
        sides = [
            _continuations(policy, [(row.continuation, row.is_final) for row in rows if not isinstance(row, Pair)])
        ]
    items = []
    for row, prefix, *continuations in zip(rows, prefixes, *sides, strict=True):
        for continuation in continuations:
            _check_lengths(row.problem_id, len(prefix), len(continuation), policy.max_length)
        items.append(tuple(Tokens(np.array(prefix + c, dtype=np.int32), len(prefix)) for c in continuations))
    return items


def _continuations(policy: Policy, sides: Sequence[tuple[str, bool]]) -> list[list[int]]:
    return encode_continuations(policy, [text for text, _ in sides], [is_final for _, is_final in sides])


def _check_lengths(problem_id: str, n_prefix: int, n_continuation: int, max_length: int) -> None:
    if n_continuation == 0:
        raise ValueError(
            f"problem {problem_id}: the continuation has no tokens, so there is nothing to train on; leave the "
            "row out where it is made, and count it there"
        )
    if n_prefix + n_continuation > max_length:
        raise ValueError(
            f"problem {problem_id}: prefix of {n_prefix} tokens and continuation of {n_continuation} make "
            f"{n_prefix + n_continuation}, more than the model's max_length={max_length}; nothing is cut or dropped "
            "in silence, so raise max_length or leave such problems out by a rule of the dataset"
        )


def packed(policy: Policy, items: Sequence[Item], dtype: torch.dtype) -> Pack:
    """Items as one row of tokens, laid out for the attention that the policy's device has of numbers of this dtype."""
    return pack(items, policy.pad_id, policy.device, has_kernel(policy.device, dtype))


def micro_batches(lengths: Sequence[int], max_tokens: int, multiple_of: int = 1) -> list[list[int]]:
    """Splits items into groups of similar length, of at most max_tokens together.

    Args:
        lengths: tokens that each item lays down.
        max_tokens: tokens of a group; an item above it makes a group of its own.
        multiple_of: the number of groups is a multiple of this (one share for each process).
    Returns:
        indices into lengths; every index once.
    """
    groups: list[list[int]] = []
    n_tokens = 0
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if groups and n_tokens + lengths[i] <= max_tokens:
            groups[-1].append(i)
            n_tokens += lengths[i]
        else:
            groups.append([i])
            n_tokens = lengths[i]
    while len(groups) % multiple_of:
        largest = max(range(len(groups)), key=lambda g: len(groups[g]))
        group = groups[largest]
        if len(group) == 1:
            raise ValueError(f"{len(lengths)} items cannot be shared by {multiple_of} processes; use a larger batch")
        groups[largest : largest + 1] = [group[: len(group) // 2], group[len(group) // 2 :]]
    return groups


def pair_scores(
    policy: Policy,
    pairs: Sequence[Pair],
    *,
    precision: str = "fp32",
    max_tokens: int = 16384,
    max_logits: int = MAX_LOGITS,
) -> tuple[list[tuple[float, float]], float]:
    """(chosen, rejected) log-probability sums of each pair under the policy in this precision, and the FLOPs of it."""
    items = encode_rows(policy, pairs)
    with in_precision(policy.model, precision):
        sums = logp_sums(policy, items, max_tokens, max_logits)
    return [(chosen, rejected) for chosen, rejected in sums.tolist()], policy.flops_per_token * n_tokens(items)


def n_tokens(items: Iterable[Item]) -> int:
    """Tokens of the items' sequences, prefixes included."""
    return sum(len(tokens.ids) for item in items for tokens in item)


@torch.inference_mode()
def logp_sums(policy: Policy, items: Sequence[Item], max_tokens: int, max_logits: int = MAX_LOGITS) -> Tensor:
    """(n_items, n_sequences an item) sum of log-probabilities of each continuation, on the policy's device.

    Raises:
        FloatingPointError: a sum is not finite.
    """
    n_sequences = len(items[0])
    sums = torch.empty(len(items), n_sequences, device=policy.device)
    for group, scored, logps in _scored(policy, items, max_tokens, max_logits):
        sums[torch.tensor(group, device=policy.device)] = scored.sums(logps).view(len(group), n_sequences)
    n_odd = int((~sums.isfinite()).any(1).sum())
    if n_odd:
        raise FloatingPointError(
            f"{n_odd} of {len(items)} rows have a log-probability that is not finite under the policy that scores "
            "them; expected finite numbers. Its weights are too large or its precision too low: lower the learning "
            "rate of the training that made it, or take precision=fp32"
        )
    return sums


@torch.inference_mode()
def token_logps(policy: Policy, items: Sequence[Item], max_tokens: int, max_logits: int = MAX_LOGITS) -> list[Tensor]:
    """(n_trained,) of each item: the log-probability of each token that carries loss, sequences one after the other."""
    found: dict[int, Tensor] = {}
    for group, _, logps in _scored(policy, items, max_tokens, max_logits):
        lengths = [sum(tokens.n_trained for tokens in items[i]) for i in group]
        found |= {i: logps[end - n : end] for i, n, end in zip(group, lengths, accumulate(lengths), strict=True)}
    return [found[i] for i in range(len(items))]


def _scored(
    policy: Policy, items: Sequence[Item], max_tokens: int, max_logits: int
) -> Iterator[tuple[list[int], Pack, Tensor]]:
    """Groups of items, their pack and its log-probabilities; asked for inside an inference mode."""
    score = TokenLogps(policy.model, max_logits).eval()
    with reading_packs(policy.model):
        for group in micro_batches([n_packed(item) for item in items], max_tokens):
            scored = packed(policy, [items[i] for i in group], policy.model.dtype)
            yield group, scored, score(scored)


def continuation_logps(policy: Policy, rows: Sequence[Row], *, max_tokens: int = 16384) -> list[tuple[float, int]]:
    """(logp_sum, n_tokens) of each row's continuation given its prefix, EOS included where final."""
    items = encode_rows(policy, rows)
    sums = logp_sums(policy, items, max_tokens)[:, 0].tolist()
    return [(logp_sum, item[0].n_trained) for logp_sum, item in zip(sums, items, strict=True)]
