"""`python -m sweep export`: the grid's finished evaluations as lm-evaluation-harness logs them."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pandas as pd

from sweep import lm_eval
from sweep.artifacts import Stage, Store
from sweep.bench import domain_of
from sweep.commands.words import Line, plan_of
from sweep.config import Exp
from sweep.disk import write_atomically
from sweep.launchers.todo import refuse_corrupted
from sweep.places import check_writable
from sweep.results import point_of
from sweep.terminal.words import count


def export_runs(line: Line) -> int:
    the_plan, exec = plan_of(line.overrides, line.files)
    out, store = Path(line.options.out or f"outputs/{exec.sweep_name}/lm_eval"), Store(exec.store)
    check_writable(out, "--out")
    refuse_corrupted(the_plan, store, "nothing is exported of these:")
    runs: dict[str, tuple[str, Stage]] = {}
    for run in the_plan.runs:
        runs.setdefault(run.evaluate.key, (model_name(run.evaluate, run.leaf.exp), run.evaluate))
    built = {key: named for key, named in runs.items() if store.manifest(key) is not None}
    if not built:
        raise ValueError(f"none of the {len(runs)} runs is built in {store.root}: give the sweep's own command first")
    refuse_one_name([name for name, _ in built.values()])
    for name, stage in built.values():
        _write(store, stage, name, out / name)
    left = f"; {len(runs) - len(built)} are not built yet" if len(built) < len(runs) else ""
    print(f"{count(len(built), 'evaluation')} in {out}{left}")
    return 0


def model_name(stage: Stage, exp: Exp) -> str:
    """The run's place in the grid, in characters of a folder's name."""
    point = point_of(stage)
    arm = "".join(c if c.isalnum() or c in "-_" else "_" for c in point["arm"])
    return f"{arm}-n{point['n_problems']}-s{point['seed']}" + (f"-r{exp.replicate}" if exp.replicate else "")


def refuse_one_name(names: list[str]) -> None:
    """Folders are named by arm, size and seed: runs that differ in something else would write over one another."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"{twice[0]} names {names.count(twice[0])} runs of this grid, which differ in another setting: export one "
            "value of it at a time, each with an --out of its own"
        )


def _write(store: Store, stage: Stage, name: str, folder: Path) -> None:
    manifest = store.open(stage.key).manifest
    outcomes = pd.read_parquet(BytesIO(store.read(stage.key, "outcomes.parquet")))
    lines = list(lm_eval.sample_lines(manifest, domain_of(stage), outcomes))
    folder.mkdir(parents=True, exist_ok=True)
    date = lm_eval.date_of(manifest)
    samples = "".join(json.dumps(one, ensure_ascii=False, allow_nan=False) + "\n" for one in lines)
    write_atomically(folder / f"samples_{lm_eval.task_of(manifest)}_{date}.jsonl", samples)
    told = json.dumps(lm_eval.results(manifest, name, lines), ensure_ascii=False, indent=2)
    write_atomically(folder / f"results_{date}.json", told + "\n")
