"""GSM8K, or anything in its format: JSONL lines with `question` and an `answer` that ends in `#### 72`.

The validation problems are the `n_validation` training problems with the smallest content hash, so
that they do not depend on the order of the file; the others are the train pool, in file order.
The teacher is the file's reference solution. A step is a line, or a sentence where the config says so.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweep.data.jsonl import objects
from sweep.data.records import Problem
from sweep.data.splits import SPLITS, checked_disjoint, first_problems
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

_BLANKS = re.compile(r"\s+")
# a sentence ends behind its mark, and the blank belongs to the next one, as in the tokens of most models;
# 0.5 has no blank and is no end, and blanks that end a line stay with it
_SENTENCE_END = re.compile(r"(?<=[.!?])(?=[^\S\n]+\S)")
STEPS = ("line", "sentence")


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
    """Lines with the line ends behind them, or sentences within lines; the answer's line is one step.

    A boundary is where tokenizers split a text by themselves, so that the steps' tokens are the text's.
    """
    lines = _lines(text)
    if step == "line":
        return lines
    return [part for line in lines for part in ([line] if ANSWER_MARK in line else _SENTENCE_END.split(line))]


def _lines(text: str) -> list[str]:
    """Lines, each with the blanks up to the next one's first word, but for a last blank, which is that word's."""
    ends = [
        blanks.end() - (blanks[0][-1] != "\n")
        for blanks in _BLANKS.finditer(text)
        if "\n" in blanks[0] and blanks.start() > 0 and blanks.end() < len(text)
    ]
    places = [0, *ends, len(text)]
    return [text[a:b] for a, b in itertools.pairwise(places)] if text else []


def normalised_question(question: str) -> str:
    """Content of a question: case and blanks do not make another problem."""
    return " ".join(question.lower().split())


def content_hash(question: str) -> str:
    """Hexadecimal SHA-256 of the normalised question."""
    return hashlib.sha256(normalised_question(question).encode()).hexdigest()


class Gsm8k:
    """Train, validation and test problems of two JSONL files."""

    def __init__(self, config: Gsm8kDials) -> None:
        self.config = config
        train, test = _file_bytes(config.train_path), _file_bytes(config.test_path)
        self.revision = (
            f"gsm8k-{READING}-"
            + hashlib.sha256(hashlib.sha256(train).digest() + hashlib.sha256(test).digest()).hexdigest()
        )
        read = {
            "train": parsed_problems(train, config.train_path),
            "test": parsed_problems(test, config.test_path),
        }
        self._solutions = {p.problem_id: text for rows in read.values() for p, text in rows}
        self._problems = _splits([p for p, _ in read["train"]], [p for p, _ in read["test"]], config)

    def n_problems(self, split: str) -> int:
        return len(self._of(split))

    def problems(self, split: str, n_problems: int | None = None) -> list[Problem]:
        return first_problems(self._of(split), n_problems, f"dataset gsm8k, {split}")

    def prompt(self, problem: Problem) -> str:
        return f"Question: {problem.question}\nAnswer:\n"

    def steps(self, text: str) -> list[str]:
        return steps_of(text, self.config.step)

    def final_answer(self, text: str) -> str | None:
        return final_answer(text)

    def is_correct(self, text: str, problem: Problem) -> bool:
        return self.final_answer(text) == problem.answer

    def teacher_solution(self, problem: Problem, rng: np.random.Generator) -> str:
        """The file's reference solution; it is always the same one, so `rng` is not drawn from."""
        return self._solutions[problem.problem_id]

    def _of(self, split: str) -> list[Problem]:
        if split not in self._problems:
            raise ValueError(f"dataset gsm8k: no split {split!r}; choose one of {', '.join(SPLITS)}")
        return self._problems[split]


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


def _splits(train: list[Problem], test: list[Problem], config: Gsm8kDials) -> dict[str, list[Problem]]:
    """Hold the validation problems out of train, once no content occurs twice."""
    checked_disjoint(
        {
            config.train_path: [normalised_question(p.question) for p in train],
            config.test_path: [normalised_question(p.question) for p in test],
        },
        "dataset gsm8k",
    )
    if config.n_validation > len(train):
        raise ValueError(
            f"{config.train_path}: n_validation={config.n_validation} of {len(train)} problems can't be "
            "held out; ask for fewer"
        )
    hashes = sorted(content_hash(p.question) for p in train)[: config.n_validation]
    held_out = set(hashes)
    return {
        "train": [p for p in train if content_hash(p.question) not in held_out],
        "validation": [p for p in train if content_hash(p.question) in held_out],
        "test": test,
    }


def _file_bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(
            f"dataset gsm8k: {path} can't be read ({error.strerror}); give dataset.train_path and "
            "dataset.test_path the JSONL files of openai/grade-school-math"
        ) from None


def open_gsm8k(values: Mapping[str, Any]) -> Gsm8k:
    """The domain of conf/dataset/gsm8k.yaml; ValueError names a file, line or dial that is wrong."""
    return Gsm8k(typed(Gsm8kDials, values, "dataset"))
