"""How each stage is built, in the order of `stages.py`, which says what it depends on.

A builder reads its parents' artifacts and writes its own at a bench (`bench.py`); what it computes stands in `data`,
`sources`, `methods` and `models`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sweep import measuring, pretrained, pretraining, training_set
from sweep.artifacts import Cost, Stage
from sweep.bench import Bench, Built, NothingToLearn, domain_of, sampling_cost, seed_of
from sweep.config import MethodConfig, OptimConfig, RolloutConfig, SourceConfig
from sweep.data import Domain, Problem, ProceduralDomain, Solution, Trace
from sweep.data.domain import BAD_FORMAT
from sweep.data.records import Pair, ReferenceScore
from sweep.disk import read_jsonl, write_jsonl
from sweep.finetuning import fine_tuned, scored
from sweep.judging import UNDECIDED, counted, judged
from sweep.methods import METHODS
from sweep.methods.rollouts import credited, estimated, searched, to_charge
from sweep.methods.settling import Prefix, Rolled, rolled_out
from sweep.sources import SOURCES

if TYPE_CHECKING:  # the verbs that build nothing must not wait for torch
    from sweep.models import Completion, Policy, Sampler


def build_dsyn(stage: Stage, bench: Bench) -> Built:
    """Ask the teacher about each train problem; keep the first attempt whose final answer verifies."""
    data = domain_of(stage)
    rng = np.random.default_rng(seed_of(stage, 0))
    problems, solutions, n_attempts = [], [], 0
    for problem in data.problems("train"):
        for _ in range(stage.identity["teacher"]["n_attempts"]):
            text = data.teacher_solution(problem, rng)
            n_attempts += text is not None
            if text is not None and data.verdicts([text], [problem]).is_correct[0]:
                problems.append(problem)
                solutions.append(Solution(problem.problem_id, text))
                break
    write_jsonl(bench.out / "problems.jsonl", problems)
    write_jsonl(bench.out / "solutions.jsonl", solutions)
    n_asked = data.n_problems("train")
    facts = {"n_problems": len(problems), "n_dropped": n_asked - len(problems), "n_attempts": n_attempts}
    shown = {"prompt": data.prompt(problems[0])} if problems else {}  # a rendered one, for whoever reads the manifest
    return Built(facts | shown | counted("left_out", data.left_out), Cost())


def build_base(stage: Stage, bench: Bench) -> Built:
    """Pretrain a small policy on the domain's curriculum, or take a pinned revision of a published one."""
    from sweep.models import load_policy, new_policy, save_policy

    model = stage.identity["model"]
    if model["kind"] == "pretrained":
        path, revision = pretrained.place(stage)
        save_policy(load_policy(path, revision=revision, device="cpu", dtype=model["dtype"]), bench.out)
        return Built({"path": path, "revision": revision}, Cost())
    data = domain_of(stage)
    assert isinstance(data, ProceduralDomain), "planning refuses to pretrain on another"
    shape = {k: model[k] for k in ("hidden_size", "n_layers", "n_heads", "mlp_size", "max_length", "rope_theta")}
    save_policy(new_policy(data.vocabulary, **shape, seed=model["seed"]), bench.out)
    policy, cost = bench.policy_at(bench.out), Cost()
    rng = np.random.default_rng(seed_of(stage, model["seed"]))
    n_rounds: list[int] = []
    for number, phase in enumerate(data.curriculum):
        rounds = pretraining.phase_costs(policy, data, phase, number, rng, bench, model, n_before=cost.n_updates)
        cost, n_rounds = cost + sum(rounds, Cost()), [*n_rounds, len(rounds)]
    save_policy(policy, bench.out)
    return Built({"n_parameters": sum(p.numel() for p in policy.model.parameters()), "n_rounds": n_rounds}, cost)


def build_sft(stage: Stage, bench: Bench) -> Built:
    """Fine-tune the base on the first n_problems of D_syn, in this seed's order."""
    from sweep.methods.sft import sft_loss

    problems, solutions = training_set.subset(stage, bench)
    material = training_set.material(stage, problems, solutions)
    rows, optim = METHODS["sft"].rows(material), OptimConfig(**stage.identity["optim"])
    return fine_tuned(stage, bench, "base", rows, sft_loss, optim)


def build_samples(stage: Stage, bench: Bench) -> Built:
    """Draw n_samples solutions a problem from pi_sft, or the last round's policy; verify each by its final answer."""
    data, sampling = domain_of(stage), stage.identity["sampling"]
    problems = training_set.sampled_problems(stage, bench)
    pi_sft, prompts = bench.policy("sft"), [data.prompt(p) for p in problems]
    with bench.sampler(pi_sft) as sample:
        drawn = sample(
            prompts,
            n_samples=sampling["n_samples"],
            first_sample=stage.identity.get("first_sample", 0),
            temperature=sampling["temperature"],
            top_p=sampling["top_p"],
            seed=seed_of(stage),
            max_new_tokens=stage.identity["max_solution_tokens"],
            **bench.sampling_limits("samples"),
        )
    is_correct, undecided = judged(data, problems, drawn)
    traces = [
        Trace(p.problem_id, c.text, is_right, c.is_finished)
        for p, completions, are_right in zip(problems, drawn, is_correct, strict=True)
        for c, is_right in zip(completions, are_right, strict=True)
    ]
    write_jsonl(bench.out / "traces.jsonl", traces)
    facts = {
        "n_traces": len(traces),
        "n_correct": sum(t.is_correct for t in traces),
        "n_unfinished": sum(not t.is_finished for t in traces),
    }
    return Built(facts | counted(UNDECIDED, undecided), sampling_cost(pi_sft, prompts, drawn))


def build_advantages(stage: Stage, bench: Bench) -> Built:
    """q_values of the traces' steps by rollouts of the policy that the stage has as its parent: pi_sft, or another.

    Successful rollouts are kept: they are the correct solutions that share a prefix with a mistake.
    """
    data, rollouts = domain_of(stage), RolloutConfig(**stage.identity["rollouts"])
    problems = {p.problem_id: p for p in training_set.sampled_problems(stage, bench)}
    traces = read_jsonl(bench.parents["samples"].path / "traces.jsonl", Trace)
    rng = np.random.default_rng(seed_of(stage))
    charged = to_charge(traces, of=rollouts.of, max_traces_per_problem=rollouts.max_traces_per_problem, rng=rng)
    roller = bench.policy("base" if "base" in stage.parents else "sft")
    steps = [data.steps(t.text) for t in charged]
    with bench.sampler(roller) as sample:
        roll_out = RollOut(stage, bench, data, problems, rollouts, roller, sample)
        if rollouts.search == "binary":
            q_values, reached = searched(charged, steps, roll_out)
        else:
            q_values, reached = estimated(charged, steps, roll_out, is_stopped_at_pit=rollouts.until == "pit")
    write_jsonl(bench.out / "credits.jsonl", credited(charged, q_values, traces))
    write_jsonl(bench.out / "reached.jsonl", reached)
    facts = {"n_credits": len(charged), "n_reached": len(reached)} | counted(UNDECIDED, roll_out.undecided)
    return Built(facts, roll_out.cost)


@dataclass
class RollOut:
    """The rollouts of prefixes of one depth, as many as they need; what they cost is added up."""

    stage: Stage
    bench: Bench
    data: Domain
    problems: Mapping[str, Problem]
    rollouts: RolloutConfig
    policy: Policy
    sample: Sampler
    cost: Cost = field(default_factory=Cost)
    undecided: Counter[str] = field(default_factory=Counter)

    def __call__(self, prefixes: Sequence[Prefix], depth: int) -> list[Rolled]:
        is_settled_early = self.rollouts.stop != "never"
        return rolled_out(prefixes, partial(self.draw, depth), self.rollouts.n_most, is_settled_early=is_settled_early)

    def kept(self, name: str) -> dict[str, Any]:
        return self.bench.sampling_limits(name)

    def draw(self, depth: int, prefixes: Sequence[Prefix], first: int, n: int) -> list[list[str]]:
        """The whole solutions that these rollouts of each prefix reach and the verifier accepts."""
        asked, begun = [self.problems[p] for p, _ in prefixes], [text for _, text in prefixes]
        prompts = [self.data.prompt(self.problems[p]) + text for p, text in prefixes]
        name = f"step-{depth}" if self.rollouts.stop == "never" else f"step-{depth}-{first}"
        drawn = self.sample(
            prompts,
            n_samples=n,
            first_sample=first,
            temperature=self.rollouts.temperature,
            top_p=1.0,
            seed=seed_of(self.stage) + depth + 1,
            max_new_tokens=self.stage.identity["max_solution_tokens"],
            **self.kept(name),
        )
        self.cost += sampling_cost(self.policy, prompts, drawn)
        is_correct, undecided = judged(self.data, asked, drawn, begun)
        self.undecided.update(undecided)
        return accepted(begun, drawn, is_correct)


def build_pairs(stage: Stage, bench: Bench) -> Built:
    """This method's preference pairs, and the log-probabilities of both sides under pi_sft, DPO's reference."""
    pairs = _rows(stage, bench)
    scores, cost = scored(bench, pairs)
    write_jsonl(bench.out / "pairs.jsonl", pairs)
    write_jsonl(bench.out / "reference.jsonl", scores)
    return Built({"n_pairs": len(pairs)}, cost)


def build_train(stage: Stage, bench: Bench) -> Built:
    """Optimise this method's loss on its rows, or on the pairs that its parent holds."""
    from sweep.methods.dpo import dpo_loss
    from sweep.methods.sft import sft_loss

    config = MethodConfig(**stage.identity["method"])
    optim, method = OptimConfig(**stage.identity["method"]["optim"]), METHODS[config.name]
    own_loss = None if method.loss_of is None else method.loss_of(config)
    if not method.is_preference:
        return fine_tuned(stage, bench, method.start, _rows(stage, bench), own_loss or sft_loss, optim)
    pairs, reference = bench.read("pairs", "pairs.jsonl", Pair), bench.read("pairs", "reference.jsonl", ReferenceScore)
    loss = own_loss or partial(dpo_loss, beta=config.beta)
    return fine_tuned(stage, bench, method.start, pairs, loss, optim, reference)


def _rows(stage: Stage, bench: Bench) -> list[Any]:
    """The rows or pairs that the stage's method makes of its source's solutions and of mistakes."""
    config, source = MethodConfig(**stage.identity["method"]), SourceConfig(**stage.identity["source"])
    method = METHODS[config.name]
    own, dsyn = training_set.subset(stage, bench)
    sampled = training_set.sampled_problems(stage, bench) if training_set.is_cross_fit(stage) else own
    written = training_set.written(stage, bench, dsyn, sampled)
    solutions = SOURCES[source.name].solutions(written)
    if source.include_teacher and source.name != "teacher":
        solutions = [*dsyn, *solutions]
    problems = {p.problem_id: p for p in [*own, *sampled]}.values()
    material = training_set.material(
        stage,
        problems,
        solutions,
        traces=written.traces,
        credits=written.credits,
        dials=config,
        max_solutions_per_problem=source.max_solutions_per_problem,
    )
    rows = method.rows(material)
    if not rows:
        raise NothingToLearn(
            f"{stage.key}: source={source.name} method={config.name} at n_problems={stage.identity['n_problems']} "
            f"made no training {'pair' if method.is_preference else 'row'} out of {len(solutions)} solutions, "
            f"{len(written.traces)} traces and {len(written.credits)} mistakes with q_values; draw more solutions "
            "(sampling.n_samples) or take a source whose solutions share a prefix with the mistakes (source=self)"
        )
    return rows


def build_evaluate(stage: Stage, bench: Bench) -> Built:
    """One greedy and n_samples sampled solutions of every problem of the split; counts, never rates."""
    from sweep.models import mean_entropy, temperature_of

    data, evaluation = domain_of(stage), stage.identity["evaluation"]
    policy, problems = bench.policy("policy"), data.problems(evaluation["split"])
    prompts = [data.prompt(p) for p in problems]
    shared: dict[str, Any] = {
        "top_p": 1.0,
        "seed": seed_of(stage, 0),
        "max_new_tokens": stage.identity["max_solution_tokens"],
    }
    temperature = evaluation["temperature"]
    with bench.sampler(policy) as sample:
        if "matched" in bench.parents:
            wanted = bench.parents["matched"].manifest.facts["entropy"]
            temperature = temperature_of(wanted, partial(sample, prompts, **shared, **bench.sampling_limits()))
        shared |= bench.sampling_limits("evaluate")
        greedy = sample(prompts, n_samples=1, temperature=0.0, **shared)
        n_samples = evaluation["n_samples"]
        drawn = sample(prompts, n_samples=n_samples, temperature=temperature, has_entropy=True, **shared)
    outcomes, undecided = _outcomes(data, problems, greedy, drawn)
    outcomes.to_parquet(bench.out / "outcomes.parquet", index=False)
    facts: dict[str, Any] = {
        "n_test": len(problems),
        **{name: int(outcomes[column].sum()) for name, column in COUNTED.items()},
        "temperature": temperature,
        "entropy": mean_entropy(drawn),
    }
    facts |= written_form(data, problems, [one[0] for one in greedy]) | counted(UNDECIDED, undecided)
    bench.tracker.summary(facts)
    return Built(facts, sampling_cost(policy, prompts, greedy) + sampling_cost(policy, prompts, drawn))


def written_form(data: Domain, problems: Sequence[Problem], solutions: Sequence[Completion]) -> dict[str, Any]:
    """How many solutions are malformed, which is broken rather than wrong, and what else is wrong with how many.

    Malformed is a solution that did not end, whose final answer cannot be read, or in which the domain, where it can
    tell, cannot read a step. `diagnosis` counts solutions by each kind of fault that such a domain finds in a step.
    """
    is_unread = [not one.is_finished or data.final_answer(one.text) is None for one in solutions]
    if not isinstance(data, ProceduralDomain):
        return {"n_malformed": sum(is_unread)}
    errors = [data.step_errors(one.text, problem) for problem, one in zip(problems, solutions, strict=True)]
    kinds = [{kind for step in steps for kind in step} for steps in errors]
    n_malformed = sum(is_one or BAD_FORMAT in found for is_one, found in zip(is_unread, kinds, strict=True))
    return {"n_malformed": n_malformed, "diagnosis": dict(Counter(kind for found in kinds for kind in found))}


COUNTED = {"n_correct": "is_correct", "n_correct_sampled": "n_correct_sampled", "n_sampled": "n_sampled"}


def accepted(
    begun: Sequence[str], drawn: Sequence[Sequence[Completion]], is_correct: Sequence[Sequence[bool]]
) -> list[list[str]]:
    """The whole texts of the correct completions of each beginning."""
    return [
        [text + c.text for c, is_right in zip(completions, are_right, strict=True) if is_right]
        for text, completions, are_right in zip(begun, drawn, is_correct, strict=True)
    ]


def _outcomes(
    data: Domain,
    problems: Sequence[Problem],
    greedy: Sequence[Sequence[Completion]],
    drawn: Sequence[Sequence[Completion]],
) -> tuple[pd.DataFrame, Mapping[str, int]]:
    """A row a problem: whether the greedy solution is right, how many of the sampled ones are, and the greedy text;
    and the undecided comparisons, by why."""
    is_greedy_right, undecided = judged(data, problems, greedy)
    are_right, of_drawn = judged(data, problems, drawn)
    outcomes = pd.DataFrame(
        {
            "problem_id": [p.problem_id for p in problems],
            "is_correct": [right for (right,) in is_greedy_right],
            "n_correct_sampled": [sum(right) for right in are_right],
            "n_sampled": [len(several) for several in drawn],
            "solution": [one[0].text for one in greedy],
        }
    )
    return outcomes, Counter(undecided) + Counter(of_drawn)


BUILDERS: dict[str, Callable[[Stage, Bench], Built]] = {
    "dsyn": build_dsyn,
    "base": build_base,
    "sft": build_sft,
    "samples": build_samples,
    "advantages": build_advantages,
    "pairs": build_pairs,
    "train": build_train,
    "evaluate": build_evaluate,
    **measuring.BUILDERS,
}
TRACKED = ("base", "sft", "train", "evaluate")
