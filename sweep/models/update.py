"""One update: a batch's loss, its gradient, and one step of the optimizer.

A batch is `batch_size` rows or pairs, cut into micro-batches of similar length. A loss gives one
value per unit (a token for rows, a pair for pairs), and every micro-batch is divided by the units
of the WHOLE batch, so the gradient does not depend on how the batch was cut or over how many
processes it was spread (`sharding`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sweep.models.logps import TokenLogps
from sweep.models.optim import Optim, adamw, batch_indices, set_lr
from sweep.models.packing import Item, n_packed
from sweep.models.policy import Policy
from sweep.models.precision import COMPUTED, Masters
from sweep.models.sequences import micro_batches, n_tokens, packed
from sweep.models.sharding import (
    Shards,
    is_joined,
    largest,
    n_processes,
    process_index,
    summed,
    whole,
)

Loss = Callable[..., Tensor]
"""Rows: loss(logps (n_tokens,)) -> (n_tokens,). Pairs: loss(policy_chosen, policy_rejected,
reference_chosen, reference_rejected), each a log-probability sum (n_pairs,), -> (n_pairs,). Judged:
loss(policy_logps, reference_logps, is_correct, pass_rate), each (n_tokens,), -> (n_tokens,)."""


@dataclass(frozen=True)
class Computing:
    """How numbers are computed: what changes them by rounding alone."""

    precision: str
    micro_batch_tokens: int
    max_logits: int


@dataclass
class Run:
    """What one call of `train` holds; the last four move."""

    policy: Policy
    items: list[Item]
    lengths: list[int]  # tokens that each item lays down
    reference_logp_sums: Tensor | None  # (n_pairs, 2)
    judged: list[Tensor] | None  # of each solution: (3, n_tokens) reference log-probabilities, is_correct, pass_rate
    loss: Loss
    optim: Optim
    seed: int
    computing: Computing
    masters: Masters | Shards
    token_logps: nn.Module
    optimizer: torch.optim.Optimizer
    n_updates: int = 0
    n_trained_tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0


def start(
    policy: Policy,
    items: list[Item],
    sums: Tensor | None,
    judged: list[Tensor] | None,
    loss: Loss,
    optim: Optim,
    seed: int,
    computing: Computing,
) -> Run:
    torch.manual_seed(seed)
    masters: Masters | Shards
    if is_joined():
        masters = Shards(policy.model, computing.precision, policy.device)
        token_logps = masters.split(TokenLogps(masters.model, computing.max_logits))
    else:
        masters = Masters(policy.model, computing.precision)
        token_logps = TokenLogps(policy.model, computing.max_logits)
    return Run(
        policy,
        items,
        [n_packed(item) for item in items],
        sums,
        judged,
        loss,
        optim,
        seed,
        computing,
        masters,
        token_logps,
        adamw(masters.model, optim, masters.by_name),
    )


def update(run: Run, is_logged: bool) -> dict[str, float] | None:
    """One step of the optimizer on one batch; metrics if they are logged."""
    indices = batch_indices(len(run.items), run.optim.batch_size, run.seed, run.n_updates)
    lengths = [run.lengths[i] for i in indices]
    groups = micro_batches(lengths, run.computing.micro_batch_tokens, multiple_of=n_processes())
    assert sum(map(len, groups)) == run.optim.batch_size  # no row is lost between epoch and gradient
    n_trained = sum(tokens.n_trained for i in indices for tokens in run.items[i])
    n_units = n_trained if run.reference_logp_sums is None else len(indices)
    shares = groups[process_index() :: n_processes()]
    totals = torch.zeros(5, device=run.policy.device)
    for group in shares:  # after each the processes add up: what only the last one added would be held whole until then
        loss_sum, statistics = _loss_sum(run, [indices[k] for k in group])
        torch.autograd.backward(loss_sum * (n_processes() / n_units))  # processes average their gradients
        totals += statistics
    grad_norm = whole(nn.utils.clip_grad_norm_(run.masters.by_name.values(), run.optim.max_grad_norm))
    totals = summed(totals)
    mean_loss = totals[0].item() / n_units
    _check_finite(run, {"loss": mean_loss, "gradient norm": float(grad_norm)})
    lr = set_lr(run.optimizer, run.optim, run.n_updates)
    run.optimizer.step()
    run.optimizer.zero_grad()
    run.masters.publish()
    # of the last update too, which no loss is computed after
    _check_finite(run, {"largest weight": largest(run.masters.by_name.values())})
    run.n_updates += 1
    run.n_trained_tokens += n_trained
    run.flops += 3 * run.policy.flops_per_token * n_tokens(run.items[i] for i in indices)
    if not is_logged:
        return None
    metrics = {"loss": mean_loss, "lr": lr, "grad_norm": float(grad_norm), "n_trained_tokens": run.n_trained_tokens}
    if run.reference_logp_sums is not None:
        names = ("log_ratio_margin", "pair_accuracy", "chosen_logp_sum", "rejected_logp_sum")
        metrics |= dict(zip(names, (totals[1:] / n_units).tolist(), strict=True))
    return metrics


def _check_finite(run: Run, numbers: dict[str, float]) -> None:
    if not all(map(math.isfinite, numbers.values())):
        raise FloatingPointError(
            f"update {run.n_updates + 1} of {run.optim.n_updates}: "
            f"{', '.join(f'{name} {value}' for name, value in numbers.items())}; expected finite numbers. "
            f"Lower lr={run.optim.lr:g} or lengthen the warm-up of this method"
        )


def _loss_sum(run: Run, indices: list[int]) -> tuple[Tensor, Tensor]:
    """Loss summed over a micro-batch's units; and (5,) the same with the pairs' statistics, for the log."""
    batch = packed(run.policy, [run.items[i] for i in indices], COMPUTED[run.computing.precision])
    logps = run.token_logps(batch)
    if run.reference_logp_sums is None:
        given = () if run.judged is None else torch.cat([run.judged[i] for i in indices], dim=1).unbind(0)
        loss_sum = run.loss(logps, *given).sum()
        return loss_sum, torch.cat([loss_sum.detach()[None], loss_sum.new_zeros(4)])
    chosen, rejected = batch.sums(logps).view(-1, 2).unbind(1)
    reference_chosen, reference_rejected = run.reference_logp_sums[indices].unbind(1)
    loss_sum = run.loss(chosen, rejected, reference_chosen, reference_rejected).sum()
    with torch.no_grad():
        margin = (chosen - reference_chosen) - (rejected - reference_rejected)
        sums = [margin.sum(), (margin > 0).float().sum(), chosen.sum(), rejected.sum()]
        return loss_sum, torch.stack([loss_sum.detach(), *sums])
