"""What seeds do to all arms at once: covariances of seed effects over arms, by a two-way analysis of variance.

Arms of one seed see the same problems in the same order and often start from the same SFT policy, so that a lucky
seed is lucky for all of them and cancels in their differences; and one arm's seeds may scatter more than another's.
With u[a, n, s] the effect of seed s on arm a at size n, in units of p (1 - p),

    u[a, n, s] = c[a, s] + d[a, n, s]        cov(c + d) = T, (n_arms, n_arms)

T is estimated on the arms, sizes and seeds that form a complete block, less what the finite test set alone makes, which
the draws of problems already hold: a contrast of arms is judged by its own scatter over seeds. How much of it is c,
common to all k sizes and not averaged out by more of them, is told by M, the covariance of a seed's mean over the
sizes, as tr M / tr T = share + (1 - share)/k: once for the level (the mean over arms) and once for all contrasts
together, since what makes a seed lucky for all arms says nothing of their differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.tables.table import Table

FEWEST_SEEDS = 3  # with two, one degree of freedom would stand behind the shares
FEWEST_DF = 4
ENOUGH_DF = 12  # from here on another arm is worth more than another size: t is 2.2 in place of 2.0
MOST_NOISE = 1 / 3  # of the scatter between seeds that may be the test set's


@dataclass(frozen=True, eq=False)
class Pairing:
    """Seed effects of `arms`: covariance (n_arms, n_arms) at one size, shares of the level's and of the contrasts'
    variance that are common to the sizes, and the degrees of freedom of the covariance and of the level's mean.
    """

    arms: tuple[str, ...]
    covariance: np.ndarray
    share_level: float
    share_contrast: float
    df: float
    df_level: float

    @property
    def variances(self) -> np.ndarray:
        """(n_arms,) of one run's effect."""
        return np.diag(self.covariance)

    @property
    def correlations(self) -> np.ndarray:
        """(n_pairs,) of the arms' effects at one size."""
        scale = np.sqrt(self.variances)
        return (self.covariance / np.outer(scale, scale))[np.triu_indices(len(scale), 1)]

    def between(self, arm: np.ndarray, size: np.ndarray) -> np.ndarray:
        """(n_cells, n_cells) covariance of the effects of one seed's runs, by the place of their arm and their size."""
        level = np.full_like(self.covariance, 1 / len(self.covariance))
        weight = np.sqrt(self.share_level) * level + np.sqrt(self.share_contrast) * (np.eye(len(level)) - level)
        common = weight @ self.covariance @ weight
        return np.where(np.equal.outer(size, size), self.covariance[np.ix_(arm, arm)], common[np.ix_(arm, arm)])

    def draw(self, n_draws: int, n_sizes: int, rng: np.random.Generator) -> np.ndarray:
        """(n_draws, n_sizes, n_arms) effects, their covariance as uncertain as its degrees of freedom say."""
        values, vectors = np.linalg.eigh(self.covariance)
        root = (vectors * np.sqrt(np.maximum(values, 0.0))).T
        own, common = (rng.standard_normal((n_draws, n, len(root))) @ root for n in (n_sizes, 1))
        scale, scale_level = (np.sqrt(df / rng.chisquare(df, size=(n_draws, 1, 1))) for df in (self.df, self.df_level))
        level, level_common = own.mean(axis=2, keepdims=True), common.mean(axis=2, keepdims=True)
        return (
            scale
            * (
                np.sqrt(1 - self.share_level) * level
                + np.sqrt(1 - self.share_contrast) * (own - level)
                + np.sqrt(self.share_contrast) * (common - level_common)
            )
            + scale_level * np.sqrt(self.share_level) * level_common
        )


def pairings(table: Table, unit: np.ndarray) -> tuple[Pairing, ...]:
    """The seed effects of each complete block of arms, sizes and seeds, the largest block first; no arm is in two.

    Empty where outcomes are not paired, where no 2 arms have 3 seeds in common, or where so much of the scatter between
    seeds is the test set's own noise that little can be seen of the rest.

    Args:
        unit: (n_cells,) p (1 - p).
    """
    if len(table.blocks) != 1:
        return ()
    names, x, sizes, seeds = (table.runs[name].to_numpy() for name in ("arm", "x", "size", "seed"))
    of: dict[str, dict[float, dict[int, int]]] = {}
    for run in np.flatnonzero(x > 0):
        of.setdefault(names[run], {}).setdefault(sizes[run], {})[seeds[run]] = int(run)
    found = []
    while runs := _complete_block(of):
        of = {arm: mine for arm, mine in of.items() if arm not in {arm for arm, _, _ in runs}}
        found.append(_pairing(table, unit, runs))
    return tuple(one for one in found if one is not None)


Runs = Mapping[tuple[str, float, int], int]  # (arm, size, seed) -> run


def _pairing(table: Table, unit: np.ndarray, runs: Runs) -> Pairing | None:
    arms = sorted({arm for arm, _, _ in runs})
    sizes, seeds = sorted({size for _, size, _ in runs}), sorted({seed for _, _, seed in runs})
    block, n_sizes, df = table.blocks[0], len(sizes), len(seeds) - 1
    row_of = {int(run): row for row, run in enumerate(block.rows)}
    n_problems = block.errors.shape[1]
    gap_of_means = np.zeros((len(seeds), len(arms)))
    residual_of_means = np.zeros((len(seeds), len(arms), n_problems), np.float32)
    total, noise = np.zeros((2, len(arms), len(arms)))
    for size in sizes:
        of = np.array([[runs[arm, size, seed] for arm in arms] for seed in seeds])
        x = block.errors[[[row_of[int(run)] for run in some] for some in of]]
        x = (x - x.mean(axis=0)) / (n_problems * unit[table.cell_of_run[of[0]]][:, None]).astype(np.float32)
        gaps = x.sum(axis=-1, dtype=float)
        total += gaps.T @ gaps
        noise += _noise(x)
        gap_of_means += gaps / n_sizes
        residual_of_means += x / n_sizes
    if np.trace(noise) > MOST_NOISE * np.trace(total):
        return None
    total, noise = ((one / (n_sizes * df)) for one in (total, noise))
    of_means = (gap_of_means.T @ gap_of_means - _noise(residual_of_means)) / df
    unsure = np.trace(noise) / len(arms) * np.sqrt(2 / (df * n_sizes)) / 2  # of the noise: one s.e. in a difference
    covariance = _positive(total - noise) + unsure * np.eye(len(arms))
    level = np.full((len(arms), len(arms)), 1 / len(arms))
    contrast = np.eye(len(arms)) - level
    share_level, share_contrast = (_share(of_means, covariance, one, n_sizes, df) for one in (level, contrast))
    worth = n_sizes * df / (1 + (n_sizes - 1) * share_contrast**2)
    return Pairing(tuple(arms), covariance, share_level, share_contrast, worth, df)


def _share(of_means: np.ndarray, total: np.ndarray, onto: np.ndarray, n_sizes: int, df: int) -> float:
    """Share of the variance in the subspace that is common to all sizes; the less of it, the more chance explains."""
    if n_sizes == 1:
        return 0.0
    inside = onto @ total @ onto
    ratio = n_sizes * float(np.trace(onto @ of_means @ onto) / np.trace(inside))
    df_means = df * float(np.trace(inside) ** 2 / np.square(inside).sum())  # of as many directions as it really has
    by_chance = float(stats.f.sf(ratio, df_means, df_means * (n_sizes - 1)))
    return float(np.clip((ratio - 1) / (n_sizes - 1), 0.0, 1.0)) * max(0.0, 1 - 2 * by_chance)


def _complete_block(of: Mapping[str, Mapping[float, Mapping[int, int]]]) -> Runs:
    """The sizes of one arm, and all arms that have them: of the blocks with enough degrees of freedom the one of most
    arms, else the one of most runs; empty where there is none.

    Args:
        of: arm -> size -> seed -> run.
    """
    best: Runs = {}
    most = (0, 0)
    for pattern in of.values():
        arms = [arm for arm, mine in of.items() if mine.keys() >= pattern.keys()]
        shared = set.intersection(*(set(of[arm][size]) for arm in arms for size in pattern))
        block = {(arm, size, seed): of[arm][size][seed] for arm in arms for size in pattern for seed in shared}
        df = (len(shared) - 1) * max(len(pattern) - 1, 1)
        score = (len(arms) if len(pattern) * (len(shared) - 1) >= ENOUGH_DF else 0, len(block))
        if len(arms) > 1 and len(shared) >= FEWEST_SEEDS and df >= FEWEST_DF and score > most:
            best, most = block, score
    return best


def _noise(x: np.ndarray) -> np.ndarray:
    """(n_arms, n_arms) sum over seeds and problems of products of arms' residuals (n_seeds, n_arms, n_problems)."""
    return (x @ x.transpose(0, 2, 1)).sum(axis=0).astype(float)


def _positive(matrix: np.ndarray) -> np.ndarray:
    """The nearest matrix without negative variances."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T
