"""Rows and pairs as tokens, and the log-probabilities of their continuations.

Training, the DPO reference and scoring all go through `TokenLogps`, so that one convention
holds everywhere: temperature 1, continuation tokens alone, prefix tokens never.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from sweep.data.records import Pair, Row
from sweep.models.policy import Policy, encode_continuations, encode_prefixes


@dataclass(frozen=True, slots=True)
class Tokens:
    """Prefix and continuation as ids, (n_tokens,) int32; ids[n_prefix:] carry the loss."""

    ids: np.ndarray
    n_prefix: int

    @property
    def n_trained(self) -> int:
        return len(self.ids) - self.n_prefix


Item = tuple[Tokens, ...]  # what a batch counts: a row (one sequence) or a pair (chosen, rejected)


def encode_rows(policy: Policy, rows: Sequence[Row] | Sequence[Pair]) -> list[Item]:
    """Every row as (continuation,), every pair as (chosen, rejected), in order, none left out.

    Raises:
        ValueError: rows and pairs are mixed, a sequence is longer than the model's max_length,
            a continuation has no token, or a word is unknown.
    """
    kinds = {type(row) for row in rows}
    if kinds not in ({Row}, {Pair}):
        found = ", ".join(sorted(kind.__name__ for kind in kinds)) or "nothing"
        raise ValueError(f"expected rows that are all Row or all Pair, and at least one; found {found}")
    prefixes = encode_prefixes(policy, [row.prefix for row in rows])
    pairs = [row for row in rows if isinstance(row, Pair)]
    if pairs:
        sides = [
            _continuations(policy, [(pair.chosen, pair.is_chosen_final) for pair in pairs]),
            _continuations(policy, [(pair.rejected, pair.is_rejected_final) for pair in pairs]),
        ]
    else:
        sides = [_continuations(policy, [(row.continuation, row.is_final) for row in rows if isinstance(row, Row)])]
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


@dataclass(frozen=True, slots=True)
class Batch:
    """Right-padded sequences and where their continuation tokens are predicted.

    Without an attention mask: under causal attention no real token sees the padding to its right.
    """

    input_ids: Tensor  # (n_sequences, longest - 1): the last token of a sequence predicts nothing
    positions: Tensor  # (n_trained,) index into the flattened input_ids of the token before each target
    targets: Tensor  # (n_trained,)
    sequence: Tensor  # (n_trained,) which sequence a target belongs to

    def sums(self, values: Tensor) -> Tensor:
        """(n_trained,) values summed by sequence, (n_sequences,)."""
        return values.new_zeros(len(self.input_ids)).index_add(0, self.sequence, values)


def batch(sequences: Sequence[Tokens], pad_id: int, device: torch.device) -> Batch:
    width = max(len(tokens.ids) for tokens in sequences) - 1
    input_ids = np.full((len(sequences), width), pad_id, dtype=np.int64)
    positions, targets = [], []
    for i, tokens in enumerate(sequences):
        n = len(tokens.ids)
        input_ids[i, : n - 1] = tokens.ids[:-1]
        positions.append(np.arange(i * width + tokens.n_prefix - 1, i * width + n - 1))
        targets.append(tokens.ids[tokens.n_prefix :])
    sequence = np.repeat(np.arange(len(sequences)), [tokens.n_trained for tokens in sequences])
    arrays = (input_ids, np.concatenate(positions), np.concatenate(targets, dtype=np.int64), sequence)
    return Batch(*(torch.from_numpy(array).to(device, non_blocking=True) for array in arrays))


class TokenLogps(nn.Module):
    """The log-probability of each continuation token of a batch, and of no other token.

    The vocabulary's logits are computed at these positions only: with a prefix of a third
    of the sequence this is a third of the output layer's work and of its memory.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        scaled = [n for n in ("final_logit_softcapping", "logit_scale", "logits_scaling") if _is_set(model, n)]
        if scaled:
            raise ValueError(
                f"{type(model).__name__} changes its logits after the output layer ({', '.join(scaled)}), which "
                "this trainer does not do; choose a model without, such as Llama, Mistral or Qwen"
            )
        self.model = model

    def forward(self, input_ids: Tensor, positions: Tensor, targets: Tensor) -> Tensor:
        """(n_trained,) in nats, float32; see `Batch` for the arguments."""
        hidden = self.model.get_decoder()(input_ids=input_ids, use_cache=False).last_hidden_state
        logits = self.model.get_output_embeddings()(hidden.flatten(0, 1).index_select(0, positions))
        return -F.cross_entropy(logits.float(), targets, reduction="none")


def _is_set(model: PreTrainedModel, name: str) -> bool:
    return getattr(model.config, name, None) not in (None, 1, 1.0)


def micro_batches(lengths: Sequence[int], max_tokens: int, multiple_of: int = 1) -> list[list[int]]:
    """Splits items into groups of similar length, each padded to at most max_tokens.

    Args:
        lengths: tokens of each item's longest sequence times its sequences (2 for a pair).
        max_tokens: padded tokens of a group; an item above it makes a group of its own.
        multiple_of: the number of groups is a multiple of this (one share for each process).
    Returns:
        indices into lengths; every index once.
    """
    groups: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (lengths[i], i)):
        if groups and lengths[i] * (len(groups[-1]) + 1) <= max_tokens:
            groups[-1].append(i)
        else:
            groups.append([i])
    while len(groups) % multiple_of:
        largest = max(range(len(groups)), key=lambda g: len(groups[g]))
        group = groups[largest]
        if len(group) == 1:
            raise ValueError(f"{len(lengths)} items cannot be shared by {multiple_of} processes; use a larger batch")
        groups[largest : largest + 1] = [group[: len(group) // 2], group[len(group) // 2 :]]
    return groups


def padded_length(item: Item) -> int:
    return len(item) * max(len(tokens.ids) for tokens in item)


@torch.inference_mode()
def logp_sums(policy: Policy, items: Sequence[Item], max_tokens: int) -> Tensor:
    """(n_items, n_sequences an item) sum of log-probabilities of each continuation, on the policy's device.

    Raises:
        FloatingPointError: a sum is not finite.
    """
    token_logps = TokenLogps(policy.model).eval()
    n_sequences = len(items[0])
    sums = torch.empty(len(items), n_sequences, device=policy.device)
    for group in micro_batches([padded_length(item) for item in items], max_tokens):
        flat = batch([tokens for i in group for tokens in items[i]], policy.pad_id, policy.device)
        logps = token_logps(flat.input_ids, flat.positions, flat.targets)
        sums[torch.tensor(group, device=policy.device)] = flat.sums(logps).view(len(group), n_sequences)
    n_odd = int((~sums.isfinite()).any(1).sum())
    if n_odd:
        raise FloatingPointError(
            f"{n_odd} of {len(items)} rows have a log-probability that is not finite under the policy that scores "
            "them; expected finite numbers. Its weights are too large or its precision too low: lower the learning "
            "rate of the training that made it, or take precision=fp32"
        )
    return sums


def continuation_logps(policy: Policy, rows: Sequence[Row], *, max_tokens: int = 16384) -> list[tuple[float, int]]:
    """(logp_sum, n_tokens) of each row's continuation given its prefix, EOS included where final."""
    items = encode_rows(policy, rows)
    sums = logp_sums(policy, items, max_tokens)[:, 0].tolist()
    return [(logp_sum, item[0].n_trained) for logp_sum, item in zip(sums, items, strict=True)]
