"""pass@k: the chance that at least one of k solutions of a problem is right, from n that were sampled.

Source: Chen et al. 2021, Evaluating Large Language Models Trained on Code, arXiv:2107.03374, Eq. 1.
"""

from __future__ import annotations

import re

import numpy as np


def k_of(y: str) -> int | None:
    """4 of pass@4; None of another outcome."""
    found = re.fullmatch(r"pass@([1-9][0-9]*)", y)
    return int(found[1]) if found else None


def wrong_at_k(n_correct: np.ndarray, n_sampled: np.ndarray, k: int) -> np.ndarray:
    """1 - pass@k of each problem, without bias: the share of all sets of k of its n solutions that hold no right one.

    Args:
        n_correct, n_sampled: (n_problems,) counts.
    Raises:
        ValueError: a problem has fewer than k solutions.
    """
    n_correct, n_sampled = np.asarray(n_correct, float), np.asarray(n_sampled, float)
    if n_sampled.size and n_sampled.min() < k:
        raise ValueError(
            f"pass@{k} needs {k} sampled solutions of every problem, and one has {n_sampled.min():g}; sample more "
            f"(evaluation.n_samples={k}) or ask for a smaller k"
        )
    wrong = np.ones_like(n_sampled)
    for j in range(k):  # C(n - c, k) / C(n, k), without its large numbers
        wrong *= np.clip(n_sampled - n_correct - j, 0, None) / (n_sampled - j)
    return wrong
