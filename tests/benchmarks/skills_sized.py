"""A model and rows of the size of the skills domain: 828 tokens, 213k parameters, 24 tokens a row."""

import numpy as np

from sweep.data.records import Row
from sweep.models import Policy, new_policy


def policy_and_rows(n_rows: int) -> tuple[Policy, list[Row]]:
    functions, values = [f"f{i}" for i in range(800)], [str(i) for i in range(17)]
    vocabulary = [*functions, *values, "|", ";", "so", "ans", "A", "B", "C"]
    shape = {
        "hidden_size": 64,
        "n_layers": 3,
        "n_heads": 4,
        "mlp_size": 192,
        "max_length": 64,
        "rope_theta": 1000.0,
    }
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n_rows):
        chain = rng.choice(functions, 3)
        value = rng.choice(values, 4)
        prefix = f"{value[0]} {' '.join(chain)} | "
        steps = "".join(f"so {f} {a} {b} ; " for f, a, b in zip(chain, value, value[1:], strict=False))
        rows.append(Row(prefix, f"{steps}ans {'ABC'[i % 3]}", True, str(i)))
    return new_policy(vocabulary, **shape, seed=0), rows
