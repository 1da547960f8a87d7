"""`python -m sweep status` and `logs`: what of a grid is built, and what a stage printed."""
from __future__ import annotations

import json
import time
from dataclasses import asdict

from sweep.artifacts import Store
from sweep.commands.words import Line, exec_of, plan_of, usage
from sweep.heartbeat import Heartbeat, minutes, path_of, read
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
    beats = {key: beat for key in todo if (beat := read(path_of(store.root, key))) is not None}
    rest = [key for key in todo if key not in seen.jobs and key not in running]
    logged = [key for key in rest if store.log_path(key).exists() or key in beats]
    ended = {key: _ended(beats[key]) for key in rest if key in beats}
    if line.options.json:
        print(json.dumps({
            "runs": len(the_plan.runs), "complete": n_complete, "stages": len(the_plan.stages),
            "built": len(found.built), "to_build": len(todo), "corrupted": sorted(found.corrupted), "tried": logged,
            "jobs": {key: {"state": s.state, "job": s.job, "reason": s.reason} for key, s in seen.jobs.items()},
            "built_twice": seen.twice, "other_packages": seen.packages, "not_known": list(seen.unasked),
            "running": {key: {**asdict(who), "progress": _progress(beats.get(key))} for key, who in running.items()},
            **{word: sorted(k for k in ended if ended[k][0] == word) for word in ("failed", "stopped", "killed")},
        }))
        return 0
    print(f"{n_complete} of {len(the_plan.runs)} runs complete; {len(found.built)} stages built, {len(todo)} to build")
    for text in told(store, seen):
        print(text)
    for key, who in running.items():
        how_far = _progress(beats.get(key))
        print(f"  being built: {key} ({label(the_plan.stages[key])}) by {who}{how_far}, log: {store.log_path(key)}")
    for key in logged:
        word, more = ended.get(key, ("tried and not built", ""))
        log = f"; log: {store.log_path(key)}" if store.log_path(key).exists() else ""
        print(f"  {word}: {key} ({label(the_plan.stages[key])}){more}{log}")
    for message in found.corrupted.values():
        print(f"  corrupted: {message}")
    return 0


def _progress(beat: Heartbeat | None) -> str:
    """How far a stage that is being built is, and whether it stands still; empty where nothing is known."""
    said = [beat.progress, beat.silence(time.time())] if beat is not None else []
    return "".join(f", {word}" for word in said if word)


def _ended(beat: Heartbeat) -> tuple[str, str]:
    """What became of a stage that nobody builds any more, and what there is to say of it."""
    where = f", at {beat.progress}" if beat.progress else ""
    if beat.outcome:
        return beat.outcome, f" by {beat.by_whom()}{where}: {beat.error}"
    return "killed", f" with its process: {beat.by_whom()}{where}, last seen {minutes(time.time() - beat.time)} ago"


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
