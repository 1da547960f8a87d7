"""A multiplier as it is reported: a value between sizes that were run, or a bound made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.fit import interval
from analysis.notes import Note

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


def limits_of(values: np.ndarray, level: float) -> tuple[float, float]:
    """Percentile limits of draws (n_draws,); a draw that says nothing (nan) widens both sides."""
    low = interval(np.where(np.isnan(values), -np.inf, values), level)[0]
    high = interval(np.where(np.isnan(values), np.inf, values), level)[1]
    return low, high


def distance(ln_n: float, sizes: np.ndarray) -> float:
    if not np.isfinite(ln_n):
        return float("inf")
    return float(max(0.0, ln_n - sizes[-1], sizes[0] - ln_n))
