"""Verified solutions sorted by their steps, which the verifier never looks at: what a spurious step costs RFT."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import floor

from sweep.data.records import Solution
from sweep.sources import self_generated
from sweep.sources.written import Source, Written


def sound(written: Written) -> list[Solution]:
    """Of the SFT policy's verified solutions, those without a wrong or missing step."""
    return _mixed(written, 0.0)


def spurious(written: Written) -> list[Solution]:
    """Of the SFT policy's verified solutions, those with one, of the same problems and equally many."""
    return _mixed(written, 1.0)


def mixed(written: Written) -> list[Solution]:
    """Of both kinds, of the same problems and equally many: a `spurious_fraction` of them with a spurious step."""
    return _mixed(written, written.dials["spurious_fraction"])


def _mixed(written: Written, fraction: float) -> list[Solution]:
    assert written.is_sound is not None, "planning refuses a domain that cannot judge steps"
    verified = self_generated.solutions(written)
    return matched(verified, [written.is_sound(s) for s in verified], fraction)


def matched(solutions: Sequence[Solution], is_sound: Sequence[bool], fraction: float) -> list[Solution]:
    """Of the problems that have both kinds, as many solutions a problem as it has of the rarer kind.

    What is trained on any fraction then sees the same problems equally often and differs in the steps alone.

    Args:
        fraction: in [0, 1], of solutions with a spurious step; kept from the first problem on, to within one solution.
    """
    of: dict[str, dict[bool, list[Solution]]] = defaultdict(lambda: {True: [], False: []})
    for solution, sound in zip(solutions, is_sound, strict=True):
        of[solution.problem_id][sound].append(solution)
    kept: list[Solution] = []
    n_before = 0
    for kinds in of.values():
        n = min(len(kinds[True]), len(kinds[False]))
        n_spurious = floor(fraction * (n_before + n)) - floor(fraction * n_before)
        kept += [*kinds[True][: n - n_spurious], *kinds[False][:n_spurious]]
        n_before += n
    return kept


ENTRIES = {
    "self_sound": Source(sound, needs="samples", is_step_judged=True),
    "self_spurious": Source(spurious, needs="samples", is_step_judged=True),
    "self_mixed": Source(mixed, needs="samples", is_step_judged=True, dials=("spurious_fraction",)),
}
