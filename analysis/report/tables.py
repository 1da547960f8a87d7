"""The report's tables: one function a table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from analysis.arms import in_order
from analysis.claims.rules import Difference
from analysis.held_out import Misses, Validation, rmsle_at
from analysis.intervals import interval
from analysis.laws.fit import FitResult
from analysis.sheet import Sheet
from analysis.worth.by_unit import ByUnit, difference_of_units
from analysis.worth.comparison import Comparison
from analysis.worth.multiplier import Multiplier
from analysis.worth.words import (
    FAR,
    beyond_text,
    by_unit_text,
    count,
    error_text,
    interval_text,
    joint_text,
    kind_text,
    multiplier_text,
    times,
)


def multiplier_sheet(
    name: str,
    caption: str,
    results: Sequence[Multiplier],
    x_name: str,
    validation: Validation | None = None,
    by_unit: Sequence[ByUnit | None] = (),
    broken: Collection[str] = (),
    measure: str = "error",
) -> Sheet:
    """One row a multiplier: value or bound, limits for all arms at once, where, kind, spread over laws; beside an
    extrapolated value, how well the law did when it was held to the same distance.

    Args:
        by_unit: replicates (or seeds) one by one, for each row; empty leaves the column out.
        broken: arms whose solutions were malformed; measure: what was compared, error or loss.
    """
    baseline = results[0].baseline if results else "baseline"
    columns = (
        "arm", f"worth in {baseline} {x_name}", "read at", "all arms at once", *(["each by itself"] if by_unit else []),
        "kind", "spread over laws", "law", "no solution",
    )  # fmt: skip
    each = by_unit or [None] * len(results)
    rows = [
        (
            f"{m.arm} (malformed)" if m.arm in broken else m.arm,
            multiplier_text(m) + _beyond(m, validation),
            _place(m, measure),
            joint_text(m) or "alone",
            *([] if not by_unit else ["no unit has every cell" if one is None else by_unit_text(one)]),
            kind_text(m.kind, measure),
            interval_text(*m.form_spread, times) if np.isfinite(m.form_spread).all() else "none defined",
            m.law,
            f"{m.frac_censored:.1%}",
        )
        for m, one in zip(results, each, strict=True)
    ]
    raw = [_raw(m, one) for m, one in zip(results, each, strict=True)]
    more = ("form_low", "form_high", "extrapolated_value", "joint_low", "joint_high", "n_joint", *_BY_UNIT)
    return Sheet(name, caption, columns, tuple(rows), (*_RAW, *more), tuple(raw))


def _raw(m: Multiplier, one: ByUnit | None) -> tuple[object, ...]:
    """The row's plain numbers, for the CSV."""
    joint = m.joint_ci or (None, None)
    by_unit = (one.mean, one.low, one.high, one.median, *(one.median_limits or (None, None))) if one else (None,) * 6
    named = (getattr(m, field) for field in _RAW)
    return (*named, *m.form_spread, m.extrapolated_value, *joint, m.n_joint, *by_unit)


_BY_UNIT = ("each_mean", "each_low", "each_high", "each_median", "each_median_low", "each_median_high")


_RAW = (
    "arm",
    "baseline",
    "at_error",
    "at_size",
    "multiplier",
    "ci_low",
    "ci_high",
    "level",
    "kind",
    "bound",
    "law",
    "method",
    "status",
    "frac_censored",
)


def _place(m: Multiplier, measure: str) -> str:
    at = f"{measure} {error_text(m.at_error)}"
    return at if m.at_size is None else f"n = {count(m.at_size)}, {at}"


def _beyond(m: Multiplier, validation: Validation | None) -> str:
    """The law's value beyond the sizes, with how well the law did when it was held to the same distance."""
    text = beyond_text(m)
    if not text:
        return ""
    if validation is not None and m.extrapolation <= FAR:
        known = rmsle_at(validation, m.law, m.extrapolation)
        text += "; no held-out size lies that far" if known is None else f"; held-out RMSLE that far {known:.2f}"
    return f" ({text})"


def cost_sheet(
    data: Sequence[Multiplier],
    by_cost: Mapping[str, Sequence[Multiplier | None]],
    baseline: str,
    spent: Mapping[str, Collection[str]],
) -> Sheet:
    """The data multiplier and the multiplier of each cost, an arm a row; who spends nothing is said.

    Args:
        by_cost: column -> a multiplier an arm, None where the arm or the baseline spends nothing.
        spent: column -> the arms that spend some of it in every run.
    """

    def cell(name: str, arm: str, m: Multiplier | None) -> str:
        if m is not None:
            return f"{multiplier_text(m)} at {error_text(m.at_error)}"
        return f"{arm if baseline in spent[name] else baseline} has runs that spend none, or the same at every size"

    columns = ("arm", "in problems", *(f"in {name}" for name in by_cost))
    rows = tuple(
        (
            m.arm,
            f"{multiplier_text(m)} at {error_text(m.at_error)}",
            *(cell(name, m.arm, found[i]) for name, found in by_cost.items()),
        )
        for i, m in enumerate(data)
    )
    raw_columns = ("arm", "cost", "multiplier", "ci_low", "ci_high", "bound", "kind", "at_error")
    every = [("n_problems", data), *by_cost.items()]
    raw = tuple(
        (m.arm, name, m.multiplier, m.ci_low, m.ci_high, m.bound, m.kind, m.at_error)
        for name, found in every
        for m in found
        if m is not None
    )
    caption = (
        f"What one unit of the arm is worth in units of {baseline}, in problems and in what the runs cost, each value "
        "with the error that it was read at."
    )
    return Sheet("cost", caption, columns, rows, raw_columns, raw)


def validation_sheet(found: Validation) -> Sheet:
    """Held-out scores, the best law first."""
    each = ("predictions", "mean square error in cell variances", "if true", "p", "RMSLE")
    columns = ("law", "parameters", *(f"{name}, {which}" for which in ("all laws'", "its own") for name in each))
    rows = tuple(
        (one.law, str(one.n_params), *_misses_cells(one.shared), *_misses_cells(one.own)) for one in found.scores
    )
    caption = (
        "Rolling-origin error of each law over all arms with 4 sizes: on the predictions that all laws can make, which "
        "rank them, and on all of its own, which judge it; what it would be if the law were true, and the share of "
        "such tables predicted as badly. Verdicts on the baseline's law are over the baseline alone."
    )
    return Sheet("held_out", caption, columns, rows)


def _misses_cells(one: Misses) -> tuple[str, ...]:
    mean = f"{one.mean_square_z:.2f} (se {one.se:.2f})"
    return (str(one.n_predictions), mean, f"{one.expected:.2f}", f"{one.p_value:.3f}", f"{one.rmsle:.3f}")


def error_sheet(comparisons: Mapping[str, Comparison]) -> Sheet:
    """Errors of every arm at every size, greedy and sampled, with intervals; the base model first."""
    columns = ("arm", "n_problems", "runs", *(f"{name} {one.draws.table.measure}" for name, one in comparisons.items()))
    first = next(iter(comparisons.values()))
    cells = first.draws.table.cells
    arms = in_order(set(cells["arm"]))
    order = sorted(range(len(cells)), key=lambda i: (arms.index(cells["arm"][i]), cells["size"][i]))
    rows, raw = [], []
    for i in order:
        texts, numbers = [], []
        for comparison in comparisons.values():
            low, high = interval(comparison.errors[1:, i], comparison.level)
            value = float(comparison.errors[0, i])
            texts.append(f"{error_text(value)} {interval_text(low, high, error_text)}")
            numbers += [value, low, high]
        head = (cells["arm"][i], count(cells["size"][i]), str(int(cells["n_seeds"][i])))
        rows.append((*head, *texts))
        raw.append((cells["arm"][i], cells["size"][i], int(cells["n_seeds"][i]), *numbers))
    raw_columns = (
        "arm",
        "n_problems",
        "n_seeds",
        *(f"{name}_{part}" for name in comparisons for part in ("error", "low", "high")),
    )
    return Sheet(
        "errors",
        f"Test {'losses' if first.draws.table.is_loss else 'errors'}, mean over replicates or seeds, with "
        f"{first.level:.0%} intervals.",
        columns,
        tuple(rows),
        raw_columns,
        tuple(raw),
    )


def difference_sheet(gaps: Sequence[Difference], comparison: Comparison) -> Sheet:
    """Controls: paired differences of error over the sizes both arms have, and over replicates or seeds alone."""
    each = [difference_of_units(comparison, gap.arm, gap.other, gap.sizes) for gap in gaps]
    rows = [
        (
            gap.arm,
            gap.other,
            f"{error_text(gap.value)} {interval_text(gap.ci_low, gap.ci_high, error_text)}",
            f"{interval_text(*own[3:], error_text)} over {own[0]} {own[1]}s" if own else "not every one has every cell",
            ", ".join(
                f"{count(n)}: {error_text(value)} {interval_text(low, high, error_text)}"
                for n, (value, low, high) in zip(gap.sizes, gap.by_size, strict=True)
            ),
        )
        for gap, own in zip(gaps, each, strict=True)
    ]
    raw = [
        (gap.arm, gap.other, gap.value, gap.ci_low, gap.ci_high, len(gap.sizes), *(own[3:] if own else (None, None)))
        for gap, own in zip(gaps, each, strict=True)
    ]
    return Sheet(
        "controls",
        f"Difference of {comparison.draws.table.measure}, first minus second arm, mean over their common sizes, "
        f"{comparison.level:.0%} paired interval, and Student's over replicates or seeds alone; negative: the "
        "first is better.",
        ("arm", "minus", f"difference of {comparison.draws.table.measure}", "each by itself (t)", "by size"),
        tuple(rows),
        ("arm", "other", "difference", "ci_low", "ci_high", "n_sizes", "each_low", "each_high"),
        tuple(raw),
    )


def fit_sheet(comparison: Comparison, baseline: str) -> Sheet:
    """Parameters of each arm's law, with status; no A +- SE, values at a reference size instead."""
    fits = [
        comparison.fit(arm, law)
        for arm in in_order(comparison.draws.table.arms)
        if comparison.n_sizes(arm) >= 3
        for law in dict.fromkeys(("power", comparison.law_of(arm, baseline)))
    ]
    return Sheet(
        "fits",
        f"Fitted laws: exponent with interval, {comparison.draws.table.measure} (or excess over the floor) at the "
        "reference size, floor, status of the optimum, share of the starts that reached it, bounds hit.",
        ("arm", "law", "exponent b", "at reference", "floor", "status", "starts at best", "bounds hit"),
        tuple(_fit_row(one) for one in fits),
        (
            "arm", "law", "b", "b_low", "b_high", "at_ref", "n_ref", "floor", "status", "frac_at_best", "objective",
        ),
        tuple(
            (
                one.arm, one.law, one.params["b"], *one.intervals["b"], one.params[_at_reference(one)],
                one.params["n_ref"], one.params.get("floor"), str(one.status), one.frac_at_best, one.objective,
            )
            for one in fits
        ),
    )  # fmt: skip


def _at_reference(fit: FitResult) -> str:
    """Name of the parameter that says how high the curve stands."""
    return next(name for name in ("error_at_ref", "excess_at_ref", "n_half") if name in fit.params)


def _fit_row(fit: FitResult) -> tuple[str, ...]:
    return (
        fit.arm,
        fit.law,
        f"{fit.params['b']:.3f} {interval_text(*fit.intervals['b'], '{:.3f}'.format)}",
        f"{fit.params[_at_reference(fit)]:.3f} at n = {count(fit.params['n_ref'])}",
        f"{fit.params['floor']:.3f}" if "floor" in fit.params else "none",
        str(fit.status),
        f"{fit.frac_at_best:.0%} of {fit.n_starts}",
        ", ".join(fit.bounds_hit) or "none",
    )
