"""What the small job runs that submits the next wave, when a limit on queued jobs kept some back.

python -m sweep.launchers.slurm.wave SUBMISSION
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from sweep.launchers.slurm import queue
from sweep.launchers.slurm.sbatch import NoRoom
from sweep.launchers.slurm.submission import Submission
from sweep.launchers.slurm.submit import go_on

LOOK_AGAIN_S = 30


def next_wave(submission: Submission) -> int:
    """Submit what was kept back; wait where other jobs have taken the room, and near the time limit queue again."""
    told: list[int] = []
    signal.signal(signal.SIGUSR2, lambda number, frame: told.append(number))
    while True:
        try:
            go_on(submission, is_retry=False)
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Python's own end takes handlers away
            return 0
        except NoRoom as error:
            print(f"{error}; looking again in {LOOK_AGAIN_S} s", flush=True)
        for _ in range(LOOK_AGAIN_S):
            if told:
                queue.requeue_this_job()
                return 0
            time.sleep(1)


if __name__ == "__main__":
    sys.exit(next_wave(Submission(Path(sys.argv[1]))))
