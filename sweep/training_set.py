"""What a stage samples from and is trained on: its part of D_syn, what its parents hold, and both as a method's
material."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sweep.artifacts import Stage
from sweep.bench import Bench, domain_of, seed_of
from sweep.data import Problem, ProceduralDomain, Solution, Trace
from sweep.data.records import Credit
from sweep.disk import read_jsonl
from sweep.methods.dials import Dials
from sweep.methods.material import Material
from sweep.sources import SOURCES
from sweep.sources.written import Written


def subset(stage: Stage, bench: Bench, *, n_before: int = 0) -> tuple[list[Problem], list[Solution]]:
    """This seed's first n_problems of D_syn, or those behind the first n_before: nested in n_problems, another order
    for another seed."""
    folder, n = bench.parents["dsyn"].path, stage.identity["n_problems"]
    problems = read_jsonl(folder / "problems.jsonl", Problem)
    solutions = read_jsonl(folder / "solutions.jsonl", Solution)
    if n_before + n > len(problems):
        raise ValueError(
            f"n_problems={n}{f' behind the first {n_before}' if n_before else ''} but D_syn ({folder}) has "
            f"{len(problems)} problems with a verified solution, of "
            f"{len(problems) + bench.parents['dsyn'].manifest.facts['n_dropped']} asked; "
            f"choose n_problems up to {len(problems) - n_before} or a larger dataset"
        )
    order = np.random.default_rng(stage.identity["seed"]).permutation(len(problems))[n_before : n_before + n]
    return [problems[i] for i in order], [solutions[i] for i in order]


def sampled_problems(stage: Stage, bench: Bench) -> list[Problem]:
    """The problems that pi_sft solves by itself: those it was fine-tuned on, or as many that it was not."""
    return subset(stage, bench, n_before=stage.identity["n_problems"] if is_cross_fit(stage) else 0)[0]


def is_cross_fit(stage: Stage) -> bool:
    """Whether what this stage samples, or is trained on, are solutions of problems that SFT did not see."""
    sampled = stage if stage.kind == "samples" else stage.parents.get("samples")
    return sampled is not None and sampled.identity["sampling"]["is_cross_fit"]


def written(stage: Stage, bench: Bench, dsyn: Sequence[Solution], sampled: Sequence[Problem]) -> Written:
    """What the stage's parents hold, of all rounds that it is trained on; nothing in place of those it has not."""
    data, asked = domain_of(stage), {p.problem_id: p for p in sampled}
    source = stage.identity["source"]

    def is_sound(solution: Solution) -> bool:
        assert isinstance(data, ProceduralDomain)
        return not any(data.step_errors(solution.text, asked[solution.problem_id]))

    return Written(
        dsyn,
        _of_rounds(stage, bench, "samples", "traces.jsonl", Trace),
        _of_rounds(stage, bench, "advantages", "reached.jsonl", Solution),
        _of_rounds(stage, bench, "advantages", "credits.jsonl", Credit),
        is_sound if isinstance(data, ProceduralDomain) else None,
        {dial: source[dial] for dial in SOURCES[source["name"]].dials},
    )


def _of_rounds(stage: Stage, bench: Bench, role: str, name: str, record: type) -> list[Any]:
    """The records that the rounds before left, in their order, and the last round's."""
    before = [one for one in stage.parents if one.startswith(f"{role}_")]
    roles = [*sorted(before, key=lambda one: int(one.rpartition("_")[2])), role]
    return [each for one in roles for each in bench.read(one, name, record)]


def material(
    stage: Stage,
    problems: Iterable[Problem],
    solutions: Sequence[Solution],
    *,
    traces: Sequence[Trace] = (),
    credits: Sequence[Credit] = (),
    dials: Dials | None = None,
    max_solutions_per_problem: int = 1,
) -> Material:
    data = domain_of(stage)
    return Material(
        prompts={p.problem_id: data.prompt(p) for p in problems},
        solutions=solutions,
        traces=traces,
        credits=credits,
        steps=data.steps,
        dials=dials or Dials(),
        max_solutions_per_problem=max_solutions_per_problem,
        rng=np.random.default_rng(seed_of(stage)),
    )
