"""A table of runs: what is refused, and the folder it is kept in. Counts, never rates.

    TABLE/runs.parquet        a row a run: its grid point, counts, and what it cost
    TABLE/outcomes.parquet    a row a (run, problem)
    TABLE/provenance.json     commands, versions, configuration, what was tuned on what, looks at test
    TABLE/likelihoods.parquet, values.parquet, estimates.parquet    what else was measured, where it was (probed.py)

What the analysis knows of the pipeline is here.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from sweep.arms import BASE_ARM
from sweep.columns import check_columns, check_record
from sweep.config import flat as flat  # how the config column of a table is read
from sweep.data.domain import BAD_FORMAT
from sweep.disk import write_atomically
from sweep.git import GitRefuses as GitRefuses  # as the next two: handed on to the analysis
from sweep.git import git_said as git_said
from sweep.manifest import is_key
from sweep.places import check_writable as check_writable
from sweep.places import named as named
from sweep.terminal.words import count

TABLE = ("runs.parquet", "outcomes.parquet", "provenance.json")
MEASURED = ("likelihoods", "values", "estimates")  # kinds of stages whose rows stand in a file of their own
POINT = ("arm", "source", "method", "n_problems", "replicate", "seed", "split")  # what a run is, beside its counts
COUNTS = ("n_test", "n_correct", "n_correct_sampled", "n_sampled")
MALFORMED = "n_malformed"  # greedy solutions; missing of an evaluation that was made before they were counted


@dataclass(frozen=True)
class Results:
    """One table: runs, a row a run; outcomes, a row a (run, problem); provenance, how it came to be; measured, what was
    measured beside test errors, by kind."""

    runs: pd.DataFrame
    outcomes: pd.DataFrame
    provenance: dict[str, Any]
    measured: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def refuse_duplicates(table: pd.DataFrame) -> None:
    if "replicate" in table and table.replicate.isna().any():
        raise ValueError(
            f"runs {some_of(table.run[table.replicate.isna()])} do not say their replicate and others do; collect all "
            "of them with this version"
        )
    point = ["arm", "n_problems", *(["replicate"] if "replicate" in table else []), "seed", "split"]
    for cell, rows in table.groupby(point):
        if len(rows) > 1:
            first, second = (flat(json.loads(text)) for text in rows.config[:2])
            differ = sorted(k for k in {*first, *second} if first.get(k) != second.get(k))
            raise ValueError(
                f"runs {some_of(rows.run)} are all {dict(zip(point, cell, strict=True))} and differ in "
                f"{', '.join(differ) or 'nothing'}; the table needs one run a cell: collect them one setting at a "
                "time, or name the arms by a setting: --by source.max_solutions_per_problem"
            )


def refuse_mixed(table: pd.DataFrame) -> None:
    if table.code.nunique() > 1:
        groups = table.groupby("code")
        told = "; ".join(f"{code}: {runs_told(is_base(rows))}, e.g. {rows.run.iloc[0]}" for code, rows in groups)
        raise ValueError(
            f"the runs were made by different code (sweep/ fingerprints {told}); build them again with one version, or "
            "collect with --allow-mixed-code if the difference cannot change a number"
        )
    if table.split.nunique() > 1:
        raise ValueError(f"the runs mix evaluation splits {sorted(table.split.unique())}; collect one split at a time")


def check_counts(runs: pd.DataFrame, outcomes: pd.DataFrame) -> None:
    """Refuse a table whose runs count otherwise than their outcomes do: there is one truth, and which is not known.

    Raises:
        ValueError: a run has no outcomes, or another count; it is named with both.
    """
    per_run = outcomes.groupby("run", sort=False)
    counted = per_run[["is_correct", "n_correct_sampled", "n_sampled"]].sum()
    counted = counted.rename(columns={"is_correct": "n_correct"})
    counted["n_test"] = per_run.size()
    by_run = counted.to_dict("index")
    for row in runs[["run", *counted.columns]].to_dict("records"):
        run, of_run = row["run"], by_run.get(row["run"])
        for name in counted.columns:
            if of_run is None or row[name] != of_run[name]:
                has = "are missing" if of_run is None else f"has {of_run[name]}"
                raise ValueError(
                    f"{run}: its record says {name}={row[name]}, and what it did problem by problem (outcomes) "
                    f"{has}; one of the two was changed: build the run again, or collect the table anew"
                )


def refuse_other_problems(run: str, other: str, problem_ids: Iterable[str]) -> None:
    raise ValueError(
        f"{run} was tested on other problems than {other}, e.g. {some_of(sorted(problem_ids))}; "
        "all runs of a table, or of one replicate in it, need the same test problems"
    )


def joined(versions: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Versions by package; of one that was another in some, all that there were."""
    found: dict[str, set[str]] = {}
    for one in versions:
        for name, told in one.items():
            found.setdefault(name, set()).update(str(told).split(" and "))
    return {name: " and ".join(sorted(told)) for name, told in found.items()}


def check_out(folder: Path) -> None:
    """Refuse a place for a table before any work, where it cannot be written or would replace somebody else's file.

    Raises:
        ValueError: the place, and what is there.
    """
    check_writable(folder, "--out")
    there = [name for name in TABLE if os.path.lexists(folder / name)]
    if there and not _is_table(folder):
        raise ValueError(
            f"--out {folder}: {', '.join(there)} there was not written by `collect`: it is not replaced; give another "
            "folder with --out"
        )
    measured = [f"{kind}.parquet" for kind in MEASURED if os.path.lexists(folder / f"{kind}.parquet")]
    if others := [name for name in measured if not (there and _is_measured(folder / name))]:
        raise ValueError(
            f"--out {folder}: {', '.join(others)} there was not written by `collect`: it is not replaced; give another "
            "folder with --out"
        )


def _is_measured(path: Path) -> bool:
    """Whether a file is what `collect` writes of a kind of measurement: each row names its stage."""
    try:
        stages = pa.parquet.read_table(path, columns=["stage"])["stage"].unique().to_pylist()
    except (OSError, ValueError, KeyError):
        return False
    return not path.is_symlink() and all(map(is_key, stages))


def _is_table(folder: Path) -> bool:
    try:
        record = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and {"created", "versions"} <= record.keys()


def told_of_replaced(table: Results, folder: Path, provenance: Mapping[str, Any]) -> str:
    """Of the table in the folder that `write_table` would replace: its command and its runs, where some are lost.

    Empty where the new table has them all, or is made by the same command again.
    """
    try:
        record = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        old = pa.parquet.read_table(folder / "runs.parquet", columns=["run", "arm"]).to_pandas()
    except (OSError, ValueError, KeyError):  # none, or none that could be read
        return ""
    before, now = (of.get("commands") or [""] for of in (record, {**table.provenance, **provenance}))
    n_lost = int((~old.run.isin(table.runs.run)).sum())
    if not n_lost or before[-1] == now[-1]:
        return ""
    whose = f" of `{before[-1]}`" if before[-1] else ""
    return f"replaces the table{whose} in {folder}: {runs_told(is_base(old))}, {n_lost} not in the new one"


def write_table(table: Results, folder: Path, provenance: Mapping[str, Any]) -> None:
    """Write runs, outcomes and provenance, each whole or not at all; an older table in the folder is replaced.

    Raises:
        ValueError: a file of that name is there that is no part of a table; nothing is written.
    """
    check_out(folder)
    told = json.dumps({**table.provenance, **provenance}, indent=1, sort_keys=True, allow_nan=False)
    folder.mkdir(parents=True, exist_ok=True)
    measured = {f"{name}.parquet": frame for name, frame in table.measured.items()}
    parts = {name: folder / f".{name}.{uuid.uuid4().hex[:8]}" for name in (*TABLE[:2], *measured)}
    try:  # all are whole before the first takes an older one's place
        for name, frame in {"runs.parquet": table.runs, "outcomes.parquet": table.outcomes, **measured}.items():
            frame.to_parquet(parts[name], index=False)
        for name, part in parts.items():
            os.replace(part, folder / name)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    for name in {*MEASURED} - {*table.measured}:
        (folder / f"{name}.parquet").unlink(missing_ok=True)  # of the table that is replaced
    write_atomically(folder / "provenance.json", told)


def read_table(folder: str | Path) -> Results:
    """The table that `python -m sweep collect` wrote.

    Raises:
        ValueError: not such a folder, or one that was changed; the message says what is missing or wrong.
    """
    folder = Path(folder)
    absent = [name for name in TABLE if not (folder / name).is_file()]
    if absent:
        raise ValueError(
            f"{folder}: expected a table folder as `python -m sweep collect` writes it; it has no {', '.join(absent)}"
        )
    try:
        runs, outcomes = (pd.read_parquet(folder / name) for name in TABLE[:2])
        paths = {kind: folder / f"{kind}.parquet" for kind in MEASURED}
        measured = {kind: pd.read_parquet(path) for kind, path in paths.items() if path.is_file()}
        record = json.loads((folder / TABLE[2]).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # Arrow's errors among them
        raise ValueError(f"{folder}: not readable as a table ({error}); collect it again") from error
    check_columns(runs, outcomes, str(folder))
    check_record(record, f"{folder}/{TABLE[2]}")
    return Results(runs, outcomes, record, measured)


def n_malformed(runs: pd.DataFrame) -> pd.Series | None:
    """Malformed greedy solutions of each run, or those with a step that cannot be read where not all runs counted them.

    None where the runs say nothing of either: natural text has no steps that a domain could judge.
    """
    if MALFORMED in runs and runs[MALFORMED].notna().all():
        return runs[MALFORMED].astype(int)
    if "diagnosis" not in runs or runs.diagnosis.eq("{}").all():
        return None
    return pd.Series([json.loads(text).get(BAD_FORMAT, 0) for text in runs.diagnosis], index=runs.index)


def is_base(runs: pd.DataFrame) -> list[bool]:
    """Of each row whether it is a base model's own evaluation, which no sweep counts among its runs."""
    return list(runs.arm == BASE_ARM)


def runs_told(of: Sequence[bool]) -> str:
    """`12 runs and the base model`: evaluations as a sweep counts them.

    Args:
        of: whether each is a base model's.
    """
    n_bases = sum(of)
    bases = "the base model" if n_bases == 1 else f"{n_bases} base models" if n_bases else ""
    runs = count(len(of) - n_bases, "run") if len(of) > n_bases or not bases else ""
    return " and ".join(part for part in (runs, bases) if part)


def part_told(part: Sequence[bool], of: Sequence[bool]) -> str:
    """`2 of 12 runs and the base model's evaluation`: the part, and all of them as in `runs_told`."""
    n_bases, all_bases = sum(part), sum(of)
    runs = f"{len(part) - n_bases} of {count(len(of) - all_bases, 'run')}" if len(part) > n_bases else ""
    bases = f"{n_bases} of {all_bases} base models' evaluations" if n_bases else ""
    if n_bases == all_bases == 1:
        bases = "the base model's evaluation"
    return " and ".join(one for one in (runs, bases) if one)


def some_of(keys: Any, n_shown: int = 5) -> str:
    keys = list(keys)
    return ", ".join(map(str, keys[:n_shown])) + (f" and {len(keys) - n_shown} more" if len(keys) > n_shown else "")
