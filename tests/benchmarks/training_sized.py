"""Models, rows and pairs to measure training on, ours and TRL's: one update's worth of the same work for both."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np
import torch

from sweep.data.records import Pair, Row
from sweep.methods.dpo import dpo_loss
from sweep.methods.sft import sft_loss
from sweep.models import Optim, Policy, new_policy, train

BETA, LR = 0.1, 1e-5
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}  # dense bf16 FLOP/s


@dataclass(frozen=True)
class Size:
    """A Llama's shape, and the texts it is measured on: words of a prompt, and of the shortest and longest answer."""

    name: str
    hidden_size: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    mlp_size: int
    n_words: int
    n_prompt: int
    answers: tuple[int, int]


SIZES = {
    size.name: size
    for size in (
        Size("0.2M", 64, 3, 4, 4, 192, 824, 5, (8, 18)),
        Size("135M", 576, 30, 9, 3, 1536, 49148, 60, (60, 200)),  # SmolLM2-135M's shape, texts of GSM8K's length
        Size("1.2B", 2048, 24, 32, 8, 5632, 32764, 60, (60, 200)),
    )
}


def policy_of(size: Size, device: str, dtype: torch.dtype = torch.float32) -> Policy:
    policy = new_policy(
        [f"w{i}" for i in range(size.n_words)],
        hidden_size=size.n_heads * 2,  # replaced below: only its tokenizer is kept
        n_layers=1,
        n_heads=size.n_heads,
        mlp_size=2,
        max_length=512,
        rope_theta=10000.0,
        seed=0,
    )
    config = policy.model.config
    config.hidden_size, config.intermediate_size, config.num_hidden_layers = (
        size.hidden_size,
        size.mlp_size,
        size.n_layers,
    )
    config.num_key_value_heads, config.head_dim = size.n_kv_heads, size.hidden_size // size.n_heads
    torch.manual_seed(0)
    with torch.device(device):
        policy.model = type(policy.model)(config).to(dtype).eval()
    policy.device = torch.device(device)
    return policy


def rows_of(size: Size, n: int) -> list[Row]:
    rng = np.random.default_rng(0)
    return [
        Row(_text(rng, size, size.n_prompt), _text(rng, size, rng.integers(*size.answers)), True, f"p{i}")
        for i in range(n)
    ]


def rows_like_gsm8k(size: Size, n: int) -> list[Row]:
    """Rows whose lengths are n quantiles of GSM8K's train problems, in words and marks: near to log-normal, questions
    about a median of 49 (nine of ten below 79), answers about 90 (below 155)."""
    rng = np.random.default_rng(0)
    quantiles = [NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)]
    asked, answered = (
        [round(median * math.exp(spread * quantiles[i])) for i in rng.permutation(n)]
        for median, spread in ((49, 0.373), (90, 0.424))
    )
    return [
        Row(_text(rng, size, n_prompt), _text(rng, size, n_answer), True, f"p{i}")
        for i, (n_prompt, n_answer) in enumerate(zip(asked, answered, strict=True))
    ]


def pairs_of(size: Size, n: int, share: float = 0.0) -> list[Pair]:
    """Pairs whose prefix holds, beside the prompt, this share of the solution, as pairs of a late step do."""
    rng, out = np.random.default_rng(1), []
    for i in range(n):
        n_shared = int(share * size.answers[1])
        lengths = [max(2, int(length) - n_shared) for length in rng.integers(*size.answers, size=2)]
        prefix = _text(rng, size, size.n_prompt + n_shared)
        out.append(Pair(prefix, _text(rng, size, lengths[0]), _text(rng, size, lengths[1]), True, True, f"p{i}"))
    return out


def _text(rng: np.random.Generator, size: Size, n_words: int) -> str:
    return "".join(f"w{i} " for i in rng.integers(size.n_words, size=n_words))


@dataclass(frozen=True)
class Timed:
    """Seconds of the clock and of the processors; what was read in them."""

    seconds: float
    cpu_seconds: float
    n_items: int
    n_tokens: int  # of whole sequences
    loss: float


def timed(work: Callable[[], float], n_items: int, n_tokens: int, device: str) -> Timed:
    if device != "cpu":
        torch.cuda.synchronize()
    began, cpu_began = time.perf_counter(), time.process_time()
    loss = work()
    if device != "cpu":
        torch.cuda.synchronize()
    return Timed(time.perf_counter() - began, time.process_time() - cpu_began, n_items, n_tokens, loss)


def ours(
    policy: Policy, data: Sequence[Row] | Sequence[Pair], n_updates: int, batch_size: int, device: str, **how: Any
) -> Timed:
    logged: list[float] = []
    is_pairs = isinstance(data[0], Pair)
    loss = partial(dpo_loss, beta=BETA) if is_pairs else sft_loss
    optim = Optim(LR, n_updates, batch_size, warmup_fraction=0.0, schedule="constant")
    reference = {"reference": policy} if is_pairs else {}

    def work() -> float:
        log = lambda update, metrics: logged.append(metrics["loss"])  # noqa: E731
        train(policy, data, loss, optim, seed=0, log=log, **reference, **how)
        return logged[-1]

    n = n_updates * batch_size
    return timed(work, n, _n_tokens(data, n), device)


def trls(
    policy: Policy, data: Sequence[Row] | Sequence[Pair], n_updates: int, batch_size: int, device: str, **how: Any
) -> Timed:
    """The same rows by TRL's trainer, with its settings for speed: no checkpointing, reference scores once."""
    from datasets import Dataset, disable_progress_bars
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    disable_progress_bars()
    is_pairs = isinstance(data[0], Pair)
    columns = [("prompt", "prefix"), ("chosen", "chosen"), ("rejected", "rejected")]
    if not is_pairs:
        columns = [("prompt", "prefix"), ("completion", "continuation")]
    dataset = Dataset.from_list([{name: getattr(one, field) for name, field in columns} for one in data])
    shared = {
        "per_device_train_batch_size": batch_size, "max_steps": n_updates, "learning_rate": LR, "report_to": "none",
        "lr_scheduler_type": "constant", "save_strategy": "no", "logging_steps": n_updates, "disable_tqdm": True,
        "gradient_checkpointing": False, "use_cpu": device == "cpu", "bf16": False, "seed": 0,
    } | how  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        if is_pairs:
            config = DPOConfig(folder, beta=BETA, precompute_ref_log_probs=True, **shared)
            trainer = DPOTrainer(policy.model, None, config, train_dataset=dataset, processing_class=policy.tokenizer)
        else:
            config = SFTConfig(folder, **shared)
            trainer = SFTTrainer(policy.model, config, train_dataset=dataset, processing_class=policy.tokenizer)
        n = n_updates * batch_size
        return timed(lambda: trainer.train().training_loss, n, _n_tokens(data, n), device)


def _n_tokens(data: Sequence[Row] | Sequence[Pair], n: int) -> int:
    """Of n of the items, at the mean length of all."""
    texts = [(one.prefix + text).split() for one in data for text in _sides(one)]
    return n * sum(len(words) + 2 for words in texts) // len(data)


def _sides(one: Row | Pair) -> list[str]:
    return [one.continuation] if isinstance(one, Row) else [one.chosen, one.rejected]
