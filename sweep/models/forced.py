"""What a policy gives to tokens that are already there, in one forward pass over whole rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sweep.models.draws import Settings
from sweep.models.policy import Policy

MAX_LOGITS = 2**27  # that are held at once: rows x tokens x vocabulary


def entropies(policy: Policy, ids: tuple[int, ...], rows: Sequence[Sequence[int]], settings: Settings) -> list[float]:
    """Nats of each row, summed over its tokens, of the distribution that `choose` drew them from; 0 where greedy."""
    if settings.temperature == 0:
        return [0.0] * len(rows)
    n_vocabulary = policy.model.config.vocab_size
    out: list[float] = []
    n_at_once = max(1, MAX_LOGITS // (n_vocabulary * settings.max_new_tokens))
    for start in range(0, len(rows), n_at_once):
        out += _entropies(policy, ids, rows[start : start + n_at_once], settings)
    return out


def _entropies(policy: Policy, ids: tuple[int, ...], rows: Sequence[Sequence[int]], settings: Settings) -> list[float]:
    """Rows are padded on the right: nothing looks at what stands behind it, so there is no mask."""
    longest = max(map(len, rows))
    read = [[*ids, *row, *[policy.pad_id] * (longest - len(row))][:-1] for row in rows]
    logits = policy.model(torch.tensor(read, device=policy.device), use_cache=False, logits_to_keep=longest).logits
    is_own = torch.arange(longest) < torch.tensor([[len(row)] for row in rows])
    nats = _of_distributions(policy, logits.float(), settings).masked_fill(~is_own.to(policy.device), 0.0)
    out: list[float] = nats.sum(1).tolist()
    return out


def _of_distributions(policy: Policy, logits: Tensor, settings: Settings) -> Tensor:
    """(n_rows, n_tokens) of logits (n_rows, n_tokens, n_vocabulary)."""
    barred = torch.tensor(policy.barred_ids, dtype=torch.long, device=logits.device)
    probabilities = (logits.index_fill(2, barred, float("-inf")) / settings.temperature).softmax(2)
    if settings.top_p < 1:
        probabilities = probabilities.sort(2, descending=True).values
        before = probabilities.cumsum(2) - probabilities
        probabilities = probabilities.masked_fill(before >= settings.top_p, 0)
        probabilities = probabilities / probabilities.sum(2, keepdim=True)
    nats: Tensor = torch.special.entr(probabilities).sum(2)
    return nats
