"""From manifests to one table: counts and per-problem outcomes, never rates.

A run is named by the key of its evaluation. Rows come from manifests alone: nothing is read from a
log, a folder name or a tracker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from typing import Any

import pandas as pd

from sweep import looks
from sweep.arms import BASE_ARM, usual_name
from sweep.artifacts import Manifest, Stage, Store
from sweep.config import Exp, flat
from sweep.table import (
    MALFORMED,
    Results,
    check_counts,
    joined,
    part_told,
    refuse_duplicates,
    refuse_mixed,
    refuse_other_problems,
    some_of,
)
from sweep.terminal.progress import counted
from sweep.terminal.words import nearest

COMPARED = ("n_test", "n_correct", "n_correct_sampled", "n_sampled", "n_malformed", "entropy")
EVALUATED = ("n_test", "n_correct", "n_correct_sampled", "n_sampled", "temperature", "entropy")
NOT_COUNTED = ("base", "evaluate")  # the base model is a given, as a downloaded one; evaluation is no training


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
    manifests = _manifests([stage for _, stage in runs], store)
    rows = [_run_row(exp, stage, manifests[stage.key], store) for exp, stage in counted(runs, "reading runs")]
    table = pd.DataFrame(rows).astype({MALFORMED: "Int64"})
    if replicates is not None:
        table.insert(list(table.columns).index("seed"), "replicate", table.run.map(replicates))
    if by:
        table["arm"] = _split_by(by, table)
    refuse_duplicates(table)
    if not is_mixed_code_allowed:
        refuse_mixed(table)
    outcomes = _outcomes(table, store)
    check_counts(table, outcomes)
    return Results(table, outcomes, _record(table, manifests, store))


def _manifests(evaluations: Sequence[Stage], store: Store) -> dict[str, Manifest]:
    is_base = {stage.key: stage.parents["policy"].kind == "base" for stage in evaluations}
    found = {key: store.manifest(key) for key in counted(is_base, "reading the store")}
    if missing := {stage.key: stage for stage in evaluations if found[stage.key] is None}:
        part = part_told([is_base[key] for key in missing], list(is_base.values()))
        told = (f"{key} ({_place(stage)})" for key, stage in missing.items())
        raise ValueError(
            f"not built: {part}, {some_of(told)}; give the sweep "
            "command again to build them, collect a smaller grid, or leave them out with --finished"
        )
    return {key: manifest for key, manifest in found.items() if manifest is not None}


def _record(table: pd.DataFrame, manifests: Mapping[str, Manifest], store: Store) -> dict[str, Any]:
    """How the table came to be; dated by the last evaluation, so that collecting the same runs again gives the same."""
    made = [manifest.provenance for manifest in manifests.values()]
    record: dict[str, Any] = {
        "versions": joined(m["versions"] for m in made), "created": max(m["ended"] for m in made),
        "first_run": min(m["started"] for m in made), "commits": sorted({_commit(m) for m in made}),
    }  # fmt: skip
    on_test = set(table.run[table.split != "validation"])
    record["test_looks"] = looks.counted(looks.looks_of(store) if on_test else None, on_test)
    if unhashed := [key for key, manifest in manifests.items() if not manifest.record]:
        record["unhashed_records"] = sorted(unhashed)  # made before manifests had hashes: an edit would not be seen
    return record


def _commit(provenance: Mapping[str, Any]) -> str:
    """The commit that ran, as its manifest tells; what git could not tell is said."""
    state = provenance.get("git") or {}
    return f"{state.get('commit') or 'unknown'}{' with changes' if state.get('is_dirty') else ''}"


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
        given = dict(line.split("=", 1) for line in overrides if "=" in line)  # `~arm` takes a value away
        rows.append({**given, **counts})
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
            f"{stage.key}: what its upstream stages cost is gone with {some_of(absent)}; give the sweep command again "
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


def _place(evaluation: Stage) -> str:
    """A run as a person calls it; the base model has no place in the grid."""
    point = point_of(evaluation)
    arm: str = point["arm"]
    return arm if arm == BASE_ARM else f"{arm} n_problems={point['n_problems']} seed={point['seed']}"


def split_of(stage: Stage) -> str | None:
    """The split whose problems a stage puts to a policy to be judged by; None: it looks at train problems alone."""
    split: str | None = stage.identity.get("evaluation", stage.identity).get("split")
    return split


def _known(stage: Stage) -> dict[str, Any]:
    return {s.kind: s.identity for s in [*stage.ancestors(), stage]}


def _split_by(setting: str, table: pd.DataFrame) -> pd.Series:
    """Each run's arm, with the setting's value where its arm has several."""
    configs = [flat(json.loads(text)) for text in table.config]
    is_run = table.arm != BASE_ARM
    known = sorted(set().union(*configs))
    if setting not in known:
        raise ValueError(f"--by {setting}: no such setting{nearest(setting, known)}; the runs have {', '.join(known)}")
    values = pd.Series([json.dumps(config.get(setting)) for config in configs], index=table.index)
    is_split = is_run & (values.groupby(table.arm).transform("nunique") > 1)
    return table.arm.where(~is_split, table.arm + f", {setting.split('.')[-1]}=" + values)


def _outcomes(table: pd.DataFrame, store: Store) -> pd.DataFrame:
    frames: list[pd.DataFrame] = []
    tested: dict[Any, tuple[str, set[str]]] = {}  # by replicate
    unit = ["replicate"] if "replicate" in table else []
    columns = ["run", "arm", "source", "method", "n_problems", *unit, "seed"]
    for row in counted(table[columns].to_dict("records"), "reading outcomes"):
        run = str(row["run"])
        outcomes = pd.read_parquet(BytesIO(store.read(run, "outcomes.parquet"))).drop(columns="solution")
        ids = set(outcomes.problem_id)
        if len(ids) != len(outcomes):
            twice = outcomes.problem_id[outcomes.problem_id.duplicated()]
            raise ValueError(f"{run}: has two outcomes for {some_of(twice)}; build it again")
        other, known = tested.setdefault(row.get("replicate", 0), (run, ids))
        if ids != known:
            refuse_other_problems(run, other, ids ^ known)
        frames.append(outcomes.assign(**{name: row[name] for name in columns})[columns + list(outcomes.columns)])
    return pd.concat(frames, ignore_index=True)
