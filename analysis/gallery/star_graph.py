"""Figure 8: star graphs. What SFT learns with its updates, and what per-step DPO adds from each of its checkpoints.

The rule, written before the runs: at each checkpoint, test error of per-step DPO minus that of SFT continued for as
many updates from the same weights, paired in a replicate; Student's interval over replicates at 95 %, corrected for the
number of checkpoints of its degree.
    held        below 0 at a checkpoint before the last, and not below 0 at the last, the over-trained one
    not held    above -0.01 at every checkpoint before the last: no gain worth a point
    undecided   otherwise
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.figures.star_graph import MEASURES, learnt_with_updates
from analysis.gallery.entries import Runs, View
from analysis.gallery.student import LEVEL
from analysis.intervals import student
from analysis.worth.words import count, error_text, interval_text
from sweep.table import flat

# an over-trained checkpoint may make no mistake on its problems, and then there is no pair to learn from
STAR_GRAPH = Runs("star_graph", by="sft.passes", may_lack=True, quick="quick_star_graph")
ARMS = ("SFT", "SFT, more updates", "per-step DPO")
MARGIN = 0.01


def _read(folder: Path, n_draws: int) -> pd.DataFrame:
    """A row a run: its degree, arm, the updates of the SFT that it starts from (or is), and what it reached."""
    runs = pd.read_parquet(folder / STAR_GRAPH.table)
    rows = [_run(dict(row)) for row in runs[runs["n_problems"] > 0].to_dict("records")]
    found = pd.DataFrame(rows)
    if lacking := [arm for arm in ARMS if arm not in set(found["arm"])]:
        raise ValueError(
            f"{folder}: expected the arms {', '.join(ARMS)}, found no {', '.join(lacking)}; collect the whole "
            f"experiment: `{STAR_GRAPH.lines()[1]}`"
        )
    return found


def _run(row: Mapping[Any, Any]) -> dict[str, object]:
    config = flat(json.loads(str(row["config"])))
    updates = math.ceil(config["sft.passes"] * config["n_problems"] / config["sft.batch_size"])
    return {
        "degree": config["dataset.degree"],
        "arm": str(row["arm"]).split(", passes=")[0],
        "updates": updates,
        "replicate": row["replicate"],
        "loss": row["loss"],
        "value": row["n_correct_sampled"] / row["n_sampled"],
        "error": 1 - row["n_correct"] / row["n_test"],
    }


def _means(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean over replicates with Student's interval, of each measure: a row a degree, arm, checkpoint and measure."""
    rows = []
    for (degree, arm, updates), of in runs.groupby(["degree", "arm", "updates"]):
        for measure in MEASURES:
            values = of[measure].to_numpy(float)
            rows.append((degree, arm, updates, measure, *student(values, LEVEL), len(values)))
    return pd.DataFrame(rows, columns=["degree", "arm", "updates", "measure", "mean", "low", "high", "n_replicates"])


def gains(runs: pd.DataFrame, degree: int) -> pd.DataFrame:
    """Per-step DPO's error minus SFT continued's at each checkpoint: updates, mean, low, high."""
    of = runs[runs["degree"] == degree].pivot_table(index=["updates", "replicate"], columns="arm", values="error")
    gap = (of["per-step DPO"] - of["SFT, more updates"]).dropna()
    n = gap.index.get_level_values("updates").nunique()
    rows = [(u, *student(one.to_numpy(float), 1 - (1 - LEVEL) / n)) for u, one in gap.groupby(level="updates")]
    return pd.DataFrame(rows, columns=["updates", "mean", "low", "high"]).sort_values("updates")


def ruling(gap: pd.DataFrame) -> str:
    """By the rule above."""
    before, last = gap.iloc[:-1], gap.iloc[-1]
    if (before["high"] < 0).any() and last["high"] >= 0:
        return "held"
    return "not held" if len(before) and (before["low"] > -MARGIN).all() else "undecided"


def _gain(updates: float, mean: float, low: float, high: float) -> str:
    limits = f" {interval_text(low, high, error_text)}" if math.isfinite(low) else " (one replicate, no interval)"
    return f"{error_text(mean)}{limits} at {count(updates)}"


def _caption(runs: pd.DataFrame) -> str:
    said = []
    for degree in sorted(runs["degree"].unique()):
        gap = gains(runs, degree)
        each = ", ".join(_gain(*map(float, row)) for row in gap.to_numpy())
        said.append(f"degree {degree}: {ruling(gap)} (per-step DPO minus SFT continued: {each} updates)")
    n = runs["replicate"].nunique()
    return (
        "Star graphs, a row a degree, against the updates of SFT: the loss of its last batch; the "
        "chance at T = 1 of a right path, which the critical token decides; greedy test error, of SFT "
        "itself, of SFT continued and of per-step DPO from the same weights for as many updates. Means over replicates "
        f"with Student's {LEVEL:.0%} intervals ({n} replicates in all). “Per-step DPO from an under-trained checkpoint "
        f"beats SFT continued, from an over-trained one it does not”: {'; '.join(said)}."
    )


VIEW: View[pd.DataFrame] = View(
    read=_read, draw=lambda runs: learnt_with_updates(_means(runs)), data=_means, caption=_caption
)
