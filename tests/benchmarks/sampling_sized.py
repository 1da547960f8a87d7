"""The same completions by every engine and by `transformers.generate`, at a model's size: what each takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from sweep.models import Policy, encode_prefix, n_sampled_tokens, opened


@dataclass(frozen=True)
class Drawn:
    """Tokens and what they took; rows that ended early are counted to their end."""

    n_tokens: int
    seconds: float
    cpu_seconds: float
    n_read: int  # tokens of prefixes that were computed


def timed(work: Callable[[], tuple[int, int]], device: str) -> Drawn:
    if device != "cpu":
        torch.cuda.synchronize()
    began, cpu_began = time.perf_counter(), time.process_time()
    n_tokens, n_read = work()
    if device != "cpu":
        torch.cuda.synchronize()
    return Drawn(n_tokens, time.perf_counter() - began, time.process_time() - cpu_began, n_read)


def by_engine(
    policy: Policy,
    name: str,
    prefixes: list[str],
    n_samples: int,
    n_most: int,
    max_rows: int,
    precision: str,
    temperature: float = 1.0,
) -> Drawn:
    def work() -> tuple[int, int]:
        with opened(policy, name, max_rows=max_rows, precision=precision) as sampler:
            drawn = sampler(prefixes, n_samples=n_samples, temperature=temperature, max_new_tokens=n_most, seed=0)
            n_read = sampler.engine.n_read if sampler.engine is not None and sampler.engine.n_read else 0
        return n_sampled_tokens(drawn), n_read or sum(len(encode_prefix(policy, p)) for p in set(prefixes))

    return timed(work, policy.device.type)


def by_generate(
    policy: Policy, prefixes: list[str], n_samples: int, n_most: int, max_rows: int, dtype: torch.dtype
) -> Drawn:
    """As its users call it: left padding, num_return_sequences, batches of at most max_rows rows."""
    model = policy.model.to(dtype)
    how = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": n_most}
    how |= {"eos_token_id": policy.eos_ids, "pad_token_id": policy.pad_id, "num_return_sequences": n_samples}

    def work() -> tuple[int, int]:
        n_tokens = n_read = 0
        at_once = max(1, max_rows // n_samples)
        torch.manual_seed(0)
        for start in range(0, len(prefixes), at_once):
            ids = [encode_prefix(policy, prefix) for prefix in prefixes[start : start + at_once]]
            width = max(map(len, ids))
            padded = torch.tensor([[policy.pad_id] * (width - len(one)) + one for one in ids], device=policy.device)
            mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in ids], device=policy.device)
            out = model.generate(padded, attention_mask=mask, **how)[:, width:]
            is_eos = torch.isin(out, torch.tensor(policy.eos_ids, device=out.device))
            ends = torch.where(is_eos.any(1), is_eos.int().argmax(1) + 1, out.shape[1])
            n_tokens += int(ends.sum())
            n_read += padded.numel() * n_samples
        return n_tokens, n_read

    try:
        return timed(work, policy.device.type)
    finally:
        policy.model.to(torch.float32)
