"""Two models on one test set: what pairs, the test, and how it is told."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.noise.paired import POWER, Paired, compared
from analysis.notes import Note, note
from analysis.tables.attempts import Attempts, attempts_at
from analysis.tables.table import Columns
from analysis.tables.where import filters_of

N_SHOWN = 3


@dataclass(frozen=True)
class Compared:
    """The paired test and what was compared.

    Args:
        test: B minus A.
        n_runs_a, n_runs_b: runs (seeds or files) of each.
        n_unpaired_a, n_unpaired_b: problems of one that the other, or one of its own runs, was not tested on.
    """

    a: str
    b: str
    test: Paired
    n_runs_a: int
    n_runs_b: int
    n_unpaired_a: int
    n_unpaired_b: int
    notes: tuple[Note, ...] = ()


def compare(
    a: str | Path,
    b: str | Path,
    columns: Columns | None = None,
    *,
    only_a: tuple[str, ...] = (),
    only_b: tuple[str, ...] = (),
    is_shared_only: bool = False,
    level: float = 0.95,
) -> Compared:
    """The paired test of two models.

    Args:
        a, b: a sweep's folder, a CSV or Parquet file, a log, or a pattern over files (several runs of one model).
        only_a, only_b: COLUMN=VALUE, rows of each beside columns.filters; what tells two models of one file apart.
        is_shared_only: leave problems out that not every run was tested on.
    Raises:
        ValueError: what cannot be read, or problems that do not pair.
    """
    columns = columns or Columns()
    one, other = (_read(path, columns, only) for path, only in ((a, only_a), (b, only_b)))
    if str(a) == str(b) and only_a == only_b:
        raise ValueError(f"{a}: two models were expected, found one twice; choose with --a COLUMN=VALUE and --b ...")
    shared, without = _paired_problems(one, other)
    notes = [*one.notes, *other.notes]
    if any(without) or not shared:
        said = _unpaired(one, other, without, len(shared))
        if not is_shared_only or len(shared) < 2:
            raise ValueError(f"{said}; {_way_out(len(shared))}")
        notes.append(note("not_paired", f"{said}; they were left out"))
    right = [each.right[:, np.isin(each.problems, shared)] for each in (one, other)]
    if min(map(len, right)) == 1 < max(map(len, right)):
        notes.append(note("one_seed", "of one model there is one run: what its runs vary by is taken from the other's"))
    return Compared(
        one.what, other.what, compared(right[0], right[1], level), len(right[0]), len(right[1]),
        len(without[0]), len(without[1]), tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _read(path: str | Path, columns: Columns, only: tuple[str, ...]) -> Attempts:
    wanted = filters_of(only)
    both = {name: value for name, value in columns.filters.items() if name not in wanted} | wanted
    what = f"{path} ({', '.join(only)})" if only else str(path)
    return attempts_at(path, dataclasses.replace(columns, filters=both), what)


def _paired_problems(one: Attempts, other: Attempts) -> tuple[list[str], list[list[str]]]:
    """The problems that every run of both was tested on, and the others of each."""
    tested = [
        {name for name, right in zip(each.problems, each.right.T, strict=True) if not np.isnan(right).any()}
        for each in (one, other)
    ]
    shared = sorted(tested[0] & tested[1])
    return shared, [sorted(set(each.problems) - set(shared)) for each in (one, other)]


def _way_out(n_shared: int) -> str:
    if n_shared > 1:
        return f"test both on one set, or compare the {n_shared} shared problems with --only-shared"
    return "problems pair by name: let both name them alike (--problem names the column)"


def _unpaired(one: Attempts, other: Attempts, without: list[list[str]], n_shared: int) -> str:
    told = [
        f"{len(names)} of {len(each.problems)} problems of {each.what} (for example {', '.join(names[:N_SHOWN])})"
        for each, names in zip((one, other), without, strict=True)
        if names
    ]
    return f"{' and '.join(told)} do not pair, {n_shared} do"


def text(found: Compared) -> str:
    """The comparison for a terminal."""
    t = found.test
    runs = [f", {n} runs" if n > 1 else "" for n in (found.n_runs_a, found.n_runs_b)]
    lines = [
        f"A  {t.accuracy_a:.1%} right  {found.a}{runs[0]}",
        f"B  {t.accuracy_b:.1%} right  {found.b}{runs[1]}",
        f"B minus A: {_points(t.difference)} points [{_points(t.low)}, {_points(t.high)}] ({t.level:.0%} interval), "
        f"p = {t.p:.3g}, on {t.n_problems} shared problems",
    ]
    if t.only_a is not None:
        lines.append(f"  only A solved {t.only_a}, only B {t.only_b}")
    if t.detectable is None and t.only_a is not None:
        lines.append(f"  no difference is found {POWER:.0%} of the time with so few problems; test on more")
    elif t.detectable is not None:
        lines.append(f"  a true difference of {100 * t.detectable:.1f} points would be found {POWER:.0%} of the time")
    lines.append(f"  {t.method}{'' if t.df is None else f', {t.df:.0f} degrees of freedom'}")
    return "\n".join([*lines, *(f"{one.severity} {one.code}: {one.text}" for one in found.notes)])


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
