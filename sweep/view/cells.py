"""The grid as a map of cells, arms by sizes, and where each stage and each run stands. Pure.

A cell is an arm at a size; it holds a run for every other point of the grid: a replicate, a seed, a further setting.

    done       its evaluation is built
    running    a stage of its point of the grid is being built; one that all share (the base) is everybody's wait
    failed     its policy or its evaluation was tried and failed, was killed, or is corrupted
    lost       another stage that it needs did
    waiting    none of these: in the queue, not begun, stopped, or cancelled
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sweep.arms import usual_name
from sweep.artifacts import Stage
from sweep.launchers.local_view import label
from sweep.launchers.slurm.reasons import in_words
from sweep.launchers.slurm.watch import JobState
from sweep.plan import Plan, Run
from sweep.points import as_typed
from sweep.view.standing import Standing

WAITING, RUNNING, DONE, FAILED, LOST = STATES = ("waiting", "running", "done", "failed", "lost")
AXES = ("arm", "source", "method", "n_problems")  # what the map itself says of a run
NOT_FAILURES = {"cancelled": WAITING, "blocked": LOST}  # of jobs that are over


@dataclass(frozen=True)
class Spot:
    """A run's place in the map.

    Args:
        rest: what of the grid point neither arm nor size says, such as replicate=3.
        chain: keys of the stages that it needs, parents first, its own evaluation last.
        own: its policy and its evaluation.
    """

    arm: str
    n_problems: int
    rest: str
    chain: tuple[str, ...]
    own: frozenset[str]


@dataclass(frozen=True)
class Map:
    """Rows, columns, the places inside a cell, and a spot for every run, in the order of the multirun."""

    arms: tuple[str, ...]
    sizes: tuple[int, ...]
    rests: tuple[str, ...]
    spots: tuple[Spot, ...]


@dataclass(frozen=True)
class Where:
    """Where a stage stands, and what there is to say of it."""

    state: str
    why: str = ""


def map_of(plan: Plan) -> Map:
    """The map of a plan's runs."""
    points = [_words(run) for run in plan.runs]
    shared = set(points[0].items()).intersection(*(point.items() for point in points[1:])) if points else set()
    spots = []
    for run, point in zip(plan.runs, points, strict=True):
        exp, end = run.leaf.exp, run.evaluate
        rest = " ".join(f"{k}={v}" for k, v in point.items() if k not in AXES and (k, v) not in shared)
        matched = exp.evaluation.is_entropy_matched
        arm = usual_name(exp.source.name, exp.method.name, is_entropy_matched=matched)
        chain = (*(stage.key for stage in end.ancestors()), end.key)
        own = frozenset((end.key, end.parents["policy"].key))
        spots.append(Spot(arm, exp.n_problems, rest, chain, own))
    return Map(
        tuple(dict.fromkeys(spot.arm for spot in spots)),
        tuple(sorted({spot.n_problems for spot in spots})),
        tuple(dict.fromkeys(spot.rest for spot in spots)),
        tuple(spots),
    )


def _words(run: Run) -> dict[str, str]:
    pairs = (as_typed(word).partition("=") for word in run.leaf.overrides)
    return {key.lstrip("+"): value for key, _, value in pairs}


def stage_states(one: Standing) -> dict[str, Where]:
    """The state of every stage that is built or still needed, parents before children."""
    out: dict[str, Where] = {}
    todo = set(one.todo)
    for key, stage in one.plan.stages.items():
        if key in one.found.built:
            out[key] = Where(DONE)
        elif key in todo:
            found = _of_open(key, one)
            bad = [p for p in stage.parents.values() if p.key in out and out[p.key].state in (FAILED, LOST)]
            if found.state == WAITING and bad:
                found = Where(LOST, out[bad[0].key].why if out[bad[0].key].state == LOST else _needs(bad[0]))
            out[key] = found
    return out


def _needs(stage: Stage) -> str:
    return f"it needs {label(stage)}, which is not there"


def _of_open(key: str, one: Standing) -> Where:
    """Of a stage that is to be built, its parents aside."""
    if key in one.found.corrupted:
        return Where(FAILED, one.found.corrupted[key])
    beat = one.beats.get(key)
    is_alive = beat is not None and not beat.outcome
    if key in one.running:
        return Where(RUNNING, one.progress[key].removeprefix(", "))
    if job := one.jobs.jobs.get(key):
        return _of_job(job, is_alive)
    if key in one.ended:
        word, more = one.ended[key]
        return Where(WAITING if word == "stopped" else FAILED, f"{word}{more}")
    return Where(WAITING, "tried before, and not built" if key in one.tried else "")


def _of_job(job: JobState, is_alive: bool) -> Where:
    if job.state == "PENDING":
        return Where(WAITING, f"job {job.job} waits ({job.reason}): {in_words(job.reason)}")
    if job.state.isupper():  # of a pack of stages, one is built at a time
        return Where(RUNNING, "") if is_alive else Where(WAITING, f"job {job.job} is {job.state}")
    return Where(
        NOT_FAILURES.get(job.state, FAILED), f"{job.state} in job {job.job}: {job.reason or 'no reason known'}"
    )


def run_state(spot: Spot, states: Mapping[str, Where], has_size: Callable[[str], bool]) -> tuple[str, str]:
    """The state of a run, and the key of the stage that decides it; empty where none does.

    Args:
        has_size: whether a stage is of a point of the grid, or one that all points share.
    """
    if states[spot.chain[-1]].state == DONE:
        return DONE, ""
    of: dict[str, list[str]] = {}
    for key in spot.chain:
        if key in states:  # a parent that is gone, whose children are built, is not
            of.setdefault(states[key].state, []).append(key)
    if own := [key for key in of.get(FAILED, ()) if key in spot.own]:
        return FAILED, own[0]
    if FAILED in of or LOST in of:
        return LOST, (of.get(FAILED) or of[LOST])[0]
    if busy := [key for key in of.get(RUNNING, ()) if has_size(key) or key in spot.own]:
        return RUNNING, busy[0]
    return WAITING, (of.get(RUNNING) or [""])[0]
