"""Weights & Biases: the .wandb file of an offline run, a run's history exported to CSV or Parquet, and a table of runs.

The records of a .wandb file (sweep/wandb_file.py) are protobuf messages; of these the run's settings, its history and
its summary are read, by their numbers in wandb/proto/wandb_internal.proto, so that nothing of W&B needs to be
installed. A history export has a row a step and a column `_step`; a table of runs, as the project page's "export CSV"
gives it, a row a run and the columns Name and State.
Source: wandb 0.31.0, wandb_internal.proto.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from analysis.tables.formats.log import (
    Content,
    Format,
    Log,
    as_number,
    facts_under,
    is_number,
    logged,
    meaning_of,
    shown,
    text_of,
)
from analysis.tables.plain import parquet_columns, parquet_frame
from sweep.wandb_file import MAGIC, NotWhole, records

HISTORY, SUMMARY, SETTINGS, RUN = 2, 3, 5, 17  # numbers of Record's fields
KEY, NESTED_KEY, VALUE = 1, 2, 16  # of an item's
CONFIG, UPDATE, RUN_NAME, RUN_ID = 4, 1, 8, 1


def _is_offline(content: Content) -> bool:
    return content.magic[:4] == MAGIC[:4]


def _is_history(content: Content) -> bool:
    if content.header:
        return "_step" in content.header and "State" not in content.header
    return content.magic[:4] == b"PAR1" and "_step" in parquet_columns(content.path)


def _are_runs(content: Content) -> bool:
    return {"Name", "State"} <= set(content.header)


def _offline(content: Content) -> Log:
    path, rows = content.path, []
    facts: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    for number, record in enumerate(_records(path), 1):
        place = f"{path}, record {number}"
        if RUN in record:
            facts |= _settings(record[RUN][-1], place)
        for one in record.get(SETTINGS, ()):
            facts |= facts_under("", _own(_items(one, UPDATE, place)))
        summary |= {k: v for one in record.get(SUMMARY, ()) for k, v in _items(one, UPDATE, place).items()}
        for one in record.get(HISTORY, ()):
            rows.append(logged(_items(one, 1, place), place))
    last = {name: as_number(v, str(path)) for name, v in summary.items() if is_number(v) and not name.startswith("_")}
    if not rows:  # a run that logged nothing but its summary
        return Log(pd.DataFrame([facts | last]), {name: meaning_of(name) for name in last})
    once = {name: value for name, value in last.items() if not any(name in row for row in rows)}
    rows[-1] |= once
    frame = pd.DataFrame(rows)
    names = [name for name in frame.columns if not name.startswith("_")]
    clear = {name: value for name, value in facts.items() if name not in frame}
    return Log(frame.assign(**clear), {name: meaning_of(name) for name in names}, step="_step")


def _settings(raw: bytes, place: str) -> dict[str, Any]:
    fields = _fields(raw, place)
    config = _items(fields[CONFIG][-1], UPDATE, place) if CONFIG in fields else {}
    names = {"run_id": RUN_ID, "run_name": RUN_NAME}
    told = {name: _text(fields[k][-1], place) for name, k in names.items() if isinstance(fields.get(k, [0])[-1], bytes)}
    return told | facts_under("", _own(config))


def _own(items: dict[str, Any]) -> dict[str, Any]:
    """The user's items, without those that W&B adds."""
    return {name: value for name, value in items.items() if not name.startswith("_")}


def _items(raw: Any, number: int, place: str) -> dict[str, Any]:
    """Name and value of each item of a record; nested keys are joined by dots."""
    out = {}
    for item in _fields(raw, place).get(number, ()):
        of = _fields(item, place)
        nested = [_text(one, place) for one in of.get(NESTED_KEY, ())]
        name = ".".join(nested) or _text(of.get(KEY, [b""])[-1], place)
        try:
            out[text_of(name)] = json.loads(of.get(VALUE, [b"null"])[-1])
        except (ValueError, RecursionError, TypeError) as error:
            raise ValueError(f"{place}: the value of {shown(name)} is not JSON ({error}): damaged") from error
    return out


def _text(raw: Any, place: str) -> str:
    if not isinstance(raw, bytes):
        raise ValueError(f"{place}: a text was expected, found {shown(raw)}; the file is damaged")
    return raw.decode("utf-8", "backslashreplace")


def _fields(raw: Any, place: str) -> dict[int, list[Any]]:
    """Number -> values of a protobuf message: bytes of what has a length, else whole numbers."""
    out: dict[int, list[Any]] = {}
    at = 0
    try:
        while at < len(raw):
            key, at = _varint(raw, at)
            kind = key & 7
            value: Any
            if kind == 0:
                value, at = _varint(raw, at)
            elif kind == 2:
                length, at = _varint(raw, at)
                value, at = raw[at : at + length], at + length
            else:
                width = {1: 8, 5: 4}[kind]
                value, at = raw[at : at + width], at + width
            if at > len(raw):
                raise IndexError(f"{at - len(raw)} bytes are missing")
            out.setdefault(key >> 3, []).append(value)
    except (IndexError, KeyError, TypeError) as error:
        raise ValueError(f"{place}: it is not a protobuf message ({error}); the file is damaged") from error
    return out


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _records(path: Path) -> Iterator[dict[int, list[Any]]]:
    try:
        for at, content in records(path):
            yield _fields(content, f"{path}, byte {at}")
    except NotWhole as error:
        raise ValueError(f"{path}: {error}; copy the file again, take another run, or export the history") from error


def _history(content: Content) -> Log:
    frame = _frame(content.path)
    numeric = [n for n in frame.columns if pd.api.types.is_numeric_dtype(frame[n]) and not n.startswith("_")]
    return Log(frame, {name: meaning_of(name) for name in numeric}, step="_step")


def _runs(content: Content) -> Log:
    frame = _frame(content.path)
    numeric = [name for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name])]
    return Log(frame, {name: meaning_of(name) for name in numeric}, apart=("State",))


def _frame(path: Path) -> pd.DataFrame:
    try:
        frame = _of_csv(path) if path.suffix.lower() == ".csv" else parquet_frame(path)
    except (ValueError, OSError, pd.errors.ParserError, pa.ArrowException) as error:
        raise ValueError(f"{path}: not readable as an export of W&B ({error}); export it again") from error
    return frame.rename(columns=str)


def _of_csv(path: Path) -> pd.DataFrame:
    """The rows; a number that is not finite is spelled NaN there and is inf here, an empty cell is nan."""
    frame, spelled = pd.read_csv(path), pd.read_csv(path, dtype=str, keep_default_na=False)
    for name in frame.select_dtypes("float"):
        frame.loc[spelled[name].str.strip() == "NaN", name] = math.inf
    return frame


FORMATS = (
    Format("wandb-offline", "offline run of W&B (.wandb)", _is_offline, _offline),
    Format("wandb-history", "history of a run exported from W&B (CSV or Parquet with _step)", _is_history, _history),
    Format("wandb-runs", "table of runs exported from W&B (CSV with Name and State)", _are_runs, _runs),
)
