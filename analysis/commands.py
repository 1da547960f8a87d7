"""The commands as typed functions with frozen results; __main__ prints what they return.

fits(path)         -> tuple[FitResult, ...] | SharedFit | SurfaceFit
multipliers(path)  -> tuple[Comparison result, ...]     value or bound, shape, curve
what_next(path)    -> tuple[NextRuns, ...]
held_out(path)     -> Validation
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.design.next_runs import NextRuns, priced_in, runs_for
from analysis.design.width import NoWidth
from analysis.held_out import Validation, validate
from analysis.intervals import interval
from analysis.laws.fit import FitResult, fit_shared
from analysis.laws.forms import FORMS, form
from analysis.noise.malformed import Malformed, malformed_note, malformed_of
from analysis.notes import Note, sorted_notes
from analysis.options import Options, comparison_of
from analysis.worth import readings
from analysis.worth.by_unit import ByUnit, each_unit
from analysis.worth.comparison import Comparison
from analysis.worth.delta import DeltaInterval, delta_interval
from analysis.worth.identity import Identity, identity_of
from analysis.worth.joint import jointly
from analysis.worth.multiplier import Multiplier
from analysis.worth.shape import MultiplierCurve, Shape, multiplier_curve, shape_of
from sweep.terminal.progress import counted
from sweep.terminal.words import listed, nearest


@dataclass(frozen=True)
class SharedFit:
    """A shared-shape law over several arms: one slope (and floor), an error at n_ref an arm."""

    law: str
    arms: tuple[str, ...]
    params: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    level: float
    n_ref: float
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Result:
    """All that is said of one pair.

    Args:
        shape, curve, delta: None where the arms have no curves or share no error.
        by_unit: replicates (or seeds) one by one; None where some have no value.
        malformed: the arm's share of malformed solutions and its entropy at each of its sizes, where the table tells.
        identity: the baseline against itself, the same for every arm.
        measure: what was compared: error or loss.
    """

    multiplier: Multiplier
    shape: Shape | None
    curve: MultiplierCurve | None
    delta: DeltaInterval | None
    by_unit: ByUnit | None = None
    malformed: tuple[Malformed, ...] = ()
    identity: Identity | None = None
    measure: str = "error"


def _of_what_is_left(options: Options) -> str:
    """That rows were left out by --where, where they were."""
    told = " and ".join(f"{name}={value}" for name, value in options.columns.filters.items())
    return f" (of the rows that --where {told} leaves)" if told else ""


def _arms(comparison: Comparison, options: Options) -> list[str]:
    table = comparison.draws.table
    if options.baseline not in set(table.runs["arm"]):
        raise ValueError(
            f"{table.path}: baseline {options.baseline!r} is not in the table"
            f"{nearest(options.baseline, table.arms)}; its arms are "
            f"{listed(table.arms)}; name one with --baseline{_of_what_is_left(options)}"
        )
    table.cells_of(options.baseline)
    arms = list(options.of) or [arm for arm in table.arms if arm != options.baseline]
    if not arms:
        raise ValueError(f"{table.path}: {options.baseline} is the only arm, a multiplier compares two")
    return arms


def fits(path: str | Path, options: Options | None = None) -> tuple[FitResult, ...] | SharedFit:
    """Every arm (or those asked for) under the law; under auto the power law and, with 5 sizes, its floor. Each says
    for which arms `multiplier` reads it.

    Raises:
        ValueError: no arm has the sizes for the law.
    """
    options = options or Options()
    if options.law != "auto" and form(options.law).is_shared:
        return _shared(comparison_of(path, options, law="auto"), options)
    comparison = comparison_of(path, options)
    table, out = comparison.draws.table, []
    for arm in counted(options.of or table.arms, "laws of the arms"):
        laws = [options.law]
        if options.law == "auto":
            laws = [law for law in ("power", "power_floor") if comparison.n_sizes(arm) >= FORMS[law].n_sizes]
        out += [comparison.fit(arm, law) for law in laws]
    if not out:
        sizes = ", ".join(f"{arm} {comparison.n_sizes(arm)}" for arm in table.arms)
        raise ValueError(f"{table.path}: a power law needs 3 sizes or more, found {sizes}; run more sizes")
    read = [_read_by_multiplier(comparison, one, options.baseline) for one in out]
    return tuple(dataclasses.replace(one, notes=sorted_notes((*table.notes, *one.notes))) for one in read)


def _read_by_multiplier(comparison: Comparison, one: FitResult, baseline: str) -> FitResult:
    """The fit, with the arms that `multiplier` reads it for; none where the baseline has no curve."""
    arms = comparison.draws.table.arms
    if baseline not in arms or comparison.n_sizes(baseline) < 3:
        return one
    others = [arm for arm in arms if arm != baseline] if one.arm == baseline else [one.arm]
    used = [arm for arm in others if comparison.law_of(arm, baseline) == one.law]
    refuted = tuple(arm for arm in used if comparison.is_refuted(one.law, arm, baseline))
    return dataclasses.replace(one, read_for=tuple(arm for arm in used if arm not in refuted), refuted_for=refuted)


def _shared(comparison: Comparison, options: Options) -> SharedFit:
    table = comparison.draws.table
    arms = tuple(options.of or [arm for arm in table.arms if comparison.n_sizes(arm) >= 2])
    total = sum(comparison.n_sizes(arm) for arm in arms)
    if len(arms) < 2 or total < len(arms) + form(options.law).n_params:
        raise ValueError(
            f"{table.path}: {options.law} needs two arms and more cells than parameters, found {total} cells of "
            f"{', '.join(arms) or 'no arm'}; run more sizes"
        )
    curves = fit_shared(
        options.law,
        [comparison.ln_n(arm) for arm in arms],
        [comparison.arm_errors(arm) for arm in arms],
        [comparison.draws.weights[table.cells_of(arm)] for arm in arms],
        n_grid=200,
    )
    columns: dict[str, np.ndarray] = {"b": curves[0].slope}
    if FORMS[options.law].has_floor:
        columns["floor"] = curves[0].floor
    columns |= {f"excess_at_ref[{arm}]": one.excess for arm, one in zip(arms, curves, strict=True)}
    params = {name: float(values[0]) for name, values in columns.items()}
    intervals = {name: interval(values[1:], options.level) for name, values in columns.items()}
    n_ref = float(np.exp(curves[0].ln_n_ref))
    return SharedFit(options.law, arms, params, intervals, options.level, n_ref, sorted_notes(table.notes))


def multipliers(
    path: str | Path,
    options: Options | None = None,
    *,
    at_error: float | None = None,
    at_size: float | None = None,
) -> tuple[Result, ...]:
    """The multiplier of each arm over the baseline, at the middle of the overlap or where it was asked; beside the
    single limits those that hold for all arms at once, and the baseline against itself.
    """
    options = options or Options()
    comparison = comparison_of(path, options)
    found = [
        result(comparison, arm, options.baseline, at_error=at_error, at_size=at_size)
        for arm in counted(_arms(comparison, options), "multipliers of the arms")
    ]
    together, identity = jointly([one.multiplier for one in found]), identity_of(comparison, options.baseline)
    return tuple(
        dataclasses.replace(one, multiplier=m, identity=identity) for one, m in zip(found, together, strict=True)
    )


def result(
    comparison: Comparison,
    arm: str,
    baseline: str,
    *,
    at_error: float | None = None,
    at_size: float | None = None,
) -> Result:
    """One pair: the reading, and shape, curve and fast interval where the curves allow."""
    if at_error is not None:
        m = readings.at_error(comparison, arm, baseline, at_error)
    elif at_size is not None:
        m = readings.at_size(comparison, arm, baseline, at_size)
    else:
        m = readings.headline(comparison, arm, baseline)
    has_curves = min(comparison.n_sizes(arm), comparison.n_sizes(baseline)) >= 3
    fast = None
    if has_curves and m.kind == "interior" and m.at_size is None:
        try:
            fast = delta_interval(comparison, arm, baseline, at_error=m.at_error)
        except ValueError:
            fast = None  # no derivative at this point; the bootstrap's interval stands
    malformed = malformed_of(comparison.draws.table, baseline, comparison.level, (arm,))
    if (broken := malformed_note(malformed, baseline)) is not None:
        m = dataclasses.replace(m, notes=sorted_notes((*m.notes, broken)))
    return Result(
        m,
        shape_of(comparison, arm, baseline) if has_curves else None,
        multiplier_curve(comparison, arm, baseline) if has_curves else None,
        fast,
        each_unit(comparison, m),
        malformed,
        measure=comparison.draws.table.measure,
    )


@dataclass(frozen=True)
class NoNextRuns:
    """An arm for which no width can be predicted, and why."""

    arm: str
    baseline: str
    why: str


def what_next(
    path: str | Path, options: Options | None = None, *, width: float | None = None, tell: float = 2.0
) -> tuple[NextRuns | NoNextRuns, ...]:
    """A plan an arm; see next_runs.runs_for. Of all arms of a table, those without a plan say why.

    options.cost is what new runs are priced in; the axis stays the size.

    Raises:
        ValueError: an arm that was asked for by name has no plan.
    """
    options = options or Options()
    comparison = comparison_of(path, dataclasses.replace(options, cost=None))
    priced_in(comparison.draws.table, options.cost)
    out: list[NextRuns | NoNextRuns] = []
    for arm in counted(_arms(comparison, options), "designs of the arms"):
        try:
            out.append(runs_for(comparison, arm, options.baseline, width=width, tell=tell, cost=options.cost))
        except NoWidth as error:
            if arm in options.of:
                raise
            out.append(NoNextRuns(arm, options.baseline, str(error)))
    return tuple(out)


def held_out(path: str | Path, options: Options | None = None, laws: Sequence[str] | None = None) -> Validation:
    """Rolling-origin scores of the laws on the table."""
    options = options or Options()
    return validate(comparison_of(path, options, law="auto").draws, laws, of=options.of)
