"""How the stages that nothing is trained on are built, in the order of `stages.py`; each leaves one table, ROWS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd

from sweep import training_set
from sweep.artifacts import Cost, Stage
from sweep.bench import Bench, Built, domain_of, sampling_cost, seed_of
from sweep.data import Domain, Problem, Solution, Trace
from sweep.data.credit import advantages
from sweep.data.records import Credit, Row
from sweep.judging import UNDECIDED, counted, judged
from sweep.methods.settling import Prefix

ROWS = "rows.parquet"


def build_likelihoods(stage: Stage, bench: Bench) -> Built:
    """Log-likelihood, under the base, of each problem's teacher's solution and of pi_sft's distinct correct ones.

    Rows: problem_id, writer (teacher or self), n_tokens (the end of the solution counted in) and logp_sum in nats.
    """
    from sweep.models import continuation_logps

    data = domain_of(stage)
    own, dsyn = training_set.subset(stage, bench)
    sampled = training_set.sampled_problems(stage, bench)
    traces = bench.read("samples", "traces.jsonl", Trace)
    correct = dict.fromkeys(Solution(t.problem_id, t.text) for t in traces if t.is_correct and t.is_finished)
    written = [("teacher", s) for s in dsyn] + [("self", s) for s in correct]
    prompts = {p.problem_id: data.prompt(p) for p in [*own, *sampled]}
    policy = bench.policy("base")
    rows = [Row(prompts[s.problem_id], s.text, True, s.problem_id) for _, s in written]
    scores = continuation_logps(policy, rows, max_tokens=bench.exec.micro_batch_tokens)
    found = pd.DataFrame(
        [(s.problem_id, who, n, logp) for (who, s), (logp, n) in zip(written, scores, strict=True)],
        columns=["problem_id", "writer", "n_tokens", "logp_sum"],
    )
    found.to_parquet(bench.out / ROWS, index=False)
    return Built({"n_teacher": len(dsyn), "n_self": len(correct)}, Cost())


def build_values(stage: Stage, bench: Bench) -> Built:
    """Rollouts of the policy from the bare problem and from each step of one solution of pi_sft's, problem by problem.

    Rows: problem_id, n_steps and is_correct of that solution, step (0: the bare problem, i: behind the i-th step; the
    last one closes the solution and needs no policy), n_right and n_rollouts.
    """
    data, rollouts = domain_of(stage), stage.identity["rollouts"]
    problems = data.problems(stage.identity["split"])
    writer, prompts = bench.policy("sft"), [data.prompt(p) for p in problems]
    drawn = _sampled(stage, bench, writer, prompts, 1, "solutions")
    (is_correct, _), cost = judged(data, problems, drawn), sampling_cost(writer, prompts, drawn)
    ended = [(p, one.text) for p, (one,) in zip(problems, drawn, strict=True) if one.is_finished and one.text]
    is_right = {p.problem_id: right for p, (right,) in zip(problems, is_correct, strict=True)}
    begun = [(p, k, n, text) for p, whole in ended for k, n, text in _beginnings(data, whole)]
    asked = [(p, text) for p, _, _, text in begun]
    n_right, more, undecided = _n_right(stage, bench, "policy", asked)
    found = pd.DataFrame(
        [(p.problem_id, n, is_right[p.problem_id], k) for p, k, n, _ in begun],
        columns=["problem_id", "n_steps", "is_correct", "step"],
    ).assign(n_right=n_right, n_rollouts=rollouts["n_rollouts"])
    found.to_parquet(bench.out / ROWS, index=False)
    facts = {"n_test": len(problems), "n_solutions": len(ended), "n_prefixes": len(found)}
    return Built(facts | counted(UNDECIDED, undecided), cost + more)


def build_estimates(stage: Stage, bench: Bench) -> Built:
    """Advantages of the steps of pi_sft's traces: by many of its rollouts, and as estimated from each parent's traces.

    Rows, one a distinct step behind a distinct beginning: problem_id, n_traces (that pass there), n_wrong (of them),
    truth, and wrong and all (the estimates from wrong traces alone and from all; missing where none was made).
    """
    data = domain_of(stage)
    problems = {p.problem_id: p for p in training_set.sampled_problems(stage, bench)}
    traces = [t for t in bench.read("samples", "traces.jsonl", Trace) if t.is_finished and t.text]
    q_of, cost, undecided = _truth(stage, bench, data, problems, traces)
    estimated = {of: _estimates(data, bench.read(of, "credits.jsonl", Credit)) for of in ("wrong", "all")}
    passing, wrong = Counter[Prefix](), Counter[Prefix]()
    truth: dict[Prefix, float] = {}
    for t in traces:
        texts = list(accumulate(data.steps(t.text)))
        at = [(t.problem_id, text) for text in texts]
        q_values = np.array([*(q_of[prefix] for prefix in at[:-1]), float(t.is_correct)])
        truth |= dict(zip(at, advantages(q_values, q_of[t.problem_id, ""]).tolist(), strict=True))
        passing.update(at)
        wrong.update(at if not t.is_correct else [])
    found = pd.DataFrame(
        [
            (prefix[0], n, wrong[prefix], truth[prefix], *(estimated[of].get(prefix) for of in ("wrong", "all")))
            for prefix, n in passing.items()
        ],
        columns=["problem_id", "n_traces", "n_wrong", "truth", "wrong", "all"],
    ).astype({"wrong": float, "all": float})
    found.to_parquet(bench.out / ROWS, index=False)
    return Built({"n_steps": len(found), "n_prefixes": len(q_of)} | counted(UNDECIDED, undecided), cost)


def _truth(
    stage: Stage, bench: Bench, data: Domain, problems: Mapping[str, Problem], traces: Sequence[Trace]
) -> tuple[dict[Prefix, float], Cost, Mapping[str, int]]:
    """The share of right rollouts from every bare problem and every beginning of a trace."""
    begun = dict.fromkeys((t.problem_id, text) for t in traces for _, _, text in _beginnings(data, t.text))
    n_right, cost, undecided = _n_right(stage, bench, "sft", [(problems[name], text) for name, text in begun])
    n = stage.identity["rollouts"]["n_rollouts"]
    return {prefix: right / n for prefix, right in zip(begun, n_right, strict=True)}, cost, undecided


def _estimates(data: Domain, credits: Sequence[Credit]) -> dict[Prefix, float]:
    """The estimated advantage of each step, by the text up to its end."""
    found: dict[Prefix, float] = {}
    for credit in credits:
        texts = list(accumulate(data.steps(credit.text)))[: len(credit.q_values)]
        values = advantages(np.array(credit.q_values), credit.pass_rate).tolist()
        found |= {(credit.problem_id, text): value for text, value in zip(texts, values, strict=True)}
    return found


def _beginnings(data: Domain, text: str) -> list[tuple[int, int, str]]:
    """(k, n_steps, text of the first k steps) for each k below n_steps."""
    steps = data.steps(text)
    return [(k, len(steps), "".join(steps[:k])) for k in range(len(steps))]


def _n_right(
    stage: Stage, bench: Bench, role: str, begun: Sequence[tuple[Problem, str]]
) -> tuple[list[int], Cost, Mapping[str, int]]:
    """How many rollouts of a parent's policy from each beginning are right."""
    data, policy = domain_of(stage), bench.policy(role)
    prompts = [data.prompt(problem) + text for problem, text in begun]
    drawn = _sampled(stage, bench, policy, prompts, stage.identity["rollouts"]["n_rollouts"], "rollouts")
    is_correct, undecided = judged(data, [p for p, _ in begun], drawn, [text for _, text in begun])
    return [sum(right) for right in is_correct], sampling_cost(policy, prompts, drawn), undecided


def _sampled(stage: Stage, bench: Bench, policy: Any, prompts: Sequence[str], n: int, name: str) -> list[list[Any]]:
    with bench.sampler(policy) as sample:
        return sample(
            prompts,
            n_samples=n,
            temperature=stage.identity["rollouts"]["temperature"],
            top_p=1.0,
            seed=seed_of(stage) + (name == "rollouts"),
            max_new_tokens=stage.identity["max_solution_tokens"],
            **bench.sampling_limits(name),
        )


BUILDERS = {"likelihoods": build_likelihoods, "values": build_values, "estimates": build_estimates}
