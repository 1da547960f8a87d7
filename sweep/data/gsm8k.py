"""GSM8K, or anything in its format: JSONL lines with `question` and an `answer` that ends in `#### 72`.

The teacher is the file's reference solution. A step is a line, or a sentence where the config says so.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.data.domain import Verdicts, one_by_one
from sweep.data.jsonl import objects
from sweep.data.problem_files import Splits, content_hash, content_of, file_bytes, normalised_question, splits
from sweep.data.records import Problem
from sweep.data.segments import STEPS, lines, sentences
from sweep.data.splits import checked_disjoint
from sweep.fields import choice, text, typed, whole

ANSWER_MARK = "#### "
READING = "2"  # of what a file's bytes mean: bump when the same bytes would give other answers or steps
MAX_CHARACTERS = 20_000  # a longer text is no solution, and is not looked into
MAX_DIGITS = 100

# 1,234 or 1234 or 0.5 or .5, with a sign and a dollar sign in either order
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)(?:\$\s*)?(?P<sign_inside>-?)"
    r"(?P<digits>(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)%?\.*"
)
# other scripts' marks for the same; digits are looked up one by one
_MARKS = str.maketrans("\u2212\uff0d\ufe63\uff0b\uff0c\u066c\uff0e\u066b\uff05\uff04\ufe69", "---+,,..%$$")
WANTED = "the JSONL files of openai/grade-school-math"


@dataclass(frozen=True, slots=True)
class Gsm8kDials:
    """The dials of conf/dataset/gsm8k.yaml: where the files are, and how many problems to hold out."""

    train_path: str = text()
    test_path: str = text()
    n_validation: int = whole(0)
    step: str = choice(*STEPS, default="line")


def normalised_number(text: str) -> str | None:
    """One spelling for one number: `$1,080.00.`, `1080` and full-width `１０８０` are `1080`; None where it is none."""
    bare = text.strip()
    if len(bare) > MAX_DIGITS:
        return None
    match = _NUMBER.fullmatch("".join(map(_plain_digit, bare.translate(_MARKS))))
    if match is None or (match["sign"] and match["sign_inside"]):
        return None
    whole, _, fraction = match["digits"].replace(",", "").partition(".")
    digits = (whole.lstrip("0") or "0") + ("." + fraction.rstrip("0")).rstrip(".")
    is_negative = "-" in (match["sign"], match["sign_inside"])
    return f"-{digits}" if is_negative and digits != "0" else digits


def _plain_digit(character: str) -> str:
    return str(unicodedata.decimal(character)) if character.isdecimal() else character


def final_answer(text: str) -> str | None:
    """The number after the first answer mark, on its line, normalised; None where there is none."""
    if len(text) > MAX_CHARACTERS:
        return None
    _, mark, rest = text.partition(ANSWER_MARK)
    return normalised_number(rest.split("\n", 1)[0]) if mark else None


def steps_of(text: str, step: str) -> list[str]:
    """Lines with the line ends behind them, or sentences within lines; the answer's line is one step."""
    whole = lines(text)
    if step == "line":
        return whole
    return [part for line in whole for part in ([line] if ANSWER_MARK in line else sentences(line))]


class Gsm8k:
    """Train, validation and test problems of two JSONL files."""

    left_out: Mapping[str, int] = {}  # what cannot be used is refused

    def __init__(self, config: Gsm8kDials) -> None:
        self.config = config
        train, test = (file_bytes(path, "gsm8k", WANTED) for path in (config.train_path, config.test_path))
        self.revision = f"gsm8k-{READING}-{content_of(train, test)}"
        read = {
            "train": parsed_problems(train, config.train_path),
            "test": parsed_problems(test, config.test_path),
        }
        self._solutions = {p.problem_id: text for rows in read.values() for p, text in rows}
        self._problems = _disjoint([p for p, _ in read["train"]], [p for p, _ in read["test"]], config)

    def n_problems(self, split: str) -> int:
        return len(self.problems(split))

    def problems(self, split: str, n_problems: int | None = None) -> list[Problem]:
        return self._problems.first(split, n_problems)

    def prompt(self, problem: Problem) -> str:
        return f"Question: {problem.question}\nAnswer:\n"

    def steps(self, text: str) -> list[str]:
        return steps_of(text, self.config.step)

    def final_answer(self, text: str) -> str | None:
        return final_answer(text)

    def is_correct(self, text: str, problem: Problem) -> bool:
        return self.final_answer(text) == problem.answer

    def verdicts(self, texts: Sequence[str], problems: Sequence[Problem]) -> Verdicts:
        return one_by_one(self.is_correct, texts, problems)

    def teacher_solution(self, problem: Problem, rng: np.random.Generator) -> str:
        """The file's reference solution; it is always the same one, so `rng` is not drawn from."""
        return self._solutions[problem.problem_id]


def parsed_problems(content: bytes, path: str) -> list[tuple[Problem, str]]:
    """(problem, reference solution) of each JSONL line; blank lines are passed over.

    Raises:
        ValueError: names file and line of what is no JSON object with texts `question` and `answer`, of an answer
            without exactly one `#### ` and a number behind it, or of a question that an earlier line asks.
    """
    parsed: list[tuple[Problem, str]] = []
    line_of: dict[str, int] = {}
    for number, row in objects(content, path):
        where = f"{path}, line {number}"
        problem = _parsed(row, where)
        first = line_of.setdefault(content_hash(problem.question), number)
        if first != number:
            raise ValueError(
                f"{where}: line {first} asks the same question, {problem.question[:80]!r}; a problem may occur once, "
                "remove one of the two"
            )
        parsed.append((problem, row["answer"]))
    return parsed


def _parsed(row: Mapping[str, Any], where: str) -> Problem:
    texts = [row.get(key) for key in ("question", "answer")]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(
            f"{where}: expected a JSON object with the texts question and answer, got {str(row)[:80]!r}; "
            "repair or remove the line"
        )
    question, solution = str(texts[0]), str(texts[1])
    answer = final_answer(solution)
    n_marks = solution.count(ANSWER_MARK)
    if answer is None or n_marks != 1 or not question.strip():
        marks = f"{n_marks} times '{ANSWER_MARK}' in " if n_marks > 1 else ""
        raise ValueError(
            f"{where}: expected a question and an answer of at most {MAX_CHARACTERS} characters that ends in "
            f"'{ANSWER_MARK}' and a number, got {marks}one that ends in {solution[-40:]!r}; repair or remove the line"
        )
    return Problem(f"gsm8k-{content_hash(question)[:16]}", question, answer)


def _disjoint(train: list[Problem], test: list[Problem], config: Gsm8kDials) -> Splits:
    """The splits, once no content occurs twice."""
    checked_disjoint(
        {
            config.train_path: [normalised_question(p.question) for p in train],
            config.test_path: [normalised_question(p.question) for p in test],
        },
        "dataset gsm8k",
    )
    return Splits("gsm8k", splits(train, test, config.n_validation, config.train_path))


def open_gsm8k(values: Mapping[str, Any]) -> Gsm8k:
    """The domain of conf/dataset/gsm8k.yaml; ValueError names a file, line or dial that is wrong."""
    return Gsm8k(typed(Gsm8kDials, values, "dataset"))
