"""The SFT policy's own solutions that the verifier accepts: RFT's positives (paper, section 3)."""
from __future__ import annotations

from collections.abc import Sequence

from sweep.data.records import Credit, Solution, Trace


def solutions(
    dsyn: Sequence[Solution], traces: Sequence[Trace], reached: Sequence[Solution], credits: Sequence[Credit]
) -> list[Solution]:
    """Distinct correct traces, then distinct correct ends of rollouts, in the order they were drawn.

    Two solutions of a problem are the same when their texts are, runs of whitespace aside.
    """
    correct = [Solution(t.problem_id, t.text) for t in traces if t.is_correct]
    return distinct([*correct, *reached])


def distinct(candidates: Sequence[Solution]) -> list[Solution]:
    """The first of each set of solutions with the same problem and the same words."""
    first: dict[tuple[str, str], Solution] = {}
    for solution in candidates:
        first.setdefault((solution.problem_id, " ".join(solution.text.split())), solution)
    return list(first.values())
