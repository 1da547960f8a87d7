"""Signs of life of a stage under construction: who builds it, since when, and how far it is.

    <store>/.building/<key>.heartbeat.json    written every few seconds by the process that builds

The file of a stage that was built is removed. That of one that failed or was asked to stop says so; that of one
whose process was killed says nothing of an end, and nobody holds the stage's lease any more.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from types import TracebackType

from sweep import sharing

EVERY_S = 5.0  # between two beats
QUIET_S = 300.0  # without progress, or without a beat, before a person is told


@dataclass(frozen=True)
class Moment:
    """One moment by two clocks.

    Args:
        time: seconds since the epoch, by the clock that people and time servers set.
        ticks: seconds by the kernel's clock, which nobody sets.
        boot: the run of the kernel that `ticks` are counted in, the same in all its processes; empty where not known.
    """

    time: float
    ticks: float
    boot: str


def now() -> Moment:
    """This moment on this machine."""
    return Moment(time.time(), time.monotonic(), _boot())


@cache
def _boot() -> str:
    """A container may be given ticks of its own, by a namespace of its own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/time')}"
    except (OSError, ValueError):
        return ""


@dataclass(frozen=True)
class Heartbeat:
    """What one file says; times in seconds since the epoch, for a person, and beside them the kernel's ticks.

    How long something lasts is told by ticks. Those of another machine cannot be compared with ours: the time from its
    last beat until now is then the difference of two clocks that are set, and a look alone has nothing else to go by
    (a file's time is the writer's or the server's, and to ask the server for its own would be to write into the store).

    Args:
        job: SLURM's id of the job, empty elsewhere.
        progress: how far the stage is, such as "update 3 of 40"; empty before its first step.
        progressed: when `progress` last changed.
        time: when this was written.
        card: the cards that it is built on, empty without any.
        outcome: empty while it is being built, else failed or stopped; `error` says why.
        boot: the run of the kernel that the ticks are of; empty in what an older version wrote, which has none.
    """

    key: str
    host: str
    user: str
    pid: int
    job: str
    started: float
    progress: str
    progressed: float
    time: float
    outcome: str = ""
    error: str = ""
    card: str = ""
    boot: str = ""
    started_ticks: float = 0.0
    progressed_ticks: float = 0.0
    ticks: float = 0.0

    def by_whom(self) -> str:
        """The builder, for a person."""
        return f"{self.user} on {self.host}, {self.place}"

    @property
    def place(self) -> str:
        """The job or the process, and its card."""
        where = f"job {self.job}" if self.job else f"process {self.pid}"
        return f"{where}, card {self.card}" if self.card else where

    def unseen_s(self, at: Moment) -> float:
        """Seconds since this was written; below 0 where another machine's clock is ahead of this one's."""
        return at.ticks - self.ticks if self.boot and self.boot == at.boot else at.time - self.time

    def quiet_s(self, at: Moment) -> float:
        """Seconds without progress."""
        before = self.ticks - self.progressed_ticks if self.boot else self.time - self.progressed
        return before + self.unseen_s(at)

    def lasted_s(self, at: Moment) -> float:
        """Seconds since the stage was begun."""
        return (self.ticks - self.started_ticks if self.boot else self.time - self.started) + self.unseen_s(at)

    def silence(self, at: Moment) -> str:
        """What a person is to know of a build that does not move; empty where it does."""
        if self.unseen_s(at) >= QUIET_S:
            return f"no sign of life for {minutes(self.unseen_s(at))}"
        if self.unseen_s(at) <= -QUIET_S:
            ahead = f"the clock of {self.host} is {minutes(-self.unseen_s(at))} ahead of this machine's"
            return f"{ahead}, so its signs of life tell nothing"
        if self.quiet_s(at) >= QUIET_S:
            return f"no progress for {minutes(self.quiet_s(at))}"
        return ""


class Pulse:
    """Writes one stage's heartbeat from a thread, for as long as the `with` lasts.

    A disk that is full or a folder that is gone costs the sign of life, never the stage.
    """

    def __init__(self, path: Path, key: str, job: str = "", card: str = "") -> None:
        at = now()
        self.path = path
        self._beat = Heartbeat(
            key, socket.gethostname(), _user(), os.getpid(), job, at.time, "", at.time, at.time, card=card,
            boot=at.boot, started_ticks=at.ticks, progressed_ticks=at.ticks, ticks=at.ticks,
        )  # fmt: skip
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name=f"heartbeat of {key}", daemon=True)

    def at(self, unit: str, n_done: int, n: int) -> None:
        """Note how far the stage is; the next beat says so."""
        at, progress = now(), f"{unit} {n_done:,} of {n:,}"
        self._beat = replace(self._beat, progress=progress, progressed=at.time, progressed_ticks=at.ticks)

    def __enter__(self) -> Pulse:
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        if error is None:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
            return
        is_stopped = not isinstance(error, Exception) or getattr(error, "is_resumable", False)
        outcome = "stopped" if is_stopped else "failed"
        self._beat = replace(self._beat, outcome=outcome, error=" ".join(f"{type(error).__name__}: {error}".split()))
        self._write()

    def _go_on(self) -> None:
        while not self._is_over.wait(EVERY_S):
            self._write()

    def _write(self) -> None:
        at = now()
        self._beat = replace(self._beat, time=at.time, ticks=at.ticks)
        with suppress(OSError):
            write(self.path, self._beat)


def path_of(root: Path, key: str) -> Path:
    """Where a store keeps the heartbeat of a stage."""
    return root / ".building" / f"{key}.heartbeat.json"


def end(path: Path, pid: int, outcome: str, error: str) -> None:
    """Write the end of a build whose process is gone; nothing where another process has gone on with the stage."""
    beat = read(path)
    if beat is not None and (beat.pid, beat.host, beat.outcome) == (pid, socket.gethostname(), ""):
        with suppress(OSError):
            write(path, replace(beat, outcome=outcome, error=error))


def write(path: Path, beat: Heartbeat) -> None:
    """Replace the file as a whole; not flushed to the disk, which a sign of life has no need of."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.write_text(json.dumps(asdict(beat)), encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path) -> Heartbeat | None:
    """What the file says; None where there is none, or where it does not hold a heartbeat."""
    try:
        found = json.loads(sharing.bytes_of(path))
    except (OSError, ValueError):
        return None
    kinds = {f.name: {"int": int, "float": float}.get(str(f.type), str) for f in fields(Heartbeat)}
    needed = {f.name for f in fields(Heartbeat) if f.default is MISSING}  # an older version wrote no more
    if not isinstance(found, dict) or not needed <= found.keys() <= kinds.keys():
        return None
    if not all(isinstance(value, kinds[name]) for name, value in found.items()):
        return None
    return Heartbeat(**found)


def minutes(seconds: float) -> str:
    """A length of time as a person says it."""
    n = max(0, round(seconds / 60))
    return f"{n} min" if n < 120 else f"{n / 60:.0f} h"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
