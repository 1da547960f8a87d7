"""Several tables of one sweep as one: what they say of a run must be the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sweep import looks
from sweep.table import (
    COUNTS,
    MEASURED,
    POINT,
    Results,
    check_counts,
    joined,
    refuse_duplicates,
    refuse_mixed,
    refuse_other_problems,
)


def merged(tables: Sequence[Results], *, is_mixed_code_allowed: bool = False) -> Results:
    """One table of several: a sweep that was run in parts, on two clusters or seed by seed.

    A run that several tables hold is kept once. The record is the first table's, with the commands, versions and
    commits of all and the latest date.

    Raises:
        ValueError: two runs are the same (arm, n_problems, seed), were made by different code, or were not
            tested on the same problems; or a run that several tables hold is not the same in them.
    """
    for table in tables:
        check_counts(table.runs, table.outcomes)
    _refuse_two_accounts(tables)
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
    if not all("created" in table.provenance for table in tables):
        raise ValueError("a table's provenance.json has no date (created), as `collect` writes it; collect it again")
    created = max(table.provenance["created"] for table in tables)
    dated = [table.provenance["first_run"] for table in tables if "first_run" in table.provenance]
    more = {"first_run": min(dated)} if len(dated) == len(tables) else {}
    commits = sorted({commit for table in tables for commit in table.provenance.get("commits", ())})
    commands = list(dict.fromkeys(line for table in tables for line in table.provenance.get("commands", ())))
    more |= {"created": created, "commands": commands, "commits": commits, **_looks_merged(tables)}
    return Results(runs, outcomes, {**tables[0].provenance, **more, **_told_by_all(tables)}, _measured_merged(tables))


def _refuse_two_accounts(tables: Sequence[Results]) -> None:
    """A run that several tables hold is one run: at one point of the grid, with one outcome of each problem."""
    runs = pd.concat([table.runs for table in tables])
    told = [name for name in (*POINT, *COUNTS) if name in runs]
    n_values = runs.groupby("run")[told].nunique()  # a replicate that an older table does not say is no other
    if (odd := n_values.gt(1).any(axis=1)).any():
        run = str(n_values.index[odd][0])
        name = next(name for name in told if runs.loc[runs.run == run, name].nunique() > 1)
        values = " and ".join(map(str, dict.fromkeys(runs[name][runs.run == run].dropna())))
        raise _two_accounts(f"run {run} has {name}={values}")
    outcomes = pd.concat([table.outcomes for table in tables])[["run", "problem_id", "is_correct", *COUNTS[2:]]]
    outcomes = outcomes.drop_duplicates()
    if (again := outcomes.duplicated(["run", "problem_id"])).any():
        one = outcomes[again].iloc[0]
        raise _two_accounts(f"run {one.run} has two outcomes of problem {one.problem_id}")


def _two_accounts(said: str) -> ValueError:
    return ValueError(
        f"{said} in these tables, and a run is one run: which of them is true is not known; collect them anew, each "
        "with the same --by and replicates, or leave that run out of one of the grids"
    )


def _told_by_all(tables: Sequence[Results]) -> dict[str, Any]:
    """What the record says of any of the runs, so that no table's is lost behind the first's."""
    records = [table.provenance for table in tables]
    told: dict[str, Any] = {"versions": joined(record.get("versions", {}) for record in records)}
    if any("is_dirty" in record for record in records):
        told["is_dirty"] = any(record.get("is_dirty") for record in records)
    for name in ("git_commit", "experiment"):
        if said := list(dict.fromkeys(str(record[name]) for record in records if record.get(name))):
            told[name] = " and ".join(said)
    if tuning := [entry for record in records for entry in record.get("tuning", ())]:
        told["tuning"] = [entry for place, entry in enumerate(tuning) if entry not in tuning[:place]]
    if unhashed := sorted({key for record in records for key in record.get("unhashed_records", ())}):
        told["unhashed_records"] = unhashed
    built = {run for table in tables for run in table.runs.run}
    not_built = {key: words for record in records for key, words in record.get("not_built", {}).items()}
    if any("not_built" in record for record in records):
        told["not_built"] = {key: words for key, words in not_built.items() if key not in built}
    return told


def _measured_merged(tables: Sequence[Results]) -> dict[str, pd.DataFrame]:
    """Rows of a stage that several tables hold are kept once."""
    found: dict[str, list[pd.DataFrame]] = {}
    for kind in MEASURED:
        seen: dict[str, pd.DataFrame] = {}
        for rows in (table.measured[kind] for table in tables if kind in table.measured):
            by_stage = {str(stage): of.reset_index(drop=True) for stage, of in rows.groupby("stage", sort=False)}
            for stage in by_stage.keys() & seen.keys():
                if not by_stage[stage].equals(seen[stage]):
                    raise _two_accounts(f"stage {stage} has two sets of rows in {kind}.parquet")
            found.setdefault(kind, []).append(rows[~rows["stage"].isin(list(seen))])
            seen |= by_stage
    return {kind: pd.concat(frames, ignore_index=True) for kind, frames in found.items()}


def _looks_merged(tables: Sequence[Results]) -> dict[str, Any]:
    """Nothing where no table counted; runs of a table that did not are unrecorded beside those of one that did."""
    told = [table.provenance.get("test_looks") for table in tables]
    if not any(told):
        return {}
    of = zip(tables, told, strict=True)
    return {"test_looks": looks.merged([one or looks.counted(None, set(table.runs.run)) for table, one in of])}
