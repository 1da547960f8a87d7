"""The table of runs: errors over sizes, arms and seeds, as exact as the file allows.

Three kinds, and what the data permit decides the interval (noise/draws.py):
    outcomes  one row a (run, problem): problem_id and is_correct
    counts    one row a run: n_correct and n_test
    errors    one row a run or cell: error, with an optional standard error
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from analysis.notes import Note
from sweep.terminal.words import listed, nearest

Kind = Literal["outcomes", "counts", "errors"]
HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control and format characters, halves of pairs, line separators
COSTS = ("seconds", "flops", "n_updates", "n_trained_tokens", "n_sampled_tokens")


@dataclass(frozen=True)
class Columns:
    """Which column means what.

    Args:
        y: column of the outcome; None takes is_correct, n_correct or error, whichever is there.
        y_is: whether y grows with right or with wrong answers, or is a loss, which may exceed 1; None where the name
            says it.
        unit: fraction in [0, 1], or percent; never guessed.
        stderr: column with the standard error of y, for tables of errors.
        filters: column -> wanted value; rows with another value are not read.
        step: of a training curve the row to take: "last", or the number of an update; None: there is one, or x is a
            column of the curve.
        sample: column that tells several attempts at one problem apart.
        drop_blank: leave rows without an outcome out, which are refused otherwise.
        format: what a file is, by a name of analysis.tables.formats; None: its content says it.
    """

    arm: str = "arm"
    x: str = "n_problems"
    seed: str = "seed"
    replicate: str = "replicate"
    y: str | None = None
    y_is: Literal["error", "accuracy", "loss"] | None = None
    unit: Literal["fraction", "percent"] = "fraction"
    problem: str = "problem_id"
    n_test: str = "n_test"
    stderr: str | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    step: str | None = None
    sample: str = "sample"
    drop_blank: bool = False
    format: str | None = None

    def named(self, *fields: str) -> dict[str, str]:
        """Option -> value of those of these that somebody chose: what differs from its default."""
        usual = Columns()
        return {OPTIONS.get(one, f"--{one.replace('_', '-')}"): str(getattr(self, one))
                for one in fields if getattr(self, one) != getattr(usual, one)}  # fmt: skip


OPTIONS = {"seed": "--seed-column"}  # the others have the name of their field


@dataclass(frozen=True, eq=False)
class Block:
    """Runs that were tested on the same problems.

    Args:
        rows: (n_runs,) positions in Table.runs.
        errors: (n_runs, n_problems) in [0, 1]: 1 where the run got the problem wrong, or the wrong share.
    """

    rows: np.ndarray
    errors: np.ndarray


@dataclass(frozen=True, eq=False)
class Table:
    """Runs in a canonical order: by arm, size and seed, so that no result depends on the file's order.

    Args:
        runs: columns arm, size (what a cell is), x (the axis of the fit), seed, error, and where known
            replicate (what was drawn anew as a whole, domain and base too), n_test, stderr and the cost columns.
        blocks: outcomes by problem; empty for counts and errors.
        is_loss: `error` is a loss, positive and without an upper end.
        ceiling: error at zero synthetic data as given by hand; None takes that of the runs of size 0.
        is_unpaired: arms were tested on different problems, so that nothing cancels between them.
        only_replicate: the one that all runs belong to, where they say so; such runs differ by seed alone.
    """

    kind: Kind
    runs: pd.DataFrame
    blocks: tuple[Block, ...] = ()
    x_name: str = "n_problems"
    y_name: str = "error"
    path: str = ""
    is_unpaired: bool = False
    is_loss: bool = False
    ceiling: float | None = None
    only_replicate: object = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Arms with at least one positive size, by name."""
        return tuple(sorted(self.runs.loc[self.runs["x"] > 0, "arm"].unique()))

    @cached_property
    def cell_of_run(self) -> np.ndarray:
        """(n_runs,) number of the run's cell, cells in the order of `cells`."""
        keys = self.runs["arm"].ne(self.runs["arm"].shift()) | self.runs["size"].ne(self.runs["size"].shift())
        return np.cumsum(keys.to_numpy()) - 1

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row an (arm, size): arm, size, x, error (mean over seeds), n_seeds, n_test (smallest)."""
        grouped = self.runs.groupby(self.cell_of_run)
        cells = pd.DataFrame(
            {
                "arm": grouped["arm"].first(),
                "size": grouped["size"].first(),
                "x": grouped["x"].mean(),
                "error": grouped["error"].mean(),
                "n_seeds": grouped.size(),
            }
        )
        for name in ("n_test", "stderr", *(f"total_{cost}" for cost in COSTS)):
            if name in self.runs:
                cells[name] = grouped[name].min() if name == "n_test" else grouped[name].mean()
        return cells.reset_index(drop=True)

    @cached_property
    def n_replicates(self) -> int:
        """Replicates of the whole experiment; 0 where runs differ by seed alone."""
        return int(self.runs["replicate"].nunique()) if "replicate" in self.runs else 0

    @cached_property
    def replicate_names(self) -> tuple[str, ...]:
        """As text, so that tables of different files compare; empty where the runs do not say theirs."""
        if "replicate" in self.runs:
            return tuple(map(str, sorted(self.runs["replicate"].unique())))
        return () if self.only_replicate is None else (str(self.only_replicate),)

    @cached_property
    def reference_error(self) -> float | None:
        """Error at zero synthetic data (the model before any arm): as given, else its mean where it was measured."""
        if self.ceiling is not None:
            return self.ceiling
        at_zero = self.cells.loc[self.cells["size"] == 0, "error"]
        return float(at_zero.mean()) if len(at_zero) else None

    @property
    def measure(self) -> str:
        """What `error` is called in texts: error or loss."""
        return "loss" if self.is_loss else "error"

    @property
    def top(self) -> float:
        """The largest error there can be."""
        return np.inf if self.is_loss else 1.0

    def cells_of(self, arm: str) -> np.ndarray:
        """Positions in `cells` of the arm's positive sizes, from the smallest size up."""
        if arm not in self.arms and arm in set(self.runs["arm"]):
            raise ValueError(
                f"{self.path}: {self.x_name} is 0 in every run of {arm}, so it has no curve on that axis; "
                f"the arms that have one are {listed(self.arms) or 'none'}"
            )
        if arm not in self.arms:
            there = f"{nearest(arm, self.arms)}; its arms are {listed(self.arms)}"
            raise ValueError(f"{self.path}: arm {arm!r} is not in the table{there}")
        cells = self._cells_by_arm[arm]
        if len(cells) > 1 and self.cells["x"].iloc[cells].nunique() == 1:
            raise ValueError(
                f"{self.path}: {self.x_name} is {self.cells['x'].iloc[cells[0]]:g} at every size of {arm}, so it has "
                "no curve on that axis; take another"
            )
        return cells

    @cached_property
    def _cells_by_arm(self) -> dict[str, np.ndarray]:
        arm, x = self.cells["arm"].to_numpy(str), self.cells["x"].to_numpy(float)
        found = {one: np.flatnonzero((arm == one) & (x > 0)) for one in self.arms}
        return {one: cells[np.argsort(x[cells], kind="stable")] for one, cells in found.items()}

    def with_x(self, column: str) -> Table:
        """The same runs on another axis, for example total_seconds: cells stay (arm, size)."""
        if column == self.x_name:
            return self
        if column not in self.runs:
            known = [name for name in self.runs.columns if name not in ("arm", "seed", "error", "x", "stderr")]
            there = f"{nearest(column, known)}; there are {', '.join(known)}"
            raise ValueError(f"{self.path}: no column {column!r} to put on the axis{there}")
        values = self.runs[column].to_numpy(float)
        if not np.all(np.isfinite(values)) or np.any(values < 0):
            raise ValueError(
                f"{self.path}: column {column!r} holds a negative or missing value; "
                "an axis needs a cost for every run, drop it or fill it in"
            )
        return dataclasses.replace(self, runs=self.runs.assign(x=values), x_name=column)


def table_from_runs(runs: pd.DataFrame, kind: Kind, blocks: Sequence[Block] = (), **rest: Any) -> Table:
    """A checked Table; rows and blocks may come in any order.

    Raises:
        ValueError: duplicate runs, values that are not numbers, errors outside [0, 1], all errors zero.
    """
    path = str(rest.get("path", "table"))
    _check_numbers(runs, path, is_loss=bool(rest.get("is_loss")))
    check_names(runs["arm"], path)
    if "replicate" in runs and runs["replicate"].nunique() < 2:
        rest["only_replicate"] = runs["replicate"].iloc[0]
        runs = runs.drop(columns="replicate")
    unit = [name for name in ("replicate", "seed") if name in runs]
    duplicate = runs.duplicated(["arm", "size", *unit])
    if duplicate.any():
        one = runs[duplicate].iloc[0]
        raise ValueError(
            f"{path}: {int(duplicate.sum())} duplicate rows, the first arm={one['arm']} "
            f"size={one['size']:g} seed={one['seed']}; a run appears once, remove the repetitions "
            "or name the column that tells them apart with --seed-column"
        )
    inner = [runs[name].to_numpy() for name in reversed(unit)]
    order = np.lexsort((*inner, runs["size"].to_numpy(), runs["arm"].to_numpy(str)))
    rank = np.empty(len(order), dtype=int)
    rank[order] = np.arange(len(order))
    sorted_blocks = []
    for block in blocks:
        inside = np.argsort(rank[block.rows], kind="stable")
        sorted_blocks.append(Block(rank[block.rows][inside], block.errors[inside]))
    return Table(kind=kind, runs=runs.iloc[order].reset_index(drop=True), blocks=tuple(sorted_blocks), **rest)


def check_names(arms: pd.Series, path: str) -> None:
    """Any text is an arm's name that shows on one line and is not blank; blanks and case tell no two arms apart."""
    by_look: dict[str, str] = {}
    for name in dict.fromkeys(arms.astype(str)):
        like = by_look.setdefault(" ".join(unicodedata.normalize("NFKC", name).casefold().split()), name)
        if like != name:
            raise ValueError(
                f"{path}: the arms {like!r} and {name!r} differ in blanks or in upper and lower case alone; one arm "
                "has one spelling: rename one of them in the file"
            )
        hidden = [letter for letter in name if unicodedata.category(letter) in HIDDEN]
        if not name.strip() or hidden:
            what = f"holds {hidden[0]!r}, which does not show" if hidden else "is blank"
            raise ValueError(f"{path}: the arm's name {name!r} {what}; rename it in the file")


def _check_numbers(runs: pd.DataFrame, path: str, *, is_loss: bool) -> None:
    if runs.empty:
        raise ValueError(f"{path}: no rows to read; a table needs arm, size, seed and an outcome, one row a run")
    for name in ("x", "error"):
        values = runs[name].to_numpy(float)
        bad = ~np.isfinite(values)
        if bad.any():
            one, what = runs[bad].iloc[0], "the size" if name == "x" else name
            raise ValueError(
                f"{path}: {what} is not a finite number in {int(bad.sum())} of {len(runs)} rows, the first "
                f"arm={one['arm']} size={one['size']} seed={one['seed']}; fill or drop these rows"
            )
    if (runs["x"] < 0).any():
        raise ValueError(
            f"{path}: the size is negative in {int((runs['x'] < 0).sum())} rows, the first "
            f"{runs['x'][runs['x'] < 0].iloc[0]:g} of {runs['arm'][runs['x'] < 0].iloc[0]}; sizes count problems, "
            "tokens or seconds and start at 0"
        )
    error = runs["error"].to_numpy(float)
    if is_loss and error.min() <= 0:
        raise ValueError(f"{path}: losses run from {error.min():g}; a law is fitted to values above 0")
    if not is_loss and (error.min() < 0 or error.max() > 1):
        raise ValueError(
            f"{path}: errors run from {error.min():g} to {error.max():g}, a fraction in [0, 1] was "
            "expected; if these are losses say --y-is loss, if percentages --unit percent, if accuracies "
            "--y-is accuracy"
        )
    if np.all(error == 0):
        raise ValueError(
            f"{path}: all errors are zero, so no curve can be distinguished from another; use harder test problems"
        )
