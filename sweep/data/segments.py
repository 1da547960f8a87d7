"""Natural text cut into steps that join exactly to it: lines, sentences, or behind each match of a pattern.

A boundary of lines and sentences is where tokenizers split a text by themselves, so that the steps' tokens are the
text's. Of a pattern that is for whoever writes it to see to.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

STEPS = ("line", "sentence", "pattern")

_BLANKS = re.compile(r"\s+")
# a sentence ends behind its mark, and the blank belongs to the next one, as in the tokens of most models;
# 0.5 has no blank and is no end, and blanks that end a line stay with it
_SENTENCE_END = re.compile(r"(?<=[.!?])(?=[^\S\n]+\S)")


def lines(text: str) -> list[str]:
    """Lines, each with the blanks up to the next one's first word, but for a last blank, which is that word's."""
    return _cut(text, [
        blanks.end() - (blanks[0][-1] != "\n")
        for blanks in _BLANKS.finditer(text)
        if "\n" in blanks[0] and blanks.start() > 0 and blanks.end() < len(text)
    ])  # fmt: skip


def sentences(text: str) -> list[str]:
    """Sentences within lines."""
    return [part for line in lines(text) for part in _SENTENCE_END.split(line)]


def cutter(step: str, pattern: str | None) -> Callable[[str], list[str]]:
    """What cuts a text into steps.

    Args:
        step: one of STEPS.
        pattern: a regular expression, where step is `pattern`: a step ends behind each of its matches.
    Raises:
        ValueError: a pattern that is missing, not asked for, or no regular expression.
    """
    if (step == "pattern") != (pattern is not None):
        raise ValueError(
            f"step={step} with step_pattern={pattern}: expected a pattern where step=pattern, and null elsewhere"
        )
    if pattern is None:
        return lines if step == "line" else sentences
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"step_pattern={pattern!r} is not a regular expression ({error}); repair it") from None

    def behind_matches(text: str) -> list[str]:
        ends = {match.end() for match in found.finditer(text)}
        return _cut(text, sorted(end for end in ends if 0 < end < len(text)))

    return behind_matches


def up_to_the_answer(parts: list[str], answer_start: int) -> list[str]:
    """The same parts; the one in which the final answer begins is the last, whatever follows."""
    n_before = 0
    for i, part in enumerate(parts):
        n_before += len(part)
        if n_before > answer_start:
            return [*parts[:i], "".join(parts[i:])]
    return parts


def _cut(text: str, ends: list[int]) -> list[str]:
    return [text[a:b] for a, b in itertools.pairwise([0, *ends, len(text)])] if text else []
