"""Figure 2c: error against the number of self-generated positives a problem, n_problems fixed.

The rule, written before the runs in replicates: at the largest size, the error with the most positives a problem minus
that with a quarter of them, paired in a replicate, Student's interval over replicates at 95 %.
    held        above -0.01: a fourfold number gains less than a point, so the curve is flat or rises
    not held    below -0.01: it still falls by more
    undecided   otherwise
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.steps import Curve, levels_and_differences
from analysis.gallery.entries import Runs, View
from analysis.gallery.student import LEVEL, means, told
from analysis.intervals import student
from analysis.worth.words import count
from sweep.table import flat

POSITIVES = Runs(
    "positives", others=("one_base",), by="source.max_solutions_per_problem", quick="quick_positives"
)  # one_base: an earlier study, of five seeds of one base
SETTING, MARGIN = "source.max_solutions_per_problem", 0.01
LOOKS = ("RFT, max_solutions_per_problem=4", "RFT, max_solutions_per_problem=16")  # of the smaller and larger size


def _read(folder: Path, n_draws: int) -> pd.DataFrame:
    """A row a size, number of positives and replicate (or seed): `value`, the error; of the smallest and the largest
    size that have the most numbers."""
    runs = pd.read_parquet(folder / POSITIVES.table)
    runs = runs[runs["arm"].str.startswith(f"RFT, {SETTING.split('.')[-1]}=")]
    found = pd.DataFrame(
        {
            "n_problems": runs["n_problems"],
            "n_positives": [int(flat(json.loads(str(text)))[SETTING]) for text in runs["config"]],
            "replicate": runs["replicate" if "replicate" in runs else "seed"],
            "unit": "replicates" if "replicate" in runs else "seeds of one base",
            "value": 1 - runs["n_correct"] / runs["n_test"],
        }
    )
    n_numbers = found.groupby("n_problems")["n_positives"].nunique()
    sizes = n_numbers[n_numbers == n_numbers.max()].index
    found = found[found["n_problems"].isin([*sizes[:1], *sizes[-1:]])]
    if found["n_positives"].nunique() < 2:
        raise ValueError(
            f"{folder}: expected RFT with several {SETTING}, found {found['n_positives'].nunique()}; collect the whole "
            f"experiment: `{POSITIVES.lines()[1]}`"
        )
    return found


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Error minus that with the fewest positives, paired: a row a size, number and replicate."""
    wide = rows.pivot_table(index=["n_problems", "replicate"], columns="n_positives", values="value")
    gaps = wide.sub(wide[wide.columns.min()], axis=0).drop(columns=wide.columns.min())
    return pd.Series(gaps.stack(), name="difference").reset_index()


def last_quadrupling(rows: pd.DataFrame) -> tuple[int, int, tuple[float, float, float]]:
    """A quarter, the most, and the difference between their errors at the largest size."""
    of = rows[rows["n_problems"] == rows["n_problems"].max()]
    wide = of.pivot_table(index="replicate", columns="n_positives", values="value")
    most = int(wide.columns.max())
    fewer = int(max(n for n in wide.columns if n <= max(most / 4, wide.columns.min())))
    return fewer, most, student((wide[most] - wide[fewer]).dropna().to_numpy(float))


def ruling(low: float, high: float) -> str:
    """By the rule above."""
    if math.isnan(low):
        return "undecided"
    return "held" if low > -MARGIN else "not held" if high < -MARGIN else "undecided"


def _drawn(rows: pd.DataFrame) -> Figure:
    levels, gaps = _summaries(rows)
    sizes = sorted(rows["n_problems"].unique())
    looks = dict(zip(sizes, LOOKS[-len(sizes) :], strict=True))
    both = [
        [Curve(f"{count(n)} problems", looks[n], of[of["n_problems"] == n], "n_positives") for n in sizes]
        for of in (levels, gaps)
    ]
    fewest = rows["n_positives"].min()
    labels = ("self-generated positives a problem, at most", "test error", f"error minus that with {fewest}")
    return levels_and_differences(both[0], both[1], labels, is_log=True)


def _summaries(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    keys = ["n_problems", "n_positives"]
    return means(rows, keys, "value"), means(differences(rows), keys, "difference")


def _data(rows: pd.DataFrame) -> pd.DataFrame:
    levels, gaps = _summaries(rows)
    return pd.concat([levels.assign(what="error"), gaps.assign(what="difference")], ignore_index=True)


def _caption(rows: pd.DataFrame) -> str:
    fewer, most, gap = last_quadrupling(rows)
    return (
        "RFT's test error (greedy) against how many distinct correct self-generated solutions a problem it is given at "
        "most, at a fixed number of problems and of updates. Left: means over "
        f"{rows['replicate'].nunique()} {rows['unit'].iloc[0]}; right: difference from the fewest, paired, with "
        f"Student's {LEVEL:.0%} interval. “More positives a problem leave the error flat or raise it”: "
        f"{ruling(*gap[1:])} (from {fewer} to {most} a problem at {count(float(rows['n_problems'].max()))} problems: "
        f"{told(*gap)})."
    )


VIEW: View[pd.DataFrame] = View(read=_read, draw=_drawn, data=_data, caption=_caption)
