"""Numbers as text, the same in every table, figure and message: a bound is always written as one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from analysis.laws.projection import B_MAX
from analysis.worth.by_unit import ByUnit
from analysis.worth.multiplier import Multiplier
from analysis.worth.shape import FACTOR, Shape

KINDS = {
    "interior": "interior: both arms were observed around this error",
    "extrapolated": "bound: beyond the sizes that were run",
    "censored_hi": "lower bound: the baseline's curve, which never rises, does not reach this error",
    "censored_lo": "upper bound: the arm's curve, which never rises, does not reach this error",
    "undefined": "undefined: no shift exists",
}
SIGNS = {"=": "", ">=": "≥ ", "<=": "≤ ", "?": ""}
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def times(value: float) -> str:
    """A factor with three figures: 0.031×, 1.89×, 24.1×, 1,230×; infinity as the sign."""
    if np.isnan(value):
        return "n/a"
    if np.isinf(value) or value > 1e6:
        return "∞" if np.isinf(value) else "> 10⁶×"
    if value < 1e-3:
        return "0×" if value == 0 else "< 0.001×"
    if value >= 100:
        return f"{value:,.0f}×"
    if 1 <= value < 100:
        return f"{value:.2f}×" if value < 10 else f"{value:.1f}×"
    return f"{value:.3g}×" if value >= 0.1 else f"{value:.2g}×"


def kind_text(kind: str, what: str = "error") -> str:
    """A kind of reading in words, of errors or of losses."""
    return KINDS[kind].replace("error", what)


def multiplier_text(m: Multiplier, *, with_interval: bool = True) -> str:
    """`1.89× [1.56×, 2.24×]`, `≥ 16× [from 12×]` (`≥ 16×` where the interval supports it whole), or `undefined`. Where
    nothing is sure a bound has the whole interval, `≥ 16× [0×, ∞]`."""
    if m.bound == "?" or np.isnan(m.multiplier):
        return "undefined"
    exact = f"{m.multiplier:.3g}×" if 1 <= m.multiplier < 100 else times(m.multiplier)
    is_beyond = not 1e-3 <= m.multiplier <= 1e6  # then `times` has a sign of its own
    value = times(m.multiplier) if m.bound == "=" or is_beyond else SIGNS[m.bound] + exact
    if not with_interval:
        return value
    is_open = m.ci_low <= 0 and m.ci_high == np.inf  # nothing is sure
    if m.bound == ">=" and not is_open:
        return value if m.ci_low >= 0.999 * m.multiplier else f"{value} [from {times(m.ci_low)}]"
    if m.bound == "<=" and not is_open:
        return value if m.ci_high <= 1.001 * m.multiplier else f"{value} [up to {times(m.ci_high)}]"
    return f"{value} {interval_text(m.ci_low, m.ci_high, times)}"


def joint_text(m: Multiplier) -> str:
    """`[1.40×, 2.51×] jointly over 12 arms`; empty for an arm that stands alone."""
    return "" if m.joint_ci is None else f"{interval_text(*m.joint_ci, times)} jointly over {m.n_joint} arms"


def by_unit_text(found: ByUnit) -> str:
    """Each replicate (or seed) by itself: the median, mean and Student's interval, or how many have no value."""
    n, limits = len(found.values), found.median_limits
    median = f"median {times(found.median)}{f' {interval_text(*limits, times)}' if limits else ''}"
    if found.mean is None or found.low is None or found.high is None:
        beyond = sum(value == np.inf for value in found.values), sum(value == 0 for value in found.values)
        ends = f"{beyond[0]} beyond the baseline's best error, {beyond[1]} short of its first"
        return f"over {n} {found.unit}s: {median}; {ends}"
    mean = f"mean (t) {times(found.mean)} {interval_text(found.low, found.high, times)}"
    return f"over {n} {found.unit}s: {median}; {mean}"


FAR = 3.0


def beyond_text(m: Multiplier) -> str:
    """What the law says outside the sizes that were run, or that it is too far to say; empty for inner values."""
    if m.kind != "extrapolated" or m.extrapolated_value is None:
        return ""
    if m.extrapolation > FAR:
        return f"the law would have to be extended by {m.extrapolation:.1f} in ln n, too far for a value"
    limits = f" {interval_text(*m.extrapolated_ci, times)}" if m.extrapolated_ci else ""
    return f"the law, extended by {m.extrapolation:.1f} in ln n, says {times(m.extrapolated_value)}{limits}"


def interval_text(low: float, high: float, number: Callable[[float], str]) -> str:
    return f"[{number(low)}, {number(high)}]"


def error_text(value: float) -> str:
    """An error, or a difference of errors, with three decimals and a true minus."""
    return number(value, ".3f")


def number(value: float, spec: str = "g") -> str:
    """A number by a format, with a true minus; a power of ten as one: −0.01, 9.3 × 10⁻⁸."""
    digits, _, power = f"{value:{spec}}".partition("e")
    exponent = f" × 10{str(int(power)).translate(RAISED)}" if power else ""
    return f"{digits}{exponent}".replace("-", "−")


def count(value: float) -> str:
    """1,024; 1.02M; 3.4B; 5.6e+13."""
    if abs(value) >= 1e12:
        return f"{value:.3g}"
    for size, suffix in ((1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.3g}"


def _exponent(value: float) -> str:
    """A limit of a difference of slopes; one where the search for slopes ends is none."""
    return f"{value:+.3f}" if abs(value) < B_MAX else "open"


def shape_text(one: Shape) -> str:
    """Whether one number stands for the whole curve, in a sentence."""
    gap = f"exponents differ by {one.delta_b:+.3f} {interval_text(*one.delta_b_ci, _exponent)}"
    if one.is_constant:
        return (
            f"m(e) is constant within a factor {one.factor_high:.2f} (90 %): pooled {times(one.pooled)} "
            f"{interval_text(*one.pooled_ci, times)}, Fieller {_fieller(one)}; {gap}"
        )
    if one.against and one.factor_high < FACTOR:
        at = ", ".join(map(count, one.against))
        return f"m(e) is not one number: the pooled {times(one.pooled)} lies outside what is read at n = {at}; {gap}"
    known = (
        "has no overlap to be judged over"
        if not np.isfinite(one.factor_high) and np.isnan(one.factor)
        else (f"is not shown to be constant (it may change by {times(one.factor_high)} over the overlap)")
    )
    return f"m(e) {known}; {gap}"


def _fieller(one: Shape) -> str:
    if one.fieller.kind == "everything":
        return "everything (the exponent is not clearly above 0)"
    return interval_text(one.fieller.low, one.fieller.high, times)
