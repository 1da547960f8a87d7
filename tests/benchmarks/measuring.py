"""What a benchmark is, and what one run of it leaves: seconds of ours and of the peer's, side by side in one run."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Spent:
    """Seconds of the clock and of the processors, those of processes that were waited for included."""

    wall: float
    processor: float


class Case(Protocol):
    """One benchmark made ready at one size."""

    def ours(self) -> Spent: ...
    def peer(self) -> Spent: ...
    def limit(self) -> Spent: ...


@dataclass(frozen=True)
class Benchmark:
    """One row of the table.

    Args:
        clock: `processor` where the work is computing, which other work on the machine disturbs least; `wall` else.
        goal: how many times less than the peer ours is to take; None where nothing was asked for.
        at_most: seconds that ours is to take at `size`, whatever the peer does. near: times the limit that it may take.
        size, unit: of the ratio. sizes: of the growth, in which the peer takes no part.
        limit: what nothing could be faster than, in words; measured by Case.limit.
        needs_peers: the peer lies in the peers' own environment.
        is_count: neither clock: what is compared are counts, which repeat exactly.
        open: makes a case ready in a folder, at a size. grow: the same for the growth, where that differs.
        not_grown: why no growth is measured.
        why: what is known of a goal that is missed.
        is_peer_once: it takes minutes, and is measured once beside all repeats of ours.
    """

    name: str
    ours: str
    peer: str
    limit: str
    open: Callable[[Path, int], Case]
    size: int
    unit: str
    sizes: tuple[int, ...] = (10, 100, 1_000, 10_000)
    clock: str = "processor"
    goal: float | None = None
    at_most: float | None = None
    near: float | None = None
    quick_size: int = 10
    needs_peers: bool = False
    is_count: bool = False
    repeats: int = 5
    grow: Callable[[Path, int], Case] | None = None
    is_peer_once: bool = False
    why: str = ""
    not_grown: str = ""


@dataclass(frozen=True)
class Row:
    """What was measured: seconds (or counts) of ours and the peer's, a pair a repeat or one for all; growth by size."""

    size: int
    ours: list[float]
    peer: list[float]
    limit: float
    growth: dict[str, float] = field(default_factory=dict)
    load: list[float] = field(default_factory=list)
    commit: str = ""
    date: str = ""

    @property
    def ratios(self) -> list[float]:
        theirs = self.peer if len(self.peer) > 1 else self.peer * len(self.ours)
        return [peer / mine for mine, peer in zip(self.ours, theirs, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def seconds(self) -> float:
        return statistics.median(self.ours)


def spent(work: Callable[[], Any]) -> Spent:
    """What a call takes, the processes it waits for included."""
    before, began = _processor(), time.perf_counter()
    work()
    return Spent(time.perf_counter() - began, _processor() - before)


def _processor() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def command(words: Sequence[str | Path], *, codes: Sequence[int] = (0,), **env: str) -> Spent:
    """What a command takes that ends with one of these exit codes.

    Raises:
        RuntimeError: it ended with another.
    """

    def run() -> None:
        place = {**os.environ, **env}
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=ROOT, env=place, check=False)
        if done.returncode not in codes:
            told = (done.stdout + done.stderr)[-2000:]
            raise RuntimeError(f"{' '.join(map(str, words))[:300]}: exit code {done.returncode}: {told}")

    return spent(run)


def start(*modules: str) -> Spent:
    """A Python that imports these and ends."""
    return command([sys.executable, "-c", f"import {', '.join(modules)}"])


def one_thread() -> Mapping[str, str]:
    """The environment in which libraries of arithmetic take one thread, ours and the peers'."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@contextmanager
def measured_load(into: list[float]) -> Iterator[None]:
    """The machine's load average before and after."""
    into.append(round(os.getloadavg()[0], 1))
    yield
    into.append(round(os.getloadavg()[0], 1))
