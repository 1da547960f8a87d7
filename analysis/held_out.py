"""Held-out error of each law: fit the smaller sizes, predict the larger ones (rolling origin).

Errors are in units of the cell's own standard error, and as root mean squared log error (RMSLE). Laws are ranked on the
predictions that all of them can make, from as many sizes on as the widest needs. The choice follows the
one-standard-error rule towards the law with fewer parameters; with 6 sizes or fewer no choice is offered, since two or
three predictions an arm decide nothing.

A mean z^2 of 1 is not what to expect: even the true law is fitted to few noisy sizes before it predicts. What to expect
is found by drawing tables from the law itself (its curve through all sizes, and the noise of the bootstrap, so that
what arms, sizes and seeds share stays shared) and holding out of each what was held out of the real one. The law is
refuted where hardly any of these tables is predicted as badly. It is judged on all predictions that it can make, so
that its verdict does not change with the laws that stand beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.laws.curves import Curves
from analysis.laws.fit import fit_curves
from analysis.laws.forms import FORMS, form
from analysis.noise.draws import Draws
from analysis.notes import Note, sorted_notes
from analysis.tables.table import Table
from sweep.terminal.progress import counted

LAWS = ("power", "log_linear", "power_floor", "saturating")
WIDER_LAWS = ("sigmoid", "m4")  # with so many parameters that few sizes would leave little to predict
FEW_SIZES = 6
N_TABLES = 400  # drawn from each law
REFUTED = 0.01  # share of them below which a law's held-out error is beyond the noise


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
class Misses:
    """How far predictions of a law lie from what was observed.

    Args:
        mean_square_z: mean of z^2; 1 is what a true law would have if its own fit cost nothing.
        se: standard error of that mean over predictions.
        expected: median of that mean over tables drawn from the law itself.
        p_value: share of those tables, and of the real one with them, of at least this mean.
        rmsle: root mean square of ln predicted - ln observed.
    """

    n_predictions: int
    mean_square_z: float
    se: float
    expected: float
    p_value: float
    rmsle: float

    @property
    def is_refuted(self) -> bool:
        return self.p_value < REFUTED


@dataclass(frozen=True)
class Score:
    """A law on the predictions that all laws can make, which rank it, and on all of its own, which judge it."""

    law: str
    n_params: int
    shared: Misses
    own: Misses

    @property
    def is_refuted(self) -> bool:
        return self.own.is_refuted


@dataclass(frozen=True)
class Validation:
    """Scores from the best down, the predictions that rank them, the law of the one-SE rule, and whether there was
    enough to choose by; `says` tells where the chosen law is refuted itself; `notes` are the table's.
    """

    scores: tuple[Score, ...]
    predictions: tuple[HeldOut, ...]
    chosen: str | None
    is_choice_feasible: bool
    says: str
    notes: tuple[Note, ...] = ()


def validate(drawn: Draws, laws: Sequence[str] | None = None, *, of: Sequence[str] = ()) -> Validation:
    """Rolling-origin scores of the laws that every arm with a curve can carry.

    Args:
        laws: which; where None those `offered` that one arm can carry. All are fitted from as many sizes on as the
            widest of them needs where they are ranked, so that wide laws leave little to rank by; each is judged on
            all predictions that it can make, from as many sizes on as it needs itself.
        of: the arms whose sizes are held out; all where empty.

    Raises:
        ValueError: no arm has 4 sizes, so nothing can be held out; a law is unknown or shared between arms, or
            the table has too little for any of them.
    """
    arms = _arms(drawn.table, of)
    most = max(len(drawn.table.cells_of(arm)) for arm in arms)
    usable = _usable(drawn.table, laws, most)
    first = max(_first(law, most) for law in usable)
    predictions: list[HeldOut] = []
    scores = []
    for law in counted(usable, "held-out sizes by law"):
        start = _first(law, most)
        own = [one for arm in arms for one in _predictions(drawn, arm, law, start)]
        z = [_held_out_z(drawn, arm, law, start, _tables(drawn, arm, law)) for arm in arms]
        squares = np.square(np.concatenate(z, axis=1))  # (n_tables, n_predictions)
        is_shared = np.array([one.n_fitted >= first for one in own])
        shared = [one for one in own if one.n_fitted >= first]
        predictions += shared
        of_tables = [each.mean(axis=1) for each in (squares[:, is_shared], squares)]
        scores.append(Score(law, FORMS[law].n_params, *map(_misses, (shared, own), of_tables)))
    scores.sort(key=lambda score: score.shared.mean_square_z)
    is_feasible = most > FEW_SIZES
    chosen = _chosen(scores).law if is_feasible else None
    says, notes = _says(scores, most), sorted_notes(drawn.table.notes)
    return Validation(tuple(scores), tuple(predictions), chosen, is_feasible, says, notes)


def _first(law: str, most: int) -> int:
    """The fewest sizes that the law is fitted to before it predicts."""
    return min(FORMS[law].n_params + 1, most - 1)


def _says(scores: Sequence[Score], most: int) -> str:
    """Which law is chosen and whether it is refuted itself, and which others are."""
    refuted = [score.law for score in scores if score.is_refuted]
    chosen = _chosen(scores)
    if most <= FEW_SIZES:
        says = f"{most} sizes are too few to choose a law by; laws are fixed beforehand and shown side by side"
    else:
        says = f"{chosen.law}: the smallest law within one standard error of the best ({scores[0].law})"
    if most > FEW_SIZES and chosen.is_refuted:
        standing = [score.law for score in scores if not score.is_refuted]
        best = f"the best that is not is {standing[0]}" if standing else "so is every other"
        n, p = chosen.own.n_predictions, chosen.own.p_value
        says += f", but it is itself refuted by its {n} predictions (p = {p:.3f}); {best}"
    return says + (f"; beyond the noise (p < {REFUTED:g}): {', '.join(refuted)}" if refuted else "")


def offered(most: int) -> tuple[str, ...]:
    """The laws that are held out where none is asked for, of arms with `most` sizes."""
    return (*LAWS, *(law for law in WIDER_LAWS if most >= 2 * FORMS[law].n_params + 2))


def _arms(table: Table, of: Sequence[str]) -> list[str]:
    """The arms with enough sizes to hold one out."""
    asked = of or table.arms
    arms = [arm for arm in asked if len(table.cells_of(arm)) >= 4]
    if not arms:
        found = ", ".join(f"{arm} {len(table.cells_of(arm))}" for arm in asked)
        raise ValueError(
            f"{table.path}: holding a size out needs an arm with 4 sizes or more, found {found}; run more sizes"
        )
    return arms


def _usable(table: Table, asked: Sequence[str] | None, most: int) -> list[str]:
    """The laws that an arm with `most` sizes can carry: all that are asked for, or those of the usual ones."""
    twice = [law for law, n in Counter(asked or ()).items() if n > 1]
    if twice:
        raise ValueError(f"--law {twice[0]} is given twice; name each law once")
    shared = [law for law in asked or () if form(law).is_shared]
    if shared:
        raise ValueError(f"law {shared[0]} is shared between arms; sizes are held out of one arm: {', '.join(LAWS)}")
    laws = asked or offered(most)
    usable = [law for law in laws if FORMS[law].n_params + 2 <= most]
    usable = [law for law in usable if not FORMS[law].needs_ceiling or table.reference_error is not None]
    if asked and (without := [law for law in asked if law not in usable]):
        raise ValueError(
            f"{table.path}: {', '.join(without)} cannot be held out: an arm has {most} sizes at most, a law needs two "
            "more than it has parameters, and saturating also the error at zero data (rows with size 0, or --ceiling); "
            "ask for other laws, or run more sizes"
        )
    return usable


def _chosen(scores: Sequence[Score]) -> Score:
    """By the one-standard-error rule: of those as good as the first within its error, the one of fewest parameters."""
    best = scores[0].shared
    return min(
        (score for score in scores if score.shared.mean_square_z <= best.mean_square_z + best.se),
        key=lambda score: (score.n_params, score.shared.mean_square_z),
    )


def _origins(drawn: Draws, arm: str, first: int) -> Iterator[tuple[int, int]]:
    """(sizes fitted, place of the size predicted) of every prediction."""
    n_sizes = len(drawn.table.cells_of(arm))
    return ((n_fitted, k) for n_fitted in range(first, n_sizes) for k in range(n_fitted, n_sizes))


def _held_out_z(drawn: Draws, arm: str, law: str, first: int, errors: np.ndarray) -> np.ndarray:
    """(n_tables, n_predictions) predicted minus held-out error in standard errors, for (n_tables, n_sizes) errors."""
    cells = drawn.table.cells_of(arm)
    ln_n, w, se = _ln_n(drawn, arm), drawn.weights[cells], np.sqrt(drawn.variance[cells])
    out = []
    for n in range(first, len(cells)):
        curve = _fitted(drawn, law, ln_n[:n], errors[:, :n], w[:n])
        out.append((curve.error_at(ln_n[n:]) - errors[:, n:]) / se[n:])
    return np.concatenate(out, axis=1) if out else np.empty((len(errors), 0))


def _tables(drawn: Draws, arm: str, law: str) -> np.ndarray:
    """(N_TABLES, n_sizes) errors of the arm if its curve under the law were the truth."""
    cells = drawn.table.cells_of(arm)
    y, ln_n = drawn.observed[cells], _ln_n(drawn, arm)
    curve = _fitted(drawn, law, ln_n, y[None], drawn.weights[cells])
    return np.maximum(curve.error_at(ln_n) + drawn.errors[:N_TABLES, cells] - y, 1e-9)


def _fitted(drawn: Draws, law: str, ln_n: np.ndarray, errors: np.ndarray, weights: np.ndarray) -> Curves:
    ceiling, top = drawn.table.reference_error, drawn.table.top
    return fit_curves(law, ln_n, errors, weights, ceiling=ceiling, top=top, n_grid=200)


def _ln_n(drawn: Draws, arm: str) -> np.ndarray:
    return np.log(drawn.table.cells["x"].to_numpy(float)[drawn.table.cells_of(arm)])


def _predictions(drawn: Draws, arm: str, law: str, first: int) -> list[HeldOut]:
    cells, ln_n = drawn.table.cells_of(arm), _ln_n(drawn, arm)
    y, se = drawn.observed[cells], np.sqrt(drawn.variance[cells])
    z = _held_out_z(drawn, arm, law, first, y[None])[0]
    return [
        HeldOut(
            arm,
            law,
            n_fitted,
            size=float(np.exp(ln_n[k])),
            distance=float(ln_n[k] - ln_n[n_fitted - 1]),
            predicted=float(y[k] + one * se[k]),
            observed=float(y[k]),
            z=float(one),
        )
        for (n_fitted, k), one in zip(_origins(drawn, arm, first), z, strict=True)
    ]


def _misses(mine: Sequence[HeldOut], drawn_means: np.ndarray) -> Misses:
    """A law's predictions, against the mean z^2 (n_tables,) of as many of each table drawn from the law."""
    squares = np.array([one.z**2 for one in mine])
    se = float(squares.std(ddof=1) / np.sqrt(len(squares))) if len(squares) > 1 else float("inf")
    mean = float(squares.mean())
    return Misses(
        len(mine),
        mean,
        se,
        expected=float(np.median(drawn_means)),
        p_value=float((1 + np.sum(drawn_means >= mean)) / (1 + len(drawn_means))),
        rmsle=_rmsle_of(mine),
    )


def rmsle(predicted: np.ndarray, observed: np.ndarray) -> float:
    """Root mean square of ln predicted - ln observed, both (n,); infinite where one is no error at all, or less."""
    if min(predicted.min(), observed.min()) <= 1e-12:
        return float("inf")
    return float(np.sqrt(np.square(np.log(predicted / observed)).mean()))


def _rmsle_of(predictions: Sequence[HeldOut]) -> float:
    return rmsle(np.array([one.predicted for one in predictions]), np.array([one.observed for one in predictions]))


def rmsle_at(validation: Validation, law: str, distance: float) -> float | None:
    """RMSLE of the law's predictions at a distance of at least `distance` in ln n; None beyond all of them."""
    beyond = [one for one in validation.predictions if one.law == law and one.distance >= distance - 1e-9]
    return _rmsle_of(beyond) if beyond else None
