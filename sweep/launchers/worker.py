"""A worker of the local pool, both ends: a process that has loaded torch, says that it is ready, and takes stages.

It is a program of its own, or by fork of one that has loaded all (forks.py). What it prints outside a stage's log, its
last words included, goes to a file that the driver holds, so that a worker that cannot start can tell why.

    driver to worker    a Work, then one stage after another; the end of the pipe is the end of the work
    worker to driver    ready, then for each stage: building (once it holds the lease), built, failed, out of memory,
                        spoiled: failed for a parent that is corrupted, or impossible: nothing was left to learn from

A worker that is bound to cards sees no others: CUDA_VISIBLE_DEVICES is set before its process starts.
"""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, Protocol

from sweep import sharing
from sweep.artifacts import CorruptArtifact, Manifest, Stage, Store
from sweep.bench import NothingToLearn
from sweep.config import Exec, TrackingConfig
from sweep.heartbeat import EVERY_S, QUIET_S, Heartbeat, Moment

SIGNAL_PARENT_DIED = 1  # PR_SET_PDEATHSIG of prctl(2)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
N_LAST_WORDS = 20  # lines
PROGRAM = "import sys; sys.path.insert(0, sys.argv[1]); from sweep.launchers.{} import main; main(int(sys.argv[2]))"
PACKAGES = Path(__file__).parents[2]  # where `sweep` lies, wherever the driver was started

VISIBLE = "CUDA_VISIBLE_DEVICES"
NO_MEMORY = "out of memory"  # of a card

# ready, building, built and the manifest, or failed, spoiled, impossible or out of memory and why; of a fork also
# forked or refused
Message = tuple[str, Any]


class Process(Protocol):
    """What the driver knows of a worker's process."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


@dataclass(frozen=True)
class Work:
    """What all stages of a worker have in common, and the process it dies with.

    Args:
        cards: that it is bound to, by the names that CUDA_VISIBLE_DEVICES takes; None leaves it unbound.
    """

    root: Path
    exec: Exec
    tracking: TrackingConfig
    driver: int
    cards: tuple[str, ...] | None = None


@dataclass(eq=False)
class Worker:
    """The driver's end: the process, its pipe, what it printed, and the stage it was given.

    Args:
        n_before: bytes of `printed` that others wrote before it was hired.
        seconds: since it was started, was given a stage, or began to build it, whichever came last.
        beat: the stage's heartbeat when it was last looked at; another builder's while this one waits.
        promised: the stage that it is to be given once it is ready.
        weights: the artifact whose weights its last stage opened.
    """

    process: Process
    pipe: Connection[Any, Message]
    printed: IO[bytes]
    n_before: int = 0
    is_ready: bool = False
    stage: Stage | None = None
    is_building: bool = False
    seconds: float = 0.0
    beat: Heartbeat | None = None
    told_at_s: float = QUIET_S  # of silence, the next time that a person is told of it
    cards: tuple[str, ...] | None = None
    promised: Stage | None = None
    weights: str = ""

    @property
    def given(self) -> Stage | None:
        """What it builds, or will build."""
        return self.stage or self.promised

    def take(self, stage: Stage) -> bool:
        """Give it a stage; False where it has died."""
        try:
            self.pipe.send(stage)
        except OSError:
            return False
        self.stage, self.is_building, self.seconds, self.beat, self.told_at_s = stage, False, 0.0, None, QUIET_S
        return True

    def began(self) -> None:
        """It holds the lease: the wait for another builder is over and does not count."""
        self.is_building, self.seconds = True, 0.0

    def give_back(self) -> Stage:
        """The stage that it answered for; it is idle again."""
        assert self.stage is not None
        stage, self.stage = self.stage, None
        return stage

    def hear(self, beat: Heartbeat | None) -> None:
        """Note the stage's sign of life; what an earlier attempt left behind, which failed or was killed, is none."""
        self.beat = None
        if beat is not None and not beat.outcome:
            # before it holds the lease it is another builder's, once there was the time to take it
            is_alive = beat.pid == self.process.pid if self.is_building else self.seconds >= EVERY_S
            self.beat = beat if is_alive else None

    def silence(self, at: Moment) -> str:
        """What a person is to be told of a stage that does not move, each time the silence has doubled."""
        quiet_s = 0.0 if self.beat is None else self.beat.quiet_s(at)
        if self.beat is None or quiet_s < self.told_at_s:
            return ""
        self.told_at_s = 2 * quiet_s
        return f"{self.beat.silence(at)}, {self.beat.by_whom()}"

    def close(self) -> None:
        """What the driver holds of one whose process never was, or is gone."""
        self.pipe.close()
        self.printed.close()

    def dismiss(self, at_once: bool) -> tuple[int, str]:
        """End the process; its exit code and the last lines it printed."""
        self.pipe.close()
        if not at_once:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=10)  # it reads the end of its work and leaves
        if self.process.poll() is None:
            self.process.kill()
        code = self.process.wait()
        with self.printed:
            self.printed.seek(self.n_before)
            lines = self.printed.read().decode(errors="replace").splitlines()[-N_LAST_WORDS:]
        return code, "\n".join(f"    {line}" for line in lines)


def hired(work: Work) -> Worker:
    """A new worker that is a program of its own, which will say that it is ready.

    Raises:
        OSError: the process cannot be started, or the store has no room for what it prints.
    """
    printed = file_of_words(work)
    ours, theirs = Pipe()
    try:
        process = started("worker", theirs, work, printed)
    except OSError:
        ours.close()
        printed.close()
        raise
    finally:
        theirs.close()
    send(ours, work)
    return Worker(process, ours, printed, cards=work.cards)


def file_of_words(work: Work) -> IO[bytes]:
    """A file without a name, to which whoever has it open adds; not in /tmp, which may be what is missing."""
    place = work.root / ".building"
    place.mkdir(exist_ok=True)
    return tempfile.TemporaryFile("a+b", dir=place)


def started(module: str, theirs: Connection[Any, Any], work: Work, printed: IO[bytes]) -> subprocess.Popen[bytes]:
    """The program of one of these modules, at its end of the pipe."""
    threads = dict.fromkeys(THREAD_VARIABLES, str(work.exec.n_threads))
    return subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM.format(module), str(PACKAGES), str(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=printed,
        stderr=printed,
        env={**os.environ, **threads, **({} if work.cards is None else {VISIBLE: ",".join(work.cards)})},
        pass_fds=[theirs.fileno()],
    )


def send(pipe: Connection[Any, Any], content: Any) -> None:
    """To the other end; where that has died already, its pipe and its last words will tell."""
    with suppress(OSError):
        pipe.send(content)


def main(descriptor: int) -> None:
    """The worker's end: take stages from the pipe until the driver is gone."""
    pipe: Connection[Message, Any] = Connection(descriptor)
    if (work := begun(pipe)) is not None:
        load(work)
        serve(pipe, work)


def begun(pipe: Connection[Message, Any]) -> Work | None:
    """What the driver says first, once this process dies with it; None where it has ended already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the driver decides
    faulthandler.enable()
    work: Work = pipe.recv()
    return work if dies_with(work.driver) else None


def dies_with(driver: int) -> bool:
    """From now on; False where the driver, this process's parent, has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SIGNAL_PARENT_DIED, signal.SIGKILL)
    return os.getppid() == driver


def load(work: Work) -> None:
    """What no stage is to wait for, and what every process of this machine finds alike."""
    import sweep.launchers.execute
    import sweep.models  # noqa: F401
    from sweep.launchers.code import code, git
    from sweep.tracking.backend import preload

    code(), git()  # cached: no process is started while a stage's lock is held, whose child would hold it too

    preload(work.tracking)  # once, so that no stage's time includes it
    tempfile.gettempdir()


def serve(pipe: Connection[Message, Any], work: Work) -> None:
    """Say that it is ready, and take stages until the driver is gone; what lacks is told once, before any stage."""
    import torch

    from sweep.models import let_go

    torch.set_num_threads(work.exec.n_threads)
    if work.exec.device != "auto":
        torch.empty(0, device=work.exec.device)
    store = Store(work.root)
    with suppress(BrokenPipeError):  # the driver has ended
        pipe.send(("ready", None))
        while True:
            try:
                stage = pipe.recv()
            except EOFError:
                return
            answer = _answer(stage, work, store, pipe)
            let_go()
            pipe.send(answer)


def _answer(stage: Stage, work: Work, store: Store, pipe: Connection[Message, Any]) -> Message:
    from sweep.launchers.execute import logged_to

    answer: Message = ("failed", "its log could not be written")
    try:
        with logged_to(store.log_path(stage.key)):
            try:
                answer = ("built", _built(stage, work, store, pipe))
            except Exception as error:  # a stage's failure is its own: reported, and the sweep goes on
                answer = (_word(error), told(error, work.root))
                traceback.print_exc()
    except (OSError, ValueError) as error:  # the log itself: the disk is full or read-only, or it is a link
        answer = answer if answer[0] == "built" else ("failed", told(error, work.root))
    return answer


def _word(error: Exception) -> str:
    """How a stage failed, for the driver."""
    from sweep.models import is_out_of_memory

    if isinstance(error, CorruptArtifact):
        return "spoiled"
    if isinstance(error, NothingToLearn):
        return "impossible"
    return NO_MEMORY if is_out_of_memory(error) else "failed"


def _built(stage: Stage, work: Work, store: Store, pipe: Connection[Message, Any]) -> Manifest:
    from sweep.launchers.execute import build

    def began() -> None:
        pipe.send(("building", None))

    return build(stage, store, work.exec, work.tracking, on_start=began, cards=work.cards or ())


def told(error: Exception, root: Path) -> str:
    """A stage's error as one paragraph; for a store that cannot be written, with what to do."""
    said = sharing.denied(error) if isinstance(error, PermissionError) else error
    text = " ".join(f"{type(error).__name__}: {said}".split())
    if any(os.strerror(n) in text for n in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)):
        text += f"; the store {root} must be writable and have room: free it or choose another with exec.store=FOLDER"
    return text
