"""`python -m sweep status` and `logs`: what of a grid is built, and what a stage printed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sweep.artifacts import Store
from sweep.commands.words import Line, exec_of, plan_of, usage
from sweep.heartbeat import Heartbeat, minutes, path_of, read
from sweep.launchers.local_view import label
from sweep.launchers.progress import progress_lines
from sweep.launchers.slurm.watch import Seen, latest_output, look, told
from sweep.leases import Holder
from sweep.plan import Plan, State, needed, state


@dataclass(frozen=True)
class Standing:
    """Where a grid stands: what of its plan is built, being built, in the queue, or was tried and is not built.

    Args:
        ended: (failed, stopped or killed; what there is to say of it) of stages that a process began and left.
    """

    plan: Plan
    found: State
    todo: list[str]
    jobs: Seen
    running: dict[str, Holder]
    progress: dict[str, str]
    tried: list[str]
    ended: dict[str, tuple[str, str]]

    @property
    def n_complete(self) -> int:
        return sum(run.evaluate.key in self.found.built for run in self.plan.runs)


def show_status(line: Line) -> int:
    plan, exec = plan_of(line.overrides, line.files)
    store = Store(exec.store)
    standing = _standing(plan, store)
    if line.options.json:
        print(json.dumps(_record(standing)))
    else:
        for text in _lines(standing, store):
            print(text)
    return 0


def _standing(plan: Plan, store: Store) -> Standing:
    found = state(plan, store)
    todo = needed(plan, found.built)
    seen = look(store, plan.stages, todo)
    running = {key: who for key, who in store.builders().items() if key in set(todo)}
    beats = {key: beat for key in todo if (beat := read(path_of(store.root, key))) is not None}
    rest = [key for key in todo if key not in seen.jobs and key not in running]
    return Standing(
        plan,
        found,
        todo,
        seen,
        running,
        progress={key: _progress(beats.get(key)) for key in running},
        tried=[key for key in rest if store.log_path(key).exists() or key in beats],
        ended={key: _ended(beats[key]) for key in rest if key in beats},
    )


def _record(one: Standing) -> dict[str, Any]:
    """What `status --json` prints."""
    return {
        "runs": len(one.plan.runs),
        "complete": one.n_complete,
        "stages": len(one.plan.stages),
        "built": len(one.found.built),
        "to_build": len(one.todo),
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
    yield (
        f"{one.n_complete} of {len(one.plan.runs)} runs complete; {len(one.found.built)} stages built, "
        f"{len(one.todo)} to build"
    )
    yield from told(store, one.jobs)
    for key, who in one.running.items():
        what = f"{key} ({label(one.plan.stages[key])}) by {who}{one.progress[key]}"
        yield f"  being built: {what}, log: {store.log_path(key)}"
    for key in one.tried:
        word, more = one.ended.get(key, ("tried and not built", ""))
        log = f"; log: {store.log_path(key)}" if store.log_path(key).exists() else ""
        yield f"  {word}: {key} ({label(one.plan.stages[key])}){more}{log}"
    for message in one.found.corrupted.values():
        yield f"  corrupted: {message}"


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
