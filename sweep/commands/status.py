"""`python -m sweep status` and `logs`: what of a grid is built, and what a stage printed."""
from __future__ import annotations

import json
from dataclasses import asdict

from sweep.artifacts import Store
from sweep.commands.words import options_of, plan_of
from sweep.config import Exec
from sweep.launchers.local_view import label
from sweep.launchers.slurm.watch import built_twice, states, told
from sweep.plan import needed, state


def show_status(words: list[str]) -> int:
    options, overrides = options_of(words, json=True)
    the_plan, exec = plan_of(overrides)
    store = Store(exec.store)
    found = state(the_plan, store)
    todo = needed(the_plan, found.built)
    n_complete = sum(run.evaluate.key in found.built for run in the_plan.runs)
    jobs = states(store, todo)
    twice = built_twice(store, the_plan.stages)
    running = {key: who for key, who in store.builders().items() if key in set(todo)}
    logged = [key for key in todo if store.log_path(key).exists() and key not in jobs and key not in running]
    if options.json:
        print(json.dumps({
            "runs": len(the_plan.runs), "complete": n_complete, "stages": len(the_plan.stages),
            "built": len(found.built), "to_build": len(todo), "corrupted": sorted(found.corrupted), "tried": logged,
            "jobs": {key: {"state": s.state, "job": s.job, "reason": s.reason} for key, s in jobs.items()},
            "built_twice": twice, "running": {key: asdict(who) for key, who in running.items()},
        }))
        return 0
    print(f"{n_complete} of {len(the_plan.runs)} runs complete; {len(found.built)} stages built, {len(todo)} to build")
    for line in told(store, jobs):
        print(line)
    for key, copies in twice.items():
        print(f"  built twice: {key} ({copies})")
    for key, who in running.items():
        print(f"  being built: {key} ({label(the_plan.stages[key])}) by {who}, log: {store.log_path(key)}")
    for key in logged:
        print(f"  tried and not built: {key} ({label(the_plan.stages[key])}), log: {store.log_path(key)}")
    for message in found.corrupted.values():
        print(f"  corrupted: {message}")
    return 0


def show_log(words: list[str]) -> int:
    keys = [w for w in words if "=" not in w]
    if len(keys) != 1:
        raise ValueError("usage: python -m sweep logs KEY [exec.store=FOLDER]; KEY as `plan` and `status` print it")
    stores = [w.split("=", 1)[1] for w in words if w.startswith("exec.store=")]
    path = Store(stores[-1] if stores else Exec.store).log_path(keys[0])
    if not path.exists():
        raise ValueError(f"{path}: no such log; the stage was not tried in this store")
    print(path.read_text(encoding="utf-8", errors="replace"), end="")
    return 0
