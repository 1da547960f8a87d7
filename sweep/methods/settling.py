"""How many rollouts a prefix gets: all, or as many as its verdict needs.

The verdict of a prefix is whether no rollout of it is right; the first such prefix of a wrong trace is its pit.
Rollouts are drawn in waves, each a prefix's next ones, so what is drawn is always a beginning of what all would be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Prefix = tuple[str, str]  # problem_id and the text of steps 0..i
Draw = Callable[[Sequence[Prefix], int, int], Sequence[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Rolled:
    """The right solutions that a prefix's rollouts reached, whole texts, and how many rollouts were drawn."""

    right: list[str]
    n_drawn: int

    @property
    def q_value(self) -> float:
        """The share of right ones among those drawn, 0 exactly where none was right."""
        return len(self.right) / self.n_drawn


def n_enough(q_value: float, miss_rate: float) -> int:
    """Wrong rollouts in a row after which a prefix is given up: the sequential probability ratio test of 0 against q.

    One right rollout refutes q = 0 at once, so nothing hopeless is ever kept; n wrong ones have the ratio (1 - q)^n,
    and a prefix that succeeds with probability q or more is given up with probability (1 - q)^n <= miss_rate at most.

    Args:
        q_value: in (0, 1), from which on a prefix should be seen as hopeful.
        miss_rate: in (0, 1), how often such a one may be taken for hopeless.
    Source: A. Wald, Sequential Tests of Statistical Hypotheses, Annals of Mathematical Statistics 16 (1945), section 3.
    """
    return math.ceil(math.log(miss_rate) / math.log1p(-q_value) - 1e-9)


def rolled_out(prefixes: Sequence[Prefix], draw: Draw, n_rollouts: int, *, is_settled_early: bool) -> list[Rolled]:
    """Rollouts of distinct prefixes: n_rollouts of each, or in waves until one is right or n_rollouts are wrong.

    Args:
        draw: from prefixes, the number of the first rollout and how many, to the right solutions among them.
    """
    if not is_settled_early:
        return [Rolled(list(right), n_rollouts) for right in draw(prefixes, 0, n_rollouts)]
    done: dict[Prefix, Rolled] = {}
    open_ones, n_drawn = list(prefixes), 0
    while open_ones and n_drawn < n_rollouts:
        n = min(max(1, n_drawn), n_rollouts - n_drawn)  # 1, 1, 2, 4, ...
        for prefix, right in zip(open_ones, draw(open_ones, n_drawn, n), strict=True):
            done[prefix] = Rolled(list(right), n_drawn + n)
        n_drawn += n
        open_ones = [prefix for prefix in open_ones if not done[prefix].right]
    return [done[prefix] for prefix in prefixes]
