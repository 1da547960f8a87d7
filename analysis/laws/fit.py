"""Fitting a law to one arm, or a shared-shape law to several, with a status that travels with the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from analysis.intervals import interval
from analysis.laws.curves import Cells, Curves
from analysis.laws.forms import form
from analysis.laws.power import N_STARTS
from analysis.laws.projection import best_slopes, project
from analysis.notes import Note, note

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
        read_for, refuted_for: arms whose multiplier over the baseline is read by this law, and those for which it would
            be if residuals did not refute it, so that it is read without a law; empty where that was not asked.
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
    read_for: tuple[str, ...] = ()
    refuted_for: tuple[str, ...] = ()
    objective_name: str = OBJECTIVE


def fit_curves(
    law: str,
    ln_n: np.ndarray,
    errors: np.ndarray,
    weights: np.ndarray,
    *,
    ceiling: float | None = None,
    top: float = np.inf,
    n_grid: int = 48,
) -> Curves:
    """One curve a row of `errors` (n_draws, n_sizes).

    Args:
        ceiling, top: the measured error at zero data, and the largest there can be (1 of a share of a test set).

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
    n_ref = float(ln_n.mean())
    return chosen.fit(Cells(n_ref, ln_n - n_ref, errors, weights, ceiling, top, n_grid))


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
    values = [{"floor": best.floor, "excess": best.excess[:, k], "slope": b} for k in range(len(ln_n))]
    return [Curves(chosen, n_ref, one) for one in values]


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
    top: float = np.inf,
    p_value: float = 1.0,
) -> FitResult:
    """What can be said of the law on one arm, from its curves (1 + n_draws; the fit to `observed` first)."""
    first = curves[:1]
    n_ref = float(ln_n.mean())
    cells = Cells(n_ref, ln_n - n_ref, observed[None], weights, ceiling, top, N_STARTS)
    share, is_multimodal = curves.law.basins(cells, first)
    fitted = first.error_at(ln_n)[0]
    bounds = curves.law.bounds_hit(first)
    status = _status(first, is_multimodal, bounds)
    objective = float((np.square(observed - fitted) / variance).mean()) if np.all(variance > 0) else float("nan")
    params, intervals = _named(curves, level)
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
        gradient_norm=_gradient_norm(first, cells),
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


def _gradient_norm(curve: Curves, cells: Cells) -> float:
    """Scaled norm of the objective's gradient at the optimum; 0 of a straight line, whose optimum is exact."""
    if curve.name in ("log_linear", "log_log"):
        return 0.0
    y, residual = cells.errors[0], cells.errors[0] - curve.law.error_at(curve, cells.z)[0]
    gradient = (curve.law.gradient(curve, cells.z)[0] * (cells.weights * residual)[:, None]).sum(axis=0)
    return float(np.linalg.norm(gradient) / np.square(y).sum())


def _named(curves: Curves, level: float) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """What the law quotes, with an interval each where there are draws."""
    quoted = curves.law.named(curves)
    params = {name: float(values[0]) for name, values in quoted.items()}
    params |= {"n_ref": float(np.exp(curves.ln_n_ref)), **curves.law.derived(curves[:1])}
    drawn = quoted.items() if len(curves.slope) > 1 else ()
    return params, {name: interval(values[1:], level) for name, values in drawn}


def _notes(
    arm: str, law: str, status: FitStatus, bounds: tuple[str, ...], n_sizes: int, p_value: float
) -> tuple[Note, ...]:
    out = []
    if status is FitStatus.NOT_FALLING:
        text = (
            f"{arm}: the fitted error does not fall with size under {law}: was y read the right way round (--y-is "
            "error or accuracy)?"
        )
        out.append(note("not_falling", text))
    if status is FitStatus.MULTIMODAL:
        out.append(note("multimodal", f"{arm}: a second optimum of {law} fits within 5 %"))
    if "floor=0" in bounds:
        out.append(note("floor_not_estimable", f"{arm}: the floor of {law} sits at 0, the data do not show one"))
    if n_sizes < form(law).n_params + 2:
        out.append(
            note(
                "few_sizes",
                f"{arm}: {n_sizes} sizes for the {form(law).n_params} parameters of {law}; "
                "its residuals tell little of the fit, and only a gross misfit is seen",
            )
        )
    if p_value < BAD_FIT:
        text = f"{arm}: residuals of {law} are beyond the noise: of tables drawn from it {p_value:.1%} fit as badly"
        out.append(note("bad_fit", text))
    return tuple(out)
