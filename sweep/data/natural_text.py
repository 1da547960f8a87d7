"""Problems in words: what every data set of natural text has in common once its problems are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sweep.data.answers import Answers
from sweep.data.domain import Verdicts
from sweep.data.prompts import Prompt
from sweep.data.records import Problem
from sweep.data.segments import STEPS, up_to_the_answer
from sweep.data.splits import first_problems
from sweep.fields import choice, prose, text, whole

PLAIN_PROMPT = "Question: {question}\nAnswer:\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What a policy reads of a problem, and what a step of its solution is: dials of every data set in words."""

    prompt: str = prose(r"\{question\}", "a text with {question} in it", default=PLAIN_PROMPT)
    instruction: str = prose(default="")
    n_examples: int = whole(0, 1000, default=0)
    example_end: str = prose(default="\n\n")
    is_chat: bool = False
    step: str = choice(*STEPS, default="line")
    step_pattern: str | None = text(default=None)


class NaturalText:
    """A data set in words, from files or from a generator.

    Args:
        title: what messages call it.
        revision: content hash of all that it was made of.
        by_split: its problems; no content occurs in two splits.
        solutions: the teacher's solution of each train problem, by problem_id.
        left_out: how many problems are in no split, by why.
        cut: a solution's text into steps.
    """

    def __init__(
        self,
        title: str,
        revision: str,
        by_split: Mapping[str, Sequence[Problem]],
        solutions: Mapping[str, str],
        left_out: Mapping[str, int],
        prompt: Prompt,
        answers: Answers,
        cut: Callable[[str], list[str]],
    ) -> None:
        self.title, self.revision, self.left_out = title, revision, left_out
        self.answers = answers
        self._by_split, self._solutions, self._prompt, self._cut = by_split, solutions, prompt, cut

    def n_problems(self, split: str) -> int:
        return len(self.problems(split))

    def problems(self, split: str, n_problems: int | None = None) -> list[Problem]:
        if split not in self._by_split:
            raise ValueError(f"dataset {self.title}: no split {split!r}; choose one of {', '.join(self._by_split)}")
        return first_problems(self._by_split[split], n_problems, f"dataset {self.title}, {split}")

    def prompt(self, problem: Problem) -> str:
        return self._prompt.rendered(problem.question)

    def steps(self, text: str) -> list[str]:
        start = self.answers.start(text)
        return self._cut(text) if start is None else up_to_the_answer(self._cut(text), start)

    def final_answer(self, text: str) -> str | None:
        return self.answers.final(text)

    def verdicts(self, texts: Sequence[str], problems: Sequence[Problem]) -> Verdicts:
        return self.answers.verdicts(texts, problems)

    def teacher_solution(self, problem: Problem, rng: np.random.Generator) -> str | None:
        """The solution that came with the problem; it is always the same one, so `rng` is not drawn from."""
        return self._solutions.get(problem.problem_id)
