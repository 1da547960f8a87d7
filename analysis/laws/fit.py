"""Fitting a law to one arm, or a shared-shape law to several, with a status that travels with the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from analysis.intervals import interval
from analysis.laws import saturating
from analysis.laws.forms import FORMS, Curves, form
from analysis.laws.projection import B_MAX, best_slopes, project, scan, slope_grid
from analysis.notes import Note, note

N_STARTS = 400
BAD_FIT = 0.05  # p of a law's residuals below which nothing is read from the law alone
OBJECTIVE = "weighted least squares on the error, O(1) scale, variable projection"


class FitStatus(StrEnum):
    """What the optimiser can vouch for; the first that applies, the worst first.

    NOT_FALLING  the fitted error does not fall with size: no inverse exists
    MULTIMODAL   another local optimum lies within 5 % of the best objective
    AT_BOUND     floor or slope sits on its bound
    CONVERGED    the derivative vanishes at an interior optimum
    """

    CONVERGED = "converged"
    AT_BOUND = "at_bound"
    MULTIMODAL = "multimodal"
    NOT_FALLING = "not_falling"


@dataclass(frozen=True, eq=False)
class FitResult:
    """One arm under one law.

    Args:
        params: named values; `error_at_ref` or `excess_at_ref` stand at `n_ref`, never A +- SE.
        intervals: name -> (low, high) at `level`, from the same draws as everything else.
        objective: weighted mean square of the residuals in units of the cell's own variance.
        p_value: how often tables drawn from the law fit it as badly; 1 where that cannot be told.
        frac_at_best: share of the starts whose basin holds the best optimum.
        gradient_norm: scaled derivative at the optimum.
        ln_n, observed, fitted, stderr, leverage: (n_sizes,) the data and what the law makes of them.
        curves: (1 + n_draws) curves, the fit to the data first.
    """

    arm: str
    law: str
    params: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    level: float
    status: FitStatus
    objective: float
    n_starts: int
    frac_at_best: float
    gradient_norm: float
    bounds_hit: tuple[str, ...]
    ln_n: np.ndarray
    observed: np.ndarray
    fitted: np.ndarray
    stderr: np.ndarray
    curves: Curves
    notes: tuple[Note, ...]
    p_value: float = 1.0
    objective_name: str = OBJECTIVE


def fit_curves(
    law: str,
    ln_n: np.ndarray,
    errors: np.ndarray,
    weights: np.ndarray,
    *,
    ceiling: float | None = None,
    n_grid: int = 48,
) -> Curves:
    """One curve a row of `errors` (n_draws, n_sizes).

    Raises:
        ValueError: too few sizes for the law, or no measured ceiling for the saturating one.
    """
    chosen = form(law)
    if len(ln_n) < chosen.n_params + 1:
        raise ValueError(
            f"law {law} has {chosen.n_params} parameters and needs {chosen.n_params + 1} sizes or more, "
            f"found {len(ln_n)}: n = {', '.join(f'{n:g}' for n in np.exp(ln_n))}; run more sizes or "
            "choose a smaller law"
        )
    z = ln_n - ln_n.mean()
    if law == "log_linear":
        return _log_linear(z, errors, weights, ln_n.mean())
    if law == "log_log":
        line = _log_linear(z, np.log(np.maximum(errors, 1e-12)), weights, ln_n.mean())
        return Curves("log_log", line.ln_n_ref, line.floor, np.exp(line.excess), line.slope)
    if law == "saturating":
        if ceiling is None:
            raise ValueError(
                "law saturating needs the error at zero data (rows with size 0, the base model); "
                "add them or choose power_floor"
            )
        return saturating.fit(ln_n.mean(), z, errors, weights, ceiling)
    one = np.ones((len(ln_n), 1))
    b = best_slopes(z, errors, weights, one, has_floor=chosen.has_floor, n_grid=n_grid)
    best = project(b, z, errors, weights, one, has_floor=chosen.has_floor)
    return Curves(law, float(ln_n.mean()), best.floor, best.excess[:, 0], b)


def fit_shared(
    law: str,
    ln_n: Sequence[np.ndarray],
    errors: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    n_grid: int = 48,
) -> list[Curves]:
    """Several arms with one slope (and floor): a Curves an arm, in the arms' order."""
    chosen = form(law)
    if not chosen.is_shared:
        raise ValueError(f"law {law} is not shared between arms; power_shared and power_floor_shared are")
    all_ln_n, n_ref = np.concatenate(ln_n), float(np.concatenate(ln_n).mean())
    arm = np.repeat(np.eye(len(ln_n)), [len(one) for one in ln_n], axis=0)
    y, w, z = np.concatenate(errors, axis=1), np.concatenate(weights), all_ln_n - n_ref
    b = best_slopes(z, y, w, arm, has_floor=chosen.has_floor, n_grid=n_grid)
    best = project(b, z, y, w, arm, has_floor=chosen.has_floor)
    return [Curves(law, n_ref, best.floor, best.excess[:, k], b) for k in range(len(ln_n))]


def _log_linear(z: np.ndarray, errors: np.ndarray, weights: np.ndarray, ln_n_ref: float) -> Curves:
    mean_z, mean_y = np.average(z, weights=weights), errors @ weights / weights.sum()
    centred = (z - mean_z) * weights
    slope = -(errors @ centred) / (centred @ (z - mean_z))
    return Curves("log_linear", float(ln_n_ref), np.zeros(len(errors)), mean_y + slope * mean_z, slope)


def fit_result(
    arm: str,
    law: str,
    ln_n: np.ndarray,
    curves: Curves,
    observed: np.ndarray,
    weights: np.ndarray,
    variance: np.ndarray,
    *,
    level: float = 0.95,
    ceiling: float | None = None,
    p_value: float = 1.0,
) -> FitResult:
    """What can be said of the law on one arm, from its curves (1 + n_draws; the fit to `observed` first)."""
    first = curves[:1]
    share, is_multimodal, gradient = _diagnosis(law, ln_n, observed, weights, first)
    fitted = first.error_at(ln_n)[0]
    bounds = _bounds_hit(law, first)
    status = _status(first, is_multimodal, bounds)
    objective = float((np.square(observed - fitted) / variance).mean()) if np.all(variance > 0) else float("nan")
    params, intervals = _named(law, curves, level)
    return FitResult(
        arm=arm,
        law=law,
        params=params,
        intervals=intervals,
        level=level,
        status=status,
        objective=objective,
        n_starts=N_STARTS,
        frac_at_best=share,
        gradient_norm=gradient,
        bounds_hit=bounds,
        ln_n=ln_n,
        observed=observed,
        fitted=fitted,
        stderr=np.sqrt(variance),
        curves=curves,
        notes=_notes(arm, law, status, bounds, len(ln_n), p_value),
        p_value=p_value,
    )


def _status(first: Curves, is_multimodal: bool, bounds: tuple[str, ...]) -> FitStatus:
    """The first that applies, the worst first."""
    if not first.slope[0] > 1e-4 or not first.excess[0] > 0:
        return FitStatus.NOT_FALLING
    if is_multimodal:
        return FitStatus.MULTIMODAL
    return FitStatus.AT_BOUND if bounds else FitStatus.CONVERGED


def stacked(first: Curves, rest: Curves) -> Curves:
    """Curves of the observed means and of the draws as one."""
    is_saturating = first.midpoint is not None
    midpoint = np.concatenate([first.saturation()[0], rest.saturation()[0]]) if is_saturating else None
    return Curves(
        first.name,
        first.ln_n_ref,
        np.concatenate([first.floor, rest.floor]),
        np.concatenate([first.excess, rest.excess]),
        np.concatenate([first.slope, rest.slope]),
        midpoint,
        first.ceiling,
    )


def _diagnosis(law: str, ln_n: np.ndarray, y: np.ndarray, w: np.ndarray, best: Curves) -> tuple[float, bool, float]:
    """Share of starts in the best basin, whether a rival optimum exists, and the scaled gradient norm."""
    residual = y - best.error_at(ln_n)[0]
    gradient = np.linalg.norm((best.gradient(ln_n)[0] * (w * residual)[:, None]).sum(axis=0)) / np.square(y).sum()
    if law in ("log_linear", "log_log"):
        return 1.0, False, 0.0
    if law == "saturating":
        return *saturating.basins(ln_n - ln_n.mean(), y, w, best.saturation()[1]), float(gradient)
    grid = slope_grid(N_STARTS, has_floor=FORMS[law].has_floor)
    one, z = np.ones((len(ln_n), 1)), ln_n - ln_n.mean()
    values = scan(grid, z, y, w, one, has_floor=FORMS[law].has_floor)
    share, is_multimodal = basins_of(values)
    return share, is_multimodal, float(gradient)


def basins_of(values: np.ndarray) -> tuple[float, bool]:
    """Share of a 1-D scan that flows downhill to its least value, and whether another minimum lies within 5 %."""
    tolerance = 1e-12 * max(values.max(), 1e-300)
    target = np.arange(len(values))
    for i in np.argsort(values, kind="stable"):
        near = [j for j in (i - 1, i + 1) if 0 <= j < len(values) and values[j] < values[i] - tolerance]
        if near:
            target[i] = target[min(near, key=lambda j: values[j])]
    first = int(values.argmin())
    apart = np.flatnonzero(values > values[first] + tolerance)
    left, right = apart[apart < first].max(initial=-1), apart[apart > first].min(initial=len(values))
    is_best = (target > left) & (target < right)
    rivals = target[~is_best]
    is_multimodal = len(rivals) > 0 and values[rivals].min() <= 1.05 * values[first] + 1e-15
    return float(is_best.mean()), bool(is_multimodal)


def _bounds_hit(law: str, curve: Curves) -> tuple[str, ...]:
    hit = []
    if FORMS[law].has_floor and curve.floor[0] <= 0:
        hit.append("floor=0")
    if abs(curve.slope[0]) >= B_MAX * (1 - 1e-9):
        hit.append(f"b={B_MAX:g}")
    return tuple(hit)


def _named(law: str, curves: Curves, level: float) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    columns = {"b": curves.slope}
    if law == "saturating":
        columns["n_half"] = np.exp(curves.ln_n_ref + curves.saturation()[0])
    else:
        columns["excess_at_ref" if FORMS[law].has_floor else "error_at_ref"] = curves.excess
    if FORMS[law].has_floor:
        columns["floor"] = curves.floor
    params = {name: float(values[0]) for name, values in columns.items()}
    params["n_ref"] = float(np.exp(curves.ln_n_ref))
    if law.startswith("power") or law == "log_log":
        params["ln_a"] = float(np.log(max(curves.excess[0], 1e-300)) + curves.slope[0] * curves.ln_n_ref)
    intervals = {}
    if len(curves.slope) > 1:
        intervals = {name: interval(values[1:], level) for name, values in columns.items()}
    return params, intervals


def _notes(
    arm: str, law: str, status: FitStatus, bounds: tuple[str, ...], n_sizes: int, p_value: float
) -> tuple[Note, ...]:
    out = []
    if status is FitStatus.NOT_FALLING:
        out.append(note("not_falling", f"{arm}: the fitted error does not fall with size under {law}"))
    if status is FitStatus.MULTIMODAL:
        out.append(note("multimodal", f"{arm}: a second optimum of {law} fits within 5 %"))
    if "floor=0" in bounds:
        out.append(note("floor_not_estimable", f"{arm}: the floor of {law} sits at 0, the data do not show one"))
    if n_sizes < form(law).n_params + 2:
        out.append(
            note(
                "few_sizes",
                f"{arm}: {n_sizes} sizes for the {form(law).n_params} parameters of {law}; "
                "the fit cannot be judged by its residuals",
            )
        )
    if p_value < BAD_FIT:
        text = f"{arm}: residuals of {law} are beyond the noise: of tables drawn from it {p_value:.1%} fit as badly"
        out.append(note("bad_fit", text))
    return tuple(out)
