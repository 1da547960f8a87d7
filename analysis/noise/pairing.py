"""What seeds do to all arms at once: covariances of seed effects over arms, by a two-way analysis of variance.

Arms of one seed see the same problems in the same order and often start from the same SFT policy, so that a lucky
seed is lucky for all of them and cancels in their differences; one arm's seeds may scatter more than another's; and
what arms differ by may grow with size. With u[a, n, s] the effect of seed s on arm a at size n, in units of p (1 - p),

    u[a, n, s] = n^g0 v0[n, s] + n^ga va[n, s]        v0 of the level, va of arm a less the level

cov(v), (1 + n_arms, 1 + n_arms), and the rates g (growth.py) are estimated on the arms, sizes and seeds that form a
complete block, less what the finite test set alone makes, which the draws of problems already hold: a contrast of arms
is judged by its own scatter over seeds, at each size by as much as it is there. The level is the mean over arms whose
variance is least: no contrast moves with it, so that an arm whose own noise grows does not lend a part of it to others
whose noise does not. Sizes at which the test set hides more of a variance count less in it.

How much of v is common to all k sizes and not averaged out by more of them is told by M, the covariance of a seed's
mean over the sizes, as tr M / tr cov(v) = share + (1 - share)/k: once for the level and once for all contrasts
together, since what makes a seed lucky for all arms says nothing of their differences. Where so much is that fewer
than FEWEST_DF degrees of freedom stand behind a contrast (three seeds of nested data), arms are better taken as
independent: what their seeds share over sizes has more of them (seeds.py), and what cancels is not waited for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.noise.growth import Growth, growth_of
from analysis.tables.table import Table

FEWEST_SEEDS = 3  # with two, one degree of freedom would stand behind the shares
FEWEST_DF = 4  # behind a contrast
ENOUGH_DF = 12  # from here on another arm is worth more than another size: t is 2.2 in place of 2.0
LEAST_SEEN = 0.1  # of a mean square that counts as made by seeds, however little is seen of them
MOST_NOISE = 1 / 3  # of the scatter between seeds that may be the test set's


def parts(weights: np.ndarray) -> np.ndarray:
    """(1 + n_arms, n_arms) that turns effects of arms into that of the level and each arm's less the level.

    Args:
        weights: (n_arms,) of the arms in the level, sum 1.
    """
    return np.concatenate([weights[None], np.eye(len(weights)) - weights])


def steadiest(covariance: np.ndarray) -> np.ndarray:
    """(n_arms,) weights, none below 0, of the mean over arms whose variance is least.

    Args:
        covariance: (n_arms, n_arms) of the arms' effects; as estimated, so that some variance may be below 0.
    """
    positive = _positive(covariance)
    covariance = positive + 1e-3 * np.trace(positive) / len(covariance) * np.eye(len(covariance))
    arms = np.arange(len(covariance))
    while True:
        weights = np.linalg.solve(covariance[np.ix_(arms, arms)], np.ones(len(arms)))
        if (weights >= 0).all():
            break
        arms = arms[weights >= 0]
    out = np.zeros(len(covariance))
    out[arms] = weights / weights.sum()
    return out


@dataclass(frozen=True, eq=False)
class Pairing:
    """Seed effects of `arms`, by parts: the level first, then each arm less the level.

    Args:
        covariance: (1 + n_arms, 1 + n_arms) of the parts at the middle of the sizes.
        growth: of the parts with size.
        share_level, share_contrast: of the level's and of the contrasts' variance what is common to the sizes.
        df, df_level: degrees of freedom of the covariance, and of the level's mean over sizes.
        made: of the contrasts' mean squares the part that seeds make, the rest being the test set's noise; root mean
            square over sizes.
    """

    arms: tuple[str, ...]
    covariance: np.ndarray
    growth: Growth
    share_level: float
    share_contrast: float
    df: float
    df_level: float
    made: float = 1.0

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
        """(n_draws, n_sizes, n_arms) effects, their covariance as uncertain as its degrees of freedom say.

        Those are a mean square's with the test set's noise in it: a draw of it moves what is beyond the noise by more.
        """
        values, vectors = np.linalg.eigh(self.covariance)
        root = (vectors * np.sqrt(np.maximum(values, 0.0))).T
        own, common = (rng.standard_normal((n_draws, n, len(root))) @ root for n in (len(sizes), 1))
        scale, scale_level = (np.sqrt(df / rng.chisquare(df, size=(n_draws, 1))) for df in (self.df, self.df_level))
        scale_contrast = np.sqrt(np.maximum(1 + (np.square(scale) - 1) / self.made, 0.0))
        unsure = rng.random((n_draws, 2))  # of the rates: one for the level, one for all contrasts
        grown = self.growth.drawn(sizes, np.repeat(unsure, [1, len(self.arms)], axis=1))
        share = self.share_contrast
        contrast = np.sqrt(1 - share) * own[:, :, 1:] + np.sqrt(share) * common[:, :, 1:]
        level = np.sqrt(1 - self.share_level) * scale * own[:, :, 0]
        level = level + np.sqrt(self.share_level) * scale_level * common[:, :, 0]
        return grown[:, :, :1] * level[:, :, None] + grown[:, :, 1:] * scale_contrast[:, :, None] * contrast


def _of_arms(parts: np.ndarray) -> np.ndarray:
    """(n_arms, n_arms) covariance of the arms' effects from that of the parts."""
    return parts[0, 0] + parts[:1, 1:] + parts[1:, :1] + parts[1:, 1:]


def pairings(table: Table, unit: np.ndarray, run_noise: np.ndarray) -> tuple[Pairing, ...]:
    """The seed effects of each complete block of arms, sizes and seeds, the largest block first; no arm is in two.

    Empty where arms were tested on different problems or nothing tells of the test noise, where no 2 arms have 3 seeds
    in common, where so much of the scatter between seeds is the test set's own noise that little can be seen of the
    rest, or where fewer than FEWEST_DF degrees of freedom stand behind a contrast.

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

    @property
    def doubt(self) -> np.ndarray:
        """(n_sizes, 1, n_arms) added to sums of squares, for what is not known of the noise in them: half a standard
        error of it over all sizes; of counts, which do not tell how much of their noise runs share, a whole one.
        """
        df = self.gaps.shape[1] - 1
        one = self.noise * df if self.residuals is None else np.square(self.residuals).sum(axis=(1, 3))
        share = np.sqrt(2 / (df * len(self.sizes))) / (1 if self.residuals is None else 2)
        return np.asarray(share * np.repeat(one.mean(axis=1)[:, None, None], len(self.arms), axis=2))

    def products(self, onto: np.ndarray) -> np.ndarray:
        """(n_sizes, n_parts, n_parts) sums of products over seeds; onto (n_sizes, n_parts, n_arms)."""
        back = onto.transpose(0, 2, 1)
        effects = self.gaps @ back
        return np.asarray(effects.transpose(0, 2, 1) @ effects + onto * self.doubt @ back)

    def noise_products(self, onto: np.ndarray) -> np.ndarray:
        """(n_sizes, n_parts, n_parts) of them what noise adds."""
        if self.residuals is None:
            return (onto * self.noise[:, None, :]) @ onto.transpose(0, 2, 1) * (self.gaps.shape[1] - 1)
        within = np.stack([np.einsum("saj,sbj->ab", one, one, dtype=float, optimize=True) for one in self.residuals])
        return np.asarray(onto @ within @ onto.transpose(0, 2, 1))

    def products_of_sums(self, onto: np.ndarray) -> np.ndarray:
        """(n_parts, n_parts) sums of products over seeds of a seed's sum over the sizes."""
        back = onto.transpose(0, 2, 1)
        effects = (self.gaps @ back).sum(axis=0)
        return np.asarray(effects.T @ effects + (onto * self.doubt @ back).sum(axis=0))

    def noise_products_of_sums(self, onto: np.ndarray) -> np.ndarray:
        """(n_parts, n_parts) of them what noise adds."""
        if self.residuals is None:
            return np.asarray(self.noise_products(onto).sum(axis=0))
        total = np.zeros((self.gaps.shape[1], onto.shape[1], self.residuals.shape[3]), np.float32)
        for one, mine in zip(onto.astype(np.float32), self.residuals, strict=True):
            total += one @ mine
        return (total @ total.transpose(0, 2, 1)).sum(axis=0).astype(float)


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
    noise = seen.noise_products(one_each).sum(axis=0)
    if np.trace(noise) >= MOST_NOISE * float(np.square(seen.gaps).sum()):
        return None
    into = np.repeat(parts(steadiest(seen.products(one_each).sum(axis=0) - noise))[None], n_sizes, axis=0)
    squares, known = (
        np.diagonal(one, axis1=1, axis2=2) / df for one in (seen.products(into), seen.noise_products(into))
    )
    growth = growth_of(seen.sizes, squares, known, np.full(n_sizes, float(df)))
    scale = growth.scale(seen.sizes)
    of_size = np.square(_made_by_seeds(growth.variance * np.square(scale), known))
    of_size /= of_size.sum(axis=0)
    covariance, of_means = _at_middle(seen, into / scale[:, :, None], of_size)
    n_told = 1 / np.square(of_size).sum(axis=0)
    share_level, share_contrast = (
        _share(of_means[one, one], covariance[one, one], n, df)
        for one, n in zip((slice(0, 1), slice(1, None)), n_told, strict=True)
    )
    worth = n_told[1] * df / (1 + (n_told[1] - 1) * share_contrast**2)
    if worth < FEWEST_DF - 1e-9:
        return None
    seen_of = _made_by_seeds(np.diag(covariance) * np.square(scale), known)[:, 1]
    made = float(np.sqrt(of_size[:, 1] @ np.square(seen_of)))
    return Pairing(seen.arms, covariance, growth, share_level, share_contrast, worth, df, made)


def _at_middle(seen: _Effects, into: np.ndarray, of_size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n_parts, n_parts) covariance of the parts at the middle of the sizes, and that of a seed's mean over sizes.

    Args:
        into: (n_sizes, n_parts, n_arms) that turns effects of arms into parts as they would be at the middle.
        of_size: (n_sizes, 2) weights, sum 1, for the level and for the contrasts.
    """
    df = seen.gaps.shape[1] - 1
    of_part = np.repeat(of_size, [1, len(seen.arms)], axis=1)[:, :, None]
    each, mean = into * np.sqrt(of_part), into * of_part
    covariance = (seen.products(each) - seen.noise_products(each)).sum(axis=0) / df
    return _positive(covariance), (seen.products_of_sums(mean) - seen.noise_products_of_sums(mean)) / df


def _made_by_seeds(seeds: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(n_sizes, 2) of the mean square of the level and of all contrasts the part that the test set's noise leaves, at
    least LEAST_SEEN; both (n_sizes, 1 + n_arms).
    """
    of = [(one[:, 0], one[:, 1:].sum(axis=1)) for one in (seeds, np.maximum(noise, 0.0))]
    part = np.stack([made / np.maximum(made + rest, 1e-300) for made, rest in zip(*of, strict=True)], axis=1)
    return np.maximum(part, LEAST_SEEN)


def _share(of_means: np.ndarray, inside: np.ndarray, n_sizes: float, df: int) -> float:
    """Share of the variance `inside` that is common to all of n_sizes; the less of it, the more chance explains."""
    if n_sizes < 1 + 1e-9 or np.trace(inside) <= 0:
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
