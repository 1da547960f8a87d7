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

from analysis.gallery.by_setting import Setting, data, differences, over
from analysis.gallery.entries import Runs, View
from analysis.gallery.student import LEVEL, means, ruled_above, told
from analysis.intervals import student
from analysis.worth.words import count

SPURIOUS = Runs("spurious", by="source.spurious_fraction", quick="quick_spurious")
MARGIN = 0.02
SETTING = Setting(
    SPURIOUS,
    "RFT, spurious steps mixed in",
    "source.spurious_fraction",
    "solutions with a spurious step",
    ("RFT, sound steps", "RFT, spurious steps"),
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


def _caption(rows: pd.DataFrame) -> str:
    found = slope(rows)
    all_ = means(differences(rows), ["n_problems", "x"], "difference").query("x == x.max()")
    worse = "; ".join(f"{told(*row[2:5])} at {count(float(row[0]))} problems" for row in all_.itertuples(index=False))
    return (
        "RFT's test error (greedy) against the fraction of its verified solutions that have a wrong or missing step: "
        "the same problems, equally many solutions and one learning rate. Left: means over "
        f"{over(rows)}; right: difference from none, paired, with Student's "
        f"{LEVEL:.0%} interval. The largest fraction costs {worse}. “Spurious steps hurt”: {ruling(*found[1:])} (slope "
        f"over the fraction: {told(*found)})."
    )


VIEW: View[pd.DataFrame] = View(read=SETTING.read, draw=SETTING.draw, data=data, caption=_caption)
