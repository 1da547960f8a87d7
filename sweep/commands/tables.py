"""`python -m sweep collect`, `merge` and `compare`: finished runs as a table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sweep.arms import BASE_ARM
from sweep.artifacts import Stage, Store
from sweep.commands.options import usage
from sweep.commands.words import CONF, Line, exec_of, plan_of
from sweep.config import Exec, Exp
from sweep.launchers.code import git
from sweep.launchers.todo import refuse_corrupted
from sweep.merging import merged
from sweep.plan import Plan
from sweep.probed import measured
from sweep.results import COMPARED, collect, comparison
from sweep.stages import evaluate_base
from sweep.table import (
    Results,
    check_out,
    is_base,
    part_told,
    read_table,
    runs_told,
    some_of,
    told_of_replaced,
    write_table,
)
from sweep.tracking.wandb_runs import fetch


def collect_table(line: Line) -> int:
    options, overrides = line.options, line.overrides
    kind, project = _origin(options)
    if options.out:
        check_out(Path(options.out))
    the_plan, exec = None, Exec(sweep_name=project.split("/")[-1])
    runs: list[tuple[Exp | None, Stage]] = []
    probes: list[tuple[Exp, Stage]] = []
    replicates: dict[str, int] | None = None
    if kind == "store" or overrides:
        the_plan, exec = plan_of(overrides, line.files)
        runs = [(run.leaf.exp, run.evaluate) for run in the_plan.runs]
        runs += [(None, stage) for stage in the_plan.base_evaluations]
        probes = [(leaf.exp, stage) for leaf, stage in the_plan.probes if kind == "store"]  # W&B is sent none of them
        of_run = [(run.leaf.exp.replicate, (run.evaluate, evaluate_base(run.leaf.exp))) for run in the_plan.runs]
        replicates = {stage.key: replicate for replicate, ends in of_run for stage in ends}
    folder = Path(options.out or f"outputs/{exec.sweep_name}/table")
    check_out(folder)
    not_built: dict[str, str] = {}
    with TemporaryDirectory() as scratch:
        store = Store(exec.store if kind == "store" else scratch)
        if kind == "wandb":
            stages = fetch(project, store, [stage.key for _, stage in runs] or None, _progress)
            runs = runs or [(None, stage) for stage in stages]
        elif the_plan is not None:
            refuse_corrupted(the_plan, store, "no table is made of these:")
            if options.finished:
                runs, not_built = _finished(the_plan, runs, store)
        table = collect(
            runs, store, by=options.by, replicates=replicates, is_mixed_code_allowed=options.allow_mixed_code
        )
        rows = measured(probes, store)
    _tell(table, list(not_built.values()))
    record = _provenance(line.words, overrides, the_plan, exec) | ({"not_built": not_built} if not_built else {})
    _write(replace(table, measured=rows), folder, record)
    return 0


def _origin(options: argparse.Namespace) -> tuple[str, str]:
    """`store` or `wandb`, and the project there."""
    kind, project = options.origin or ("store", "")
    if kind not in ("store", "wandb"):
        raise ValueError(f"--from {kind}: expected --from wandb ENTITY/PROJECT")
    if kind == "wandb" and options.finished:
        raise ValueError("--finished: of the store on this machine alone; without overrides --from takes all there are")
    return kind, project


def _write(table: Results, folder: Path, record: Mapping[str, Any]) -> None:
    """Write the table and say what it holds, and what of another one it takes the place of."""
    if replaced := told_of_replaced(table, folder, record):
        print(f"note: {replaced}", file=sys.stderr)
    write_table(table, folder, record)
    print(f"{runs_told(is_base(table.runs))} x {int(table.runs.n_test.iloc[0])} problems in {folder}")


def _tell(table: Results, not_built: Sequence[str]) -> None:
    """What of the table a reader should know before it is believed."""
    there = is_base(table.runs)
    if unhashed := table.provenance.get("unhashed_records"):
        part = part_told(is_base(table.runs[table.runs.run.isin(unhashed)]), there)
        print(
            f"note: {part} were made before manifests had hashes, so an edited "
            "count is found by their outcomes alone; the table's provenance.json names them",
            file=sys.stderr,
        )
    if not_built:
        left = [place == BASE_ARM for place in not_built]
        part = part_told(left, [*there, *left])
        print(f"note: left out, for they are not built: {part}, {some_of(not_built)}", file=sys.stderr)


def _finished(
    the_plan: Plan, runs: list[tuple[Exp | None, Stage]], store: Store
) -> tuple[list[tuple[Exp | None, Stage]], dict[str, str]]:
    """The runs that are built, and the others' keys with their place in the grid; all of them where none is built."""
    of_all = set[str].intersection(*(set(run.leaf.overrides) for run in the_plan.runs))
    places = {
        run.evaluate.key: " ".join(word for word in run.leaf.overrides if word not in of_all) for run in the_plan.runs
    }
    not_built = {stage.key: places.get(stage.key, BASE_ARM) for _, stage in runs if store.manifest(stage.key) is None}
    if len(not_built) == len(runs):
        return runs, {}
    return [run for run in runs if run[1].key not in not_built], not_built


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def merge_tables(line: Line) -> int:
    options = line.options
    if len(line.names) < 2:
        found = ", ".join(line.names) or "none"
        raise ValueError(f"merge makes one table of two or more that `collect` wrote, found {found}; {usage('merge')}")
    if not (options.out or line.overrides):
        where = "--out FOLDER, or exec.sweep_name=NAME for outputs/NAME/table"
        raise ValueError(f"merge needs a place for the new table: give {where}; {usage('merge')}")
    out = Path(options.out or f"outputs/{exec_of(line).sweep_name}/table")
    check_out(out)
    table = merged([read_table(folder) for folder in line.names], is_mixed_code_allowed=options.allow_mixed_code)
    _write(table, out, {})
    return 0


def compare_runs(line: Line) -> int:
    the_plan, exec = plan_of(line.overrides, line.files)
    store = Store(exec.store)
    refuse_corrupted(the_plan, store, "nothing is compared of these:")
    table = comparison([(run.leaf.overrides, run.evaluate) for run in the_plan.runs], store)
    swept = [c for c in map(str, table) if table[c].nunique() > 1 and c not in COMPARED]
    shown = table[[*swept, *COMPARED]]
    if line.options.json:
        print(json.dumps(shown.to_dict("records")))
        return 0
    print(shown.sort_values("n_correct", ascending=False).round({"entropy": 2}).to_string(index=False))
    return 0


def _provenance(words: Sequence[str], overrides: Sequence[str], the_plan: Plan | None, exec: Exec) -> dict[str, Any]:
    tuning = Path(CONF) / "tuning.json"
    record = json.loads(tuning.read_text(encoding="utf-8")) if tuning.exists() else {}
    said = record.get(exec.sweep_name, {})
    said = record[said] if isinstance(said, str) else said  # a name: tuned as that sweep was
    return {
        "commands": [
            *([f"python -m sweep -m {' '.join(overrides)}"] if the_plan else []),
            f"python -m sweep collect {' '.join(words)}",
        ],
        "git_commit": git().get("commit"),
        "is_dirty": git().get("is_dirty", False),
        "experiment": exec.sweep_name,
        "config": asdict(the_plan.runs[0].leaf.exp) if the_plan else {},
        "tuning": said.get("tuning", []),
    }
