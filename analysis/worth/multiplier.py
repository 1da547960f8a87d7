"""A multiplier as it is reported: a value between sizes that were run, or a bound made of them.

Between sizes that were run half of the draws read both arms' sizes from the law and half from a curve without one
(laws/local.py); where residuals refute the law, all from the latter. So an error of form is inside the interval. Limits
beyond the ratios of sizes that were run would rest on the law alone: they are open.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from analysis.intervals import difference, limits_of
from analysis.laws.forms import form
from analysis.notes import Note, note, sorted_notes
from analysis.worth.comparison import Comparison
from sweep.terminal.words import count

Kind = Literal["interior", "extrapolated", "censored_hi", "censored_lo", "undefined"]
Bound = Literal["=", ">=", "<=", "?"]
ROUNDING = 1e-9  # of logarithms and errors: nearer than this is the same


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws of ln m (n_draws,) and what of their limits may be said: the side of a bound, the ratios that were run."""

    ln_m: np.ndarray
    bound: Bound
    reach: tuple[float, float] = (-np.inf, np.inf)

    def held(self, low: float, high: float) -> tuple[float, float]:
        """Limits of ln m, infinite on an open side and where they lie beyond every ratio of sizes that were run."""
        is_low = self.bound in ("<=", "?") or low < self.reach[0] - ROUNDING
        is_high = self.bound in (">=", "?") or high > self.reach[1] + ROUNDING
        return (-np.inf if is_low else low), (np.inf if is_high else high)


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
        form: "law and local" or "local": what the value and its limits were read from; "law" for what lies outside.
        frac_censored: share of the draws in which one arm has no solution.
        extrapolation: distance beyond the sizes run, in ln n; 0 for interior values.
        extrapolated_value, extrapolated_ci: what the law says out there; None where it says nothing or is not asked.
        form_values: law -> value at the same error; `form_spread` their least and largest.
        drawn: what the limits come from.
        joint_ci: limits that hold for all `n_joint` arms of the table at once (joint.py); None for one alone.
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
    form: str
    status: str
    frac_censored: float
    extrapolation: float
    extrapolated_value: float | None
    extrapolated_ci: tuple[float, float] | None
    form_values: Mapping[str, float]
    form_spread: tuple[float, float]
    notes: tuple[Note, ...]
    drawn: Drawn | None = field(default=None, repr=False, compare=False)
    joint_ci: tuple[float, float] | None = None
    n_joint: int = 1


DIGITS = 12  # significant ones: from their logarithms 16,384 is 7.999999999999995 times 2,048, and short of 8


def exp(value: float) -> float:
    """The ratio of a difference of logarithms, without the digits that rounding decides."""
    with np.errstate(over="ignore"):
        return float(f"{np.exp(value):.{DIGITS}g}")


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


@dataclass(frozen=True, eq=False)
class Sizes:
    """Draws of ln n_0 and ln n_1 (1 + n_draws,) at one error: as read, and by the law alone."""

    read_0: np.ndarray
    read_1: np.ndarray
    law_0: np.ndarray
    law_1: np.ndarray
    is_refuted: bool


def reading(
    comparison: Comparison, arm: str, baseline: str, law: str, sizes: Sizes, error: float, size: float | None,
    forms: dict[str, float],
) -> Multiplier:  # fmt: skip
    """Kind, value or bound, and limits from the draws of ln n_0 and ln n_1."""
    (low_0, high_0), n_0, n_1 = comparison.observed_range(baseline), comparison.ln_n(baseline), comparison.ln_n(arm)
    where_0 = where(error, low_0, high_0)
    where_1 = "inside" if size is not None else where(error, *comparison.observed_range(arm))
    is_inside = where_0 == where_1 == "inside"
    by_law = difference(sizes.law_0, sizes.law_1)
    read = difference(sizes.read_0, sizes.read_1)
    kind, bound = kind_of(where_0, where_1, (read if is_inside or sizes.is_refuted else by_law)[0])
    if high_0 <= low_0 * (1 + 1e-9) and (kind == "interior" or _was_seen(comparison, baseline, error)):
        kind, bound = "undefined", "?"  # one error at every size: none is the one
    held_0, held_1 = sides(where_0, n_0), sides(where_1, n_1)
    ends = (sizes.read_0, sizes.read_1) if sizes.is_refuted else (sizes.law_0, sizes.law_1)
    point = read if is_inside else difference(np.clip(ends[0][:1], *held_0), np.clip(ends[1][:1], *held_1))
    ln_m = difference(np.clip(sizes.read_0[1:], *held_0), np.clip(sizes.read_1[1:], *held_1))
    drawn = Drawn(ln_m, bound, _reach(n_0, np.log([size, size]) if size else n_1) if kind == "interior" else _ANY)
    limits = limits_of(ln_m, comparison.level)
    low, high = drawn.held(*limits)
    is_open = kind == "interior" and (low, high) != limits
    frac = float(np.mean(~np.isfinite(read[1:])))
    outside = kind == "extrapolated"
    notes = _notes(comparison, arm, baseline, law, kind, (low, high), forms, bound, size is None)
    notes += _form_notes(arm, baseline, law, sizes.is_refuted, is_open)
    stated = {">=": (low,), "<=": (high,), "?": ()}.get(bound, (low, high))  # of a bound the limit that it has
    if not (np.isfinite(stated).all() or np.isfinite(limits_of(read[1:], comparison.level)).all()):
        notes += (note("censored", f"{arm}: {frac:.1%} of the draws have no solution: a limit is infinite"),)
    statuses = [str(comparison.fit(one, law).status) for one in (baseline, arm) if comparison.n_sizes(one) >= 3]
    return Multiplier(
        arm=arm,
        baseline=baseline,
        at_error=error,
        at_size=size,
        multiplier=exp(point[0] if bound != "?" else np.nan),
        ci_low=exp(low),
        ci_high=exp(high),
        level=comparison.level,
        kind=kind,
        bound=bound,
        method=comparison.draws.method,
        law=law,
        form="law" if not is_inside else "local" if sizes.is_refuted else "law and local",
        status="+".join(dict.fromkeys(statuses)),
        frac_censored=frac,
        extrapolation=0.0 if kind == "interior" else distance(sizes.law_0[0], n_0) + distance(sizes.law_1[0], n_1),
        extrapolated_value=exp(by_law[0]) if outside else None,
        extrapolated_ci=_exp_pair(limits_of(by_law[1:], comparison.level)) if outside else None,
        form_values=forms,
        form_spread=_spread(forms),
        notes=sorted_notes(notes),
        drawn=drawn,
    )


def _was_seen(comparison: Comparison, arm: str, error: float) -> bool:
    """Whether the arm had errors on both sides of this one, whatever a curve says that never rises."""
    seen = comparison.arm_errors(arm)[0]
    return bool(seen.min() <= error <= seen.max())


def _exp_pair(limits: tuple[float, float]) -> tuple[float, float]:
    return exp(limits[0]), exp(limits[1])


def _finite(forms: Mapping[str, float]) -> list[float]:
    return [value for value in forms.values() if np.isfinite(value) and value > 0]


def _spread(forms: Mapping[str, float]) -> tuple[float, float]:
    finite = _finite(forms)
    return (min(finite), max(finite)) if finite else (float("nan"), float("nan"))


_ANY = (-np.inf, np.inf)


def _reach(n_0: np.ndarray, n_1: np.ndarray) -> tuple[float, float]:
    """The least and the largest ratio, in ln, of a size of the baseline to one of the arm's."""
    return float(n_0[0] - n_1[-1]), float(n_0[-1] - n_1[0])


def _form_notes(arm: str, baseline: str, law: str, is_refuted: bool, is_open: bool) -> tuple[Note, ...]:
    out = []
    if is_refuted:
        text = f"{arm}, {baseline}: residuals refute {law}; read between the sizes that were run, without a law"
        out.append(note("read_without_law", text))
    if is_open:
        text = f"{arm}: a limit lies beyond the ratios of sizes that were run and is open; run {baseline} at more sizes"
        out.append(note("open_limit", text))
    return tuple(out)


def _notes(
    comparison: Comparison,
    arm: str,
    baseline: str,
    law: str,
    kind: str,
    limits: tuple[float, float],
    forms: Mapping[str, float],
    bound: str,
    is_arm_inverted: bool,
) -> tuple[Note, ...]:
    notes = [*comparison.draws.notes, *_curve_notes(comparison, arm, baseline, law, is_arm_inverted)]
    if kind == "extrapolated":
        notes.append(
            note(
                "extrapolated",
                f"{arm}: the law reaches this error only outside the sizes that were run: "
                + ("neither a value nor a bound" if bound == "?" else "shown as a bound"),
            )
        )
    n_without = int((comparison.draws.table.runs["size"] == 0).sum())
    if n_without and not form(law).needs_ceiling:
        text = f"{count(n_without, 'run')} of size 0 (the error without data): read with --law saturating alone"
        notes.append(note("no_data", text))
    if bound == "?":
        notes.append(note("both_unreached", f"no sizes of {arm} and {baseline} that were run surround this error"))
    finite = _finite(forms)
    spread = np.log(max(finite) / min(finite)) if kind == "interior" and finite else 0.0
    if np.isfinite(limits).all() and spread > (limits[1] - limits[0]) / 2:
        text = f"{arm}: the laws give {min(finite):.2f} to {max(finite):.2f}, more than half the width of the interval"
        notes.append(note("form_uncertainty", text))
    return sorted_notes(notes)


def _curve_notes(comparison: Comparison, arm: str, baseline: str, law: str, is_arm_inverted: bool) -> tuple[Note, ...]:
    """What is to be known of the two fitted curves, wherever they are read."""
    notes = [*comparison.fit(baseline, law).notes]
    if comparison.n_sizes(arm) >= 3:
        notes += [
            one
            for one in comparison.fit(arm, law).notes
            if is_arm_inverted or one.code not in ("not_falling", "floor_not_estimable")
        ]
    if comparison.is_floor_left_out(arm, baseline):
        text = f"{arm} and {baseline} are too shallow for this study to show a floor: the plain power law is fitted"
        notes.append(note("floor_not_estimable", text))
    plain = comparison.fit(baseline, "power")
    if plain.intervals["b"][0] <= 0:
        text = (
            f"{baseline}'s error is not shown to fall over the sizes run (exponent {plain.params['b']:.3f}, "
            f"interval from {plain.intervals['b'][0]:.3f}), so a small difference of error is a large multiplier"
        )
        notes.append(note("baseline_flat", text))
    return tuple(notes)
