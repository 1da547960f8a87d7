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
from matplotlib.figure import Figure

from analysis.figures.star_graph import MEASURES, Shown, learnt_with_updates
from analysis.gallery.entries import Runs, View
from analysis.gallery.student import LEVEL, means
from analysis.intervals import student
from analysis.worth.words import count, error_text, interval_text, number
from sweep.table import flat

# an over-trained checkpoint may make no mistake on its problems, and then there is no pair to learn from
STAR_GRAPH = Runs(
    "star_graph", others=("fresh_star_graph",), by="sft.passes", may_lack=True, fresh="fresh_star_graph",
    replicates="", quick="quick_star_graph",
)  # fmt: skip
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
    """Mean over replicates with Student's interval, of each measure: a row a degree, arm, checkpoint and measure.

    Where arms are compared, over the replicates that all arms of the checkpoint have: levels over different replicates
    would tell their difference wrongly.
    """
    rows, is_shared = [], _is_shared(runs)
    for (degree, arm, updates), of in runs.groupby(["degree", "arm", "updates"]):
        for measure, (_, is_sft_alone) in MEASURES.items():
            values = (of if is_sft_alone else of[is_shared[of.index]])[measure].to_numpy(float)
            rows.append((degree, arm, updates, measure, *student(values, LEVEL), len(values)))
    return pd.DataFrame(rows, columns=["degree", "arm", "updates", "measure", "mean", "low", "high", "n_replicates"])


def _is_shared(runs: pd.DataFrame) -> pd.Series:
    """Whether a run's replicate has every arm that its checkpoint has."""
    n_arms = runs.groupby(["degree", "updates"])["arm"].transform("nunique")
    found: pd.Series = runs.groupby(["degree", "updates", "replicate"])["arm"].transform("nunique").eq(n_arms)
    return found


def paired(runs: pd.DataFrame, degree: int) -> pd.DataFrame:
    """Per-step DPO's error minus SFT continued's: updates, replicate, difference."""
    of = runs[runs["degree"] == degree].pivot_table(index=["updates", "replicate"], columns="arm", values="error")
    return (of["per-step DPO"] - of["SFT, more updates"]).dropna().rename("difference").reset_index()


def gains(runs: pd.DataFrame, degree: int) -> pd.DataFrame:
    """Per-step DPO's error minus SFT continued's at each checkpoint: updates, mean, low, high, n_replicates.

    Limits of two replicates reach beyond what a difference of errors can be, and end there.
    """
    gap = paired(runs, degree)
    found = means(gap, ["updates"], "difference", 1 - (1 - LEVEL) / gap["updates"].nunique())
    return found.assign(low=found["low"].clip(lower=-1.0), high=found["high"].clip(upper=1.0))


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
        each = ", ".join(_gain(*map(float, row[:4])) for row in gap.to_numpy())
        said.append(f"degree {degree}: {ruling(gap)} (per-step DPO minus SFT continued: {each} updates)")
    return (
        "Star graphs, a row a degree, against the updates of SFT: the loss of its last batch; the "
        "chance at T = 1 of a right path, which the critical token decides; test error (greedy), of SFT "
        "itself, of SFT continued and of per-step DPO from the same weights for as many updates; and the paired "
        f"difference of the last two, with Student's {LEVEL:.0%} limits for all checkpoints of a degree at once, which "
        "the claim is ruled by (an open arrowhead: it goes on beyond the frame): held where they lie below 0 at a "
        "checkpoint before the last and do not at the last, not held where they lie above "
        f"{number(-MARGIN)} (broken) at each before the last, else undecided. Each panel has a scale of its own; the "
        "chance level is a guess among the paths. Dots are runs, marks means over "
        f"{_replicates(runs)}. “Per-step DPO from an under-trained checkpoint "
        f"beats SFT continued, from an over-trained one it does not”: {'; '.join(said)}."
    )


def _replicates(runs: pd.DataFrame) -> str:
    """`3 replicates a degree, n = 2 at degree 2 and 4,096 updates, ...`: how many there are, and where fewer."""
    levels = _means(runs).query("measure == 'error'")
    most = levels.groupby("degree")["n_replicates"].max()
    few = levels[levels["n_replicates"] < levels["degree"].map(most)].drop_duplicates(["degree", "updates"])
    where = ", ".join(
        f"n = {row['n_replicates']} at degree {row['degree']} and {count(float(row['updates']))} updates"
        for row in few.to_dict("records")
    )
    numbers = " or ".join(map(str, sorted(set(most))))
    said = f"{numbers} replicate{'s' if most.max() > 1 else ''} a degree"
    left_out = "crosses are the runs of those of which an arm had no mistake to learn from"
    return f"{said}, {where}: the replicates that all arms have there ({left_out})" if where else said


def _gaps_of_all(runs: pd.DataFrame) -> pd.DataFrame:
    degrees = sorted(runs["degree"].unique())
    return pd.concat([gains(runs, degree).assign(degree=degree) for degree in degrees], ignore_index=True)


def _drawn(runs: pd.DataFrame) -> Figure:
    pairs = [paired(runs, degree).assign(degree=degree) for degree in sorted(runs["degree"].unique())]
    return learnt_with_updates(
        Shown(
            runs.assign(is_counted=_is_shared(runs)),
            _means(runs),
            pd.concat(pairs, ignore_index=True),
            _gaps_of_all(runs),
            -MARGIN,
        )
    )


def _data(runs: pd.DataFrame) -> pd.DataFrame:
    gaps = _gaps_of_all(runs).assign(arm="per-step DPO minus SFT, more updates", measure="error")
    return pd.concat([_means(runs), gaps], ignore_index=True)


VIEW: View[pd.DataFrame] = View(read=_read, draw=_drawn, data=_data, caption=_caption)
