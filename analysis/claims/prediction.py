"""Whether a table's values lie where a study in replicates predicts them for as many new replicates.

From R replicates with mean d and standard deviation s, the mean of m new ones lies, by Student, within

    d +- t_{R-1} s sqrt(1/R + 1/m)

in a share `level` of the cases; d is an arm's difference of error from the baseline, paired inside a replicate.

A multiplier is no mean: where the baseline's curve is flat, a small change of its errors moves it far, and up more
than down. So new mean errors are drawn, whole tables of them, sqrt(1 + R/m) times as far from the record's as its own
draws are, and the multiplier is read off each at the record's error. Limits are quantiles of these, open where they
lie beyond every ratio of sizes that the record ran; where the whole interval lies at a bound, the bound is the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from analysis.noise.replicates import units_of
from analysis.tables.table import Table, table_from_runs
from analysis.worth.comparison import Comparison
from analysis.worth.joint import jointly
from analysis.worth.multiplier import ROUNDING, Bound, Multiplier
from analysis.worth.readings import at_error, at_size, headline, is_readable

Place = Literal["inside", "outside", "undecided"]
Limits = tuple[float, float]


@dataclass(frozen=True)
class Predicted:
    """One value of the table here beside what the record says of it.

    Args:
        what: "difference": of error from the baseline, a mean over sizes and replicates; or "multiplier".
        limits: of the prediction for this value alone; joint: for all values of its kind at once.
        place, joint_place: where the value here lies; undecided where it is a bound that reaches over a limit.
        sizes: of a difference: those that it is a mean over; left_out: those that not every replicate of both has.
        sd: of a difference: over the record's replicates.
        at_errors: of a multiplier: where the record's and that here were read; None of a difference.
        bounds: of the record's value and of that here.
    """

    what: Literal["difference", "multiplier"]
    arm: str
    record: float
    here: float
    limits: Limits
    joint: Limits
    place: Place
    joint_place: Place
    sizes: tuple[float, ...] = ()
    left_out: tuple[float, ...] = ()
    sd: float | None = None
    at_errors: tuple[float, float] | None = None
    bounds: tuple[Bound, Bound] = ("=", "=")


@dataclass(frozen=True)
class Prediction:
    """What the record predicts for this table.

    Args:
        n_record, n_here: replicates; a table without them is of one base model, so one.
        apart: arm and why it is not compared.
        own: replicates here that are the record's own, and left out.
        why_not: why nothing is predicted at all; None where something is.
    """

    baseline: str
    level: float
    n_record: int
    n_here: int
    values: tuple[Predicted, ...] = ()
    apart: tuple[tuple[str, str], ...] = ()
    own: tuple[str, ...] = ()
    why_not: str | None = None


def why_not(record: Table, here: Table, baseline: str) -> str | None:
    """Why the record predicts nothing of the table here; None where it does."""
    if not record.n_replicates:
        return "The record has one base model and no replicates: nothing is predicted."
    if baseline not in record.arms:
        return f"The record has no {baseline}: nothing is predicted."
    if record.is_loss != here.is_loss:
        kinds = ("losses", "errors") if record.is_loss else ("errors", "losses")
        return f"The record holds {kinds[0]}, this table {kinds[1]}: nothing is predicted."
    own = own_replicates(record, here)
    if own and len(own) == len(here.replicate_names):
        are = f"Replicate {own[0]} is" if len(own) == 1 else f"Replicates {', '.join(own)} are"
        return f"{are} the record's own: a comparison with oneself is no prediction."
    return None


def own_replicates(record: Table, here: Table) -> tuple[str, ...]:
    """Replicates of the table here that the record has too, by their numbers."""
    return tuple(name for name in here.replicate_names if name in record.replicate_names)


def without_replicates(table: Table, names: Sequence[str]) -> Table:
    """The table without these of its replicates; some others must be left."""
    runs = table.runs[~table.runs["replicate"].astype(str).isin(names)].reset_index(drop=True)
    known = ("x_name", "y_name", "path", "is_unpaired", "is_loss", "ceiling", "provenance", "notes")
    return table_from_runs(runs, table.kind, **{name: getattr(table, name) for name in known})


def prediction_of(
    record: Comparison,
    here: Comparison,
    baseline: str,
    arms: Sequence[str],
    main: Sequence[str],
    own: tuple[str, ...] = (),
) -> Prediction:
    """The differences of all arms and the headline multipliers of the main ones, each beside its prediction.

    Args:
        record: of a table in replicates that holds the baseline.
        here: of a table with other replicates, or of one base model.
        arms: those to look at; of these, main: those with a headline multiplier.
        own: replicates of the record that were left out here.
    """
    theirs, mine = record.draws.table, here.draws.table
    shared = [arm for arm in arms if arm in theirs.arms and arm in mine.arms]
    apart = [
        (arm, f"in {'this table' if arm in mine.arms else 'the record'} alone") for arm in arms if arm not in shared
    ]
    gaps = [_gaps(theirs, mine, arm, baseline) for arm in shared]
    compared = [one for one in gaps if one.sizes]
    apart += [(one.arm, "no size at which every replicate of both tables has it") for one in gaps if not one.sizes]
    values = [_difference(one, record.level, len(compared)) for one in compared]
    if record.n_sizes(baseline) < 3:
        apart.append(("multipliers", f"the record has {baseline} at fewer than 3 sizes"))
    else:
        found = [headline(record, arm, baseline) for arm in main if arm in shared]
        new = record.of_new(max(mine.n_replicates, 1))
        limits = jointly([read_again(new, one) for one in found])
        told = [pair for pair in zip(found, limits, strict=True) if pair[1].ci_low > 0 or pair[1].ci_high < np.inf]
        open_ = {one.arm for one in found} - {one.arm for one, _ in told}
        apart += [(f"{arm}'s multiplier", "what is predicted is open on both sides") for arm in main if arm in open_]
        values += [_multiplier(one, predicted, here) for one, predicted in told]
    n_here = max(mine.n_replicates, 1)
    return Prediction(baseline, record.level, theirs.n_replicates, n_here, tuple(values), tuple(apart), own)


@dataclass(frozen=True, eq=False)
class _Gaps:
    """Differences of one arm (n_replicates,) as means over `sizes`, in the record and here."""

    arm: str
    sizes: tuple[float, ...]
    left_out: tuple[float, ...]
    record: np.ndarray
    here: np.ndarray


def _gaps(record: Table, here: Table, arm: str, baseline: str) -> _Gaps:
    theirs, mine = (differences(table, arm, baseline) for table in (record, here))
    both = sorted(theirs.keys() & mine.keys())
    whole = tuple(n for n in both if not np.isnan([*theirs[n], *mine[n]]).any())
    means = [np.mean([of[n] for n in whole], axis=0) if whole else np.empty(0) for of in (theirs, mine)]
    return _Gaps(arm, whole, tuple(n for n in both if n not in whole), *means)


def differences(table: Table, arm: str, baseline: str) -> dict[float, np.ndarray]:
    """Size -> (n_replicates,) error of the arm minus the baseline's, nan where a replicate lacks one of the two."""
    errors = table.cells["error"].to_numpy(float)[None]
    if table.n_replicates:
        errors = units_of(table, "replicate").errors
    sizes = table.cells["size"].to_numpy(float)
    mine, theirs = ({float(sizes[cell]): errors[:, cell] for cell in table.cells_of(one)} for one in (arm, baseline))
    return {n: mine[n] - theirs[n] for n in mine if n in theirs}


def student_limits(each: np.ndarray, n_new: int, level: float) -> Limits:
    """Student's limits, on n - 1 degrees of freedom, for the mean of `n_new` further values like `each` (n,)."""
    half = stats.t.ppf((1 + level) / 2, len(each) - 1) * each.std(ddof=1) * np.sqrt(1 / len(each) + 1 / n_new)
    return float(each.mean() - half), float(each.mean() + half)


def place_of(value: float, limits: Limits, bound: Bound = "=") -> Place:
    """Where a value lies, or what a bound leaves open; value and limits on a scale without ends."""
    low, high = limits
    least = -np.inf if bound in ("<=", "?") else value
    most = np.inf if bound in (">=", "?") else value
    if most < low - ROUNDING or least > high + ROUNDING:
        return "outside"
    return "inside" if least >= low - ROUNDING and most <= high + ROUNDING else "undecided"


def _difference(one: _Gaps, level: float, n_arms: int) -> Predicted:
    """The mean over replicates beside Student's limits, and beside Bonferroni's for all arms."""
    here = float(one.here.mean())
    levels = (level, 1 - (1 - level) / n_arms)
    limits, joint = (student_limits(one.record, len(one.here), at) for at in levels)
    return Predicted(
        what="difference",
        arm=one.arm,
        record=float(one.record.mean()),
        here=here,
        limits=limits,
        joint=joint,
        place=place_of(here, limits),
        joint_place=place_of(here, joint),
        sizes=one.sizes,
        left_out=one.left_out,
        sd=float(one.record.std(ddof=1)),
    )


def read_here(here: Comparison, record: Multiplier) -> Multiplier:
    """At the error at which the record's was read; at its own where the arm has no curve or reaches nothing there."""
    if is_readable(here, record.at_error) and here.n_sizes(record.arm) >= 3:
        found = at_error(here, record.arm, record.baseline, record.at_error)
        if found.bound != "?":
            return found
    return headline(here, record.arm, record.baseline)


def read_again(new: Comparison, record: Multiplier) -> Multiplier:
    """The record's multiplier, where it was read, under the draws of new replicates."""
    if record.at_size is not None:
        return at_size(new, record.arm, record.baseline, record.at_size)
    return at_error(new, record.arm, record.baseline, record.at_error)


def _multiplier(record: Multiplier, predicted: Multiplier, comparison: Comparison) -> Predicted:
    """The record's headline and what it predicts, beside that of the comparison here at the same error."""
    here = read_here(comparison, record)
    limits = (predicted.ci_low, predicted.ci_high)
    joint = predicted.joint_ci or limits
    ln_here = _ln(here.multiplier)
    places = [place_of(ln_here, (_ln(low), _ln(high)), here.bound) for low, high in (limits, joint)]
    return Predicted(
        what="multiplier",
        arm=record.arm,
        record=record.multiplier,
        here=here.multiplier,
        limits=limits,
        joint=joint,
        place=places[0],
        joint_place=places[1],
        at_errors=(record.at_error, here.at_error),
        bounds=(record.bound, here.bound),
    )


def _ln(value: float) -> float:
    with np.errstate(divide="ignore"):
        return float(np.log(value))
