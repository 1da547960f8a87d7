"""Figures of error against n_problems: some arms beside SFT, and each one's horizontal shift (Figs. 2, 4, 5, 9, 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.claims.rules import MARGIN, PAIRS, WORTH, Difference
from analysis.claims.verdicts import one_better
from analysis.figures.contrasts import arrows_of, errors_and_differences, is_crowded
from analysis.figures.ruled import Ruled, Value, leaves_frame
from analysis.gallery.entries import View
from analysis.gallery.evidence import Evidence, evidence_with, of_what, ruling_sentence, shift_sentence
from analysis.worth.multiplier import Multiplier
from analysis.worth.readings import headline
from sweep.terminal.words import capital, listed


def curves_of(
    *arms: str, claims: Sequence[str] = (), names: Mapping[str, str] | None = None,
    better: Mapping[str, tuple[str, str]] | None = None,
) -> View[Evidence]:  # fmt: skip
    """The figure of these arms and of SFT.

    Args:
        claims: whose rulings the caption states, by their text in the report.
        names: of arms that the picture and the caption call otherwise.
        better: claims of this figure alone, each with the arm that is better and the other. They are ruled as one arm
            better than another is in a report, over the sizes of both.
    """
    one = _Curves(arms, tuple(claims), dict(names or {}), dict(better or {}))
    return View(read=one.read, draw=one.drawn, data=one.data, caption=one.caption)


@dataclass(frozen=True)
class _Curves:
    """A figure of `curves_of`."""

    arms: Sequence[str]
    claims: Sequence[str]
    names: Mapping[str, str] = field(default_factory=dict)
    better: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def read(self, path: Path, n_draws: int) -> Evidence:
        return evidence_with(path, n_draws, self.arms)

    def drawn(self, evidence: Evidence) -> Figure:
        baseline = evidence.options.baseline
        return errors_and_differences(
            evidence.comparison, baseline, evidence.shifts(self.arms), self.arms,
            evidence.cells([baseline, *self.arms]), self.names, [*self._worths(evidence), *self._contrasts(evidence)],
        )  # fmt: skip

    def data(self, evidence: Evidence) -> pd.DataFrame:
        """A row an arm and size, and a row a size and in the mean of sizes (blank) of each contrast that is ruled."""
        cells = evidence.cells([evidence.options.baseline, *self.arms]).assign(minus=evidence.options.baseline)
        size = evidence.comparison.draws.table.x_name
        for arm in self._claimed_worths(evidence):
            _, surely = evidence.worth_by_size(arm)
            for m in surely:
                place = (cells["arm"] == arm) & (cells[size] == m.at_size)
                columns = ("worth_here", "worth_here_bound", "worth_here_low", "worth_here_high")
                cells.loc[place, columns] = (m.multiplier, m.bound, m.ci_low, m.ci_high)
        rows = [cells]
        for gap in self._gaps(evidence):
            at = [*gap.sizes, np.nan]
            values = [*gap.by_size, (gap.value, gap.ci_low, gap.ci_high)]
            found = pd.DataFrame(values, columns=["difference", "difference_low", "difference_high"])
            found[["arm", "minus"]], found[size] = (gap.arm, gap.other), at
            rows.append(found)
        return pd.concat(rows, ignore_index=True)

    def caption(self, evidence: Evidence) -> str:
        shifts = evidence.shifts(self.arms)
        verdicts = [evidence.rulings[claim] for claim in self.claims]
        verdicts += [one_better(evidence.comparison, claim, *pair) for claim, pair in self.better.items()]
        found = f"{capital('; '.join(map(shift_sentence, shifts)))}."
        found = " ".join([found, *(f"{ruling_sentence(one)}." for one in verdicts)])
        parts = (self._shown(evidence, shifts), self._ruled_by(evidence), found, f"{capital(of_what(evidence))}.")
        return self._named(" ".join(part for part in parts if part))

    def _shown(self, evidence: Evidence, shifts: Sequence[Multiplier]) -> str:
        level, baseline = f"{evidence.comparison.level:.0%}", evidence.options.baseline
        drawn = arrows_of(shifts, list(self._claimed_worths(evidence)))
        broken = ", broken where it is a bound" if any(one.bound == ">=" for one in drawn) else ""
        whose = "" if len(drawn) == len(shifts) else f" of {listed([one.arm for one in drawn])}"
        arrow = f"an arrow is the horizontal shift to {baseline}{whose}{broken}" if drawn else "no shift is drawn"
        apart = "; arrows at nearly one error are set apart" if len(drawn) > 1 else ""
        runs = "" if is_crowded(self.arms) else f" with its {level} band, small dots single runs"
        return (
            f"Above, left: test error (greedy) against {evidence.comparison.draws.table.x_name}, both logarithmic. "
            f"Points are means with {level} intervals of the level, curves the {evidence.options.law} law{runs}; "
            f"{arrow}; a number beside an arm's name is its worth{apart}. Right: each arm's error minus {baseline}'s "
            f"at the same size, with the {level} interval of that difference; marks of one size are set side by side. "
            "Arms share their runs' luck, so that intervals which overlap do not say that arms are alike."
        )

    def _ruled_by(self, evidence: Evidence) -> str:
        worths, gaps = self._claimed_worths(evidence), self._gaps(evidence)
        if not worths and not gaps:
            return ""
        said = []
        if worths:
            times = listed([f"{times:g}" for times in worths.values()])
            said.append(
                "an arm's worth at each of its sizes (a dash with an arrow: a bound, and below it how much of that is "
                f"sure) and, at the right, in the middle of the curve (held if the interval reaches {times}, broken, "
                "and excludes its half; not held below)"
            )
        if gaps:
            said.append(
                "the difference of two arms at each size and, at the right, in the mean of the sizes (held below 0; "
                f"not held above, or wholly within {MARGIN:g}, broken)"
            )
        panels = [*self._worths(evidence), *self._contrasts(evidence)]
        cut = " An open arrowhead: the bar goes on beyond the frame." if any(map(leaves_frame, panels)) else ""
        return (
            f"Below, what the claims are ruled by: {'; '.join(said)}. Thin bars are limits for all sizes of a panel at "
            f"once: where the sizes disagree by these, a claim is undecided.{cut}"
        )

    def _named(self, text: str) -> str:
        for arm, name in self.names.items():
            text = text.replace(arm, name)
        return text

    def _claimed_worths(self, evidence: Evidence) -> dict[str, float]:
        """The arms that a claim of this figure says to be worth so many times the baseline's data."""
        baseline = evidence.options.baseline
        return {arm: times for arm, times in WORTH if f"{arm} is worth {times:g}x {baseline}'s data" in self.claims}

    def _gaps(self, evidence: Evidence) -> list[Difference]:
        pairs = [(arm, other) for one in self.claims for claim, arm, other in PAIRS if claim == one]
        pairs += self.better.values()
        return [gap for pair in pairs if (gap := evidence.difference(*pair))]

    def _contrasts(self, evidence: Evidence) -> list[Ruled]:
        found = []
        for gap in self._gaps(evidence):
            title, each = self._named(f"{gap.arm}\nminus {gap.other}"), tuple(Value(*one) for one in gap.by_size)
            mean = Value(gap.value, gap.ci_low, gap.ci_high)
            found.append(Ruled(gap.arm, title, gap.sizes, each, gap.surely, mean, "mean", margin=MARGIN))
        return found

    def _worths(self, evidence: Evidence) -> list[Ruled]:
        baseline, found = evidence.options.baseline, []
        for arm, times in self._claimed_worths(evidence).items():
            here, surely = evidence.worth_by_size(arm)
            found.append(
                Ruled(
                    arm, self._named(f"worth of {arm}\nin {baseline}'s data"), tuple(evidence.comparison.sizes(arm)),
                    tuple(map(_value, here)), tuple((one.ci_low, one.ci_high) for one in surely),
                    _value(headline(evidence.comparison, arm, baseline)), "middle", worth=times,
                )
            )  # fmt: skip
        return found


def _value(m: Multiplier) -> Value:
    return Value(m.multiplier, m.ci_low, m.ci_high, m.bound)
