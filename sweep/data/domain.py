"""What the stages ask of a data set, and what more of one that makes its problems by rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from sweep.data.phase import Phase
from sweep.data.records import Problem

Split = Literal["train", "validation", "test", "unseen"]  # unseen: problems of kinds that are in no other split
BAD_FORMAT = "bad format"  # the kind of fault that every procedural domain calls a step by that it cannot read


@dataclass(frozen=True)
class Verdicts:
    """Which of many solutions are correct, and how many could not be compared with the reference, by why."""

    is_correct: list[bool]
    undecided: Mapping[str, int] = field(default_factory=dict)


def one_by_one(
    is_correct: Callable[[str, Problem], bool], texts: Sequence[str], problems: Sequence[Problem]
) -> Verdicts:
    """The verdicts of a verifier that is at no loss and as fast for one solution as for many."""
    return Verdicts([is_correct(text, problem) for text, problem in zip(texts, problems, strict=True)])


class Domain(Protocol):
    """What the stages ask of a data set. Texts join exactly: prompt + "".join(steps)."""

    @property
    def revision(self) -> str:
        """Content hash of the files it read, or the version of its generator: part of every stage key."""

    @property
    def left_out(self) -> Mapping[str, int]:
        """How many problems of its files are in no split, by why."""

    def n_problems(self, split: Split) -> int:
        """How many problems the split has."""

    def problems(self, split: Split, n_problems: int | None = None) -> list[Problem]:
        """The first `n_problems` of the split, or all of them; ValueError beyond what it has."""

    def prompt(self, problem: Problem) -> str:
        """The rendered problem; a solution starts where it ends."""

    def steps(self, text: str) -> list[str]:
        """Segments of a solution whose concatenation is `text`; the final answer is in the last."""

    def final_answer(self, text: str) -> str | None:
        """The normalised final answer, None where there is none."""

    def verdicts(self, texts: Sequence[str], problems: Sequence[Problem]) -> Verdicts:
        """The verifier, for a solution of each of `problems`: final answer against reference answer, nothing else."""

    def teacher_solution(self, problem: Problem, rng: np.random.Generator) -> str | None:
        """One attempt of the teacher, right or wrong; None where it has none."""


@runtime_checkable
class ProceduralDomain(Domain, Protocol):
    """A domain that makes its problems by rule: it can teach a base from nothing, and judge each step."""

    @property
    def vocabulary(self) -> list[str]:
        """All words of its problems and solutions: a base that is pretrained on it knows no others."""

    @property
    def curriculum(self) -> tuple[Phase, ...]:
        """Phases in which a base is pretrained."""

    @property
    def not_in_documents(self) -> frozenset[str]:
        """Dials that `pretraining_documents` do not depend on: a base is the same for all their values."""

    def pretraining_documents(self, phase: Phase, rng: np.random.Generator) -> list[tuple[str, str]]:
        """(prompt, solution) texts of one phase of `curriculum`."""

    def step_errors(self, text: str, problem: Problem) -> list[list[str]]:
        """For each step of `text`, the kinds of fault in it, BAD_FORMAT among them: a diagnostic, never a reward."""
