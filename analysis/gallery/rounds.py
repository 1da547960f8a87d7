"""Beyond the paper: expert iteration. RFT and per-step DPO in several rounds, each on what the policy before it wrote.

All rounds together draw as many solutions, roll out as many traces and, of per-step DPO, make as many updates as one
round does. The rule, written before the runs: at the largest size, the error with the most rounds minus that with one,
paired in a replicate, Student's interval over replicates at 95 %; of either arm by itself.
    held        below 0: drawing anew from the policy that was trained pays
    not held    above -0.01: it gains less than a point
    undecided   otherwise
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.steps import Curve, levels_and_differences
from analysis.figures.style import TEST_ERROR
from analysis.gallery.by_setting import Setting, curves, over, summaries
from analysis.gallery.entries import Runs, View
from analysis.gallery.student import LEVEL, told
from analysis.intervals import student
from analysis.worth.words import count, number

ROUNDS = Runs("rounds", by="sampling.rounds", quick="quick_rounds")
ARMS = ("RFT", "per-step DPO")
MARGIN = 0.01


def _read(folder: Path, n_draws: int) -> pd.DataFrame:
    """`Setting.read` of either arm, with a column `arm`."""
    found = [Setting(ROUNDS, arm, "sampling.rounds", "rounds").read(folder, n_draws).assign(arm=arm) for arm in ARMS]
    return pd.concat(found, ignore_index=True)


def gain(rows: pd.DataFrame) -> tuple[float, float, float]:
    """Of one arm's rows: the error with the most rounds minus that with the fewest, at the largest size."""
    wide = rows[rows["n_problems"] == rows["n_problems"].max()].pivot_table(
        index="replicate", columns="x", values="value"
    )
    return student((wide[wide.columns.max()] - wide[wide.columns.min()]).dropna().to_numpy(float))


def cost_ratio(rows: pd.DataFrame) -> float:
    """Of one arm's rows: FLOP before the policy with the most rounds, of those with the fewest, at the largest size."""
    flops = rows[rows["n_problems"] == rows["n_problems"].max()].groupby("x")["total_flops"].mean()
    return float(flops[flops.index.max()] / flops[flops.index.min()])


def ruling(low: float, high: float) -> str:
    """By the rule above."""
    return "held" if high < 0 else "not held" if low > -MARGIN else "undecided"


def _drawn(rows: pd.DataFrame) -> Figure:
    both: tuple[list[Curve], list[Curve]] = ([], [])
    for arm, mine in rows.groupby("arm", sort=False):
        for into, of in zip(both, summaries(mine), strict=True):
            into += curves(of, str(arm), f"{arm}, {{}}")
    return levels_and_differences(*both, ("rounds", TEST_ERROR, "error minus that in one round"), margin=-MARGIN)


def _data(rows: pd.DataFrame) -> pd.DataFrame:
    tables = []
    for arm, mine in rows.groupby("arm", sort=False):
        levels, gaps = summaries(mine)
        tables += [levels.assign(arm=arm, what="error"), gaps.assign(arm=arm, what="difference")]
    return pd.concat(tables, ignore_index=True)


def _caption(rows: pd.DataFrame) -> str:
    most, n_problems = int(rows["x"].max()), count(float(rows["n_problems"].max()))
    said = []
    for arm, mine in rows.groupby("arm", sort=False):
        low_high = gain(mine)
        said.append(f"{arm}: {ruling(*low_high[1:])} ({told(*low_high)}, at {cost_ratio(mine):.2f} times the FLOP)")
    return (
        "Test error (greedy) against the rounds in which solutions are drawn, verified and trained on, each from the "
        "policy that the round before ended with; as many solutions and rolled-out traces in all. RFT starts from the "
        "base in each round, on what all rounds so far drew; per-step DPO goes on from its policy, on the round's own "
        "pairs, with as many updates in all. Rates are those that were tuned for one round. Curves are named by the "
        f"number of problems. Left: means over {over(rows)}; right: difference from one round, paired. Bars: "
        f"Student's {LEVEL:.0%} interval; held where it lies below 0, not held where it lies above {number(-MARGIN)} "
        "(broken), else undecided. “Drawing anew from the policy that was trained "
        f"pays”, {most} rounds beside one at {n_problems} problems: {'; '.join(said)}."
    )


VIEW: View[pd.DataFrame] = View(read=_read, draw=_drawn, data=_data, caption=_caption)
