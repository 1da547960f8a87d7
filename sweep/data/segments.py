"""Natural text cut into lines or sentences that join exactly to it.

A boundary is where tokenizers split a text by themselves, so that the steps' tokens are the text's.
"""

from __future__ import annotations

import itertools
import re

STEPS = ("line", "sentence")

_BLANKS = re.compile(r"\s+")
# a sentence ends behind its mark, and the blank belongs to the next one, as in the tokens of most models;
# 0.5 has no blank and is no end, and blanks that end a line stay with it
_SENTENCE_END = re.compile(r"(?<=[.!?])(?=[^\S\n]+\S)")


def lines(text: str) -> list[str]:
    """Lines, each with the blanks up to the next one's first word, but for a last blank, which is that word's."""
    ends = [
        blanks.end() - (blanks[0][-1] != "\n")
        for blanks in _BLANKS.finditer(text)
        if "\n" in blanks[0] and blanks.start() > 0 and blanks.end() < len(text)
    ]
    places = [0, *ends, len(text)]
    return [text[a:b] for a, b in itertools.pairwise(places)] if text else []


def sentences(line: str) -> list[str]:
    """Sentences of one line."""
    return _SENTENCE_END.split(line)
