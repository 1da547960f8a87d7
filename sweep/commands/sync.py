"""`python -m sweep sync`: what W&B lacks of the runs that were kept on this machine."""

from __future__ import annotations

from sweep.artifacts import Store
from sweep.commands.words import Line, exec_of, plan_of
from sweep.tracking.sync import sync, unfinished


def sync_runs(line: Line) -> int:
    """Of a grid, or without one of the whole store; 0 where W&B has all of it, 1 where it has not."""
    wanted = None
    if all(word.startswith("exec.store=") for word in line.overrides):
        store = Store(exec_of(line).store)
    else:
        the_plan, exec = plan_of(line.overrides, line.files)
        store, wanted = Store(exec.store), set(the_plan.stages)
    done = sync(store, wanted, lambda text: print(text, flush=True))
    later = [key for key in unfinished(store) if wanted is None or key in wanted]
    print(
        f"{len(done.sent)} runs sent, {len(done.before)} sent before, {len(done.refused)} not sent, "
        f"{len(done.not_whole) + len(done.replaced)} files not whole ({len(done.replaced)} of them replaced by others)"
    )
    if later:
        print(f"{len(later)} stages are not finished: their curves are in metrics.jsonl, and sent once they are built")
    return 0 if done.is_all else 1
