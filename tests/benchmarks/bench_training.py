"""Training against TRL's SFTTrainer and DPOTrainer: the same rows, one after the other in one process, fp32, a thread.

python tests/benchmarks/bench_training.py [SIZE ...]      target: at least 1.5 times TRL's tokens per CPU second
The processors' seconds are compared, which other work on the machine disturbs least; set-up of the trainers is left out
of both, tokenising and reference scores are in both.
"""

import copy
import sys
import warnings

import torch
from training_sized import SIZES, Timed, ours, pairs_of, policy_of, rows_of, trls

WORK = {"0.2M": (40, 64), "135M": (2, 8)}  # updates, items an update


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    for name in names or WORK:
        size, (n_updates, batch_size) = SIZES[name], WORK[name]
        n = n_updates * batch_size
        for what, data in (
            ("rows", rows_of(size, n)),
            ("pairs", pairs_of(size, n)),
            ("late steps", pairs_of(size, n, 0.6)),
        ):
            policy = policy_of(size, "cpu")
            other = copy.deepcopy(policy)
            mine = ours(policy, data, n_updates, batch_size, "cpu")
            theirs = trls(other, data, n_updates, batch_size, "cpu")
            unit = "tokens" if what == "rows" else "pairs"
            print(
                f"{name} {what}: {_rate(mine, unit)}, TRL {_rate(theirs, unit)}: "
                f"{theirs.cpu_seconds / mine.cpu_seconds:.2f} times TRL",
                flush=True,
            )


def _rate(done: Timed, unit: str) -> str:
    n = done.n_tokens if unit == "tokens" else done.n_items
    return f"{n / done.cpu_seconds:,.0f} {unit} per CPU second"


if __name__ == "__main__":
    main(sys.argv[1:])
