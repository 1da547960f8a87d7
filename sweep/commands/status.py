"""`python -m sweep status` and `logs`: what of a grid is built, and what a stage printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from sweep.artifacts import Store
from sweep.commands.options import usage
from sweep.commands.words import Line, exec_of, plan_of
from sweep.launchers.local_view import label
from sweep.launchers.progress import progress_lines
from sweep.launchers.slurm.watch import latest_output, told
from sweep.launchers.todo import corrupted_lines
from sweep.sharing import bytes_of
from sweep.terminal.words import count
from sweep.view.standing import Standing, standing_of


def show_status(line: Line) -> int:
    plan, exec = plan_of(line.overrides, line.files)
    store = Store(exec.store)
    standing = standing_of(plan, store, exec.rebuild_corrupted)
    if line.options.json:
        print(json.dumps(_record(standing)))
    else:
        for text in _lines(standing, store):
            print(text)
    return 1 if standing.is_barred else 0


def _record(one: Standing) -> dict[str, Any]:
    """What `status --json` prints."""
    return {
        "runs": len(one.plan.runs),
        "complete": one.n_complete,
        "stages": len(one.plan.stages),
        "built": len(one.found.built),
        "to_build": one.n_to_build,
        "corrupted": sorted(one.found.corrupted),
        "tried": one.tried,
        "jobs": {key: {"state": s.state, "job": s.job, "reason": s.reason} for key, s in one.jobs.jobs.items()},
        "built_twice": one.jobs.twice,
        "other_packages": one.jobs.packages,
        "not_known": list(one.jobs.unasked),
        "running": {key: {**asdict(who), "progress": one.progress[key]} for key, who in one.running.items()},
        **{word: sorted(k for k in one.ended if one.ended[k][0] == word) for word in ("failed", "stopped", "killed")},
    }


def _lines(one: Standing, store: Store) -> Iterator[str]:
    n_runs, n_built = count(len(one.plan.runs), "run"), count(len(one.found.built), "stage")
    yield (f"{one.n_complete} of {n_runs} complete; {n_built} built, {one.n_to_build} to build")
    yield from told(store, one.jobs)
    for key, who in one.running.items():
        what = f"{key} ({label(one.plan.stages[key])}) by {who}{one.progress[key]}"
        yield f"  being built: {what}, log: {store.log_path(key)}"
    for key in one.tried:
        word, more = one.ended.get(key, ("tried and not built", ""))
        log = f"; log: {store.log_path(key)}" if store.log_path(key).exists() else ""
        yield f"  {word}: {key} ({label(one.plan.stages[key])}){more}{log}"
    for text in corrupted_lines(one.plan, one.found, one.lost, one.is_rebuild):
        yield f"  {text}"


def show_log(line: Line) -> int:
    if not line.names:
        return _list_logs(line)
    if len(line.names) != 1:
        raise ValueError(f"{usage('logs')}, found: {' '.join(line.names)}")
    store, key = Store(exec_of(line).store), line.names[0]
    path, output, so_far = store.log_path(key), latest_output(store, key), progress_lines(store, key)
    if not path.exists() and not output and not so_far:
        raise ValueError(f"{path}: no such log; the stage was not tried in this store")
    if path.exists():
        text = bytes_of(path).decode(errors="replace")
        print(text, end="" if text else f"{path}: this stage printed nothing\n")
    for outside in output:
        print(f"== {outside}, outside the stage\n{bytes_of(outside).decode(errors='replace')}", end="")
    for text in so_far:
        print(text)
    return 0


def _list_logs(line: Line) -> int:
    plan, exec = plan_of(line.overrides, line.files)
    store = Store(exec.store)
    n_bytes = {key: store.log_path(key).stat().st_size for key in plan.stages if store.log_path(key).exists()}
    for key in (key for key, n in n_bytes.items() if n):
        print(f"{key}  {label(plan.stages[key])}")
    if n_empty := sum(n == 0 for n in n_bytes.values()):
        print(f"{count(n_empty, 'stage has', 'stages have')} an empty log and printed nothing", file=sys.stderr)
    if not n_bytes:
        raise ValueError(
            f"no stage of this grid has a log in {store.root}: {count(len(plan.stages), 'stage')}, none tried"
        )
    return 0
