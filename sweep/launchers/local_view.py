"""What a person sees of a plan that runs on this machine: a line a finished stage, and how long the rest takes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from sweep.artifacts import Manifest, Stage
from sweep.heartbeat import Heartbeat
from sweep.plan import Plan, estimate
from sweep.terminal.progress import is_live
from sweep.terminal.words import count


class Working(Protocol):
    """A worker: the stage it was given, for how many seconds, and the heartbeat of whoever builds it."""

    stage: Stage | None
    is_building: bool
    seconds: float
    beat: Heartbeat | None


class ShownPool(Protocol):
    """What is shown of a pool of workers.

    Args:
        n_barred: stages that are corrupted, or cannot be built for one that is.
    """

    plan: Plan
    n_todo: int
    n_barred: int

    @property
    def waiting(self) -> Mapping[str, Stage]: ...

    @property
    def failed(self) -> Mapping[str, str]: ...

    @property
    def lost(self) -> Collection[str]: ...

    @property
    def manifests(self) -> Mapping[str, Manifest]: ...

    @property
    def workers(self) -> Sequence[Working]: ...


class View:
    """One line a finished stage, and on a terminal a live line below it."""

    def __init__(self, pool: ShownPool) -> None:
        self.pool, self.began, self.is_live = pool, time.monotonic(), is_live(sys.stdout)
        self.eta, self.estimated = "", 0.0
        plan, n_todo = pool.plan, pool.n_todo
        print(
            f"{count(len(plan.runs), 'run')} = {count(len(plan.stages), 'unique stage')} "
            f"({plan.n_unshared} without sharing), "
            f"{len(plan.stages) - n_todo - pool.n_barred} built or not needed, {n_todo} to build"
            + (f", {pool.n_barred} corrupted or in need of what is" if pool.n_barred else "")
        )

    def built(self, stage: Stage, manifest: Manifest) -> None:
        cards = ",".join(manifest.provenance.get("cards", ()))
        self.line(f"{label(stage)}  {manifest.cost.seconds:.1f} s{f', card {cards}' if cards else ''}")

    def line(self, text: str) -> None:
        pool = self.pool
        n_done = pool.n_todo - len(pool.waiting) - sum(w.stage is not None for w in pool.workers) - len(pool.lost)
        width = len(str(pool.n_todo))
        self._clear()
        print(f"[{n_done:>{width}}/{pool.n_todo}] {self.elapsed()} {text}", flush=True)

    def show(self) -> None:
        if not self.is_live:
            return
        pool, now = self.pool, time.monotonic()
        if now - self.estimated > 3:
            self.eta, self.estimated = self._remaining(), now
        running = ", ".join(_doing(w, w.stage) for w in pool.workers if w.stage) or "workers are starting"
        n_done = pool.n_todo - len(pool.waiting) - sum(w.stage is not None for w in pool.workers)
        text = f"{n_done}/{pool.n_todo} | failed {len(pool.failed)} | {self.elapsed()}{self.eta} | {running}"
        print("\r\x1b[2K" + text[: os.get_terminal_size().columns - 1], end="", flush=True)

    def close(self) -> None:
        self._clear()

    def elapsed(self) -> str:
        return _clock(time.monotonic() - self.began)

    def _remaining(self) -> str:
        pool = self.pool
        todo = [*pool.waiting, *(w.stage.key for w in pool.workers if w.stage)]
        seconds = estimate(pool.plan, todo, list(pool.manifests.values()))
        known = [s for s in seconds.values() if s is not None]
        if not known:
            return ""
        total = sum(known) * len(seconds) / len(known) / max(1, len(pool.workers))
        return f" | ETA {_clock(total)}"

    def _clear(self) -> None:
        if self.is_live:
            print("\r\x1b[2K", end="", flush=True)


def label(stage: Stage) -> str:
    """What a person calls a stage: kind, arm and grid point."""
    owner = stage.parents.get("policy", stage)
    identity = owner.identity
    words = [stage.kind] if owner is stage else [stage.kind, owner.kind]
    for node in ("source", "method"):
        if isinstance(identity.get(node), dict):
            words.append(identity[node]["name"])
    words += [f"{name}={identity[name]}" for name in ("n_problems", "seed") if name in identity]
    return " ".join(words)


def _doing(worker: Working, stage: Stage) -> str:
    beat, took = worker.beat, f"{label(stage)} {worker.seconds:.0f} s"
    if not worker.is_building:
        return f"{took}, waits for {beat.by_whom()}" if beat is not None else took
    return f"{took}, {beat.progress}" if beat is not None and beat.progress else took


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
