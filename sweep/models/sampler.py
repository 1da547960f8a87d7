"""Sampling: many completions of many prefixes, with the work on a prefix done once.

Each distinct prefix is prefilled once and its key-value cache copied to all its samples; rows
that have ended leave the batch. The randomness of a token is a function of (seed, prefix,
number of the sample, position) alone, so a sample depends neither on which other prefixes are in
the call nor on max_rows, up to the rounding of floating point sums.

What a policy writes is untrusted: it is bounded by max_new_tokens and only ever decoded to text.
"""

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Cache, DynamicCache

from sweep.models.draws import Completion, Settings, check_arguments, check_finite, choose, uniforms
from sweep.models.policy import Policy, decode_continuations, encode_prefixes
from sweep.models.progress import Progress

MIN_ENDED = 0.2  # fraction of a batch that has ended before the cache is copied without it


def sample(
    policy: Policy,
    prefixes: Sequence[str],
    *,
    n_samples: int,
    temperature: float,
    max_new_tokens: int,
    seed: int,
    top_p: float = 1.0,
    first_sample: int = 0,
    max_rows: int = 512,
    has_entropy: bool = False,
    checkpoint_path: Path | None = None,
    should_stop: Callable[[], bool] | None = None,
    report: Callable[[int, int], None] | None = None,
) -> list[list[Completion]]:
    """n_samples completions of each prefix, in the order of `prefixes`.

    A prefix that is given twice gets twice the samples, all different draws.

    Args:
        temperature: divides the logits; 0 takes the most likely token (n_samples copies of it).
        max_new_tokens: bound on a completion, its EOS included.
        first_sample: the number of the first one, where others were drawn before; n samples from here are the last n of
            first_sample + n.
        top_p: draws from the smallest set of tokens that holds this probability.
        max_rows: bound on the rows of one forward pass; memory, not mathematics.
        has_entropy: also return each completion's entropy; its mean over completions estimates the
            entropy of the distribution over whole completions, by the chain rule.
        checkpoint_path: keeps finished chunks, and goes on from those that it holds.
        should_stop: asked after every chunk of about max_rows rows.
        report: told after every chunk how many prefixes are done, and of how many.
    Raises:
        Interrupted: should_stop said so.
        ValueError: an argument out of range, a prefix that leaves no room for max_new_tokens.
        FloatingPointError: the policy's logits, or they divided by the temperature, are not finite.
    """
    check_arguments(n_samples, temperature, top_p, max_new_tokens, max_rows)
    settings = Settings(temperature, top_p, max_new_tokens, max_rows, seed, has_entropy, n_samples, first_sample)
    places: dict[tuple[int, ...], list[int]] = defaultdict(list)  # where each distinct prefix stands
    for i, (text, ids) in enumerate(zip(prefixes, encode_prefixes(policy, prefixes), strict=True)):
        if len(ids) + max_new_tokens > policy.max_length:
            raise ValueError(
                f"the prefix {text[-60:]!r} has {len(ids)} tokens, with max_new_tokens={max_new_tokens} more than the "
                f"model's max_length={policy.max_length}; lower max_new_tokens or raise the model's max_length"
            )
        places[tuple(ids)].append(i)
    n_rows = {ids: 1 if temperature == 0 else n_samples * len(indices) for ids, indices in places.items()}
    results: list[list[Completion]] = [[] for _ in prefixes]
    policy.model.eval()
    with torch.inference_mode():
        chunks, progress = list(_chunks(n_rows, max_rows)), Progress(checkpoint_path, should_stop)
        for number, chunk in enumerate(chunks):
            counts = [n_rows[ids] for ids in chunk]

            def draw(chunk: list[tuple[int, ...]] = chunk, counts: list[int] = counts) -> list[tuple[Any, ...]]:
                return [astuple(completion) for completion in _complete(policy, chunk, counts, settings)]

            rows = progress.rows(number, len(chunks), (settings, chunk, counts), draw)
            completions = (Completion(*row) for row in rows)
            for prefix in chunk:
                drawn = [next(completions) for _ in range(n_rows[prefix])]
                for n, i in enumerate(places[prefix]):
                    start = n * n_samples
                    results[i] = drawn * n_samples if temperature == 0 else drawn[start : start + n_samples]
            if report is not None:
                report(sum(map(bool, results)), len(prefixes))
    return results


def _chunks(n_rows: dict[tuple[int, ...], int], max_rows: int) -> Iterator[list[tuple[int, ...]]]:
    """Prefixes of similar length, at most max_rows rows together (a prefix with more is alone).

    Equal lengths need no attention mask, so a well-filled chunk ends where the length changes.
    """
    chunk: list[tuple[int, ...]] = []
    n_chunk = 0
    for ids in sorted(n_rows, key=len):
        is_longer = bool(chunk) and len(ids) > len(chunk[-1]) and n_chunk >= max_rows / 4
        if chunk and (is_longer or n_chunk + n_rows[ids] > max_rows):
            yield chunk
            chunk, n_chunk = [], 0
        chunk.append(ids)
        n_chunk += n_rows[ids]
    if chunk:
        yield chunk


def _complete(
    policy: Policy, chunk: list[tuple[int, ...]], n_rows: list[int], settings: Settings
) -> Iterator[Completion]:
    """Prefills the prefixes of a chunk, then decodes their rows, at most max_rows at a time."""
    cache, logits, mask = _prefill(policy, chunk)
    numbers = np.concatenate(
        [
            uniforms(settings, ids, n) if settings.temperature else np.empty((n, 0), np.float32)
            for ids, n in zip(chunk, n_rows, strict=True)
        ]
    )
    parents = np.repeat(np.arange(len(chunk)), n_rows)
    for start in range(0, len(parents), settings.max_rows):
        part = slice(start, start + settings.max_rows)
        parent = torch.from_numpy(parents[part]).to(policy.device)
        yield from _decode(
            policy,
            _selected(cache, parent),
            logits[parent],
            None if mask is None else mask[parent],
            torch.from_numpy(numbers[part]).to(policy.device),
            settings,
        )


def _prefill(policy: Policy, chunk: list[tuple[int, ...]]) -> tuple[Cache, Tensor, Tensor | None]:
    """Cache and next-token logits (n_prefixes, n_vocabulary); and, for mixed lengths, the left padding's mask."""
    width = max(len(ids) for ids in chunk)
    input_ids = torch.tensor([[policy.pad_id] * (width - len(ids)) + list(ids) for ids in chunk], device=policy.device)
    mask = None
    if any(len(ids) < width for ids in chunk):
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in chunk], device=policy.device)
    output = policy.model(
        input_ids,
        attention_mask=mask,
        position_ids=None if mask is None else (mask.cumsum(1) - 1).clamp(min=0),
        past_key_values=DynamicCache(config=policy.model.config),
        use_cache=True,
        logits_to_keep=1,
    )
    return output.past_key_values, output.logits[:, -1].float(), mask


def _selected(cache: Cache, rows: Tensor) -> Cache:
    """A new cache of the given rows, repeats allowed; the old one stays as it is."""
    selected = copy.copy(cache)
    selected.layers = [copy.copy(layer) for layer in cache.layers]
    selected.batch_select_indices(rows)
    return selected


def _decode(
    policy: Policy, cache: Cache, logits: Tensor, mask: Tensor | None, uniforms: Tensor, settings: Settings
) -> list[Completion]:
    """One completion of each row, given the prefix's cache and next-token logits."""
    n_rows, device = len(logits), policy.device
    tokens = torch.full((n_rows, settings.max_new_tokens), policy.pad_id, device=device)
    entropies = torch.zeros(n_rows, settings.max_new_tokens, device=device) if settings.has_entropy else None
    live = torch.arange(n_rows, device=device)  # which row each place of the batch works on
    has_ended = torch.zeros(n_rows, dtype=torch.bool, device=device)
    is_finite = torch.ones((), dtype=torch.bool, device=device)  # looked at where the device is waited for anyway
    eos_ids = torch.tensor(policy.eos_ids, device=device)
    barred_ids = torch.tensor(policy.barred_ids, dtype=torch.long, device=device)
    for step in range(settings.max_new_tokens):
        lowest, highest = logits.aminmax()  # NaN where one is: one pass, a tenth of isfinite's time
        is_finite &= (highest - lowest).isfinite()
        chosen, entropy, mass = choose(
            logits, barred_ids, uniforms[live, step] if settings.temperature else None, settings
        )
        is_finite &= mass.sum().isfinite()
        tokens[live, step] = chosen
        if entropies is not None and entropy is not None:
            entropies[live, step] = entropy
        has_ended |= torch.isin(chosen, eos_ids)
        n_ended = int(has_ended.sum())
        check_finite(is_finite, step, settings)
        if n_ended == len(live) or step + 1 == settings.max_new_tokens:
            break
        if n_ended >= MIN_ENDED * len(live):
            kept = (~has_ended).nonzero()[:, 0]
            cache.batch_select_indices(kept)
            live, chosen, has_ended = live[kept], chosen[kept], has_ended[kept]
            mask = None if mask is None else mask[kept]
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
        logits = (
            policy.model(
                chosen[:, None],
                attention_mask=mask,
                position_ids=None if mask is None else mask.sum(1, keepdim=True) - 1,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            .logits[:, -1]
            .float()
        )
    return _completions(policy, tokens, entropies)


def _completions(policy: Policy, tokens: Tensor, entropies: Tensor | None) -> list[Completion]:
    """Cuts each row behind its first EOS; what stands there is what a row did after it had ended."""
    is_eos = torch.isin(tokens, torch.tensor(policy.eos_ids, device=tokens.device))
    finished = is_eos.any(1)
    lengths = torch.where(finished, is_eos.int().argmax(1) + 1, tokens.shape[1]).tolist()
    rows = [ids[:n] for ids, n in zip(tokens.tolist(), lengths, strict=True)]
    texts = decode_continuations(policy, rows)
    row_entropies = (
        [None] * len(rows)
        if entropies is None
        else [sum(values[:n]) for values, n in zip(entropies.tolist(), lengths, strict=True)]
    )
    return [
        Completion(text, n, is_finished, entropy)
        for text, n, is_finished, entropy in zip(texts, lengths, finished.tolist(), row_entropies, strict=True)
    ]
