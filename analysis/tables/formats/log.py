"""What a log of another tool says, as rows, and the file as every format looks at it."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import pandas as pd

Meaning = Literal["accuracy", "error", "loss"]
SCALAR = (bool, int, float, str)
LONGEST_LINE = 1 << 28
_RIGHT = {"acc", "accuracy", "correct", "exact_match", "em", "is_correct", "solve_rate"}


@dataclass(frozen=True, eq=False)
class Log:
    """Rows of one file, with names for what they are.

    Args:
        rows: a row an outcome, an update, a run or a metric; facts of the whole log stand in every row.
        scores: the columns that may be y, and what each is where the tool says it, else None.
        problem: column that names the problem, where rows are outcomes; a problem that stands several times was tried
            several times.
        step: column of the update, where rows are a training curve; nan is what was not logged, inf what was logged and
            is not finite.
        apart: columns of which a table has one value, since their rows say different things of one run.
        n_test: column of the number of test problems, where rows are means.
    """

    rows: pd.DataFrame
    scores: Mapping[str, Meaning | None]
    problem: str | None = None
    step: str | None = None
    apart: tuple[str, ...] = ()
    n_test: str | None = None


@dataclass(frozen=True)
class Format:
    """One tool's files: how they are recognised and read.

    Args:
        name: what --format calls it.
        what: the tool and the file, for a reader.
        is_it: whether a file's content is such a log, seen from its beginning or its outermost keys.
        read: its rows; ValueError, with the file and the place, where it is damaged.
    """

    name: str
    what: str
    is_it: Callable[[Content], bool]
    read: Callable[[Content], Log]


@dataclass(frozen=True)
class Content:
    """A file, each look at it taken once."""

    path: Path
    _seen: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def magic(self) -> bytes:
        with self.path.open("rb") as stream:
            return stream.read(8)

    @cached_property
    def is_json(self) -> bool:
        return self.magic.lstrip()[:1] == b"{"

    @cached_property
    def first_line(self) -> dict[str, Any]:
        """The JSON object of the first line; empty where it is none."""
        if not self.is_json:
            return {}
        with self.path.open("rb") as stream:
            try:
                found = json.loads(stream.readline(LONGEST_LINE))
            except (ValueError, RecursionError):
                return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def document(self) -> dict[str, Any]:
        """The JSON object that the whole file is; empty where it is none."""
        if not self.is_json or self.first_line:
            return self.first_line if self.is_json and self._is_one_line else {}
        try:
            found = json.loads(self.path.read_bytes())
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def _is_one_line(self) -> bool:
        with self.path.open("rb") as stream:
            stream.readline(LONGEST_LINE)
            return not stream.readline(LONGEST_LINE).strip()

    @cached_property
    def header(self) -> tuple[str, ...]:
        """The names in the first line of a CSV; empty where the file is named otherwise."""
        if self.path.suffix.lower() != ".csv":
            return ()
        with self.path.open("r", encoding="utf-8-sig", errors="replace", newline="") as stream:
            try:
                return tuple(next(csv.reader(stream), ()))
            except csv.Error:
                return ()

    def lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Number and JSON object of each line.

        Raises:
            ValueError: a line is none, or is cut off.
        """
        with self.path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                try:
                    found = json.loads(line)
                except (ValueError, RecursionError) as error:
                    cut = "" if line.endswith(b"\n") else "; the last line has no end: the file was cut off"
                    raise ValueError(
                        f"{self.path}, line {number}: a JSON object was expected, found {shown(line)} ({error}){cut}; "
                        "let the tool write the log again"
                    ) from error
                if not isinstance(found, dict):
                    raise ValueError(f"{self.path}, line {number}: a JSON object was expected, found {shown(line)}")
                yield number, found


def shown(value: Any) -> str:
    """A value as a message shows it: short, on one line."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    text = text.strip().encode("unicode_escape").decode("ascii")
    return repr(text if len(text) <= 60 else text[:57] + "...").replace("\\\\", "\\")


def wanted(record: Mapping[str, Any], key: str, kind: type | tuple[type, ...], place: str) -> Any:
    """record[key], which must be of this kind.

    Raises:
        ValueError: it is missing or is something else.
    """
    if key not in record:
        raise ValueError(f"{place}: {key!r} was expected, found {', '.join(map(shown, list(record)[:8])) or 'nothing'}")
    value = record[key]
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join({"dict": "object", "str": "text"}.get(one.__name__, one.__name__) for one in kinds)
        raise ValueError(f"{place}: {key} must be {names}, found {shown(value)}")
    return value


def is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float))


def as_number(value: Any, place: str) -> float:
    """A number of JSON as a float.

    Raises:
        ValueError: it is so large that there is no such float.
    """
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"{place}: a number within 1e308 was expected, found {shown(value)}") from error


def logged(record: Mapping[str, Any], place: str) -> dict[str, float]:
    """The numbers of one entry of a training curve; inf is one that is not finite, so that none before stands for it.

    Raises:
        ValueError: as as_number.
    """
    numbers = {text_of(name): as_number(value, place) for name, value in record.items() if is_number(value)}
    return {name: math.inf if math.isnan(value) else value for name, value in numbers.items()}


def text_of(value: Any) -> str:
    """A name as text that every file can hold; half a surrogate pair is spelled out."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def digest(value: Any) -> str:
    """Twelve hex digits that stand for a content."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def facts_under(prefix: str, record: Any, depth: int = 8) -> dict[str, Any]:
    """The scalars of a nested object, by dotted names; deeper ones are left out."""
    if not isinstance(record, dict) or not depth:
        return {}
    out: dict[str, Any] = {}
    for name, value in record.items():
        dotted = text_of(f"{prefix}.{name}" if prefix else name)
        if isinstance(value, str):
            out[dotted] = text_of(value)
        elif isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) < 2**63):
            out[dotted] = value
        elif isinstance(value, dict):
            out |= facts_under(dotted, value, depth - 1)
    return out


def meaning_of(name: str) -> Meaning | None:
    """What a metric's usual name says it is: a loss by its last word, a share of right answers by its name or by
    'mean' over it; None where the name does not tell.
    """
    words = re.split(r"[/.,@ ]", name.lower())
    last = words[-1] if not words[-1].isdigit() else words[-2] if len(words) > 1 else ""
    is_mean = last in ("mean", "avg")
    if last == "loss" or last.endswith("_loss") or (is_mean and "loss" in words):
        return "loss"
    if last in _RIGHT or last.endswith(("_accuracy", "_acc")) or (is_mean and _RIGHT & set(words)):
        return "accuracy"
    return None
