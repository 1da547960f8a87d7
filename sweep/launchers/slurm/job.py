"""What runs inside a SLURM job: one pack of stages, outside Hydra, so that a stage that raises fails its job.

How a job ends, and what SLURM makes of it:
    every stage built       0    COMPLETED: the jobs behind it start
    none built              1    FAILED: the jobs behind it are cancelled
    some of a pack failed   75   its step is FAILED, the job COMPLETED with DerivedExitCode 75: the chains of the others
                                 go on, and a stage whose parent is missing is not tried
    USR2                    -    the time limit or preemption is near: a checkpoint is written and the job queued again,
                                 at most max_restarts times
    TERM                    143  scancel or requeue: a checkpoint is written, SLURM decides what comes next
"""
from __future__ import annotations

import os
import signal
import socket
import sys
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from submitit.helpers import DelayedSubmission

from sweep.artifacts import Stage
from sweep.launchers.slurm import queue
from sweep.launchers.slurm.submission import Submission

PARTLY_FAILED = 75
EXIT_CODES = {"failed": 1, "blocked": 1, "stopped": 128 + signal.SIGTERM}  # of a stage; others ended well
HAS_NO_CHECKPOINT = ("dsyn",)  # the others see should_stop between two updates or two chunks of samples


class StageFailed(Exception):
    """Nothing of a job's pack was built."""


class Stopped(BaseException):
    """A signal asked a stage without checkpoints to stop."""


class Job:
    """Element SLURM_ARRAY_TASK_ID of one array of a submission. Submitit pickles it by its name."""

    def __init__(self, folder: str, number: int) -> None:
        self.folder, self.number = folder, number

    def __call__(self) -> None:
        self.signal: int | None = None
        self.can_poll = True  # until a stage runs that does not, a signal is only noted
        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        import torch

        self.submission = Submission(Path(self.folder))
        torch.set_num_threads(self.submission.exec.n_threads)
        self.store = self.submission.store
        self.job = queue.this_job() or "no-job"
        self.n_restarts = int(os.environ.get("SLURM_RESTART_COUNT", 0))
        index = int(os.environ["SLURM_ARRAY_TASK_ID"])
        keys = self.submission.array(self.number).elements[index]
        outcomes = {key: self._build(self.submission.stages[key]) for key in keys}
        bad = {key: outcome for key, outcome in outcomes.items() if outcome != "built"}
        if bad and len(bad) < len(keys):
            print(f"{len(bad)} of {len(keys)} stages not built: {bad}", file=sys.stderr, flush=True)
            sys.exit(PARTLY_FAILED)
        if bad:
            raise StageFailed(f"not built: {bad}; the logs are in {self.store.root}/.logs")
        sys.exit(0)  # or Submitit writes a result that nobody reads, where two copies of a job collide and fail

    def checkpoint(self, *_: Any) -> DelayedSubmission:
        """For a signal before the handlers are ours: Submitit queues the job again as it was."""
        return DelayedSubmission(self)

    def _build(self, stage: Stage) -> str:
        """built | failed | blocked; does not return where the job has to stop."""
        from sweep.launchers.execute import build, logged_to, slurm_variables
        from sweep.models import Interrupted

        if self.signal is not None:  # it came when the stage before was done
            self._stop(stage)
        began = time.time()
        missing = [p.key for p in stage.parents.values() if self.store.manifest(p.key) is None]
        if missing and self.store.manifest(stage.key) is None:
            self._note(stage, began, "blocked", f"not built: {', '.join(missing)}")
            return "blocked"
        self.can_poll = stage.kind not in HAS_NO_CHECKPOINT
        try:
            with logged_to(self.store.log_path(stage.key)):
                try:
                    exec, tracking = self.submission.exec, self.submission.tracking
                    manifest = build(stage, self.store, exec, tracking, lambda: self.signal is not None)
                except Exception as error:
                    if not isinstance(error, Interrupted):
                        traceback.print_exc()
                    raise
        except (Interrupted, Stopped) as stopped:
            self._note(stage, began, "stopped", str(stopped))
            self._stop(stage)
        except Exception as error:  # a stage's failure is its own: recorded, and the pack goes on
            print(f"{stage.key}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            self._note(stage, began, "failed", f"{type(error).__name__}: {error}")
            return "failed"
        finally:
            self.can_poll = True
        is_ours = manifest.provenance["slurm"] == slurm_variables()  # not that of another copy of this job
        self._note(stage, began, "built" if is_ours else "found", "")
        return "built"

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        if not self.can_poll:
            self.can_poll = True  # a second signal must not interrupt the clean-up
            raise Stopped(signal.Signals(number).name)

    def _stop(self, stage: Stage) -> None:
        limit = self.submission.settings["options"]["max_restarts"]
        if self.signal == signal.SIGUSR2:
            if self.n_restarts >= limit:
                raise StageFailed(f"{stage.key}: stopped after {self.n_restarts} restarts, max_restarts={limit}")
            queue.requeue_this_job()
        sys.exit(128 + signal.SIGTERM)

    def _note(self, stage: Stage, began: float, outcome: str, error: str) -> None:
        try:
            self.submission.note_attempt(
                self.job, time=round(began, 3), seconds=round(time.time() - began, 3), key=stage.key, outcome=outcome,
                exit_code=EXIT_CODES.get(outcome, 0), error=error,
                host=os.environ.get("SLURMD_NODENAME", socket.gethostname()), restart=self.n_restarts,
            )
        except OSError as problem:  # a full disk must not turn a built stage into a failed one
            print(f"{self.submission.folder}/attempts: {problem}", file=sys.stderr, flush=True)
