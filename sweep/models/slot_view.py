"""Attention over a cache of slots, as transformers calls it: what a row reads is said by a view, not by the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface

from sweep.models.attention import CHANGES_SCORES

SLOTS = "slots"  # the name by which transformers knows this attention


@dataclass(frozen=True)
class View:
    """Of the cache: which slots the rows of a forward pass are, where their tokens go and what each may look at."""

    cache: Tensor  # (n_layers, 2, n_slots, n_tokens, n_kv_heads, n_values)
    slots: Tensor | None  # (n_rows,); None: the first n_rows
    positions: Tensor  # (n_rows, width)
    is_seen: Tensor  # (n_rows, 1, n_groups * width, n_read), 0 or minus infinity

    def written(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Puts (n_rows, n_kv_heads, width, n_values) in; all that the rows may look at, of the same layout."""
        n_rows, n_read = len(self.positions), self.is_seen.shape[3]
        slots = torch.arange(n_rows, device=key.device) if self.slots is None else self.slots
        read = []
        for states, kept in ((key, self.cache[layer, 0]), (value, self.cache[layer, 1])):
            kept[slots[:, None], self.positions] = states.transpose(1, 2)
            own = kept[:n_rows, :n_read] if self.slots is None else kept[self.slots, :n_read]
            read.append(own.transpose(1, 2))
        return read[0], read[1]


def slot_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    slots: View | None = None,
    scaling: float | None = None,
    **asked: Any,
) -> tuple[Tensor, None]:
    """(n_rows, width, n_heads, n_values) of query (n_rows, n_heads, width, n_values); without a view plainly causal.

    Heads that share keys are put one behind the other as queries of one head, so keys are read once for all of them.

    Raises:
        ValueError: the model asks for what is not computed here.
    """
    window = asked.get("sliding_window")
    n_tokens = query.shape[2] if slots is None else slots.cache.shape[3]
    odd = [name for name in CHANGES_SCORES if asked.get(name) is not None]
    if odd == ["sliding_window"] and window is not None and window >= n_tokens:
        odd = []
    if odd:
        raise ValueError(
            f"{type(module).__name__} asks for {', '.join(odd)}, which exec.engine=slots does not compute; choose a "
            "model without, texts inside its window, or another engine (exec.engine=paged)"
        )
    if slots is None:
        assert key.shape[2] == query.shape[2], "beside an open engine a model reads whole rows alone"
        is_grouped = key.shape[1] != query.shape[1]
        out = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scaling, enable_gqa=is_grouped)
        return out.transpose(1, 2), None
    key, value = slots.written(module.layer_idx, key, value)  # type: ignore[arg-type]
    grouped = torch.unflatten(query, 1, (key.shape[1], -1)).flatten(2, 3)
    out = F.scaled_dot_product_attention(grouped, key, value, attn_mask=slots.is_seen, scale=scaling)
    return torch.unflatten(out, 2, (-1, query.shape[2])).flatten(1, 2).transpose(1, 2), None


AttentionInterface.register(SLOTS, slot_attention)
