"""The check without a law: errors made non-increasing, read in between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROUNDING = 1e-9  # of an error: nearer than this is the same


@dataclass(frozen=True, eq=False)
class Isotonic:
    """The non-parametric check: errors made non-increasing (PAVA), log-linear in between.

    Args:
        ln_n: (n_sizes,) increasing.
        errors: (n_draws, n_sizes), non-increasing along sizes.
    """

    ln_n: np.ndarray
    errors: np.ndarray
    name: str = "isotonic"

    def error_at(self, ln_n: np.ndarray) -> np.ndarray:
        """(n_draws, n_sizes); the end values outside the sizes."""
        at = np.clip(np.atleast_1d(ln_n), self.ln_n[0], self.ln_n[-1])
        i = np.clip(np.searchsorted(self.ln_n, at, side="right") - 1, 0, len(self.ln_n) - 2)
        share = (at - self.ln_n[i]) / (self.ln_n[i + 1] - self.ln_n[i])
        logs = np.log(np.maximum(self.errors, 1e-12))
        return np.exp(logs[:, i] * (1 - share) + logs[:, i + 1] * share)

    def ln_size_at(self, errors: np.ndarray) -> np.ndarray:
        """(n_draws, n_errors); on a flat stretch its middle, +inf below the last error, -inf above the first."""
        e = np.broadcast_to(np.atleast_1d(errors), (len(self.errors), np.shape(errors)[-1] if np.ndim(errors) else 1))
        logs = np.log(np.maximum(self.errors, 1e-12))
        ln_e = np.clip(np.log(np.maximum(e, 1e-12)), logs[:, -1:], logs[:, :1])
        first, last = self._edge(logs, ln_e, strict=False), self._edge(logs, ln_e, strict=True)
        middle = (first + last) / 2.0
        middle = np.where(e > self.errors[:, :1] * (1 + ROUNDING), -np.inf, middle)
        return np.where(e < self.errors[:, -1:] * (1 - ROUNDING), np.inf, middle)

    def _edge(self, logs: np.ndarray, ln_e: np.ndarray, *, strict: bool) -> np.ndarray:
        """ln n where the curve first reaches (or, strict, last holds) the error."""
        out = np.full(ln_e.shape, self.ln_n[0] if not strict else self.ln_n[-1])
        order = range(len(self.ln_n) - 2, -1, -1) if not strict else range(len(self.ln_n) - 1)
        for i in order:
            left, right = logs[:, i, None], logs[:, i + 1, None]
            fall = left - right
            share = np.where(fall > 0, (left - ln_e) / np.where(fall > 0, fall, 1.0), 1.0 if not strict else 0.0)
            here = (ln_e <= left) & (ln_e >= right) & (fall > 0)
            value = self.ln_n[i] + np.clip(share, 0, 1) * (self.ln_n[i + 1] - self.ln_n[i])
            out = np.where(here, value, out)
        return out


def isotonic_curves(ln_n: np.ndarray, errors: np.ndarray, weights: np.ndarray) -> Isotonic:
    """Weighted non-increasing least squares of each row of (n_draws, n_sizes), by the min-max formula."""
    n_sizes = errors.shape[1]
    sums = np.concatenate([np.zeros((len(errors), 1)), np.cumsum(errors * weights, axis=1)], axis=1)
    mass = np.concatenate([[0.0], np.cumsum(weights)])
    fitted = np.empty_like(errors, dtype=float)
    for i in range(n_sizes):
        best = np.full(len(errors), np.inf)
        for j in range(i + 1):
            ends = np.arange(i + 1, n_sizes + 1)
            means = (sums[:, ends] - sums[:, j, None]) / (mass[ends] - mass[j])
            best = np.minimum(best, means.max(axis=1))
        fitted[:, i] = best
    return Isotonic(np.asarray(ln_n, dtype=float), np.minimum.accumulate(fitted, axis=1))
