"""Figure 3: negative log-likelihood, under the base, of the teacher's solutions and of those pi_sft wrote itself.

Compared are problems that both have solved. The rule, written before the runs: a replicate's value is its mean over
problems (of a problem's self-generated solutions their mean), and Student's interval of self minus teacher over
replicates, at 95 %, decides: held below 0, not held above 0, undecided otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.likelihood import two_writers
from analysis.gallery.entries import Runs, View
from analysis.gallery.student import LEVEL, against, means, told
from analysis.worth.words import count

LIKELIHOOD = Runs("likelihood", table="likelihoods.parquet", quick="quick")
MEASURES: Mapping[str, tuple[str, str]] = {  # to its unit and which solutions it is of
    "token": ("nats a token", "all solutions"),
    "solution": ("nats a solution", "all solutions"),
    "equally long": ("nats a solution", "equally long"),
}


def _read(folder: Path, n_draws: int) -> pd.DataFrame:
    """A row a replicate, measure and writer: `value`, the mean over problems that both writers have solved."""
    rows = pd.read_parquet(folder / LIKELIHOOD.table)
    rows = rows[rows["n_problems"] == rows["n_problems"].max()]
    keys = ["replicate", "problem_id"]
    teacher = rows[rows["writer"] == "teacher"].set_index(keys)
    own = rows[rows["writer"] == "self"].join(teacher[["n_tokens", "logp_sum"]].add_suffix("_teacher"), on=keys)
    own = own.dropna(subset=["logp_sum_teacher"])
    equal = own[own["n_tokens"] == own["n_tokens_teacher"]]
    of = {"token": (own, True), "solution": (own, False), "equally long": (equal, False)}
    frames = [_by_writer(pairs, keys, is_per_token).assign(measure=name) for name, (pairs, is_per_token) in of.items()]
    return pd.concat(frames, ignore_index=True)


def _by_writer(pairs: pd.DataFrame, keys: list[str], is_per_token: bool) -> pd.DataFrame:
    out = []
    for writer, end in (("self", ""), ("teacher", "_teacher")):
        nats = -pairs[f"logp_sum{end}"] / (pairs[f"n_tokens{end}"] if is_per_token else 1)
        by_problem = nats.groupby([pairs[key] for key in keys]).mean()
        by_replicate = by_problem.groupby("replicate").agg(["mean", "size"])
        out.append(
            by_replicate.rename(columns={"mean": "value", "size": "n_problems"}).reset_index().assign(writer=writer)
        )
    return pd.concat(out)


def _differences(rows: pd.DataFrame) -> pd.DataFrame:
    return means(against(rows, ["measure"], "self", "teacher", "writer"), ["measure"], "difference").set_index(
        "measure"
    )


def ruling(low: float, high: float) -> str:
    """By the rule above."""
    return "held" if high < 0 else "not held" if low > 0 else "undecided"


def _drawn(rows: pd.DataFrame) -> Figure:
    return two_writers(rows, _differences(rows).reset_index(), MEASURES)


def _data(rows: pd.DataFrame) -> pd.DataFrame:
    levels = means(rows, ["measure", "writer"], "value")
    return pd.concat([levels, _differences(rows).reset_index().assign(writer="self minus teacher")], ignore_index=True)


def _label(name: str) -> str:
    """`nats a solution, equally long`."""
    unit, of_which = MEASURES[name]
    return unit if of_which.startswith("all") else f"{unit}, {of_which}"


def _n_problems(rows: pd.DataFrame, measure: str) -> str:
    """`466 to 499 problems`: the fewest and the most of a replicate."""
    found = rows.loc[rows["measure"] == measure, "n_problems"]
    if found.empty:
        return "no problem"
    few, many = count(float(found.min())), count(float(found.max()))
    return f"{few} problems" if few == many else f"{few} to {many} problems"


def _caption(rows: pd.DataFrame) -> str:
    gap, n = _differences(rows), rows["replicate"].nunique()
    said = "; ".join(
        f"{_label(name)} {told(*gap.loc[name, ['mean', 'low', 'high']])}" for name in MEASURES if name in gap.index
    )
    held = ruling(*map(float, gap.loc["token", ["low", "high"]]))
    return (
        "Negative log-likelihood under the base model of the teacher's solutions and of the SFT policy's own distinct "
        f"correct ones, of problems that have both, {_n_problems(rows, 'token')} a replicate (right: where both are "
        f"equally long, {_n_problems(rows, 'equally long')}). Above, a thin line is a replicate, a point the mean; "
        "below, the differences of the replicates (dots) and their mean. "
        f"Self minus teacher, with Student's {LEVEL:.0%} interval over {n} replicates: {said}. "
        f"“Self-generated solutions are likelier under the base”, a token: {held}."
    )


VIEW: View[pd.DataFrame] = View(read=_read, draw=_drawn, data=_data, caption=_caption)
