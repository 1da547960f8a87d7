"""Problems, solutions, steps and verifiers: what a domain is, without any model.

A domain is opened from its config (`conf/dataset/*.yaml` as a plain dict). Its train problems are
one fixed sequence, so the first 1,000 are inside the first 2,000; no question of one split is in
another; and nothing but the final answer decides whether a solution is correct.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np

from sweep.data.gsm8k import Gsm8kDials, open_gsm8k
from sweep.data.records import Pair, Problem, Row, Solution, Trace
from sweep.data.skills.curriculum import Phase
from sweep.data.skills.domain import SkillsDials, open_skills

__all__ = ["DIALS", "DOMAINS", "Domain", "Pair", "Problem", "Row", "Solution", "Split", "Trace", "domain"]

Split = Literal["train", "validation", "test"]


class Domain(Protocol):
    """What the stages ask of a data set. Texts join exactly: prompt + "".join(steps)."""

    @property
    def revision(self) -> str:
        """Content hash of the files it read, or the version of its generator: part of every stage key."""

    @property
    def vocabulary(self) -> list[str] | None:
        """All words of a procedural domain; None where the policy brings its own tokenizer."""

    @property
    def curriculum(self) -> tuple[Phase, ...]:
        """Phases in which a base is pretrained; empty where a pretrained base is loaded."""

    @property
    def not_in_documents(self) -> frozenset[str]:
        """Dials that `pretraining_documents` do not depend on: a base is the same for all their values."""

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

    def is_correct(self, text: str, problem: Problem) -> bool:
        """The verifier: final answer against reference answer, nothing else."""

    def teacher_solution(self, problem: Problem, rng: np.random.Generator) -> str | None:
        """One attempt of the teacher, right or wrong; None where it has none."""

    def pretraining_documents(self, phase: Phase, rng: np.random.Generator) -> list[tuple[str, str]]:
        """(prompt, solution) texts of one phase of `curriculum`."""


DOMAINS = {"skills": open_skills, "gsm8k": open_gsm8k}
DIALS = {"skills": SkillsDials, "gsm8k": Gsm8kDials}  # the typed node of each, name aside


def domain(dataset: Mapping[str, Any]) -> Domain:
    """Open the domain that a dataset config describes; `name` picks it, the other keys are its dials.

    Raises:
        ValueError: no or unknown `name`, an unknown or missing dial, or data that its domain refuses.
    """
    if dataset.get("name") not in DOMAINS:
        raise ValueError(
            f"dataset.name={dataset.get('name')!r} is no domain; choose one of {', '.join(sorted(DOMAINS))}"
        )
    return DOMAINS[dataset["name"]]({key: value for key, value in dataset.items() if key != "name"})
