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

import faulthandler
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from sweep.artifacts import Stage
from sweep.launchers.code import changed_packages
from sweep.launchers.slurm import queue
from sweep.launchers.slurm.submission import Submission
from sweep.tracking.server import GAVE_UP

PARTLY_FAILED = 75
EXIT_CODES = {"failed": 1, "blocked": 1, "stopped": 128 + signal.SIGTERM}  # of a stage; others ended well
HAS_NO_CHECKPOINT = ("dsyn",)  # the others see should_stop between two updates or two chunks of samples


class StageFailed(Exception):
    """Nothing of a job's pack was built."""


class Stopped(BaseException):
    """A signal asked a stage without checkpoints to stop."""


class Job:
    """Element SLURM_ARRAY_TASK_ID of one array of a submission."""

    def __init__(self, folder: Path, number: int) -> None:
        self.submission, self.number = Submission(folder), number
        self.signal: int | None = None
        self.can_poll = True  # until a stage runs that does not, a signal is only noted
        self.cards: list[str] = []  # that torch sees, by the names that SLURM gave

    def run(self) -> int:
        """Build the element's stages; the exit code where that is not an exception's."""
        for number in (signal.SIGUSR2, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        self.submission.check_is_ours()
        os.environ[GAVE_UP] = str(self.submission.folder / "tracker.txt")  # the first job that waits in vain tells all
        self.store, self.exec = self.submission.store, self.submission.exec
        self.job = queue.this_job() or "no-job"
        self.n_restarts = int(os.environ.get("SLURM_RESTART_COUNT", 0))
        self.changed = changed_packages(self.submission.settings["packages"])
        for name, how in self.changed.items():
            print(f"package {name}: {how}", file=sys.stderr, flush=True)
        import torch

        torch.set_num_threads(self.exec.n_threads)
        if self.exec.device == "auto":
            check_gpus(os.environ, torch.cuda.device_count() if torch.cuda.is_available() else 0)
        given = os.environ.get("CUDA_VISIBLE_DEVICES", "") if torch.cuda.device_count() else ""
        self.cards = [name for name in given.split(",") if name]
        index = int(os.environ["SLURM_ARRAY_TASK_ID"])
        keys = self.submission.array(self.number).elements[index]
        outcomes = {key: self._build(self.submission.stages[key]) for key in keys}
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Python takes handlers away at its end: it would fail the job
        bad = {key: outcome for key, outcome in outcomes.items() if outcome != "built"}
        if bad and len(bad) < len(keys):
            print(f"{len(bad)} of {len(keys)} stages not built: {bad}", file=sys.stderr, flush=True)
            return PARTLY_FAILED
        if bad:
            raise StageFailed(f"not built: {bad}; the logs are in {self.store.root}/.logs")
        return 0

    def _build(self, stage: Stage) -> str:
        """built | failed | blocked; does not return where the job has to stop."""
        from sweep.launchers.execute import build, logged_to, slurm_variables
        from sweep.launchers.seating import what_to_lower
        from sweep.models import Interrupted, is_out_of_memory

        if self.signal is not None:  # it came when the stage before was done
            self._stop(stage)
        began = time.time(), time.monotonic()
        missing = [p.key for p in stage.parents.values() if self.store.manifest(p.key) is None]
        if missing and self.store.manifest(stage.key) is None:
            self._note(stage, began, "blocked", f"not built: {', '.join(missing)}")
            return "blocked"
        self.can_poll = stage.kind not in HAS_NO_CHECKPOINT
        try:
            with logged_to(self.store.log_path(stage.key)), self._limited(stage):
                try:
                    noticed = {"packages_changed": self.changed} if self.changed else {}
                    how: dict[str, Any] = {"noticed": noticed, "cards": self.cards}
                    manifest = build(stage, self.store, self.exec, self.submission.tracking, self._must_stop, **how)
                except Exception as error:
                    if not isinstance(error, Interrupted):
                        traceback.print_exc()
                    raise
        except (Interrupted, Stopped) as stopped:
            self._note(stage, began, "stopped", str(stopped))
            self._stop(stage)
        except Exception as error:  # a stage's failure is its own: recorded, and the pack goes on
            why = f"{type(error).__name__}: {error}"
            if is_out_of_memory(error):
                why += f"; it had the job's cards to itself: {what_to_lower(stage)}"
            print(f"{stage.key}: {why}", file=sys.stderr, flush=True)
            self._note(stage, began, "failed", why)
            return "failed"
        finally:
            self.can_poll = True
        is_ours = manifest.provenance["slurm"] == slurm_variables()  # not that of another copy of this job
        self._note(stage, began, "built" if is_ours else "found", "")
        return "built"

    @contextmanager
    def _limited(self, stage: Stage) -> Iterator[None]:
        """End the job where a stage takes longer than exec.limits_minutes, with what it was doing in the stage's log.

        A thread of the interpreter's own does that, so it ends one that hangs in C code too. What earlier starts of the
        job worked on the stage counts.
        """
        limit = self.exec.limits_minutes.of(stage.kind)
        if limit is None:
            yield
            return
        rows = [row for row in self.submission.attempts() if (row["job"], row["key"]) == (self.job, stage.key)]
        left_s = max(0.1, limit * 60 - sum(row["seconds"] for row in rows))
        print(f"exec.limits_minutes.{stage.kind}={limit:g}: ends in {left_s:.0f} s", file=sys.stderr, flush=True)
        faulthandler.dump_traceback_later(left_s, exit=True)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        if not self.can_poll:
            self.can_poll = True  # a second signal must not interrupt the clean-up
            raise Stopped(signal.Signals(number).name)

    def _must_stop(self) -> bool:
        return self.signal is not None

    def _stop(self, stage: Stage) -> None:
        limit = self.submission.settings["options"]["max_restarts"]
        if self.signal == signal.SIGUSR2:
            if self.n_restarts >= limit:
                raise StageFailed(f"{stage.key}: stopped after {self.n_restarts} restarts, max_restarts={limit}")
            queue.requeue_this_job()
        sys.exit(128 + signal.SIGTERM)

    def _note(self, stage: Stage, began: tuple[float, float], outcome: str, error: str) -> None:
        """A line of the attempts: when a stage began, by the calendar, and what it took, by a clock nobody sets."""
        try:
            self.submission.note_attempt(
                self.job,
                time=round(began[0], 3),
                seconds=round(time.monotonic() - began[1], 3),
                key=stage.key,
                outcome=outcome,
                exit_code=EXIT_CODES.get(outcome, 0),
                error=error,
                host=os.environ.get("SLURMD_NODENAME", socket.gethostname()),
                restart=self.n_restarts,
                **({"packages": self.changed} if self.changed else {}),
            )
        except OSError as problem:  # a full disk must not turn a built stage into a failed one
            print(f"{self.submission.folder}/attempts: {problem}", file=sys.stderr, flush=True)


def check_gpus(environ: Mapping[str, str], n_visible: int) -> None:
    """Refuse to compute on the CPU where GPUs were allocated.

    Raises:
        ValueError: SLURM gave some and torch sees none.
    """
    names = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "GPU_DEVICE_ORDINAL")
    given = next((environ[name] for name in names if environ.get(name)), "")
    if given and not n_visible:
        raise ValueError(
            f"SLURM gave this job the GPUs {given} and torch sees none "
            f"(CUDA_VISIBLE_DEVICES={environ.get('CUDA_VISIBLE_DEVICES')}): expected a CUDA device for exec.device=auto"
            "; run slurm/preflight on this node to see whether it is the driver or a torch without CUDA, or give "
            "exec.device=cpu, which asks for no GPU"
        )


if __name__ == "__main__":
    sys.exit(Job(Path(sys.argv[1]), int(sys.argv[2])).run())
