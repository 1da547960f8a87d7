"""A policy small enough to train inside a test, and rows of a toy language for it."""

import copy
from functools import lru_cache, partial

import numpy as np
import torch

from sweep.data.records import Pair, Row
from sweep.methods.dpo import dpo_loss
from sweep.methods.sft import sft_loss
from sweep.models import Optim, Policy, TrainCost, new_policy, train

WORDS = [*(f"f{i}" for i in range(8)), *(str(i) for i in range(5)), "|", ";", "ans"]


def tiny_policy(seed: int = 0, max_length: int = 48, hidden_size: int = 16) -> Policy:
    torch.set_num_threads(1)
    return new_policy(
        WORDS,
        hidden_size=hidden_size,
        n_layers=2,
        n_heads=2,
        mlp_size=32,
        max_length=max_length,
        rope_theta=1000.0,
        seed=seed,
    )


def rows(n_rows: int, seed: int = 0) -> list[Row]:
    """Problems of one to three functions with a step for each, so that no two lengths need be equal."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n_rows):
        functions = rng.integers(0, 8, size=rng.integers(1, 4))
        prefix = f"{rng.integers(5)} {' '.join(f'f{f}' for f in functions)} | "
        steps = "".join(f"f{f} {f % 5} ; " for f in functions)
        made.append(Row(prefix, f"{steps}ans {functions[-1] % 5}", True, f"p{i}"))
    return made


def pairs(n_pairs: int, *, is_final: bool) -> list[Pair]:
    """The right solution against one of another length that names a wrong function."""
    return [
        Pair(row.prefix, row.continuation, f"f7 {i % 5} ; ans {i % 3}", is_final, is_final, row.problem_id)
        for i, row in enumerate(rows(n_pairs, seed=1))
    ]


def trained_policy(hidden_size: int = 16) -> Policy:
    """Knows the format and ends its solutions; a fresh copy at every call."""
    return copy.deepcopy(_trained_policy(hidden_size))


@lru_cache(maxsize=2)
def _trained_policy(hidden_size: int) -> Policy:
    policy = tiny_policy(hidden_size=hidden_size)
    train(policy, rows(64), sft_loss, Optim(1e-2, 60, 16), seed=0, log=lambda update, metrics: None)
    return policy


def weights(policy: Policy) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in policy.model.parameters()])


OPTIM = Optim(lr=1e-2, n_updates=12, batch_size=8, weight_decay=0.01, embedding_lr_scale=3.0)
PREFERENCE = partial(dpo_loss, beta=0.3)


def trained(
    policy: Policy, data: list[Row] | list[Pair], *, optim: Optim = OPTIM, seed: int = 0, **options
) -> TrainCost:
    is_pairs = isinstance(data[0], Pair)
    options = {
        "log": lambda update, metrics: None,
        "reference": tiny_policy(seed=8) if is_pairs else None,
    } | options
    return train(policy, data, PREFERENCE if is_pairs else sft_loss, optim, seed=seed, **options)
