"""`python -m sweep sync`: what W&B lacks of the runs that were kept on this machine."""

from __future__ import annotations

from sweep.artifacts import Store
from sweep.commands.words import Line, exec_of, plan_of
from sweep.terminal.words import count
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
    torn = count(len(done.not_whole) + len(done.replaced), "file")
    print(
        f"{count(len(done.sent), 'run')} sent, {len(done.before)} sent before, {len(done.refused)} not sent, "
        f"{torn} not whole ({len(done.replaced)} of them replaced by others)"
    )
    if later:
        them = count(len(later), "stage is", "stages are")
        print(f"{them} not finished: what is logged so far is in metrics.jsonl, and sent after the stage is built")
    return 0 if done.is_all else 1
