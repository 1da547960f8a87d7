"""A table of runs: how several become one, what is refused, and the folder it is kept in. Counts, never rates.

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

from sweep import looks
from sweep.columns import check_columns, check_record
from sweep.config import flat as flat  # how the config column of a table is read
from sweep.data.domain import BAD_FORMAT
from sweep.disk import write_atomically
from sweep.git import GitRefuses as GitRefuses  # as the next two: handed on to the analysis
from sweep.git import git_said as git_said
from sweep.places import check_writable as check_writable
from sweep.places import named as named

TABLE = ("runs.parquet", "outcomes.parquet", "provenance.json")
MEASURED = ("likelihoods", "values", "estimates")  # kinds of stages whose rows stand in a file of their own
MALFORMED = "n_malformed"  # greedy solutions; missing of an evaluation that was made before they were counted


@dataclass(frozen=True)
class Results:
    """One table: runs, a row a run; outcomes, a row a (run, problem); provenance, how it came to be; measured, what was
    measured beside test errors, by kind."""

    runs: pd.DataFrame
    outcomes: pd.DataFrame
    provenance: dict[str, Any]
    measured: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def merged(tables: Sequence[Results], *, is_mixed_code_allowed: bool = False) -> Results:
    """One table of several: a sweep that was run in parts, on two clusters or seed by seed.

    A run that several tables hold is kept once. The record is the first table's, with the commands of all and the
    latest date.

    Raises:
        ValueError: two runs are the same (arm, n_problems, seed), were made by different code, or were not
            tested on the same problems.
    """
    runs = pd.concat([table.runs for table in tables]).drop_duplicates("run", ignore_index=True)
    refuse_duplicates(runs)
    if not is_mixed_code_allowed:
        refuse_mixed(runs)
    outcomes = pd.concat([table.outcomes for table in tables])
    outcomes = outcomes.drop_duplicates(["run", "problem_id"], ignore_index=True)
    ids = {str(run): frozenset(rows) for run, rows in outcomes.groupby("run").problem_id}
    of = dict(zip(runs.run, runs.replicate if "replicate" in runs else [0] * len(runs), strict=True))
    first: dict[Any, str] = {}
    for run, tested in ids.items():
        other = first.setdefault(of[run], run)
        if tested != ids[other]:
            refuse_other_problems(run, other, tested ^ ids[other])
    check_counts(runs, outcomes)
    if not all("created" in table.provenance for table in tables):
        raise ValueError("a table's provenance.json has no date (created), as `collect` writes it; collect it again")
    created = max(table.provenance["created"] for table in tables)
    dated = [table.provenance["first_run"] for table in tables if "first_run" in table.provenance]
    more = {"first_run": min(dated)} if len(dated) == len(tables) else {}
    commits = sorted({commit for table in tables for commit in table.provenance.get("commits", ())})
    commands = list(dict.fromkeys(line for table in tables for line in table.provenance.get("commands", ())))
    more |= {"created": created, "commands": commands, "commits": commits, **_looks_merged(tables)}
    return Results(runs, outcomes, {**tables[0].provenance, **more}, _measured_merged(tables))


def _measured_merged(tables: Sequence[Results]) -> dict[str, pd.DataFrame]:
    """Rows of a stage that several tables hold are kept once."""
    found: dict[str, list[pd.DataFrame]] = {}
    for kind in MEASURED:
        seen = set[str]()
        for rows in (table.measured[kind] for table in tables if kind in table.measured):
            found.setdefault(kind, []).append(rows[~rows["stage"].isin(seen)])
            seen |= set(rows["stage"])
    return {kind: pd.concat(frames, ignore_index=True) for kind, frames in found.items()}


def _looks_merged(tables: Sequence[Results]) -> dict[str, Any]:
    """Nothing where no table counted; runs of a table that did not are unrecorded beside those of one that did."""
    told = [table.provenance.get("test_looks") for table in tables]
    if not any(told):
        return {}
    of = zip(tables, told, strict=True)
    return {"test_looks": looks.merged([one or looks.counted(None, set(table.runs.run)) for table, one in of])}


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
        counts = table.groupby("code").run.agg(["count", "first"])
        told = "; ".join(f"{code}: {row['count']} runs, e.g. {row['first']}" for code, row in counts.iterrows())
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


def _is_table(folder: Path) -> bool:
    try:
        record = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and {"created", "versions"} <= record.keys()


def write_table(table: Results, folder: Path, provenance: Mapping[str, Any]) -> None:
    """Write runs, outcomes and provenance, each whole or not at all; an older table in the folder is replaced.

    Raises:
        ValueError: a file of that name is there that is no part of a table; nothing is written.
    """
    check_out(folder)
    told = json.dumps({**table.provenance, **provenance}, indent=1, sort_keys=True, allow_nan=False)
    folder.mkdir(parents=True, exist_ok=True)
    for name in {*MEASURED} - {*table.measured}:
        (folder / f"{name}.parquet").unlink(missing_ok=True)  # of the table that is replaced
    measured = [(f"{name}.parquet", frame) for name, frame in table.measured.items()]
    for name, frame in (("runs.parquet", table.runs), ("outcomes.parquet", table.outcomes), *measured):
        part = folder / f".{name}.{uuid.uuid4().hex[:8]}"
        frame.to_parquet(part, index=False)
        os.replace(part, folder / name)
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


def some_of(keys: Any, n_shown: int = 5) -> str:
    keys = list(keys)
    return ", ".join(map(str, keys[:n_shown])) + (f" and {len(keys) - n_shown} more" if len(keys) > n_shown else "")
