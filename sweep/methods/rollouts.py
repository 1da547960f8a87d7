"""q_values by rollouts: which traces are given credit, and how their steps' values are estimated (paper, section 5)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from sweep.data.records import Credit, Solution, Trace

Prefix = tuple[str, str]  # problem_id and the text of steps 0..i


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


def estimated(
    charged: Sequence[Trace],
    steps: Sequence[Sequence[str]],
    roll_out: Callable[[Sequence[Prefix], int], Sequence[Sequence[str]]],
    *,
    n_rollouts: int,
    is_stopped_at_pit: bool,
) -> tuple[list[list[float]], list[Solution]]:
    """q_values of the traces' steps, all traces one step deeper at a time, and the solutions that rollouts reached.

    A prefix that several traces share is rolled out once. The last step closes the solution, so its q_value is the
    verifier's verdict and needs no rollout.

    Args:
        charged: the traces; steps: the segments of each.
        roll_out: from prefixes and their depth to the right solutions among n_rollouts of each, whole texts.
        is_stopped_at_pit: a trace is followed to its first prefix without a right rollout, and not to its end.
    Returns:
        A list of q_values a trace; the distinct right solutions in the order they were reached.
    Raises:
        ValueError: a trace has no step, and so no end.
    """
    if not all(map(len, steps)):
        raise ValueError(f"{sum(not of for of in steps)} of {len(steps)} traces have no step; leave out empty texts")
    q_values: list[list[float]] = [[] for _ in charged]
    reached: dict[Prefix, None] = {}
    alive, depth = list(range(len(charged))), 0
    while alive:
        ends = {k for k in alive if depth == len(steps[k]) - 1}
        deeper = {k: (charged[k].problem_id, "".join(steps[k][: depth + 1])) for k in alive if k not in ends}
        prefixes = list(dict.fromkeys(deeper.values()))
        right = dict(zip(prefixes, roll_out(prefixes, depth) if prefixes else [], strict=True))
        for (problem_id, _), solutions in right.items():
            reached.update(dict.fromkeys((problem_id, text) for text in solutions))
        for k in alive:
            q_values[k].append(float(charged[k].is_correct) if k in ends else len(right[deeper[k]]) / n_rollouts)
        alive = [k for k in alive if k not in ends and not (is_stopped_at_pit and q_values[k][-1] == 0.0)]
        depth += 1
    return q_values, [Solution(problem_id, text) for problem_id, text in reached]


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
