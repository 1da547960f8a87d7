"""q_values by rollouts: which traces are given credit, and how their steps' values are estimated (paper, section 5)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from sweep.data.records import Credit, Solution, Trace
from sweep.methods.settling import Prefix, Rolled


def to_charge(
    traces: Sequence[Trace], *, of: str, max_traces_per_problem: int, rng: np.random.Generator
) -> list[Trace]:
    """Distinct finished traces, wrong ones or all (`of`), at most max_traces_per_problem each, drawn at random.

    A trace that ended before its first word has no step to charge and is left out.
    """
    distinct: dict[str, dict[str, Trace]] = defaultdict(dict)
    for t in traces:
        if t.is_finished and t.text and (of == "all" or not t.is_correct):
            distinct[t.problem_id].setdefault(t.text, t)
    out = []
    for problem_id in sorted(distinct):
        candidates = list(distinct[problem_id].values())
        out += [candidates[i] for i in rng.permutation(len(candidates))[:max_traces_per_problem]]
    return out


RollOut = Callable[[Sequence[Prefix], int], Sequence[Rolled]]


def estimated(
    charged: Sequence[Trace], steps: Sequence[Sequence[str]], roll_out: RollOut, *, is_stopped_at_pit: bool
) -> tuple[list[list[float]], list[Solution]]:
    """q_values of the traces' steps, all traces one step deeper at a time, and the solutions that rollouts reached.

    A prefix that several traces share is rolled out once. The last step closes the solution, so its q_value is the
    verifier's verdict and needs no rollout.

    Args:
        charged: the traces; steps: the segments of each.
        roll_out: from distinct prefixes and their depth to the rollouts of each.
        is_stopped_at_pit: a trace is followed to its first prefix without a right rollout, and not to its end.
    Returns:
        A list of q_values a trace; the distinct right solutions in the order they were reached.
    Raises:
        ValueError: a trace has no step, and so no end.
    """
    _check_steps(steps)
    q_values: list[list[float]] = [[] for _ in charged]
    reached: dict[Prefix, None] = {}
    alive, depth = list(range(len(charged))), 0
    while alive:
        ends = {k for k in alive if depth == len(steps[k]) - 1}
        deeper = {k: _prefix(charged[k], steps[k], depth) for k in alive if k not in ends}
        rolled = _rolled(deeper.values(), depth, roll_out, reached)
        for k in alive:
            q_values[k].append(float(charged[k].is_correct) if k in ends else rolled[deeper[k]].q_value)
        alive = [k for k in alive if k not in ends and not (is_stopped_at_pit and q_values[k][-1] == 0.0)]
        depth += 1
    return q_values, [Solution(problem_id, text) for problem_id, text in reached]


def searched(
    charged: Sequence[Trace], steps: Sequence[Sequence[str]], roll_out: RollOut
) -> tuple[list[list[float]], list[Solution]]:
    """`estimated` of wrong traces up to their pit, which is looked for by halves, as if q_values never rose again.

    A step before the pit that was not looked at is given the q_value of the next one that was, the least that it then
    has. Where a q_value does rise again behind a first 0, another pit may be found.

    Raises:
        ValueError: a trace has no step, or is right, and so has no pit.
    """
    _check_steps(steps)
    if right := sum(t.is_correct for t in charged):
        raise ValueError(
            f"{right} of {len(charged)} traces are right and have no pit; charge wrong ones alone (of=wrong)"
        )
    seen: list[dict[int, float]] = [{len(of) - 1: 0.0} for of in steps]
    reached: dict[Prefix, None] = {}
    bounds = {k: (-1, len(of) - 1) for k, of in enumerate(steps)}  # the last hopeful step, the first hopeless one
    while halved := {k: (low + high) // 2 for k, (low, high) in bounds.items() if high - low > 1}:
        for depth in sorted(set(halved.values())):
            looked = {k: _prefix(charged[k], steps[k], depth) for k, at in halved.items() if at == depth}
            rolled = _rolled(looked.values(), depth, roll_out, reached)
            for k, prefix in looked.items():
                seen[k][depth] = rolled[prefix].q_value
                low, high = bounds[k]
                bounds[k] = (depth, high) if rolled[prefix].right else (low, depth)
    q_values = [_filled(seen[k], pit) for k, (_, pit) in bounds.items()]
    return q_values, [Solution(problem_id, text) for problem_id, text in reached]


def _filled(seen: Mapping[int, float], pit: int) -> list[float]:
    return [next(seen[later] for later in range(i, pit + 1) if later in seen) for i in range(pit + 1)]


def _check_steps(steps: Sequence[Sequence[str]]) -> None:
    if not all(map(len, steps)):
        raise ValueError(f"{sum(not of for of in steps)} of {len(steps)} traces have no step; leave out empty texts")


def _prefix(trace: Trace, steps: Sequence[str], depth: int) -> Prefix:
    return trace.problem_id, "".join(steps[: depth + 1])


def _rolled(
    wanted: Iterable[Prefix], depth: int, roll_out: RollOut, reached: dict[Prefix, None]
) -> dict[Prefix, Rolled]:
    """The rollouts of each distinct prefix; what they reached is added to `reached`."""
    prefixes = list(dict.fromkeys(wanted))
    rolled = dict(zip(prefixes, roll_out(prefixes, depth) if prefixes else [], strict=True))
    for (problem_id, _), one in rolled.items():
        reached.update(dict.fromkeys((problem_id, text) for text in one.right))
    return rolled


def credited(charged: Sequence[Trace], q_values: Sequence[list[float]], traces: Sequence[Trace]) -> list[Credit]:
    """The traces with their q_values and the pass_rate of their problem among all traces."""
    n_right: dict[str, int] = defaultdict(int)
    n_drawn: dict[str, int] = defaultdict(int)
    for t in traces:
        n_right[t.problem_id] += t.is_correct
        n_drawn[t.problem_id] += 1
    return [
        Credit(t.problem_id, t.text, t.is_correct, n_right[t.problem_id] / n_drawn[t.problem_id], q)
        for t, q in zip(charged, q_values, strict=True)
    ]
