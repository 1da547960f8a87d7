"""Which completions of a policy are right, and which comparisons ended without a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sweep.data import Domain, Problem

if TYPE_CHECKING:  # the verbs that build nothing must not wait for torch
    from sweep.models import Completion

UNDECIDED = "undecided"  # the fact: comparisons of answers that ended without a verdict, by why; not correct


def judged(
    data: Domain,
    problems: Sequence[Problem],
    drawn: Sequence[Sequence[Completion]],
    begun: Sequence[str] | None = None,
) -> tuple[list[list[bool]], Mapping[str, int]]:
    """For each completion of each problem, whether it ended and is correct; and the undecided comparisons, by why.

    Args:
        begun: for each problem, the text that its completions go on from.
    """
    starts = begun if begun is not None else [""] * len(problems)
    ended = [
        (start + c.text, problem)
        for problem, start, completions in zip(problems, starts, drawn, strict=True)
        for c in completions
        if c.is_finished
    ]
    verdicts = data.verdicts([text for text, _ in ended], [problem for _, problem in ended])
    of_ended = iter(verdicts.is_correct)
    return [[c.is_finished and next(of_ended) for c in completions] for completions in drawn], verdicts.undecided


def counted(name: str, counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """A fact of counts by kind; none where nothing was counted."""
    return {name: dict(counts)} if counts else {}
