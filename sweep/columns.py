"""What each column of a collected table holds, and the check of a table that is read: an edit is told by its column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

import numpy as np
import pandas as pd

TEXT, OBJECT, TRUTH = "a text", "a JSON object", "true or false"
COUNT, NUMBER = "a whole number of at least 0", "a finite number of at least 0"
COSTS = ("n_updates", "n_trained_tokens", "n_sampled_tokens", "flops", "seconds")
RUNS = {
    "run": TEXT, "arm": TEXT, "source": TEXT, "method": TEXT, "n_problems": COUNT, "seed": COUNT, "split": TEXT,
    "n_test": COUNT, "n_correct": COUNT, "n_correct_sampled": COUNT, "n_sampled": COUNT,
}  # fmt: skip
OUTCOMES = {"run": TEXT, "problem_id": TEXT, "is_correct": TRUTH, "n_correct_sampled": COUNT, "n_sampled": COUNT}
MORE = {  # of runs, where it is there: older tables do not have all, and `merge` fills what one table lacks
    "replicate": COUNT, "n_malformed": COUNT, "temperature": NUMBER, "entropy": NUMBER, "n_rows": COUNT,
    **{f"{total}{name}": NUMBER for total in ("", "total_") for name in COSTS},
    "diagnosis": OBJECT, "code": TEXT, "config": OBJECT,
}  # fmt: skip


def check_columns(runs: pd.DataFrame, outcomes: pd.DataFrame, where: str) -> None:
    """Refuse a table whose columns are not those that `collect` writes, or hold something else.

    Args:
        where: the table's folder, for errors.
    Raises:
        ValueError: a column is missing, a value of another kind or missing, a run appears twice, or more malformed
            solutions than test problems; the file and the column are named.
    """
    for name, frame, wanted in (("runs", runs, RUNS), ("outcomes", outcomes, OUTCOMES)):
        if absent := [column for column in wanted if column not in frame]:
            raise ValueError(
                f"{where}/{name}.parquet: expected the columns {', '.join(wanted)}; no {', '.join(absent)}"
            )
        _check_values(frame, wanted, f"{where}/{name}.parquet")
    _check_values(runs, {name: kind for name, kind in MORE.items() if name in runs}, f"{where}/runs.parquet", True)
    if runs["run"].duplicated().any():
        twice = runs["run"][runs["run"].duplicated()].iloc[0]
        raise ValueError(f"{where}/runs.parquet: run {twice} appears twice; collect the table again")
    if "n_malformed" in runs and (odd := runs["n_malformed"].gt(runs["n_test"]).fillna(False)).any():
        row = runs[odd].iloc[0]
        raise ValueError(
            f"{where}/runs.parquet: {row['run']} has n_malformed={row['n_malformed']} of n_test={row['n_test']}; "
            "collect the table again"
        )


def _check_values(frame: pd.DataFrame, wanted: Mapping[str, str], where: str, may_miss: bool = False) -> None:
    for name, kind in wanted.items():
        column = frame[name]
        is_wrong = ~_holds(column, kind) & ~(column.isna() if may_miss else False)
        if is_wrong.any():
            value = column[is_wrong].iloc[0]
            plain = value.item() if isinstance(value, np.generic) else value
            raise ValueError(
                f"{where}: {name} must be {kind}, found {plain!r} in {int(is_wrong.sum())} of "
                f"{len(frame)} rows; collect the table again"
            )


def _holds(column: pd.Series, kind: str) -> pd.Series:
    """Row by row, whether the value is of the kind."""
    if kind == TRUTH:
        return pd.Series(pd.api.types.is_bool_dtype(column) & column.notna(), index=column.index)
    if kind in (COUNT, NUMBER):
        if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            return pd.Series(False, index=column.index)
        numbers = column.astype("Float64").astype(float)
        is_number = pd.Series(np.isfinite(numbers) & (numbers >= 0), index=column.index)
        return is_number & (numbers == np.floor(numbers)) if kind == COUNT else is_number
    if pd.api.types.is_string_dtype(column) and column.notna().all() and kind == TEXT:
        return pd.Series(True, index=column.index)
    return column.map(_is_object if kind == OBJECT else lambda value: isinstance(value, str)).astype(bool)


def _is_object(value: object) -> bool:
    try:
        return isinstance(value, str) and isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        return False


DATE, MOMENT = "a date", "a date with its time zone"
RECORD: dict[str, tuple[type, str]] = {
    "commands": (list, "a list"), "commits": (list, "a list"), "tuning": (list, "a list"),
    "config": (dict, "an object"), "versions": (dict, "an object"), "test_looks": (dict, "an object"),
    "experiment": (str, "a text"), "created": (str, DATE), "first_run": (str, MOMENT),
}  # fmt: skip


def check_record(record: object, where: str) -> None:
    """Refuse a table's provenance that is not what `collect` writes; what it does not say is not asked for.

    Raises:
        ValueError: it is no JSON object, or a field is of another kind; it is named.
    """
    if not isinstance(record, dict):
        raise ValueError(f"{where}: expected a JSON object, found {type(record).__name__}; collect the table again")
    for name, (kind, told) in RECORD.items():
        if name in record and not (isinstance(record[name], kind) and _is_dated(record[name], told)):
            raise ValueError(f"{where}: {name} must be {told}, found {record[name]!r:.60}; collect the table again")


def _is_dated(value: object, told: str) -> bool:
    """Whether a date is one; anything else is not asked."""
    if told not in (DATE, MOMENT):
        return True
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return False
    return told == DATE or found.tzinfo is not None
