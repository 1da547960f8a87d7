"""One picture of a sweep: what the page and the terminal both show, and nothing that they do not."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sweep.artifacts import Store
from sweep.heartbeat import now
from sweep.launchers.local_view import label
from sweep.launchers.slurm.watch import waiting_lines
from sweep.launchers.todo import corrupted_lines
from sweep.plan import Plan
from sweep.terminal.words import count
from sweep.view.cells import DONE, FAILED, RUNNING, STATES, WAITING, Map, Where, map_of, run_state, stage_states
from sweep.view.log_end import LogEnd, log_end, plain
from sweep.view.remaining import Remaining, remaining
from sweep.view.standing import Standing, standing_of

MOST_LOGS = 40  # failures whose log is read; of more, the reason alone is shown


@dataclass(frozen=True)
class Builder:
    """Who builds a stage: host, process or SLURM job.

    Times are in seconds since the epoch, counted back from the clock as it stands now; 0 where not known.
    """

    key: str
    label: str
    user: str
    host: str
    place: str
    since: float
    seen: float
    progress: str
    warning: str


@dataclass(frozen=True)
class Failure:
    """A stage that failed: why, the ends of its logs, and how many runs want it."""

    key: str
    label: str
    why: str
    logs: tuple[LogEnd, ...]
    n_runs: int


@dataclass(frozen=True)
class Picture:
    """A sweep at one moment.

    Args:
        runs: (state, key of the stage that decides it) of each run, in the order of the map's spots.
        stages: the state of every stage that is built or needed, by key.
        labels: what a person calls each of them.
        counts: (correct, tested) of each evaluation that is built.
        is_slurm: whether SLURM was asked, which is not to be asked often.
        is_barred: whether an artifact is corrupted, and no rebuild was asked for.
    """

    name: str
    store: str
    when: float
    map: Map
    runs: tuple[tuple[str, str], ...]
    stages: Mapping[str, Where]
    labels: Mapping[str, str]
    seconds: Mapping[str, float]
    counts: Mapping[str, tuple[int, int]]
    running: tuple[Builder, ...]
    failures: tuple[Failure, ...]
    notes: tuple[str, ...]
    left: Remaining
    is_slurm: bool
    is_barred: bool = False

    @property
    def n_runs(self) -> dict[str, int]:
        """How many runs are in each state."""
        found = Counter(state for state, _ in self.runs)
        return {state: found[state] for state in STATES}

    @property
    def n_stages(self) -> dict[str, int]:
        """How many stages are in each state."""
        found = Counter(where.state for where in self.stages.values())
        return {state: found[state] for state in STATES}

    @property
    def is_over(self) -> bool:
        """Whether all that the grid needs is built."""
        return all(where.state == DONE for where in self.stages.values())


class Sitter:
    """A plan that has its picture taken again and again: what does not change is worked out once."""

    def __init__(self, plan: Plan, store: Store, name: str, is_rebuild: bool = False) -> None:
        self.plan, self.store, self.name, self._is_rebuild = plan, store, name, is_rebuild
        self.map = map_of(plan)
        self.labels = {key: label(stage) for key, stage in plan.stages.items()}
        self._logs: dict[Path, tuple[tuple[int, int], LogEnd]] = {}

    def picture(self) -> Picture:
        """Look at the store and at SLURM, and take the picture."""
        one, when = standing_of(self.plan, self.store, self._is_rebuild), time.time()
        stages = {key: Where(where.state, plain(where.why)) for key, where in stage_states(one).items()}
        runs = tuple(run_state(spot, stages, self._has_size) for spot in self.map.spots)
        running = tuple(self._builder(key, one, where) for key, where in stages.items() if where.state == RUNNING)
        seconds = {key: manifest.cost.seconds for key, manifest in one.found.built.items()}
        left = {key for key, where in stages.items() if where.state in (WAITING, RUNNING)}
        elapsed = {builder.key: max(0.0, when - builder.since) for builder in running if builder.since}
        return Picture(
            name=self.name,
            store=str(self.store.root),
            when=when,
            map=self.map,
            runs=runs,
            stages=stages,
            labels=self.labels,
            seconds=seconds,
            counts={
                key: (manifest.facts["n_correct"], manifest.facts["n_test"])
                for key, manifest in one.found.built.items()
                if manifest.kind == "evaluate"
            },
            running=running,
            failures=self._failures(one, stages),
            notes=_notes(one),
            left=remaining(self.plan, left, elapsed, seconds, len(running)),
            is_slurm=bool(one.jobs.jobs),
            is_barred=one.is_barred,
        )

    def _has_size(self, key: str) -> bool:
        return "n_problems" in self.plan.stages[key].identity

    def _builder(self, key: str, one: Standing, where: Where) -> Builder:
        who, beat, job = one.running.get(key), one.beats.get(key), one.jobs.jobs.get(key)
        if beat is not None and beat.outcome:  # of an earlier try
            beat = None
        number = (beat.job if beat is not None else "") or (job.job if job is not None else "")
        user = beat.user if beat is not None else who.user if who is not None else ""
        host = beat.host if beat is not None else who.host if who is not None else ""
        pid = beat.pid if beat is not None else who.pid if who is not None else 0
        card, at = f", card {beat.card}" if beat is not None and beat.card else "", now()
        return Builder(
            key,
            self.labels[key],
            user=plain(user),
            host=plain(host),
            place=plain((f"job {number}" if number else f"process {pid}") + card),
            since=at.time - beat.lasted_s(at) if beat is not None else _signed(who.since if who is not None else ""),
            seen=at.time - beat.unseen_s(at) if beat is not None else 0.0,
            progress=plain(beat.progress) if beat is not None else "",
            warning=beat.silence(at) if beat is not None else "",
        )

    def _failures(self, one: Standing, stages: Mapping[str, Where]) -> tuple[Failure, ...]:
        failed = [key for key, where in stages.items() if where.state == FAILED]
        wanted = Counter(key for spot in self.map.spots for key in spot.chain)
        out = []
        for n, key in enumerate(failed):
            job = one.jobs.jobs.get(key)
            paths = [self.store.log_path(key), *(reversed(job.output) if job is not None else ())]
            logs = [self._log_end(path) for path in paths] if n < MOST_LOGS else []
            shown = tuple(log for log in logs if log is not None)
            out.append(Failure(key, self.labels[key], stages[key].why, shown, wanted[key]))
        return tuple(out)

    def _log_end(self, path: Path) -> LogEnd | None:
        """The end of a log, read again only where it has changed; None where there is none, or nothing in it."""
        try:
            found = path.lstat()
        except OSError:
            return None
        stamp = (found.st_mtime_ns, found.st_size)
        if path not in self._logs or self._logs[path][0] != stamp:
            self._logs[path] = (stamp, log_end(path))
        return self._logs[path][1] if found.st_size else None


def _signed(when: str) -> float:
    """What a lease's holder wrote of its start, as seconds since the epoch."""
    try:
        return datetime.fromisoformat(when).timestamp()
    except ValueError:
        return 0.0


def _notes(one: Standing) -> tuple[str, ...]:
    """What a person should know beside the states: what could not be asked, why jobs wait, what is corrupted."""
    lines = [*one.jobs.unasked, *waiting_lines(one.jobs)]
    lines += [
        f"{count(n, 'stage was', 'stages were')} tried with another package than at submission: {how}"
        for how, n in one.jobs.packages.items()
    ]
    lines += [f"built twice: {key} ({copies})" for key, copies in one.jobs.twice.items()]
    lines += corrupted_lines(one.plan, one.found, one.lost, one.is_rebuild)
    return tuple(plain(" ".join(line.split())) for line in lines)
