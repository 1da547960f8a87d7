r"""Final answers of solutions in words: where one is stated, its one spelling, and whether it is the reference's.

number     `$1,080.00.` is `1080`; numbers are equal or not
math       LaTeX, compared by what it says (`sweep.data.equality`): `\frac12` is right where the reference is 0.5
text       the same characters, however many blanks lie between its words
choice     the letter of one of the choices: `(B)`, `B.` and `B) blue` are `B`
function   whatever a function of the user's says of (reference, answer)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sweep.data.boxed import last_box, normalised
from sweep.data.domain import Verdicts
from sweep.data.equality import EQUAL, UNDECIDED, Equality
from sweep.data.numbers import normalised_number
from sweep.data.records import Problem

VERIFIERS = ("number", "math", "text", "choice", "function")
IN_PROCESSES = ("math", "function")  # verifiers that work in processes that can be killed
BOX = r"\boxed"
MAX_CHARACTERS = 20_000  # a longer text is no solution, and is not looked into
MAX_ANSWER = 500  # of LaTeX; the longest of MATH has 159

_LETTER = re.compile(r"\(?([A-Z])(?:[).:,].*)?", re.DOTALL)


@dataclass(frozen=True)
class Answers:
    """How the final answers of a data set are read and compared.

    Args:
        mark: what stands before the final answer, which is the rest of its line; BOX for the last box that closes; None
            where the whole solution is the answer.
        verifier: one of VERIFIERS.
        equality: who compares, for a verifier in IN_PROCESSES.
    """

    mark: str | None
    verifier: str
    equality: Equality | None = None

    def start(self, text: str) -> int | None:
        """Where the statement of the final answer begins; None where there is none, or nothing but the answer."""
        if self.mark is None or len(text) > MAX_CHARACTERS:
            return None
        if self.mark == BOX:
            found = last_box(text)
            return found[0] if found else None
        place = text.find(self.mark)
        return place if place >= 0 else None

    def stated(self, text: str) -> str | None:
        """The final answer as it is written."""
        if len(text) > MAX_CHARACTERS:
            return None
        if self.mark is None:
            return text
        if self.mark == BOX:
            found = last_box(text)
            return found[1] if found else None
        _, mark, rest = text.partition(self.mark)
        return rest.split("\n", 1)[0] if mark else None

    def final(self, text: str) -> str | None:
        """The final answer of a solution, normalised; None where there is none."""
        stated = self.stated(text)
        return None if stated is None else self.normalised(stated)

    def normalised(self, answer: str) -> str | None:
        """One spelling for one answer; None where it is none."""
        return SPELLING[self.verifier](answer) or None

    def verdicts(self, texts: Sequence[str], problems: Sequence[Problem]) -> Verdicts:
        """Which solutions state the reference answer of their problem."""
        answers = [self.final(text) for text in texts]
        if self.equality is None:
            return Verdicts([answer == p.answer for answer, p in zip(answers, problems, strict=True)])
        asked = [(p.answer, a) for p, a in zip(problems, answers, strict=True) if a is not None]
        outcomes = iter(self.equality.outcomes(asked))
        found = [None if answer is None else next(outcomes) for answer in answers]
        return Verdicts([one == EQUAL for one in found], dict(Counter(one for one in found if one in UNDECIDED)))


def letter(place: int) -> str:
    """The letter of a choice, counted from 0."""
    return chr(ord("A") + place)


def _letter_of(answer: str) -> str | None:
    found = _LETTER.fullmatch(answer.strip())
    return found[1] if found else None


SPELLING: dict[str, Callable[[str], str | None]] = {
    "number": normalised_number,
    "math": normalised,
    "text": lambda answer: " ".join(answer.split()),
    "choice": _letter_of,
    "function": str.strip,
}
