"""Engines of sampling beside `transformers.generate`: the same prompts, samples and bounds, one after the other.

python tests/benchmarks/bench_engines.py [SIZE ...]      target: at least twice generate's tokens per CPU second
The 0.2M model is trained first, so that its solutions end as real ones do, 12 of each of 128 prompts; the 135M shape
has random weights, whose completions never end: 8 of each of 3 prompts of 61 tokens, 8 tokens each. fp32, one thread;
the processors' seconds are compared, which other work on the machine disturbs least.
"""

import sys

import torch
from sampling_sized import Drawn, by_engine, by_generate
from skills_sized import policy_and_rows
from training_sized import SIZES, policy_of, rows_of

from sweep.methods.sft import sft_loss
from sweep.models import Optim, Policy, train

WORK = {"0.2M": (128, 12, 32), "135M": (3, 8, 8)}  # prompts, samples of each, tokens at most
ENGINES = ("embedded", "slots")
MAX_ROWS = 512


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    for name in names or WORK:
        n_prompts, n_samples, n_most = WORK[name]
        policy, prefixes = made(name, n_prompts)
        generate = by_generate(policy, prefixes, n_samples, n_most, MAX_ROWS, torch.float32)
        print(f"{name} generate: {_rate(generate)}", flush=True)
        for engine in ENGINES:
            mine = by_engine(policy, engine, prefixes, n_samples, n_most, MAX_ROWS, "fp32")
            ratio = (mine.n_tokens / mine.cpu_seconds) / (generate.n_tokens / generate.cpu_seconds)
            print(f"{name} {engine}: {_rate(mine)}, {ratio:.2f} times generate", flush=True)


def made(name: str, n_prompts: int) -> tuple[Policy, list[str]]:
    if name == "0.2M":
        policy, rows = policy_and_rows(1024)
        train(policy, rows, sft_loss, Optim(3e-3, 300, 64), seed=0, log=lambda update, metrics: None)
    else:
        policy, rows = policy_of(SIZES[name], "cpu"), rows_of(SIZES[name], n_prompts)
    return policy, [row.prefix for row in rows[:n_prompts]]


def _rate(done: Drawn) -> str:
    return f"{done.n_tokens / done.cpu_seconds:,.0f} tokens per CPU second, {done.n_read:,} tokens of prompts read"


if __name__ == "__main__":
    main(sys.argv[1:])
