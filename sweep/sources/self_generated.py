"""The SFT policy's own solutions that the verifier accepts: RFT's positives (paper, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

from sweep.data.records import Solution
from sweep.sources.written import Source, Written


def solutions(written: Written) -> list[Solution]:
    """Distinct correct traces, then distinct correct ends of rollouts, in the order they were drawn.

    Two solutions of a problem are the same when their texts are, runs of whitespace aside.
    """
    correct = [Solution(t.problem_id, t.text) for t in written.traces if t.is_correct]
    return distinct([*correct, *written.reached])


def distinct(candidates: Sequence[Solution]) -> list[Solution]:
    """The first of each set of solutions with the same problem and the same words."""
    first: dict[tuple[str, str], Solution] = {}
    for solution in candidates:
        first.setdefault((solution.problem_id, " ".join(solution.text.split())), solution)
    return list(first.values())


ENTRIES = {"self": Source(solutions, needs="samples")}
