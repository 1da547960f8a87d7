"""Attention of a pack: each row of its layout to its own keys, by a kernel where there is one, else block by block."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, PreTrainedModel

from sweep.models.packing import Block, Layout, Lengths

PACKED = "packed_rows"  # what a model's attention implementation is called while it reads packs
CHANGES_SCORES = ("sliding_window", "softcap", "s_aux")  # what a model may ask of attention beyond causality


@contextmanager
def reading_packs(model: PreTrainedModel) -> Iterator[None]:
    """Within it the model's decoder reads a `Pack`: input_ids, position_ids and layout.

    Raises:
        ValueError: the model does not let its attention be exchanged.
    """
    if not getattr(model, "_supports_attention_backend", False):
        raise ValueError(
            f"{type(model).__name__} computes attention in a way of its own, expected a model whose attention "
            "transformers can exchange (Llama, Qwen, Mistral, Gemma, OLMo, Phi, GPT-NeoX, ...); choose such a model"
        )
    before = model.config._attn_implementation
    model.set_attn_implementation(PACKED)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def has_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch has attention over rows of any length there."""
    return device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    layout: Layout,
    scaling: float | None = None,
    dropout: float = 0.0,
    **asked: Any,
) -> tuple[Tensor, None]:
    """(1, n_tokens, n_heads, n_values) of query (1, n_heads, n_tokens, n_values), and no weights.

    Raises:
        ValueError: the model asks for what is not computed here.
    """
    odd = [name for name in CHANGES_SCORES if asked.get(name) is not None]
    window = asked.get("sliding_window")
    if odd == ["sliding_window"] and window is not None and window >= _longest(layout):
        odd = []
    if odd or dropout:
        told = ", ".join([*odd, *(["dropout"] if dropout else [])])
        raise ValueError(
            f"{type(module).__name__} asks for {told}, which attention over packed rows does not compute; choose a "
            "model without, or texts inside its window"
        )
    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))  # (n_tokens, n_heads, n_values)
    if isinstance(layout, Lengths):
        return by_kernel(q, k, v, layout, scaling)[None], None
    blocks = [_of_block(q, k, v, block, scaling) for block in layout]
    return (blocks[0] if len(blocks) == 1 else torch.cat(blocks))[None], None


AttentionInterface.register(PACKED, packed_attention)


def by_kernel(q: Tensor, k: Tensor, v: Tensor, layout: Lengths, scaling: float | None) -> Tensor:
    """One call for all rows; its causal mask ends with the last query at the last key, as a branch wants it."""
    from torch.nn.attention.varlen import varlen_attn

    if layout.keys is not None:
        k, v = k.index_select(0, layout.keys), v.index_select(0, layout.keys)
    attended = varlen_attn(
        q.contiguous(),
        k.contiguous(),
        v.contiguous(),
        layout.queries,
        layout.of_keys,
        layout.longest_query,
        layout.longest_key,
        scale=scaling,
        window_size=(-1, 0),
        enable_gqa=k.shape[1] != q.shape[1],
    )
    assert isinstance(attended, Tensor)
    return attended


def _of_block(q: Tensor, k: Tensor, v: Tensor, block: Block, scaling: float | None) -> Tensor:
    """(n_tokens of the block, n_heads, n_values)."""
    own = slice(block.start, block.start + block.n_rows * block.width)
    q = _heads_first(q[own], block.n_rows)
    k, v = (_looked_at(states, block, own, n_heads=q.shape[1]) for states in (k, v))
    is_causal = block.is_seen is None and block.width > 1
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=block.is_seen, is_causal=is_causal, scale=scaling)
    return attended.transpose(1, 2).flatten(0, 1)


def _looked_at(states: Tensor, block: Block, own: slice, n_heads: int) -> Tensor:
    taken = states[own] if block.keys is None else states.index_select(0, block.keys.flatten())
    taken = _heads_first(taken, block.n_rows)
    n_repeats = n_heads // taken.shape[1]  # heads that share keys
    return taken if n_repeats == 1 else taken.repeat_interleave(n_repeats, dim=1)


def _heads_first(states: Tensor, n_rows: int) -> Tensor:
    """(n_rows, n_heads, width, n_values) of (n_rows * width, n_heads, n_values)."""
    return torch.unflatten(states, 0, (n_rows, -1)).transpose(1, 2)


def _longest(layout: Layout) -> int:
    if isinstance(layout, Lengths):
        return layout.longest_key
    return max(block.width if block.keys is None else block.keys.shape[1] for block in layout)
