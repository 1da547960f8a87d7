"""How long the rest of a grid takes: an interval from the measured seconds of what ended, or no number. Pure.

Stages are alike where `sweep.plan.alike` says so and they are of one size. Two or more that ended give the mean and
spread of their like, and so a 95 % prediction interval of the work that is left; where fewer ended, that is unknown
and the interval has no upper end. On n builders the rest takes at least the work over n, and at least the longest chain
of stages that wait for each other; and at most their sum, in whatever order an idle builder takes what is ready
(Graham 1969).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from sweep.artifacts import Stage
from sweep.plan import Plan, alike

T95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)  # Student's t, two-sided 95 %, by 1 to 10 degrees


@dataclass(frozen=True)
class Remaining:
    """What is left.

    Args:
        work_s: (low, high) seconds of one builder; None where nothing is known of it. high is infinite where only a
            part is known, or a stage takes longer than any of its like.
        wall_s: the same for as many builders as there are; None where there is none, or nothing is known.
        n: stages that are left.
        n_unknown: those of them of whose kind and size fewer than two ended.
        n_late: those that are being built for longer than any of their like took.
    """

    work_s: tuple[float, float] | None
    wall_s: tuple[float, float] | None
    n: int
    n_unknown: int
    n_late: int
    n_builders: int


@dataclass(frozen=True)
class _Like:
    """Seconds of the stages of a kind and size that ended."""

    n: int
    mean: float
    spread: float
    least: float
    most: float


def remaining(
    plan: Plan, left: Collection[str], elapsed: Mapping[str, float], seconds: Mapping[str, float], n_builders: int
) -> Remaining:
    """What is left of a plan.

    Args:
        left: keys of the stages that will be built, those that are being built among them.
        elapsed: seconds since each of those was begun.
        seconds: what each stage that ended took.
    """
    kinds = {key: _kind_of(stage) for key, stage in plan.stages.items() if key in seconds or key in left}
    ended: dict[Hashable, list[float]] = {}
    for key, took in seconds.items():
        if key in kinds:
            ended.setdefault(kinds[key], []).append(took)
    known = {kind: _Like(len(s), fmean(s), stdev(s), min(s), max(s)) for kind, s in ended.items() if len(s) > 1}
    counted = [key for key in left if kinds[key] in known]
    n_unknown = len(left) - len(counted)
    if not counted:
        nothing = None if left else (0.0, 0.0)
        return Remaining(nothing, nothing, len(left), n_unknown, 0, n_builders)
    n_late = sum(elapsed.get(key, 0.0) > known[kinds[key]].most for key in counted)
    low, high = _work(counted, kinds, known, elapsed)
    shortest, longest = _chains(plan, left, kinds, known, elapsed)
    if n_unknown or n_late:
        high = math.inf
    wall = (max(low / n_builders, shortest), high / n_builders + longest) if n_builders else None
    return Remaining((low, high), wall, len(left), n_unknown, n_late, n_builders)


def _kind_of(stage: Stage) -> Hashable:
    return alike(stage), stage.identity.get("n_problems")


def _work(
    left: Collection[str], kinds: Mapping[str, Hashable], known: Mapping[Hashable, _Like], elapsed: Mapping[str, float]
) -> tuple[float, float]:
    """95 % prediction interval of the seconds that these take."""
    mean = square = 0.0
    for kind, n in Counter(kinds[key] for key in left).items():
        like = known[kind]
        mean += n * like.mean
        square += (_t(like.n - 1) * like.spread) ** 2 * (n + n * n / like.n)
    spent = sum(min(elapsed.get(key, 0.0), known[kinds[key]].mean) for key in left)
    return max(0.0, mean - spent - math.sqrt(square)), max(0.0, mean - spent) + math.sqrt(square)


def _chains(
    plan: Plan,
    left: Collection[str],
    kinds: Mapping[str, Hashable],
    known: Mapping[Hashable, _Like],
    elapsed: Mapping[str, float],
) -> tuple[float, float]:
    """Seconds of the longest chain of stages that wait for each other, by the shortest and longest of their like."""
    shortest: dict[str, float] = {}
    longest: dict[str, float] = {}
    wanted = set(left)
    for key, stage in plan.stages.items():
        if key not in wanted:
            continue
        like, spent = known.get(kinds[key]), elapsed.get(key, 0.0)
        above = [p.key for p in stage.parents.values() if p.key in wanted]
        for out, own in ((shortest, like.least if like else 0.0), (longest, like.most if like else 0.0)):
            out[key] = max(0.0, own - spent) + max((out[p] for p in above), default=0.0)
    return max(shortest.values()), max(longest.values())


def _t(degrees: int) -> float:
    return T95[degrees - 1] if degrees <= len(T95) else 1.96 + 2.4 / degrees


def in_words(one: Remaining) -> str:
    """What is left, for a person: an interval with its unit, or unknown and why."""
    if not one.n:
        return "nothing left to build"
    if one.work_s is None:
        return f"unknown: of no kind and size of the {one.n} stages left have two ended here"
    more = f"; of {one.n_unknown} of {one.n} stages no two like them have ended" if one.n_unknown else ""
    more += f"; {one.n_late} being built for longer than any like it took" if one.n_late else ""
    if one.wall_s is None:
        return f"unknown: nobody builds it now; {span(*one.work_s)} of work{more}"
    builders = f"{one.n_builders} builder{'s' if one.n_builders > 1 else ''}"
    return f"{span(*one.wall_s)} on {builders}{more}"


def span(low: float, high: float) -> str:
    """An interval of seconds in the unit of its larger end."""
    if math.isinf(high):
        return f"more than {length(low)}"
    size, unit = _unit(high)
    ends = [f"{_rounded(s / size)}" for s in (low, high)]
    return f"{ends[0]} {unit}" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]} {unit}"


def length(seconds: float) -> str:
    """Seconds as a person says them."""
    size, unit = _unit(seconds)
    return f"{_rounded(seconds / size)} {unit}"


def _unit(seconds: float) -> tuple[float, str]:
    return next((u for u in ((1.0, "s"), (60.0, "min"), (3600.0, "h")) if seconds < 120 * u[0]), (86400.0, "days"))


def _rounded(number: float) -> str:
    return f"{number:.1f}" if number < 9.95 and number != round(number) else f"{number:.0f}"
