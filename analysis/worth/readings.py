"""A multiplier as it is reported: a value between sizes that were run, or a bound made of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.intervals import difference, limits_of
from analysis.notes import Note, note, sorted_notes
from analysis.worth.comparison import Comparison

Kind = Literal["interior", "extrapolated", "censored_hi", "censored_lo", "undefined"]
Bound = Literal["=", ">=", "<=", "?"]


@dataclass(frozen=True)
class Multiplier:
    """What one of the arm's problems is worth in the baseline's.

    Args:
        at_error, at_size: where it was read; at_size is the arm's size, None when an error was asked.
        multiplier: the value, or the bound where `bound` is ">=" or "<="; nan where undefined.
        ci_low, ci_high: limits at `level`; 0 or inf where nothing holds the side.
        kind: interior (both arms observed around the error); extrapolated (a law gives a value outside the sizes
            run, kept in `extrapolated_value`; the multiplier is a bound); censored_hi (the baseline never reaches
            the error: a lower bound); censored_lo (the arm never does: an upper bound); undefined.
        frac_censored: share of the draws in which one arm has no solution.
        extrapolation: distance beyond the sizes run, in ln n; 0 for interior values.
        extrapolated_value, extrapolated_ci: what the law says out there; None where it says nothing or is not asked.
        form_values: law -> value at the same error; `form_spread` their least and largest.
    """

    arm: str
    baseline: str
    at_error: float
    at_size: float | None
    multiplier: float
    ci_low: float
    ci_high: float
    level: float
    kind: Kind
    bound: Bound
    method: str
    law: str
    status: str
    frac_censored: float
    extrapolation: float
    extrapolated_value: float | None
    extrapolated_ci: tuple[float, float] | None
    form_values: Mapping[str, float]
    form_spread: tuple[float, float]
    notes: tuple[Note, ...]


def exp(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.exp(value))


def where(error: float, low: float, high: float) -> str:
    """Where an error lies in an arm's observed range: below means more data than were run are needed."""
    if error < low * (1 - 1e-12):
        return "below"
    return "above" if error > high * (1 + 1e-12) else "inside"


def sides(where: str, ln_n: np.ndarray) -> tuple[float, float]:
    """Limits for ln n so that only sizes that were run carry a bound; none inside the observed errors."""
    if where == "below":
        return -np.inf, float(ln_n[-1])
    return (float(ln_n[0]), np.inf) if where == "above" else (-np.inf, np.inf)


def kind_of(where_0: str, where_1: str, ln_m: float) -> tuple[Kind, Bound]:
    if where_0 == where_1 == "inside":
        return ("interior", "=") if np.isfinite(ln_m) else ("undefined", "?")
    more_0, more_1 = where_0 == "below", where_1 == "below"
    less_0, less_1 = where_0 == "above", where_1 == "above"
    if (more_0 and not more_1) or (less_1 and not less_0):
        return ("extrapolated" if np.isfinite(ln_m) else "censored_hi"), ">="
    if (more_1 and not more_0) or (less_0 and not less_1):
        return ("extrapolated" if np.isfinite(ln_m) else "censored_lo"), "<="
    return ("extrapolated" if np.isfinite(ln_m) else "undefined"), "?"


def distance(ln_n: float, sizes: np.ndarray) -> float:
    if not np.isfinite(ln_n):
        return float("inf")
    return float(max(0.0, ln_n - sizes[-1], sizes[0] - ln_n))


def reading(
    comparison: Comparison,
    arm: str,
    baseline: str,
    law: str,
    ln_0: np.ndarray,
    ln_1: np.ndarray,
    error: float,
    size: float | None,
    forms: dict[str, float],
) -> Multiplier:
    """Kind, value or bound, and limits from the draws of ln n_0 and ln n_1 (1 + n_draws,)."""
    (low_0, high_0), n_0 = comparison.observed_range(baseline), comparison.ln_n(baseline)
    where_0 = where(error, low_0, high_0)
    where_1 = "inside" if size is not None else where(error, *comparison.observed_range(arm))
    n_1 = comparison.ln_n(arm)
    ln_m = difference(ln_0, ln_1)
    frac = float(np.mean(~np.isfinite(ln_m[1:]))) if len(ln_m) > 1 else 0.0
    clipped_0 = np.clip(ln_0, *sides(where_0, n_0))
    clipped_1 = np.clip(ln_1, *sides(where_1, n_1))
    kind, bound = kind_of(where_0, where_1, ln_m[0])
    if kind == "interior" and high_0 <= low_0:  # one error at every size: no size of the baseline is the one
        kind, bound = "undefined", "?"
    shown = difference(clipped_0, clipped_1)
    low, high = limits_of(shown[1:], comparison.level)
    low = -np.inf if bound in ("<=", "?") else low
    high = np.inf if bound in (">=", "?") else high
    finite = [value for value in forms.values() if np.isfinite(value) and value > 0]
    spread = (min(finite), max(finite)) if finite else (float("nan"), float("nan"))
    outside = kind == "extrapolated" and np.isfinite(ln_m[0])
    notes = _notes(comparison, arm, baseline, law, kind, frac, (low, high), finite, bound, size is None)
    value = shown[0] if bound != "?" else np.nan
    statuses = [str(comparison.fit(one, law).status) for one in (baseline, arm) if comparison.n_sizes(one) >= 3]
    return Multiplier(
        arm,
        baseline,
        error,
        size,
        exp(value),
        exp(low),
        exp(high),
        comparison.level,
        kind,
        bound,
        comparison.draws.method,
        law,
        "+".join(dict.fromkeys(statuses)),
        frac,
        distance(ln_0[0], n_0) + distance(ln_1[0], n_1) if kind != "interior" else 0.0,
        exp(ln_m[0]) if outside else None,
        tuple(exp(side) for side in limits_of(ln_m[1:], comparison.level)) if outside else None,
        forms,
        spread,
        notes,
    )


def _notes(
    comparison: Comparison,
    arm: str,
    baseline: str,
    law: str,
    kind: str,
    frac: float,
    limits: tuple[float, float],
    finite: list[float],
    bound: str,
    is_arm_inverted: bool,
) -> tuple[Note, ...]:
    notes = [*comparison.draws.notes, *comparison.fit(baseline, law).notes]
    if comparison.n_sizes(arm) >= 3:
        notes += [
            one
            for one in comparison.fit(arm, law).notes
            if is_arm_inverted or one.code not in ("not_falling", "floor_not_estimable")
        ]
    if comparison.is_floor_left_out(arm, baseline):
        text = f"{arm} and {baseline} are too shallow for this study to tell a floor: the plain power law is fitted"
        notes.append(note("floor_not_estimable", text))
    plain = comparison.fit(baseline, "power")
    if plain.intervals["b"][0] <= 0:
        text = (
            f"{baseline}'s error is not shown to fall over the sizes run (exponent {plain.params['b']:.3f}, "
            f"interval from {plain.intervals['b'][0]:.3f}), so a small difference of error is a large multiplier"
        )
        notes.append(note("baseline_flat", text))
    if frac > (1 - comparison.level) / 2:
        notes.append(note("censored", f"{arm}: {frac:.1%} of the draws have no solution: a limit is infinite"))
    if kind == "extrapolated":
        notes.append(
            note(
                "extrapolated",
                f"{arm}: the law reaches this error only outside the sizes that were run: shown as a bound",
            )
        )
    if bound == "?":
        notes.append(note("both_unreached", f"no sizes of {arm} and {baseline} that were run surround this error"))
    spread = np.log(max(finite) / min(finite)) if kind == "interior" and finite else 0.0
    if np.isfinite(limits).all() and spread > (limits[1] - limits[0]) / 2:
        text = f"{arm}: the laws give {min(finite):.2f} to {max(finite):.2f}, more than half the width of the interval"
        notes.append(note("form_uncertainty", text))
    return sorted_notes(notes)


def at_error(comparison: Comparison, arm: str, baseline: str, error: float) -> Multiplier:
    """The multiplier at a chosen error, in (0, 1)."""
    if not 0 < error < 1:
        raise ValueError(f"error {error:g}: a fraction above 0 and below 1 was expected, for example 0.25")
    comparison.refuse_few(baseline)
    comparison.refuse_few(arm)
    law = comparison.law_of(arm, baseline)
    at = np.array([error])
    forms = {}
    for one in comparison.laws(arm, baseline):
        needed, used = (comparison.point(which, one).ln_size_at(at)[0, 0] for which in (baseline, arm))
        forms[one] = exp(difference(needed, used))
    return reading(
        comparison,
        arm,
        baseline,
        law,
        comparison.ln_size(baseline, at, law)[:, 0],
        comparison.ln_size(arm, at, law)[:, 0],
        error,
        None,
        forms,
    )


def at_size(comparison: Comparison, arm: str, baseline: str, size: float) -> Multiplier:
    """The multiplier at a size of the arm: the error is the arm's own, draw by draw.

    Where the size was run the error is the measured one, so that no law stands between; elsewhere the curve's.
    """
    if not 0 < size < np.inf:
        raise ValueError(f"size {size:g}: a number above 0 was expected, one of {arm}'s sizes or one between them")
    comparison.refuse_few(baseline)
    law, ln_n = comparison.law_of(arm, baseline), np.log(size)
    place = np.flatnonzero(np.abs(comparison.ln_n(arm) - ln_n) < 1e-6)
    if len(place):
        errors = comparison.arm_errors(arm)[:, place]
    elif comparison.n_sizes(arm) >= 3:
        errors = comparison.curves(arm, law).error_at(np.array([ln_n]))
    else:
        sizes = ", ".join(f"{n:g}" for n in comparison.sizes(arm))
        raise ValueError(f"{arm} was run at {sizes} and has no curve; {size:g} is none of these sizes")
    forms = {
        one: exp(comparison.point(baseline, one).ln_size_at(errors[:1])[0, 0] - ln_n)
        for one in comparison.laws(baseline)
    }
    return reading(
        comparison,
        arm,
        baseline,
        law,
        comparison.ln_size(baseline, errors, law)[:, 0],
        np.full(len(errors), ln_n),
        float(errors[0, 0]),
        size,
        forms,
    )


def at_sizes(comparison: Comparison, arm: str, baseline: str) -> list[Multiplier]:
    """The multiplier at each of the arm's own sizes."""
    return [at_size(comparison, arm, baseline, size) for size in comparison.sizes(arm)]


def headline(comparison: Comparison, arm: str, baseline: str) -> Multiplier:
    """One number for a pair: at the geometric middle of the overlap, else the best reading at the arm's sizes."""
    comparison.refuse_few(baseline)
    shared = comparison.overlap(arm, baseline) if comparison.n_sizes(arm) >= 3 else None
    if shared:
        return at_error(comparison, arm, baseline, float(np.sqrt(shared[0] * shared[1])))
    chosen = _best_reading(comparison, arm, baseline)
    mine, theirs = comparison.observed_range(arm), comparison.observed_range(baseline)
    what = "a bound" if chosen.bound in (">=", "<=") else "one point"
    text = (
        f"{arm} (errors {mine[0]:.3f} to {mine[1]:.3f}) and {baseline} ({theirs[0]:.3f} to {theirs[1]:.3f}) share "
        f"no range of error wider than the noise: read at {chosen.at_size:g}, {what}"
    )
    notes = (note("no_overlap", text),)
    if comparison.n_sizes(arm) < 3:
        notes = (
            note(
                "short_arm",
                f"{arm} has {comparison.n_sizes(arm)} sizes: read point by point, no curve of its own",
            ),
        )
    return dataclasses.replace(chosen, notes=sorted_notes(notes + chosen.notes))


def _best_reading(comparison: Comparison, arm: str, baseline: str) -> Multiplier:
    """Of the readings at the arm's sizes: the inner one nearest to the middle of what is shared, else the
    strongest bound that its whole interval supports, else the strongest bound.
    """
    found = at_sizes(comparison, arm, baseline)
    inner = [one for one in found if one.kind == "interior"]
    if inner:
        (low_1, high_1), (low_0, high_0) = comparison.observed_range(arm), comparison.observed_range(baseline)
        middle = np.sqrt(max(low_0, low_1, 1e-9) * min(high_0, high_1))
        return min(inner, key=lambda one: abs(np.log(one.at_error / middle)))
    above = [one for one in found if one.bound == ">="]
    below = [one for one in found if one.bound == "<="][::-1]
    sure = [one for one in above if one.ci_low >= 0.999 * one.multiplier]
    sure_below = [one for one in below if one.ci_high <= 1.001 * one.multiplier]
    return (sure or above or sure_below or below or found[len(found) // 2 :])[0]
