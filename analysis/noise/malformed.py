"""Policies that broke: the share of malformed greedy solutions, beside the baseline's at the same size.

A malformed solution was cut short, has no final answer, or holds a step that cannot be read: it is broken rather than
wrong. An arm is named at a size where its share is surely more than MARGIN above the baseline's there, either

    over units     the lower limit of the difference lies above MARGIN: Student's interval, at the table's level, over
                   the replicates (else seeds) that have both arms
    or in a unit   the difference there lies more than Z standard errors above ALONE, by its counts: one policy that
                   broke among many that did not

Where it is, a reader is told; no multiplier changes by it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.intervals import student
from analysis.notes import Note, note
from analysis.tables.table import Table

MARGIN = 0.05
ALONE = 0.15  # single runs scatter by more than the mean of several
Z = 3.0


@dataclass(frozen=True)
class Gap:
    """How much more of an arm's solutions are malformed than of the baseline's at the same size.

    Args:
        other: the baseline's share, mean over the n_units replicates or seeds that have both.
        value: mean of their differences.
        low, high: Student's limits over them; infinite where there is one alone.
        broken: the units that are beyond ALONE by their own counts.
    """

    other: float
    value: float
    low: float
    high: float
    unit: str
    n_units: int
    broken: tuple[object, ...]

    @property
    def is_broken(self) -> bool:
        return self.low > MARGIN or bool(self.broken)


@dataclass(frozen=True)
class Malformed:
    """One arm at one size.

    Args:
        share: of greedy solutions that are malformed, mean over runs.
        entropy: nats a sampled solution, mean over runs; nan where it was not kept.
        gap: to the baseline at this size; None of the baseline itself, and where it was not run.
    """

    arm: str
    size: float
    share: float
    entropy: float
    gap: Gap | None

    @property
    def is_broken(self) -> bool:
        return self.gap is not None and self.gap.is_broken


def malformed_of(table: Table, baseline: str, level: float, arms: Collection[str] = ()) -> tuple[Malformed, ...]:
    """Every arm (or `arms`) at every size; empty where the table does not say what was malformed."""
    if "malformed" not in table.runs:
        return ()
    unit = "replicate" if table.n_replicates else "seed"
    cells = zip(table.cells["arm"], table.cells["size"], strict=True)
    of = {(str(arm), float(size)): table.runs[table.cell_of_run == k] for k, (arm, size) in enumerate(cells)}
    out = []
    for (arm, size), rows in of.items():
        if arms and arm not in arms:
            continue
        other = of.get((baseline, size)) if arm != baseline else None
        gap = None if other is None else _gap(rows, other, unit, level)
        entropy = float(rows["entropy"].mean()) if "entropy" in rows else np.nan
        out.append(Malformed(arm, size, float(rows["malformed"].mean()), entropy, gap))
    return tuple(out)


def _gap(own: pd.DataFrame, other: pd.DataFrame, unit: str, level: float) -> Gap | None:
    """None where no unit has both."""
    mine, theirs = (rows.groupby(unit).agg(share=("malformed", "mean"), n=("n_test", "sum")) for rows in (own, other))
    both = pd.merge(mine, theirs, left_index=True, right_index=True, suffixes=("_own", "_other"))
    if both.empty:
        return None
    gaps = (both["share_own"] - both["share_other"]).to_numpy(float)
    variance = sum(both[f"share_{k}"] * (1 - both[f"share_{k}"]) / both[f"n_{k}"] for k in ("own", "other"))
    is_beyond = gaps - Z * np.sqrt(variance) > ALONE
    n, (mean, low, high) = len(gaps), student(gaps, level)
    low, high = (low, high) if n > 1 else (-np.inf, np.inf)
    return Gap(float(both["share_other"].mean()), mean, low, high, unit, n, tuple(both.index[is_beyond]))


def malformed_note(rows: Sequence[Malformed], baseline: str) -> Note | None:
    """What to tell beside an arm, given its rows; None where it is named nowhere."""
    told = [
        f"{row.share:.0%} at n = {row.size:,.0f} ({baseline} {row.gap.other:.0%}{_units(row.gap)})"
        for row in rows
        if row.gap is not None and row.is_broken
    ]
    if not told:
        return None
    return note(
        "malformed",
        f"{rows[0].arm} writes malformed solutions, surely beyond {baseline}'s share: "
        f"{'; '.join(told)}; what it is worth there may reflect its settings rather than its data",
    )


def _units(gap: Gap) -> str:
    return "" if gap.low > MARGIN else f"; in {len(gap.broken)} of {gap.n_units} {gap.unit}s alone"
