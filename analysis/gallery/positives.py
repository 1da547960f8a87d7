"""Figure 2c: error against the number of self-generated positives a problem, n_problems fixed.

The rule, written before the runs in replicates: at the largest size, the error with the most positives a problem minus
that with a quarter of them, paired in a replicate, Student's interval over replicates at 95 %.
    held        above -0.01: a fourfold number gains less than a point, so the curve is flat or rises
    not held    below -0.01: it still falls by more
    undecided   otherwise
"""

from __future__ import annotations

import math

import pandas as pd

from analysis.gallery.by_setting import Setting, data, over
from analysis.gallery.entries import Runs, View
from analysis.gallery.student import LEVEL, told
from analysis.intervals import student
from analysis.worth.words import count

POSITIVES = Runs(
    "positives", others=("one_base",), by="source.max_solutions_per_problem", quick="quick_positives"
)  # one_base: an earlier study, of five seeds of one base
MARGIN = 0.01
SETTING = Setting(
    POSITIVES,
    "RFT",
    "source.max_solutions_per_problem",
    "self-generated positives a problem, at most",
    ("RFT, max_solutions_per_problem=4", "RFT, max_solutions_per_problem=16"),
    is_log=True,
)


def last_quadrupling(rows: pd.DataFrame) -> tuple[int, int, tuple[float, float, float]]:
    """A quarter, the most, and the difference between their errors at the largest size."""
    of = rows[rows["n_problems"] == rows["n_problems"].max()]
    wide = of.pivot_table(index="replicate", columns="x", values="value")
    most = int(wide.columns.max())
    fewer = int(max(n for n in wide.columns if n <= max(most / 4, wide.columns.min())))
    return fewer, most, student((wide[most] - wide[fewer]).dropna().to_numpy(float))


def ruling(low: float, high: float) -> str:
    """By the rule above."""
    if math.isnan(low):
        return "undecided"
    return "held" if low > -MARGIN else "not held" if high < -MARGIN else "undecided"


def _caption(rows: pd.DataFrame) -> str:
    fewer, most, gap = last_quadrupling(rows)
    return (
        "RFT's test error (greedy) against how many distinct correct self-generated solutions a problem it is given at "
        "most, at a fixed number of problems and of updates. Left: means over "
        f"{over(rows)}; right: difference from the fewest, paired, with "
        f"Student's {LEVEL:.0%} interval. “More positives a problem leave the error flat or raise it”: "
        f"{ruling(*gap[1:])} (from {fewer} to {most} a problem at {count(float(rows['n_problems'].max()))} problems: "
        f"{told(*gap)})."
    )


VIEW: View[pd.DataFrame] = View(read=SETTING.read, draw=SETTING.draw, data=data, caption=_caption)
