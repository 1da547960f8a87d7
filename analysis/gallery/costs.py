"""Beyond the paper: what an arm's problems are worth, beside what its floating-point operations and seconds are worth.

One table is read three times, each time with another axis: the same engine, law and intervals, and limits for these
arms at once. Everything before the policy is counted (sampling, rollouts, training), the base model not.

The rule, that of a report for "worth more than 1x": held if the interval lies above 1, not held if it lies below 1,
else undecided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.claims.rules import worth_more
from analysis.figures.worths import worths_side_by_side
from analysis.gallery.entries import View
from analysis.gallery.evidence import OF_SWEEPS, Evidence, evidence_with, of_what
from analysis.worth.readings import Multiplier
from analysis.worth.words import error_text, multiplier_text
from sweep.terminal.words import capital

AXES = {"": "in problems", "total_flops": "in FLOP", "total_seconds": "in seconds"}  # cost to what a legend calls it
Read = tuple[Evidence, Mapping[str, Sequence[Multiplier]]]


def costs_of(*arms: str) -> View[Read]:
    """The figure of these arms' multipliers on each axis."""
    return View(read=partial(_read, arms=arms), draw=_drawn, data=_data, caption=_caption)


def _read(path: Path, n_draws: int, arms: Sequence[str]) -> Read:
    evidence = evidence_with(path, n_draws, arms)
    by_axis = {"": evidence, **{cost: _priced(path, n_draws, cost) for cost in AXES if cost}}
    return evidence, {cost: one.shifts(arms) for cost, one in by_axis.items()}


def _priced(path: Path, n_draws: int, cost: str) -> Evidence:
    return Evidence(path, replace(OF_SWEEPS, n_draws=n_draws, cost=cost))


def _data(found: Read) -> pd.DataFrame:
    rows = [
        (m.arm, AXES[cost], m.multiplier, m.bound, m.ci_low, m.ci_high, m.at_error)
        for cost, several in found[1].items()
        for m in several
    ]
    return pd.DataFrame(rows, columns=["arm", "axis", "multiplier", "bound", "low", "high", "at_error"])


def _drawn(found: Read) -> Figure:
    label = f"worth in {found[0].options.baseline}'s problems, FLOP or seconds"
    return worths_side_by_side(_data(found).assign(name=lambda rows: rows["arm"]), label)


def _caption(found: Read) -> str:
    evidence, by_axis = found
    said = "; ".join(
        f"{AXES[cost]} "
        + ", ".join(f"{m.arm} {multiplier_text(m)} (at error {error_text(m.at_error)})" for m in several)
        for cost, several in by_axis.items()
    )
    ruled = "; ".join(f"{AXES[cost]} {_ruled(several)}" for cost, several in by_axis.items())
    return (
        "What one problem, one floating-point operation and one second of an arm are worth in "
        f"{evidence.options.baseline}'s, at the middle of the errors that both reach; right of 1 the arm reaches an "
        f"error with less. A bar is the {evidence.comparison.level:.0%} interval of its mark alone, with an open "
        "arrowhead where it goes on beyond the frame. Operations and seconds are those of all stages behind a policy "
        f"but the base. {capital(said)}. “Each arm is worth more than 1×”: {ruled}. "
        f"{capital(of_what(evidence))}."
    )


def _ruled(several: Sequence[Multiplier]) -> str:
    """`held` where that is every arm's ruling, else each arm's."""
    rulings = {m.arm: worth_more(m) for m in several}
    if len(set(rulings.values())) == 1:
        return next(iter(rulings.values()))
    return ", ".join(f"{arm} {ruling}" for arm, ruling in rulings.items())
