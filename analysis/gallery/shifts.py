"""Figures of error against n_problems: some arms beside SFT, and each one's horizontal shift (Figs. 2, 4, 5, 9, 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from analysis.claims.verdicts import one_better
from analysis.figures.contrasts import errors_and_differences
from analysis.gallery.entries import View
from analysis.gallery.evidence import Evidence, evidence_with, of_what, ruling_sentence, shift_sentence
from sweep.terminal.words import capital


def curves_of(
    *arms: str, claims: Sequence[str] = (), names: Mapping[str, str] | None = None, better: str = ""
) -> View[Evidence]:
    """The figure of these arms and of SFT.

    Args:
        claims: whose rulings the caption states, by their text in the report.
        names: of arms that the picture and the caption call otherwise.
        better: a claim of this figure alone, that the first arm is better than the baseline; none where empty. It is
            ruled as one arm better than another is in a report, over the sizes of both.
    """
    names = dict(names or {})
    return View(
        read=partial(evidence_with, arms=arms),
        draw=partial(_drawn, arms=arms, names=names),
        data=partial(_cells, arms=arms),
        caption=partial(_caption, arms=arms, claims=tuple(claims), names=names, better=better),
    )


def _drawn(evidence: Evidence, arms: Sequence[str], names: Mapping[str, str]) -> Figure:
    baseline = evidence.options.baseline
    return errors_and_differences(
        evidence.comparison, baseline, evidence.shifts(arms), arms, evidence.cells([baseline, *arms]), names
    )


def _cells(evidence: Evidence, arms: Sequence[str]) -> pd.DataFrame:
    return evidence.cells([evidence.options.baseline, *arms])


def _caption(
    evidence: Evidence, arms: Sequence[str], claims: Sequence[str], names: Mapping[str, str], better: str
) -> str:
    level = f"{evidence.comparison.level:.0%}"
    table, baseline = evidence.comparison.draws.table, evidence.options.baseline
    shifts = evidence.shifts(arms)
    broken = ", broken where it is a bound" if any(one.bound == ">=" for one in shifts) else ""
    apart = "; arrows at nearly one error are set apart" if len(shifts) > 1 else ""
    shown = (
        f"Left: test error (greedy) against {table.x_name}, both logarithmic. Points are means with {level} intervals "
        f"of the level, small dots single runs, curves the {evidence.options.law} law with its {level} band; an arrow "
        f"is the horizontal shift to {baseline}, the number beside the arm's name{broken}{apart}. Right: each arm's "
        f"error minus {baseline}'s at the same size, with the {level} interval of that difference; arms share their "
        "runs' luck, so that bands which overlap at the left do not say that they are alike."
    )
    verdicts = [evidence.rulings[claim] for claim in claims]
    verdicts += [one_better(evidence.comparison, better, arms[0], baseline)] if better else []
    found = f"{capital('; '.join(map(shift_sentence, shifts)))}."
    found = " ".join([found, *(f"{ruling_sentence(one)}." for one in verdicts)])
    for arm, name in names.items():
        found = found.replace(arm, name)
    return f"{shown} {found} {capital(of_what(evidence))}."
