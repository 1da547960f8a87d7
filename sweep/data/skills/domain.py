"""The skills domain: chains of Zipf-distributed functions with a teacher that leaves steps out.

Problem `3 f12 f7 f3`: start from 3, apply f12, f7, f3. Solution, one step a function:
`f12 3 7 ; f7 7 2 ; f3 2 4 ; ans C1`. Two forces act in it. Coverage: a training set shows rare
functions seldom, so error falls with its size. Shortcuts: the teacher omits the step of a hard
function, the omission survives the filter on the final answer where the class happens to be
right, and whoever imitates it fails on other problems. With `answer_classes: null` the answer is
the value itself, no omission survives, and only coverage is left.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweep.data.domain import BAD_FORMAT, Verdicts, one_by_one
from sweep.data.phase import Phase
from sweep.data.records import Problem
from sweep.data.skills.curriculum import SkillsPhase, chains, documents
from sweep.data.skills.world import SEPARATOR, World, distinct_draws, prompt_text, random_world, solution_text
from sweep.data.splits import SPLITS, first_problems
from sweep.fields import choice, real, seed_number, several, typed, whole

GENERATOR_VERSION = "skills-2"  # bump when the same dials would give other problems or documents

END_OF_PROMPT = " | "
ANSWER = "ans"
MAX_CHARACTERS = 10_000  # a longer text is no solution, and is not looked into
ORDERS = ("given", "random", "reversed")
MOST_PROBLEMS = 10**7
Drawn = tuple[int, list[int], int]  # a problem: its start value, its functions, the value that they end in
CHUNK = 4_096  # problems are drawn in chunks of this size, so that a larger pool extends a smaller one


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillsDials:
    """The dials of conf/dataset/skills.yaml; `n_train` is the pool that D_syn is drawn from in order."""

    domain_seed: int = seed_number()
    n_train: int = whole(0, MOST_PROBLEMS)
    n_validation: int = whole(0, MOST_PROBLEMS)
    n_test: int = whole(0, MOST_PROBLEMS)
    n_skills: int = whole(1, 10**6)
    n_values: int = whole(3, 10**6)
    chain_length: int = whole(1, 10**3)
    is_order_free: bool
    zipf_exponent: float = real(0, 100)
    zipf_offset: float = real(0, 1e12, is_whole_an_int=True)
    answer_classes: int | None = whole(2, 10**6)
    hard_fraction: float = real(0, 1)
    teacher_skip_hard: float = real(0, 1)
    teacher_skip_easy: float = real(0, 1)
    teacher_order: str = choice(*ORDERS)
    n_head: int = whole(0, 10**6)
    head_reliability: float = real(0, 1)
    tail_reliability: tuple[float, ...] = several(real(0, 1), 2, 2)  # lowest, highest
    curriculum: tuple[SkillsPhase, ...] = several(None, 0, default=())

    def __post_init__(self) -> None:
        if self.tail_reliability[0] > self.tail_reliability[1]:
            raise ValueError(f"tail_reliability={list(self.tail_reliability)} must be [lowest, highest]")
        if max(self.chain_length, self.n_head) > self.n_skills:
            raise ValueError(
                f"chain_length={self.chain_length} and n_head={self.n_head} must not exceed n_skills={self.n_skills}"
            )
        if self.teacher_order != "given" and not self.is_order_free:
            raise ValueError(
                f"teacher_order={self.teacher_order} needs is_order_free=true; where the order is not free it is given"
            )
        if self.answer_classes is not None and self.answer_classes > self.n_values:
            raise ValueError(f"answer_classes={self.answer_classes} must be null or from 2 to n_values={self.n_values}")


class Skills:
    """The domain that `SkillsDials` describe; the same dials give the same problems and facts."""

    revision = GENERATOR_VERSION
    left_out: Mapping[str, int] = {}
    not_in_documents = frozenset({
        "n_train", "n_validation", "n_test", "teacher_skip_hard", "teacher_skip_easy", "teacher_order",
    })  # fmt: skip

    def __init__(self, config: SkillsDials) -> None:
        self.config = config
        self.curriculum = config.curriculum
        self.world: World = random_world(
            n_skills=config.n_skills,
            n_values=config.n_values,
            n_classes=config.answer_classes,
            hard_fraction=config.hard_fraction,
            zipf_exponent=config.zipf_exponent,
            zipf_offset=config.zipf_offset,
            n_head=config.n_head,
            head_reliability=config.head_reliability,
            tail_reliability=(config.tail_reliability[0], config.tail_reliability[1]),
            rng=np.random.default_rng([config.domain_seed, 0]),
        )
        self._drawn = self._drawn_splits()
        self._problems: dict[str, list[Problem]] = {}
        for phase in self.curriculum:  # drawn from when the base is built; a mixture that never ends is refused now
            chains(
                self.world,
                phase,
                16,
                n_head=config.n_head,
                chain_length=config.chain_length,
                rng=np.random.default_rng(config.domain_seed),
            )

    @property
    def vocabulary(self) -> list[str]:
        """Marks, values, functions, then answers that are no values."""
        values = [str(v) for v in range(self.world.n_values)]
        functions = [f"f{i}" for i in range(self.world.n_skills)]
        classes = sorted(set(self.world.answers) - set(values))
        return [END_OF_PROMPT.strip(), SEPARATOR, ANSWER, *values, *functions, *classes]

    def n_problems(self, split: str) -> int:
        return len(self._rows(split))

    def problems(self, split: str, n_problems: int | None = None) -> list[Problem]:
        return first_problems(self._of(split), n_problems, f"dataset skills, {split} (dial n_{split})")

    def prompt(self, problem: Problem) -> str:
        return problem.question + END_OF_PROMPT

    def steps(self, text: str) -> list[str]:
        """A step ends after its separator and the blanks that follow it."""
        return re.findall(r"[^;]*;\s*|[^;]+\Z", text)

    def final_answer(self, text: str) -> str | None:
        """The word after `ans`, where that is the last word and the only answer given."""
        if len(text) > MAX_CHARACTERS:
            return None
        words = text.split()
        if len(words) < 2 or words[-2] != ANSWER or words.count(ANSWER) != 1:
            return None
        return words[-1] if words[-1] in self.world.answers else None

    def is_correct(self, text: str, problem: Problem) -> bool:
        return self.final_answer(text) == problem.answer

    def verdicts(self, texts: Sequence[str], problems: Sequence[Problem]) -> Verdicts:
        return one_by_one(self.is_correct, texts, problems)

    def teacher_solution(self, problem: Problem, rng: np.random.Generator) -> str:
        """One attempt: true facts, steps omitted with teacher_skip_hard or teacher_skip_easy."""
        value, functions = parsed_question(problem.question)
        if self.config.teacher_order == "random":
            functions = rng.permutation(functions)
        elif self.config.teacher_order == "reversed":
            functions = functions[::-1]
        skip = np.where(self.world.is_hard[functions], self.config.teacher_skip_hard, self.config.teacher_skip_easy)
        is_omitted = rng.random(len(functions)) < skip
        return solution_text(self.world, value, functions, self.world.shifts[functions], is_omitted)

    def pretraining_documents(self, phase: Phase, rng: np.random.Generator) -> list[tuple[str, str]]:
        assert isinstance(phase, SkillsPhase), phase
        written = documents(
            self.world,
            phase,
            n_head=self.config.n_head,
            chain_length=self.config.chain_length,
            is_order_free=self.config.is_order_free,
            rng=rng,
        )
        return [(question + END_OF_PROMPT, solution) for question, solution in written]

    def step_errors(self, text: str, problem: Problem) -> list[list[str]]:
        """For each step of `text`, what is wrong with it: a diagnostic of this domain, never a reward.

        Kinds: "hard skip", "easy skip" (each omitted function once, at the step that passes it over,
        or at the answer where the order is free), "wrong fact", "wrong answer" (not the class of
        the value reached) and "bad format" (unreadable, a function that is not next, a value that
        was not reached).
        """
        value, functions = parsed_question(problem.question)
        waiting = functions.tolist()
        errors: list[list[str]] = []
        for step in self.steps(text):
            words = step.split()
            found: list[str] = []
            if len(words) == 2 and words[0] == ANSWER:
                found += self._skips(waiting)
                waiting = []
                if words[1] != self.world.answers[value]:
                    found.append("wrong answer")
            elif (parsed := self._parsed_step(words)) is None or parsed[0] not in waiting:
                found.append(BAD_FORMAT)
                value = parsed[2] if parsed else value
            else:
                function, before, after = parsed
                place = waiting.index(function)
                passed_over = [] if self.config.is_order_free else waiting[:place]
                found += self._skips(passed_over)
                waiting = [f for f in waiting[len(passed_over) :] if f != function]
                if before != value:
                    found.append(BAD_FORMAT)
                if (before + self.world.shifts[function]) % self.world.n_values != after:
                    found.append("wrong fact")
                value = after
            errors.append(found)
        return errors

    def _skips(self, omitted: Sequence[int]) -> list[str]:
        return ["hard skip" if self.world.is_hard[f] else "easy skip" for f in omitted]

    def _parsed_step(self, words: Sequence[str]) -> tuple[int, int, int] | None:
        """(function, value before, value after) of `f12 3 7 ;`, None where it is no such step."""
        if len(words) != 4 or not re.fullmatch(r"f[0-9]{1,9} [0-9]{1,9} [0-9]{1,9} ;", " ".join(words)):
            return None
        function, before, after = int(words[0][1:]), int(words[1]), int(words[2])
        if function >= self.world.n_skills or max(before, after) >= self.world.n_values:
            return None
        return function, before, after

    def _of(self, split: str) -> list[Problem]:
        """The split's problems in words, which a command that only counts them never asks for."""
        if split not in self._problems:
            self._problems[split] = [
                Problem(f"skills-{split}-{n:06d}", prompt_text(value, row), self.world.answers[final])
                for n, (value, row, final) in enumerate(self._rows(split))
            ]
        return self._problems[split]

    def _rows(self, split: str) -> list[Drawn]:
        if split not in self._drawn:
            raise ValueError(f"dataset skills: no split {split!r}; choose one of {', '.join(SPLITS)}")
        return self._drawn[split]

    def _drawn_splits(self) -> dict[str, list[Drawn]]:
        """Test and validation first: what they hold is passed over when train is drawn."""
        config = self.config
        sizes = {"test": config.n_test, "validation": config.n_validation, "train": config.n_train}
        n_chains = (math.comb if config.is_order_free else math.perm)(config.n_skills, config.chain_length)
        if sum(sizes.values()) > config.n_values * n_chains:
            raise ValueError(
                f"dataset skills: n_train={config.n_train}, n_validation={config.n_validation} and "
                f"n_test={config.n_test} ask for more than the {config.n_values * n_chains} different problems of "
                f"n_values={config.n_values}, n_skills={config.n_skills}, chain_length={config.chain_length} "
                f"and is_order_free={str(config.is_order_free).lower()}; ask for fewer, or raise one of these"
            )
        seen: set[tuple[int, ...]] = set()
        drawn = {}
        for place, (split, size) in enumerate(sizes.items()):
            rng = np.random.default_rng([config.domain_seed, 1 + place])
            drawn[split] = self._drawn_problems(split, size, seen, rng)
        assert len(seen) == sum(map(len, drawn.values()))  # no content in two splits, nor twice in one
        return drawn

    def _drawn_problems(
        self, split: str, n_problems: int, seen: set[tuple[int, ...]], rng: np.random.Generator
    ) -> list[Drawn]:
        problems: list[Drawn] = []
        config, n_chunks = self.config, 10 + 20 * n_problems // CHUNK
        dials = (
            f"dataset skills: zipf_exponent={config.zipf_exponent}, zipf_offset={config.zipf_offset}, "
            f"n_skills={config.n_skills}, chain_length={config.chain_length}"
        )
        for chunk in range(n_chunks):
            n_before = len(problems)
            functions = distinct_draws(self.world.frequencies, CHUNK, config.chain_length, rng, dials)
            values = rng.integers(0, self.world.n_values, CHUNK)
            finals = (values + self.world.shifts[functions].sum(axis=1)) % self.world.n_values
            for value, row, final in zip(values.tolist(), functions.tolist(), finals.tolist(), strict=True):
                if len(problems) == n_problems:
                    return problems
                content = (value, *(sorted(row) if self.config.is_order_free else row))
                if content in seen:
                    continue
                seen.add(content)
                problems.append((value, row, final))
            # new ones only get rarer: where twice this chunk's would not do in those left, stop here
            if 2 * (len(problems) - n_before) * (n_chunks - chunk - 1) < n_problems - len(problems):
                break
        raise ValueError(
            f"{dials}: {split} asks for {n_problems} problems and only {len(problems)} more distinct "
            "ones were found; raise n_skills or chain_length, flatten the Zipf law, or ask for fewer"
        )


def parsed_question(question: str) -> tuple[int, np.ndarray]:
    """Start value and (chain_length,) function indices of `3 f12 f7 f3`."""
    value, *functions = question.split()
    return int(value), np.array([int(f[1:]) for f in functions])


def open_skills(values: Mapping[str, Any]) -> Skills:
    """The domain of conf/dataset/skills.yaml; ValueError names a dial that is wrong, unknown or missing."""
    return Skills(typed(SkillsDials, values, "dataset"))
