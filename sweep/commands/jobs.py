"""`python -m sweep cancel` and `retry`: the jobs of a SLURM submission."""
from __future__ import annotations

from collections.abc import Sequence

from sweep.commands.words import store_and_name
from sweep.launchers.slurm.submit import go_on
from sweep.launchers.slurm.watch import cancel, pick


def cancel_command(words: Sequence[str]) -> int:
    """`python -m sweep cancel [SUBMISSION] [exec.store=FOLDER]`: this user's latest submission without a name."""
    store, name = store_and_name("cancel", words)
    submission = pick(store, name)
    print(f"cancelled {cancel(submission)} jobs of {submission.folder.name}; what is built is kept")
    return 0


def retry_command(words: Sequence[str]) -> int:
    """`python -m sweep retry [SUBMISSION] [exec.store=FOLDER]`: what failed of it, with the settings it had.

    Without a name this user's latest; another user's is refused, for its setup lines and its code would be run.
    """
    store, name = store_and_name("retry", words)
    submission = pick(store, name)
    if not go_on(submission, is_retry=True):
        print(f"{submission.folder.name}: every stage is built or in the queue, nothing to try again")
    return 0
