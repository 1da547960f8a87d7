"""Is the multiplier one number? The curve m(e) with bands, parallelism, equivalence and the pooled value.

A test of parallel curves that does not reject is no evidence of parallelism, so a pooled multiplier is given only
after the equivalence check: over the overlap m(e) must be shown, with 90 % confidence, to change by less than a
factor of 1.25. Everything uses the same draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.intervals import interval, limits_of, simultaneous_band
from analysis.laws.fit import fit_shared
from analysis.laws.forms import FORMS
from analysis.worth.comparison import Comparison
from analysis.worth.readings import at_sizes

FACTOR, CONFIDENCE = 1.25, 0.90
N_POINTS = 33


@dataclass(frozen=True, eq=False)
class MultiplierCurve:
    """m(e) on a grid of errors over the overlap.

    Args:
        errors: (n_points,) from the largest shared error to the least.
        values: (n_points,) m(e).
        pointwise, simultaneous: (n_points, 2) limits; the simultaneous band holds the whole curve at `level`.
    """

    arm: str
    baseline: str
    law: str
    level: float
    errors: np.ndarray
    values: np.ndarray
    pointwise: np.ndarray
    simultaneous: np.ndarray


@dataclass(frozen=True)
class Fieller:
    """{ l : (D - l b)^2 <= t^2 Var(D - l b) }, D = ln A_0 - ln A_1, as limits of m = e^l.

    Args:
        kind: interval; half_line or complement (an unbounded set: b is hardly above 0); everything.
    """

    low: float
    high: float
    kind: str


@dataclass(frozen=True)
class Shape:
    """How two curves differ in shape, and the pooled multiplier where they do not.

    Args:
        delta_b, delta_floor: arm's less baseline's, with interval; the floor's None without a floor.
        factor_high: upper limit, at CONFIDENCE, of max m(e) / min m(e) over the overlap; inf without overlap.
        is_constant: factor_high < FACTOR, and no reading at a size contradicts the pooled value.
        pooled, pooled_ci: shared-shape multiplier, reported as THE multiplier only if is_constant.
        fieller: its Fieller set.
        against: the arm's sizes whose interval (at a level corrected for their number) lies further than FACTOR from
            the pooled value.
    """

    arm: str
    baseline: str
    law: str
    level: float
    delta_b: float
    delta_b_ci: tuple[float, float]
    delta_floor: float | None
    delta_floor_ci: tuple[float, float] | None
    factor: float
    factor_high: float
    is_constant: bool
    pooled_law: str
    pooled: float
    pooled_ci: tuple[float, float]
    fieller: Fieller
    against: tuple[float, ...] = ()


def multiplier_curve(
    comparison: Comparison, arm: str, baseline: str, n_points: int = N_POINTS
) -> MultiplierCurve | None:
    """m(e) over the overlap; None where the arms share no usable range of error."""
    shared = comparison.overlap(arm, baseline) if comparison.n_sizes(arm) >= 3 else None
    if shared is None:
        return None
    law = comparison.law_of(arm, baseline)
    errors = np.geomspace(shared[1], shared[0], n_points)
    ln_m = comparison.ln_m(arm, baseline, errors, law)
    pointwise = np.array([limits_of(column[1:], comparison.level) for column in ln_m.T])
    band = simultaneous_band(ln_m[1:], comparison.level)
    return MultiplierCurve(arm, baseline, law, comparison.level, errors, _exp(ln_m[0]), _exp(pointwise), _exp(band))


def _exp(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.exp(values)


def shape_of(comparison: Comparison, arm: str, baseline: str) -> Shape:
    """Parallelism, equivalence and the pooled multiplier of a pair with curves of their own."""
    law = comparison.law_of(arm, baseline)
    mine, theirs = comparison.curves(arm, law), comparison.curves(baseline, law)
    gap = mine.slope - theirs.slope
    floors = mine.floor - theirs.floor if FORMS[law].has_floor else None
    factor, factor_high = _spread(comparison, arm, baseline)
    pooled_law = "power_floor_shared" if law == "power_floor" else "power_shared"
    distance, slope = pooled_draws(comparison, arm, baseline, pooled_law)
    ln_m = _ratio(distance, slope)
    pooled, pooled_low, pooled_high = _exp(np.array([ln_m[0], *limits_of(ln_m[1:], comparison.level)]))
    against = _against(comparison, arm, baseline, float(pooled))
    return Shape(
        arm=arm,
        baseline=baseline,
        law=law,
        level=comparison.level,
        delta_b=float(gap[0]),
        delta_b_ci=interval(gap[1:], comparison.level),
        delta_floor=None if floors is None else float(floors[0]),
        delta_floor_ci=None if floors is None else interval(floors[1:], comparison.level),
        factor=factor,
        factor_high=factor_high,
        is_constant=factor_high < FACTOR and not against,
        pooled_law=pooled_law,
        pooled=float(pooled),
        pooled_ci=(float(pooled_low), float(pooled_high)),
        fieller=fieller(distance, slope, comparison.level, comparison.draws.seeds.df),
        against=against,
    )


def _against(comparison: Comparison, arm: str, baseline: str, pooled: float) -> tuple[float, ...]:
    """The arm's sizes whose reading the pooled value contradicts: by more than a constant multiplier may vary."""
    strict = comparison.at_level(1 - (1 - comparison.level) / comparison.n_sizes(arm))
    found = at_sizes(strict, arm, baseline)
    low, high = pooled / FACTOR, pooled * FACTOR
    return tuple(one.at_size for one in found if one.at_size and (one.ci_high < low or one.ci_low > high))


def _spread(comparison: Comparison, arm: str, baseline: str) -> tuple[float, float]:
    """max m(e) / min m(e) over the overlap, and its upper limit at CONFIDENCE."""
    shared = comparison.overlap(arm, baseline)
    if shared is None:
        return float("nan"), float("inf")
    errors = np.geomspace(shared[0], shared[1], N_POINTS)
    ln_m = comparison.ln_m(arm, baseline, errors, comparison.law_of(arm, baseline))
    with np.errstate(invalid="ignore"):
        spread = ln_m.max(axis=1) - ln_m.min(axis=1)
    spread = np.where(np.isfinite(spread), spread, np.inf)
    return float(_exp(spread[0])), float(_exp(np.sort(spread[1:])[int(np.ceil(CONFIDENCE * (len(spread) - 1))) - 1]))


def pooled_draws(
    comparison: Comparison, arm: str, baseline: str, law: str = "power_shared"
) -> tuple[np.ndarray, np.ndarray]:
    """(1 + n_draws,) ln a_0 - ln a_1 and the shared slope b; ln m is their ratio."""
    pair = sorted((arm, baseline))
    cells = [comparison.draws.table.cells_of(one) for one in pair]
    curves = fit_shared(
        law,
        [comparison.ln_n(one) for one in pair],
        [comparison.arm_errors(one) for one in pair],
        [comparison.draws.weights[one] for one in cells],
    )
    of = dict(zip(pair, curves, strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.log(of[baseline].excess) - np.log(of[arm].excess)
    return distance, of[baseline].slope


def _ratio(distance: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """ln m = D / b; where the shared curve does not fall, no shift exists: infinite on the side of D."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(slope > 0, distance / slope, np.where(distance > 0, np.inf, -np.inf))


def fieller(distance: np.ndarray, slope: np.ndarray, level: float, df: float) -> Fieller:
    """The Fieller set from the draws' covariance of (D, b), first entries the estimates."""
    d, b = float(distance[0]), float(slope[0])
    finite = np.isfinite(distance[1:]) & np.isfinite(slope[1:])
    cov = np.cov(distance[1:][finite], slope[1:][finite])
    t = stats.t.ppf((1 + level) / 2, df) if np.isfinite(df) else stats.norm.ppf((1 + level) / 2)
    # (d - l b)^2 - t^2 (V_d - 2 l C + l^2 V_b) <= 0, a quadratic q_2 l^2 + q_1 l + q_0
    q_2, q_1, q_0 = b * b - t * t * cov[1, 1], -2 * (d * b - t * t * cov[0, 1]), d * d - t * t * cov[0, 0]
    root = q_1 * q_1 - 4 * q_2 * q_0
    if q_2 > 0:
        ends = (-q_1 + np.array([-1.0, 1.0]) * np.sqrt(max(root, 0.0))) / (2 * q_2)
        return Fieller(float(_exp(ends[0])), float(_exp(ends[1])), "interval")
    if root <= 0:
        return Fieller(0.0, float("inf"), "everything")
    ends = np.sort((-q_1 + np.array([-1.0, 1.0]) * np.sqrt(root)) / (2 * q_2))
    # the set is outside the two roots; with b > 0 the half line on the side of D is the one that speaks of a shift
    if d >= 0:
        return Fieller(float(_exp(ends[1])), float("inf"), "half_line")
    return Fieller(0.0, float(_exp(ends[0])), "half_line")
