"""Limits that hold for all arms of a table at once.

Each arm's own 95 % interval misses in one study of twenty; one of twelve arms is missed far more often. From the same
draws that give the single limits: the narrowest envelope of equal ranks that holds whole draws, so that what arms share
counts once. With too few draws for such ranks, Bonferroni's level in normal units.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import stats

from analysis.intervals import limits_of, simultaneous_band
from analysis.worth.multiplier import Multiplier, exp

FEWEST_IN_TAIL = 2.0  # draws beyond Bonferroni's limit below which ranks say nothing


def jointly(found: Sequence[Multiplier]) -> list[Multiplier]:
    """The same multipliers with limits that hold for all of them at once; as they are where there is one alone.

    Args:
        found: of one comparison: the same draws and level.
    """
    drawn = [one.drawn for one in found if one.drawn is not None]
    if len(found) < 2 or len(drawn) < len(found):
        return list(found)
    level, n = found[0].level, len(found)
    ln_m = np.stack([one.ln_m for one in drawn], axis=1)
    if len(ln_m) * (1 - level) / 2 / n >= FEWEST_IN_TAIL:
        band = simultaneous_band(ln_m, level)
    else:
        wider = stats.norm.ppf(1 - (1 - level) / 2 / n) / stats.norm.ppf((1 + level) / 2)
        band = np.array([_widened(column, level, wider) for column in ln_m.T])
    out = []
    for one, of, (low, high) in zip(found, drawn, band, strict=True):
        low, high = of.held(float(low), float(high))
        out.append(dataclasses.replace(one, joint_ci=(exp(low), exp(high)), n_joint=n))
    return out


def _widened(values: np.ndarray, level: float, wider: float) -> tuple[float, float]:
    """Single limits, each this many times as far from the median."""
    low, high = limits_of(values, level)
    middle = float(np.median(values))
    if not np.isfinite(middle):
        return low, high
    return middle + (low - middle) * wider, middle + (high - middle) * wider
