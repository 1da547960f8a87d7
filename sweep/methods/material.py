"""What every method is given, one view of solutions and mistakes whatever stage they came from; and what it states."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from sweep.data.records import Credit, Judged, Pair, Row, Solution, Trace
from sweep.methods.dials import Dials

if TYPE_CHECKING:  # planning a sweep reads this module and must not wait for torch
    from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Material:
    """prompts: problem_id to rendered prompt; solutions: the source's good ones; traces and credits
    are empty where the method needs none; steps splits a text; rng is the only randomness."""

    prompts: Mapping[str, str]
    solutions: Sequence[Solution]
    traces: Sequence[Trace]
    credits: Sequence[Credit]
    steps: Callable[[str], list[str]]
    dials: Dials
    max_solutions_per_problem: int
    rng: np.random.Generator

    @cached_property
    def solutions_of(self) -> Mapping[str, list[str]]:
        """problem_id to the texts of its good solutions."""
        out: dict[str, list[str]] = defaultdict(list)
        for solution in self.solutions:
            out[solution.problem_id].append(solution.text)
        return out

    @cached_property
    def credits_of(self) -> Mapping[str, list[Credit]]:
        """problem_id to its wrong traces with their q_values."""
        out: dict[str, list[Credit]] = defaultdict(list)
        for credit in self.credits:
            if not credit.is_correct:
                out[credit.problem_id].append(credit)
        return out

    def draw(self, items: Sequence[T], n: int) -> list[T]:
        """n of the items without replacement, in random order; all of them when there are fewer."""
        order = self.rng.permutation(len(items))[:n]
        return [items[i] for i in order]


@dataclass(frozen=True)
class Method:
    """rows: what is trained on; start: the weights it starts from; needs: the stage that its mistakes
    come from (none: solutions alone; samples: wrong traces; advantages: wrong traces with q_values).

    dials: those of Dials that it reads; no other enters a stage's key.
    is_of_all_steps: it reads the advantage of every step of right and wrong traces.
    loss_of: its own loss under its dials, where it is not DPO's (of pairs) or the likelihood (of rows)."""

    rows: Callable[[Material], list[Row] | list[Pair] | list[Judged]]
    start: Literal["base", "sft"]
    needs: Literal["none", "samples", "advantages"]
    is_preference: bool
    dials: tuple[str, ...] = ()
    is_of_all_steps: bool = False
    loss_of: Callable[[Dials], Callable[..., Tensor]] | None = None
