"""Verified solutions sorted by their steps, which the verifier never looks at: what a spurious step costs RFT."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from sweep.data.records import Solution
from sweep.sources import self_generated
from sweep.sources.written import Source, Written


def sound(written: Written) -> list[Solution]:
    """Of the SFT policy's verified solutions, those without a wrong or missing step."""
    return _of_both_kinds(written, only="sound")


def spurious(written: Written) -> list[Solution]:
    """Of the SFT policy's verified solutions, those with one, of the same problems and equally many."""
    return _of_both_kinds(written, only="spurious")


def _of_both_kinds(written: Written, *, only: Literal["sound", "spurious"]) -> list[Solution]:
    assert written.is_sound is not None, "planning refuses a domain that cannot judge steps"
    verified = self_generated.solutions(written)
    return matched(verified, [written.is_sound(s) for s in verified], only=only)


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


ENTRIES = {
    "self_sound": Source(sound, needs="samples", is_step_judged=True),
    "self_spurious": Source(spurious, needs="samples", is_step_judged=True),
}
