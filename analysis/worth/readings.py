"""Where a multiplier is read: at an error, at a size of the arm, at all of them, or at the one place for a pair."""

from __future__ import annotations

import dataclasses

import numpy as np

from analysis.intervals import difference
from analysis.notes import note, sorted_notes
from analysis.worth.comparison import Comparison
from analysis.worth.multiplier import Bound as Bound
from analysis.worth.multiplier import Multiplier as Multiplier
from analysis.worth.multiplier import Sizes, exp, reading


def at_error(comparison: Comparison, arm: str, baseline: str, error: float) -> Multiplier:
    """The multiplier at a chosen error, in (0, 1)."""
    table = comparison.draws.table
    if not is_readable(comparison, error):
        what = "a loss above 0" if table.is_loss else "a fraction above 0 and below 1"
        raise ValueError(f"{table.y_name} {error:g}: {what} was expected, for example {_example(comparison)}")
    comparison.refuse_few(baseline)
    comparison.refuse_few(arm)
    law = comparison.law_of(arm, baseline)
    at = np.array([error])
    forms = {}
    for one in comparison.laws(arm, baseline):
        needed, used = (comparison.form_at(which, one).ln_size_at(at)[:1, 0] for which in (baseline, arm))
        forms[one] = exp(float(difference(needed, used)[0]))
    sizes = _sizes(comparison, arm, baseline, law, at)
    return reading(comparison, arm, baseline, law, sizes, error, None, forms)


def is_readable(comparison: Comparison, error: float) -> bool:
    """Whether curves have a size at an error: none at 0, and none above all that can be wrong."""
    return 0 < error < (np.inf if comparison.draws.table.is_loss else 1)


def _example(comparison: Comparison) -> str:
    return f"{float(np.median(comparison.draws.observed)):.3g}"


def _sizes(comparison: Comparison, arm: str, baseline: str, law: str, errors: np.ndarray) -> Sizes:
    """Both arms' sizes at one error."""
    is_refuted = comparison.is_refuted(law, arm, baseline)
    readers = [comparison.reader(one, law, is_refuted=is_refuted, is_run=False) for one in (baseline, arm)]
    read = [one.ln_size_at(errors)[:, 0] for one in readers]
    by_law = [comparison.ln_size(one, errors, law)[:, 0] for one in (baseline, arm)]
    return Sizes(read[0], read[1], by_law[0], by_law[1], is_refuted)


def at_size(comparison: Comparison, arm: str, baseline: str, size: float) -> Multiplier:
    """The multiplier at a size of the arm: the error is the arm's own, draw by draw.

    Where the size was run the error is the measured one, so that no law stands between; between sizes the curve's.

    Raises:
        ValueError: the size is not above 0 or lies outside the arm's, or the arm has too few of them for a curve.
    """
    if not 0 < size < np.inf:
        raise ValueError(f"size {size:g}: a number above 0 was expected, one of {arm}'s sizes or one between them")
    comparison.refuse_few(baseline)
    law, ln_n = comparison.law_of(arm, baseline), np.log(size)
    place, sizes_run = np.flatnonzero(np.abs(comparison.ln_n(arm) - ln_n) < 1e-6), comparison.sizes(arm)
    told = f"{arm} was run at {', '.join(f'{n:g}' for n in sizes_run)}"
    if len(place):
        errors = comparison.arm_errors(arm)[:, place]
    elif len(sizes_run) < 3:
        raise ValueError(f"{told} and has no curve; {size:g} is none of these sizes")
    elif not sizes_run[0] < size < sizes_run[-1]:
        raise ValueError(f"{told}; {size:g} lies outside: give one of these sizes or one between them")
    else:
        errors = comparison.curves(arm, law).error_at(np.array([ln_n]))
    forms = {
        one: exp(comparison.form_at(baseline, one).ln_size_at(errors[:1])[0, 0] - ln_n)
        for one in comparison.laws(baseline)
    }
    is_refuted, own = comparison.is_refuted(law, baseline), np.full(len(errors), ln_n)
    reader = comparison.reader(baseline, law, is_refuted=is_refuted, is_run=len(place) > 0)
    by_law = comparison.ln_size(baseline, errors, law)[:, 0]
    sizes = Sizes(reader.ln_size_at(errors)[:, 0], own, by_law, own, is_refuted)
    return reading(comparison, arm, baseline, law, sizes, float(errors[0, 0]), size, forms)


def at_sizes(comparison: Comparison, arm: str, baseline: str) -> list[Multiplier]:
    """The multiplier at each of the arm's own sizes."""
    return [at_size(comparison, arm, baseline, size) for size in comparison.sizes(arm)]


def surely_at_sizes(comparison: Comparison, arm: str, baseline: str) -> list[Multiplier]:
    """The same with limits for all of these sizes at once (Bonferroni), by which one of them can contradict a claim."""
    strict = comparison.at_level(1 - (1 - comparison.level) / comparison.n_sizes(arm))
    return at_sizes(strict, arm, baseline)


def headline(comparison: Comparison, arm: str, baseline: str) -> Multiplier:
    """One number for a pair: at the geometric middle of the overlap, else the best reading at the arm's sizes."""
    comparison.refuse_few(baseline)
    shared = comparison.overlap(arm, baseline) if comparison.n_sizes(arm) >= 3 else None
    if shared:
        return at_error(comparison, arm, baseline, float(np.sqrt(shared[0] * shared[1])))
    chosen = _best_reading(comparison, arm, baseline)
    mine, theirs = comparison.observed_range(arm), comparison.observed_range(baseline)
    rises = any((np.diff(comparison.arm_errors(one)[0]) > 0).any() for one in (arm, baseline))
    what = "a bound" if chosen.bound in (">=", "<=") else "one point"
    text = (
        f"{arm} (errors {mine[0]:.3f} to {mine[1]:.3f}) and {baseline} ({theirs[0]:.3f} to {theirs[1]:.3f}) share "
        f"no range of error wider than the noise: read at {chosen.at_size:g}, {what}"
        f"{' (errors as curves that never rise have them, and some of these do)' if rises else ''}"
    )
    notes = (note("no_overlap", text),)
    if comparison.n_sizes(arm) < 3:
        notes = (
            note(
                "short_arm",
                f"{arm} has {comparison.n_sizes(arm)} sizes: read point by point, no curve of its own",
            ),
        )
    return dataclasses.replace(chosen, notes=sorted_notes(notes + chosen.notes))


def _best_reading(comparison: Comparison, arm: str, baseline: str) -> Multiplier:
    """Of the readings at the arm's sizes: the inner one nearest to the middle of what is shared, else the
    strongest bound that its whole interval supports, else the strongest bound.
    """
    found = at_sizes(comparison, arm, baseline)
    inner = [one for one in found if one.kind == "interior"]
    if inner:
        middle = np.sqrt(np.prod(comparison.shared_range(arm, baseline)))
        return min(inner, key=lambda one: abs(np.log(one.at_error / middle)))
    above = [one for one in found if one.bound == ">="]
    below = [one for one in found if one.bound == "<="][::-1]
    sure = [one for one in above if one.ci_low >= 0.999 * one.multiplier]
    sure_below = [one for one in below if one.ci_high <= 1.001 * one.multiplier]
    return (sure or above or sure_below or below or found[len(found) // 2 :])[0]
