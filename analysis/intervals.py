"""Limits from draws, infinite ones among them, and Student's from values that stand for themselves."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats


def interval(values: np.ndarray, level: float) -> tuple[float, float]:
    """Percentile interval by order statistics: mirrored values give the mirrored interval, infinities stay."""
    ordered = np.sort(values)
    k = max(int(np.floor((1 - level) / 2 * (len(ordered) + 1))), 1)
    return float(ordered[k - 1]), float(ordered[len(ordered) - k])


def limits_of(values: np.ndarray, level: float) -> tuple[float, float]:
    """Percentile limits of draws (n_draws,); a draw that says nothing (nan) widens both sides."""
    low = interval(np.where(np.isnan(values), -np.inf, values), level)[0]
    high = interval(np.where(np.isnan(values), np.inf, values), level)[1]
    return low, high


def student(values: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Mean and limits of independent values (n,), on n - 1 degrees of freedom; nan where there is one alone."""
    mean = float(values.mean())
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values))
    return mean, mean - half, mean + half


def median_limits(values: np.ndarray, level: float = 0.95) -> tuple[float, float] | None:
    """Limits for the median of what independent values (n,) are drawn from, whatever their distribution: order
    statistics by the binomial, so at least `level`; infinite values keep their rank. None where n is too small.

    Source: Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2.
    """
    rank = int(stats.binom.ppf((1 - level) / 2, len(values), 0.5))  # the most with P(X < rank) <= (1 - level) / 2
    if rank < 1:
        return None
    ordered = np.sort(values)
    return float(ordered[rank - 1]), float(ordered[len(ordered) - rank])


def difference(ln_n_0: np.ndarray, ln_n_1: np.ndarray) -> np.ndarray:
    """ln n_0 - ln n_1; nan where neither arm reaches the error."""
    with np.errstate(invalid="ignore"):
        return ln_n_0 - ln_n_1


def simultaneous_band(draws: np.ndarray, level: float) -> np.ndarray:
    """(n_points, 2) the narrowest envelope of equal ranks that holds a share `level` of whole curves.

    Ranks, not deviations, so that skewed and infinite draws keep their meaning.

    Args:
        draws: (n_draws, n_points).
    """
    low = np.where(np.isnan(draws), -np.inf, draws)
    high = np.where(np.isnan(draws), np.inf, draws)
    up = np.argsort(np.argsort(low, axis=0, kind="stable"), axis=0, kind="stable")
    down = len(draws) - 1 - np.argsort(np.argsort(high, axis=0, kind="stable"), axis=0, kind="stable")
    depth = np.sort(np.minimum(up, down).min(axis=1))
    rank = int(depth[int(np.floor((1 - level) * len(draws)))])
    return np.stack([np.sort(low, axis=0)[rank], np.sort(high, axis=0)[len(draws) - 1 - rank]], axis=1)
