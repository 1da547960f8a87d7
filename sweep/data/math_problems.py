r"""MATH, or anything in its format: JSONL lines with `problem` and a `solution` that ends in `\boxed{answer}`.

The teacher is the file's reference solution. Answers are compared by what they say (`sweep.data.equality`), so that
`\frac12` is right where the reference is 0.5. A step is a line, or a sentence where the config says so.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.data.boxed import MAX_ANSWER, final_answer, steps_of
from sweep.data.domain import Verdicts
from sweep.data.equality import EQUAL, UNDECIDED, Equality, Limits
from sweep.data.jsonl import objects
from sweep.data.problem_files import Splits, content_hash, content_of, file_bytes, splits
from sweep.data.records import Problem
from sweep.data.segments import STEPS
from sweep.fields import choice, real, text, typed, whole

READING = "1"  # of what a file's bytes mean: bump when the same bytes would give other answers, steps or verdicts
WANTED = "JSONL files of hendrycks/math, one problem a line; .jsonl.gz will do"
NO_ANSWER, ASKED_BEFORE, ASKED_IN_TEST = "no boxed answer", "asked before", "asked in the test file"

# of a question, what may differ where it asks the same: blanks, punctuation, braces, spacing of LaTeX
_UNHEARD = re.compile(r"\\[,;:! ]|[\s$.,;:!?~{}]")

Read = tuple[Problem, str]  # a problem and its reference solution


@dataclass(frozen=True, slots=True)
class MathDials:
    """The dials of conf/dataset/math.yaml: the files, what is held out or left out, and the verifier's limits."""

    train_path: str = text()
    test_path: str = text()
    n_validation: int = whole(0)
    most_left_out: int = whole(0)
    step: str = choice(*STEPS, default="line")
    comparison_s: float = real(above=0, is_whole_an_int=True, default=5)
    comparison_mb: int = whole(256, 2**20, default=1024)


class Math:
    """Train, validation and test problems of two JSONL files."""

    def __init__(self, config: MathDials) -> None:
        self.config = config
        train, test = (file_bytes(path, "math", WANTED) for path in (config.train_path, config.test_path))
        self.revision = f"math-{READING}-{content_of(train, test)}"
        why: list[tuple[str, str]] = []
        tests = _kept(_rows(test, config.test_path), content_hash, {}, why)
        trains = _kept(
            _rows(train, config.train_path), heard, {heard(p.question): ASKED_IN_TEST for p, _ in tests}, why
        )
        _check_left_out(why, config.most_left_out)
        self.left_out = dict(Counter(reason for _, reason in why))
        self._solutions = {p.problem_id: solution for p, solution in [*trains, *tests]}
        by_split = splits([p for p, _ in trains], [p for p, _ in tests], config.n_validation, config.train_path)
        self._problems = Splits("math", by_split)
        self._equality = Equality(Limits(config.comparison_s, config.comparison_mb, MAX_ANSWER))

    def n_problems(self, split: str) -> int:
        return len(self.problems(split))

    def problems(self, split: str, n_problems: int | None = None) -> list[Problem]:
        return self._problems.first(split, n_problems)

    def prompt(self, problem: Problem) -> str:
        return f"Problem: {problem.question}\nPut the final answer in \\boxed{{}}.\nSolution:\n"

    def steps(self, text: str) -> list[str]:
        return steps_of(text, self.config.step)

    def final_answer(self, text: str) -> str | None:
        return final_answer(text)

    def verdicts(self, texts: Sequence[str], problems: Sequence[Problem]) -> Verdicts:
        answers = [self.final_answer(text) for text in texts]
        asked = [(p.answer, a) for p, a in zip(problems, answers, strict=True) if a is not None]
        outcomes = iter(self._equality.outcomes(asked))
        found = [None if answer is None else next(outcomes) for answer in answers]
        return Verdicts([one == EQUAL for one in found], dict(Counter(one for one in found if one in UNDECIDED)))

    def teacher_solution(self, problem: Problem, rng: np.random.Generator) -> str:
        """The file's reference solution; it is always the same one, so `rng` is not drawn from."""
        return self._solutions[problem.problem_id]


def heard(question: str) -> str:
    """Content of a question, so that another punctuation or spacing is no other problem."""
    return _UNHEARD.sub("", question.lower())


def _rows(content: bytes, path: str) -> Iterable[tuple[str, Problem | None, str]]:
    """(where, problem or None where it has no answer, reference solution) of each line."""
    for number, row in objects(content, path):
        where = f"{path}, line {number}"
        question, solution = row.get("problem"), row.get("solution")
        if not isinstance(question, str) or not isinstance(solution, str) or not question.strip():
            raise ValueError(
                f"{where}: expected a JSON object with the texts problem and solution, got {str(row)[:80]!r}; "
                "repair or remove the line"
            )
        answer = final_answer(solution)
        is_one = answer is not None and len(answer) <= MAX_ANSWER
        yield (
            where,
            Problem(f"math-{content_hash(question)[:16]}", question, answer or "") if is_one else None,
            solution,
        )


def _kept(
    rows: Iterable[tuple[str, Problem | None, str]],
    content: Callable[[str], str],
    taken: dict[str, str],
    why: list[tuple[str, str]],
) -> list[Read]:
    """The problems with an answer whose content is not yet taken; `why` is told where the others are and the reason."""
    kept: list[Read] = []
    for where, problem, solution in rows:
        reason = NO_ANSWER if problem is None else taken.get(content(problem.question))
        if problem is None or reason is not None:
            why.append((where, str(reason)))
            continue
        taken[content(problem.question)] = ASKED_BEFORE
        kept.append((problem, solution))
    return kept


def _check_left_out(why: Sequence[tuple[str, str]], most: int) -> None:
    if len(why) > most:
        shown = "; ".join(f"{where}: {reason}" for where, reason in why[:5])
        raise ValueError(
            f"dataset math: {len(why)} problems cannot be used and most_left_out={most} may be left out ({shown}"
            f"{'; ...' if len(why) > 5 else ''}); repair the files, or allow as many"
        )


def open_math(values: Mapping[str, Any]) -> Math:
    """The domain of conf/dataset/math.yaml; ValueError names a file, line or dial that is wrong."""
    return Math(typed(MathDials, values, "dataset"))
