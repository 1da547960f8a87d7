"""`python -m sweep status` and `logs`: what of a grid is built, and what a stage printed."""
from __future__ import annotations

import json
from dataclasses import asdict

from sweep.artifacts import Store
from sweep.commands.words import Line, exec_of, plan_of, usage
from sweep.launchers.local_view import label
from sweep.launchers.progress import progress_lines
from sweep.launchers.slurm.watch import latest_output, look, told
from sweep.plan import needed, state


def show_status(line: Line) -> int:
    the_plan, exec = plan_of(line.overrides, line.files)
    store = Store(exec.store)
    found = state(the_plan, store)
    todo = needed(the_plan, found.built)
    n_complete = sum(run.evaluate.key in found.built for run in the_plan.runs)
    seen = look(store, the_plan.stages, todo)
    running = {key: who for key, who in store.builders().items() if key in set(todo)}
    logged = [key for key in todo if store.log_path(key).exists() and key not in seen.jobs and key not in running]
    if line.options.json:
        print(json.dumps({
            "runs": len(the_plan.runs), "complete": n_complete, "stages": len(the_plan.stages),
            "built": len(found.built), "to_build": len(todo), "corrupted": sorted(found.corrupted), "tried": logged,
            "jobs": {key: {"state": s.state, "job": s.job, "reason": s.reason} for key, s in seen.jobs.items()},
            "built_twice": seen.twice, "other_packages": seen.packages, "not_known": list(seen.unasked),
            "running": {key: asdict(who) for key, who in running.items()},
        }))
        return 0
    print(f"{n_complete} of {len(the_plan.runs)} runs complete; {len(found.built)} stages built, {len(todo)} to build")
    for text in told(store, seen):
        print(text)
    for key, who in running.items():
        print(f"  being built: {key} ({label(the_plan.stages[key])}) by {who}, log: {store.log_path(key)}")
    for key in logged:
        print(f"  tried and not built: {key} ({label(the_plan.stages[key])}), log: {store.log_path(key)}")
    for message in found.corrupted.values():
        print(f"  corrupted: {message}")
    return 0


def show_log(line: Line) -> int:
    if len(line.names) != 1:
        raise ValueError(f"{usage('logs')}; KEY as `plan` and `status` print it")
    store, key = Store(exec_of(line).store), line.names[0]
    path, output, so_far = store.log_path(key), latest_output(store, key), progress_lines(store, key)
    if not path.exists() and not output and not so_far:
        raise ValueError(f"{path}: no such log; the stage was not tried in this store")
    if path.exists():
        print(path.read_text(encoding="utf-8", errors="replace"), end="")
    for outside in output:
        print(f"== {outside}, outside the stage\n{outside.read_text(encoding='utf-8', errors='replace')}", end="")
    for text in so_far:
        print(text)
    return 0
