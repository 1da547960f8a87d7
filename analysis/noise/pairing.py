"""What seeds do to all arms at once: covariances of seed effects over arms, by a two-way analysis of variance.

Arms of one seed see the same problems in the same order and often start from the same SFT policy, so that a lucky
seed is lucky for all of them and cancels in their differences; one arm's seeds may scatter more than another's; and
what arms differ by may grow with size. With u[a, n, s] the effect of seed s on arm a at size n, in units of p (1 - p),

    u[a, n, s] = n^g0 v0[n, s] + n^ga va[n, s]        v0 of the level, the mean over arms; va of arm a less the level

cov(v), (1 + n_arms, 1 + n_arms), and the rates g (growth.py) are estimated on the arms, sizes and seeds that form a
complete block, less what the finite test set alone makes, which the draws of problems already hold: a contrast of arms
is judged by its own scatter over seeds, at each size by as much as it is there. How much of v is common to all k sizes
and not averaged out by more of them is told by M, the covariance of a seed's mean over the sizes, as tr M / tr cov(v) =
share + (1 - share)/k: once for the level and once for all contrasts together, since what makes a seed lucky for all
arms says nothing of their differences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.noise.growth import Growth, growth_of
from analysis.tables.table import Table

FEWEST_SEEDS = 3  # with two, one degree of freedom would stand behind the shares
FEWEST_DF = 4
ENOUGH_DF = 12  # from here on another arm is worth more than another size: t is 2.2 in place of 2.0
MOST_NOISE = 1 / 3  # of the scatter between seeds that may be the test set's


def parts(n_arms: int) -> np.ndarray:
    """(1 + n_arms, n_arms) that turns effects of arms into that of the level and each arm's less the level."""
    level = np.full((n_arms, n_arms), 1 / n_arms)
    return np.concatenate([level[:1], np.eye(n_arms) - level])


@dataclass(frozen=True, eq=False)
class Pairing:
    """Seed effects of `arms`, by parts: the level first, then each arm less the level.

    Args:
        covariance: (1 + n_arms, 1 + n_arms) of the parts at the middle of the sizes.
        growth: of the parts with size.
        share_level, share_contrast: of the level's and of the contrasts' variance what is common to the sizes.
        df, df_level: degrees of freedom of the covariance, and of the level's mean over sizes.
    """

    arms: tuple[str, ...]
    covariance: np.ndarray
    growth: Growth
    share_level: float
    share_contrast: float
    df: float
    df_level: float

    def variances(self, sizes: np.ndarray) -> np.ndarray:
        """(n_sizes, n_arms) of one run's effect."""
        scale = self.growth.scale(sizes)
        return np.stack([np.diag(_of_arms(self.covariance * np.outer(one, one))) for one in scale])

    @property
    def correlations(self) -> np.ndarray:
        """(n_pairs,) of the arms' effects at the middle of the sizes."""
        covariance = _of_arms(self.covariance)
        scale = np.sqrt(np.diag(covariance))
        return (covariance / np.outer(scale, scale))[np.triu_indices(len(scale), 1)]

    def between(self, arm: np.ndarray, size: np.ndarray) -> np.ndarray:
        """(n_cells, n_cells) covariance of the effects of one seed's runs, by the place of their arm and their size."""
        share = np.full(len(self.covariance), self.share_contrast)
        share[0] = self.share_level
        own, common = (self.covariance * np.sqrt(np.outer(one, one)) for one in (1 - share, share))
        onto = np.zeros((len(arm), len(self.covariance)))  # the parts of each cell
        onto[:, 0], onto[np.arange(len(arm)), 1 + arm] = 1.0, 1.0
        onto *= self.growth.scale(size)
        return onto @ common @ onto.T + np.equal.outer(size, size) * (onto @ own @ onto.T)

    def draw(self, n_draws: int, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(n_draws, n_sizes, n_arms) effects, their covariance as uncertain as its degrees of freedom say."""
        values, vectors = np.linalg.eigh(self.covariance)
        root = (vectors * np.sqrt(np.maximum(values, 0.0))).T
        own, common = (rng.standard_normal((n_draws, n, len(root))) @ root for n in (len(sizes), 1))
        scale, scale_level = (np.sqrt(df / rng.chisquare(df, size=(n_draws, 1))) for df in (self.df, self.df_level))
        unsure = rng.random((n_draws, 2))  # of the rates: one for the level, one for all contrasts
        grown = self.growth.drawn(sizes, np.repeat(unsure, [1, len(self.arms)], axis=1))
        share = self.share_contrast
        contrast = np.sqrt(1 - share) * own[:, :, 1:] + np.sqrt(share) * common[:, :, 1:]
        level = np.sqrt(1 - self.share_level) * scale * own[:, :, 0]
        level = level + np.sqrt(self.share_level) * scale_level * common[:, :, 0]
        return grown[:, :, :1] * level[:, :, None] + grown[:, :, 1:] * scale[:, :, None] * contrast


def _of_arms(parts: np.ndarray) -> np.ndarray:
    """(n_arms, n_arms) covariance of the arms' effects from that of the parts."""
    return parts[0, 0] + parts[:1, 1:] + parts[1:, :1] + parts[1:, 1:]


def pairings(table: Table, unit: np.ndarray, run_noise: np.ndarray) -> tuple[Pairing, ...]:
    """The seed effects of each complete block of arms, sizes and seeds, the largest block first; no arm is in two.

    Empty where arms were tested on different problems or nothing tells of the test noise, where no 2 arms have 3 seeds
    in common, or where so much of the scatter between seeds is the test set's own noise that little can be seen of the
    rest.

    Args:
        unit: (n_cells,) p (1 - p).
        run_noise: (n_cells,) variance of one run's error that the test set makes, for counts.
    """
    if table.is_unpaired or len(table.blocks) > 1 or table.kind == "errors":
        return ()
    names, x, sizes, seeds = (table.runs[name].to_numpy() for name in ("arm", "x", "size", "seed"))
    of: dict[str, dict[float, dict[int, int]]] = {}
    for run in np.flatnonzero(x > 0):
        of.setdefault(names[run], {}).setdefault(sizes[run], {})[seeds[run]] = int(run)
    found = []
    while runs := _complete_block(of):
        of = {arm: mine for arm, mine in of.items() if arm not in {arm for arm, _, _ in runs}}
        found.append(_pairing(_effects(table, unit, run_noise, runs)))
    return tuple(one for one in found if one is not None)


Runs = Mapping[tuple[str, float, int], int]  # (arm, size, seed) -> run


@dataclass(frozen=True, eq=False)
class _Effects:
    """Effects of seeds in a complete block, in units of p (1 - p), and what the test set's noise is in them.

    Args:
        gaps: (n_sizes, n_seeds, n_arms) of a run from its cell's mean.
        residuals: (n_sizes, n_seeds, n_arms, n_problems) whose sum over problems they are; None for counts.
        noise: (n_sizes, n_arms) of one run, for counts.
    """

    arms: tuple[str, ...]
    sizes: np.ndarray
    gaps: np.ndarray
    residuals: np.ndarray | None
    noise: np.ndarray

    def noise_products(self, onto: np.ndarray) -> np.ndarray:
        """(n_sizes, n_parts, n_parts) that noise adds to sums of products; onto (n_sizes, n_parts, n_arms)."""
        if self.residuals is None:
            return (onto * self.noise[:, None, :]) @ onto.transpose(0, 2, 1) * (self.gaps.shape[1] - 1)
        within = np.stack([np.einsum("saj,sbj->ab", one, one, dtype=float, optimize=True) for one in self.residuals])
        return np.asarray(onto @ within @ onto.transpose(0, 2, 1))

    def noise_products_of_means(self, onto: np.ndarray) -> np.ndarray:
        """(n_parts, n_parts) the same of a seed's mean over the sizes."""
        if self.residuals is None:
            return np.asarray(self.noise_products(onto).sum(axis=0) / len(self.sizes) ** 2)
        mean = np.zeros((self.gaps.shape[1], onto.shape[1], self.residuals.shape[3]), np.float32)
        for one, mine in zip(onto.astype(np.float32), self.residuals, strict=True):
            mean += one @ mine / len(self.sizes)
        return (mean @ mean.transpose(0, 2, 1)).sum(axis=0).astype(float)


def _effects(table: Table, unit: np.ndarray, run_noise: np.ndarray, runs: Runs) -> _Effects:
    arms = sorted({arm for arm, _, _ in runs})
    sizes, seeds = sorted({size for _, size, _ in runs}), sorted({seed for _, _, seed in runs})
    of = np.array([[[runs[arm, size, seed] for arm in arms] for seed in seeds] for size in sizes])
    units = unit[table.cell_of_run[of[:, :1]]]
    error = table.runs["error"].to_numpy(float)[of]
    gaps = (error - error.mean(axis=1, keepdims=True)) / units
    residuals = None
    if table.blocks:
        block = table.blocks[0]
        row_of = np.empty(len(table.runs), dtype=int)
        row_of[block.rows] = np.arange(len(block.rows))
        residuals = block.errors[row_of[of]]
        residuals = residuals - residuals.mean(axis=1, keepdims=True)
        residuals /= (block.errors.shape[1] * units[..., None]).astype(np.float32)
    noise = (run_noise / np.square(unit))[table.cell_of_run[of[:, 0]]]
    return _Effects(tuple(arms), np.array(sizes, dtype=float), gaps, residuals, noise)


def _pairing(seen: _Effects) -> Pairing | None:
    n_sizes, df, n_arms = len(seen.sizes), seen.gaps.shape[1] - 1, len(seen.arms)
    one_each = np.repeat(np.eye(n_arms)[None], n_sizes, axis=0)
    noise = float(np.trace(seen.noise_products(one_each).sum(axis=0)))
    if noise > MOST_NOISE * float(np.square(seen.gaps).sum()):
        return None
    into = np.repeat(parts(n_arms)[None], n_sizes, axis=0)
    squares, known = np.square(_onto(seen.gaps, into)).sum(axis=1), seen.noise_products(into)
    growth = growth_of(seen.sizes, squares / df, np.diagonal(known, axis1=1, axis2=2) / df, np.full(n_sizes, float(df)))
    level_at = into / growth.scale(seen.sizes)[:, :, None]  # effects as they would be at the middle of the sizes
    effects = _onto(seen.gaps, level_at)
    total = np.einsum("nsa,nsb->ab", effects, effects) - seen.noise_products(level_at).sum(axis=0)
    of_means = effects.mean(axis=0)
    of_means = (of_means.T @ of_means - seen.noise_products_of_means(level_at)) / df
    unsure = noise / (n_sizes * df) / n_arms * np.sqrt(2 / (df * n_sizes)) / 2  # one s.e. of it in a difference
    covariance = _positive(total / (n_sizes * df)) + unsure * parts(n_arms) @ parts(n_arms).T
    level, contrast = slice(0, 1), slice(1, None)
    share_level, share_contrast = (
        _share(of_means[one, one], covariance[one, one], n_sizes, df) for one in (level, contrast)
    )
    worth = n_sizes * df / (1 + (n_sizes - 1) * share_contrast**2)
    return Pairing(seen.arms, covariance, growth, share_level, share_contrast, worth, df)


def _onto(gaps: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """(n_sizes, n_seeds, n_parts) of effects (n_sizes, n_seeds, n_arms)."""
    return np.asarray(gaps @ onto.transpose(0, 2, 1))


def _share(of_means: np.ndarray, inside: np.ndarray, n_sizes: int, df: int) -> float:
    """Share of the variance `inside` that is common to all sizes; the less of it, the more chance explains."""
    if n_sizes == 1:
        return 0.0
    ratio = n_sizes * float(np.trace(of_means) / np.trace(inside))
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


def _positive(matrix: np.ndarray) -> np.ndarray:
    """The nearest matrix without negative variances."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.maximum(values, 0.0)) @ vectors.T
