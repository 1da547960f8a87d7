"""How the weights move: the optimizer, its learning rate, and which rows an update sees.

All of it is a function of the arguments and the update's number, so that a resumed run
needs no state but the optimizer's own.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from sweep.fields import MOMENTS, SCHEDULES

BLOCK = 256  # numbers that share a scale, where moments are kept in 8 bits


@dataclass(frozen=True)
class Optim:
    """AdamW and its schedule; part of a run's identity, unlike the size of micro-batches."""

    lr: float
    n_updates: int
    batch_size: int  # rows or pairs an update
    warmup_fraction: float = 0.05  # of n_updates, linear
    schedule: str = "cosine"  # after the warm-up, down to 0 at n_updates; or linear, constant
    weight_decay: float = 0.0  # of matrices, never of norms
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = 1.0
    embedding_lr_scale: float = 1.0  # learning rate of input and output embeddings / lr
    moments: str = "fp32"  # how AdamW's two numbers a parameter are kept: fp32, or 8bit in blocks of 256 with a scale

    def __post_init__(self) -> None:
        wrong = {
            "lr": not self.lr > 0,
            "n_updates": self.n_updates < 1,
            "batch_size": self.batch_size < 1,
            "warmup_fraction": not 0 <= self.warmup_fraction <= 1,
            "schedule": self.schedule not in SCHEDULES,
            "weight_decay": not self.weight_decay >= 0,
            "betas": len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas),
            "max_grad_norm": not self.max_grad_norm > 0,
            "embedding_lr_scale": not self.embedding_lr_scale >= 0,
            "moments": self.moments not in MOMENTS,
        }
        found = ", ".join(f"{name}={getattr(self, name)!r}" for name, is_wrong in wrong.items() if is_wrong)
        if found:
            raise ValueError(
                f"{found}: expected lr and max_grad_norm above 0, counts of 1 or more, warmup_fraction in [0, 1], "
                f"two betas in [0, 1), schedule one of {', '.join(SCHEDULES)}, moments one of {', '.join(MOMENTS)}, "
                "and nothing negative; correct the optimizer settings of this method or model"
            )


def lr_factor(optim: Optim, update: int) -> float:
    """Learning rate of an update, counted from 0, divided by optim.lr; in [0, 1]."""
    n_warmup = round(optim.warmup_fraction * optim.n_updates)
    if update < n_warmup:
        return (update + 1) / n_warmup
    progress = (update - n_warmup) / max(1, optim.n_updates - n_warmup)
    if optim.schedule == "cosine":
        return (1 + math.cos(math.pi * progress)) / 2
    return 1 - progress if optim.schedule == "linear" else 1.0


def adamw(model: PreTrainedModel, optim: Optim, moved: Mapping[str, torch.nn.Parameter]) -> torch.optim.Optimizer:
    """One group each for embeddings, matrices and vectors; `lr_scale` is kept in the group.

    Args:
        moved: what the optimizer moves in place of the model's parameters of these names.
    Raises:
        ValueError: moments in 8 bits, and torchao is not installed.
    """
    embeddings = {id(layer.weight) for layer in (model.get_input_embeddings(), model.get_output_embeddings())}
    groups: dict[str, list[torch.nn.Parameter]] = {"embeddings": [], "matrices": [], "vectors": []}
    for name, parameter in model.named_parameters():
        kind = "embeddings" if id(parameter) in embeddings else "matrices" if parameter.ndim > 1 else "vectors"
        if name in moved:
            groups[kind].append(moved[name])
    kept = _adamw_in_8_bits() if optim.moments == "8bit" else partial(torch.optim.AdamW, fused=True)
    return kept(
        [
            {
                "params": parameters,
                "lr_scale": optim.embedding_lr_scale if kind == "embeddings" else 1.0,
                "weight_decay": 0.0 if kind == "vectors" else optim.weight_decay,
            }
            for kind, parameters in groups.items()
            if parameters
        ],
        lr=optim.lr,
        betas=optim.betas,
    )


def _adamw_in_8_bits() -> Callable[..., torch.optim.Optimizer]:
    """Moments in blocks of 256 numbers of 8 bits with one scale; tensors that are no whole blocks keep theirs in fp32.

    Source: Dettmers et al., 8-bit Optimizers via Block-wise Quantization, arXiv 2110.02861.
    """
    try:
        from torchao.optim import AdamW8bit
    except ImportError as error:
        raise ValueError(
            "model.moments=8bit needs the package torchao, which is not installed: pip install "
            "'rl-on-incorrect[moments]', or leave model.moments out to keep them in fp32"
        ) from error
    made: Any = AdamW8bit
    return partial(made, block_size=BLOCK)


def set_lr(optimizer: torch.optim.Optimizer, optim: Optim, update: int) -> float:
    """Gives each group its learning rate for this update; returns the one without a scale."""
    lr = optim.lr * lr_factor(optim, update)
    for group in optimizer.param_groups:
        own = lr * group["lr_scale"]
        if isinstance(group["lr"], torch.Tensor):  # which a compiled step reads
            group["lr"].fill_(own)
        else:
            group["lr"] = own
    return lr


def batch_indices(n_rows: int, batch_size: int, seed: int, update: int) -> list[int]:
    """Rows of an update: batch_size consecutive places in an endless run of shuffled epochs."""
    start = update * batch_size
    return [int(_epoch(n_rows, seed, place // n_rows)[place % n_rows]) for place in range(start, start + batch_size)]


@lru_cache(maxsize=4)
def _epoch(n_rows: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng((seed, epoch)).permutation(n_rows)
