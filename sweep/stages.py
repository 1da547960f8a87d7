"""The paper's method, stage by stage: what each needs. THE FILE TO READ, from ABOUT on.

One function a stage says what it depends on, from the run's Exp to a Stage (kind, version, its slice of Exp, its
parents); `build.py` builds them, in the same order. A VERSION is bumped by hand when a change of code changes what a
stage means.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import cache, wraps
from typing import Any, TypeVar

from sweep import pretrained
from sweep.artifacts import Stage
from sweep.bench import open_domain
from sweep.config import Exp
from sweep.data import Domain, ProceduralDomain
from sweep.methods import METHODS
from sweep.sources import DIALS, SOURCES

ABOUT = {  # in the paper's order
    "dsyn": "problems and the teacher's verified solutions",  # section 3: D_syn
    "base": "the LLM before any of it: pretrained here, or a pinned revision",
    "sft": "base fine-tuned on D_syn: pi_sft, DPO's reference",
    "samples": "pi_sft's own solutions of those problems, verified",  # section 3: D+ and negatives
    "advantages": "rollouts from each step of its mistakes: q_values",  # section 5: per-step credit
    "pairs": "of preferences, and their log-probabilities under pi_sft",  # sections 4 and 5: DPO and per-step DPO
    "train": "RFT, DPO, per-step DPO and their controls",
    "evaluate": "the outcome of every test problem",
    # section 4: easier to fit
    "likelihoods": "of the teacher's and of self-generated solutions under the base",
    # section 6: Q at each step
    "values": "q_values along pi_sft's solutions of test problems, under a trained policy",
    # section 6: from negatives alone, from both
    "estimates": "advantages of pi_sft's steps by few rollouts, beside many",
}
PATH = "_path"  # dataset fields so named say where files lie
VERSION = dict.fromkeys(ABOUT, 1) | {"train": 2, "evaluate": 2}
T = TypeVar("T")
N = TypeVar("N")


def once(of: Callable[[N], T]) -> Callable[[N], T]:
    """Worked out once an Exp or a node of it, which nobody edits: a stage asks for its parents, and they for theirs."""

    @wraps(of)
    def known(node: N) -> T:
        answers: dict[str, T] = node.__dict__.setdefault("known", {})
        if of.__name__ not in answers:
            answers[of.__name__] = of(node)
        return answers[of.__name__]

    return known


TESTED = ("hopeful_q", "miss_rate")  # of a sequential test
SAVING = ("stop", "search", *TESTED)


@once
def dsyn(exp: Exp) -> Stage:
    """Not a function of n_problems: every size is a subset of the same D_syn."""
    return _stage("dsyn", {"dataset": _data(exp), "teacher": _plain(exp.teacher)}, {}, exp)


@once
def base(exp: Exp) -> Stage:
    """One base model for all runs, as in the paper; one that is pretrained elsewhere knows no dataset.

    A base that is pretrained here depends on what its documents show, and on no other dial of the dataset.
    """
    if exp.model["kind"] != "from_scratch":
        model, places = pretrained.named(exp.model)
        if exp.dataset.get("is_chat") and pretrained.is_known_not_to_chat(exp.model):
            raise ValueError(
                f"dataset.is_chat=true asks for the chat template of model.path={exp.model['path']}, whose tokenizer "
                "has none; take a model that was tuned to chat, or prompt=plain"
            )
        return replace(_stage("base", {"model": model}, {}, exp), places=places)
    domain = _procedural(_dataset(exp))
    if domain is None:
        raise ValueError(
            f"model.kind=from_scratch pretrains on a procedural domain, but dataset={_name(exp)} is natural "
            "text; choose a pretrained model, e.g. model=deepseek_math_7b"
        )
    if not domain.curriculum:
        raise ValueError(
            "dataset.curriculum=[] leaves model.kind=from_scratch nothing to pretrain on: expected one phase or more, "
            f"as in conf/dataset/{_name(exp)}.yaml, or a pretrained model"
        )
    unread = {name: value for name, value in exp.dataset.items() if name in domain.not_in_documents}
    data = {name: value for name, value in _data(exp).items() if name not in unread}
    return replace(_stage("base", {"model": exp.model, "dataset": data}, {}, exp), places=unread)


@once
def sft(exp: Exp) -> Stage:
    return _stage("sft", {"optim": _plain(exp.sft), **_point(exp)}, {"base": base(exp), "dsyn": dsyn(exp)}, exp)


@once
def former(exp: Exp) -> Exp:
    """The same run as it stood a round before, which is a run of its own."""
    return replace(exp, sampling=replace(exp.sampling, rounds=exp.sampling.rounds - 1))


def learner(exp: Exp) -> Stage:
    """Who writes the solutions of the last round, and whom its pairs are measured against: pi_sft in the first."""
    return sft(exp) if exp.sampling.rounds == 1 else trained(former(exp))


@once
def samples(exp: Exp) -> Stage:
    """In a later round they are numbered on: the same draws from a policy that changed little would be the same."""
    if exp.sampling.is_cross_fit and 2 * exp.n_problems > (n_train := _opened(exp).n_problems("train")):
        raise ValueError(
            f"sampling.is_cross_fit=true at n_problems={exp.n_problems} needs as many problems again, and "
            f"dataset={_name(exp)} has {n_train} train problems; choose sizes up to {n_train // 2} or a "
            "larger dataset"
        )
    sampling = {k: v for k, v in _plain(exp.sampling).items() if k not in ("rollouts", "rounds")}
    n_before = (exp.sampling.rounds - 1) * exp.sampling.n_samples
    later = {"first_sample": n_before} if n_before else {}
    identity = {"sampling": sampling, "dataset": _data(exp), **later, **_bound(exp), **_point(exp)}
    return _stage("samples", identity, {"dsyn": dsyn(exp), "sft": learner(exp)}, exp)


@once
def advantages(exp: Exp) -> Stage:
    """Who rolls out is said by its parent (`sft`, which is the learner, or another), and by no field of its own."""
    asked = exp.sampling.rollouts
    # how rollouts are saved is a field where they are: artifacts without it hold all of them
    unread = {"policy", *(() if asked.is_saving else SAVING), *(() if asked.stop == "test" else TESTED)}
    rollouts = {name: value for name, value in _plain(asked).items() if name not in unread}
    identity = {"rollouts": rollouts, "dataset": _data(exp), **_bound(exp), **_point(exp)}
    return _stage("advantages", identity, {"dsyn": dsyn(exp), "samples": samples(exp), **_who_rolls_out(exp)}, exp)


def _who_rolls_out(exp: Exp) -> dict[str, Stage]:
    policy = exp.sampling.rollouts.policy
    if policy == "base":
        return {"base": base(exp)}
    # the next seed's: as many problems of D_syn, in another order
    return {"sft": learner(exp) if policy == "learner" else sft(replace(exp, seed=exp.seed + 1))}


@once
def pairs(exp: Exp) -> Stage:
    """No setting of the optimiser, nor beta, changes pairs or their log-probabilities under pi_sft."""
    dials = [dial for dial in METHODS[exp.method.name].dials if dial != "beta"]
    return _stage("pairs", _recipe(exp, *dials), _material(exp), exp)


@once
def train(exp: Exp) -> Stage:
    method = METHODS[exp.method.name]
    parents = {"sft": learner(exp), "pairs": pairs(exp)} if method.is_preference else _material(exp)
    return _stage("train", _recipe(exp, "optim", *method.dials), parents, exp)


def _recipe(exp: Exp, *settings: str) -> dict[str, Any]:
    """The method's name and these of its settings, whose solutions it is given, and of which problems."""
    method = {name: value for name, value in _plain(exp.method).items() if name in ("name", *settings)}
    read = SOURCES[exp.source.name].dials
    source = {name: value for name, value in _plain(exp.source).items() if name not in DIALS or name in read}
    return {"method": method, "source": source, "dataset": _data(exp), **_point(exp)}


def _material(exp: Exp) -> dict[str, Stage]:
    """Only the stages this arm's source and method need are parents: the rest is never built for it.

    What starts from the base is trained on what all rounds drew; what goes on from a round's policy on its own alone.
    """
    method, source = METHODS[exp.method.name], SOURCES[exp.source.name]
    if source.is_step_judged and _procedural(_dataset(exp)) is None:
        raise ValueError(
            f"source={exp.source.name} tells sound steps from spurious ones, which dataset={_name(exp)} "
            "cannot judge; choose a procedural domain (dataset=skills) or another source"
        )
    parents = {method.start: base(exp) if method.start == "base" else learner(exp), "dsyn": dsyn(exp)}
    needs = {method.needs, source.needs}
    drawn = {"samples": samples} if needs != {"none"} else {}
    drawn |= {"advantages": advantages} if "advantages" in needs else {}
    parents |= {role: of(exp) for role, of in drawn.items()}
    while method.start == "base" and exp.sampling.rounds > 1:
        exp = former(exp)
        parents |= {f"{role}_{exp.sampling.rounds}": of(exp) for role, of in drawn.items()}
    return parents


def trained(exp: Exp) -> Stage:
    """The stage whose weights this run ends with: those of plain SFT are the sft stage itself."""
    if exp.sampling.rounds > 1 and METHODS[exp.method.name].needs == SOURCES[exp.source.name].needs == "none":
        raise ValueError(
            f"sampling.rounds={exp.sampling.rounds} draws solutions anew in each round, but source={exp.source.name} "
            f"method={exp.method.name} reads none of them; take source=self, or rounds=1"
        )
    is_plain_sft = (exp.source.name, exp.method.name) == ("teacher", "sft")
    return sft(exp) if is_plain_sft else train(exp)


def evaluate(exp: Exp) -> Stage:
    """An entropy-matched control is the SFT policy, sampled at the temperature that this run's solutions call for."""
    if not exp.evaluation.is_entropy_matched:
        return _evaluation_of(trained(exp), exp)
    own = evaluate(replace(exp, evaluation=replace(exp.evaluation, is_entropy_matched=False)))
    return _evaluation_of(sft(exp), exp, {"matched": own})


@once
def evaluate_base(exp: Exp) -> Stage:
    """The base model's own test error: the height that every curve starts from."""
    return _evaluation_of(base(exp), exp)


def probes(exp: Exp) -> list[Stage]:
    """What else is asked of this run, beside its test error: stages that nothing is trained on."""
    return [of(exp) for name, of in PROBES.items() if getattr(exp.probes, f"has_{name}")]


@once
def likelihoods(exp: Exp) -> Stage:
    parents = {"base": base(exp), "dsyn": dsyn(exp), "samples": samples(exp)}
    return _stage("likelihoods", {"dataset": _data(exp), **_point(exp)}, parents, exp)


@once
def values(exp: Exp) -> Stage:
    """All policies are asked about the same prefixes, those of pi_sft's solutions, and so are compared step by step."""
    rollouts = {"n_rollouts": exp.probes.n_rollouts, "temperature": exp.sampling.rollouts.temperature}
    identity = {"rollouts": rollouts, "split": _split(exp), "dataset": _data(exp), **_bound(exp), **_point(exp)}
    return _stage("values", identity, {"policy": trained(exp), "sft": sft(exp)}, exp)


@once
def estimates(exp: Exp) -> Stage:
    """From wrong traces alone and from all, by stages that training would read, beside many rollouts as the truth."""
    charged = {of: advantages(_charging(exp, of)) for of in ("wrong", "all")}
    rollouts = {"n_rollouts": exp.probes.n_truth, "temperature": exp.sampling.rollouts.temperature}
    identity = {"rollouts": rollouts, "dataset": _data(exp), **_bound(exp), **_point(exp)}
    parents = {"dsyn": dsyn(exp), "samples": samples(exp), "sft": learner(exp), **charged}
    return _stage("estimates", identity, parents, exp)


def _charging(exp: Exp, of: str) -> Exp:
    rollouts = replace(exp.sampling.rollouts, of=of)
    return replace(exp, sampling=replace(exp.sampling, rollouts=rollouts))


PROBES = {"likelihoods": likelihoods, "values": values, "estimates": estimates}


def _evaluation_of(weights: Stage, exp: Exp, parents: Mapping[str, Stage] | None = None) -> Stage:
    """Whether it is entropy-matched is said by its parent `matched`, and by no field of its own."""
    _split(exp)
    evaluation = {name: value for name, value in _plain(exp.evaluation).items() if name != "is_entropy_matched"}
    identity = {"evaluation": evaluation, "dataset": _data(exp), **_bound(exp)}
    stage = _stage("evaluate", identity, {"policy": weights, **(parents or {})}, exp)
    return replace(stage, replicate=exp.replicate)


def _split(exp: Exp) -> str:
    """The split that is evaluated, where it has problems."""
    split = exp.evaluation.split
    if not _opened(exp).n_problems(split):  # type: ignore[arg-type]  # the schema admits the splits alone
        raise ValueError(
            f"evaluation.split={split} but dataset={_name(exp)} has no {split} problem (dataset.n_{split}=0); "
            "raise it to 1 or more, or evaluate on another split"
        )
    return split


def _stage(kind: str, identity: dict[str, Any], parents: dict[str, Stage], exp: Exp) -> Stage:
    return Stage(kind, VERSION[kind], identity, parents, _places(exp) if "dataset" in identity else {})


@once
def _places(exp: Exp) -> dict[str, Any]:
    return {name: value for name, value in exp.dataset.items() if name.endswith(PATH)}


@once
def _plain(node: Any) -> dict[str, Any]:
    return asdict(node)


def _point(exp: Exp) -> dict[str, int]:
    n_train = _opened(exp).n_problems("train")
    if exp.n_problems > n_train:
        raise ValueError(
            f"n_problems={exp.n_problems} but dataset={_name(exp)} has {n_train} train problems to make D_syn "
            "of; choose smaller sizes or a larger dataset (dataset.n_train, where it is made by rule)"
        )
    return {"n_problems": exp.n_problems, "seed": exp.seed}


def _bound(exp: Exp) -> dict[str, int]:
    n_prompt, longest = _longest_prompt(_dataset(exp)), exp.model.get("max_length")
    if n_prompt and longest and n_prompt + exp.max_solution_tokens > longest:
        raise ValueError(
            f"max_solution_tokens={exp.max_solution_tokens} behind a prompt of {n_prompt} tokens is more than "
            f"model.max_length={longest}; lower the one or raise the other"
        )
    return {"max_solution_tokens": exp.max_solution_tokens}


@cache
def _longest_prompt(dataset: str) -> int:
    """Tokens of the longest test prompt with the beginning-of-sequence token; 0 where a word is not a token."""
    data = _procedural(dataset)
    if data is None:
        return 0
    return 1 + max((len(data.prompt(problem).split()) for problem in data.problems("test")), default=0)


@once
def _data(exp: Exp) -> dict[str, Any]:
    """The dataset's dials and the hash of what its files hold, without where the files lie."""
    dials = {name: value for name, value in exp.dataset.items() if not name.endswith(PATH)}
    return {**dials, "revision": _opened(exp).revision}


@once
def _dataset(exp: Exp) -> str:
    return json.dumps(exp.dataset, sort_keys=True)


def _name(exp: Exp) -> str:
    """What messages call the dataset."""
    return str(exp.dataset.get("title", exp.dataset["name"]))


def _opened(exp: Exp) -> Domain:
    return open_domain(_dataset(exp))


@cache
def _procedural(dataset: str) -> ProceduralDomain | None:
    """The domain, where it is of that kind: asking looks up everything that such a domain has."""
    domain = open_domain(dataset)
    return domain if isinstance(domain, ProceduralDomain) else None
