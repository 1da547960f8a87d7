"""Figure 7: Q at each step under each trained policy, along the same solutions of test problems.

The solutions are pi_sft's, so that every policy is asked about the same prefixes; behind a whole solution nothing is
left to ask. The rule, written before the runs: a policy's Q minus the SFT policy's at each step (0: the bare problem),
paired in a replicate, with Student's interval over replicates at 95 %, corrected for the number of steps.
    "Per-step DPO raises Q at every step"     held: above 0 at each; not held: at one not above 0.01; else undecided
    "Standard DPO does not at every step"     held: at one not above 0.01; not held: above 0 at each; else undecided
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.arms import in_order
from analysis.figures.steps import Curve, levels_and_differences
from analysis.gallery.entries import Runs, View
from analysis.gallery.student import LEVEL, against, means, told
from analysis.worth.words import count, number

Q_VALUES = Runs("q_values", table="values.parquet", quick="quick")
BASELINE, MARGIN = "SFT", 0.01
STEP, DPO = "per-step DPO", "DPO"


def _read(folder: Path, n_draws: int) -> pd.DataFrame:
    """A row an arm, step and replicate: `value`, the share of right rollouts; of per-step DPO's largest size alone."""
    rows = pd.read_parquet(folder / Q_VALUES.table)
    if lacking := [arm for arm in (BASELINE, DPO, STEP) if arm not in set(rows["arm"])]:
        raise ValueError(
            f"{folder}: expected the arms {BASELINE}, {DPO}, {STEP}, found no {', '.join(lacking)}; collect the whole "
            f"experiment: `{Q_VALUES.lines()[1]}`"
        )
    largest = rows.loc[rows["arm"] == STEP, "n_problems"].max()  # SFT alone may have larger ones
    rows = rows[(rows["n_problems"] == largest) & (rows["step"] < _deepest(rows))]
    sums: pd.DataFrame = rows.groupby(["n_problems", "arm", "step", "replicate"], as_index=False)[
        ["n_right", "n_rollouts"]
    ].sum()
    sums["value"] = sums["n_right"] / sums["n_rollouts"]
    return sums


def _deepest(rows: pd.DataFrame) -> int:
    """Steps that at least half of the solutions have: few long ones say nothing of the others."""
    lengths = rows.drop_duplicates(["replicate", "problem_id"])["n_steps"]
    return int(lengths.median())


def differences(rows: pd.DataFrame, arm: str) -> pd.DataFrame:
    """An arm's Q minus the baseline's: step, mean, low, high, at the level corrected for the number of steps."""
    level = 1 - (1 - LEVEL) / rows["step"].nunique()
    return means(against(rows, ["step"], arm, BASELINE), ["step"], "difference", level)


def raised(gap: pd.DataFrame) -> str:
    """Whether Q is raised at every step, by the rule above."""
    if (gap["low"] > 0).all():
        return "held"
    return "not held" if (gap["high"] < MARGIN).any() else "undecided"


def _others(rows: pd.DataFrame) -> list[str]:
    return [arm for arm in in_order(rows["arm"].unique()) if arm != BASELINE]


def _drawn(rows: pd.DataFrame) -> Figure:
    levels = means(rows, ["arm", "step"], "value")
    curves = [Curve(arm, arm, levels[levels["arm"] == arm], "step") for arm in [BASELINE, *_others(rows)]]
    gaps = [Curve(arm, arm, differences(rows, arm), "step") for arm in _others(rows)]
    labels = ("steps already given", "Q, the chance of the answer", f"Q minus {BASELINE}'s")
    return levels_and_differences(curves, gaps, labels, margin=MARGIN)


def _data(rows: pd.DataFrame) -> pd.DataFrame:
    gaps = [differences(rows, arm).assign(arm=f"{arm} minus {BASELINE}") for arm in _others(rows)]
    return pd.concat([means(rows, ["arm", "step"], "value"), *gaps], ignore_index=True)


def _caption(rows: pd.DataFrame) -> str:
    step, dpo = differences(rows, STEP), differences(rows, DPO)
    other = {"held": "not held", "not held": "held"}
    each = "; ".join(
        f"{arm}: "
        + ", ".join(
            f"{told(mean, low, high)} at {step}"
            for mean, low, high, step in zip(gap["mean"], gap["low"], gap["high"], gap["step"], strict=True)
        )
        for arm, gap in ((arm, differences(rows, arm)) for arm in _others(rows))
    )
    n, n_problems, n_rollouts = rows["replicate"].nunique(), rows["n_problems"].max(), rows["n_rollouts"].max()
    return (
        "Q at each step of the SFT policy's solutions of test problems, by rollouts of each trained policy from the "
        f"same prefixes (0: the bare problem; up to {count(float(n_rollouts))} rollouts a point and replicate); "
        f"policies of {count(float(n_problems))} problems. Left: means over {n} replicates; right: difference from "
        f"{BASELINE}, paired. Bars: Student's {LEVEL:.0%} interval over replicates, corrected for the number of "
        f"steps; a policy raises Q at every step where all its bars lie above 0, and does not where one lies below "
        f"{number(MARGIN)} (broken), else it is undecided. {each}. “Per-step DPO raises Q at every step”: "
        f"{raised(step)}. “Standard DPO does not”: {other.get(raised(dpo), 'undecided')}."
    )


VIEW: View[pd.DataFrame] = View(read=_read, draw=_drawn, data=_data, caption=_caption)
