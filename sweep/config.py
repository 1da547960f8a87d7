"""The schema that conf/ fills in, and the checks that need more than one field.

A leaf (one grid point of a multirun) is an `Exp` and an `Exec`. Exp is identity: whatever can change
a number, and nothing else. Exec is resources: where and with what the work runs. Only Exp enters a
stage's key.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from math import inf
from typing import Any

from omegaconf import MISSING

from sweep.methods import METHODS
from sweep.sources import SOURCES

SCHEDULES = ("constant", "linear", "cosine")


@dataclass
class OptimConfig:
    """How one stage optimises. Updates are counted from problems, not from rows, so that arms with
    more or fewer rows still get equal updates: ceil(passes * n_problems / batch_size)."""

    lr: float = MISSING
    passes: float = MISSING
    batch_size: int = MISSING
    min_updates: int = 1
    warmup_fraction: float = 0.05
    schedule: str = "cosine"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    embedding_lr_scale: float = 1.0  # multiplies lr for the (tied) token embedding


@dataclass
class TeacherConfig:
    """Who writes D_syn. `domain`: the dataset's own teacher (symbolic for a procedural domain, the
    file's reference solutions for GSM8K)."""

    name: str = "domain"
    n_attempts: int = 1  # attempts a problem; the first verified one is kept, none drops the problem


@dataclass
class SourceConfig:
    """Whose solutions an algorithm is given as good ones."""

    name: str = MISSING
    max_solutions_per_problem: int = 4  # after removing duplicates
    include_teacher: bool = False  # add D_syn itself to the self-generated solutions


@dataclass
class MethodConfig:
    """The algorithm of the last training stage. Fields that a method does not read are ignored by it."""

    name: str = MISSING
    optim: OptimConfig = field(default_factory=OptimConfig)
    beta: float = 0.1  # DPO's inverse temperature
    max_pairs_per_problem: int = 4
    pit_rule: str = "first_lowest"  # first_lowest | first_below | lowest_advantage
    pit_threshold: float = 0.0  # first_below: the first step with q_value <= this
    no_pit: str = "skip"  # a wrong solution with no pit: skip it, or charge its last_step
    chosen_rule: str = "random"  # which correct continuation: random | shortest
    chosen_span: str = "step"  # step | completion: how much of the correct continuation
    rejected_span: str = "step"  # step | completion: how much of the wrong solution


@dataclass
class RolloutConfig:
    """Monte Carlo estimate of a step's q_value."""

    n_rollouts: int = 5
    temperature: float = 1.0
    of: str = "wrong"  # wrong | all: which finished traces are given credit
    max_traces_per_problem: int = 3  # distinct traces given credit, a problem
    until: str = "pit"  # pit: stop a trace at its first prefix without a success; end: every step


@dataclass
class SamplingConfig:
    """Solutions of D_syn's problems drawn from the SFT policy."""

    n_samples: int = 8
    temperature: float = 1.0
    top_p: float = 1.0
    is_cross_fit: bool = False  # of the n_problems of D_syn behind those that the SFT policy was fine-tuned on
    rollouts: RolloutConfig = field(default_factory=RolloutConfig)


@dataclass
class EvaluationConfig:
    """Every problem of the split: one greedy solution and n_samples at `temperature`."""

    split: str = "test"
    temperature: float = 0.7
    n_samples: int = 1


@dataclass
class TrackingConfig:
    """Where training curves go besides metrics.jsonl."""

    name: str = "wandb"  # wandb | jsonl
    project: str = "rl-on-incorrect"
    entity: str | None = None
    mode: str | None = None  # online | offline; null: online where a key is configured and W&B answers, else offline


@dataclass
class Exec:
    """Resources. Nothing here may change a result beyond floating-point noise."""

    store: str = "outputs/store"
    sweep_name: str = "adhoc"  # the group of this sweep's runs in W&B
    n_workers: int | None = None  # local launcher; null: one a CPU core
    n_threads: int = 1  # torch threads of one worker
    device: str = "auto"  # auto | cpu | cuda
    micro_batch_tokens: int = 4096
    max_rows: int = 2048  # rows the sampler decodes at once
    checkpoint_every_s: float = 300.0
    rebuild_corrupted: bool = False


@dataclass
class Exp:
    """Identity of one run."""

    dataset: dict[str, Any] = MISSING
    model: dict[str, Any] = MISSING
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    sft: OptimConfig = field(default_factory=OptimConfig)
    source: SourceConfig = field(default_factory=SourceConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    max_solution_tokens: int = MISSING  # bound on every sampled solution, its end of sequence included
    n_problems: int = MISSING
    seed: int = 0


@dataclass
class LeafConfig(Exp):
    """What Hydra composes: identity at the top level, resources and tracking in nodes of their own.

    `likelihood` and `preference` are where a model's file states its settings and conf/method/ reads
    them; they decide nothing except through `method`.
    """

    likelihood: dict[str, Any] = field(default_factory=dict)
    preference: dict[str, Any] = field(default_factory=dict)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    exec: Exec = field(default_factory=Exec)


@dataclass(frozen=True)
class Leaf:
    """One composed grid point: what the planner takes."""

    overrides: tuple[str, ...]
    exp: Exp
    exec: Exec
    tracking: TrackingConfig


def leaf(config: dict[str, Any], overrides: tuple[str, ...] = ()) -> Leaf:
    """The typed and checked leaf of a composed, resolved configuration.

    Raises:
        ValueError: a value that is out of range, or a combination that cannot be run.
    """
    nodes = {f.name: config[f.name] for f in fields(Exp)}
    exp = _typed(Exp, nodes)
    _check(exp)
    tracking = _typed(TrackingConfig, config["tracking"], "tracking")
    _one_of("tracking.name", tracking.name, ("wandb", "jsonl"))
    exec = _typed(Exec, config["exec"], "exec")
    _check_exec(exec)
    return Leaf(tuple(overrides), exp, exec, tracking)


NESTED = {
    "TeacherConfig": TeacherConfig, "OptimConfig": OptimConfig, "SourceConfig": SourceConfig,
    "MethodConfig": MethodConfig, "RolloutConfig": RolloutConfig, "SamplingConfig": SamplingConfig,
    "EvaluationConfig": EvaluationConfig,
}


def _typed(schema: type, values: dict[str, Any], where: str = "") -> Any:
    out, known = {}, [f.name for f in fields(schema)]
    if unknown := sorted({*values} - {*known}):
        raise ValueError(f"unknown key {', '.join(unknown)} in {where}; the valid ones are {', '.join(known)}")
    for f in fields(schema):
        value = values[f.name]
        nested = NESTED.get(str(f.type))
        for name, inner in ((f.name, value), *_named(f.name, value)):
            if inner == MISSING:
                raise ValueError(f"{name} has no value: give one on the command line or in the experiment")
        inside = f"{where}.{f.name}".lstrip(".")
        out[f.name] = _typed(nested, value, inside) if nested and not is_dataclass(value) else value
    return schema(**out)


def _named(name: str, value: Any) -> list[tuple[str, Any]]:
    return [(f"{name}.{key}", inner) for key, inner in value.items()] if isinstance(value, dict) else []


def _check(exp: Exp) -> None:
    _at_least("n_problems", exp.n_problems, 1)
    _at_least("seed", exp.seed, 0)
    _one_of("source.name", exp.source.name, tuple(SOURCES))
    _one_of("method.name", exp.method.name, tuple(METHODS))
    _one_of("method.pit_rule", exp.method.pit_rule, ("first_lowest", "first_below", "lowest_advantage"))
    _one_of("method.no_pit", exp.method.no_pit, ("skip", "last_step"))
    _one_of("method.chosen_rule", exp.method.chosen_rule, ("random", "shortest"))
    _one_of("method.chosen_span", exp.method.chosen_span, ("step", "completion"))
    _one_of("method.rejected_span", exp.method.rejected_span, ("step", "completion"))
    _one_of("evaluation.split", exp.evaluation.split, ("test", "validation"))
    _one_of("sampling.rollouts.until", exp.sampling.rollouts.until, ("pit", "end"))
    _one_of("sampling.rollouts.of", exp.sampling.rollouts.of, ("wrong", "all"))
    _one_of("teacher.name", exp.teacher.name, ("domain",))
    for name, optim in (("sft", exp.sft), ("method.optim", exp.method.optim)):
        _one_of(f"{name}.schedule", optim.schedule, SCHEDULES)
        _at_least(f"{name}.batch_size", optim.batch_size, 1)
        for what in ("lr", "passes", "max_grad_norm", "embedding_lr_scale"):
            if not 0 < getattr(optim, what) < inf:
                raise ValueError(f"{name}.{what} must be above 0 and finite, found {getattr(optim, what)}")
        _at_least(f"{name}.min_updates", optim.min_updates, 1)
        _at_least(f"{name}.weight_decay", optim.weight_decay, 0)
        _in_range(f"{name}.warmup_fraction", optim.warmup_fraction, 0, 1)
    for name, value in (
        ("max_solution_tokens", exp.max_solution_tokens),
        ("sampling.rollouts.max_traces_per_problem", exp.sampling.rollouts.max_traces_per_problem),
        ("sampling.n_samples", exp.sampling.n_samples),
        ("sampling.rollouts.n_rollouts", exp.sampling.rollouts.n_rollouts),
        ("evaluation.n_samples", exp.evaluation.n_samples),
        ("source.max_solutions_per_problem", exp.source.max_solutions_per_problem),
        ("method.max_pairs_per_problem", exp.method.max_pairs_per_problem),
        ("teacher.n_attempts", exp.teacher.n_attempts),
    ):
        _at_least(name, value, 1)
    for name, value in (
        ("sampling.temperature", exp.sampling.temperature),
        ("sampling.rollouts.temperature", exp.sampling.rollouts.temperature),
        ("evaluation.temperature", exp.evaluation.temperature),
        ("method.beta", exp.method.beta),
    ):
        if not 0 < value < inf:
            raise ValueError(f"{name} must be above 0 and finite, found {value}")
    _in_range("method.pit_threshold", exp.method.pit_threshold, 0, 1)
    if not 0 < exp.sampling.top_p <= 1:
        raise ValueError(f"sampling.top_p must be above 0 and at most 1, found {exp.sampling.top_p}")
    rule = exp.method.pit_rule
    if rule == "lowest_advantage" and exp.sampling.rollouts.until != "end":
        raise ValueError(
            "method.pit_rule=lowest_advantage compares all steps of a solution, but "
            "sampling.rollouts.until=pit stops at the first hopeless one; add sampling.rollouts.until=end"
        )
    rollouts = exp.sampling.rollouts
    if exp.source.name == "self_filtered" and (rollouts.of, rollouts.until) != ("all", "end"):
        raise ValueError(
            "source=self_filtered chooses among right and wrong traces by the advantage of every step, but "
            f"sampling.rollouts has of={rollouts.of} until={rollouts.until}; take arm=rft_filtered, or add "
            "sampling.rollouts.of=all sampling.rollouts.until=end"
        )


def _check_exec(exec: Exec) -> None:
    for name in ("n_threads", "micro_batch_tokens", "max_rows"):
        _at_least(f"exec.{name}", getattr(exec, name), 1)
    if exec.n_workers is not None:
        _at_least("exec.n_workers", exec.n_workers, 1)
    _at_least("exec.checkpoint_every_s", exec.checkpoint_every_s, 0)
    _one_of("exec.device", exec.device.split(":")[0], ("auto", "cpu", "cuda"))


def _one_of(name: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        raise ValueError(f"{name} must be one of {', '.join(valid)}; found {value!r}")


def _in_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} must lie in [{least}, {most}], found {value}")


def _at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise ValueError(f"{name} must be at least {least}, found {value}")


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as dotted names: {"a": {"b": 1}} is {"a.b": 1}."""
    out: dict[str, Any] = {}
    for name, value in tree.items():
        out.update(flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value})
    return out
