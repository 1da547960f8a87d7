"""How wide the interval of a study would be that was not run: other sizes, seeds and test problems.

It is predicted from today's study with the variance components of today's interval. With
L_c the derivative of ln m by cell mean c (through the fit), p_c the fitted error, v_c = p_c (1 - p_c), S seeds and J
test problems,
    V = 1/J sum_{c,d} L_c L_d cov_cd                            problems; cov_cc = v_c (r + (1 - r)/S),
                                                                cov_cd = r sqrt(v_c v_d), 0 between unpaired arms
      + (phi - phi_shared)/S sum_c L_c^2 v_c^2                  runs by themselves; L_c v_c times the growth of noise
      + phi_shared/S sum_arms (sum_{c of the arm} L_c v_c)^2    what the runs of a seed share: more sizes do not cure it
or, where the two arms are paired by seed (pairing.py), L' K L / S in place of the last two, K the covariance of one
seed's runs; r the mean correlation of two runs' outcomes on one problem, phi and phi_shared the seed variance, all
measured here.
The interval is t standard errors either way, t on the degrees of freedom that the design would have (Satterthwaite),
and the formula is scaled so that it gives today's bootstrap interval for today's design. For a shared exponent, K sizes
an arm and independent runs it is close to SE(ln m) = (sigma / b) sqrt(2/K + (ln m)^2 / (2 S_xx)).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

from analysis.intervals import limits_of
from analysis.laws.fit import fit_curves
from analysis.noise.draws import Draws
from analysis.noise.seeds import count_correlation
from analysis.worth.comparison import Comparison


class NoWidth(ValueError):
    """The pair's curves do not cross an error that both fits reach, so no width can be predicted."""


@dataclass(frozen=True)
class Design:
    """Sizes of the two arms, seeds a cell and test problems; a size that neither arm has is added to both."""

    sizes: tuple[float, ...]
    n_seeds: int
    n_test: int


class Width:
    """The predicted standard error of ln m for any design of a pair, anchored at the bootstrap of today's."""

    def __init__(self, comparison: Comparison, arm: str, baseline: str) -> None:
        self.comparison, self.pair = comparison, (baseline, arm)
        self.influence = cache(self._influence)
        table = comparison.draws.table
        short = [one for one in self.pair if comparison.n_sizes(one) < 3]
        if short:
            raise NoWidth(
                f"{short[0]} has {comparison.n_sizes(short[0])} sizes, a curve needs 3: run more sizes of it first"
            )
        self.law = comparison.law_of(arm, baseline)
        self.curve = {one: comparison.fit(one, self.law).curves[:1] for one in self.pair}
        self.error = self._error(arm, baseline)
        ln_m = comparison.ln_m(arm, baseline, np.array([self.error]), self.law)[:, 0]
        if not np.isfinite(ln_m[0]):
            raise NoWidth(
                f"{arm} over {baseline}: a fitted curve does not reach error {self.error:.3f}, so no multiplier and no "
                "width can be predicted; run sizes at which the two arms reach the same errors"
            )
        self.multiplier = float(np.exp(ln_m[0]))
        cells = np.concatenate([table.cells_of(one) for one in self.pair])
        n_seeds = table.cells["n_seeds"].to_numpy()[cells]
        n_test = table.cells["n_test"].to_numpy()[cells] if "n_test" in table.cells else np.array([1])
        sizes = sorted({size for one in self.pair for size in comparison.sizes(one)})
        self.now = Design(tuple(sizes), int(np.min(n_seeds)), int(np.min(n_test)))
        self.correlation, self.scale = _correlation(comparison.draws, cells), 1.0
        low, high = limits_of(ln_m[1:], comparison.level)
        if np.isfinite(low) and np.isfinite(high):
            self.scale = (high - low) / 2 / self.normal / max(self.se(self.now), 1e-12)
        self.se_now = self.se(self.now)

    @property
    def normal(self) -> float:
        """Standard errors either way of an interval without degrees of freedom to pay for."""
        return float(stats.norm.ppf((1 + self.comparison.level) / 2))

    def sizes_of(self, arm: str, design: Design) -> list[float]:
        """The arm's own sizes, and those that the design adds."""
        return sorted({*self.comparison.sizes(arm), *(set(design.sizes) - set(self.now.sizes))})

    def _error(self, arm: str, baseline: str) -> float:
        shared = self.comparison.overlap(arm, baseline)
        if shared:
            return float(np.sqrt(shared[0] * shared[1]))
        (low_1, high_1), (low_0, high_0) = (self.comparison.observed_range(one) for one in (arm, baseline))
        return float(np.sqrt(max(low_0, low_1) * min(high_0, high_1)))

    def se(self, design: Design) -> float:
        """Half of the predicted interval of ln m, in normal units."""
        table, seeds, r = self.comparison.draws.table, self.comparison.draws.seeds, self.correlation
        weighted, of_seeds = [], []  # by arm, L sqrt(v) and L v of its cells
        for arm, sign in zip(self.pair, (1.0, -1.0), strict=True):
            influence, v = self.influence(arm, tuple(self.sizes_of(arm, design)))
            influence = sign * influence
            weighted.append(influence * np.sqrt(v))
            of_seeds.append(influence * v)
        sums = np.array([one.sum() for one in weighted])
        same = np.square(sums).sum() if table.is_unpaired else sums.sum() ** 2
        apart = sum(float(np.square(one).sum()) for one in weighted)
        problems = (r * same + (1 - r) / design.n_seeds * apart) / design.n_test
        pairing = seeds.pairing_of(self.pair)
        if pairing is None:
            sizes = [np.array(self.sizes_of(one, design)) for one in self.pair]
            of_seeds = [one * seeds.growth.scale(n)[:, 0] for one, n in zip(of_seeds, sizes, strict=True)]
            own = sum(float(np.square(one).sum()) for one in of_seeds) * (seeds.phi - seeds.phi_shared) / design.n_seeds
            common = sum(float(one.sum()) ** 2 for one in of_seeds) * seeds.phi_shared / design.n_seeds
            unsure = own**2 / self._df(seeds.df, design, False) + common**2 / self._df(seeds.df_shared, design, True)
            variance = problems + own + common
        else:
            sizes = [np.array(self.sizes_of(one, design)) for one in self.pair]
            places = np.repeat(np.searchsorted(pairing.arms, self.pair), [len(one) for one in sizes])
            moved = np.concatenate(of_seeds)
            of_pair = float(moved @ pairing.between(places, np.concatenate(sizes)) @ moved) / design.n_seeds
            n_now, n_then = (len(self.sizes_of(self.pair[1], one)) * (one.n_seeds - 1) for one in (self.now, design))
            unsure = of_pair**2 / (pairing.df * n_then / n_now)
            variance = problems + of_pair
        t = stats.t.ppf((1 + self.comparison.level) / 2, variance**2 / unsure) if unsure > 0 else self.normal
        return float(self.scale * t / self.normal * np.sqrt(variance))

    def _df(self, df: float, design: Design, is_shared: bool) -> float:
        """Degrees of freedom of a part of the seed variance under a design; the other arms' of the table stay."""

        def own(one: Design) -> int:
            n_groups = 2 if is_shared else sum(len(self.sizes_of(arm, one)) for arm in self.pair)
            return n_groups * (one.n_seeds - 1)

        return max(df + own(design) - own(self.now), 1.0)

    def _influence(self, arm: str, sizes: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
        """d ln n_k(e) / d y_c, (n_sizes,), by central differences through the fit, and v_c."""
        step, ln_n = 1e-5, np.log(sizes)
        error = np.clip(self.curve[arm].error_at(ln_n)[0], 1e-3, 0.999)
        rows = error + step * np.concatenate([np.eye(len(error)), -np.eye(len(error))])
        table = self.comparison.draws.table
        curves = fit_curves(self.law, ln_n, rows, np.ones(len(error)), ceiling=table.reference_error, top=table.top)
        ends = curves.ln_size_at(np.array([self.error]))[:, 0]
        return (ends[: len(error)] - ends[len(error) :]) / (2 * step), error * (1 - error)


def _correlation(drawn: Draws, cells: np.ndarray) -> float:
    """Mean correlation over problems of two runs' outcomes; from counts what the scatter between seeds shows of it."""
    table = drawn.table
    if table.kind == "counts":
        return 1.0 if table.is_unpaired else count_correlation(table)
    wanted = np.isin(table.cell_of_run, cells)
    top = bottom = 0.0
    for block in table.blocks:
        x = block.errors[wanted[block.rows]]
        x = x[:60]
        if len(x) < 2:
            continue
        covariance = np.cov(x)
        scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
        off = ~np.eye(len(x), dtype=bool)
        top, bottom = top + float(covariance[off].sum()), bottom + float(scale[off].sum())
    return float(np.clip(top / bottom, 0.0, 0.999)) if bottom > 0 else 0.0
