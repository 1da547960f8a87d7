"""What every engine of sampling draws: from which distribution, with which random numbers, and what comes of it.

The randomness of a token is a function of (seed, prefix, number of the sample, position) alone, so engines that compute
the same logits draw the same tokens, whatever else they work on at the time.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sweep.models.policy import Policy, encode_prefixes


@dataclass(frozen=True, slots=True)
class Completion:
    """A sampled continuation; n_tokens and entropy count the EOS of a finished one."""

    text: str
    n_tokens: int
    is_finished: bool  # ended by itself, inside max_new_tokens
    entropy: float | None  # nats, summed over its tokens, of the distribution that each was drawn from


@dataclass(frozen=True, slots=True)
class Settings:
    temperature: float
    top_p: float
    max_new_tokens: int
    max_rows: int
    seed: int
    has_entropy: bool
    n_samples: int
    first_sample: int  # a prefix's samples are numbered; those before this one are another call's


def n_sampled_tokens(completions: Sequence[Sequence[Completion]]) -> int:
    """Tokens that a call of `sample` drew."""
    return sum(completion.n_tokens for group in completions for completion in group)


def sampling_flops(policy: Policy, prefixes: Sequence[str], completions: Sequence[Sequence[Completion]]) -> float:
    """What a call of `sample` computed: each distinct prefix read once, each token drawn."""
    n_read = sum(map(len, {tuple(ids) for ids in encode_prefixes(policy, prefixes)}))
    return policy.flops_per_token * (n_read + n_sampled_tokens(completions))


def check_arguments(n_samples: int, temperature: float, top_p: float, max_new_tokens: int, max_rows: int) -> None:
    wrong = {
        f"n_samples={n_samples}": n_samples < 1,
        f"temperature={temperature}": not 0 <= temperature < float("inf"),
        f"top_p={top_p}": not 0 < top_p <= 1,
        f"max_new_tokens={max_new_tokens}": max_new_tokens < 1,
        f"max_rows={max_rows}": max_rows < 1,
    }
    if any(wrong.values()):
        raise ValueError(
            f"{', '.join(text for text, is_wrong in wrong.items() if is_wrong)}: expected counts of 1 or more, "
            "temperature of 0 or more and top_p in (0, 1]; correct the sampling config"
        )


def uniforms(settings: Settings, ids: tuple[int, ...], n_rows: int) -> np.ndarray:
    """(n_rows, max_new_tokens) in [0, 1), from a generator keyed by the seed and the prefix; the rows from the first
    sample on."""
    digest = hashlib.blake2b(repr((settings.seed, ids)).encode(), digest_size=16).digest()
    generator = np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype=np.uint64)))
    before = settings.first_sample * n_rows // settings.n_samples
    return generator.random((before + n_rows, settings.max_new_tokens), dtype=np.float32)[before:]


def check_finite(is_finite: Tensor, step: int, settings: Settings) -> None:
    if not is_finite:
        raise FloatingPointError(
            f"token {step + 1} of a completion, temperature={settings.temperature:g}: the policy's logits, or they "
            "divided by the temperature, are not finite numbers, so no token is the likeliest. Lower the learning rate "
            "of the training that made the policy, or take temperature=0 where a very low one was asked for"
        )


def choose(
    logits: Tensor, barred_ids: Tensor, uniforms: Tensor | None, settings: Settings
) -> tuple[Tensor, Tensor | None, Tensor]:
    """(n_rows,) next tokens, the most likely ones or where each row's uniform number falls in its distribution;
    (n_rows,) that distribution's entropy in nats, None where it is not asked for or is 0 by definition; and
    (n_rows,) what must be finite for either to mean anything."""
    if len(barred_ids):
        logits = logits.index_fill(1, barred_ids, float("-inf"))
    if uniforms is None:
        chosen = logits.argmax(1)
        return chosen, None, logits.gather(1, chosen[:, None])[:, 0]
    probabilities = (logits / settings.temperature).softmax(1)
    if settings.top_p < 1:
        probabilities, order = probabilities.sort(1, descending=True)
        before = probabilities.cumsum(1) - probabilities
        probabilities = probabilities.masked_fill(before >= settings.top_p, 0)
    cumulative = probabilities.cumsum(1)
    # strictly below the last entry, whatever it was rounded to
    thresholds = uniforms[:, None].clamp(max=1 - 1e-6) * cumulative[:, -1:]
    places = torch.searchsorted(cumulative, thresholds, right=True).clamp(max=logits.shape[1] - 1)
    chosen = (places if settings.top_p == 1 else order.gather(1, places))[:, 0]
    mass = cumulative[:, -1]
    if not settings.has_entropy:
        return chosen, None, mass
    return chosen, torch.special.entr(probabilities / cumulative[:, -1:]).sum(1), mass
