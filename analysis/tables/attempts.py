"""What one model got right of each problem: the rows of a paired test, out of any file that keeps its outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.notes import Note
from analysis.tables.collected import collected_outcomes
from analysis.tables.gather import FILE, attempts_averaged, gathered
from analysis.tables.plain import without_blank
from analysis.tables.read import as_error, outcome_column
from analysis.tables.table import Columns
from sweep.terminal.words import listed, nearest

N_SHOWN = 8  # values of a message


@dataclass(frozen=True, eq=False)
class Attempts:
    """One model's attempts.

    Args:
        problems: (n_problems,) names, sorted.
        right: (n_runs, n_problems) share of a run's attempts that were right; nan where a run was not tested on it.
        what: the file and what was chosen of it, for messages.
    """

    problems: tuple[str, ...]
    right: np.ndarray
    what: str
    notes: tuple[Note, ...] = ()


def attempts_at(path: str | Path, columns: Columns, what: str | None = None) -> Attempts:
    """One model's attempts; runs differ by seed or by file alone.

    Raises:
        ValueError: no outcomes by problem, a loss, several models, or a problem that appears twice.
    """
    what = what or str(path)
    if Path(path).is_dir():
        rows, columns = collected_outcomes(Path(path), columns)
        return _attempts(rows, columns, what, ())
    found = gathered(str(path), columns)
    columns = found.columns
    if columns.problem not in found.data.column_names:
        raise ValueError(
            f"{what}: a paired test needs an outcome of every problem, found no column {columns.problem!r}"
            f"{nearest(columns.problem, found.data.column_names)}; name yours "
            "with --problem; means and counts of whole runs do not pair"
        )
    y = outcome_column(found.data, columns, what)
    data, notes = without_blank(found.data, y, columns, str(path))
    right = 1.0 - as_error(data[y], y, columns, what)
    if columns.y_is == "loss" or not (np.all(right >= 0) and np.all(right <= 1)):
        raise ValueError(f"{what}: {y} must be 0/1, true/false or a share in [0, 1] of each problem")
    return _attempts(data.to_pandas().assign(**{"is right": right}), columns, what, (*found.notes, *notes))


def _by_number(value: object) -> tuple[float, str]:
    """The order of names that may be numbers: 256, 1024, a, b."""
    return (float(str(value)) if str(value).isdecimal() else float("inf"), str(value))


def _attempts(frame: pd.DataFrame, columns: Columns, what: str, notes: tuple[Note, ...]) -> Attempts:
    for name in (columns.arm, columns.x, columns.replicate):
        values = sorted(frame[name].unique(), key=_by_number) if name in frame else []
        if len(values) > 1:
            more = f" and {len(values) - N_SHOWN} more" if len(values) > N_SHOWN else ""
            raise ValueError(
                f"{what}: one model was expected, found {name} {listed(map(str, values[:N_SHOWN]))}{more}; choose with "
                f"--a {name}=... or --b {name}=..."
            )
    if frame[columns.problem].isna().any():
        n_missing = int(frame[columns.problem].isna().sum())
        raise ValueError(f"{what}: {columns.problem} is missing in {n_missing} of {len(frame)} rows; fill it in")
    run = [name for name in (FILE, columns.seed) if name in frame]
    if columns.sample in frame:
        frame = attempts_averaged(frame, "is right", columns.problem, run)
    _refuse_twice(frame, [*run, columns.problem], what)
    keys = frame[run].astype(str).agg(" ".join, axis=1) if run else pd.Series("", index=frame.index)
    table = frame.assign(run=keys).pivot(index="run", columns=columns.problem, values="is right")
    table.columns = table.columns.astype(str)
    table = table[sorted(table.columns)]
    return Attempts(tuple(table.columns), table.to_numpy(float), what, notes)


def _refuse_twice(frame: pd.DataFrame, by: Sequence[str], what: str) -> None:
    twice = frame.duplicated(list(by))
    if twice.any():
        raise ValueError(
            f"{what}: {int(twice.sum())} outcomes appear twice, the first of problem {frame[twice][by[-1]].iloc[0]}; "
            "name the column that tells several attempts apart with --sample, or runs with --seed-column"
        )
