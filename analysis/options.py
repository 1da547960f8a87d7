"""What a reader may choose, and the table and comparison that it gives."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path

from analysis.noise.draws import draws
from analysis.tables.read import table_at
from analysis.tables.table import Columns, Table
from analysis.worth.comparison import Comparison


@dataclass(frozen=True)
class Options:
    """What a reader may choose; the same for every command.

    Args:
        cost: column to put on the axis in place of the size, for the compute multiplier; of a plan, the price.
        ceiling: error (or loss) at zero synthetic data, for the saturating law; None takes the runs of size 0.
        of: arms to look at; all but the baseline where empty.
    """

    baseline: str = "SFT"
    law: str = "auto"
    n_draws: int = 4000
    seed: int = 0
    level: float = 0.95
    columns: Columns = field(default_factory=Columns)
    cost: str | None = None
    of: tuple[str, ...] = ()
    is_unpaired: bool = False
    ceiling: float | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for an arm that is named twice: limits that hold for all arms at once would count it so."""
        twice = [arm for k, arm in enumerate(self.of) if arm in self.of[:k]]
        if twice:
            raise ValueError(f"--of {twice[0]} is given twice; name each arm once")


def table_of(path: str | Path, options: Options) -> Table:
    table = table_at(path, options.columns, is_unpaired=options.is_unpaired, x=options.cost)
    if options.ceiling is None:
        return table
    top = float(table.runs["error"].max())
    if not (math.isfinite(options.ceiling) and options.ceiling > 0):
        said = f"a finite {table.y_name} above 0 was expected; runs reach {top:g}"
        raise ValueError(f"--ceiling {options.ceiling:g}: {said}")
    worst = table.cells[table.cells["x"] > 0].groupby("arm")["error"].max().min()
    if options.ceiling < worst:  # an arm that data harm may lie above it, but not every arm
        raise ValueError(
            f"--ceiling {options.ceiling:g}: expected the {table.y_name} without any data, and every arm has "
            f"{worst:.4g} or more with some; give one no lower, or leave it out"
        )
    return dataclasses.replace(table, ceiling=options.ceiling)


def comparison_of(path: str | Path, options: Options, *, law: str | None = None) -> Comparison:
    """The table's comparison, its arms checked against the options."""
    table = table_of(path, options)
    for arm in options.of:
        table.cells_of(arm)
    drawn = draws(table, options.n_draws, options.seed)
    return Comparison(drawn, level=options.level, law=law or options.law)
