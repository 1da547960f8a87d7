"""Theorem 6.1 as a figure: distances that `python -m sweep.exact` computed, with intervals over replicates."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.figures.theorem import distance_against_n_pairs
from analysis.gallery.entries import Runs, View
from analysis.intervals import interval, student
from analysis.worth.words import count, error_text, interval_text, number

THEOREM = Runs(
    "theorem", table="theorem.csv", quick="quick_theorem",
    commands=("python -m sweep.exact --out outputs/theorem/table",),
    quick_commands=("python -m sweep.exact --out outputs/quick_theorem/table --replicates 4 --most-pairs 1024",),
)  # fmt: skip
COLUMN_OF = {"drawn by advantage": "tv_dpo", "larger advantage": "tv_dpo", "regression": "tv_regression"}
EXACT = 1e-4  # distances below this are the search's own accuracy
LEVEL = 0.95


def _read(folder: Path, n_draws: int) -> pd.DataFrame:
    """The table, with what its intervals are drawn by."""
    table = pd.read_csv(folder / THEOREM.table)
    table.attrs["n_draws"] = n_draws
    return table


def values(table: pd.DataFrame, curve: str) -> pd.DataFrame:
    """(replicates, n_pairs) the distances of one curve."""
    rule = "larger advantage" if curve == "larger advantage" else "drawn by advantage"
    column = COLUMN_OF.get(curve, "tv_between")
    return table[table["rule"] == rule].pivot(index="replicate", columns="n_pairs", values=column)


def _curves(table: pd.DataFrame) -> pd.DataFrame:
    """Mean over replicates of each curve at each number of pairs, with its interval: whole replicates drawn anew."""
    rows = []
    for curve in ("drawn by advantage", "regression", "between", "larger advantage"):
        found = values(table, curve)
        drawn = np.random.default_rng(0).integers(len(found), size=(table.attrs["n_draws"], len(found)))
        for n, column in found.items():
            means = column.to_numpy(float)[drawn].mean(axis=1)
            rows.append((curve, n, column.mean(), *interval(means, LEVEL), len(column)))
    return pd.DataFrame(rows, columns=["curve", "n_pairs", "distance", "low", "high", "n_replicates"])


def exponents(table: pd.DataFrame, curve: str) -> tuple[float, float, float]:
    """Slope of ln distance against ln n_pairs in the upper half of sizes: mean over replicates, Student's interval."""
    found = values(table, curve)
    found = found[[n for n in found.columns if np.isfinite(n)]]
    upper = found.iloc[:, found.shape[1] // 2 :]
    slopes = np.array(
        [np.polyfit(np.log(upper.columns.to_numpy(float)), np.log(row), 1)[0] for row in upper.to_numpy()]
    )
    return student(slopes, LEVEL)


def _finite(table: pd.DataFrame) -> pd.DataFrame:
    return _curves(table).replace([np.inf], np.nan).dropna(subset=["n_pairs"])


def _caption(table: pd.DataFrame) -> str:
    curves, infinite = _curves(table), table[np.isinf(table["n_pairs"]) & (table["rule"] == "drawn by advantage")]
    farthest = float(infinite[["tv_dpo", "tv_regression", "tv_between"]].max().max())
    slope, low, high = exponents(table, "drawn by advantage")
    is_held = high < 0 and farthest < EXACT
    ruling = "held" if is_held else "not held" if low > 0 or farthest > 100 * EXACT else "undecided"
    last = curves[np.isfinite(curves["n_pairs"])].groupby("curve").last()
    control = last.loc["larger advantage"]
    times = last.loc["drawn by advantage", "distance"] / last.loc["regression", "distance"]
    return (
        f"Theorem 6.1 on {int(curves['n_replicates'].iloc[0])} random trees of steps, policies exact. Distance (total "
        "variation, mean over prefixes as the SFT policy visits them) from the theorem's optimum, pi_sft exp(A/beta), "
        "to where per-step DPO and advantage-weighted regression end on samples of that policy, and between the two; "
        f"bands: {LEVEL:.0%} intervals of the mean over replicates (tree, policy and pairs drawn anew). "
        f"“Per-step DPO with advantage-sampled pairs and advantage-weighted regression reach one policy”: {ruling} "
        f"(without sampling the farthest of any two optima is {number(farthest, '.1e')}; with n pairs DPO's distance "
        f"falls as n^{number(slope, '.2f')} {interval_text(low, high, partial(number, spec='.2f'))}). With as many "
        f"samples DPO stays {times:.1f} times as far from the optimum as regression. Where the step of larger "
        f"advantage always wins, it does not vanish: {error_text(control['distance'])} "
        f"{interval_text(control['low'], control['high'], error_text)} "
        f"at {count(float(control['n_pairs']))} pairs."
    )


VIEW: View[pd.DataFrame] = View(
    read=_read, draw=lambda table: distance_against_n_pairs(_finite(table)), data=_curves, caption=_caption
)
