"""Beyond the paper: one arm by another choice of how it is made, against its usual one, and what each costs.

The rule of the claim, written before the runs: at the largest size, the error with another choice minus that with the
usual one, paired in a replicate, Student's interval over replicates at 95 % for all other choices at once (Bonferroni).
    held        of one of them it lies below 0
    not held    of all of them it lies above -0.01
    undecided   otherwise
Controls are shown beside them, and the claim does not speak of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.charges import differences_and_cost
from analysis.gallery.entries import Runs, View
from analysis.gallery.student import LEVEL, against, means, told
from analysis.worth.words import count, number
from sweep.table import flat

MARGIN = 0.01


@dataclass(frozen=True)
class Choices:
    """What varies, of which arm, and how it is told.

    Args:
        runs: whose table has the arm under one name a choice, as `collect --by KEY` names them.
        arm: without the setting.
        key: of the setting, as on a command line.
        names: of each of its values, the usual one first; `{setting}` in one stands for that setting's last word.
        about: what is drawn: `Per-step DPO's test error (greedy) by ...`.
        less: what the differences are from: `that with ...`.
        claim: what holds where another choice is better.
        controls: other arms that are shown beside, and what the figure calls them.
        more: a clause on the controls' cost.
    """

    runs: Runs
    arm: str
    key: str
    names: Mapping[str, str]
    about: str
    less: str
    claim: str
    controls: Mapping[str, str] = field(default_factory=dict)
    more: str = ""

    @property
    def usual(self) -> str:
        """The choice that the others are compared with."""
        return next(iter(self.names.values()))

    def view(self) -> View[pd.DataFrame]:
        """The figure."""
        return View(read=self.read, draw=self._drawn, data=self._data, caption=self._caption)

    def read(self, folder: Path, n_draws: int) -> pd.DataFrame:
        """A row a choice, size and replicate: `value`, the error, and `tokens` sampled a problem before the policy was
        there.

        Raises:
            ValueError: the table has not the usual choice and another.
        """
        runs = pd.read_parquet(folder / self.runs.table)
        short = f"{self.arm}, {self.key.split('.')[-1]}="
        runs = runs[runs["arm"].str.startswith(short) | runs["arm"].isin(list(self.controls))]
        choices = [self._named(str(arm), str(config)) for arm, config in zip(runs["arm"], runs["config"], strict=True)]
        found = runs[["n_problems", "replicate"]].assign(
            choice=choices,
            value=1 - runs["n_correct"] / runs["n_test"],
            tokens=runs["total_n_sampled_tokens"] / runs["n_problems"],
        )
        if self.usual not in choices or not self._others(found):
            raise ValueError(
                f"{folder}: expected {self.arm} with {self.key}={next(iter(self.names))} and with another, found "
                f"{', '.join(sorted(set(choices))) or 'none'}; collect the whole experiment: `{self.runs.lines()[1]}`"
            )
        return found

    def _named(self, arm: str, config: str) -> str:
        if arm in self.controls:
            return self.controls[arm]
        given = flat(json.loads(config))
        numbers = {key.split(".")[-1]: f"{value:g}" for key, value in given.items() if isinstance(value, int | float)}
        return self.names[given[self.key]].format_map(numbers)

    def _others(self, rows: pd.DataFrame) -> list[str]:
        """The choices that the usual one is compared with, in the order of the table."""
        return [one for one in dict.fromkeys(rows["choice"]) if one not in (self.usual, *self.controls.values())]

    def gaps(self, rows: pd.DataFrame, level: float = LEVEL) -> pd.DataFrame:
        """Each choice's error minus that of the usual one, at each size: name, n_problems, mean, low, high."""
        found = [
            against(rows, ["n_problems"], one, self.usual, "choice").assign(name=one)
            for one in dict.fromkeys(rows["choice"])
            if one != self.usual
        ]
        return means(pd.concat(found), ["name", "n_problems"], "difference", level)

    def judged(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The differences that the claim is ruled by: of the other choices, at the largest size."""
        others = self._others(rows)
        of = self.gaps(rows, 1 - (1 - LEVEL) / len(others))
        found: pd.DataFrame = of[of["name"].isin(others) & (of["n_problems"] == rows["n_problems"].max())]
        return found

    def cost(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Tokens a problem: name, n_problems, mean; the usual choice is the first of the rows."""
        shown = [one for one in self.controls.values() if one in set(rows["choice"])]
        names, sizes = [self.usual, *self._others(rows), *shown], sorted(set(rows["n_problems"]))
        spent = rows.groupby(["choice", "n_problems"])["tokens"].mean()
        found = [(name, n, spent[name, n]) for name in names for n in sizes if (name, n) in spent]
        return pd.DataFrame(found, columns=["name", "n_problems", "mean"])

    def _drawn(self, rows: pd.DataFrame) -> Figure:
        labels = (f"error minus {self.less}", "sampled tokens a problem")
        of = (self.gaps(rows), self.judged(rows), self.cost(rows))
        return differences_and_cost(*of, labels, self.arm, controls=list(self.controls.values()), margin=-MARGIN)

    def _data(self, rows: pd.DataFrame) -> pd.DataFrame:
        levels = means(rows.rename(columns={"choice": "name"}), ["name", "n_problems"], "value")
        at_once = self.judged(rows)[["name", "n_problems", "low", "high"]]
        at_once = at_once.rename(columns={"low": "low_at_once", "high": "high_at_once"})
        gaps = self.gaps(rows).merge(at_once, on=["name", "n_problems"], how="left")
        what = {"error": levels, "difference": gaps, "sampled tokens a problem": self.cost(rows)}
        return pd.concat([table.assign(what=name) for name, table in what.items()], ignore_index=True)

    def _caption(self, rows: pd.DataFrame) -> str:
        of, n_problems, n = self.judged(rows), rows["n_problems"].max(), rows["replicate"].nunique()
        tokens = self.cost(rows).query("n_problems == @n_problems").set_index("name")["mean"]
        rows_of = of[["name", "mean", "low", "high"]].to_numpy().tolist()
        said = "; ".join(f"{name} {told(*low_high)}" for name, *low_high in rows_of)
        spent = ", ".join(f"{name} {value:,.0f}" for name, value in tokens.items())
        at, others = f"at {count(float(n_problems))} problems", _at_once(len(of))
        shown = [one for one in self.controls.values() if one in set(rows["choice"])]
        left_out = f"; {', '.join(shown)} is a control, which the claim leaves out" if shown else ""
        return (
            f"{self.about}, minus {self.less}, paired; means over {n} replicate{'s' if n > 1 else ''} with Student's "
            f"{LEVEL:.0%} interval of each alone (thick) and, thin, the limits {others} at the largest size, which the "
            f"claim is ruled by: held where those of one lie below 0, not held where those of all lie above "
            f"{number(-MARGIN)} (broken), else undecided{left_out}. The dash at 0 is {self.usual} itself. Right: "
            f"tokens that were sampled a problem, solutions and rollouts together{self.more} ({at}: {spent}). "
            f"“{self.claim}”: {ruling(of)} ({at}, limits {others}: {said})."
        )


def _at_once(n_others: int) -> str:
    """`for both other choices at once`."""
    if n_others == 1:
        return "of the one other choice"
    return f"for {'both' if n_others == 2 else f'all {n_others}'} other choices at once"


def ruling(of: pd.DataFrame) -> str:
    """By the rule above."""
    if (of["high"] < 0).any():
        return "held"
    return "not held" if (of["low"] > -MARGIN).all() else "undecided"
