"""Seed variance: what runs of one cell differ by beyond the noise of their finite test set.

In units of [p (1 - p)]^2: phi in all at the middle of the sizes, from where it may grow or shrink (growth.py), of which
phi_shared is common to the runs of one seed of one arm over all sizes. Nested data sets (the first 1,000 problems
inside the first 2,000) and a shared starting point make runs of one seed move together; they are then one cluster, not
independent runs. The shared part is used only where it is seen, and it only ever widens an interval.

Arms of one seed have more in common than their problems; where enough of them were run with the same sizes and seeds
their effects are drawn together (pairing.py), and what they share cancels in contrasts.

Counts do not say which problems were missed. Runs that scatter by less than binomial noise show that problems are
easy or hard for all of them: what is missing is the correlation of two runs' outcomes on one problem.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from analysis.noise.growth import Growth, growth_of, none_seen
from analysis.noise.pairing import Pairing, pairings
from analysis.noise.scatter import least_scatter
from analysis.notes import Note, note
from analysis.tables.table import Block, Table

Z_SHARED = float(stats.norm.ppf(0.90))
FEW_CLUSTERS = 4  # degrees of freedom between seeds below which a smaller estimate of the shared part counts
Z_FEW = 0.5
LEAST_ERROR = 1e-9  # of a table of errors


@dataclass(frozen=True)
class SeedNoise:
    """phi, its shared part, the degrees of freedom behind each (inf: not estimated), and what to say about them.

    noise_shared: of the mean square of a seed's mean over sizes, which phi_shared is read from, what runs make that
        differ by themselves, and the test set.
    pairings: arms that are drawn together, by their own variances; the others are independent, with phi and `growth`.
    """

    phi: float
    phi_shared: float
    df: float
    df_shared: float
    notes: tuple[Note, ...]
    noise_shared: float = 0.0
    pairings: tuple[Pairing, ...] = ()
    growth: Growth = field(default_factory=none_seen)

    def draw(self, table: Table, n_draws: int, rng: np.random.Generator) -> np.ndarray:
        """(n_draws, n_cells) seed noise of the cell means; what is not known of a variance is a factor a draw.

        What runs of a seed share is a mean square less noise that is known better: a draw of it is a draw of that mean
        square less the noise, so that seeds that happen to agree are not taken to do so always.
        """
        if self.phi == 0 and np.isinf(self.df_shared):
            return np.zeros((n_draws, len(table.cells)))
        trained = (table.cells["x"] > 0).to_numpy()
        arms, arm = np.unique(table.cells["arm"].to_numpy(str), return_inverse=True)
        sizes, size = np.unique(table.cells["size"].to_numpy(float), return_inverse=True)
        own = rng.standard_normal((n_draws, len(sizes), len(arms))) * np.sqrt(_scale(self.df, n_draws, rng))
        common = rng.standard_normal((n_draws, 1, len(arms)))
        of_means = (self.phi_shared + self.noise_shared) * _scale(self.df_shared, n_draws, rng)
        common *= np.sqrt(np.maximum(of_means - self.noise_shared, 0.0))
        effects = np.sqrt(self.phi - self.phi_shared) * own + common
        effects *= self.growth.drawn(sizes, rng.random((n_draws, 1)))
        for pairing in self.pairings:
            effects[:, :, np.searchsorted(arms, pairing.arms)] = pairing.draw(n_draws, sizes, rng)
        drawn = effects[:, size, arm]
        n_seeds = table.cells["n_seeds"].to_numpy(float)
        return drawn * trained * bernoulli_unit(table) / np.sqrt(n_seeds)

    def pairing_of(self, arms: Iterable[str]) -> Pairing | None:
        """The pairing that holds all of these arms."""
        return next((one for one in self.pairings if set(arms) <= set(one.arms)), None)

    def variance(self, table: Table) -> np.ndarray:
        """(n_cells,) variance of a cell mean that seeds make beyond the noise of the test set."""
        sizes = table.cells["size"].to_numpy(float)
        phi = self.phi * np.square(self.growth.scale(sizes)[:, 0])
        for pairing in self.pairings:
            for arm, each in zip(pairing.arms, pairing.variances(sizes).T, strict=True):
                phi = np.where(table.cells["arm"] == arm, each, phi)
        return phi * bernoulli_unit(table) ** 2 / table.cells["n_seeds"].to_numpy(float)


def _scale(df: float, n_draws: int, rng: np.random.Generator) -> np.ndarray | float:
    """(n_draws, 1, 1) factor that carries the uncertainty of a variance known on df degrees of freedom."""
    return df / rng.chisquare(df, size=(n_draws, 1, 1)) if np.isfinite(df) else 1.0


def seed_noise(table: Table) -> SeedNoise:
    """The components of a table of outcomes or counts."""
    cells, unit = table.cells, bernoulli_unit(table)
    n_seeds = cells["n_seeds"].to_numpy()
    between = table.runs["error"].groupby(table.cell_of_run).var().to_numpy()
    many = (n_seeds > 1) & (cells["x"].to_numpy() > 0)
    if not many.any():
        phi, df = _lack_of_fit(table, unit)
        text = (
            "one training run a cell: the interval is conditional on these runs; seed variance is taken from the "
            f"scatter about the curves (phi {phi:.3g}), a lower bound"
        )
        return SeedNoise(phi, 0.0, df, np.inf, (note("one_seed", text),))
    dof = n_seeds[many] - 1
    within = within_seed_variance(table) / unit**2
    squares = between[many] / unit[many] ** 2
    sizes = cells["size"].to_numpy(float)
    growth = growth_of(sizes[many], squares[:, None], within[many, None], dof.astype(float))
    at_middle = np.square(growth.scale(sizes)[:, 0])
    total = squares / at_middle[many]
    ratio = total - (within / at_middle)[many]
    phi, df = max(0.0, float(np.average(ratio, weights=dof))), float(dof.sum())
    mean_total = float(np.average(total, weights=dof))
    common = _common(table, unit * np.sqrt(at_middle), within / at_middle, mean_total, phi)
    notes = common.notes
    alone = sorted(set(cells.loc[(n_seeds == 1) & (cells["x"] > 0), "arm"]))
    if alone:
        text = f"one training run a cell in {', '.join(alone)}: seed variance is borrowed from the other arms"
        notes += (note("one_seed", text),)
    if df < 12:
        notes += (note("few_seeds", f"seed variance rests on {df:g} degrees of freedom"),)
    phi = common.own + common.variance
    paired = pairings(table, unit, within * unit**2) if phi > 0 else ()
    for one in paired:
        notes += (note("paired_seeds", _paired_text(one)),)
    return SeedNoise(phi, common.variance, df, common.df, notes, common.noise, paired, growth)


def _paired_text(one: Pairing) -> str:
    low, high = one.correlations.min(), one.correlations.max()
    effect = "cancel" if low >= 0 else "add up" if high <= 0 else "cancel where positive and add up where negative,"
    together = "together" if low >= 0 else "against each other" if high <= 0 else "together or against each other"
    return (
        f"runs of one seed move {together} over {', '.join(one.arms)}, which have the same sizes and seeds: "
        f"correlations {low:.2f} to {high:.2f} of their seed effects, which {effect} in contrasts"
    )


@dataclass(frozen=True)
class _Common:
    """What runs of a seed share over sizes, in units squared: its variance, the runs' own beside it, the degrees of
    freedom of the mean square it is read from (inf: it is not used), and what noise adds to that."""

    variance: float
    own: float
    df: float
    noise: float
    notes: tuple[Note, ...]


def _common(table: Table, unit: np.ndarray, within: np.ndarray, total: float, phi: float) -> _Common:
    """Whether runs of a seed go together is told by products of a seed's deviations at two sizes, in `unit`s.

    Deviations are from the cell's mean, so a product has expectation phi_shared (S - 1)/S; with independent runs its
    standard deviation is about total (S - 1)/S. An estimate below Z_SHARED of these is taken as 0, since a laxer test
    would widen every interval; but few clusters hide from it, and then Z_FEW is enough (LOG.md has the numbers). Where
    runs go together, by how much is read off the mean square of a seed's mean over its sizes, less the noise in it.

    Args:
        within: (n_cells,) variance of one run that the test set makes.
        total: between runs of a cell; phi: what of it is beyond the test set's noise.
    """
    seen = shared_over_sizes(table, unit, total)
    if seen is None:
        return _Common(0.0, phi, np.inf, 0.0, ())
    notes = _few_clusters(table, seen.used)
    if seen.z <= (Z_SHARED if seen.df >= FEW_CLUSTERS else Z_FEW):
        return _Common(0.0, phi, np.inf, 0.0, notes)
    own = max(phi - seen.estimate, 0.0)
    noise = float(
        (np.bincount(seen.cluster, weights=within[table.cell_of_run[seen.used]] + own) / seen.n_runs**2).mean()
    )
    variance = max(seen.of_means - noise, 0.0)
    share = variance / (own + variance) if variance else 0.0
    text = f"runs of one seed move together over sizes ({share:.0%} of the seed variance): one cluster"
    return _Common(variance, own, seen.df, noise, (note("seed_clusters", text), *notes))


@dataclass(frozen=True, eq=False)
class Shared:
    """What runs of one seed share over sizes, from products of its deviations at two sizes.

    Args:
        estimate: of the shared variance, in units squared; z: in its standard deviations if runs are independent.
        share: of the variance between seeds, at most 1; df: clusters less arms.
        of_means: mean square of a seed's mean over its sizes, in units squared, with the noise of its runs in it.
        used: (n_runs,) the runs it is read from: trained ones of cells with two seeds or more.
        cluster: (n_used,) the seed of an arm that each is of; n_runs: (n_clusters,) how many each has.
    """

    estimate: float
    z: float
    share: float
    df: float
    of_means: float
    used: np.ndarray
    cluster: np.ndarray
    n_runs: np.ndarray


def shared_over_sizes(table: Table, unit: np.ndarray, total: float | None = None) -> Shared | None:
    """What is seen of it; None where no seed of a cell with two was run at two sizes, or seeds differ by nothing.

    Args:
        unit: (n_cells,) in which deviations are measured.
        total: the variance between seeds in units squared; None: the mean over cells.
    """
    cell = table.cell_of_run
    n_seeds = table.cells["n_seeds"].to_numpy()[cell]
    used = (n_seeds > 1) & (table.runs["x"].to_numpy() > 0)
    if not used.any():
        return None
    gap = (table.runs["error"].to_numpy(float) - table.cells["error"].to_numpy(float)[cell]) / unit[cell]
    keys, n_clusters = seed_clusters(table, used)
    df = float(max(n_clusters - len(np.unique(table.runs["arm"].to_numpy(str)[used])), 1))
    sums, squares, sizes = (np.bincount(keys, weights=each) for each in (gap[used], gap[used] ** 2, np.ones(len(keys))))
    n_pairs = float((sizes * (sizes - 1) / 2).sum())
    if total is None:
        total = float(np.square(gap[used]).sum() / (1 - 1 / n_seeds[used]).sum())
    if n_pairs == 0 or total <= 0:
        return None
    shrink = float(1 - 1 / n_seeds[used].mean())
    estimate = float((sums**2 - squares).sum() / 2 / n_pairs / shrink)
    of_means = float(np.square(sums / sizes).sum() / df)
    z = estimate / (total / np.sqrt(n_pairs * shrink))
    return Shared(estimate, z, min(1.0, estimate / total), df, of_means, used, keys, sizes)


def _few_clusters(table: Table, rows: np.ndarray) -> tuple[Note, ...]:
    """The warning of a contrast that rests on few seeds, however many arms lie beside its two: their seeds are often
    the same ones, and say nothing new of what runs of a seed share."""
    counts = table.runs[rows].groupby("arm", sort=False)["seed"].nunique().sort_values(kind="stable")
    fewest = counts[:2]
    if float((fewest - 1).sum()) >= FEW_CLUSTERS:
        return ()
    told = " and ".join(f"{n} seeds in {arm}" for arm, n in fewest.items())
    text = (
        f"{told}: whether runs of one seed move together (nested data sets, a shared start) can hardly be seen in "
        "them, and if they do the interval may be too narrow; a third seed helps more than another size"
    )
    return (note("few_clusters", text),)


def seed_clusters(table: Table, rows: np.ndarray) -> tuple[np.ndarray, int]:
    """(n_rows,) number of the (arm, seed) of each chosen run, and how many there are."""
    keys = (table.runs["arm"].astype(str) + "\x00" + table.runs["seed"].astype(str)).to_numpy(str)[rows]
    names, places = np.unique(keys, return_inverse=True)
    return places, len(names)


def cell_means_by_problem(table: Table, block: Block) -> tuple[np.ndarray, np.ndarray]:
    """The block's cells and (n_cells, n_problems) mean error of each problem over the cell's seeds."""
    cell_of_row = table.cell_of_run[block.rows]
    cells, starts = np.unique(cell_of_row, return_index=True)
    sums = np.add.reduceat(block.errors, starts, axis=0, dtype=np.float32)
    return cells, sums / np.diff(np.append(starts, len(cell_of_row)))[:, None].astype(np.float32)


def count_correlation(table: Table) -> float:
    """Correlation of two runs' outcomes on one problem, as counts show it: by how much runs of one cell scatter less
    than binomially; 0 where seeds add at least as much as shared problems take away, or where no cell has two runs.
    """
    cells, n_seeds = table.cells, table.cells["n_seeds"].to_numpy()
    many = (n_seeds > 1) & (cells["x"].to_numpy() > 0)
    if not many.any():
        return 0.0
    between = table.runs["error"].groupby(table.cell_of_run).var().to_numpy()[many]
    binomial = bernoulli_unit(table)[many] / cells["n_test"].to_numpy(float)[many]
    return max(0.0, 1.0 - float(np.average(between / binomial, weights=n_seeds[many] - 1)))


LEAST_COMMON, MOST_SHARED = 0.6, 0.7
"""What counts cannot show, the correlation of outcomes between runs of unlike arms or sizes: of that between seeds of
one cell it is 0.79 to 1.0 in our tables with outcomes (0.33 to 0.42 beside 0.42, 0.43 to 0.48 beside 0.52), and it is
held below that of runs that are copies."""


def common_between_cells(within: float, at: ArrayLike = 0.5) -> np.ndarray:
    """Correlation of two runs' outcomes on one problem where they are of different cells, which is taken to lie between
    the least and all of what seeds of a cell have in common, `within`.

    Args:
        at: where between, 0 to 1.
    """
    return min(within, MOST_SHARED) * (LEAST_COMMON + (1 - LEAST_COMMON) * np.asarray(at, float))


def n_outcomes(table: Table) -> np.ndarray:
    return (table.cells["n_test"] * table.cells["n_seeds"]).to_numpy(float)


def least_error(table: Table) -> np.ndarray:
    """(n_cells,) what an error of 0 is taken for: half an error of all of the cell's outcomes, where their number is
    known; curves are read in logarithms, and how far below that it lies nobody knows."""
    if "n_test" not in table.cells:
        return np.full(len(table.cells), LEAST_ERROR)
    return np.asarray(0.5 / np.maximum(1.0, n_outcomes(table)))


def bernoulli_unit(table: Table) -> np.ndarray:
    """(n_cells,) p (1 - p), held off 0 for a cell without a single error."""
    p = table.cells["error"].to_numpy(float)
    edge = least_error(table)
    p = np.clip(p, edge, 1 - edge)
    return p * (1 - p)


def within_seed_variance(table: Table) -> np.ndarray:
    """(n_cells,) variance of one run's mean that the finite test set alone makes, given the problems."""
    cells = table.cells
    if table.kind == "counts":
        p = cells["error"].to_numpy(float)
        return (1 - count_correlation(table)) * p * (1 - p) / cells["n_test"].to_numpy(float)
    within = np.zeros(len(cells))
    for block in table.blocks:
        cell_of_row = table.cell_of_run[block.rows]
        for cell in np.unique(cell_of_row):
            x = block.errors[cell_of_row == cell]
            if len(x) > 1:
                # sum of squares about the problem's mean, without a copy of the matrix in double precision
                spread = np.einsum("sj,sj->", x, x, dtype=float) - len(x) * np.square(x.mean(axis=0)).sum(dtype=float)
                within[cell] = spread / (len(x) - 1) / x.shape[1] ** 2
    return within


def _lack_of_fit(table: Table, unit: np.ndarray) -> tuple[float, float]:
    """phi from the residuals of each arm's law, less the test noise; (0, inf) with too few sizes."""
    top, bottom = 0.0, 0
    n_all = n_outcomes(table)
    for arm in table.arms:
        cells = table.cells_of(arm)
        if len(cells) < 4:
            continue
        found = least_scatter(table, cells, np.ones(len(cells)))
        residual, n_free = found.residuals, found.n_free
        noise = unit[cells] / n_all[cells]
        top += float(((residual**2 - noise * n_free / len(cells)) / unit[cells] ** 2).sum())
        bottom += n_free
    return (max(0.0, top / bottom), float(bottom)) if bottom else (0.0, np.inf)
