"""GSM8K, or anything in its format: JSONL lines with `question` and an `answer` that ends in `#### 72`.

The validation problems are the `n_validation` training problems with the smallest content hash, so
that they do not depend on the order of the file; the others are the train pool, in file order.
The teacher is the file's reference solution. A step is a line, or a sentence where the config says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweep.data.records import Problem
from sweep.data.skills.curriculum import Phase
from sweep.data.splits import SPLITS, checked_disjoint, first_problems
from sweep.fields import choice, text, typed, whole

ANSWER_MARK = "#### "
MAX_CHARACTERS = 20_000  # a longer text is no solution, and is not looked into
MAX_DIGITS = 100

# 1,234 or 1234 or 0.5 or .5, with a sign and a dollar sign in either order
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)(?:\$\s*)?(?P<sign_inside>-?)"
    r"(?P<digits>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)%?\.?"
)

# a sentence ends with its mark and the blanks behind it; 0.5 has no blank and is no end
_STEPS = {"line": re.compile(r"\n*[^\n]+\n*|\n+"), "sentence": re.compile(r".+?(?:[.!?]\s+|\Z)", re.DOTALL)}


@dataclass(frozen=True, slots=True)
class Gsm8kDials:
    """The dials of conf/dataset/gsm8k.yaml: where the files are, and how many problems to hold out."""

    train_path: str = text()
    test_path: str = text()
    n_validation: int = whole(0)
    step: str = choice(*_STEPS, default="line")


def normalised_number(text: str) -> str | None:
    """One spelling for one number: `$1,080.00.` and `1080` are both `1080`; None where it is no number."""
    bare = text.strip()
    match = _NUMBER.fullmatch(bare) if len(bare) <= MAX_DIGITS else None
    if match is None or (match["sign"] and match["sign_inside"]):
        return None
    whole, _, fraction = match["digits"].replace(",", "").partition(".")
    digits = (whole.lstrip("0") or "0") + ("." + fraction.rstrip("0")).rstrip(".")
    is_negative = "-" in (match["sign"], match["sign_inside"])
    return f"-{digits}" if is_negative and digits != "0" else digits


def final_answer(text: str) -> str | None:
    """The number after the first answer mark, on its line, normalised; None where there is none."""
    if len(text) > MAX_CHARACTERS:
        return None
    _, mark, rest = text.partition(ANSWER_MARK)
    return normalised_number(rest.split("\n", 1)[0]) if mark else None


def normalised_question(question: str) -> str:
    """Content of a question: case and blanks do not make another problem."""
    return " ".join(question.lower().split())


def content_hash(question: str) -> str:
    """Hexadecimal SHA-256 of the normalised question."""
    return hashlib.sha256(normalised_question(question).encode()).hexdigest()


class Gsm8k:
    """Train, validation and test problems of two JSONL files."""

    vocabulary = None
    curriculum: tuple[Phase, ...] = ()
    not_in_documents: frozenset[str] = frozenset()

    def __init__(self, config: Gsm8kDials) -> None:
        self.config = config
        train, test = _file_bytes(config.train_path), _file_bytes(config.test_path)
        self.revision = (
            "gsm8k-"
            + hashlib.sha256(hashlib.sha256(train).digest() + hashlib.sha256(test).digest()).hexdigest()
        )
        read = {
            "train": parsed_problems(_lines(train, config.train_path), config.train_path),
            "test": parsed_problems(_lines(test, config.test_path), config.test_path),
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
        """Lines, or sentences within lines, with the white space that ends them; the answer's line is one."""
        lines = _STEPS["line"].findall(text)
        if self.config.step == "line":
            return lines
        split = _STEPS["sentence"].findall
        return [part for line in lines for part in ([line] if ANSWER_MARK in line else split(line))]

    def final_answer(self, text: str) -> str | None:
        return final_answer(text)

    def is_correct(self, text: str, problem: Problem) -> bool:
        return self.final_answer(text) == problem.answer

    def teacher_solution(self, problem: Problem, rng: np.random.Generator) -> str:
        """The file's reference solution; it is always the same one, so `rng` is not drawn from."""
        return self._solutions[problem.problem_id]

    def pretraining_documents(self, phase: Phase, rng: np.random.Generator) -> list[tuple[str, str]]:
        raise ValueError("dataset gsm8k: natural text has no curriculum; take a pretrained base")

    def _of(self, split: str) -> list[Problem]:
        if split not in self._problems:
            raise ValueError(f"dataset gsm8k: no split {split!r}; choose one of {', '.join(SPLITS)}")
        return self._problems[split]


def parsed_problems(lines: Iterable[str], path: str) -> list[tuple[Problem, str]]:
    """(problem, reference solution) of each JSONL line; blank lines at the end are allowed.

    Raises:
        ValueError: names file and line of what is no JSON object with texts `question` and `answer`,
            or of an answer without a number after `#### `.
    """
    parsed = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(
                f"{where}: expected a JSON object, it does not parse ({error}); repair it"
            ) from None
        texts = [row.get(key) for key in ("question", "answer")] if isinstance(row, dict) else [None]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(
                f"{where}: expected a JSON object with the texts question and answer, got {line[:80]!r}; "
                "repair or remove the line"
            )
        answer = final_answer(row["answer"])
        if answer is None or not row["question"].strip():
            raise ValueError(
                f"{where}: expected a question and an answer that ends in '{ANSWER_MARK}' and a number, "
                f"got one that ends in {row['answer'][-40:]!r}; repair or remove the line"
            )
        name = f"gsm8k-{content_hash(row['question'])[:16]}"
        parsed.append((Problem(name, row["question"], answer), row["answer"]))
    return parsed


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


def _lines(content: bytes, path: str) -> list[str]:
    # not splitlines(): JSON texts may hold other line separators unescaped
    try:
        return content.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}, byte {error.start}: expected UTF-8 text, got byte {content[error.start]:#x}; "
            "convert the file"
        ) from None


def open_gsm8k(values: Mapping[str, Any]) -> Gsm8k:
    """The domain of conf/dataset/gsm8k.yaml; ValueError names a file, line or dial that is wrong."""
    return Gsm8k(typed(Gsm8kDials, values, "dataset"))
