"""The paper's method, stage by stage: what each needs, and what it builds. THE FILE TO READ.

    dsyn        problems and the teacher's verified solutions            (section 3: D_syn)
    base        the LLM before any of it: pretrained here, or a pinned revision
    sft         base fine-tuned on D_syn: pi_sft, DPO's reference
    samples     pi_sft's own solutions of those problems, verified        (section 3: D+ and negatives)
    advantages  rollouts from each step of its mistakes: q_values         (section 5: per-step credit)
    train       RFT, DPO, per-step DPO and their controls
    evaluate    the outcome of every test problem

The first half of the file says what a stage depends on: one function a stage, from the run's Exp to a
Stage (kind, version, its slice of Exp, its parents). The second half builds them. A VERSION is bumped
by hand when a change of code changes what a stage means.
"""
from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sweep.artifacts import Cost, Stage, read_jsonl, write_jsonl
from sweep.bench import Bench, Built, domain_of, open_domain, sampling_cost, seed_of, training_cost
from sweep.config import Exp, MethodConfig, OptimConfig, RolloutConfig, SourceConfig
from sweep.data import Domain, Problem, Solution, Trace
from sweep.data.records import Credit, Pair, Row
from sweep.methods import METHODS
from sweep.methods.material import Choices, Material
from sweep.sources import SOURCES
from sweep.sources.soundness import matched

if TYPE_CHECKING:  # planning a sweep reads this module and must not wait for torch
    from sweep.models import Completion

PATH = "_path"  # dataset fields so named say where files lie
VERSION = {"dsyn": 1, "base": 1, "sft": 1, "samples": 1, "advantages": 1, "train": 1, "evaluate": 1}


# ---------------------------------------------------------------- what each stage depends on


def dsyn(exp: Exp) -> Stage:
    """Not a function of n_problems: every size is a subset of the same D_syn."""
    return _stage("dsyn", {"dataset": _data(exp), "teacher": asdict(exp.teacher)}, {}, exp)


def base(exp: Exp) -> Stage:
    """One base model for all runs, as in the paper; one that is pretrained elsewhere knows no dataset.

    A base that is pretrained here depends on what its documents show, and on no other dial of the dataset.
    """
    if exp.model["kind"] != "from_scratch":
        return _stage("base", {"model": exp.model}, {}, exp)
    unread = {name: value for name, value in exp.dataset.items() if name in _opened(exp).not_in_documents}
    data = {name: value for name, value in _data(exp).items() if name not in unread}
    return replace(_stage("base", {"model": exp.model, "dataset": data}, {}, exp), places=unread)


def sft(exp: Exp) -> Stage:
    return _stage("sft", {"optim": asdict(exp.sft), **_point(exp)}, {"base": base(exp), "dsyn": dsyn(exp)}, exp)


def samples(exp: Exp) -> Stage:
    sampling = {k: v for k, v in asdict(exp.sampling).items() if k != "rollouts"}
    identity = {"sampling": sampling, "dataset": _data(exp), **_bound(exp), **_point(exp)}
    return _stage("samples", identity, {"dsyn": dsyn(exp), "sft": sft(exp)}, exp)


def advantages(exp: Exp) -> Stage:
    return _stage(
        "advantages",
        {"rollouts": asdict(exp.sampling.rollouts), "dataset": _data(exp), **_bound(exp), **_point(exp)},
        {"dsyn": dsyn(exp), "sft": sft(exp), "samples": samples(exp)},
        exp,
    )


def train(exp: Exp) -> Stage:
    """Only the stages this arm's source and method need are parents: the rest is never built for it."""
    method = METHODS[exp.method.name]
    if SOURCES[exp.source.name].only and not hasattr(_opened(exp), "step_errors"):
        raise ValueError(
            f"source={exp.source.name} tells sound steps from spurious ones, which dataset={exp.dataset['name']} "
            "cannot judge; choose a procedural domain (dataset=skills) or another source"
        )
    parents = {method.start: base(exp) if method.start == "base" else sft(exp), "dsyn": dsyn(exp)}
    needs = {method.needs, SOURCES[exp.source.name].needs}
    if needs != {"none"}:
        parents["samples"] = samples(exp)
    if "advantages" in needs:
        parents["advantages"] = advantages(exp)
    read = ("name", "optim", *method.dials)
    config = {name: value for name, value in asdict(exp.method).items() if name in read}
    identity = {"method": config, "source": asdict(exp.source), "dataset": _data(exp), **_point(exp)}
    return _stage("train", identity, parents, exp)


def policy(exp: Exp) -> Stage:
    """The stage whose weights this run is judged by: those of plain SFT are the sft stage itself."""
    is_plain_sft = (exp.source.name, exp.method.name) == ("teacher", "sft")
    return sft(exp) if is_plain_sft or METHODS[exp.method.name].entropy_of else train(exp)


def evaluate(exp: Exp) -> Stage:
    """An entropy-matched control is sampled at the temperature that another run's solutions call for."""
    other = METHODS[exp.method.name].entropy_of
    if other is None:
        return _evaluation_of(policy(exp), exp)
    matched = evaluate(replace(exp, method=replace(exp.method, name=other)))
    return _evaluation_of(policy(exp), exp, {"matched": matched})


def evaluate_base(exp: Exp) -> Stage:
    """The base model's own test error: the height that every curve starts from."""
    return _evaluation_of(base(exp), exp)


def _evaluation_of(policy: Stage, exp: Exp, parents: Mapping[str, Stage] | None = None) -> Stage:
    identity = {"evaluation": asdict(exp.evaluation), "dataset": _data(exp), **_bound(exp)}
    return _stage("evaluate", identity, {"policy": policy, **(parents or {})}, exp)


def _stage(kind: str, identity: dict[str, Any], parents: dict[str, Stage], exp: Exp) -> Stage:
    places = {name: value for name, value in exp.dataset.items() if name.endswith(PATH)}
    return Stage(kind, VERSION[kind], identity, parents, places if "dataset" in identity else {})


def _point(exp: Exp) -> dict[str, int]:
    n_train = _opened(exp).n_problems("train")
    if exp.n_problems > n_train:
        raise ValueError(
            f"n_problems={exp.n_problems} but dataset={exp.dataset['name']} has {n_train} train problems to make D_syn "
            "of; choose smaller sizes or a larger dataset"
        )
    return {"n_problems": exp.n_problems, "seed": exp.seed}


def _bound(exp: Exp) -> dict[str, int]:
    return {"max_solution_tokens": exp.max_solution_tokens}


def _data(exp: Exp) -> dict[str, Any]:
    """The dataset's dials and the hash of what its files hold, without where the files lie."""
    dials = {name: value for name, value in exp.dataset.items() if not name.endswith(PATH)}
    return {**dials, "revision": _opened(exp).revision}


def _opened(exp: Exp) -> Domain:
    return open_domain(json.dumps(exp.dataset, sort_keys=True))


# ---------------------------------------------------------------- how each is built


def build_dsyn(stage: Stage, bench: Bench) -> Built:
    """Ask the teacher about each train problem; keep the first attempt whose final answer verifies."""
    data = domain_of(stage)
    rng = np.random.default_rng(seed_of(stage, 0))
    problems, solutions, n_attempts = [], [], 0
    for problem in data.problems("train"):
        for _ in range(stage.identity["teacher"]["n_attempts"]):
            text = data.teacher_solution(problem, rng)
            n_attempts += text is not None
            if text is not None and data.is_correct(text, problem):
                problems.append(problem)
                solutions.append(Solution(problem.problem_id, text))
                break
    write_jsonl(bench.out / "problems.jsonl", problems)
    write_jsonl(bench.out / "solutions.jsonl", solutions)
    n_asked = data.n_problems("train")
    return Built({"n_problems": len(problems), "n_dropped": n_asked - len(problems), "n_attempts": n_attempts}, Cost())


def build_base(stage: Stage, bench: Bench) -> Built:
    """Pretrain a small policy on the domain's curriculum, or take a pinned revision of a published one."""
    from sweep.methods.sft import sft_loss
    from sweep.models import Optim, train
    from sweep.models import policy as policies

    model = stage.identity["model"]
    if model["kind"] == "pretrained":
        loaded = policies.load_policy(model["path"], revision=model["revision"], device="cpu", dtype=model["dtype"])
        policies.save_policy(loaded, bench.out)
        return Built({"path": model["path"], "revision": model["revision"]}, Cost())
    data = domain_of(stage)
    if data.vocabulary is None:
        raise ValueError(
            "model.kind=from_scratch pretrains on a procedural domain, but "
            f"dataset={stage.identity['dataset']['name']} is natural text; choose a pretrained model, "
            "e.g. model=deepseek_math_7b"
        )
    shape = {k: model[k] for k in ("hidden_size", "n_layers", "n_heads", "mlp_size", "max_length", "rope_theta")}
    policies.save_policy(policies.new_policy(data.vocabulary, **shape, seed=model["seed"]), bench.out)
    policy = bench.policy_at(bench.out)
    rng = np.random.default_rng(seed_of(stage, model["seed"]))
    cost = Cost()
    for number, phase in enumerate(data.curriculum):
        rows = [
            Row(prompt, solution, True, f"phase-{number}-{i}")
            for i, (prompt, solution) in enumerate(data.pretraining_documents(phase, rng))
        ]
        optim = Optim(
            lr=phase.lr, n_updates=math.ceil(len(rows) / phase.batch_size), batch_size=phase.batch_size,
            warmup_fraction=model["warmup_fraction"], schedule=phase.schedule,
            embedding_lr_scale=phase.embedding_lr_scale, weight_decay=model["weight_decay"],
            max_grad_norm=model["max_grad_norm"], betas=tuple(model["betas"]),
        )
        done = train(
            policy, rows, sft_loss, optim, seed=int(rng.integers(2**31)), precision=model["precision"],
            log=bench.tracker.curve(f"phase_{number}", offset=cost.n_updates),
            **bench.training_limits(f"phase-{number}"),
        )
        cost += training_cost(done)
    policies.save_policy(policy, bench.out)
    return Built({"n_parameters": sum(p.numel() for p in policy.model.parameters())}, cost)


def build_sft(stage: Stage, bench: Bench) -> Built:
    """Fine-tune the base on the first n_problems of D_syn, in this seed's order."""
    from sweep.methods.sft import sft_loss

    problems, solutions = _subset(stage, bench)
    material = _material(stage, problems, solutions)
    return _train(stage, bench, "base", METHODS["sft"].rows(material), sft_loss, OptimConfig(**stage.identity["optim"]))


def build_samples(stage: Stage, bench: Bench) -> Built:
    """Draw n_samples solutions a problem from pi_sft and verify each by its final answer."""
    from sweep.models import sample

    data, sampling = domain_of(stage), stage.identity["sampling"]
    problems = _sampled_problems(stage, bench)
    pi_sft, prompts = bench.policy("sft"), [data.prompt(p) for p in problems]
    drawn = sample(
        pi_sft, prompts, n_samples=sampling["n_samples"],
        temperature=sampling["temperature"], top_p=sampling["top_p"], seed=seed_of(stage),
        max_new_tokens=stage.identity["max_solution_tokens"], **bench.sampling_limits("samples"),
    )
    traces = [
        Trace(p.problem_id, c.text, c.is_finished and data.is_correct(c.text, p), c.is_finished)
        for p, completions in zip(problems, drawn, strict=True)
        for c in completions
    ]
    write_jsonl(bench.out / "traces.jsonl", traces)
    facts = {
        "n_traces": len(traces),
        "n_correct": sum(t.is_correct for t in traces),
        "n_unfinished": sum(not t.is_finished for t in traces),
    }
    return Built(facts, sampling_cost(pi_sft, prompts, drawn))


def build_advantages(stage: Stage, bench: Bench) -> Built:
    """q_values of the traces' steps by rollouts of pi_sft, all traces one step deeper at a time.

    A prefix that several traces share is rolled out once. The last step closes the solution, so its
    q_value is the verifier's verdict and needs no rollout. Successful rollouts are kept: they are the
    correct solutions that share a prefix with a mistake.
    """
    from sweep.models import sample

    data, rollouts = domain_of(stage), RolloutConfig(**stage.identity["rollouts"])
    problems = {p.problem_id: p for p in _sampled_problems(stage, bench)}
    traces = read_jsonl(bench.parents["samples"].path / "traces.jsonl", Trace)
    charged = _charged(traces, rollouts, np.random.default_rng(seed_of(stage)))
    steps = [data.steps(t.text) for t in charged]
    q_values: list[list[float]] = [[] for _ in charged]
    alive = list(range(len(charged)))
    pi_sft, reached, cost, depth = bench.policy("sft"), {}, Cost(), 0
    while alive:
        ends = {k for k in alive if depth == len(steps[k]) - 1}
        deeper = {k: (charged[k].problem_id, "".join(steps[k][: depth + 1])) for k in alive if k not in ends}
        prefixes = list(dict.fromkeys(deeper.values()))
        prompts = [data.prompt(problems[p]) + text for p, text in prefixes]
        drawn = sample(
            pi_sft, prompts, n_samples=rollouts.n_rollouts,
            temperature=rollouts.temperature, top_p=1.0, seed=seed_of(stage) + depth + 1,
            max_new_tokens=stage.identity["max_solution_tokens"], **bench.sampling_limits(f"step-{depth}"),
        ) if prefixes else []
        cost += sampling_cost(pi_sft, prompts, drawn)
        q_of = {}
        for (problem_id, text), completions in zip(prefixes, drawn, strict=True):
            whole = [text + c.text for c in completions if c.is_finished]
            right = [w for w in whole if data.is_correct(w, problems[problem_id])]
            q_of[problem_id, text] = len(right) / rollouts.n_rollouts
            reached.update(dict.fromkeys((problem_id, w) for w in right))
        for k in alive:
            q_values[k].append(float(charged[k].is_correct) if k in ends else q_of[deeper[k]])
        stops = rollouts.until == "pit"
        alive = [k for k in alive if k not in ends and not (stops and q_values[k][-1] == 0.0)]
        depth += 1
    n_right, n_drawn = defaultdict(int), defaultdict(int)
    for t in traces:
        n_right[t.problem_id] += t.is_correct
        n_drawn[t.problem_id] += 1
    credits = [
        Credit(t.problem_id, t.text, t.is_correct, n_right[t.problem_id] / n_drawn[t.problem_id], q)
        for t, q in zip(charged, q_values, strict=True)
    ]
    write_jsonl(bench.out / "credits.jsonl", credits)
    write_jsonl(bench.out / "reached.jsonl", [Solution(p, text) for p, text in reached])
    return Built({"n_credits": len(credits), "n_reached": len(reached)}, cost)


def build_train(stage: Stage, bench: Bench) -> Built:
    """Turn solutions and mistakes into this method's rows or pairs and optimise its loss."""
    from sweep.methods.dpo import dpo_loss
    from sweep.methods.sft import sft_loss

    config, source = MethodConfig(**stage.identity["method"]), SourceConfig(**stage.identity["source"])
    optim, method = OptimConfig(**stage.identity["method"]["optim"]), METHODS[config.name]
    own, dsyn_solutions = _subset(stage, bench)
    sampled = _sampled_problems(stage, bench) if _is_cross_fit(stage) else own
    traces = bench.read("samples", "traces.jsonl", Trace)
    credits = bench.read("advantages", "credits.jsonl", Credit)
    entry = SOURCES[source.name]
    solutions = entry.solutions(
        dsyn_solutions, traces, bench.read("advantages", "reached.jsonl", Solution), credits
    )
    if entry.only:
        data, asked = domain_of(stage), {p.problem_id: p for p in sampled}
        is_sound = [not any(data.step_errors(s.text, asked[s.problem_id])) for s in solutions]
        solutions = matched(solutions, is_sound, only=entry.only)
    if source.include_teacher and source.name != "teacher":
        solutions = [*dsyn_solutions, *solutions]
    problems = {p.problem_id: p for p in [*own, *sampled]}.values()
    material = _material(stage, problems, solutions, traces=traces, credits=credits, config=config, source=source)
    rows = method.rows(material)
    if not rows:
        raise ValueError(
            f"{stage.key}: source={source.name} method={config.name} at n_problems={stage.identity['n_problems']} "
            f"made no training {'pair' if method.is_preference else 'row'} out of {len(solutions)} solutions, "
            f"{len(traces)} traces and {len(material.credits)} mistakes with q_values; draw more solutions "
            "(sampling.n_samples) or take a source whose solutions share a prefix with the mistakes (source=self)"
        )
    loss = partial(dpo_loss, beta=config.beta) if method.is_preference else sft_loss
    return _train(stage, bench, method.start, rows, loss, optim)


def build_evaluate(stage: Stage, bench: Bench) -> Built:
    """One greedy and n_samples sampled solutions of every problem of the split; counts, never rates."""
    from sweep.models import sample

    data, evaluation = domain_of(stage), stage.identity["evaluation"]
    policy, problems = bench.policy("policy"), data.problems(evaluation["split"])
    prompts = [data.prompt(p) for p in problems]
    shared = {"top_p": 1.0, "seed": seed_of(stage, 0), "max_new_tokens": stage.identity["max_solution_tokens"]}
    temperature = evaluation["temperature"]
    if "matched" in bench.parents:
        wanted = bench.parents["matched"].manifest.facts["entropy"]
        temperature = _temperature_of(wanted, partial(sample, policy, prompts, **shared, **bench.sampling_limits()))
    limits = bench.sampling_limits("evaluate")
    greedy = sample(policy, prompts, n_samples=1, temperature=0.0, **shared, **limits)
    drawn = sample(
        policy, prompts, n_samples=evaluation["n_samples"], temperature=temperature, has_entropy=True,
        **shared, **limits,
    )
    cost = sampling_cost(policy, prompts, greedy) + sampling_cost(policy, prompts, drawn)
    greedy = [c[0] for c in greedy]
    outcomes = pd.DataFrame({
        "problem_id": [p.problem_id for p in problems],
        "is_correct": [c.is_finished and data.is_correct(c.text, p) for p, c in zip(problems, greedy, strict=True)],
        "n_correct_sampled": [
            sum(c.is_finished and data.is_correct(c.text, p) for c in completions)
            for p, completions in zip(problems, drawn, strict=True)
        ],
        "n_sampled": evaluation["n_samples"],
        "solution": [c.text for c in greedy],
    })
    outcomes.to_parquet(bench.out / "outcomes.parquet", index=False)
    facts: dict[str, Any] = {
        "n_test": len(problems),
        "n_correct": int(outcomes.is_correct.sum()),
        "n_correct_sampled": int(outcomes.n_correct_sampled.sum()),
        "n_sampled": int(outcomes.n_sampled.sum()),
        "temperature": temperature,
        "entropy": _mean_entropy(drawn),
    }
    if hasattr(data, "step_errors"):  # a procedural domain can say what is wrong with a step
        errors = [data.step_errors(c.text, p) for p, c in zip(problems, greedy, strict=True)]
        facts["diagnosis"] = dict(Counter(kind for e in errors for kind in {k for step in e for k in step}))
    bench.tracker.summary(facts)
    return Built(facts, cost)


def _temperature_of(entropy: float, draw: Callable[..., list]) -> float:
    """The temperature at which solutions have this mean entropy, to 1 %; no answer is looked at.

    Raises:
        ValueError: none between the bounds has it.
    """
    from scipy.optimize import brentq

    def excess(log_temperature: float) -> float:
        return _mean_entropy(draw(n_samples=1, temperature=math.exp(log_temperature), has_entropy=True)) - entropy

    low, high = TEMPERATURES
    try:
        return math.exp(brentq(excess, math.log(low), math.log(high), xtol=0.01))
    except ValueError as error:
        raise ValueError(
            f"no temperature from {low} to {high} gives these solutions a mean entropy of {entropy:.4g} nats; the "
            "policy to be matched is far sharper or flatter than the SFT policy: look at its evaluation's entropy"
        ) from error


def _mean_entropy(drawn: Sequence[Sequence[Completion]]) -> float:
    return float(np.mean([c.entropy for completions in drawn for c in completions]))


BUILDERS: dict[str, Callable[[Stage, Bench], Built]] = {
    "dsyn": build_dsyn, "base": build_base, "sft": build_sft, "samples": build_samples,
    "advantages": build_advantages, "train": build_train, "evaluate": build_evaluate,
}
TEMPERATURES = (0.05, 2.0)  # between which a temperature is looked for
TRACKED = ("base", "sft", "train", "evaluate")


# ---------------------------------------------------------------- shared by the builders


def _subset(stage: Stage, bench: Bench, *, n_before: int = 0) -> tuple[list[Problem], list[Solution]]:
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


def _sampled_problems(stage: Stage, bench: Bench) -> list[Problem]:
    """The problems that pi_sft solves by itself: those it was fine-tuned on, or as many that it was not."""
    return _subset(stage, bench, n_before=stage.identity["n_problems"] if _is_cross_fit(stage) else 0)[0]


def _is_cross_fit(stage: Stage) -> bool:
    """Whether what this stage samples, or is trained on, are solutions of problems that SFT did not see."""
    sampled = stage if stage.kind == "samples" else stage.parents.get("samples")
    return sampled is not None and sampled.identity["sampling"]["is_cross_fit"]


def _charged(traces: Sequence[Trace], rollouts: RolloutConfig, rng: np.random.Generator) -> list[Trace]:
    """Distinct finished traces, wrong or all of them, at most max_traces_per_problem each, drawn at random.

    A trace that ended before its first word has no step to charge and is left out.
    """
    of: dict[str, dict[str, Trace]] = defaultdict(dict)
    for t in traces:
        if t.is_finished and t.text and (rollouts.of == "all" or not t.is_correct):
            of[t.problem_id].setdefault(t.text, t)
    out = []
    for problem_id in sorted(of):
        candidates = list(of[problem_id].values())
        out += [candidates[i] for i in rng.permutation(len(candidates))[: rollouts.max_traces_per_problem]]
    return out


def _material(
    stage: Stage, problems: Iterable[Problem], solutions: Sequence[Solution], *, traces: Sequence[Trace] = (),
    credits: Sequence[Credit] = (), config: MethodConfig | None = None, source: SourceConfig | None = None,
) -> Material:
    data, config = domain_of(stage), config or MethodConfig()
    dials = {f.name: getattr(config, f.name) for f in fields(Choices) if hasattr(config, f.name)}
    cap = (source or SourceConfig()).max_solutions_per_problem
    return Material(
        prompts={p.problem_id: data.prompt(p) for p in problems}, solutions=solutions, traces=traces, credits=credits,
        steps=data.steps, choices=Choices(max_solutions_per_problem=cap, **dials),
        rng=np.random.default_rng(seed_of(stage)),
    )


def _train(
    stage: Stage, bench: Bench, start: str, rows: Sequence[Row] | Sequence[Pair], loss: Callable, optim: OptimConfig
) -> Built:
    """n_updates is a function of n_problems alone, so arms with more or fewer rows still get equal updates."""
    from sweep.models import Optim, save_policy, train

    n_updates = max(optim.min_updates, math.ceil(optim.passes * stage.identity["n_problems"] / optim.batch_size))
    policy = bench.policy(start)
    is_preference = isinstance(rows[0], Pair)
    done = train(
        policy, rows, loss,
        Optim(lr=optim.lr, n_updates=n_updates, batch_size=optim.batch_size, warmup_fraction=optim.warmup_fraction,
              schedule=optim.schedule, weight_decay=optim.weight_decay, max_grad_norm=optim.max_grad_norm,
              embedding_lr_scale=optim.embedding_lr_scale, betas=tuple(bench.model["betas"])),
        seed=seed_of(stage), reference=policy if is_preference else None, precision=bench.model["precision"],
        log=bench.tracker.curve("train"), **bench.training_limits("train"),
    )
    save_policy(policy, bench.out)
    n_problems = len({row.problem_id for row in rows})
    facts = {"n_pairs" if is_preference else "n_rows": len(rows), "n_problems_used": n_problems}
    return Built(facts, training_cost(done))
