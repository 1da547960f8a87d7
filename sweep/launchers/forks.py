"""Workers by fork: one process loads what stages need and becomes as many workers as are asked for.

Loading torch and transformers takes a worker some five seconds of processor time and 0.4 GiB; forked ones share both.
A worker is forked twice, and the driver adopts it: the driver reads how it ended, and it dies with the driver and not
with the template. On Linux alone, and not for a worker that is bound to cards, which CUDA_VISIBLE_DEVICES has to reach
before its program starts.

    driver to template  a Work, then the worker's end of one pipe after another
    worker to driver    forked and its process id, or refused and why; then what every worker says
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any

from sweep.launchers import worker
from sweep.launchers.worker import Message, Work, Worker

ADOPTING = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)
CAN_FORK = sys.platform == "linux"
LOOK_S = 0.01  # between two looks at a process that is about to end


class Adopted:
    """The process of a worker by fork, as subprocess.Popen tells of one of its own."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, a signal's number negative; None while it runs."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # the driver was started with SIGCHLD ignored: as subprocess.Popen has it then
                pid, status = self.pid, 0
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it still runs after `timeout` seconds.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(f"the worker process {self.pid}", timeout or 0.0)
            time.sleep(LOOK_S)
        return code

    def kill(self) -> None:
        """SIGKILL; nothing where it was seen to have ended."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


class Template:
    """The driver's end of a process that becomes workers.

    Raises:
        OSError: the process cannot be started, or the store has no room for what it prints.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self.printed = worker.file_of_words(work)
        self.pipe, theirs = Pipe()
        try:
            self.process = worker.started("forks", theirs, work, self.printed)
        except OSError:
            self.pipe.close()
            self.printed.close()
            raise
        finally:
            theirs.close()
        ctypes.CDLL(None).prctl(ADOPTING, 1)
        worker.send(self.pipe, work)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def hired(self) -> Worker:
        """A new worker, which will say that it is forked and that it is ready; until then its process is this one.

        Raises:
            OSError: this process has ended.
        """
        ours, theirs = Pipe()
        try:
            send_handle(self.pipe, theirs.fileno(), self.process.pid)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        # a view of its own of what all of them print: its words are those from now on
        printed = open(f"/proc/self/fd/{self.printed.fileno()}", "rb")  # noqa: SIM115  closed as the worker is dismissed
        return Worker(self.process, ours, printed, n_before=printed.seek(0, os.SEEK_END))

    def end(self) -> None:
        """End the process; workers that it became go on."""
        self.pipe.close()
        self.process.kill()
        self.process.wait()
        self.printed.close()
        ctypes.CDLL(None).prctl(ADOPTING, 0)


def main(descriptor: int) -> None:
    """The template's end: load, then become a worker for each pipe that comes, until the driver is gone."""
    pipe: Connection[Message, Any] = Connection(descriptor)
    if (work := worker.begun(pipe)) is None:
        return
    worker.load(work)
    gc.freeze()  # a collection in a worker would write to, and so copy, every page that they share
    while True:
        try:
            theirs: Connection[Message, Any] = Connection(recv_handle(pipe))
        except (EOFError, OSError):
            return
        if _became(theirs, work):
            pipe.close()
            worker.serve(theirs, work)
            return
        theirs.close()


def _became(pipe: Connection[Message, Any], work: Work) -> bool:
    """Whether this is, from now on, the worker at the other end of the pipe."""
    template = os.getpid()
    try:
        if child := os.fork():
            os.waitpid(child, 0)
            return False
        middle = os.getpid()
        if os.fork():
            os._exit(0)  # at once, which leaves the worker to the driver
    except OSError as error:
        worker.send(pipe, ("refused", f"    {error}"))
        if os.getpid() != template:
            os._exit(1)
        return False
    while os.getppid() == middle:
        time.sleep(0.001)
    if not worker.dies_with(work.driver):
        os._exit(1)
    worker.send(pipe, ("forked", os.getpid()))
    return True
