"""Sampling speed of the 213k-parameter model on one CPU thread.

python tests/benchmarks/bench_sampler.py            target: 1,200 samples/s
The model is first trained until it ends its solutions. The best of three rounds is shown, because
other work on the machine only ever slows a round down; where the machine is busy, read the
samples per CPU second.
"""

import time

import torch
from skills_sized import policy_and_rows

from sweep.methods.sft import sft_loss
from sweep.models import Optim, n_sampled_tokens, sample, train

N_ROUNDS = 3


def main() -> None:
    torch.set_num_threads(1)
    policy, rows = policy_and_rows(1024)
    train(policy, rows, sft_loss, Optim(3e-3, 300, 64), seed=0, log=lambda update, metrics: None)
    prefixes = [row.prefix for row in rows]
    for name, n_prefixes, n_samples, temperature in (
        ("12 samples of each prefix at temperature 1", 256, 12, 1.0),
        ("1 sample of each prefix at temperature 0.7", 1024, 1, 0.7),
        ("1 greedy completion of each prefix", 1024, 1, 0.0),
    ):
        times, cpu = [], []
        for _ in range(N_ROUNDS):
            began, cpu_began = time.perf_counter(), time.process_time()
            drawn = sample(
                policy,
                prefixes[:n_prefixes],
                n_samples=n_samples,
                temperature=temperature,
                max_new_tokens=32,
                seed=0,
            )
            times.append(time.perf_counter() - began)
            cpu.append(time.process_time() - cpu_began)
        n_completions = n_prefixes * n_samples
        finished = sum(completion.is_finished for group in drawn for completion in group) / n_completions
        print(
            f"{name}: {n_completions / min(times):,.0f} samples/s, "
            f"{n_sampled_tokens(drawn) / min(times):,.0f} tokens/s, {finished:.0%} finished; "
            f"{n_completions / min(cpu):,.0f} samples per CPU second"
        )


if __name__ == "__main__":
    main()
