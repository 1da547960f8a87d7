"""One row of a file of problems as a problem and its solution, or the reason why it is none."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sweep.data.answers import BOX, MAX_ANSWER, MAX_CHARACTERS, Answers, letter
from sweep.data.problem_files import Row, column
from sweep.data.records import END_OF_TURN, Problem

MOST_CHOICES = 26

# of a question, what may differ where it asks the same: blanks, punctuation, braces, spacing of LaTeX
_UNHEARD = re.compile(r"\\[,;:! ]|[\s$;:!?~{}]|(?<![0-9])[.,]|[.,](?![0-9])")

Read = tuple[Problem, str]  # a problem and its solution, "" where it has none


@dataclass(frozen=True)
class Columns:
    """Which column holds what; answer=None: the reference answer is the one that the solution states."""

    title: str
    question: str
    solution: str
    answer: str | None
    choices: str | None


def heard(question: str) -> str:
    """Content of a question, so that another punctuation or spacing is no other problem."""
    return _UNHEARD.sub("", question.lower())


def content_hash(question: str) -> str:
    """Hexadecimal SHA-256 of a question; case and blanks do not make another problem."""
    return hashlib.sha256(" ".join(question.lower().split()).encode()).hexdigest()


def read_row(row: Row, columns: Columns, answers: Answers) -> Read | str:
    """The problem and its solution, or why the row cannot be used.

    Raises:
        ValueError: a column that is not there, or holds what it cannot.
    """
    _, values = row
    question, solution = _text(row, columns, "question"), _text(row, columns, "solution", is_needed=False)
    if END_OF_TURN in question or not question.strip():
        return "no question"
    if len(solution) > MAX_CHARACTERS:
        return f"a solution of more than {MAX_CHARACTERS} characters"
    if columns.choices is not None:
        choices = _choices(row, columns.choices)
        question += "".join(f"\n{letter(i)}. {one}" for i, one in enumerate(choices))
    if columns.answer is None:
        if answers.mark is not None and answers.mark != BOX and solution.count(answers.mark) > 1:
            return f"{answers.mark.strip()!r} more than once"
        said = answers.stated(solution)
    elif columns.choices is not None:
        said = chosen(column(values, columns.answer), choices)
    else:
        said = _text(row, columns, "answer")
    answer = answers.normalised(said) if said is not None else None
    longest = MAX_CHARACTERS if answers.verifier in ("text", "function") else MAX_ANSWER
    if answer is None or len(answer) > longest:
        return f"no answer that is a {answers.verifier}" if answers.verifier in ("number", "choice") else "no answer"
    return Problem(f"{columns.title}-{content_hash(question)[:16]}", question, answer), solution


def chosen(answer: Any, choices: Sequence[str]) -> str | None:
    """The letter of the right choice, given as its place from 0, its letter or its text; None where it is none."""
    if isinstance(answer, int) and not isinstance(answer, bool):
        return letter(answer) if 0 <= answer < len(choices) else None
    named = {letter(i): letter(i) for i in range(len(choices))}
    spelt = {one: letter(i) for i, one in enumerate(choices) if choices.count(one) == 1}
    found = {of[answer] for of in (named, spelt) if answer in of}
    return found.pop() if len(found) == 1 else None


def _text(row: Row, columns: Columns, setting: str, *, is_needed: bool = True) -> str:
    where, values = row
    name: str = getattr(columns, setting)
    value = column(values, name)
    if value is None and not is_needed:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(
            f"{where}: expected a text in the column {name}, found {str(value)[:80]!r} among the columns "
            f"{', '.join(map(str, values))[:200]}; name the column that has it with dataset.{setting}=COLUMN, or "
            "repair or remove the row"
        )
    return str(value)


def _choices(row: Row, name: str) -> list[str]:
    where, values = row
    value = column(values, name)
    if not isinstance(value, list) or not 2 <= len(value) <= MOST_CHOICES or not all(isinstance(v, str) for v in value):
        raise ValueError(
            f"{where}: expected a list of 2 to {MOST_CHOICES} texts in the column {name}, found {str(value)[:80]!r}; "
            "name the column that has it with dataset.choices=COLUMN, or repair or remove the row"
        )
    return value
