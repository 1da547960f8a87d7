"""Anybody's CSV or Parquet file as it stands, and the rows in it that are blank."""

from __future__ import annotations

import csv
import json
import mmap
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from analysis.notes import Note, note
from analysis.tables.delimited import check_csv
from analysis.tables.table import COSTS, Columns
from analysis.tables.where import kept

BLANK = re.compile(rb"(?:^|\n)[ \t,\r]*(?:\n|$)")


def plain_table(path: Path, columns: Columns, x: str | None = None) -> pa.Table:
    """The file with text columns as dictionaries, which keeps ten million rows small.

    Raises:
        ValueError: it cannot be read, a column appears twice, or a line is blank and is not to be left out.
    """
    text = [columns.arm, columns.problem]
    try:
        if path.suffix.lower() == ".csv":
            check_csv(path)
            if not columns.drop_blank:
                _refuse_blank_lines(path)
            types = {name: pa.dictionary(pa.int32(), pa.string()) for name in text}
            data = pa.csv.read_csv(
                path, convert_options=pa.csv.ConvertOptions(column_types=types, strings_can_be_null=True)
            )
        else:
            data = _parquet(path, columns, x, text)
        names = data.column_names  # decoded here: a header may be no text
    except (pa.ArrowException, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: not readable as a table ({error}); a .csv with a header line or a .parquet file was expected"
        ) from error
    plain = [name.strip() for name in names]  # a blank tells no reader two columns apart
    twice = sorted({name for name in plain if plain.count(name) > 1})
    if twice:
        raise ValueError(f"{path}: column {', '.join(twice)} appears twice in the header; rename one or drop it")
    return data


def parquet_columns(path: Path) -> list[str]:
    """The names of a Parquet file's columns.

    Raises:
        ValueError: it begins as one and is none.
    """
    try:
        schema = pa.parquet.read_schema(path)
        names = [*schema.names, *_ranges(schema)]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path}: not readable as a Parquet file ({error}); copy or export it again") from error
    return names


def _parquet(path: Path, columns: Columns, x: str | None, text: list[str]) -> pa.Table:
    schema = pa.parquet.read_schema(path)
    text = [name for name in text if name in schema.names and pa.types.is_string(schema.field(name).type)]
    wanted = {columns.arm, columns.x, columns.seed, columns.replicate, columns.problem, columns.n_test, columns.stderr}
    wanted |= {*columns.filters, *costs(schema.names, x), columns.sample}
    wanted |= {columns.y} if columns.y else {"is_correct", "n_correct", "error"}
    is_long = columns.problem in schema.names and columns.y in (None, *schema.names)
    data = pa.parquet.read_table(
        path, read_dictionary=text, columns=[name for name in schema.names if name in wanted] if is_long else None
    )
    return _with_index(data)


def parquet_frame(path: Path) -> pd.DataFrame:
    """All columns of a Parquet file, those that pandas had as an index among them."""
    frame: pd.DataFrame = _with_index(pa.parquet.read_table(path)).to_pandas()
    return frame


def _with_index(data: pa.Table) -> pa.Table:
    """The columns without pandas' remark which of them were an index; and an index that is that remark alone."""
    for name, numbers in _ranges(data.schema).items():
        data = data.append_column(name, pa.array(numbers, pa.int64()))
    return data.replace_schema_metadata(None)


def _ranges(schema: pa.Schema) -> dict[str, range]:
    """The named indices of numbers that follow each other, which pandas writes as no column."""
    found = (schema.pandas_metadata or {}).get("index_columns", ())
    return {
        one["name"]: range(one["start"], one["stop"], one["step"])
        for one in found
        if isinstance(one, dict) and one["name"] is not None
    }


def costs(names: Iterable[str], x: str | None = None) -> list[str]:
    """The columns that say what a run cost, and the one that was asked for as an axis."""
    known = {f"{prefix}{cost}" for prefix in ("", "total_") for cost in COSTS}
    return [name for name in names if name in known or name.startswith("total_") or name == x]


def without_blank(data: pa.Table, y: str, columns: Columns, text: str) -> tuple[pa.Table, tuple[Note, ...]]:
    """The rows that have an outcome.

    Raises:
        ValueError: some have none, and they are not to be left out.
    """
    n_blank = data[y].null_count
    if not n_blank:
        return data, ()
    if columns.drop_blank:
        said = f"{y} is blank in {n_blank} of {len(data)} rows of {text}; they were left out"
        return data.filter(pc.is_valid(data[y])), (note("dropped_blank", said),)
    path = Path(text)
    place = f"{text}, line {line_of(path, _first_row(path, columns, y))}" if path.suffix.lower() == ".csv" else text
    raise ValueError(
        f"{place}: {y} is missing in {n_blank} of {len(data)} rows; fill it in, or leave these rows "
        "out with --drop-blank"
    )


def _first_row(path: Path, columns: Columns, y: str) -> int:
    """Place in the file of the first row that is read and has no y; read once more, for an error alone."""
    data = plain_table(path, columns)
    data = kept(data.append_column("place in the file", pa.array(np.arange(len(data)))), columns.filters, str(path))
    return int(data.filter(pc.is_null(data[y]))["place in the file"][0].as_py())


def line_of(path: Path, row: int) -> int:
    """Line of a CSV on which its row (from 0, the header and empty lines aside) ends; of another file the row, from 1.

    Quoted cells may hold line breaks.
    """
    if path.suffix.lower() != ".csv":
        return row + 1
    with path.open("r", encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.reader(stream)
        rows = (reader.line_num for cells in reader if cells)
        return next((line for k, line in enumerate(rows) if k == row + 1), row + 2)


def _refuse_blank_lines(path: Path) -> None:
    if not path.stat().st_size:
        return
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        end = len(content) - (1 if content[len(content) - 1 :] == b"\n" else 0)
        if BLANK.search(content, 0, end) is None:
            return
    with path.open("r", encoding="utf-8-sig", errors="replace", newline="") as lines:
        reader = csv.reader(lines)
        try:  # the cells, for a line break inside quotes is no blank row
            blank = [reader.line_num for cells in reader if not any(cell.strip() for cell in cells)]
        except csv.Error:
            return  # the table's own parser says what is wrong
    if blank:
        raise ValueError(
            f"{path}, line {blank[0]}: a row was expected, found a blank one ({len(blank)} in all); remove it, or "
            "leave blank rows out with --drop-blank"
        )
