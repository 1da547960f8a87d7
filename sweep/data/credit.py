"""Per-step credit: which step of a wrong solution lost it (paper, section 5 and Eq. 3)."""

from __future__ import annotations

import numpy as np


def advantages(q_values: np.ndarray, pass_rate: float) -> np.ndarray:
    """Credit of each step: how much it moved the chance of a correct answer.

    Args:
        q_values: (n_steps,) probability in [0, 1] that a rollout from the prefix ending with step i
            reaches the reference answer.
        pass_rate: the same probability for the bare problem, before any step.
    Returns:
        (n_steps,) in [-1, 1]; step 0 is measured against pass_rate, so the sum is
        q_values[-1] - pass_rate.
    Raises:
        ValueError: q_values is empty or leaves [0, 1].
    Source: arXiv:2406.14532, Eq. 3.
    """
    q_values = np.asarray(q_values, dtype=float)
    if q_values.ndim != 1 or q_values.size == 0:
        raise ValueError(f"q_values must be a non-empty vector, one entry a step; found shape {q_values.shape}")
    before = np.concatenate([[pass_rate], q_values[:-1]])
    if not (np.all((q_values >= 0) & (q_values <= 1)) and 0 <= pass_rate <= 1):
        raise ValueError(f"q_values and pass_rate must lie in [0, 1]; found {q_values.tolist()}, {pass_rate}")
    return q_values - before


def pit(q_values: np.ndarray, pass_rate: float, rule: str, threshold: float) -> int | None:
    """The step a wrong solution is charged with, or None where no step qualifies.

    Args:
        q_values: (n_steps,) as in advantages; may end at the first hopeless step.
        rule: first_lowest: the first step with the lowest q_value; first_below: the first with
            q_value <= threshold; lowest_advantage: the first with the most negative advantage.
    Raises:
        ValueError: an unknown rule, or q_values that `advantages` refuses.
    """
    credit = advantages(q_values, pass_rate)
    if rule == "first_lowest":
        return int(np.argmin(q_values))
    if rule == "first_below":
        below = np.flatnonzero(np.asarray(q_values) <= threshold)
        return int(below[0]) if below.size else None
    if rule == "lowest_advantage":
        return int(np.argmin(credit)) if credit.min() < 0 else None
    raise ValueError(f"pit_rule must be first_lowest, first_below or lowest_advantage; found {rule!r}")
