"""A curve without a law: local regression of ln y on ln n, and its blend with a fitted law.

A law that is wrong in form gives a narrow interval around a wrong value. Local regression (Cleveland 1979, LOWESS
without its robustness steps) has hardly any error of form where sizes are dense, and a wider interval. A reading is
made of both, half of the draws each: where they agree the interval is about the law's, where not it holds both.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.laws.curves import Curves
from analysis.laws.isotonic import Isotonic

HALF_WIDTH = 2.0  # of the window, in mean steps between neighbouring sizes: three sizes count, the middle one most
N_BETWEEN = 8  # points of the curve from one size to the next
LEAST = 1e-6  # an error of 0 has no logarithm


def local_curves(ln_n: np.ndarray, errors: np.ndarray, variance: np.ndarray) -> Isotonic:
    """Local log-linear regression of each row, made non-increasing, on a fine grid of sizes.

    Args:
        ln_n: (n_sizes,) increasing.
        errors: (n_draws, n_sizes); the first row decides the weights.
        variance: (n_sizes,) of the cell means.
    """
    logs = np.log(np.maximum(errors, LEAST))
    relative = variance / np.square(np.maximum(errors[0], LEAST))
    weights = 1.0 / np.maximum(relative, 1e-12 + 1e-6 * relative.mean())
    grid = np.unique(np.concatenate([np.linspace(a, b, N_BETWEEN + 1) for a, b in pairwise(ln_n)]))
    smooth = logs @ _smoother(ln_n, weights / weights.mean(), grid).T
    return Isotonic(grid, np.exp(np.minimum.accumulate(smooth, axis=1)), "local")


def _smoother(ln_n: np.ndarray, weights: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """(n_grid, n_sizes) of a local line with tricube weights; at least the two nearest sizes count."""
    width = HALF_WIDTH * float(np.diff(ln_n).mean())
    out = np.empty((len(grid), len(ln_n)))
    for row, at in enumerate(grid):
        away = np.abs(ln_n - at) / width
        kernel = np.where(away < 1, (1 - np.minimum(away, 1) ** 3) ** 3, 0.0)
        nearest = np.argsort(away, kind="stable")[:2]
        kernel[nearest] = np.maximum(kernel[nearest], 1e-6)
        mass = kernel * weights
        design = np.stack([np.ones_like(ln_n), ln_n - at], axis=1)
        out[row] = np.linalg.solve(design.T @ (mass[:, None] * design), design.T * mass)[0]
    return out


@dataclass(frozen=True, eq=False)
class Blend:
    """Half of the draws read from a law, half without one; the estimate (draw 0) is the mean of both in ln n, or the
    law's where no size that was run has the error, or that without a law where sizes that were run have it and the law
    has none.

    Args:
        law: curves of the law, (1 + n_draws).
        free: the same draws' curves without a law.
    """

    law: Curves
    free: Isotonic

    def ln_size_at(self, errors: np.ndarray) -> np.ndarray:
        """(1 + n_draws, n_errors) ln n that reaches the error; errors (n_errors,) or (1 + n_draws, n_errors)."""
        by_law, freely = self.law.ln_size_at(errors), self.free.ln_size_at(errors)
        is_law = (np.arange(len(by_law)) % 2 == 0)[:, None]
        out = np.where(is_law, by_law, freely)
        with np.errstate(invalid="ignore"):
            both = np.where(np.isfinite(by_law[0]), (by_law[0] + freely[0]) / 2, freely[0])
            out[0] = np.where(np.isfinite(freely[0]), both, by_law[0])
        return out
