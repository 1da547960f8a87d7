"""Runs a plan on this machine: worker processes that share one import of torch and take many stages.

The driver holds the graph and no result: a stage is done when its manifest is there. Workers die with
the driver, so Ctrl-C or kill -9 at any moment loses the stages under way and nothing else. On a machine with cards
each worker is bound to some of them, and a stage begins where `cards.py` says.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from pathlib import Path

from sweep import grids, heartbeat
from sweep.artifacts import Manifest, Stage, Store
from sweep.config import Exec, TrackingConfig
from sweep.installed import BUILDING, check_installed
from sweep.interruption import Asked, noted
from sweep.launchers.forks import CAN_FORK, Adopted, Template
from sweep.launchers.inventory import n_cores
from sweep.launchers.local_view import View, label
from sweep.launchers.seating import Seating, seating, weights_of, what_to_lower
from sweep.launchers.todo import NOTHING_TO_LEARN, corrupted_lines, impossible_told, set_corrupted_aside, todo
from sweep.launchers.worker import NO_MEMORY, Work, Worker, hired
from sweep.plan import Plan, estimate, state
from sweep.terminal.words import count
from sweep.tracking.server import for_a_sweep, news

SPOILED = (
    "The same command fails again where a parent is corrupted, as said above: with exec.rebuild_corrupted=true it "
    "builds those parents and these again."
)
START_LIMIT_S = 900.0  # for a worker to say that it is ready, imports from a slow file system included
MOST_FAILED_STARTS = 2  # one after the other, before no more workers are started
MAX_STEP_S = 5.0  # a longer gap between two looks is a driver that was stopped, and its workers with it


def run(plan: Plan, exec: Exec, tracking: TrackingConfig) -> int:
    """Build what the plan's runs still need; prints progress and what failed.

    Returns:
        0 when every run is complete; 1 when a stage failed, an artifact is corrupted and no rebuild was asked for, or
        no worker could start; 3 when all is built but runs that have nothing to learn from; 128 + the signal's number
        when interrupted.
    Raises:
        ValueError: something is to be built, and the store cannot be written.
    """
    store = Store(exec.store)
    try:
        store.check_writable()
    except ValueError:
        if exec.rebuild_corrupted or not _is_finished(plan, store):
            raise
        return 0
    store.builds.sweep_dead()
    with grids.running(store, exec.sweep_name, plan.parents()):
        return _run(plan, store, exec, tracking)


def _is_finished(plan: Plan, store: Store) -> bool:
    """Whether nothing is to be built, which is then said: that needs no more than to read the store."""
    found = state(plan, store)
    if found.corrupted or todo(plan, found, is_rebuild=False)[0]:
        return False
    print(_built_already(plan, len(found.built), store))
    return True


def _built_already(plan: Plan, n_built: int, store: Store) -> str:
    told = "the run is" if len(plan.runs) == 1 else f"all {len(plan.runs)} runs are"
    return f"{told} built already ({count(n_built, 'artifact')} in {store.root})"


def _run(plan: Plan, store: Store, exec: Exec, tracking: TrackingConfig) -> int:
    if exec.rebuild_corrupted:
        set_corrupted_aside(plan, store)
    pool = Pool(plan, store, exec, tracking)
    for line in pool.seating.lines(pool.waiting.values()) if pool.seating is not None else ():
        print(line)
    if not pool.waiting and not pool.found.corrupted:
        pool.view.close()
        print(_built_already(plan, len(pool.manifests), store))
        return 0
    if pool.waiting:
        check_installed(BUILDING, f"building {count(len(pool.waiting), 'stage')}")
    with for_a_sweep(tracking, store.root / ".logs") as pool.tracking, noted() as asked:
        try:
            pool.work(asked)
        finally:
            lost = pool.dismiss()
        if asked.number is not None and (lost or pool.waiting):
            pool.report_interruption(lost)
            return 128 + asked.number
        return pool.report()


class Pool:
    """The graph's bookkeeping: what waits, runs, is built, failed, or cannot be built any more."""

    def __init__(self, plan: Plan, store: Store, exec: Exec, tracking: TrackingConfig) -> None:
        self.plan, self.store, self.exec, self.tracking = plan, store, exec, tracking
        self.found = state(plan, store)
        self.manifests: dict[str, Manifest] = dict(self.found.built)
        keys, self.barred = todo(plan, self.found, exec.rebuild_corrupted)
        self.waiting = {key: plan.stages[key] for key in keys}
        self.failed: dict[str, str] = {}
        self.lost: set[str] = set()  # not tried, for a stage that they need failed
        self.workers: list[Worker] = []
        self.template: Template | None = None
        self.n_failed_starts = 0  # since a worker was last known to be able to work
        self.why_no_start = ""
        self.words: dict[str, str] = {}  # how a worker failed: for good, spoiled or impossible (worker.py)
        self.n_todo, self.n_barred = len(self.waiting), len(self.barred.union(self.found.corrupted))
        self.seating: Seating | None = seating(list(self.waiting.values()), exec, store.root, self.manifests.values())
        self.view = View(self)
        self.ranks = self._ranks()
        self._looked = time.monotonic()

    def work(self, asked: Asked) -> None:
        """Until nothing waits and nothing runs, no worker can be had, or a signal asks to stop."""
        while (self.waiting or any(w.stage for w in self.workers)) and asked.number is None:
            if self.seating is not None:
                self._place(self.seating)
            else:
                self._hire()
            if not self.workers:
                return
            if self.seating is None:
                self._hand_out()
            self.view.show()
            for line in news():
                self.view.line(line)
            by_pipe: dict[object, Worker] = {w.pipe: w for w in self.workers}
            for ready in wait([*(w.pipe for w in self.workers), asked.fileno()], timeout=1.0):
                # what a worker dies of after the signal is the same signal; one that did not start takes others along
                if asked.number is None and by_pipe[ready] in self.workers:
                    self._receive(by_pipe[ready])
            self._look()

    def dismiss(self) -> list[Stage]:
        """End the workers; the stages they were building, which are lost, while nothing else is."""
        lost = [(w.stage, w.process.pid) for w in self.workers if w.stage is not None]
        for worker in self.workers:
            worker.dismiss(at_once=worker.stage is not None or not worker.is_ready)
        for stage, pid in lost:
            heartbeat.end(self._heartbeat(stage), pid, "stopped", "the sweep was interrupted")
        self.workers = []
        self._end_template()
        self.store.builds.sweep_dead([pid for _, pid in lost])
        return [stage for stage, _ in lost]

    def report(self) -> int:
        """Print what failed and where its log is, and what is corrupted; the exit code."""
        self.view.close()
        n_built = self.n_todo - len(self.failed) - len(self.lost) - len(self.waiting)
        there = f"{count(len(self.manifests), 'artifact')} in {self.store.root}"
        print(f"built {count(n_built, 'stage')} in {self.view.elapsed()}; {there}")
        for key, message in self.failed.items():
            print(f"FAILED {key} ({label(self.plan.stages[key])}): {message}", file=sys.stderr)
            if self.store.log_path(key).exists():
                print(f"       log: {self.store.log_path(key)}", file=sys.stderr)
        n_incomplete = sum(run.evaluate.key not in self.manifests for run in self.plan.runs)
        incomplete = f"{n_incomplete} of {count(len(self.plan.runs), 'run is', 'runs are')} incomplete"
        is_all_impossible = all(self.words.get(key) == "impossible" for key in self.failed)
        if self.failed:
            again = SPOILED if "spoiled" in self.words.values() else "The same command again tries exactly these."
            print(
                f"{count(len(self.failed), 'stage')} failed, {len(self.lost)} that need them were not tried; "
                f"{incomplete}. " + (impossible_told(len(self.failed)) if is_all_impossible else again),
                file=sys.stderr,
            )
        if self.waiting:
            print(
                "no worker process can start on this machine, so "
                f"{count(len(self.waiting), 'stage was', 'stages were')} not tried and {incomplete}. "
                "Put right what the last one says, then "
                f"give the same command again:\n{self.why_no_start}",
                file=sys.stderr,
            )
        for text in corrupted_lines(self.plan, self.found, self.barred):
            print(text, file=sys.stderr)
        if self.waiting or self.found.corrupted or not is_all_impossible:
            return 1
        return NOTHING_TO_LEARN if self.failed else 0

    def report_interruption(self, lost: Sequence[Stage]) -> None:
        """Print what the signal cost and what is kept."""
        self.view.close()
        under_way = f" ({', '.join(map(label, lost))})" if lost else ""
        print(
            f"interrupted with {count(len(lost), 'stage')} under way{under_way} and {len(self.waiting)} not started; "
            "what was built is kept, give the same command again to go on",
            file=sys.stderr,
        )

    def _hire(self) -> None:
        """Workers for what is to do, as many as asked for, or as this machine can start."""
        n_busy = sum(w.stage is not None for w in self.workers)
        n = min(self.exec.n_workers or n_cores(), len(self.waiting) + n_busy)
        while len(self.workers) < n and self.n_failed_starts < MOST_FAILED_STARTS:
            try:
                self.workers.append(self._unbound())
            except OSError as error:
                self._not_started(f"    {error}")

    def _unbound(self) -> Worker:
        """A new worker that is bound to no card."""
        work = Work(self.store.root, self.exec, self.tracking, os.getpid())
        if not CAN_FORK:
            return hired(work)
        if self.template is not None and not self.template.is_alive():
            self._end_template()
        if self.template is None:
            self.template = Template(work)
        return self.template.hired()

    def _end_template(self) -> None:
        if self.template is not None:
            self.template.end()
        self.template = None

    def _place(self, seating: Seating) -> None:
        """Give what can begin to the workers at its cards, which are started and ended as that needs."""
        if self.n_failed_starts >= MOST_FAILED_STARTS and not self.workers:
            return
        seats = list(self.workers)
        begins = seating.begins(self._ready(), self.ranks, seats)
        for begin, stage in begins:
            for number in begin.leaving:
                self.workers.remove(seats[number])
                seats[number].dismiss(at_once=True)  # it is idle, and its memory is wanted
            worker = seats[begin.seat] if begin.seat is not None else self._seated(seating, begin.cards)
            if worker is not None:
                self._promise(worker, stage)
        if not begins and not any(worker.given for worker in self.workers):
            for stage in self._ready():
                self._fail(self.waiting.pop(stage.key), seating.unplaced())

    def _seated(self, seating: Seating, cards: tuple[str, ...]) -> Worker | None:
        """A new worker that is bound to these cards; None where it cannot be started."""
        try:
            work = Work(self.store.root, seating.exec_at(cards), self.tracking, os.getpid(), cards)
            self.workers.append(hired(work))
        except OSError as error:
            self._not_started(f"    {error}", cards)
            return None
        return self.workers[-1]

    def _promise(self, worker: Worker, stage: Stage) -> None:
        """Give it the stage, at once or when it is ready."""
        if not worker.is_ready:
            worker.promised = stage
        elif worker.take(stage):
            worker.weights = weights_of(stage)
            del self.waiting[stage.key]

    def _not_started(self, why: str, cards: tuple[str, ...] | None = None) -> None:
        self.n_failed_starts += 1
        self.why_no_start = why
        for name in self.seating.not_started(cards) if self.seating is not None and cards is not None else ():
            self.view.line(f"card {name} is left out, no worker starts on it: {why.splitlines()[-1].strip()}")
        if self.n_failed_starts == MOST_FAILED_STARTS and self.workers:
            self.view.line(f"a worker could not start, {len(self.workers)} go on: {why.splitlines()[-1].strip()}")

    def _ready(self) -> list[Stage]:
        promised = {w.promised.key for w in self.workers if w.promised is not None}
        rest = [s for s in self.waiting.values() if s.key not in promised]
        return [s for s in rest if all(p.key in self.manifests for p in s.parents.values())]

    def _hand_out(self) -> None:
        idle = [w for w in self.workers if w.is_ready and w.stage is None]
        ready = sorted(self._ready(), key=lambda s: -self.ranks[s.key]) if idle else []
        for worker, stage in zip(idle, ready, strict=False):
            if worker.take(stage):  # or it has died while it was idle, as its pipe will say
                del self.waiting[stage.key]
        if not ready and len(idle) == len(self.workers):
            raise RuntimeError(f"stages wait for parents that nobody builds: {sorted(self.waiting)}")

    def _receive(self, worker: Worker) -> None:
        try:
            word, content = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return
        if word == "ready":
            worker.is_ready, self.n_failed_starts = True, 0
            if (promised := worker.promised) is not None:
                worker.promised = None
                self._promise(worker, promised)
        elif word == "forked":
            worker.process = Adopted(content)
        elif word == "refused":
            self.workers.remove(worker)
            worker.close()
            self._not_started(content)
        elif word == "building":
            worker.began()
        else:
            stage = worker.give_back()
            if word == "built":
                self.manifests[stage.key] = content
                if self.seating is not None:
                    self.seating.estimates.learn(content)
                self.view.built(stage, content)
            elif word == NO_MEMORY and self.seating is not None:
                self._out_of_memory(self.seating, worker, stage, content)
            else:
                self.words[stage.key] = word
                self._fail(stage, content)

    def _out_of_memory(self, seating: Seating, worker: Worker, stage: Stage, content: str) -> None:
        """A stage that a card had no room for: once more, with a card to itself; then it has failed."""
        self.workers.remove(worker)
        worker.dismiss(at_once=True)  # what it leaves behind on the card goes with it
        if seating.need(stage).is_whole:
            self._fail(stage, f"{content}; it had its cards to itself: {what_to_lower(stage)}")
            return
        thought = seating.need(stage).n_bytes / 2**30
        seating.alone.add(stage.key)
        self.waiting[stage.key] = stage
        self.view.line(
            f"{label(stage)}: out of memory on card {','.join(worker.cards or ())}, where {thought:.2f} GiB were set "
            "aside for it; tried once more with a card to itself"
        )

    def _bury(self, worker: Worker, why: str = "") -> None:
        """Of a process that is gone, or has to go for the reason given: its stage failed, or it never started."""
        self.workers.remove(worker)
        code, said = worker.dismiss(at_once=True)
        if not worker.is_ready:
            for other in [w for w in self.workers if w.process is worker.process]:  # it was to become them too
                self.workers.remove(other)
                other.close()
            why = why or f"it ended with exit code {code}, its last words:\n{said}"
            self._not_started(f"    {why}", worker.cards)
            return
        self.n_failed_starts = 0
        if worker.stage is not None:
            why = why or (
                f"its worker process ended with exit code {code} (a negative one is a signal; -9 is often the kernel "
                "out of memory)"
            )
            heartbeat.end(self._heartbeat(worker.stage), worker.process.pid, "failed", why)
            self._fail(worker.stage, why)
            self.store.builds.sweep_dead([worker.process.pid])

    def _fail(self, stage: Stage, message: str) -> None:
        self.failed[stage.key] = message
        for descendant in self.plan.descendants(stage.key):
            if self.waiting.pop(descendant, None):
                self.lost.add(descendant)
        self.view.line(f"FAILED {label(stage)}: {message}")

    def _look(self) -> None:
        """Let time pass for every worker; one that took too long has to go."""
        now = time.monotonic()
        step, self._looked = min(now - self._looked, MAX_STEP_S), now
        for worker in list(self.workers):
            worker.seconds += step
            if not worker.is_ready and worker.seconds > START_LIMIT_S:
                self._bury(worker, f"it was not ready {heartbeat.minutes(worker.seconds)} after its start")
            elif worker.stage is not None:
                self._look_at(worker, worker.stage)

    def _look_at(self, worker: Worker, stage: Stage) -> None:
        worker.hear(heartbeat.read(self._heartbeat(stage)))
        limit = self.exec.limits_minutes.of(stage.kind)
        if limit is not None and worker.is_building and worker.seconds > limit * 60:
            where = worker.beat.progress if worker.beat is not None else ""
            self._bury(
                worker,
                f"stopped after {limit:g} minutes, the limit of exec.limits_minutes.{stage.kind}, "
                f"{f'at {where}' if where else 'before its first step'}; raise the limit, or set it to null, and "
                "give the same command again, which goes on from its last checkpoint",
            )
        elif said := worker.silence(heartbeat.now()):
            self.view.line(f"{label(stage)}: {said}")

    def _heartbeat(self, stage: Stage) -> Path:
        return heartbeat.path_of(self.store.root, stage.key)

    def _ranks(self) -> dict[str, float]:
        """Seconds from a stage to the end of its longest chain: what others wait for goes first."""
        seconds = estimate(self.plan, self.waiting, list(self.manifests.values()))
        children = self.plan.children()
        ranks: dict[str, float] = {}
        for key in reversed(list(self.plan.stages)):
            ranks[key] = (seconds.get(key) or 1.0) + max((ranks[c] for c in children[key]), default=0.0)
        return ranks
