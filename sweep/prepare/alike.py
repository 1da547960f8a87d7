"""Questions that ask nearly the same, found by the runs of words that they share."""

from __future__ import annotations

import re
from collections import Counter

N_WORDS = 5
_WORD = re.compile(r"[a-z]+|\d[\d.,]*\d|\d|[^\sa-z\d]")


class Alike:
    """Questions seen so far; asks whether a new one shares too much with one of them.

    Args:
        most_shared: of a new question's runs of N_WORDS words, the share that one known question may hold.
        are_numbers_one: whether another number makes no other word, so that a copy with new numbers is found.
    """

    def __init__(self, most_shared: float, *, are_numbers_one: bool) -> None:
        self.most_shared, self.are_numbers_one = most_shared, are_numbers_one
        self._of_run: dict[tuple[str, ...], list[int]] = {}
        self._n_seen = 0

    def add(self, question: str) -> None:
        for run in self._runs(question):
            self._of_run.setdefault(run, []).append(self._n_seen)
        self._n_seen += 1

    def shared(self, question: str) -> float:
        """The largest share of the question's runs that one known question holds."""
        runs = self._runs(question)
        counts = Counter(number for run in runs for number in self._of_run.get(run, ()))
        return max(counts.values(), default=0) / len(runs)

    def is_like_one(self, question: str) -> bool:
        return self.shared(question) > self.most_shared

    def _runs(self, question: str) -> set[tuple[str, ...]]:
        words = _WORD.findall(question.lower())
        if self.are_numbers_one:
            words = ["0" if word[0].isdigit() else word for word in words]
        return {tuple(words[i : i + N_WORDS]) for i in range(max(1, len(words) - N_WORDS + 1))}
