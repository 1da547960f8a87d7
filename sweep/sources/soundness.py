"""Verified solutions sorted by their steps, which the verifier never looks at: what a spurious step costs RFT."""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from sweep.data.records import Solution


def matched(solutions: Sequence[Solution], is_sound: Sequence[bool], *, only: str) -> list[Solution]:
    """The sound or the spurious solutions of the problems that have both, as many a problem as it has of the rarer.

    What is trained on either kind then sees the same problems equally often and differs in the steps alone.
    """
    of: dict[str, dict[bool, list[Solution]]] = defaultdict(lambda: {True: [], False: []})
    for solution, sound in zip(solutions, is_sound, strict=True):
        of[solution.problem_id][sound].append(solution)
    return [
        solution
        for kinds in of.values()
        for solution in kinds[only == "sound"][: min(len(kinds[True]), len(kinds[False]))]
    ]
