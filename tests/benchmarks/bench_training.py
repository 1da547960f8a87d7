"""Training beside TRL's trainers at the shape of a model of 135M: the same rows read once, one after the other.

python tests/benchmarks/bench_training.py [N_ROWS]      target: at most 2/3 of TRL's CPU seconds
Rows have the lengths of GSM8K's, random weights, fp32, one thread, batches of 8; the processors' seconds of training
alone are compared, which other work on the machine disturbs least. TRL fills a batch up to its longest row; `packing`
is its own way of not doing so, in sequences of 512 tokens. Both without checkpointing, TRL's default of computing
layers twice left out. The limit is the operations of this model over as many tokens, as one product of matrices.
"""

from __future__ import annotations

import copy
import sys
import time
import warnings

import torch
from training_sized import SIZES, Timed, ours, pairs_of, policy_of, rows_like_gsm8k, trls

BATCH, PACK = 8, 512
PACKED = {"packing": True, "max_length": PACK, "max_steps": -1, "num_train_epochs": 1, "per_device_train_batch_size": 3}


def main(n: int) -> None:
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    size = SIZES["135M"]
    policy, rows, pairs = policy_of(size, "cpu"), rows_like_gsm8k(size, n), pairs_of(size, BATCH, 0.6)
    n_tokens = sum(len((row.prefix + row.continuation).split()) + 2 for row in rows)
    n_parameters = sum(p.numel() for p in policy.model.parameters())
    print(f"limit: {_limit(6 * n_parameters * n_tokens, size.hidden_size):.1f} CPU s", flush=True)
    for name, data in (("SFT", rows), ("per-step DPO", pairs)):
        how = (len(data) // BATCH, BATCH, "cpu")
        mine = ours(copy.deepcopy(policy), data, *how)
        print(f"{name}, ours: {mine.cpu_seconds:.1f} CPU s, loss {mine.loss:.4f}", flush=True)
        for label, more in (("", {}), (" packing", PACKED)) if data is rows else (("", {}),):
            _tell(f"{name}, TRL{label}", trls(copy.deepcopy(policy), data, *how, **more), mine)


def _tell(what: str, theirs: Timed, mine: Timed) -> None:
    ratio = theirs.cpu_seconds / mine.cpu_seconds
    print(f"{what}: {theirs.cpu_seconds:.1f} CPU s, {ratio:.2f} times ours, loss {theirs.loss:.4f}", flush=True)


def _limit(n_operations: float, width: int) -> float:
    """Seconds of so many operations in products of 1,024 rows with square matrices of this width."""
    a, b = torch.ones(1024, width), torch.ones(width, width)
    n = 200
    began = time.process_time()
    for _ in range(n):
        a @ b
    return (time.process_time() - began) / (n * 2 * 1024 * width * width) * n_operations


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 16)
