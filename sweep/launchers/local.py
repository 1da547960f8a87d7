"""Runs a plan on this machine: worker processes that import torch once and take many stages.

The driver holds the graph and no result: a stage is done when its manifest is there. Workers die with
the driver, so Ctrl-C or kill -9 at any moment loses the stages under way and nothing else.
"""
from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

from sweep import grids, sharing
from sweep.artifacts import Manifest, Stage, Store
from sweep.config import Exec, TrackingConfig
from sweep.launchers.local_view import View, label
from sweep.launchers.todo import set_corrupted_aside, todo
from sweep.plan import Plan, estimate, state
from sweep.tracking.backend import preload
from sweep.tracking.server import for_a_sweep, news

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SIGNAL_PARENT_DIED = 1  # PR_SET_PDEATHSIG of prctl(2)


@dataclass
class Worker:
    """A process, the driver's end of its pipe, and the stage it is building."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection
    stage: Stage | None = None
    started: float = 0.0


def run(plan: Plan, exec: Exec, tracking: TrackingConfig) -> int:
    """Build what the plan's runs still need; prints progress and what failed.

    Returns:
        0 when every run is complete, 1 when a stage failed, 130 when interrupted.
    Raises:
        ValueError: the store cannot be written, or an artifact is corrupted and no rebuild was asked for.
    """
    store = Store(exec.store)
    store.check_writable()
    store.sweep_dead_builds()
    with grids.running(store, exec.sweep_name, plan.parents()):
        return _run(plan, store, exec, tracking)


def _run(plan: Plan, store: Store, exec: Exec, tracking: TrackingConfig) -> int:
    if exec.rebuild_corrupted:
        set_corrupted_aside(plan, store)
    pool = _Pool(plan, store, exec, tracking)
    if not pool.waiting and not pool.failed:
        pool.view.close()
        print(f"all {len(plan.runs)} runs are built already ({len(pool.manifests)} artifacts in {store.root})")
        return 0
    try:
        with for_a_sweep(tracking, store.root / ".logs") as pool.tracking:
            pool.work()
    except KeyboardInterrupt:
        pool.kill()
        pool.view.close()
        print("interrupted: what was built is kept; give the same command again to go on", file=sys.stderr)
        return 130
    return pool.report()


class _Pool:
    """The graph's bookkeeping: what waits, runs, is built, failed, or cannot be built any more."""

    def __init__(self, plan: Plan, store: Store, exec: Exec, tracking: TrackingConfig) -> None:
        self.plan, self.store, self.exec, self.tracking = plan, store, exec, tracking
        found = state(plan, store)
        self.manifests: dict[str, Manifest] = dict(found.built)
        keys, lost = todo(plan, found, exec.rebuild_corrupted)
        self.waiting = {key: plan.stages[key] for key in keys}
        self.failed: dict[str, str] = dict(found.corrupted)
        self.lost: set[str] = lost - set(found.corrupted)
        self.workers: list[Worker] = []
        self.n_todo = len(self.waiting) + len(self.failed) + len(self.lost)
        self.view = View(self)
        self.ranks = self._ranks()

    def work(self) -> None:
        """Until nothing waits and nothing runs."""
        n_workers = min(self.exec.n_workers or os.cpu_count() or 1, len(self.waiting))
        with _environment({name: str(self.exec.n_threads) for name in THREAD_VARIABLES}):
            self.workers = [self._start() for _ in range(n_workers)]
            while self.waiting or any(w.stage for w in self.workers):
                self._hand_out()
                busy = [w for w in self.workers if w.stage]
                if not busy:
                    raise RuntimeError(f"stages wait for parents that nobody builds: {sorted(self.waiting)}")
                self.view.show()
                for line in news():
                    self.view.line(line)
                for pipe in wait([w.pipe for w in busy], timeout=1.0):
                    self._receive(next(w for w in busy if w.pipe is pipe))
        for worker in self.workers:
            worker.pipe.close()  # the worker reads the end of its work and leaves
        for worker in self.workers:
            worker.process.join(timeout=10)
        self.kill()

    def kill(self) -> None:
        """End the workers; what they were building is lost, nothing else is."""
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join()
        self.store.sweep_dead_builds()

    def report(self) -> int:
        """Print what failed and where its log is; the exit code."""
        self.view.close()
        n_built = self.n_todo - len(self.failed) - len(self.lost)
        print(f"built {n_built} stages in {self.view.elapsed()}; {len(self.manifests)} artifacts in {self.store.root}")
        for key, message in self.failed.items():
            print(f"FAILED {key} ({label(self.plan.stages[key])}): {message}", file=sys.stderr)
            print(f"       log: {self.store.log_path(key)}", file=sys.stderr)
        if self.failed:
            incomplete = sum(run.evaluate.key not in self.manifests for run in self.plan.runs)
            print(
                f"{len(self.failed)} stages failed, {len(self.lost)} that need them were not tried; {incomplete} of "
                f"{len(self.plan.runs)} runs are incomplete. The same command again tries exactly these.",
                file=sys.stderr,
            )
        return 1 if self.failed else 0

    def _ready(self) -> list[Stage]:
        return [s for s in self.waiting.values() if all(p.key in self.manifests for p in s.parents.values())]

    def _hand_out(self) -> None:
        ready = sorted(self._ready(), key=lambda s: -self.ranks[s.key])
        for worker, stage in zip([w for w in self.workers if w.stage is None], ready, strict=False):
            try:
                worker.pipe.send(stage)
            except OSError:  # it died while it was idle; the stage goes to another
                self._replace(worker)
                continue
            del self.waiting[stage.key]
            worker.stage, worker.started = stage, time.monotonic()

    def _receive(self, worker: Worker) -> None:
        stage = worker.stage
        assert stage is not None
        try:
            status, content = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            status, content = "failed", (
                f"its worker process ended with exit code {worker.process.exitcode} (a negative one is a signal; -9 is "
                "often the kernel out of memory)"
            )
            self._replace(worker)
        worker.stage = None
        if status == "built":
            self.manifests[stage.key] = content
            self.view.built(stage, content)
        else:
            self._fail(stage.key, content)
            self.view.line(f"FAILED {label(stage)}: {content}")

    def _fail(self, key: str, message: str) -> None:
        self.failed[key] = message
        self.waiting.pop(key, None)
        for descendant in self.plan.descendants(key):
            if self.waiting.pop(descendant, None):
                self.lost.add(descendant)

    def _replace(self, worker: Worker) -> None:
        worker.pipe.close()
        worker.process.join(timeout=1)
        self.workers[self.workers.index(worker)] = self._start()

    def _start(self) -> Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, self.store.root, self.exec, self.tracking, os.getpid())
        process = context.Process(target=_worker, args=arguments, daemon=True)
        # a worker inherits this mask, so Ctrl-C while it still imports does not end it with a traceback of its own
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()
        return Worker(process, ours)

    def _ranks(self) -> dict[str, float]:
        """Seconds from a stage to the end of its longest chain: what others wait for goes first."""
        seconds = estimate(self.plan, self.waiting, list(self.manifests.values()))
        children, ranks = self.plan.children(), {}
        for key in reversed(list(self.plan.stages)):
            ranks[key] = (seconds.get(key) or 1.0) + max((ranks[c] for c in children[key]), default=0.0)
        return ranks


def _worker(pipe: Connection, root: Path, exec: Exec, tracking: TrackingConfig, driver: int) -> None:
    """Take stages until the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SIGNAL_PARENT_DIED, signal.SIGKILL)
    if os.getppid() != driver:
        return
    import torch

    import sweep.models  # noqa: F401
    from sweep.launchers.execute import build, logged_to

    preload(tracking)  # once, so that no stage's time includes it
    torch.set_num_threads(exec.n_threads)
    store = Store(root)
    while True:
        try:
            stage = pipe.recv()
        except EOFError:
            return
        answer: tuple[str, object] = ("failed", "its log could not be written")
        try:
            with logged_to(store.log_path(stage.key)):
                try:
                    answer = ("built", build(stage, store, exec, tracking))
                except Exception as error:  # a stage's failure is its own: reported, and the sweep goes on
                    answer = ("failed", told(error, root))
                    traceback.print_exc()
        except (OSError, ValueError) as error:  # the log itself: the disk is full or read-only, or it is a link
            answer = answer if answer[0] == "built" else ("failed", told(error, root))
        pipe.send(answer)


def told(error: Exception, root: Path) -> str:
    """A stage's error as one paragraph; for a store that cannot be written, with what to do."""
    said = sharing.denied(error) if isinstance(error, PermissionError) else error
    text = " ".join(f"{type(error).__name__}: {said}".split())
    if any(os.strerror(n) in text for n in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)):
        text += f"; the store {root} must be writable and have room: free it or choose another with exec.store=FOLDER"
    return text


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
