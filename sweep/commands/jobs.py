"""`python -m sweep cancel` and `retry`: the jobs of a SLURM submission."""

from __future__ import annotations

from sweep.commands.words import Line, store_and_name
from sweep.launchers.slurm.submit import go_on
from sweep.launchers.slurm.watch import cancel, pick
from sweep.terminal.words import count


def cancel_command(line: Line) -> int:
    """`python -m sweep cancel [SUBMISSION] [Hydra overrides]`: this user's latest submission without a name."""
    store, name = store_and_name(line)
    submission = pick(store, name)
    print(f"cancelled {count(cancel(submission), 'job')} of {submission.folder.name}; what is built is kept")
    return 0


def retry_command(line: Line) -> int:
    """`python -m sweep retry [SUBMISSION] [Hydra overrides]`: what failed of it, with the settings it had.

    Without a name this user's latest; another user's is refused, for its setup lines and its code would be run.
    """
    store, name = store_and_name(line)
    submission = pick(store, name)
    if not go_on(submission, is_retry=True):
        print(f"{submission.folder.name}: every stage is built or in the queue, nothing to try again")
    return 0
