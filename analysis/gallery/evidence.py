"""One sweep's table as the paper's figures read it: greedy errors, their draws, shifts and rulings, each made once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.claims.rules import Difference
from analysis.claims.verdicts import Verdict, difference, verdicts_of
from analysis.intervals import interval
from analysis.options import Options, comparison_of
from analysis.tables.collected import SWEEP_Y
from analysis.worth.comparison import Comparison
from analysis.worth.joint import jointly
from analysis.worth.multiplier import Multiplier
from analysis.worth.readings import at_sizes, headline, surely_at_sizes
from analysis.worth.words import count, error_text, multiplier_text

OF_SWEEPS = Options(law="saturating")  # chosen by held-out sizes on validation runs: analysis/claims/rules.py


class Evidence:
    """A table under fixed options.

    Args:
        path: a folder that `python -m sweep collect` wrote.
    """

    def __init__(self, path: str | Path, options: Options) -> None:
        columns = dataclasses.replace(options.columns, y=next(iter(SWEEP_Y)))
        self.path, self.options = Path(path), dataclasses.replace(options, columns=columns)

    @cached_property
    def comparison(self) -> Comparison:
        return comparison_of(self.path, self.options)

    @cached_property
    def rulings(self) -> Mapping[str, Verdict]:
        """Every claim of the table by its text."""
        return {one.claim: one for one in verdicts_of(self.comparison, self.options.baseline)}

    def difference(self, arm: str, other: str) -> Difference | None:
        """One arm's error minus another's, at the sizes that both have and in their mean."""
        return difference(self.comparison, arm, other)

    def worth_by_size(self, arm: str) -> tuple[list[Multiplier], list[Multiplier]]:
        """The multiplier at each of the arm's sizes, and with limits corrected for their number, as claims read it."""
        pair = (arm, self.options.baseline)
        return at_sizes(self.comparison, *pair), surely_at_sizes(self.comparison, *pair)

    def shifts(self, arms: Sequence[str]) -> list[Multiplier]:
        """The headline multiplier of each arm, with limits for these arms at once."""
        return jointly([headline(self.comparison, arm, self.options.baseline) for arm in arms])

    def cells(self, arms: Sequence[str]) -> pd.DataFrame:
        """A row an arm and size: error and its difference from the baseline's at that size, each with its interval,
        and the arm's shift."""
        table, baseline, rows = self.comparison.draws.table, self.options.baseline, []
        shift_of = {one.arm: one for one in self.shifts([arm for arm in arms if arm != baseline])}
        for arm in arms:
            gap, errors = self.difference(arm, baseline), self.comparison.arm_errors(arm)
            gaps = dict(zip(gap.sizes, gap.by_size, strict=True)) if gap and arm != baseline else {}
            for k, cell in enumerate(table.cells_of(arm)):
                size, low_high = float(table.cells["size"].iloc[cell]), interval(errors[1:, k], self.comparison.level)
                row = {"arm": arm, table.x_name: size, "n_runs": int(table.cells["n_seeds"].iloc[cell])}
                row |= dict(zip(("error", "error_low", "error_high"), (errors[0, k], *low_high), strict=True))
                against = gaps.get(size, (np.nan,) * 3)
                row |= dict(zip(("difference", "difference_low", "difference_high"), against, strict=True))
                rows.append(row | _shift_columns(shift_of.get(arm)))
        return pd.DataFrame(rows)


def evidence_with(path: Path, n_draws: int, arms: Sequence[str]) -> Evidence:
    """The evidence of a table that has the baseline and these arms.

    Raises:
        ValueError: one of them is missing.
    """
    evidence = _evidence_of(path, n_draws)
    wanted = [evidence.options.baseline, *arms]
    if missing := [arm for arm in wanted if arm not in evidence.comparison.draws.table.arms]:
        raise ValueError(
            f"{path}: expected the arms {', '.join(wanted)}, found no {', '.join(missing)}; give a table with them "
            "(--table NAME=PATH), or run the experiment with these arms"
        )
    return evidence


@cache
def _evidence_of(path: Path, n_draws: int) -> Evidence:
    """One table is read, drawn from and ruled once for all figures."""
    return Evidence(path, dataclasses.replace(OF_SWEEPS, n_draws=n_draws))


def _shift_columns(m: Multiplier | None) -> dict[str, object]:
    names = ("multiplier", "bound", "multiplier_low", "multiplier_high", "at_error")
    values = (m.multiplier, m.bound, m.ci_low, m.ci_high, m.at_error) if m else (np.nan, "", np.nan, np.nan, np.nan)
    return dict(zip(names, values, strict=True))


def of_what(evidence: Evidence) -> str:
    """Of how many runs and problems the numbers are, and what their intervals are over."""
    table = evidence.comparison.draws.table
    unit = f"{table.n_replicates} replicates" if table.n_replicates else f"up to {_most_seeds(table.cells)} seeds"
    tested = f", {count(table.cells['n_test'].min())} test problems each" if "n_test" in table.cells else ""
    scale = ", on the log-odds of errors" if table.n_replicates else ""
    method = f"{evidence.comparison.draws.method}{scale}"
    return f"from a table of {len(table.runs):,} runs in {unit}{tested}; intervals: {method}"


def _most_seeds(cells: pd.DataFrame) -> int:
    return int(cells["n_seeds"].max())


def shift_sentence(m: Multiplier) -> str:
    """`per-step DPO: worth 2.28× [1.79×, 3.02×] at error 0.226`."""
    return f"{m.arm}: worth {multiplier_text(m)} at error {error_text(m.at_error)}"


def ruling_sentence(one: Verdict) -> str:
    """`"RFT is worth 2x SFT's data": not held (m = ...)`."""
    more = "" if one.corrected == one.ruling else f", {one.corrected} when corrected for all claims"
    return f"“{one.claim}”: {one.ruling}{more} ({one.evidence})"
