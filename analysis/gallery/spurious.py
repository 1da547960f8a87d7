"""Figure 4: RFT on verified solutions of which a fraction has a spurious step, n_problems fixed.

Every fraction is of the same problems, with equally many solutions and updates and one learning rate. The rule, written
before the runs: the slope of error over the fraction, by least squares in each replicate, a mean over the two sizes;
Student's interval over replicates at 95 %.
    held        above 0.02: all spurious in place of none cost more than two points
    not held    below 0.02
    undecided   otherwise
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.steps import Ruled
from analysis.gallery.by_setting import Setting, data, differences, over
from analysis.gallery.entries import Runs, View
from analysis.gallery.student import LEVEL, means, ruled_above, told
from analysis.intervals import student
from analysis.worth.words import count, number

SPURIOUS = Runs("spurious", by="source.spurious_fraction", quick="quick_spurious")
MARGIN = 0.02
SETTING = Setting(
    SPURIOUS,
    "RFT, spurious steps mixed in",
    "source.spurious_fraction",
    "fraction with a spurious step",
)


def slope(rows: pd.DataFrame) -> tuple[float, float, float]:
    """Of error over the fraction, with its limits: a mean over sizes in each replicate."""
    slopes = [
        (replicate, np.polyfit(of["x"].to_numpy(float), of["value"].to_numpy(float), 1)[0])
        for (replicate, _), of in rows.groupby(["replicate", "n_problems"])
    ]
    each = pd.DataFrame(slopes, columns=["replicate", "slope"]).groupby("replicate")["slope"].mean()
    return student(each.to_numpy(float))


def ruling(low: float, high: float) -> str:
    """By the rule above."""
    return ruled_above(MARGIN, low, high)


def _ruled(rows: pd.DataFrame) -> Ruled:
    sizes = " and ".join(count(float(n)) for n in sorted(rows["n_problems"].unique()))
    return Ruled(f"slope,\n{sizes}", slope(rows), axis="slope of error over fraction")


def _drawn(rows: pd.DataFrame) -> Figure:
    return SETTING.draw(rows, _ruled(rows), MARGIN)


def _data(rows: pd.DataFrame) -> pd.DataFrame:
    return data(rows, _ruled(rows))


def _caption(rows: pd.DataFrame) -> str:
    found = slope(rows)
    all_ = means(differences(rows), ["n_problems", "x"], "difference").query("x == x.max()")
    worse = "; ".join(f"{told(*row[2:5])} at {count(float(row[0]))} problems" for row in all_.itertuples(index=False))
    return (
        "RFT's test error (greedy) against the fraction of its verified solutions that have a wrong or missing step: "
        "the same problems, equally many solutions and one learning rate. Left: means over "
        f"{over(rows)}; middle: difference from none, paired; right: the slope of the error over the fraction, a mean "
        f"over both sizes, by which the claim is ruled: held where its bar lies above {number(MARGIN)} (broken), not "
        f"held where it lies below, else undecided. Bars: Student's {LEVEL:.0%} interval. The largest fraction "
        f"costs {worse}. “Spurious steps hurt”: {ruling(*found[1:])} (slope over the fraction: {told(*found)})."
    )


VIEW: View[pd.DataFrame] = View(read=SETTING.read, draw=_drawn, data=_data, caption=_caption)
