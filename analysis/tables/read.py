"""Reading a table: a folder written by `python -m sweep collect`, or anybody's CSV, Parquet or log."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from analysis.notes import Note, note
from analysis.tables.collected import collected_table
from analysis.tables.gather import attempts_averaged, gathered
from analysis.tables.names import without_fields
from analysis.tables.outcomes import blocks, codes, unique_small
from analysis.tables.plain import costs, without_blank
from analysis.tables.table import Columns, Table, check_names, table_from_runs
from sweep.terminal.words import count, nearest

N_SHOWN = 20


def table_at(
    path: str | Path, columns: Columns | None = None, *, is_unpaired: bool = False, x: str | None = None
) -> Table:
    """The table at `path`, checked.

    Args:
        path: a folder with runs.parquet, outcomes.parquet and provenance.json; or one .csv or .parquet file, a log of
            another tool (formats/), or a pattern over many files (names.py).
        columns: names of the columns; for a sweep's folder `y` is "greedy" (default), "sampled" or "pass@K".
        is_unpaired: accept arms that were tested on different problems, and resample each arm's own.
        x: another axis for the same cells, for example total_seconds; any column with one number a run.
    Raises:
        ValueError: anything the analysis would otherwise have to guess.
    """
    columns = columns or Columns()
    if Path(path).is_dir():
        table = collected_table(Path(path), columns, is_unpaired)
    else:
        table = _read_files(str(path), columns, is_unpaired, x)
    return table.with_x(x) if x else table


def _read_files(path: str, columns: Columns, is_unpaired: bool, x: str | None) -> Table:
    rows = gathered(path, columns, x)
    data, columns = rows.data, rows.columns
    have = data.column_names
    for name in (columns.arm, columns.x):
        if name not in have:
            raise ValueError(
                f"{path}: no column {name!r}{nearest(name, have)}; the columns are {_listed(have)}; name yours with "
                f"--arm, --x and --y, or read it out of the names of files: 'runs/{{{name}}}.csv'"
            )
    _refuse_absent(columns, have, path)
    y = outcome_column(data, columns, path)
    data, notes = without_blank(data, y, columns, path)
    for name in (columns.arm, columns.x, columns.seed, columns.replicate, columns.problem):
        if name in have and (n_missing := data[name].null_count):
            first = pc.index(pc.is_null(data[name]), True).as_py()
            rows_told = f"{n_missing} of {len(data)} rows, the first is {row_told(first)}"
            raise ValueError(f"{path}: {name} is missing in {rows_told}; fill or drop them")
    table = _of_kind(data, y, columns, is_unpaired, path, x)
    notes += _percent_notes(data, y, columns)
    return dataclasses.replace(table, notes=(*rows.notes, *notes, *table.notes))


def _percent_notes(data: pa.Table, y: str, columns: Columns) -> tuple[Note, ...]:
    """Percentages that are fractions by the look of them: read as was said, and told."""
    if columns.unit != "percent" or _numbers_in(data[y]).max() > 1:
        return ()
    text = f"no {y} is above 1 percent: if they are fractions of 1, drop --unit percent"
    return (note("low_percent", text),)


def _of_kind(data: pa.Table, y: str, columns: Columns, is_unpaired: bool, path: str, x: str | None) -> Table:
    have = data.column_names
    if columns.problem not in have:
        return _from_rows(data, y, columns, is_unpaired, path, x)
    if columns.sample in have:
        run = [name for name in (columns.replicate, columns.arm, columns.x, columns.seed) if name in have]
        averaged = attempts_averaged(data.to_pandas(), y, columns.problem, run)
        data = pa.Table.from_pandas(averaged, preserve_index=False)
    if columns.replicate in have and pc.count_distinct(data[columns.replicate]).as_py() > 1:
        known = dataclasses.replace(columns, y=None, y_is=None, unit="fraction")
        return _from_rows(_summed(data, y, columns, is_unpaired, path), "error", known, is_unpaired, path, x)
    return _from_outcomes(data, y, columns, is_unpaired, path, x)


def _refuse_absent(columns: Columns, have: Sequence[str], path: str) -> None:
    """Columns that were named and are not there."""
    for option, name in columns.named("seed", "problem", "n_test", "stderr", "sample").items():
        if name not in have:
            raise ValueError(
                f"{path}: no column {name!r}{nearest(name, have)}, which {option} names; the columns are "
                f"{_listed(have)}; name one of these, or drop {option}"
            )


def row_told(row: int) -> str:
    """The place of a row (from 0) as somebody counts it who looks at the file."""
    return f"row {row + 1} below the names of columns"


def outcome_column(data: pa.Table, columns: Columns, path: str) -> str:
    """The column that is asked for, or the one with a usual name."""
    have = data.column_names
    y = columns.y or next((name for name in ("is_correct", "n_correct", "error") if name in have), None)
    if y is None or y not in have:
        raise ValueError(
            f"{path}: no outcome column {y or 'is_correct, n_correct or error'!r}{nearest(y or '', have)}; the "
            f"columns are {_listed(have)}; name yours with --y"
        )
    return y


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:N_SHOWN]) + (f" and {len(names) - N_SHOWN} more" if len(names) > N_SHOWN else "")


def _from_outcomes(data: pa.Table, y: str, columns: Columns, is_unpaired: bool, path: str, x: str | None) -> Table:
    if columns.y_is == "loss":
        raise ValueError(f"{path}: losses are read a run, not a problem; drop the column {columns.problem!r}")
    if columns.named("stderr"):
        raise ValueError(f"{path}: {y} is an outcome of every problem, which tells its noise itself; drop --stderr")
    arm_codes, arms = codes(data[columns.arm])
    size_codes, sizes = codes(data[columns.x])
    seed_codes, seeds = np.zeros(len(data), dtype=np.int32), [0]
    if columns.seed in data.column_names:
        seed_codes, seeds = codes(data[columns.seed])
    flat = (arm_codes.astype(np.int64) * len(sizes) + size_codes) * len(seeds) + seed_codes
    run_keys, run_of_row = unique_small(flat, len(arms) * len(sizes) * len(seeds))
    runs = pd.DataFrame(
        {
            "arm": [str(arms[key // (len(sizes) * len(seeds))]) for key in run_keys],
            "size": _numbers(pd.Series([sizes[key // len(seeds) % len(sizes)] for key in run_keys]), columns.x, path),
            "seed": [seeds[key % len(seeds)] for key in run_keys],
        }
    )
    wrong = _wrong(data, y, columns, path)
    problem_codes, problems = codes(data[columns.problem])
    matrices, notes = blocks(run_of_row, problem_codes, wrong, runs, problems, is_unpaired, path)
    n_test = np.bincount(run_of_row, minlength=len(runs))
    runs = runs.assign(
        x=runs["size"],
        n_test=n_test,
        error=np.bincount(run_of_row, weights=wrong, minlength=len(runs)) / n_test,
        **{name: _one_a_run(data[name], name, run_of_row, len(runs), path) for name in costs(data.column_names, x)},
    )
    return table_from_runs(
        runs, "outcomes", matrices, x_name=columns.x, path=path, is_unpaired=len(matrices) > 1, notes=tuple(notes)
    )


def _wrong(data: pa.Table, y: str, columns: Columns, path: str) -> np.ndarray:
    """(n_rows,) of outcomes: 1 where the problem was got wrong, or the wrong share."""
    wrong = as_error(data[y], y, columns, path).astype(np.float32)
    if not (wrong.min() >= 0 and wrong.max() <= 1):
        odd = int(np.argmax(~((wrong >= 0) & (wrong <= 1))))
        what = f"{y} must be 0/1, true/false or a share in [0, 1]"
        raise ValueError(f"{path}: {what}, {row_told(odd)} is {data[y][odd]}; correct it there")
    return wrong


def _summed(data: pa.Table, y: str, columns: Columns, is_unpaired: bool, path: str) -> pa.Table:
    """A row a run out of a row an outcome: a replicate has its own problems, which pair with no other replicate's."""
    if columns.seed not in data.column_names:
        data = data.append_column(columns.seed, pa.array(np.zeros(len(data), np.int64)))
    keys = [columns.replicate, columns.arm, columns.x, columns.seed]
    twice = len(data) - len(data.group_by([*keys, columns.problem]).aggregate([]))
    if twice:
        raise ValueError(
            f"{path}: {twice} duplicate (replicate, arm, size, seed, problem) rows; each outcome appears once"
        )
    _refuse_other_problems(data, columns, is_unpaired, path)
    wrong = pa.array(_wrong(data, y, columns, path))
    data = data.select(keys).append_column("error", wrong)
    grouped = data.group_by(keys).aggregate([("error", "mean"), ("error", "count")])
    return grouped.rename_columns([*keys, "error", columns.n_test])


def _refuse_other_problems(data: pa.Table, columns: Columns, is_unpaired: bool, path: str) -> None:
    """Within a replicate all runs are tested on the same problems; unpaired, all runs of an arm."""
    keys = [columns.replicate, columns.arm, columns.x, columns.seed]
    unit = keys[: 2 if is_unpaired else 1]
    runs = data.group_by(keys).aggregate([(columns.problem, "count")])
    problems = data.group_by(unit).aggregate([(columns.problem, "count_distinct")])
    found = runs.join(problems, unit).to_pandas()
    n_seen, n_all = found[f"{columns.problem}_count"], found[f"{columns.problem}_count_distinct"]
    if (odd := n_seen < n_all).any():
        one = found[odd].sort_values(keys).iloc[0]
        run = " ".join(f"{name}={one[name]}" for name in keys)
        raise ValueError(
            f"{path}: the runs of a replicate were not tested on the same problems: {run} has {n_seen[one.name]} of "
            f"the {n_all[one.name]} that {'its arm' if is_unpaired else 'its replicate'} was tested on; evaluate every "
            "run of a replicate on one test set"
            + ("" if is_unpaired else ", or say --unpaired if the arms had test sets of their own")
        )


def _one_a_run(column: pa.ChunkedArray, name: str, run_of_row: np.ndarray, n_runs: int, path: str) -> np.ndarray:
    """(n_runs,) a cost that stands in every row of its run."""
    values = _numbers(column.to_pandas(), name, path).to_numpy(float)
    out = np.empty(n_runs)
    out[run_of_row] = values
    if not np.array_equal(out[run_of_row], values, equal_nan=True):
        raise ValueError(f"{path}: {name} differs between rows of one run; a cost stands for the whole run")
    return out


def _numbers(values: pd.Series, name: str, path: str) -> pd.Series:
    """The values as floats; text and truth values are refused, an empty cell is nan."""
    if pd.api.types.is_bool_dtype(values):
        raise ValueError(f"{path}: {name} holds true and false in {len(values)} rows; numbers were expected")
    numbers = pd.to_numeric(values, errors="coerce").astype(float)
    odd = numbers.isna() & values.notna()
    if odd.any():
        raise ValueError(
            f"{path}: {name} is not a finite number in {int(odd.sum())} of {len(values)} rows, the first is "
            f"{values[odd].iloc[0]!r} in {row_told(int(np.argmax(odd)))}; numbers were expected, without signs for "
            "thousands"
        )
    return numbers


def _numbers_in(column: pa.ChunkedArray) -> np.ndarray:
    return column.cast(pa.int8() if pa.types.is_boolean(column.type) else pa.float64()).to_numpy()


MEANT = {"is_correct": "accuracy", "n_correct": "accuracy", "accuracy": "accuracy", "error": "error"}


def _meaning(y: str, columns: Columns, path: str) -> str:
    """Whether y grows with right or with wrong answers: as was said, or as its name says."""
    found = columns.y_is or MEANT.get(without_fields(y))
    if found is None:
        raise ValueError(
            f"{path}: does {y!r} grow with right or with wrong answers? say --y-is accuracy or --y-is error; "
            "of a loss, --y-is loss"
        )
    return found


def as_error(column: pa.ChunkedArray, y: str, columns: Columns, path: str) -> np.ndarray:
    """Outcomes as errors in [0, 1], by the names or options, never by their range."""
    try:
        values = _numbers_in(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        odd = pd.to_numeric(column.to_pandas().astype(str), errors="coerce").isna()
        row = int(odd.argmax())
        raise ValueError(
            f"{path}: {y} holds text in {int(odd.sum())} of {len(column)} rows, the first is {column[row].as_py()!r} "
            f"in {row_told(row)}; 0/1, true/false or a number was expected: write it so"
        ) from None
    if columns.y_is == "loss":
        if columns.unit == "percent":
            raise ValueError(f"{path}: {y} is a loss (--y-is loss), which has no percent; drop --unit")
        return values.astype(float)
    values = values / 100.0 if columns.unit == "percent" else values.astype(float)
    y_is = _meaning(y, columns, path)
    seen = values[np.isfinite(values)]
    if y_is == "accuracy" and without_fields(y) != "is_correct" and len(seen) and (seen.min() < 0 or seen.max() > 1):
        is_percent = columns.unit == "percent"
        low, high = (100 if is_percent else 1) * seen.min(), (100 if is_percent else 1) * seen.max()
        raise ValueError(
            f"{path}: {y} runs from {low:g} to {high:g}, an accuracy of 0 to {100 if is_percent else 1} was expected; "
            f"{'correct these rows' if is_percent else 'if these are percent say --unit percent'}"
        )
    return 1.0 - values if y_is == "accuracy" else values


def _check_same_error(counted: pd.Series, said: pd.Series, path: str) -> None:
    """Refuses a table whose column of errors says another thing than its counts; rounding to two decimals is no other.

    Raises:
        ValueError: they differ in a row.
    """
    far = ~((counted - said).abs() <= 0.0051)  # half of the last of two decimals; a missing error is one that differs
    if far.any():
        row = int(np.argmax(far))
        raise ValueError(
            f"{path}: n_correct and error differ in {int(far.sum())} of {len(far)} rows; {row_told(row)} has an error "
            f"of {counted.iloc[row]:.4g} by its counts and says {said.iloc[row]:.4g}; name the one to read with --y "
            "n_correct or --y error"
        )


def _refuse_twice(frame: pd.DataFrame, y: str, columns: Columns, path: str) -> None:
    """Rows of one run, and what a reader can do: choose by a column in which they differ, or remove one."""
    run = [name for name in (columns.replicate, columns.arm, columns.x, columns.seed) if name in frame]
    twice = frame.duplicated(run)
    if columns.seed not in frame or not twice.any():
        return
    row = int(np.argmax(twice))
    same = frame[(frame[run] == frame.iloc[row][run]).all(axis=1)]
    names = [str(name) for name in frame.columns]
    told = [y, "error", "n_correct", columns.n_test, columns.stderr, *costs(names)]
    differ = [name for name in names if name not in (*run, *told) and same[name].nunique(dropna=False) > 1]
    way_out = "a run appears once: remove the repetitions, or name the column that tells them apart with --seed-column"
    if differ:
        one = differ[0]
        way_out = (
            f"they differ in {', '.join(differ)}: choose with --where {one}={same[one].iloc[0]}, or let it tell "
            f"runs apart with --seed-column {one}"
        )
    raise ValueError(
        f"{path}: {count(int(twice.sum()), 'row is', 'rows are')} of a run that another row is of, the first is "
        f"{row_told(row)} ({' '.join(f'{name}={frame[name][row]}' for name in run)}); {way_out}"
    )


def _refuse_for_counts(y: str, columns: Columns, have: Collection[str], path: str) -> None:
    """What was said of y and is of no count, and the number of problems that counts need."""
    if columns.y_is == "loss":
        raise ValueError(f"{path}: {y} counts solutions and is not a loss; name the loss's column with --y")
    if columns.named("stderr"):
        raise ValueError(
            f"{path}: {y} counts problems, whose noise the counts tell themselves; drop --stderr, or read a column of "
            "errors with --y"
        )
    if columns.unit == "percent":
        raise ValueError(f"{path}: {y} counts problems, which are no percentage; drop --unit percent")
    if without_fields(y) == "n_correct" and columns.y_is == "error":
        raise ValueError(
            f"{path}: {y} counts right solutions and --y-is error says that they are wrong; drop --y-is, or call "
            "the column n_wrong"
        )
    if columns.n_test not in have:
        raise ValueError(
            f"{path}: {y} needs a column {columns.n_test!r} with the number of test problems; name yours with --n-test"
        )


def _from_rows(data: pa.Table, y: str, columns: Columns, is_unpaired: bool, path: str, x: str | None) -> Table:
    frame = data.to_pandas()
    is_counts = without_fields(y) == "n_correct" or (columns.n_test in frame and y.startswith("n_"))
    if is_counts:
        _refuse_for_counts(y, columns, frame.columns, path)
    runs = _named_runs(frame, columns, path)
    if is_counts:
        runs = runs.assign(**_counted(frame, y, columns, path))
    else:
        runs = runs.assign(error=as_error(data[y], y, columns, path))
        if columns.stderr:
            stderr = frame[columns.stderr].astype(float) / (100.0 if columns.unit == "percent" else 1.0)
            if not (stderr > 0).all():
                raise ValueError(f"{path}: {columns.stderr} must be positive in every row; drop it to use residuals")
            runs = runs.assign(stderr=stderr)
    runs = runs.assign(**{name: _numbers(frame[name], name, path) for name in costs(frame, x)})
    if is_counts and not is_unpaired:
        _refuse_other_numbers_of_problems(runs, path)
    check_names(runs["arm"], path)  # two spellings of one arm may be why a run is there twice
    _refuse_twice(frame, y, columns, path)
    is_loss = columns.y_is == "loss"
    known: dict[str, Any] = {"x_name": columns.x, "path": path, "is_unpaired": is_unpaired, "is_loss": is_loss}
    y_name = "loss" if is_loss else "error"
    return table_from_runs(runs, "counts" if is_counts else "errors", y_name=y_name, **known)


def _named_runs(frame: pd.DataFrame, columns: Columns, path: str) -> pd.DataFrame:
    """A row a run: its arm, size, seed, and replicate where the table has them; without a seed, one an arm and size."""
    size = _numbers(frame[columns.x], columns.x, path)
    seed = frame.get(columns.seed, 0)
    runs = pd.DataFrame({"arm": frame[columns.arm].astype(str), "size": size, "x": size, "seed": seed})
    if columns.replicate in frame:
        runs = runs.assign(replicate=frame[columns.replicate])
    run = ["arm", "size", *(["replicate"] if "replicate" in runs else [])]
    if columns.seed not in frame and (again := runs.duplicated(run)).any():
        one = runs[again].iloc[0]
        raise ValueError(
            f"{path}: {int(again.sum())} rows are of an arm and size that another row has, the first arm={one['arm']} "
            f"size={one['size']:g}, and no column {columns.seed!r} tells them apart; add one, or name yours with "
            "--seed-column"
        )
    return runs


def _counted(frame: pd.DataFrame, y: str, columns: Columns, path: str) -> dict[str, pd.Series]:
    """`n_test` and `error` of runs that count the problems which were solved, or missed."""
    n_test, n_y = _numbers(frame[columns.n_test], columns.n_test, path), _numbers(frame[y], y, path)
    if (bad := (n_y < 0) | (n_y > n_test) | (n_test <= 0)).any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"{path}: {y} must lie in 0..{columns.n_test} and {columns.n_test} above 0; {row_told(row)} has "
            f"{y}={n_y[row]:g} of {n_test[row]:g}; correct it"
        )
    if (parts := (n_y % 1 != 0) | (n_test % 1 != 0)).any():
        row = int(np.argmax(parts))
        raise ValueError(
            f"{path}: {y} and {columns.n_test} count problems, and {row_told(row)} has {n_y[row]:g} of "
            f"{n_test[row]:g}; of problems that are right in part give the share that is wrong, in a column `error`"
        )
    share = n_y / n_test
    if columns.y is None and "error" in frame:
        _check_same_error(1.0 - share, _numbers(frame["error"], "error", path), path)
    return {"n_test": n_test, "error": share if _meaning(y, columns, path) == "error" else 1.0 - share}


def _refuse_other_numbers_of_problems(runs: pd.DataFrame, path: str) -> None:
    if runs["n_test"].nunique() > 1:
        found = ", ".join(f"{arm} {n:g}" for arm, n in runs.groupby("arm")["n_test"].first().items())
        raise ValueError(
            f"{path}: runs were tested on {runs['n_test'].min():g} to {runs['n_test'].max():g} problems (first of each "
            f"arm: {found}), so not all on the same; evaluate every run on one test set, or say --unpaired if the arms "
            "had test sets of their own"
        )
