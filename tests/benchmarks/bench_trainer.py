"""Training speed of the 213k-parameter model on one CPU thread: rows, then pairs.

python tests/benchmarks/bench_trainer.py            target: 26,000 tokens/s for rows
Tokens are those of prefix and continuation, without padding. The best of three rounds is shown,
because other work on the machine only ever slows a round down; where the machine is busy,
read the tokens per CPU second (set-up included).
"""

import time
from functools import partial

import torch
from skills_sized import policy_and_rows

from sweep.data.records import Pair
from sweep.methods.dpo import dpo_loss
from sweep.methods.sft import sft_loss
from sweep.models import Optim, encode_continuation, encode_prefix, train

N_UPDATES, BATCH_SIZE, N_ROUNDS = 60, 64, 3


def main() -> None:
    torch.set_num_threads(1)
    policy, rows = policy_and_rows(1024)
    pairs = [
        Pair(row.prefix, row.continuation, other.continuation, True, True, row.problem_id)
        for row, other in zip(rows, rows[1:] + rows[:1], strict=True)
    ]
    length = len(encode_prefix(policy, rows[0].prefix)) + len(encode_continuation(policy, rows[0].continuation, True))
    quiet = {"seed": 0, "log": lambda update, metrics: None}
    for name, data, loss, options, n_sequences in (
        ("rows", rows, sft_loss, {}, 1),
        ("pairs", pairs, partial(dpo_loss, beta=0.1), {"reference": policy}, 2),
    ):
        costs, cpu = [], []
        for _ in range(N_ROUNDS):
            began = time.process_time()
            costs.append(train(policy, data, loss, Optim(1e-3, N_UPDATES, BATCH_SIZE), **quiet, **options))
            cpu.append(time.process_time() - began)
        seconds = min(cost.seconds for cost in costs)
        n_tokens = N_UPDATES * BATCH_SIZE * n_sequences * length
        print(
            f"{name}: {n_tokens / seconds:,.0f} tokens/s, {costs[0].n_trained_tokens / seconds:,.0f} with loss, "
            f"{N_UPDATES / seconds:.1f} updates/s; {n_tokens / min(cpu):,.0f} tokens per CPU second"
        )


if __name__ == "__main__":
    main()
