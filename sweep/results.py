"""From manifests to one table: counts and per-problem outcomes, never rates.

    TABLE/runs.parquet        a row a run: its grid point, counts, and what it cost
    TABLE/outcomes.parquet    a row a (run, problem)
    TABLE/provenance.json     commands, versions, configuration, what was tuned on what, looks at test

A run is named by the key of its evaluation. Rows come from manifests alone: nothing is read from a
log, a folder name or a tracker.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from sweep import looks
from sweep.arms import BASE_ARM, usual_name
from sweep.artifacts import Manifest, Stage, Store, write_atomically
from sweep.columns import check_columns, check_record
from sweep.config import Exp
from sweep.config import flat as flat  # how the config column of a table is read
from sweep.data.domain import BAD_FORMAT
from sweep.git import GitRefuses as GitRefuses  # as the next two: handed on to the analysis
from sweep.git import git_said as git_said
from sweep.places import check_writable as check_writable
from sweep.places import named as named

TABLE = ("runs.parquet", "outcomes.parquet", "provenance.json")
COMPARED = ("n_test", "n_correct", "n_correct_sampled", "n_sampled", "n_malformed", "entropy")
EVALUATED = ("n_test", "n_correct", "n_correct_sampled", "n_sampled", "temperature", "entropy")
MALFORMED = "n_malformed"  # greedy solutions; missing of an evaluation that was made before they were counted
NOT_COUNTED = ("base", "evaluate")  # the base model is a given, as a downloaded one; evaluation is no training


@dataclass(frozen=True)
class Results:
    """One table: runs, a row a run; outcomes, a row a (run, problem); provenance, how it came to be."""

    runs: pd.DataFrame
    outcomes: pd.DataFrame
    provenance: dict[str, Any]


def collect(
    runs: Sequence[tuple[Exp | None, Stage]],
    store: Store,
    *,
    by: str | None = None,
    replicates: Mapping[str, int] | None = None,
    is_mixed_code_allowed: bool = False,
) -> Results:
    """The table of finished runs.

    Args:
        runs: (identity, evaluate stage) of each run; identity None for the base model's own evaluation, and where no
            grid was composed: the table's config is then what its stages know of it.
        by: a setting (source.max_solutions_per_problem); an arm that was run with several values of it becomes as
            many arms, named by the value.
        replicates: which replicate each run belongs to, by its key; None where no grid was composed. Problems are the
            same within a replicate: another one has its own.
    Raises:
        ValueError: a run is not built, two rows are the same (arm, n_problems, seed), the runs were made
            by different code, they were not tested on the same problems, or a run's counts are not those of its
            outcomes; the runs are named.
    """
    found = {stage.key: store.manifest(stage.key) for _, stage in runs}
    missing = [stage for _, stage in runs if found[stage.key] is None]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(runs)} runs are not built: {_names(s.key for s in missing)}; give the sweep "
            "command again to build them, or collect a smaller grid"
        )
    manifests = {key: manifest for key, manifest in found.items() if manifest is not None}
    rows = [_run_row(exp, stage, manifests[stage.key], store) for exp, stage in runs]
    table = pd.DataFrame(rows).astype({MALFORMED: "Int64"})
    if replicates is not None:
        table.insert(list(table.columns).index("seed"), "replicate", table.run.map(replicates))
    if by:
        table["arm"] = _split_by(by, table)
    _refuse_duplicates(table)
    if not is_mixed_code_allowed:
        _refuse_mixed(table)
    outcomes = _outcomes(table, store)
    check_counts(table, outcomes)
    made = [manifest.provenance for manifest in manifests.values()]
    # dated by the last evaluation, so that collecting the same runs again gives the same table
    record: dict[str, Any] = {
        "versions": made[0]["versions"], "created": max(m["ended"] for m in made),
        "first_run": min(m["started"] for m in made), "commits": sorted({_commit(m) for m in made}),
    }  # fmt: skip
    on_test = set(table.run[table.split != "validation"])
    record["test_looks"] = looks.counted(looks.looks_of(store) if on_test else None, on_test)
    if unhashed := [key for key, manifest in manifests.items() if not manifest.record]:
        record["unhashed_records"] = sorted(unhashed)  # made before manifests had hashes: an edit would not be seen
    return Results(table, outcomes, record)


def _commit(provenance: Mapping[str, Any]) -> str:
    """The commit that ran, as its manifest tells; what git could not tell is said."""
    state = provenance.get("git") or {}
    return f"{state.get('commit') or 'unknown'}{' with changes' if state.get('is_dirty') else ''}"


def merged(tables: Sequence[Results], *, is_mixed_code_allowed: bool = False) -> Results:
    """One table of several: a sweep that was run in parts, on two clusters or seed by seed.

    A run that several tables hold is kept once. The record is the first table's, with the commands of all and the
    latest date.

    Raises:
        ValueError: two runs are the same (arm, n_problems, seed), were made by different code, or were not
            tested on the same problems.
    """
    runs = pd.concat([table.runs for table in tables], ignore_index=True).drop_duplicates("run", ignore_index=True)
    _refuse_duplicates(runs)
    if not is_mixed_code_allowed:
        _refuse_mixed(runs)
    outcomes = pd.concat([table.outcomes for table in tables], ignore_index=True)
    outcomes = outcomes.drop_duplicates(["run", "problem_id"], ignore_index=True)
    ids = {str(run): frozenset(rows) for run, rows in outcomes.groupby("run").problem_id}
    of = dict(zip(runs.run, runs.replicate if "replicate" in runs else [0] * len(runs), strict=True))
    first: dict[Any, str] = {}
    for run, tested in ids.items():
        other = first.setdefault(of[run], run)
        if tested != ids[other]:
            _refuse_other_problems(run, other, tested ^ ids[other])
    check_counts(runs, outcomes)
    if not all("created" in table.provenance for table in tables):
        raise ValueError("a table's provenance.json has no date (created), as `collect` writes it; collect it again")
    created = max(table.provenance["created"] for table in tables)
    dated = [table.provenance["first_run"] for table in tables if "first_run" in table.provenance]
    more = {"first_run": min(dated)} if len(dated) == len(tables) else {}
    commits = sorted({commit for table in tables for commit in table.provenance.get("commits", ())})
    commands = list(dict.fromkeys(line for table in tables for line in table.provenance.get("commands", ())))
    more |= {"created": created, "commands": commands, "commits": commits, **_looks_merged(tables)}
    return Results(runs, outcomes, {**tables[0].provenance, **more})


def _looks_merged(tables: Sequence[Results]) -> dict[str, Any]:
    """Nothing where no table counted; runs of a table that did not are unrecorded beside those of one that did."""
    told = [table.provenance.get("test_looks") for table in tables]
    if not any(told):
        return {}
    of = zip(tables, told, strict=True)
    return {"test_looks": looks.merged([one or looks.counted(None, set(table.runs.run)) for table, one in of])}


def comparison(runs: Sequence[tuple[Sequence[str], Stage]], store: Store) -> pd.DataFrame:
    """Counts and entropy of validation runs that differ in any setting: what hyper-parameters are chosen by.

    Args:
        runs: (overrides, evaluate stage) of each run.
    Raises:
        ValueError: a run is not built, or was evaluated on test problems, which nothing is chosen on.
    """
    rows = []
    for overrides, stage in runs:
        facts = check_validation(stage, store).facts
        counts = {name: facts[name] for name in COMPARED}
        rows.append({**dict(line.split("=", 1) for line in overrides), **counts})
    return pd.DataFrame(rows)


def check_validation(evaluation: Stage, store: Store) -> Manifest:
    """The record of a run on validation problems; ValueError where it is not built, or of another split."""
    split = evaluation.identity["evaluation"]["split"]
    if split != "validation":
        raise ValueError(
            f"{evaluation.key} is evaluated on split={split}: settings are chosen on validation problems alone; "
            "add evaluation=validation to the command that runs and compares them"
        )
    return _built(evaluation.key, store)


def _built(key: str, store: Store) -> Manifest:
    """What is read of it is its record, which has hashes of its own: no weight is looked into."""
    manifest = store.manifest(key)
    if manifest is None:
        raise ValueError(f"run {key} is not built; give the sweep command again to build it")
    return manifest


def _run_row(exp: Exp | None, stage: Stage, own: Manifest, store: Store) -> dict[str, Any]:
    policy = _built(stage.parents["policy"].key, store)
    facts, evaluation = own.facts, stage.identity["evaluation"]
    counted = {s.key: store.manifest(s.key) for s in stage.ancestors() if s.kind not in NOT_COUNTED}
    upstream = [manifest for manifest in counted.values() if manifest is not None]
    absent = [key for key, manifest in counted.items() if manifest is None]
    if absent:
        raise ValueError(
            f"{stage.key}: what its upstream stages cost is gone with {_names(absent)}; give the sweep command again "
            "with exec.rebuild_corrupted=true, which also builds what no unfinished run needs"
        )
    point, is_base = point_of(stage), policy.kind == "base"
    total = {f"total_{name}": sum(getattr(m.cost, name) for m in upstream) for name in asdict(policy.cost)}
    return {
        "run": stage.key,
        **point,
        "split": evaluation["split"],
        **{name: facts[name] for name in EVALUATED},
        MALFORMED: facts.get(MALFORMED),
        **({name: 0 for name in asdict(policy.cost)} if is_base else asdict(policy.cost)),
        **total,
        "n_rows": policy.facts.get("n_rows", policy.facts.get("n_pairs", 0)),
        "loss": policy.facts.get("loss"),  # of the last batch; missing of what was trained before it was kept
        "diagnosis": json.dumps(facts.get("diagnosis", {}), sort_keys=True),
        "code": "+".join(sorted({m.provenance["code"] for m in [*upstream, own]})),
        "config": json.dumps(asdict(exp) if exp is not None else _known(stage), sort_keys=True),
    }


def point_of(evaluation: Stage) -> dict[str, Any]:
    """Where in the grid a run stands; the policy of plain SFT is the sft stage itself."""
    policy = evaluation.parents["policy"]
    if "matched" in evaluation.parents:
        other = point_of(evaluation.parents["matched"])
        return {**other, "arm": usual_name(other["source"], other["method"], is_entropy_matched=True)}
    if policy.kind == "base":
        return {"arm": BASE_ARM, "source": "none", "method": "none", "n_problems": 0, "seed": 0}
    names = {node: policy.identity[node]["name"] for node in ("source", "method") if policy.kind == "train"}
    at = {name: policy.identity[name] for name in ("n_problems", "seed")}
    pair = {"source": "teacher", "method": "sft", **names}
    return {"arm": usual_name(**pair), **pair, **at}


def _known(stage: Stage) -> dict[str, Any]:
    return {s.kind: s.identity for s in [*stage.ancestors(), stage]}


def _split_by(setting: str, table: pd.DataFrame) -> pd.Series:
    """Each run's arm, with the setting's value where its arm has several."""
    configs = [flat(json.loads(text)) for text in table.config]
    is_run = table.arm != BASE_ARM
    known = sorted(set().union(*configs))
    if setting not in known:
        raise ValueError(f"--by {setting}: no such setting; the runs have {', '.join(known)}")
    values = pd.Series([json.dumps(config.get(setting)) for config in configs], index=table.index)
    is_split = is_run & (values.groupby(table.arm).transform("nunique") > 1)
    return table.arm.where(~is_split, table.arm + f", {setting.split('.')[-1]}=" + values)


def _refuse_duplicates(table: pd.DataFrame) -> None:
    if "replicate" in table and table.replicate.isna().any():
        raise ValueError(
            f"runs {_names(table.run[table.replicate.isna()])} do not say their replicate and others do; collect all "
            "of them with this version"
        )
    point = ["arm", "n_problems", *(["replicate"] if "replicate" in table else []), "seed", "split"]
    for cell, rows in table.groupby(point):
        if len(rows) > 1:
            first, second = (flat(json.loads(text)) for text in rows.config[:2])
            differ = sorted(k for k in {*first, *second} if first.get(k) != second.get(k))
            raise ValueError(
                f"runs {_names(rows.run)} are all {dict(zip(point, cell, strict=True))} and differ in "
                f"{', '.join(differ) or 'nothing'}; the table needs one run a cell: collect them one setting at a "
                "time, or name the arms by a setting: --by source.max_solutions_per_problem"
            )


def _refuse_mixed(table: pd.DataFrame) -> None:
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


def _outcomes(table: pd.DataFrame, store: Store) -> pd.DataFrame:
    frames: list[pd.DataFrame] = []
    tested: dict[Any, tuple[str, set[str]]] = {}  # by replicate
    unit = ["replicate"] if "replicate" in table else []
    columns = ["run", "arm", "source", "method", "n_problems", *unit, "seed"]
    for row in table[columns].to_dict("records"):
        run = str(row["run"])
        outcomes = pd.read_parquet(BytesIO(store.read(run, "outcomes.parquet"))).drop(columns="solution")
        ids = set(outcomes.problem_id)
        if len(ids) != len(outcomes):
            twice = outcomes.problem_id[outcomes.problem_id.duplicated()]
            raise ValueError(f"{run}: has two outcomes for {_names(twice)}; build it again")
        other, known = tested.setdefault(row.get("replicate", 0), (run, ids))
        if ids != known:
            _refuse_other_problems(run, other, ids ^ known)
        frames.append(outcomes.assign(**{name: row[name] for name in columns})[columns + list(outcomes.columns)])
    return pd.concat(frames, ignore_index=True)


def _refuse_other_problems(run: str, other: str, problem_ids: Iterable[str]) -> None:
    raise ValueError(
        f"{run} was tested on other problems than {other}, e.g. {_names(sorted(problem_ids))}; "
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
    for name, frame in (("runs.parquet", table.runs), ("outcomes.parquet", table.outcomes)):
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
        record = json.loads((folder / TABLE[2]).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # Arrow's errors among them
        raise ValueError(f"{folder}: not readable as a table ({error}); collect it again") from error
    check_columns(runs, outcomes, str(folder))
    check_record(record, f"{folder}/{TABLE[2]}")
    return Results(runs, outcomes, record)


def n_malformed(runs: pd.DataFrame) -> pd.Series | None:
    """Malformed greedy solutions of each run, or those with a step that cannot be read where not all runs counted them.

    None where the runs say nothing of either: natural text has no steps that a domain could judge.
    """
    if MALFORMED in runs and runs[MALFORMED].notna().all():
        return runs[MALFORMED].astype(int)
    if "diagnosis" not in runs or runs.diagnosis.eq("{}").all():
        return None
    return pd.Series([json.loads(text).get(BAD_FORMAT, 0) for text in runs.diagnosis], index=runs.index)


def _names(keys: Any, n_shown: int = 5) -> str:
    keys = list(keys)
    return ", ".join(map(str, keys[:n_shown])) + (f" and {len(keys) - n_shown} more" if len(keys) > n_shown else "")
