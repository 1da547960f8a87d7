"""The fast interval: two-way delta method, no resampling, for dashboards and planning.

Each run r moves ln m by L_r. With x_rj the error of run r on problem j, y_c the mean of its cell,
    u_rj = L_r (x_rj - mean_j x_rj) / J
    V = sum_j (sum_r u_rj)^2  +  S/(S-1) sum_r L_r^2 (mean_j x_rj - y_c)^2  -  sum_c (sum_{r in c} L_r^2) s2_within(c)
problems, plus seeds, less the test noise that both terms contain. The textbook intersection sum u^2 in place of the
last term under-covers, because the scores are centred a run. Where runs of one seed move together the second term
sums L_r (mean_j x_rj - y_c) over the seed's runs before it squares. Where arms are paired by seed (pairing.py) the last
two terms are L' K L / S, K the covariance of the runs of one seed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.noise.draws import Draws
from analysis.noise.seeds import (
    bernoulli_unit,
    common_between_cells,
    count_correlation,
    seed_clusters,
    within_seed_variance,
)
from analysis.tables.table import Table
from analysis.worth.comparison import Comparison
from analysis.worth.shape import pooled_draws


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
    table, seeds = drawn.table, drawn.seeds
    if drawn.replicates is not None:
        return float(influence @ drawn.replicates.covariance() @ influence), seeds.df
    if table.kind == "errors":
        return float(np.square(influence) @ drawn.variance), seeds.df
    n_seeds = table.cells["n_seeds"].to_numpy(float)
    grown = seeds.growth.scale(table.cells["size"].to_numpy(float))[:, 0]
    excess = np.square(influence * grown * bernoulli_unit(table)) * seeds.phi
    problems = (_outcome_variance if table.kind == "outcomes" else _count_variance)(table, influence)
    many = (influence != 0) & (n_seeds > 1)
    pairing = seeds.pairing_of(set(table.cells["arm"][influence != 0]))
    if pairing is not None:
        used = np.flatnonzero(influence)
        arm = np.searchsorted(pairing.arms, table.cells["arm"].to_numpy(str)[used])
        moved = (influence * bernoulli_unit(table) / np.sqrt(n_seeds))[used]
        covariance = pairing.between(arm, table.cells["size"].to_numpy(float)[used])
        return problems + float(moved @ covariance @ moved), pairing.df
    if not many.any():
        return problems + float((excess / n_seeds).sum()), seeds.df
    used = many[table.cell_of_run]
    error = table.runs["error"].to_numpy(float)
    gap = (influence / n_seeds)[table.cell_of_run] * (error - table.cells["error"].to_numpy(float)[table.cell_of_run])
    gap = (np.sqrt(n_seeds / np.maximum(n_seeds - 1, 1))[table.cell_of_run] * gap)[used]
    df = float((n_seeds[many] - 1).sum())
    if seeds.phi_shared > 0:
        clusters, n_clusters = seed_clusters(table, used)
        gap = np.bincount(clusters, weights=gap)
        df = float(max(n_clusters - len(np.unique(table.cells["arm"].to_numpy(str)[many])), 1))
    noise = float((np.square(influence) / n_seeds * within_seed_variance(table))[many].sum())
    alone = (influence != 0) & (n_seeds == 1)
    return problems + max(0.0, float(np.square(gap).sum()) - noise) + float(excess[alone].sum()), df


def _outcome_variance(table: Table, influence: np.ndarray) -> float:
    """Variance by problems: each problem's own score, its runs summed first."""
    of_run = (influence / table.cells["n_seeds"].to_numpy(float))[table.cell_of_run]
    out = 0.0
    for block in table.blocks:
        rows = np.flatnonzero(of_run[block.rows] != 0)
        u = of_run[block.rows][rows] @ (block.errors[rows] - block.errors[rows].mean(axis=1, keepdims=True))
        out += float(np.square(u / block.errors.shape[1]).sum())
    return out


def _count_variance(table: Table, influence: np.ndarray) -> float:
    """The same from counts: what each run and each cell has for itself, and what all have in common."""
    n_test, n_seeds = table.cells["n_test"].to_numpy(float), table.cells["n_seeds"].to_numpy(float)
    r, scaled = count_correlation(table), influence * np.sqrt(bernoulli_unit(table) / n_test)
    own = (1 - r) * float((np.square(scaled) / n_seeds).sum())
    if not table.is_unpaired:
        common = float(common_between_cells(r))
        return own + (r - common) * float(np.square(scaled).sum()) + common * float(scaled.sum() ** 2)
    arms = np.unique(table.cells["arm"].to_numpy(str), return_inverse=True)[1]
    return own + float(np.square(np.bincount(arms, weights=scaled)).sum())
