"""Draws of all cell means at once, so that every contrast, law and arm sees the same ones.

What the data permit decides the method:
    outcomes  problems resampled jointly for all runs + excess seed variance
    replicates  Student's t over replicates of the whole experiment (replicates.py)
    counts    binomial, less what the runs share, + excess seed variance
    errors    residuals of each arm's curve under Webb's six-point weights, HC3-scaled (a wild bootstrap), or normal
              with the given standard errors and what the residuals show beyond them
The excess is the part of the variance between seeds that test sampling does not already explain; resampling seeds
as well would count the test noise twice.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.noise.levels import with_levels
from analysis.noise.replicates import Replicates, replicate_notes, replicates_of
from analysis.noise.scatter import Scatter, least_scatter, scatter_about
from analysis.noise.seeds import (
    LEAST_COMMON,
    MOST_SHARED,
    SeedNoise,
    bernoulli_unit,
    cell_means_by_problem,
    common_between_cells,
    count_correlation,
    least_error,
    n_outcomes,
    seed_noise,
)
from analysis.notes import Note, note
from analysis.tables.table import Table
from sweep.terminal.progress import counted

METHODS = {
    "replicates": "Student's t over replicates",
    "outcomes": "paired problem bootstrap + excess seed variance",
    "unpaired": "problem bootstrap of each arm + excess seed variance",
    "counts": "binomial less what runs share + excess seed variance",
    "errors": "wild cluster bootstrap of cell means (Webb)",
    "stderr": "normal with given standard errors + lack of fit",
}
MANY_PROBLEMS = 20_000
WEBB = np.array([-np.sqrt(1.5), -1.0, -np.sqrt(0.5), np.sqrt(0.5), 1.0, np.sqrt(1.5)])


@dataclass(frozen=True, eq=False)
class Draws:
    """Cell means, observed and drawn.

    Args:
        table: where they come from; its `cells` are the columns.
        errors: (n_draws, n_cells).
        variance: (n_cells,) sampling variance of a cell mean (test problems and seeds).
        fit_variance: (n_cells,) what residuals are judged by: `variance`, or with one seed a cell the test noise
            alone, since seed variance is then itself read off the residuals.
        weights: (n_cells,) of the fits, inverse variances at the smoothed error, mean 1 within an arm.
        seeds: the seed variance in the draws; its df stands behind the interval.
        method: a value of METHODS.
        replicates: what the draws are of where replicates of the whole experiment were run, else None.
    """

    table: Table
    errors: np.ndarray
    variance: np.ndarray
    fit_variance: np.ndarray
    weights: np.ndarray
    seeds: SeedNoise
    method: str
    notes: tuple[Note, ...]
    replicates: Replicates | None = None

    @property
    def is_noise_from_residuals(self) -> bool:
        """What runs of a cell differ by is read off the residuals of curves, which cannot be judged by it then."""
        if self.table.n_replicates:
            return False
        trained = self.table.cells["x"] > 0
        return self.table.kind == "errors" or bool((self.table.cells.loc[trained, "n_seeds"] == 1).all())

    def of_new(self, n_new: int) -> Draws:
        """What the cell means of `n_new` further replicates would be.

        Raises:
            ValueError: the table has no replicates, so how new ones would differ is not known.
        """
        if self.replicates is None:
            raise ValueError(f"{self.table.path} has no replicates: nothing tells how new ones would differ")
        return dataclasses.replace(self, errors=self.replicates.of_new(self.errors, n_new))

    @property
    def observed(self) -> np.ndarray:
        """(n_cells,) mean errors; a cell without one error has `least_error`."""
        return np.maximum(self.table.cells["error"].to_numpy(float), least_error(self.table))


def draws(table: Table, n_draws: int = 4000, seed: int = 0) -> Draws:
    """`n_draws` draws of all cell means of the table.

    Raises:
        ValueError: fewer than 100 draws (a 95 % interval needs tails).
    """
    if n_draws < 100:
        raise ValueError(f"n_draws={n_draws}: an interval needs at least 100 draws; 4000 is the default")
    rng = np.random.default_rng(seed)
    if table.n_replicates:
        return _replicate_draws(table, n_draws, rng)
    if table.kind == "errors":
        return _residual_draws(table, n_draws, rng)
    unit, seeds = bernoulli_unit(table), seed_noise(table)
    n_seeds = table.cells["n_seeds"].to_numpy(float)
    by_kind = _problem_draws if table.kind == "outcomes" else _count_draws
    errors, noise, notes = by_kind(table, n_draws, rng)
    notes = seeds.notes + notes
    errors = errors + seeds.draw(table, n_draws, rng)
    noise = np.maximum(noise, 0.25 * unit / np.maximum(1.0, n_outcomes(table)))
    variance = noise + seeds.variance(table)
    return Draws(
        table=table,
        errors=np.maximum(errors, least_error(table)),
        variance=variance,
        fit_variance=noise if (n_seeds[table.cells["x"] > 0] == 1).all() else variance,
        weights=cell_weights(table, seeds.phi),
        seeds=seeds,
        method=METHODS["unpaired" if len(table.blocks) > 1 else table.kind],
        notes=table.notes + notes + _missing_notes(table) + _zero_notes(table),
    )


def _missing_notes(table: Table) -> tuple[Note, ...]:
    """Cells with fewer seeds than others of their arm: nothing is read seed by seed then."""
    trained = table.cells[table.cells["x"] > 0]
    most = trained.groupby("arm")["n_seeds"].transform("max")
    fewer = [f"{row.arm} at {row.size:g} has {row.n_seeds} of {n}"
             for row, n in zip(trained.itertuples(), most, strict=True) if row.n_seeds < n]  # fmt: skip
    text = f"not every seed was run at every size: {', '.join(fewer)}; no value is shown seed by seed"
    return (note("missing_seeds", text),) if fewer else ()


def _zero_notes(table: Table) -> tuple[Note, ...]:
    """That cells without one error are taken to have half of one."""
    empty = [f"{row.arm} at {row.size:g}" for row in table.cells.itertuples() if row.error == 0]
    text = f"no error at all in {', '.join(empty)}: its noise cannot be judged, and it is read as half an error"
    return (note("zero_errors", text),) if empty else ()


def _replicate_draws(table: Table, n_draws: int, rng: np.random.Generator) -> Draws:
    found = replicates_of(table)
    variance = np.maximum(np.diag(found.covariance()), 1e-12)
    phi = float(np.square(found.deviations).sum() / np.maximum(found.n_of_cell - 1, 0).sum())
    df = float(len(found.names) - 1)
    return Draws(
        table=table,
        errors=np.maximum(found.draw(n_draws, rng), least_error(table)),
        variance=variance,
        fit_variance=variance,
        weights=cell_weights(table, phi),
        seeds=SeedNoise(phi, 0.0, df, np.inf, ()),
        method=METHODS["replicates"],
        notes=table.notes + replicate_notes(table, found) + _zero_notes(table),
        replicates=found,
    )


def _problem_draws(
    table: Table, n_draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[Note, ...]]:
    """Cell means under resampled problems (n_draws, n_cells), their variance (n_cells,), and notes.

    One multinomial weight vector a draw and block serves all its runs: what the runs share cancels in contrasts.
    """
    n_cells = len(table.cells)
    errors, variance = np.empty((n_draws, n_cells)), np.empty(n_cells)
    notes: tuple[Note, ...] = ()
    for block in table.blocks:
        cells, means = cell_means_by_problem(table, block)
        n_problems = means.shape[1]
        if n_problems > MANY_PROBLEMS:
            centred = means - means.mean(axis=1, keepdims=True, dtype=float).astype(np.float32)
            covariance = (centred @ centred.T).astype(float) / n_problems**2
            root = np.linalg.cholesky(covariance + np.eye(len(cells)) * 1e-15)
            errors[:, cells] = means.mean(axis=1, dtype=float) + rng.standard_normal((n_draws, len(cells))) @ root.T
            variance[cells] = np.diag(covariance)
            notes = (
                note(
                    "normal_approximation",
                    f"{n_problems} problems: cell means are drawn from their joint "
                    "normal distribution, which at this number is the bootstrap's",
                ),
            )
            continue
        for start in counted(range(0, n_draws, 500), "drawing 500 at a time"):
            stop = min(start + 500, n_draws)
            errors[start:stop, cells] = _multinomial(stop - start, n_problems, rng) @ means.T / n_problems
        variance[cells] = means.var(axis=1, dtype=float) / n_problems
    return errors, variance, notes


def _count_draws(
    table: Table, n_draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, tuple[Note, ...]]:
    """Cell means (n_draws, n_cells), their variance (n_cells,), and notes, from counts.

    A run's noise is v/J = p (1 - p)/J, of which a share r, the correlation of outcomes on one problem, is common to the
    seeds of a cell and read off their scatter. Of that again a part is common to all runs on the same problems and
    cancels in contrasts: how much counts do not show, and each draw takes another part (`common_between_cells`). Where
    arms were tested on different problems nothing cancels, and since the scatter gives r only from below, r = 1 is
    taken.
    """
    p, n_seeds, n_test = (table.cells[name].to_numpy(float) for name in ("error", "n_seeds", "n_test"))
    r, n_all = count_correlation(table), n_test * n_seeds
    own = rng.binomial(n_all.astype(np.int64), p, size=(n_draws, len(p))) / n_all - p
    if r > 0:
        df = float((n_seeds - 1).sum())
        own *= np.sqrt((1 - r) * df / rng.chisquare(df, size=(n_draws, 1)))
    arms = np.unique(table.cells["arm"].to_numpy(str), return_inverse=True)[1]
    group, unit = arms if table.is_unpaired else np.zeros_like(arms), p * (1 - p) / n_test
    every = rng.standard_normal((n_draws, group.max() + 1))[:, group]
    if table.is_unpaired:
        errors, share = p + own + np.sqrt(unit) * every, unit
    else:
        common = common_between_cells(r, rng.random((n_draws, 1)))
        of_cell = np.sqrt((r - common) * unit) * rng.standard_normal((n_draws, len(p)))
        errors, share = p + own + of_cell + np.sqrt(common * unit) * every, r * unit
    return errors, (1 - r) * p * (1 - p) / n_all + share, (_counts_only(table, r),)


def _counts_only(table: Table, r: float) -> Note:
    """What is not known where counts stand for outcomes, and what is taken to be so."""
    if table.is_unpaired:
        said = (
            "arms were tested on different problems, so nothing cancels between them, and all of a run's test noise is "
            "taken to be common to its arm, which is the most it can be"
        )
        return note("counts_only", f"counts do not say which problems were missed: {said}")
    known = "what they share cannot be seen, and none of it is taken to cancel"
    if (table.cells["n_seeds"] > 1).any():
        known = (
            f"what they share is {r:.0%} of it, and runs of other arms and sizes are taken to have from "
            f"{LEAST_COMMON:.0%} of that in common to all of it, and no more than {MOST_SHARED:.0%} of their noise"
        )
    said = (
        "all runs are taken to have been tested on the same problems; by the scatter between seeds, which is all that "
        f"shows their test noise, {known}; give outcomes to see it; if the arms had different problems the interval is "
        "far too narrow: say --unpaired"
    )
    return note("counts_only", f"counts do not say which problems were missed: {said}")


def _multinomial(n_draws: int, n_problems: int, rng: np.random.Generator) -> np.ndarray:
    """(n_draws, n_problems) how often each problem was drawn, n_problems in all."""
    picks = rng.integers(0, n_problems, size=(n_draws, n_problems), dtype=np.int32)
    picks += np.arange(n_draws, dtype=np.int32)[:, None] * n_problems
    return np.bincount(picks.ravel(), minlength=n_draws * n_problems).reshape(n_draws, n_problems).astype(np.float32)


def cell_weights(table: Table, phi: float) -> np.ndarray:
    """(n_cells,) inverse variance at the smoothed error, so that a lucky cell does not gain weight; mean 1 an arm."""
    out = np.ones(len(table.cells))
    if table.kind == "errors":
        if "stderr" in table.cells:
            out = 1.0 / np.square(table.cells["stderr"].to_numpy(float))
            for arm in table.arms:
                out[table.cells_of(arm)] /= out[table.cells_of(arm)].mean()
        return out
    n_seeds, n_all = table.cells["n_seeds"].to_numpy(float), n_outcomes(table)
    for arm in table.arms:
        cells = table.cells_of(arm)
        p = table.cells["error"].to_numpy(float)[cells]
        for _ in range(2 if len(cells) > 2 else 1):
            p = np.clip(p, 0.5 / n_all[cells], 1 - 0.5 / n_all[cells])
            unit = p * (1 - p)
            weights = 1.0 / (unit / n_all[cells] + phi * unit**2 / n_seeds[cells])
            out[cells] = weights / weights.mean()
            if len(cells) > 2:
                p = (
                    table.cells["error"].to_numpy(float)[cells]
                    - scatter_about("power", table, cells, out[cells]).residuals
                )
    return out


def _residual_draws(table: Table, n_draws: int, rng: np.random.Generator) -> Draws:
    """Draws for cell means without outcomes or counts: the residuals of the curves are all there is."""
    p, weights = table.cells["error"].to_numpy(float), cell_weights(table, 0.0)
    curves = {arm: table.cells_of(arm) for arm in table.arms if len(table.cells_of(arm)) > 2}
    if not curves:
        raise ValueError(
            f"{table.path}: no arm has 3 sizes, so errors without counts leave nothing to judge the noise by; give "
            "outcomes, counts or --stderr"
        )
    _refuse_flat(table, p, curves)
    by_arm = {arm: least_scatter(table, cells, weights[cells]) for arm, cells in curves.items()}
    n_free = sum(found.n_free for found in by_arm.values())
    known = np.zeros(len(p))
    if "stderr" in table.cells:
        known = (table.cells["stderr"] / np.sqrt(table.cells["n_seeds"])).to_numpy(float)
    top = sum(
        float(np.square(by_arm[arm].residuals).sum() - np.square(known[cells]).sum() * by_arm[arm].n_free / len(cells))
        for arm, cells in curves.items()
    )
    spread = np.sqrt(max(top, 0.0) / n_free)
    errors = np.repeat(p[None], n_draws, axis=0)
    for arm in table.arms:
        cells = table.cells_of(arm)
        errors[:, cells] += _scatter(by_arm.get(arm), known[cells], spread, n_free, n_draws, rng)
    errors, of_seeds = with_levels(table, np.maximum(errors, least_error(table)), rng)
    return Draws(
        table=table,
        errors=np.maximum(errors, least_error(table)),
        variance=known**2 + spread**2,
        fit_variance=known**2 + spread**2,
        weights=weights,
        seeds=SeedNoise(0.0, 0.0, float(n_free), np.inf, ()),
        method=METHODS["stderr" if known.any() else "errors"],
        notes=table.notes + _residual_notes(table, n_free, of_seeds) + _missing_notes(table),
    )


def _refuse_flat(table: Table, p: np.ndarray, curves: Mapping[str, np.ndarray]) -> None:
    if all(np.ptp(p[cells]) == 0 for cells in curves.values()):
        raise ValueError(
            f"{table.path}: every arm errs equally much at all of its sizes, so there is no scatter to judge the noise "
            "by and no size that an error stands for; give counts (n_correct, n_test) or outcomes, or run other sizes"
        )


def _residual_notes(table: Table, n_free: int, of_seeds: tuple[Note, ...]) -> tuple[Note, ...]:
    beside = ", but for what runs of a seed share" if of_seeds else ""
    text = (
        f"errors without counts or outcomes: the scatter of {n_free} spare cells about the curves stands for all noise"
    )
    notes: tuple[Note, ...] = (note("cell_means_only", text + beside), *of_seeds)
    trained = table.cells[table.cells["x"] > 0]
    if alone := [arm for arm in table.arms if (trained.loc[trained["arm"] == arm, "n_seeds"] == 1).all()]:
        where = "" if len(alone) == len(table.arms) else f" in {', '.join(alone)}"
        notes += (note("one_seed", f"one training run a cell{where}: the interval is conditional on these runs"),)
    return notes


def _scatter(
    of_curve: Scatter | None,
    known: np.ndarray,
    spread: float,
    n_free: int,
    n_draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """(n_draws, n_cells) noise of one arm's cell means.

    Args:
        of_curve: the scatter about its curve; None where it has too few sizes for one.
        known: (n_cells,) the given standard errors; zeros where none was given.
        spread: what the residuals of all curves show beyond them, on n_free degrees of freedom.
    """
    shape = (n_draws, len(known))
    factor = stats.t.ppf(0.975, n_free) / stats.norm.ppf(0.975)
    if known.any():
        return rng.standard_normal(shape) * np.sqrt(known**2 + spread**2)
    if of_curve is not None:
        return rng.choice(WEBB, size=shape) * of_curve.residuals / (1 - of_curve.leverages) * factor
    return rng.standard_normal(shape) * spread * factor
