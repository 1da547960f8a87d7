"""Held-out error of each law: fit the smaller sizes, predict the larger ones (rolling origin).

Errors are in units of the cell's own standard error, and as root mean squared log error (RMSLE). All laws are scored
on the same predictions. The choice follows the one-standard-error rule towards the law with fewer parameters; with
6 sizes or fewer no choice is offered, since two or three predictions an arm decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.fit import fit_curves
from analysis.forms import FORMS, form
from analysis.multiplier import Comparison
from analysis.resample import Draws

LAWS = ("power", "log_linear", "power_floor", "saturating")
FEW_SIZES = 6


@dataclass(frozen=True)
class HeldOut:
    """One prediction: the law fitted to the arm's first `n_fitted` sizes, read `distance` in ln n beyond them."""

    arm: str
    law: str
    n_fitted: int
    size: float
    distance: float
    predicted: float
    observed: float
    z: float


@dataclass(frozen=True)
class Score:
    """A law over all its predictions.

    Args:
        mean_square_z: mean of z^2; 1 is what a true law would have if its own fit cost nothing.
        se: standard error of that mean over predictions.
        rmsle: root mean square of ln predicted - ln observed.
    """

    law: str
    n_params: int
    n_predictions: int
    mean_square_z: float
    se: float
    rmsle: float


@dataclass(frozen=True)
class Validation:
    """Scores from the best down, the law of the one-SE rule, and whether there was enough to choose by."""

    scores: tuple[Score, ...]
    predictions: tuple[HeldOut, ...]
    chosen: str | None
    is_choice_feasible: bool
    says: str


def validate(drawn: Draws, laws: Sequence[str] | None = None) -> Validation:
    """Rolling-origin scores of the laws that every arm with a curve can carry.

    Raises:
        ValueError: no arm has 4 sizes, so nothing can be held out; a law is unknown, or shared between arms.
    """
    table = drawn.table
    shared = [law for law in laws or LAWS if form(law).is_shared]
    if shared:
        raise ValueError(f"law {shared[0]} is shared between arms; sizes are held out of one arm: {', '.join(LAWS)}")
    arms = [arm for arm in table.arms if len(table.cells_of(arm)) >= 4]
    if not arms:
        found = ", ".join(f"{arm} {len(table.cells_of(arm))}" for arm in table.arms)
        raise ValueError(
            f"{table.path}: holding a size out needs an arm with 4 sizes or more, found {found}; run more sizes"
        )
    most = max(len(table.cells_of(arm)) for arm in arms)
    usable = [law for law in laws or LAWS if FORMS[law].n_params + 2 <= most]
    if table.reference_error is None:
        usable = [law for law in usable if law != "saturating"]
    first = max(FORMS[law].n_params for law in usable) + 1
    predictions = [one for arm in arms for law in usable for one in _predictions(drawn, arm, law, min(first, most - 1))]
    scores = sorted((_score(law, predictions) for law in usable), key=lambda score: score.mean_square_z)
    feasible = most > FEW_SIZES
    best = scores[0]
    chosen = min(
        (score for score in scores if score.mean_square_z <= best.mean_square_z + best.se),
        key=lambda score: (score.n_params, score.mean_square_z),
    )
    says = (
        f"{chosen.law}: the smallest law within one standard error of the best ({best.law})"
        if feasible
        else f"{most} sizes are too few to choose a law by; laws are fixed beforehand and shown side by side"
    )
    return Validation(tuple(scores), tuple(predictions), chosen.law if feasible else None, feasible, says)


def _predictions(drawn: Draws, arm: str, law: str, first: int) -> list[HeldOut]:
    cells = drawn.table.cells_of(arm)
    ln_n = np.log(drawn.table.cells["x"].to_numpy(float)[cells])
    y, w, se = drawn.observed[cells], drawn.weights[cells], np.sqrt(drawn.variance[cells])
    out = []
    for n_fitted in range(first, len(cells)):
        curve = fit_curves(
            law,
            ln_n[:n_fitted],
            y[None, :n_fitted],
            w[:n_fitted],
            ceiling=drawn.table.reference_error,
            n_grid=200,
        )
        predicted = curve.error_at(ln_n[n_fitted:])[0]
        for k, value in enumerate(predicted, start=n_fitted):
            distance = float(ln_n[k] - ln_n[n_fitted - 1])
            z = float((value - y[k]) / se[k])
            size = float(np.exp(ln_n[k]))
            out.append(HeldOut(arm, law, n_fitted, size, distance, float(value), float(y[k]), z))
    return out


def _score(law: str, predictions: Sequence[HeldOut]) -> Score:
    mine = [one for one in predictions if one.law == law]
    squares = np.array([one.z**2 for one in mine])
    logs = np.array([np.log(max(one.predicted, 1e-12)) - np.log(max(one.observed, 1e-12)) for one in mine])
    se = float(squares.std(ddof=1) / np.sqrt(len(squares))) if len(squares) > 1 else float("inf")
    return Score(law, FORMS[law].n_params, len(mine), float(squares.mean()), se, float(np.sqrt(np.square(logs).mean())))


def rmsle_at(validation: Validation, law: str, distance: float) -> float | None:
    """RMSLE of the law's predictions at a distance of at least `distance` in ln n; None beyond all of them."""
    logs = [
        np.log(max(one.predicted, 1e-12) / max(one.observed, 1e-12))
        for one in validation.predictions
        if one.law == law and one.distance >= distance - 1e-9
    ]
    return float(np.sqrt(np.mean(np.square(logs)))) if logs else None


def held_out(comparison: Comparison, laws: Sequence[str] | None = None) -> Validation | None:
    """The validation of a comparison's table, None where no size can be held out."""
    table = comparison.draws.table
    if max(len(table.cells_of(arm)) for arm in table.arms) < 4:
        return None
    return validate(comparison.draws, laws)
