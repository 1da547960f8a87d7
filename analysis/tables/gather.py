"""One long table of whatever was named: a file, or every file whose name matches a pattern, plain tables or logs.

'runs/{arm}-n{n_problems}-s{seed}/samples_*.jsonl'     what a log does not say is read out of its file's name
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from analysis.notes import Note, note
from analysis.tables.formats import log_at
from analysis.tables.formats.log import Format, Log
from analysis.tables.names import facts_of, fields_of, files_matching, is_pattern, numbers_where_all_are
from analysis.tables.plain import line_of, plain_table
from analysis.tables.table import Columns
from analysis.tables.where import kept
from sweep.terminal.words import nearest

N_SHOWN = 12
FILE = "file"


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of all files, and the columns to read them by, as the format and the options say."""

    data: pa.Table
    columns: Columns
    notes: tuple[Note, ...] = ()


def gathered(text: str, columns: Columns, x: str | None = None) -> Rows:
    """The rows of a file or of all files of a pattern, filtered; one y, one row an outcome or a run.

    Raises:
        ValueError: no such file, a damaged one, or a choice that is the reader's to make.
    """
    is_file = Path(text).exists() or not is_pattern(text)
    files: list[tuple[Path, dict[str, str]]] = [(Path(text), {})] if is_file else files_matching(text)
    missing = next((path for path, _ in files if not path.exists()), None)
    if missing is not None:
        raise ValueError(
            f"{text}: no such file or folder; give the folder that `python -m sweep collect` wrote, a .csv or .parquet "
            "file, a log, or a pattern over many ('runs/{arm}-n{n_problems}-s{seed}.json')"
        )
    read = [log_at(path, columns.format) for path, _ in files]
    logs = [one[1] for one in read if one is not None]
    if not logs:
        return _plain(files, columns, x, text)
    formats = sorted({"a plain table" if one is None else one[0].what for one in read})
    if len(formats) > 1:
        raise ValueError(f"{text}: files of one format were expected, found {'; '.join(formats)}; narrow the pattern")
    first = next(one[0] for one in read if one is not None)
    return _of_logs([(path, facts, log.rows) for (path, facts), log in zip(files, logs, strict=True)],
                    _together(logs), columns, x, text, first)  # fmt: skip


def _together(logs: Sequence[Log]) -> Log:
    scores = {name: meaning for log in logs for name, meaning in log.scores.items()}
    return dataclasses.replace(logs[0], scores=scores)


def _plain(files: Sequence[tuple[Path, dict[str, str]]], columns: Columns, x: str | None, text: str) -> Rows:
    _refuse_step(columns, "a plain table", text)
    is_wide = columns.y is not None and fields_of(columns.y)
    tables = [(path, facts, plain_table(path, columns, x)) for path, facts in files]
    rows = [
        (path, facts, _long(data, columns, path) if is_wide else Rows(data, columns)) for path, facts, data in tables
    ]
    if len(rows) == 1 and not rows[0][1]:
        data = rows[0][2].data
    else:
        data = _joined([(path, facts, one.data.to_pandas()) for path, facts, one in rows], text)
    notes = tuple(said for *_, one in rows for said in one.notes)
    return Rows(_some(kept(data, columns.filters, text), text), columns, notes)


def _refuse_step(columns: Columns, what: str, text: str) -> None:
    if columns.step is not None:
        raise ValueError(
            f"{text}: --step {columns.step} chooses a row of a training curve, and this is {what}; drop it, or choose "
            "rows with --where COLUMN=VALUE"
        )


def _some(data: pa.Table, text: str) -> pa.Table:
    if not len(data):
        raise ValueError(f"{text}: no rows to read; a table has a row a run or a row an outcome")
    return data


def _joined(tables: Sequence[tuple[Path, dict[str, str], pd.DataFrame]], text: str) -> pa.Table:
    """All rows, with what their file's name says and which file it was."""
    named = {name: numbers_where_all_are([facts[name] for _, facts, _ in tables]) for name in tables[0][1]}
    frames = []
    for k, (path, facts, frame) in enumerate(tables):
        for name in facts:
            odd = set(map(str, frame[name].dropna().unique())) - {facts[name]} if name in frame else set()
            if odd:
                raise ValueError(
                    f"{path}: its name says {name}={facts[name]} and its own column {sorted(odd)[0]}; call one of them "
                    "otherwise in the pattern"
                )
        frames.append(frame.assign(**{name: values[k] for name, values in named.items()}, **{FILE: str(path)}))
    whole = pd.concat(frames, ignore_index=True)
    try:
        return pa.Table.from_pandas(whole, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"{text}: one column holds numbers in one file and text in another ({error})") from error


def _of_logs(
    tables: Sequence[tuple[Path, dict[str, str], pd.DataFrame]],
    log: Log,
    columns: Columns,
    x: str | None,
    text: str,
    kind: Format,
) -> Rows:
    data = _some(kept(_joined(tables, text), columns.filters, text), text)
    frame = data.to_pandas()
    y = _chosen_y(frame, log, columns, text, kind)
    _refuse_mixed(frame, log, columns, text)
    if log.step is not None:
        frame = _of_steps(frame, log.step, y, columns, x, text)
    else:
        _refuse_step(columns, kind.what, text)
    frame, notes = _without_blank(frame, y, columns, text, log)
    if log.problem is not None:
        frame = attempts_averaged(frame, y, log.problem, [FILE])
    meant = dataclasses.replace(columns, y=y, y_is=columns.y_is or log.scores.get(y), filters={})
    if log.problem is not None and columns.problem not in frame:
        meant = dataclasses.replace(meant, problem=log.problem)
    counted = _counted(frame, y, meant, log)
    frame, meant = counted if counted is not None else (frame, meant)
    return Rows(pa.Table.from_pandas(frame, preserve_index=False), meant, notes)


def _chosen_y(frame: pd.DataFrame, log: Log, columns: Columns, text: str, kind: Format) -> str:
    known = [name for name in log.scores if frame[name].notna().any()]
    if columns.y is None and len(known) == 1:
        return known[0]
    if columns.y in known:
        return str(columns.y)
    told = ", ".join(known[:N_SHOWN]) + (f" and {len(known) - N_SHOWN} more" if len(known) > N_SHOWN else "")
    asked = (
        "it has several results" if columns.y is None else f"it has no result {columns.y!r}{nearest(columns.y, known)}"
    )
    raise ValueError(f"{text} ({kind.what}): {asked}: {told or 'none with a value'}; choose one with --y")


def _refuse_mixed(frame: pd.DataFrame, log: Log, columns: Columns, text: str) -> None:
    """Rows that say different things of one run (two tasks, two filters) are no repetitions."""
    for name in log.apart:
        if name in (columns.arm, columns.x, columns.seed):
            continue
        values = sorted(map(str, frame[name].unique()))
        if len(values) > 1:
            raise ValueError(
                f"{text}: one {name} was expected, found {', '.join(values[:N_SHOWN])}; choose with --where "
                f"{name}={values[0]}"
            )


def _without_blank(
    frame: pd.DataFrame, y: str, columns: Columns, text: str, log: Log
) -> tuple[pd.DataFrame, tuple[Note, ...]]:
    """The rows that have a finite outcome; those without are refused unless they are to be left out."""
    is_infinite = frame[y].abs() == math.inf
    blank = frame[y].isna() | is_infinite
    if not blank.any():
        return frame, ()
    first = frame[blank].iloc[0]
    named = log.problem or log.step
    what = f" {named} {first[named]}" if named else f", row {int(blank.to_numpy().argmax()) + 1}"
    found = "not a finite number" if is_infinite.any() else "blank"
    said = f"{y} is {found} in {int(blank.sum())} of {len(blank)} rows, the first {first[FILE]}{what}"
    if not columns.drop_blank:
        raise ValueError(f"{text}: {said}; complete the log, or leave these rows out with --drop-blank")
    return frame[~blank], (note("dropped_blank", f"{said}; they were left out"),)


def _of_steps(frame: pd.DataFrame, step: str, y: str, columns: Columns, x: str | None, text: str) -> pd.DataFrame:
    """One row a step that has y, with what else was logged at that step; then the steps that are asked for."""
    by = [FILE, step]
    told = frame.dropna(subset=[y]).groupby(by)[y]
    twice = told.nunique()
    if (twice > 1).any():
        path, at = twice[twice > 1].index[0]
        raise ValueError(f"{path}: {y} appears twice at step {at} with different values; keep the run that counts")
    merged = frame.groupby(by, as_index=False, sort=True).last()
    merged = merged[merged[y].notna()]
    is_curve = columns.x in merged and not merged.groupby(FILE)[columns.x].nunique().eq(1).all()
    if columns.step is None:
        if not is_curve and merged[FILE].duplicated().any():
            one = merged[merged[FILE] == merged[FILE][merged[FILE].duplicated()].iloc[0]]
            raise ValueError(
                f"{one[FILE].iloc[0]}: {y} was logged at {len(one)} steps, {one[step].iloc[0]:g} to "
                f"{one[step].iloc[-1]:g}; choose one (--step last, --step {one[step].iloc[-1]:g}), or a column of the "
                f"log as the size (--x {step})"
            )
        return merged
    if columns.step == "last":
        return merged.groupby(FILE, as_index=False).tail(1)
    wanted = merged[merged[step] == _number(columns.step)]
    without = sorted(set(frame[FILE]) - set(wanted[FILE]))
    if without:
        raise ValueError(f"{without[0]}: {y} was not logged at step {columns.step} (in {len(without)} files)")
    return wanted


def _number(step: str) -> float:
    try:
        return float(step)
    except ValueError as error:
        raise ValueError(f"--step {step}: 'last' or the number of a step was expected") from error


def attempts_averaged(frame: pd.DataFrame, y: str, problem: str, run: Sequence[str]) -> pd.DataFrame:
    """A row a problem: the share of its attempts that were right; what else stands in its first attempt's row."""
    by = [*run, problem]
    if not frame.duplicated(by).any():
        return frame
    means = frame.groupby(by, sort=False)[y].transform("mean")
    return frame.assign(**{y: means.astype(float)}).drop_duplicates(by)


def _counted(frame: pd.DataFrame, y: str, columns: Columns, log: Log) -> tuple[pd.DataFrame, Columns] | None:
    """A share of right answers among n problems as the count it was made from; None where it was none."""
    if log.n_test is None or log.n_test not in frame or columns.y_is not in ("accuracy", "error"):
        return None
    n_test = frame[log.n_test].astype(float)
    right = frame[y].astype(float) * n_test
    if n_test.isna().any() or not ((right - right.round()).abs() <= 1e-6 * n_test).all():
        return None
    counted = right.round().astype(int)
    meant = dataclasses.replace(columns, y="n_correct", n_test=log.n_test)
    if columns.y_is == "error":
        counted, meant = (n_test - right).round().astype(int), dataclasses.replace(meant, y_is="accuracy")
    return frame.assign(n_correct=counted), meant


def _holds_numbers(kind: pa.DataType) -> bool:
    of = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return any(one(kind) for one in of)


def _long(data: pa.Table, columns: Columns, path: Path) -> Rows:
    """A wide table as a long one: --y 'accuracy_{seed}' makes a row of each cell, and `seed` of the columns' names."""
    pattern = str(columns.y)
    taken = {columns.arm, columns.x, columns.seed, columns.replicate, columns.problem, columns.n_test, columns.stderr}
    taken |= set(columns.filters) - set(fields_of(pattern))
    names = {name: facts for name in data.column_names if name not in taken and (facts := facts_of(pattern, name))}
    if not names:
        raise ValueError(f"{path}: no column is named as --y {pattern}; the columns are {', '.join(data.column_names)}")
    fields = fields_of(pattern)
    clash = next((one for one in fields if one in data.column_names), None)
    if clash is not None:
        raise ValueError(f"{path}: {{{clash}}} of --y {pattern} is a column of the file too; name it otherwise")
    odd = next((name for name in names if not _holds_numbers(data[name].type)), None)
    if odd is not None:
        raise ValueError(
            f"{path}: column {odd} is named as --y {pattern} and holds text; numbers were expected: put what only the "
            "outcomes' columns are called around the braces"
        )
    frame = data.to_pandas()
    known = {field: numbers_where_all_are([facts[field] for facts in names.values()]) for field in fields}
    rest = frame.drop(columns=list(names))
    parts: list[pd.DataFrame] = []
    n_blank, where = 0, ""
    for k, name in enumerate(names):
        blank = frame[name].isna()
        if blank.any() and not n_blank:
            where = f"{path}, line {line_of(path, int(blank.to_numpy().argmax()))}, column {name}"
        n_blank += int(blank.sum())
        cells: dict[str, Any] = {field: values[k] for field, values in known.items()} | {pattern: frame[name]}
        parts.append(rest.assign(**cells)[~blank])
    if n_blank and not columns.drop_blank:
        raise ValueError(f"{where}: the cell is blank, as are {n_blank} in all; fill them in, or say --drop-blank")
    notes = (note("dropped_blank", f"{n_blank} blank cells were left out, the first {where}"),) if n_blank else ()
    return Rows(pa.Table.from_pandas(pd.concat(parts, ignore_index=True), preserve_index=False), columns, notes)
