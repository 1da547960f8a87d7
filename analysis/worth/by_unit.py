"""The multiplier (or a difference of error) of each replicate or seed by itself: the median over them, and Student's
interval.

A check that uses no draws and pools nothing: each unit's own errors, its own baseline curve by interpolation. A unit
whose arm is better than its baseline ever was, or worse than at the smallest size, has no value but a rank: the median
and its limits, which are values of units, stand all the same, and how many lie beyond is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.intervals import median_limits, student
from analysis.laws.isotonic import Isotonic, isotonic_curves
from analysis.noise.replicates import units_of
from analysis.noise.seeds import least_error
from analysis.worth.comparison import Comparison
from analysis.worth.multiplier import Multiplier


@dataclass(frozen=True)
class ByUnit:
    """m unit by unit, at one of the arm's sizes or at one error.

    Args:
        unit: "replicate" or "seed".
        size: the arm's, each unit read at its own error there; None where all are read at one error.
        values: m of each unit; inf where its arm is better than its baseline at every size, 0 where worse.
        mean, low, high: geometric mean and Student's limits; None unless every unit has a value.
        median, median_limits: over units, and by ranks; no limits where the units are too few for any.
    """

    unit: str
    size: float | None
    values: tuple[float, ...]
    mean: float | None
    low: float | None
    high: float | None
    level: float = 0.95

    @property
    def median(self) -> float:
        """The middle value; of an even number the geometric mean of the two in the middle, beside 0 or infinity the
        smaller of them, so that no value is made up."""
        ordered, half = sorted(self.values), len(self.values) // 2
        low, high = ordered[(len(ordered) - 1) // 2], ordered[half]
        return low if low == 0 or np.isinf(high) else float(np.sqrt(low * high))

    @property
    def median_limits(self) -> tuple[float, float] | None:
        return median_limits(np.array(self.values), self.level)


def difference_of_units(
    comparison: Comparison, arm: str, other: str, sizes: Sequence[float]
) -> tuple[int, str, float, float, float] | None:
    """How many units, what they are, and mean and Student's limits of their differences of error, each unit's own mean
    over the sizes; None where a unit lacks a cell, or there is one alone.
    """
    table = comparison.draws.table
    unit = _unit(comparison)
    size, errors = table.cells["size"].to_numpy(float), units_of(table, unit).errors
    mine, theirs = (errors[:, [c for c in table.cells_of(one) if size[c] in set(sizes)]] for one in (arm, other))
    gaps = (mine - theirs).mean(axis=1)
    if len(gaps) < 2 or np.isnan(gaps).any():
        return None
    return len(gaps), unit, *student(gaps, comparison.level)


def each_unit(comparison: Comparison, m: Multiplier) -> ByUnit | None:
    """What the pooled m says of each unit, read where m is; None where m is undefined, a unit lacks a cell or has no
    value by either curve, or there is one unit alone."""
    if m.kind == "undefined":
        return None
    if m.at_size is not None:
        return each_at_size(comparison, m.arm, m.baseline, m.at_size)
    return each_at_error(comparison, m.arm, m.baseline, m.at_error)


def each_at_size(comparison: Comparison, arm: str, baseline: str, size: float) -> ByUnit | None:
    """m of each unit at a size of the arm that was run, at the unit's own error there."""
    place = np.flatnonzero(np.abs(comparison.ln_n(arm) - np.log(size)) < 1e-6)
    own, theirs = _errors(comparison, arm)[:, place], _errors(comparison, baseline)
    if not len(place) or np.isnan(own).any() or np.isnan(theirs).any():
        return None
    return _by_unit(comparison, _curves(comparison, baseline).ln_size_at(own)[:, 0] - np.log(size), size)


def each_at_error(comparison: Comparison, arm: str, baseline: str, error: float) -> ByUnit | None:
    """m of each unit at one error, by its own curves: inf where its baseline is never as good, or its arm always is."""
    if not np.isfinite(error) or any(np.isnan(_errors(comparison, one)).any() for one in (arm, baseline)):
        return None
    own, theirs = (_curves(comparison, one).ln_size_at(np.array([error]))[:, 0] for one in (arm, baseline))
    if (np.isinf(own) & (own == theirs)).any():  # both beyond the same end: no rank either
        return None
    return _by_unit(comparison, theirs - own, None)


def _unit(comparison: Comparison) -> str:
    return "replicate" if comparison.draws.table.n_replicates else "seed"


def _errors(comparison: Comparison, arm: str) -> np.ndarray:
    """(n_units, n_sizes)"""
    table = comparison.draws.table
    errors = units_of(table, _unit(comparison)).errors
    least = least_error(table) * table.cells["n_seeds"].to_numpy(float)  # of one run's outcomes
    return np.maximum(errors, least)[:, table.cells_of(arm)]


def _curves(comparison: Comparison, arm: str) -> Isotonic:
    errors = _errors(comparison, arm)
    return isotonic_curves(comparison.ln_n(arm), errors, np.ones(errors.shape[1]))


def _by_unit(comparison: Comparison, ln_m: np.ndarray, size: float | None) -> ByUnit | None:
    if len(ln_m) < 2:
        return None
    unit, values = _unit(comparison), tuple(float(one) for one in np.exp(ln_m))
    if not np.isfinite(ln_m).all():
        return ByUnit(unit, size, values, None, None, None, comparison.level)
    mean, low, high = (float(np.exp(one)) for one in student(ln_m, comparison.level))
    return ByUnit(unit, size, values, mean, low, high, comparison.level)
