"""Rules that every domain's splits keep: bounded requests, no shared content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweep.data.records import Problem

SPLITS = ("train", "validation", "test")


def first_problems(problems: Sequence[Problem], n_problems: int | None, where: str) -> list[Problem]:
    """The first `n_problems`, so that a smaller set is inside a larger one; None asks for all."""
    if n_problems is None:
        return list(problems)
    if not 0 <= n_problems <= len(problems):
        raise ValueError(
            f"{where}: {n_problems} problems were asked for and it has {len(problems)}; "
            f"ask for 0 to {len(problems)}, or give the dataset more"
        )
    return list(problems[:n_problems])


def checked_disjoint(contents: Mapping[str, Sequence[str]], where: str) -> None:
    """Refuse a content (normalised question) that occurs twice, in one split or in two.

    Args:
        contents: for each split, the normalised question of each of its problems.
    Raises:
        ValueError: names the two splits, how many contents they share and one of them.
    """
    seen: dict[str, str] = {}
    shared: dict[tuple[str, str], list[str]] = {}
    for split, questions in contents.items():
        for question in questions:
            if question in seen:
                shared.setdefault((seen[question], split), []).append(question)
            seen[question] = split
    for (first, second), questions in shared.items():
        raise ValueError(
            f"{where}: {first} and {second} share {len(questions)} questions, such as "
            f"{questions[0][:80]!r}; a problem may occur once, remove it from one of them"
        )
