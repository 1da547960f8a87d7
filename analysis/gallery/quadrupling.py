"""Whether four times as many of something still lower the error: of positives, pairs or rollouts.

The rule, written before the runs in replicates: at the largest size, the error with the most minus that with a quarter
of them, paired in a replicate, Student's interval over replicates at 95 %.
    held        above -0.01: a fourfold number gains less than a point, so the curve is flat or rises
    not held    below -0.01: it still falls by more
    undecided   otherwise
"""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.steps import Ruled
from analysis.gallery.by_setting import Setting, data, over
from analysis.gallery.entries import View
from analysis.gallery.student import LEVEL, ruled_above, told
from analysis.intervals import student
from analysis.worth.words import count, number

MARGIN = 0.01


def view_of(setting: Setting, about: str, claim: str) -> View[pd.DataFrame]:
    """The figure of a setting that is a number of something.

    Args:
        about: what is drawn: `RFT's test error (greedy) against ...`.
        claim: what holds where the curve is flat.
    """
    return View(
        read=setting.read,
        draw=partial(_drawn, setting=setting),
        data=_data,
        caption=partial(_caption, about=about, claim=claim),
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
    return ruled_above(-MARGIN, low, high)


def cost_ratio(rows: pd.DataFrame, fewer: int, most: int) -> float:
    """FLOP of everything before the policy but the base, with `most` by those with `fewer`, at the largest size."""
    of = rows[rows["n_problems"] == rows["n_problems"].max()]
    flops = of.groupby("x")["total_flops"].mean()
    return float(flops[most] / flops[fewer])


def _ruled(rows: pd.DataFrame) -> Ruled:
    fewer, most, gap = last_quadrupling(rows)
    return Ruled(f"{fewer} to {most},\n{count(float(rows['n_problems'].max()))} problems", gap)


def _drawn(rows: pd.DataFrame, setting: Setting) -> Figure:
    return setting.draw(rows, _ruled(rows), -MARGIN)


def _data(rows: pd.DataFrame) -> pd.DataFrame:
    return data(rows, _ruled(rows))


def _caption(rows: pd.DataFrame, about: str, claim: str) -> str:
    fewer, most, gap = last_quadrupling(rows)
    return (
        f"{about}, at a fixed number of problems and of updates. Left: means over {over(rows)}; middle: difference "
        f"from the fewest, paired; right: that by which the claim is ruled, held where its bar lies above "
        f"{number(-MARGIN)} (broken), not held where it lies below, else undecided. Bars: Student's "
        f"{LEVEL:.0%} interval. “{claim}”: {ruling(*gap[1:])} (from {fewer} to {most} at "
        f"{count(float(rows['n_problems'].max()))} problems: {told(*gap)}, at "
        f"{cost_ratio(rows, fewer, most):.2f} times the FLOP)."
    )
