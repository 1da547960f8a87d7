"""What to run next: how wide the interval is now, what would narrow it, and what that costs.

The interval of a study that was not run is predicted from this one. With L_c the derivative of ln m by cell mean c
(through the fit), p_c the fitted error, v_c = p_c (1 - p_c), S seeds and J test problems,
    V = 1/J sum_{c,d} L_c L_d cov_cd  +  phi/S sum_c L_c^2 v_c^2,
    cov_cc = v_c (r + (1 - r)/S),   cov_cd = r sqrt(v_c v_d),
r the mean correlation of two runs' outcomes on one problem, measured here. The formula is scaled so that it gives
today's bootstrap interval for today's design. For a shared exponent and K sizes an arm it is close to
SE(ln m) = (sigma / b) sqrt(2/K + (ln m)^2 / (2 S_xx)).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.fit import fit_curves
from analysis.multiplier import Comparison
from analysis.resample import Draws

POWER = 0.80
MAX_SEEDS, MAX_PROBLEMS = 32, 64


class NoWidth(ValueError):
    """The pair's curves do not cross an error that both fits reach, so no width can be predicted."""


@dataclass(frozen=True)
class Design:
    """Sizes of both arms, seeds a cell and test problems."""

    sizes: tuple[float, ...]
    n_seeds: int
    n_test: int


@dataclass(frozen=True)
class Option:
    """A larger design, what its interval would be, and what the new runs cost.

    Args:
        factor: the interval would be m within *factor* times either way.
        n_new_runs: runs of the two arms that do not exist yet.
        cost: of the new runs in `cost_name`; None where the table does not say what runs cost.
        overrides: the new cells as Hydra overrides; empty where only test problems change.
    """

    what: str
    design: Design
    se: float
    factor: float
    n_new_runs: int
    cost: float | None
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Today's width, the wanted one and the options, the cheapest that reaches it first.

    Args:
        target: what was asked, in words; `target_se` the standard error of ln m that gives it.
        is_reached: today's design is enough.
    """

    arm: str
    baseline: str
    at_error: float
    multiplier: float
    now: Design
    se: float
    factor: float
    target: str
    target_se: float
    is_reached: bool
    cost_name: str | None
    options: tuple[Option, ...]


def plan(comparison: Comparison, arm: str, baseline: str, *, width: float | None = None, tell: float = 2.0) -> Plan:
    """Options that bring the interval of the pair to a wanted width.

    Args:
        width: wanted factor: m known to within this factor either way, at the comparison's level.
        tell: without a width, tell a multiplier of `tell` from 1 with 80 % power.
    Raises:
        ValueError: the wanted factor is not above 1.
        NoWidth: a curve is missing, or the two do not reach a common error.
    """
    if (width is not None and width <= 1) or tell <= 1:
        raise ValueError(f"width={width}, tell={tell}: a factor above 1 was expected, for example 1.25")
    model = _Model(comparison, arm, baseline)
    z = stats.norm.ppf((1 + comparison.level) / 2)
    target_se = np.log(width) / z if width else np.log(tell) / (z + stats.norm.ppf(POWER))
    target = (
        f"m within a factor of {width:g}"
        if width
        else f"{tell:g}x told from 1x with {POWER:.0%} power at level {comparison.level:.0%}"
    )
    options = sorted(
        (one for one in model.options(target_se) if one.se < model.se_now * 0.999),
        key=lambda one: (one.se > target_se * 1.0001, one.cost if one.cost is not None else one.n_new_runs, one.se),
    )
    return Plan(
        arm=arm,
        baseline=baseline,
        at_error=model.error,
        multiplier=model.multiplier,
        now=model.now,
        se=model.se_now,
        factor=float(np.exp(z * model.se_now)),
        target=target,
        target_se=float(target_se),
        is_reached=model.se_now <= target_se,
        cost_name=model.cost_name,
        options=tuple(options[:8]),
    )


class _Model:
    """The predicted standard error of ln m for any design, anchored at the bootstrap of this one."""

    def __init__(self, comparison: Comparison, arm: str, baseline: str) -> None:
        self.comparison, self.pair = comparison, (baseline, arm)
        drawn, table = comparison.draws, comparison.draws.table
        self.law = "power"
        short = [one for one in self.pair if comparison.n_sizes(one) < 3]
        if short:
            raise NoWidth(
                f"{short[0]} has {comparison.n_sizes(short[0])} sizes, a curve needs 3: run more sizes of it first"
            )
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
        self.correlation = _correlation(drawn, cells)
        self.phi = drawn.seeds.phi
        low, high = np.quantile(ln_m[1:][np.isfinite(ln_m[1:])], [0.159, 0.841])
        self.se_now = float((high - low) / 2)
        self.scale = 1.0
        self.scale = self.se_now / max(self.se(self.now), 1e-12)
        names = [name for name in ("total_seconds", "total_n_trained_tokens", "seconds") if name in table.runs]
        self.cost_name = names[0] if names else None

    def _error(self, arm: str, baseline: str) -> float:
        shared = self.comparison.overlap(arm, baseline)
        if shared:
            return float(np.sqrt(shared[0] * shared[1]))
        (low_1, high_1), (low_0, high_0) = (self.comparison.observed_range(one) for one in (arm, baseline))
        return float(np.sqrt(max(low_0, low_1) * min(high_0, high_1)))

    def se(self, design: Design) -> float:
        """Predicted standard error of ln m."""
        ln_n = np.log(design.sizes)
        error = {one: np.clip(self.curve[one].error_at(ln_n)[0], 1e-3, 0.999) for one in self.pair}
        gradient = np.concatenate(
            [sign * self._influence(one, ln_n, error[one]) for one, sign in zip(self.pair, (1.0, -1.0), strict=True)]
        )
        p = np.concatenate([error[one] for one in self.pair])
        v = p * (1 - p)
        weighted = gradient * np.sqrt(v)
        own = (1 - self.correlation) / design.n_seeds
        problems = (self.correlation * weighted.sum() ** 2 + own * np.square(weighted).sum()) / design.n_test
        seeds = self.phi / design.n_seeds * np.square(gradient * v).sum()
        return float(self.scale * np.sqrt(problems + seeds))

    def _influence(self, arm: str, ln_n: np.ndarray, error: np.ndarray) -> np.ndarray:
        """d ln n_k(e) / d y_c, (n_sizes,), by central differences through the fit."""
        step = 1e-5
        rows = error + step * np.concatenate([np.eye(len(error)), -np.eye(len(error))])
        ends = fit_curves(self.law, ln_n, rows, np.ones(len(error))).ln_size_at(np.array([self.error]))[:, 0]
        return (ends[: len(error)] - ends[len(error) :]) / (2 * step)

    def options(self, target_se: float) -> list[Option]:
        """Each lever alone up to its limit, and the cheapest combinations."""
        out = []
        for sizes, n_seeds, n_test in itertools.product(self._size_lists(), self._seed_counts(), self._test_counts()):
            design = Design(sizes, n_seeds, n_test)
            se = self.se(design)
            levers = [
                f"{len(sizes) - len(self.now.sizes)} more sizes" if sizes != self.now.sizes else "",
                f"{n_seeds} seeds" if n_seeds != self.now.n_seeds else "",
                f"{n_test:,} test problems" if n_test != self.now.n_test else "",
            ]
            n_levers = sum(bool(lever) for lever in levers)
            if n_levers and (se <= target_se or n_levers == 1):
                out.append(self._option(", ".join(filter(None, levers)), design, se))
        return _cheapest(out, target_se)

    def _seed_counts(self) -> list[int]:
        now = self.now.n_seeds
        return sorted({now, now + 1, now + 2, 2 * now, 3 * now, 4 * now, 8 * now} & set(range(now, MAX_SEEDS + 1)))

    def _test_counts(self) -> list[int]:
        known = "n_test" in self.comparison.draws.table.cells
        return [self.now.n_test * k for k in (1, 2, 4, 8)] if known else [self.now.n_test]

    def _size_lists(self) -> list[tuple[float, ...]]:
        now = self.now.sizes
        middles = [float(round(np.sqrt(a * b))) for a, b in itertools.pairwise(now)]
        ratio = now[1] / now[0]
        larger = float(round(now[-1] * ratio))
        return [now, (*now, larger), (*now, larger, float(round(larger * ratio))), tuple(sorted({*now, *middles}))]

    def _option(self, what: str, design: Design, se: float) -> Option:
        new = self._new_cells(design)
        cost = sum(self._cost(arm, size) * len(seeds) for arm, size, seeds in new) if self.cost_name else None
        z = stats.norm.ppf((1 + self.comparison.level) / 2)
        return Option(
            what, design, se, float(np.exp(z * se)), sum(len(seeds) for _, _, seeds in new), cost, _overrides(new)
        )

    def _new_cells(self, design: Design) -> list[tuple[str, float, tuple[int, ...]]]:
        """(arm, size, new seeds) that the design asks for and the table lacks."""
        runs = self.comparison.draws.table.runs
        out = []
        for arm, size in itertools.product(self.pair, design.sizes):
            have = set(runs.loc[(runs["arm"] == arm) & (runs["size"] == size), "seed"])
            fresh = [seed for seed in range(MAX_SEEDS * 2) if seed not in have][: max(0, design.n_seeds - len(have))]
            if fresh:
                out.append((arm, size, tuple(fresh)))
        return out

    def _cost(self, arm: str, size: float) -> float:
        """Cost of one run from a line through ln cost against ln size."""
        table = self.comparison.draws.table
        rows = table.runs[(table.runs["arm"] == arm) & (table.runs["x"] > 0) & (table.runs[self.cost_name] > 0)]
        if not len(rows):
            return 0.0
        ln_n, ln_cost = np.log(rows["size"].to_numpy(float)), np.log(rows[self.cost_name].to_numpy(float))
        slope, level = np.polyfit(ln_n, ln_cost, 1) if len(set(ln_n)) > 1 else (1.0, (ln_cost - ln_n).mean())
        return float(np.exp(level + slope * np.log(size)))


def _cheapest(options: Sequence[Option], target_se: float) -> list[Option]:
    """Drop an option that another beats in cost, new runs, test problems and width at once."""

    def price(one: Option) -> tuple[float, int, int]:
        return (one.cost or 0.0, one.n_new_runs, one.design.n_test)

    kept = []
    for one in options:
        rivals = (other for other in options if other is not one)
        is_beaten = any(
            all(a <= b for a, b in zip(price(other), price(one), strict=True))
            and (other.se <= one.se or other.se <= target_se)
            and (price(other) != price(one) or other.se < one.se)
            for other in rivals
        )
        if not is_beaten:
            kept.append(one)
    return kept


def _correlation(drawn: Draws, cells: np.ndarray) -> float:
    """Mean correlation over problems of two runs' outcomes; 0 where outcomes are not known."""
    table = drawn.table
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


def _overrides(new: Sequence[tuple[str, float, tuple[int, ...]]]) -> tuple[str, ...]:
    """`n_problems=512,1024 seed=2,3`, one string for each set of seeds; arms are the sweep's source and method."""
    by_seeds: dict[tuple[int, ...], set[float]] = {}
    for _, size, seeds in new:
        by_seeds.setdefault(seeds, set()).add(size)
    return tuple(
        f"n_problems={','.join(f'{size:.0f}' for size in sorted(sizes))} seed={','.join(map(str, seeds))}"
        for seeds, sizes in sorted(by_seeds.items(), key=lambda one: sorted(one[1]))
    )
