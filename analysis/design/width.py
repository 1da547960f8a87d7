"""How wide the interval of a study would be that was not run: other sizes, seeds and test problems.

It is predicted from today's study with the variance components of today's interval. With
L_c the derivative of ln m by cell mean c (through the fit), p_c the fitted error, v_c = p_c (1 - p_c), S seeds and J
test problems,
    V = 1/J sum_{c,d} L_c L_d cov_cd                            problems; cov_cc = v_c (r + (1 - r)/S),
                                                                cov_cd = q sqrt(v_c v_d), 0 between unpaired arms
      + (phi - phi_shared)/S sum_c L_c^2 v_c^2                  runs by themselves; L_c v_c times the growth of noise
      + phi_shared/S sum_arms (sum_{c of the arm} L_c v_c)^2    what the runs of a seed share: more sizes do not cure it
or, where the two arms are paired by seed (pairing.py), L' K L / S in place of the last two, K the covariance of one
seed's runs; r the mean correlation of two runs' outcomes on one problem, q that of runs of two cells (with outcomes
taken to be r; of counts see `common_between_cells`), phi and phi_shared the seed variance, all measured here.
Of a table in replicates a replicate's cells move together, by K as they are seen to, and V is (replicates.py)
    V = 1/R [L' W' K W L + w (L' L - L' W' W L) + (1/J - 1/J now) sum_c L_c^2 v_c]
W interpolation in ln n from the sizes that were run to those of the design, the nearest beyond their ends, and w the
variance of what a cell has for itself: how far it lies off the straight line through its neighbours.

The interval is t standard errors either way, t on the degrees of freedom that the design would have (Satterthwaite; of
R replicates R - 1). What is planned for is the interval that `multiplier` prints, so value and width of today are its
own: half of the draws by the law and half without one, or all without where residuals refute the law; a plan by a
refuted law would promise the width of an interval that nobody reads. Each half has its L, by its own curve, and its
draws are moved about its own estimate by the predicted change of t sqrt(V). At today's design that gives today's
interval; what law and curve differ by is an error of form that no more runs cure. For a shared exponent, K sizes an arm
and independent runs sqrt(V) is close to (sigma / b) sqrt(2/K + (ln m)^2 / (2 S_xx)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from scipy import stats

from analysis.intervals import difference, limits_of
from analysis.laws.fit import fit_curves
from analysis.laws.local import Blend, local_curves
from analysis.noise.draws import Draws
from analysis.noise.seeds import common_between_cells, count_correlation
from analysis.worth.comparison import Comparison


class NoWidth(ValueError):
    """The pair's curves do not cross an error that both fits reach, so no width can be predicted."""


@dataclass(frozen=True)
class Design:
    """Sizes of the two arms, runs a cell (seeds, or replicates of the whole) and test problems; a size that neither arm
    has is added to both.
    """

    sizes: tuple[float, ...]
    n_units: int
    n_test: int


Form = Literal["law and local", "local", "law"]


@dataclass(frozen=True, eq=False)
class _Part:
    """Draws of ln m (n_draws,) about their estimate, all by the law or all without one."""

    estimate: float
    drawn: np.ndarray
    is_local: bool


class Width:
    """The predicted standard error of ln m for any design of a pair, anchored at what `multiplier` reads today.

    form: what that is read from; "law" where the rest has no limits.
    """

    def __init__(self, comparison: Comparison, arm: str, baseline: str) -> None:
        self.comparison, self.pair = comparison, (baseline, arm)
        self.influence, self.raw = cache(self._influence), cache(self._raw)
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
        self.form, estimate, self.parts = self._read(ln_m)
        self.multiplier = float(np.exp(estimate))
        self.now, self.correlation = self._today()
        self.se_now = self.se(self.now)

    def _today(self) -> tuple[Design, tuple[float, float]]:
        """The design of the table, its thinnest cell for all, and the correlations of two runs' outcomes."""
        drawn = self.comparison.draws
        table, cells = drawn.table, np.concatenate([drawn.table.cells_of(one) for one in self.pair])
        n_runs = table.cells["n_seeds"].to_numpy() if drawn.replicates is None else drawn.replicates.n_of_cell
        n_test = table.cells["n_test"].to_numpy()[cells] if "n_test" in table.cells else np.array([1])
        sizes = sorted({size for one in self.pair for size in self.comparison.sizes(one)})
        return Design(tuple(sizes), int(np.min(n_runs[cells])), int(np.min(n_test))), _correlation(drawn, cells)

    def _read(self, by_law: np.ndarray) -> tuple[Form, float, tuple[_Part, ...]]:
        """How `multiplier` reads the error, its estimate of ln m, and the draws behind its limits, by their form."""
        at, level = np.array([self.error]), self.comparison.level
        is_refuted = self.comparison.is_refuted(self.law, *self.pair)
        readers = [self.comparison.reader(one, self.law, is_refuted=is_refuted, is_run=False) for one in self.pair]
        read = difference(*(one.ln_size_at(at)[:, 0] for one in readers))
        if np.isfinite([read[0], *limits_of(read[1:], level)]).all():
            if is_refuted:
                return "local", float(read[0]), (_Part(float(read[0]), read[1:], True),)
            free = difference(*(one.free.ln_size_at(at[:1])[:1, 0] for one in readers if isinstance(one, Blend)))
            middle = float(free[0]) if np.isfinite(free[0]) else float(read[0])
            parts = (_Part(float(by_law[0]), read[2::2], False), _Part(middle, read[1::2], True))  # as Blend has them
            return "law and local", float(read[0]), parts
        is_limited = np.isfinite(limits_of(by_law[1:], level)).all()
        return "law", float(by_law[0]), (_Part(float(by_law[0]), by_law[1:], False),) if is_limited else ()

    @property
    def normal(self) -> float:
        """Standard errors either way of an interval without degrees of freedom to pay for."""
        return float(stats.norm.ppf((1 + self.comparison.level) / 2))

    def sizes_of(self, arm: str, design: Design) -> list[float]:
        """The arm's own sizes, and those that the design adds."""
        return sorted({*self.comparison.sizes(arm), *(set(design.sizes) - set(self.now.sizes))})

    def _error(self, arm: str, baseline: str) -> float:
        """In the middle of the errors that both reach."""
        if shared := self.comparison.overlap(arm, baseline):
            return float(np.sqrt(shared[0] * shared[1]))
        (low_1, high_1), (low_0, high_0) = (self.comparison.observed_range(one) for one in (arm, baseline))
        worse, better = (arm, baseline) if low_1 + high_1 > low_0 + high_0 else (baseline, arm)
        raise NoWidth(
            f"{arm} over {baseline}: errors {low_1:.3f} to {high_1:.3f} and {low_0:.3f} to {high_0:.3f} share no range "
            f"wider than the noise, so `multiplier` gives a bound and no interval that more runs would narrow; run "
            f"{worse} at larger sizes or {better} at smaller ones"
        )

    def se(self, design: Design) -> float:
        """Half of the predicted interval of ln m, in normal units."""
        if not self.parts:
            return self.raw(design, False)
        moved = []
        for one in self.parts:
            by = self.raw(design, one.is_local) / max(self.raw(self.now, one.is_local), 1e-12)
            moved.append(one.estimate + by * (one.drawn - one.estimate))
        low, high = limits_of(np.concatenate(moved), self.comparison.level)
        return (high - low) / 2 / self.normal

    def _raw(self, design: Design, is_local: bool) -> float:
        """t sqrt(V) of one form, in normal units."""
        influence, v = [], []
        for arm, sign in zip(self.pair, (1.0, -1.0), strict=True):
            of_arm, own_v = self.influence(arm, tuple(self.sizes_of(arm, design)), is_local)
            influence.append(sign * of_arm)
            v.append(own_v)
        of_table = self._over_seeds if self.comparison.draws.replicates is None else self._over_replicates
        variance, df = of_table(design, influence, v)
        t = stats.t.ppf((1 + self.comparison.level) / 2, df) if np.isfinite(df) else self.normal
        return float(t / self.normal * np.sqrt(variance))

    def _over_seeds(
        self, design: Design, influence: Sequence[np.ndarray], v: Sequence[np.ndarray]
    ) -> tuple[float, float]:
        """V and its degrees of freedom, of runs that differ by seed alone."""
        table, seeds, (r, q) = self.comparison.draws.table, self.comparison.draws.seeds, self.correlation
        weighted = [one * np.sqrt(of_arm) for one, of_arm in zip(influence, v, strict=True)]
        of_seeds = [one * of_arm for one, of_arm in zip(influence, v, strict=True)]
        sums = np.array([one.sum() for one in weighted])
        same = np.square(sums).sum() if table.is_unpaired else sums.sum() ** 2
        apart = sum(float(np.square(one).sum()) for one in weighted)
        problems = (q * same + (r - q + (1 - r) / design.n_units) * apart) / design.n_test
        sizes = [np.array(self.sizes_of(one, design)) for one in self.pair]
        pairing = seeds.pairing_of(self.pair)
        if pairing is None:
            of_seeds = [one * seeds.growth.scale(n)[:, 0] for one, n in zip(of_seeds, sizes, strict=True)]
            own = sum(float(np.square(one).sum()) for one in of_seeds) * (seeds.phi - seeds.phi_shared) / design.n_units
            together = sum(float(one.sum()) ** 2 for one in of_seeds) / design.n_units
            common = together * seeds.phi_shared
            read_from = together * (seeds.phi_shared + seeds.noise_shared) if common else 0.0  # with its noise
            unsure = own**2 / self._df(seeds.df, design, False) + read_from**2 / self._df(seeds.df_shared, design, True)
            variance = problems + own + common
        else:
            places = np.repeat(np.searchsorted(pairing.arms, self.pair), [len(one) for one in sizes])
            moved = np.concatenate(of_seeds)
            of_pair = float(moved @ pairing.between(places, np.concatenate(sizes)) @ moved) / design.n_units
            n_now, n_then = (len(self.sizes_of(self.pair[1], one)) * (one.n_units - 1) for one in (self.now, design))
            unsure = of_pair**2 / (pairing.df * n_then / n_now)
            variance = problems + of_pair
        return float(variance), float(variance**2 / unsure) if unsure > 0 else np.inf

    def _over_replicates(
        self, design: Design, influence: Sequence[np.ndarray], v: Sequence[np.ndarray]
    ) -> tuple[float, float]:
        """V and its degrees of freedom, of replicates."""
        moved = [one * of_arm for one, of_arm in zip(influence, v, strict=True)]
        at_sizes = [
            one @ onto_sizes(np.log(self.sizes_of(arm, design)), self.comparison.ln_n(arm))
            for arm, one in zip(self.pair, moved, strict=True)
        ]
        deviations = [self._deviations(arm) for arm in self.pair]
        together = sum(of_arm @ one for of_arm, one in zip(deviations, at_sizes, strict=True))
        variance = float(np.square(together).sum())
        total, folded = (sum(float(np.square(one).sum()) for one in each) for each in (moved, at_sizes))
        apart = min(own_noise([self.comparison.ln_n(arm) for arm in self.pair], deviations) * folded, variance)
        variance += apart * (total / folded - 1)
        if "n_test" in self.comparison.draws.table.cells:
            tested = sum(float(np.square(one) @ of_arm) for one, of_arm in zip(influence, v, strict=True))
            variance = max(variance - tested / self.now.n_test, 0.0) + tested / design.n_test
        return variance / design.n_units, float(design.n_units - 1)

    def _deviations(self, arm: str) -> np.ndarray:
        """(n_replicates, n_sizes) whose sums of products are the covariances of one replicate, in the unit of noise."""
        seen, cells = self.comparison.draws.replicates, self.comparison.draws.table.cells_of(arm)
        assert seen is not None
        return np.asarray((seen.deviations / np.sqrt(seen.n_of_cell - 1))[:, cells])

    def _df(self, df: float, design: Design, is_shared: bool) -> float:
        """Degrees of freedom of a part of the seed variance under a design; the other arms' of the table stay."""

        def own(one: Design) -> int:
            n_groups = 2 if is_shared else sum(len(self.sizes_of(arm, one)) for arm in self.pair)
            return n_groups * (one.n_units - 1)

        return max(df + own(design) - own(self.now), 1.0)

    def _influence(self, arm: str, sizes: tuple[float, ...], is_local: bool) -> tuple[np.ndarray, np.ndarray]:
        """d ln n_k(e) / d y_c, (n_sizes,), by central differences through the fit or the curve without it, and v_c."""
        step, ln_n, table = 1e-5, np.log(sizes), self.comparison.draws.table
        error = np.clip(self.curve[arm].error_at(ln_n)[0], 1e-3, np.inf if table.is_loss else 0.999)
        v = error if table.is_loss else error * (1 - error)  # a loss has noise in units of itself
        rows = error + step * np.concatenate([np.eye(len(error)), -np.eye(len(error))])
        at = np.array([self.error])
        if is_local:
            free = local_curves(ln_n, np.concatenate([error[None], rows]), v).ln_size_at(at)[1:, 0]
            if np.isfinite(free).all():
                return (free[: len(error)] - free[len(error) :]) / (2 * step), v
        curves = fit_curves(self.law, ln_n, rows, np.ones(len(error)), ceiling=table.reference_error, top=table.top)
        ends = curves.ln_size_at(at)[:, 0]
        return (ends[: len(error)] - ends[len(error) :]) / (2 * step), v


def onto_sizes(ln_n: np.ndarray, run: np.ndarray) -> np.ndarray:
    """(n_sizes, n_run) weights of a straight line between the sizes that were run on either side; beyond, the end's."""
    return np.stack([np.interp(ln_n, run, one) for one in np.eye(len(run))], axis=1)


def own_noise(ln_n: Sequence[np.ndarray], deviations: Sequence[np.ndarray]) -> float:
    """Variance of what a cell has for itself in each replicate, by how far it lies off the line of its neighbours.

    Args:
        ln_n: of each arm (n_sizes,), 3 or more.
        deviations: of each arm (n_replicates, n_sizes), as of Width.
    """
    squares = weights = 0.0
    for at, of_arm in zip(ln_n, deviations, strict=True):
        for k in range(1, len(at) - 1):
            share = (at[k] - at[k - 1]) / (at[k + 1] - at[k - 1])
            gap = of_arm[:, k] - (1 - share) * of_arm[:, k - 1] - share * of_arm[:, k + 1]
            squares, weights = squares + float(np.square(gap).sum()), weights + 1 + (1 - share) ** 2 + share**2
    return squares / weights


def _correlation(drawn: Draws, cells: np.ndarray) -> tuple[float, float]:
    """Mean correlation over problems of two runs' outcomes, of one cell and of two; from counts what the scatter
    between seeds shows of it."""
    table = drawn.table
    if table.kind == "counts":
        r = count_correlation(table)
        return (1.0, 1.0) if table.is_unpaired else (r, float(common_between_cells(r)))
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
    r = float(np.clip(top / bottom, 0.0, 0.999)) if bottom > 0 else 0.0
    return r, r
