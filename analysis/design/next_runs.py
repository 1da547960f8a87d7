"""What to run next: how wide the interval is now, what would narrow it, and what that costs; width.py predicts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

from analysis.arms import word
from analysis.design.width import Design, Form, Width
from analysis.tables.table import COSTS, Table
from analysis.worth.comparison import Comparison
from sweep.terminal.words import nearest

POWER = 0.80
MAX_UNITS = 32  # seeds, or replicates


@dataclass(frozen=True)
class Option:
    """A larger design, what its interval would be, and what the new runs cost.

    Args:
        se: half the interval of ln m in normal units: its standard error, with the price of few seeds in it.
        factor: the interval would be m within *factor* times either way.
        n_new_runs: runs of the two arms that do not exist yet: of a new seed or replicate those of both, at every size.
        cost: of the new runs in `cost_name`, without the base that a new replicate needs; None where the table does not
            say what runs cost.
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
class NextRuns:
    """Today's width, the wanted one and the options, the cheapest that reaches it first.

    Args:
        law, form: what `multiplier` reads its value and limits of today from, which are those here: "law and local";
            "local", where residuals refute the law; "law" where the rest has no limits (width.py says why).
        unit: what a design has `n_units` of: "seed", or "replicate" where each draws everything anew.
        target: what was asked, in words; `target_se` the standard error of ln m that gives it.
        is_reached: today's design is enough, and there are no options.
    """

    arm: str
    baseline: str
    at_error: float
    multiplier: float
    law: str
    form: Form
    unit: str
    now: Design
    se: float
    factor: float
    target: str
    target_se: float
    is_reached: bool
    cost_name: str | None
    options: tuple[Option, ...]


def runs_for(
    comparison: Comparison,
    arm: str,
    baseline: str,
    *,
    width: float | None = None,
    tell: float = 2.0,
    cost: str | None = None,
) -> NextRuns:
    """Options that bring the interval of the pair to a wanted width.

    Args:
        width: wanted factor: m known to within this factor either way, at the comparison's level.
        tell: without a width, distinguish a multiplier of `tell` from 1 with 80 % power.
        cost: column that new runs are priced in; seconds of all stages, or else tokens, where the table has them.
    Raises:
        ValueError: the wanted factor is not above 1, or the table lacks the cost. NoWidth: see there.
    """
    if (width is not None and width <= 1) or tell <= 1:
        raise ValueError(f"width={width}, tell={tell}: a factor above 1 was expected, for example 1.25")
    width_of = Width(comparison, arm, baseline)
    search = _Search(width_of, priced_in(comparison.draws.table, cost))
    target, target_se = _target(width, tell, width_of.normal, comparison.level)
    return NextRuns(
        arm=arm,
        baseline=baseline,
        at_error=width_of.error,
        multiplier=width_of.multiplier,
        law=width_of.law,
        form=width_of.form,
        unit=search.unit,
        now=width_of.now,
        se=width_of.se_now,
        factor=float(np.exp(width_of.normal * width_of.se_now)),
        target=target,
        target_se=target_se,
        is_reached=width_of.se_now <= target_se,
        cost_name=search.cost_name,
        options=() if width_of.se_now <= target_se else tuple(search.narrower(target_se)[:8]),
    )


def _target(width: float | None, tell: float, normal: float, level: float) -> tuple[str, float]:
    """What was asked in words, and the standard error of ln m that gives it."""
    if width:
        return f"m within a factor of {width:g}", float(np.log(width) / normal)
    words = f"{tell:g}x distinguished from 1x with {POWER:.0%} power at level {level:.0%}"
    return words, float(np.log(tell) / (normal + stats.norm.ppf(POWER)))


class _Search:
    """The designs that one could run next, and what they cost."""

    def __init__(self, width: Width, cost_name: str | None) -> None:
        self.width, self.cost_name, self.table = width, cost_name, width.comparison.draws.table
        self.now = width.now
        self.unit = "replicate" if self.table.n_replicates else "seed"
        runs = self.table.runs[self.table.runs["size"] > 0]
        self.have: dict[tuple[str, float], set[object]] = {}
        for arm, size, name in runs[["arm", "size", self.unit]].to_numpy(object).tolist():
            self.have.setdefault((arm, size), set()).add(name)
        self.names = sorted(set(runs[self.unit].tolist()))
        self.beside = self._beside()
        self.cost_line = cache(self._cost_line)

    def _beside(self) -> dict[str, tuple[object, ...]]:
        """What else a new run is of: the seeds of a replicate that has several, or the one replicate of all seeds."""
        if self.unit == "seed":
            only = self.table.only_replicate
            return {} if only is None or str(only) == "0" else {"replicate": (only,)}
        runs = self.table.runs[(self.table.runs["size"] > 0) & (self.table.runs["replicate"] == self.names[-1])]
        seeds = tuple(sorted(set(runs["seed"].tolist())))
        return {"seed": seeds} if len(seeds) > 1 else {}

    def narrower(self, target_se: float) -> list[Option]:
        """The options that narrow the interval: first those that reach the target, the cheapest first."""
        return sorted(
            (one for one in self.options(target_se) if one.se < self.width.se_now * 0.999),
            key=lambda one: (one.se > target_se * 1.0001, one.cost if one.cost is not None else one.n_new_runs, one.se),
        )

    def options(self, target_se: float) -> list[Option]:
        """Each lever alone up to its limit, and the cheapest combinations."""
        out = []
        for sizes, n_units, n_test in itertools.product(self._size_lists(), self._unit_counts(), self._test_counts()):
            design = Design(sizes, n_units, n_test)
            se, n_more = self.width.se(design), len(sizes) - len(self.now.sizes)
            levers = [
                f"{n_more} more size{'s' if n_more > 1 else ''}" if n_more else "",
                f"{n_units} {self.unit}s" if n_units != self.now.n_units else "",
                f"{n_test:,} test problems" if n_test != self.now.n_test else "",
            ]
            n_levers = sum(bool(lever) for lever in levers)
            if n_levers and (se <= target_se or n_levers == 1):
                out.append(self._option(", ".join(filter(None, levers)), design, se))
        return _cheapest(out, target_se)

    def _unit_counts(self) -> list[int]:
        now = self.now.n_units
        most = max(now, MAX_UNITS)
        return sorted({now, now + 1, now + 2, 2 * now, 3 * now, 4 * now, 8 * now} & set(range(now, most + 1)))

    def _test_counts(self) -> list[int]:
        known = "n_test" in self.table.cells
        return [self.now.n_test * k for k in (1, 2, 4, 8)] if known else [self.now.n_test]

    def _size_lists(self) -> list[tuple[float, ...]]:
        now = self.now.sizes
        middles = [float(round(np.sqrt(a * b))) for a, b in itertools.pairwise(now)]
        ratio = now[1] / now[0]
        larger = float(round(now[-1] * ratio))
        return [now, (*now, larger), (*now, larger, float(round(larger * ratio))), tuple(sorted({*now, *middles}))]

    def _option(self, what: str, design: Design, se: float) -> Option:
        new, each = self._new_cells(design), len(self.beside.get("seed", (0,)))
        n_runs = [each * len(names) for _, _, names in new]
        costs = [self._cost(arm, size) * n for (arm, size, _), n in zip(new, n_runs, strict=True) if self.cost_name]
        factor = float(np.exp(self.width.normal * se))
        overrides = _overrides(new, self.table.x_name, self.unit, self.beside)
        return Option(what, design, se, factor, sum(n_runs), sum(costs) if self.cost_name else None, overrides)

    def _new_cells(self, design: Design) -> list[tuple[str, float, tuple[object, ...]]]:
        """(arm, size, seeds or replicates) that the design asks for and the table lacks: those that other cells have,
        so that arms and sizes stay paired, then the numbers after the largest.
        """
        numbers = [number for name in self.names if (number := _number(name)) is not None]
        later = range(max(numbers, default=-1) + 1, max(numbers, default=-1) + 1 + design.n_units)
        out = []
        for arm, size in [(one, n) for one in self.width.pair for n in self.width.sizes_of(one, design)]:
            have = self.have.get((arm, size), set())
            fresh = [name for name in (*self.names, *later) if name not in have][: max(0, design.n_units - len(have))]
            if fresh:
                out.append((arm, size, tuple(fresh)))
        return out

    def _cost(self, arm: str, size: float) -> float:
        slope, level = self.cost_line(arm)
        return float(np.exp(level + slope * np.log(size)))

    def _cost_line(self, arm: str) -> tuple[float, float]:
        """Slope and level of ln cost of a run against ln size."""
        runs = self.table.runs
        rows = runs[(runs["arm"] == arm) & (runs["size"] > 0) & (runs[self.cost_name] > 0)]
        if not len(rows):
            return 0.0, -np.inf
        ln_n, ln_cost = np.log(rows["size"].to_numpy(float)), np.log(rows[self.cost_name].to_numpy(float))
        return tuple(np.polyfit(ln_n, ln_cost, 1)) if len(set(ln_n)) > 1 else (1.0, float((ln_cost - ln_n).mean()))


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


def priced_in(table: Table, asked: str | None) -> str | None:
    """The column that runs are priced in; None where the table does not say what they cost."""
    if asked is not None and asked not in table.runs:
        known = [name for name in map(str, table.runs) if name.startswith("total_") or name in COSTS]
        there = f"{nearest(asked, known)}; there are {', '.join(known) or 'none'}"
        raise ValueError(f"{table.path}: no column {asked!r} to price runs in{there}")
    names = (asked, "total_seconds", "total_flops", "total_n_trained_tokens", "seconds")
    return next((name for name in names if name in table.runs), None)


def _number(name: object) -> int | None:
    """The name of a seed or replicate as a whole number; None where it is none."""
    text = f"{name:g}" if isinstance(name, float) else str(name)
    return int(text) if text.isdecimal() else None


def _overrides(
    new: Sequence[tuple[str, float, tuple[object, ...]]],
    x_name: str,
    unit: str,
    beside: Mapping[str, tuple[object, ...]],
) -> tuple[str, ...]:
    """`arm=sft,rft n_problems=512,1024 seed=2,3`: a string for each block of arms, sizes and seeds (or replicates)."""
    by_arm: dict[tuple[str, tuple[object, ...]], set[float]] = {}
    for arm, size, names in new:
        by_arm.setdefault((arm, names), set()).add(size)
    blocks: dict[tuple[tuple[float, ...], tuple[object, ...]], list[str]] = {}
    for (arm, names), sizes in by_arm.items():
        blocks.setdefault((tuple(sorted(sizes)), names), []).append(word(arm))
    return tuple(
        " ".join(
            f"{name}={','.join(values)}"
            for name, values in {
                "arm": arms,
                x_name: [f"{size:.0f}" for size in sizes],
                unit: map(_text, names),
                **{name: map(_text, values) for name, values in beside.items()},
            }.items()
        )
        for (sizes, names), arms in sorted(blocks.items(), key=lambda block: (block[0][0], str(block[0][1])))
    )


def _text(name: object) -> str:
    return str(name) if (number := _number(name)) is None else str(number)
