"""Beyond the paper: which step of a wrong solution per-step DPO charges, and what finding it costs in sampled tokens.

Three rules of the pit and, without a rule, a random step up to it. The rule of the claim, written before the runs: at
the largest size, the error with another rule minus that with the first lowest q_value, paired in a replicate, Student's
interval over replicates at 95 % for all other rules at once (Bonferroni).
    held        of one of them it lies below 0
    not held    of all of them it lies above -0.01
    undecided   otherwise
The random step is a control, which the claim does not speak of.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.charges import differences_and_cost
from analysis.gallery.entries import Runs, View
from analysis.gallery.student import LEVEL, against, means, told
from analysis.worth.words import count
from sweep.table import flat

PIT_RULES = Runs("pit_rules", by="method.pit_rule", quick="quick_pit_rules")
ARM, CONTROL = "per-step DPO", "random-step DPO"
FIRST, RANDOM = "first lowest q_value", "a random step up to the pit"
MARGIN = 0.01


def _read(folder: Path, n_draws: int) -> pd.DataFrame:
    """A row a rule, size and replicate: `value`, the error, and `tokens` sampled a problem before the policy was there.

    Raises:
        ValueError: the table has not the first lowest q_value and another rule.
    """
    runs = pd.read_parquet(folder / PIT_RULES.table)
    runs = runs[runs["arm"].str.startswith(f"{ARM}, pit_rule=") | runs["arm"].eq(CONTROL)]
    rules = [_named(str(arm), str(config)) for arm, config in zip(runs["arm"], runs["config"], strict=True)]
    found = runs[["n_problems", "replicate"]].assign(
        rule=rules,
        value=1 - runs["n_correct"] / runs["n_test"],
        tokens=runs["total_n_sampled_tokens"] / runs["n_problems"],
    )
    if FIRST not in rules or not _others(found):
        raise ValueError(
            f"{folder}: expected {ARM} with the rule of the pit first_lowest and with another, found "
            f"{', '.join(sorted(set(rules))) or 'none'}; collect the whole experiment: `{PIT_RULES.lines()[1]}`"
        )
    return found


def _named(arm: str, config: str) -> str:
    if arm == CONTROL:
        return RANDOM
    given = flat(json.loads(config))
    threshold = given["method.pit_threshold"]
    of = {
        "first_lowest": FIRST,
        "first_below": f"first q_value ≤ {threshold:g}",
        "lowest_advantage": "lowest advantage",
    }
    return of[given["method.pit_rule"]]


def _others(rows: pd.DataFrame) -> list[str]:
    """The rules that the first lowest is compared with, in the order of the table."""
    return [rule for rule in dict.fromkeys(rows["rule"]) if rule not in (FIRST, RANDOM)]


def gaps(rows: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
    """Each rule's error minus that of the first lowest, at each size: name, n_problems, mean, low, high."""
    found = [
        against(rows, ["n_problems"], rule, FIRST, "rule").assign(name=rule)
        for rule in dict.fromkeys(rows["rule"])
        if rule != FIRST
    ]
    return means(pd.concat(found), ["name", "n_problems"], "difference", level)


def judged(rows: pd.DataFrame) -> pd.DataFrame:
    """The differences that the claim is ruled by: of the other rules, at the largest size."""
    others = _others(rows)
    of = gaps(rows, 1 - (1 - LEVEL) / len(others))
    found: pd.DataFrame = of[of["name"].isin(others) & (of["n_problems"] == rows["n_problems"].max())]
    return found


def ruling(of: pd.DataFrame) -> str:
    """By the rule above."""
    if (of["high"] < 0).any():
        return "held"
    return "not held" if (of["low"] > -MARGIN).all() else "undecided"


def cost(rows: pd.DataFrame) -> pd.DataFrame:
    """Tokens a problem: name, n_problems, mean; the first lowest is the first of the rows."""
    names = [FIRST, *_others(rows), *([RANDOM] if RANDOM in set(rows["rule"]) else [])]
    spent = rows.groupby(["rule", "n_problems"])["tokens"].mean()
    found = [(name, n, spent[name, n]) for name in names for n in sorted(set(rows["n_problems"])) if (name, n) in spent]
    return pd.DataFrame(found, columns=["name", "n_problems", "mean"])


def _drawn(rows: pd.DataFrame) -> Figure:
    labels = ("error minus that of the first lowest", "sampled tokens a problem")
    return differences_and_cost(gaps(rows), judged(rows), cost(rows), labels)


def _data(rows: pd.DataFrame) -> pd.DataFrame:
    levels = means(rows.rename(columns={"rule": "name"}), ["name", "n_problems"], "value")
    what = {"error": levels, "difference": gaps(rows), "sampled tokens a problem": cost(rows)}
    return pd.concat([table.assign(what=name) for name, table in what.items()], ignore_index=True)


def _caption(rows: pd.DataFrame) -> str:
    of, n_problems = judged(rows), rows["n_problems"].max()
    tokens = cost(rows).query("n_problems == @n_problems").set_index("name")["mean"]
    rows_of = of[["name", "mean", "low", "high"]].to_numpy().tolist()
    said = "; ".join(f"{name} {told(*low_high)}" for name, *low_high in rows_of)
    spent = ", ".join(f"{name} {value:,.0f}" for name, value in tokens.items())
    n = rows["replicate"].nunique()
    return (
        "Per-step DPO's test error (greedy) by the step of a wrong solution that is charged, minus that with the first "
        f"lowest q_value, paired; means over {n} replicate{'s' if n > 1 else ''} with Student's {LEVEL:.0%} interval "
        "of each alone (thick) and, thin, the limits for all other rules at once at the largest size, which the claim "
        "is ruled by; the open mark at 0 is the first lowest itself. "
        "Right: tokens that were sampled a problem, solutions and rollouts together; the random step reads the same "
        f"rollouts (at {count(float(n_problems))} problems: {spent}). “Another rule of the pit is better than the "
        f"first lowest”: {ruling(of)} (at {count(float(n_problems))} problems, limits for all at once: {said})."
    )


VIEW: View[pd.DataFrame] = View(read=_read, draw=_drawn, data=_data, caption=_caption)
