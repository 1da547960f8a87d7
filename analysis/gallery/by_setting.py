"""Error of one arm against a setting of it, at fixed numbers of problems: what figures of one setting share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.steps import Curve, Ruled, levels_and_differences
from analysis.figures.style import TEST_ERROR
from analysis.gallery.entries import Runs
from analysis.gallery.student import means
from analysis.worth.words import count
from sweep.table import flat


@dataclass(frozen=True)
class Setting:
    """What varies, and of which arm.

    Args:
        runs: whose table has the arm under one name a value, as `collect --by KEY` names them.
        arm: without the setting; its look is that of every size.
        key: of the setting, as on a command line; its values are numbers.
        axis: what the figure calls it.
        is_log: whether the axis is logarithmic.
    """

    runs: Runs
    arm: str
    key: str
    axis: str
    is_log: bool = False

    def read(self, folder: Path, n_draws: int) -> pd.DataFrame:
        """A row a size, value of the setting (`x`) and replicate (or seed): `value`, the error, and
        `total_flops`; of the smallest and the largest size that have the most values.

        Raises:
            ValueError: the table has fewer than two values of the setting.
        """
        runs = pd.read_parquet(folder / self.runs.table)
        runs = runs[runs["arm"].str.startswith(f"{self.arm}, {self.key.split('.')[-1]}=")]
        found = pd.DataFrame(
            {
                "n_problems": runs["n_problems"],
                "x": [flat(json.loads(str(text)))[self.key] for text in runs["config"]],
                "replicate": runs["replicate" if "replicate" in runs else "seed"],
                "unit": "replicates" if "replicate" in runs else "seeds of one base",
                "value": 1 - runs["n_correct"] / runs["n_test"],
                "total_flops": runs["total_flops"],
            }
        )
        n_values = found.groupby("n_problems")["x"].nunique()
        sizes = n_values[n_values == n_values.max()].index
        found = found[found["n_problems"].isin([*sizes[:1], *sizes[-1:]])]
        if found["x"].nunique() < 2:
            raise ValueError(
                f"{folder}: expected {self.arm} with several {self.key}, found {found['x'].nunique()}; collect the "
                f"whole experiment: `{self.runs.lines()[1]}`"
            )
        return found

    def draw(self, rows: pd.DataFrame, ruled: Ruled, margin: float) -> Figure:
        """Left the errors, right their differences from that at the smallest value, and what the claim is ruled by."""
        levels, gaps = (curves(of, self.arm, "{} problems") for of in summaries(rows))
        labels = (self.axis, TEST_ERROR, f"error minus that with {rows['x'].min():g}")
        return levels_and_differences(levels, gaps, labels, ruled=ruled, margin=margin, is_log=self.is_log)


def curves(of: pd.DataFrame, arm: str, name: str) -> list[Curve]:
    """One a size, of one arm, named by the size in `name`'s braces."""
    sizes = sorted(of["n_problems"].unique())
    return [Curve(name.format(count(n)), arm, of[of["n_problems"] == n], "x", is_smaller=n < sizes[-1]) for n in sizes]


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Error minus that at the smallest value, paired: a row a size, value and replicate."""
    wide = rows.pivot_table(index=["n_problems", "replicate"], columns="x", values="value")
    gaps = wide.sub(wide[wide.columns.min()], axis=0).drop(columns=wide.columns.min())
    return pd.Series(gaps.stack(), name="difference").reset_index()


def summaries(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Errors and differences as means over replicates, with their limits."""
    return means(rows, ["n_problems", "x"], "value"), means(differences(rows), ["n_problems", "x"], "difference")


def over(rows: pd.DataFrame) -> str:
    """`3 replicates`, or `1 replicate`: what the means are over."""
    n, unit = rows["replicate"].nunique(), str(rows["unit"].iloc[0])
    return f"{n} {unit if n > 1 else unit.replace('replicates', 'replicate').replace('seeds', 'seed')}"


def data(rows: pd.DataFrame, ruled: Ruled) -> pd.DataFrame:
    """What is drawn, as a table; what the claim is ruled by under its name."""
    levels, gaps = summaries(rows)
    alone = pd.DataFrame([ruled.found], columns=["mean", "low", "high"])
    tables = [
        levels.assign(what="error"),
        gaps.assign(what="difference"),
        alone.assign(what=ruled.name.replace("\n", " ")),
    ]
    return pd.concat(tables, ignore_index=True)
