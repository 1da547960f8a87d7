"""Figure 10: advantages out of wrong solutions alone, and out of both kinds: error of the estimate, test error.

An estimate is judged at every step of pi_sft's solutions, as often as they pass there, against many rollouts; a step
without an estimate counts as 0, what training takes it for. The rule, written before the runs: test error of per-step
DPO with both minus with wrong ones alone, paired in a replicate and averaged over sizes; Student's interval over
replicates at 95 %: held below 0, not held above -0.01, undecided otherwise.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.both_kinds import Panels, estimates_and_errors
from analysis.gallery.entries import Runs, View
from analysis.gallery.student import LEVEL, against, means, told
from analysis.intervals import student
from analysis.worth.words import count, number

BOTH_KINDS = Runs("both_kinds", table="estimates.parquet", quick="quick")
ALONE, BOTH, BASELINE = "per-step DPO", "per-step DPO, both", "SFT"
STEPS = {"wrong": "steps of wrong\nsolutions", "all": "steps of all\nsolutions"}
MARGIN = 0.01


def _read(folder: Path, n_draws: int) -> dict[str, pd.DataFrame]:
    """estimates: rows steps, of, replicate, value (root mean square error), covered and n_problems; errors: arm,
    n_problems, replicate, value."""
    runs = pd.read_parquet(folder / "runs.parquet")
    if lacking := [arm for arm in (BASELINE, ALONE, BOTH) if arm not in set(runs["arm"])]:
        raise ValueError(
            f"{folder}: expected the arms {BASELINE}, {ALONE}, {BOTH}, found no {', '.join(lacking)}; collect the "
            f"whole experiment: `{BOTH_KINDS.lines()[1]}`"
        )
    runs = runs[runs["arm"].isin([BASELINE, ALONE, BOTH])]
    sizes = set(runs.loc[runs["arm"] == BOTH, "n_problems"])
    runs = runs[runs["n_problems"].isin(sizes)]
    errors = runs[["arm", "n_problems", "replicate"]].assign(value=1 - runs["n_correct"] / runs["n_test"])
    return {"estimates": _misses(pd.read_parquet(folder / BOTH_KINDS.table)), "errors": errors}


def _misses(rows: pd.DataFrame) -> pd.DataFrame:
    """Root mean square error of each kind of estimate, over the steps of wrong solutions and over those of all, at the
    largest size."""
    found, largest = [], rows["n_problems"].max()
    rows = rows[rows["n_problems"] == largest].drop_duplicates(
        ["replicate", "problem_id", "n_traces", "n_wrong", "truth", "wrong", "all"]
    )
    for replicate, mine in rows.groupby("replicate"):
        for steps, weight in (("wrong", "n_wrong"), ("all", "n_traces")):
            for of in ("wrong", "all"):
                weights = mine[weight].to_numpy(float)
                miss = (mine[of].fillna(0) - mine["truth"]).to_numpy(float)
                covered = float(np.average(mine[of].notna(), weights=weights))
                found.append((replicate, steps, of, math.sqrt(np.average(miss**2, weights=weights)), covered))
    return pd.DataFrame(found, columns=["replicate", "steps", "of", "value", "covered"]).assign(n_problems=largest)


def gain(errors: pd.DataFrame) -> tuple[float, float, float]:
    """Both minus alone, averaged over sizes in each replicate."""
    gaps = against(errors, ["n_problems"], BOTH, ALONE)
    return student(gaps.groupby("replicate")["difference"].mean().to_numpy(float))


def ruling(low: float, high: float) -> str:
    """By the rule above."""
    return "held" if high < 0 else "not held" if low > -MARGIN else "undecided"


def _drawn(rows: dict[str, pd.DataFrame]) -> Figure:
    gaps = means(against(rows["errors"], ["n_problems"], BOTH, ALONE), ["n_problems"], "difference")
    levels = means(rows["errors"], ["arm", "n_problems"], "value")
    return estimates_and_errors(Panels(rows["estimates"], STEPS, levels, gaps, gain(rows["errors"]), -MARGIN))


def _data(rows: dict[str, pd.DataFrame]) -> pd.DataFrame:
    covered = rows["estimates"].groupby(["steps", "of"], as_index=False)["covered"].mean()
    misses = means(rows["estimates"], ["steps", "of"], "value").assign(what="error of the estimate")
    misses = misses.merge(covered, on=["steps", "of"])
    levels = means(rows["errors"], ["arm", "n_problems"], "value").assign(what="test error")
    gaps = means(against(rows["errors"], ["n_problems"], BOTH, ALONE), ["n_problems"], "difference")
    ruled = pd.DataFrame([gain(rows["errors"])], columns=["mean", "low", "high"])
    ruled = ruled.assign(what="both minus alone, mean of sizes", n_replicates=rows["errors"]["replicate"].nunique())
    return pd.concat([misses, levels, gaps.assign(what="both minus alone"), ruled], ignore_index=True)


def _caption(rows: dict[str, pd.DataFrame]) -> str:
    of = rows["estimates"].groupby(["steps", "of"])[["value", "covered"]].mean()
    value, covered = ({at: float(one) for at, one in of[name].items()} for name in ("value", "covered"))
    said = "; ".join(
        f"{STEPS[steps].replace(chr(10), ' ')}: {value[steps, 'wrong']:.3f} from wrong ones alone, "
        f"{value[steps, 'all']:.3f} from both (an estimate for "
        f"{covered[steps, 'wrong']:.0%} and {covered[steps, 'all']:.0%} of the steps)"
        for steps in STEPS
    )
    low_high = gain(rows["errors"])
    return (
        "Advantages estimated from wrong solutions alone, and from right and wrong ones. Left: root mean square error "
        f"of the estimate against many rollouts, at {count(float(rows['estimates']['n_problems'].max()))} problems "
        f"({said}); dots are replicates, marks beside them their means. Middle: test error (greedy) of per-step DPO "
        "with either, and of SFT. Right: both minus alone at the same size, paired, and in the mean of all sizes "
        f"(square), which the claim is ruled by, with Student's {LEVEL:.0%} interval over "
        f"{rows['errors']['replicate'].nunique()} replicates: held where that of the mean lies below 0, not held where "
        f"it lies above {number(-MARGIN)} (broken), else undecided. “Advantages of both kinds improve "
        f"per-step DPO”: {ruling(*low_high[1:])} (averaged over sizes: {told(*low_high)})."
    )


VIEW: View[dict[str, pd.DataFrame]] = View(read=_read, draw=_drawn, data=_data, caption=_caption)
