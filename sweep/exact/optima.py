"""The policies that the two objectives of Theorem 6.1 lead to, by the losses of sweep.methods on a table of choices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sweep.exact.tree import Tree
from sweep.methods.dpo import dpo_loss
from sweep.methods.sft import sft_loss

BETA = 0.3


def optimum(tree: Tree) -> np.ndarray:
    """(n_prefixes, n_choices) the theorem's: pi_sft exp(A / beta), normalised."""
    weights = tree.choices * np.exp(tree.advantages / BETA)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def preferred(gap: np.ndarray) -> np.ndarray:
    """Probability that the first of two steps is labelled the better one: sigmoid of its advantage less the other's."""
    return np.asarray(1 / (1 + np.exp(-gap)))


def larger(gap: np.ndarray) -> np.ndarray:
    """The same where the step of larger advantage is always the better one, as when pairs are made at pits."""
    return np.asarray(np.heaviside(gap, 0.5))


def pair_rates(tree: Tree, label: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(n_prefixes, n_choices, n_choices) probability of each pair (prefix; chosen, rejected)."""
    both = tree.visits[:, None, None] * tree.choices[:, :, None] * tree.choices[:, None, :]
    rates = 2 * both * label(tree.advantages[:, :, None] - tree.advantages[:, None, :])
    return np.asarray(rates / rates.sum())


def sampled(rates: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Shares of n draws from `rates`, of its shape."""
    return rng.multinomial(n, rates.ravel() / rates.sum()).reshape(rates.shape) / n


def dpo_policy(tree: Tree, pairs: np.ndarray) -> np.ndarray:
    """(n_prefixes, n_choices) where DPO from pi_sft ends on pairs of these weights."""
    reference, weights = torch.tensor(np.log(tree.choices)), torch.tensor(_evened(pairs)[pairs > 0])
    prefix, chosen, rejected = map(torch.tensor, np.nonzero(pairs))

    def loss(logps: Tensor) -> Tensor:
        sides = (logps[prefix, chosen], logps[prefix, rejected])
        return (weights * dpo_loss(*sides, reference[prefix, chosen], reference[prefix, rejected], BETA)).sum()

    return _minimised(loss, tree)


def regression_policy(tree: Tree, steps: np.ndarray) -> np.ndarray:
    """(n_prefixes, n_choices) where advantage-weighted regression ends on steps (n_prefixes, n_choices) of these
    weights."""
    weights = torch.tensor(_evened(steps * np.exp(tree.advantages / BETA)))
    return _minimised(lambda logps: (weights * sft_loss(logps)).sum(), tree)


def _evened(weights: np.ndarray) -> np.ndarray:
    """Every prefix with weight 1 in all, where it has any: choices at one prefix do not move those at another, so the
    minimum stays where it is, and the search does not crawl along prefixes that are seldom seen."""
    total = weights.sum(axis=tuple(range(1, weights.ndim)), keepdims=True)
    return np.asarray(np.divide(weights, total, out=np.zeros_like(weights), where=total > 0))


def _minimised(loss: Callable[[Tensor], Tensor], tree: Tree) -> np.ndarray:
    """From pi_sft down to the loss's minimum; both losses are convex in the logits. Where a sample separates the
    choices there is none, and the search ends far out, where a policy is as good as deterministic."""
    logits = torch.tensor(np.log(tree.choices), requires_grad=True)
    search = torch.optim.LBFGS(
        [logits], max_iter=400, tolerance_grad=1e-9, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        search.zero_grad()
        value = loss(torch.log_softmax(logits, dim=1))
        value.backward()  # type: ignore[no-untyped-call]
        return value

    search.step(closure)  # type: ignore[no-untyped-call]
    return np.asarray(torch.softmax(logits.detach(), dim=1))


def total_variation(tree: Tree, one: np.ndarray, other: np.ndarray) -> float:
    """Mean over the prefixes as pi_sft visits them, each depth alike; in [0, 1]."""
    distances = np.abs(one - other).sum(axis=1) / 2
    return float(tree.visits @ distances / tree.visits.sum())


def divergence(tree: Tree, one: np.ndarray, other: np.ndarray) -> float:
    """KL(one || other) in nats, averaged as above; infinite where `other` rules out what `one` does."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(one > 0, one * np.log(one / other), 0.0).sum(axis=1)
    return float(tree.visits @ terms / tree.visits.sum())
