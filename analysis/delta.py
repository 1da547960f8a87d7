"""The fast interval: two-way delta method, no resampling, for dashboards and planning.

Each run r moves ln m by L_r. With x_rj the error of run r on problem j, y_c the mean of its cell,
    u_rj = L_r (x_rj - mean_j x_rj) / J
    V = sum_j (sum_r u_rj)^2  +  S/(S-1) sum_r L_r^2 (mean_j x_rj - y_c)^2  -  sum_c (sum_{r in c} L_r^2) s2_within(c)
problems, plus seeds, less the test noise that both terms contain. The textbook intersection sum u^2 in place of the
last term under-covers, because the scores are centred a run. Where runs of one seed move together the second term
sums L_r (mean_j x_rj - y_c) over the seed's runs before it squares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.multiplier import Comparison
from analysis.resample import Draws
from analysis.seeds import within_seed_variance
from analysis.shape import pooled_draws
from analysis.table import Table


@dataclass(frozen=True)
class DeltaInterval:
    """ln m, its standard error and degrees of freedom, and the limits of m."""

    ln_m: float
    se: float
    df: float
    low: float
    high: float


def delta_interval(comparison: Comparison, arm: str, baseline: str, *, at_error: float | None = None) -> DeltaInterval:
    """Two-way delta interval of m at an error, or of the shared-shape multiplier where none is given.

    Raises:
        ValueError: the point estimate does not exist (a curve does not reach the error).
    """
    cells = np.concatenate([comparison.draws.table.cells_of(one) for one in sorted((arm, baseline))])
    influence, ln_m = _influence(comparison, cells, _estimate(arm, baseline, at_error, comparison))
    if not np.isfinite(ln_m) or not np.all(np.isfinite(influence)):
        raise ValueError(
            f"{arm} over {baseline}: no multiplier exists at this error, so no delta interval either; "
            "ask for the bound with the bootstrap"
        )
    full = np.zeros(len(comparison.draws.table.cells))
    full[cells] = influence
    variance, df = influence_variance(comparison.draws, full)
    t = stats.t.ppf((1 + comparison.level) / 2, df) if np.isfinite(df) else stats.norm.ppf((1 + comparison.level) / 2)
    se = float(np.sqrt(variance))
    return DeltaInterval(ln_m, se, df, float(np.exp(ln_m - t * se)), float(np.exp(ln_m + t * se)))


def _estimate(
    arm: str, baseline: str, at_error: float | None, comparison: Comparison
) -> Callable[[Comparison], np.ndarray]:
    """(1 + n_rows,) ln m of each row of cell means."""
    law = comparison.law_of(arm, baseline)
    if at_error is not None:
        return lambda one: one.ln_m(arm, baseline, np.array([at_error]), law)[:, 0]

    def pooled(one: Comparison) -> np.ndarray:
        distance, slope = pooled_draws(one, arm, baseline)
        return distance / slope

    return pooled


def _influence(
    comparison: Comparison, cells: np.ndarray, estimate: Callable[[Comparison], np.ndarray]
) -> tuple[np.ndarray, float]:
    """d ln m / d y_c by central differences through the fit, (n_cells,), and ln m."""
    drawn = comparison.draws
    steps = np.maximum(1e-5 * drawn.observed[cells], 1e-7)
    rows = np.repeat(drawn.observed[None], 2 * len(cells), axis=0)
    for k, cell in enumerate(cells):
        rows[2 * k, cell] += steps[k]
        rows[2 * k + 1, cell] -= steps[k]
    nudged = dataclasses.replace(drawn, errors=rows)
    ln_m = estimate(Comparison(nudged, level=comparison.level, law=comparison.asked_law))
    with np.errstate(invalid="ignore"):
        return (ln_m[1::2] - ln_m[2::2]) / (2 * steps), float(ln_m[0])


def influence_variance(drawn: Draws, influence: np.ndarray) -> tuple[float, float]:
    """Variance of sum_c L_c y_c and its degrees of freedom, from outcomes, counts or what the draws say."""
    table = drawn.table
    if table.kind == "errors":
        return float(np.square(influence) @ drawn.variance), drawn.df
    n_seeds = table.cells["n_seeds"].to_numpy(float)
    of_run = (influence / n_seeds)[table.cell_of_run]
    used = influence != 0
    if table.kind == "outcomes":
        problems = 0.0
        for block in table.blocks:
            rows = np.flatnonzero(of_run[block.rows] != 0)
            u = of_run[block.rows][rows] @ (block.errors[rows] - block.errors[rows].mean(axis=1, keepdims=True))
            problems += float(np.square(u / block.errors.shape[1]).sum())
    else:
        problems = float(np.square(influence[used]) @ drawn.variance[used]) - float(
            np.square(influence) @ (drawn.phi * _unit_squared(table) / n_seeds)
        )
    many = used & (n_seeds > 1)
    if not many.any():
        return problems + float(np.square(influence) @ (drawn.phi * _unit_squared(table) / n_seeds)), drawn.df
    within = within_seed_variance(table)
    error = table.runs["error"].to_numpy(float)
    gap = of_run * (error - table.cells["error"].to_numpy(float)[table.cell_of_run])
    share = (n_seeds / np.maximum(n_seeds - 1, 1))[table.cell_of_run]
    gap = (np.sqrt(share) * gap)[many[table.cell_of_run]]
    df = float((n_seeds[many] - 1).sum())
    if drawn.df_clusters is not None:
        keys = table.runs["arm"].astype(str) + "\x00" + table.runs["seed"].astype(str)
        clusters = np.unique(keys.to_numpy(str)[many[table.cell_of_run]], return_inverse=True)[1]
        gap = np.bincount(clusters, weights=gap)
        n_arms = len(np.unique(table.cells["arm"].to_numpy(str)[many]))
        df = float(max(len(gap) - n_arms, 1))
    seeds = float(np.square(gap).sum())
    noise = float((np.square(influence) / n_seeds * within)[many].sum())
    alone = used & (n_seeds == 1)
    borrowed = float((np.square(influence) * drawn.phi * _unit_squared(table))[alone].sum())
    return problems + max(0.0, seeds - noise) + borrowed, df


def _unit_squared(table: Table) -> np.ndarray:
    p = table.cells["error"].to_numpy(float)
    return np.square(p * (1 - p))
