"""What a figure of the gallery is: its place in the paper, the runs it needs, and how it is drawn and described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pandas as pd
from matplotlib.figure import Figure

T = TypeVar("T")
FULL, FRESH, QUICK = "full", "fresh", "quick"
"""Of the runs behind the figures: fresh takes no table of record, so that all of them are one's own; quick shows that a
figure is drawn from what was really run, and no more."""
SWEEP_LACKS_RUNS = 3
"""Exit code of a sweep whose runs are all there but those that have nothing to learn from."""
FRESH_REPLICATES = "replicate=1,2,3"
"""At scale=fresh every sweep has as many replicates as `reproduce`: all of them in 4 hours of 2 cores."""


@dataclass(frozen=True)
class Runs:
    """The runs behind a figure.

    Args:
        name: the experiment; its table lies in outputs/NAME/table, or of record in analysis/results/NAME.
        others: experiments with the same arms, whose tables serve as well.
        by: the setting that `collect --by` names arms by; none where empty.
        commands: what makes the table; empty: `sweep` and `collect` of the experiment.
        may_lack: whether a run may be impossible, so that the table is made of those that are there.
        table: the file in the folder that the figure reads.
        fresh: the smaller experiment, of `others`, that is run in its place at scale=fresh; none where empty.
        replicates: the word that says which at scale=fresh; empty where the experiment's file does, since its grids
            must not have the same.
        quick: the small experiment whose table stands for this one's at scale=quick; its file has its name.
        quick_commands: what makes it, where that is no sweep.
    """

    name: str
    others: tuple[str, ...] = ()
    by: str = ""
    commands: tuple[str, ...] = ()
    may_lack: bool = False
    table: str = "runs.parquet"
    fresh: str = ""
    replicates: str = FRESH_REPLICATES
    quick: str = ""
    quick_commands: tuple[str, ...] = ()

    @property
    def is_sweep(self) -> bool:
        """Whether an experiment's plan tells what its first command will do."""
        return not self.commands or self.commands[0].startswith("python -m sweep -m")

    def experiment(self, scale: str) -> str:
        """What is run at this scale."""
        return {FULL: self.name, FRESH: self.fresh or self.name, QUICK: self.quick}[scale]

    def grid(self, scale: str) -> list[str]:
        """The words by which `sweep -m` is told the grid that is run at this scale."""
        more = [self.replicates] if scale == FRESH and self.is_sweep and self.replicates else []
        return [f"experiment={self.experiment(scale)}", *more]

    def script(self, scale: str) -> list[str]:
        """The commands that make the table, as a shell script that is stopped by errors runs them."""
        first, *rest = self.lines(scale)
        return [f"{first} || test $? = {SWEEP_LACKS_RUNS}" if self.may_lack else first, *rest]

    def lines(self, scale: str = FULL) -> list[str]:
        """The commands that make the table, as they are typed."""
        if commands := self.quick_commands if scale == QUICK else self.commands:
            experiment, grid = self.grid(scale)[0], " ".join(self.grid(scale))
            return [line.replace(experiment, grid) for line in commands]
        words = f"-m {' '.join(self.grid(scale))}"
        more = f" --by {self.by}" if self.by else ""
        more += " --finished" if self.may_lack else ""
        return [f"python -m sweep {words}", f"python -m sweep collect {words}{more}"]


@dataclass(frozen=True)
class View(Generic[T]):
    """How a figure comes of its table's folder or plan: read (with so many draws), drawn, as data, described."""

    read: Callable[[Any, int], T]
    draw: Callable[[T], Figure]
    data: Callable[[T], pd.DataFrame]
    caption: Callable[[T], str]


@dataclass(frozen=True)
class PaperFigure:
    """One entry of the registry.

    Args:
        number: in the paper (NeurIPS version), or "beyond" where the paper has none.
        name: what `--only` calls it, and the stem of its files.
        shows: what it shows, in a sentence.
        runs: None where no experiment file makes them yet.
        plans: of a figure that is drawn from a plan and needs no run: the words of `python -m sweep plan -m`.
        view: None where nothing draws it yet.
        needs: what must be there first, where runs or view are None.
    """

    number: str
    name: str
    shows: str
    runs: Runs | None = None
    view: View[Any] | None = None
    plans: tuple[str, ...] = ()
    needs: str = ""
