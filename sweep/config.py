"""The schema that conf/ fills in: every field with its valid values, and the checks that need more than one field.

A leaf (one grid point of a multirun) is an `Exp` and an `Exec`. Exp is identity: whatever can change
a number, and nothing else. Exec is resources: where and with what the work runs. Only Exp enters a
stage's key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweep.fields import (
    COMPILERS,
    DTYPES,
    ENGINES,
    MOMENTS,
    PRECISIONS,
    SCHEDULES,
    choice,
    real,
    seed_number,
    several,
    text,
    whole,
)
from sweep.methods import METHODS
from sweep.methods.dials import Dials
from sweep.methods.settling import n_enough
from sweep.sources import SOURCES

SPLITS = ("test", "validation", "unseen")
HUGE, LARGE = 1e38, 1e6  # what single precision holds; of a factor
TEMPERATURES = (0.001, 1000.0)  # logits are divided by it, in single precision
MOST_DRAWS, MOST_ROWS, MOST_UPDATES = 10**6, 2**20, 10**9  # above what one stage can end with
MOST_PROBLEMS = 10**7  # as the domains have it
MOST_MINUTES = 1e7  # as many seconds as timers take
MISSING: Any = "???"  # OmegaConf's own word, without importing it: whoever reads a table imports this module


@dataclass
class OptimConfig:
    """How one stage optimises. Updates are counted from problems, not from rows, so that arms with
    more or fewer rows still get equal updates: ceil(passes * n_problems / batch_size). `lr` may be given
    by sizes (rates.py); here it is the number at this run's."""

    lr: float = real(above=0, most=HUGE, default=MISSING)
    passes: float = real(above=0, most=MOST_UPDATES, default=MISSING)
    batch_size: int = whole(1, MOST_ROWS, default=MISSING)
    min_updates: int = whole(1, MOST_UPDATES, default=1)
    warmup_fraction: float = real(0, 1, default=0.05)
    schedule: str = choice(*SCHEDULES, default="cosine")
    weight_decay: float = real(0, LARGE, default=0.0)
    max_grad_norm: float = real(above=0, most=HUGE, default=1.0)
    embedding_lr_scale: float = real(above=0, most=LARGE, default=1.0)  # multiplies lr for the (tied) token embedding


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """Low-rank matrices that are trained in place of the weights, on every linear layer but the last."""

    rank: int = whole(1, 2**12)
    alpha: float = real(above=0, most=LARGE)  # their product is scaled by alpha / rank


@dataclass(frozen=True, kw_only=True)
class PretrainedConfig:
    """A causal LM of a hub or of a local folder, and what every training of it shares."""

    path: str = text()  # a hub name, or a folder with safetensors and a tokenizer
    revision: str | None = text()  # the commit to pin; null for a folder
    dtype: str = choice(*DTYPES)
    precision: str = choice(*PRECISIONS)
    betas: tuple[float, ...] = several(real(0, below=1), 2, 2)  # AdamW's
    lora: Adapters | None = None
    moments: str = choice(*MOMENTS, default="fp32")  # AdamW's: 8bit takes 2 bytes a parameter in place of 8, by torchao

    def __post_init__(self) -> None:
        if self.lora is not None and self.moments != "fp32":
            raise ValueError(
                f"lora={self.lora} and moments={self.moments}: expected one of them, because adapters are so few that "
                "their moments take next to nothing; leave one out"
            )


@dataclass(frozen=True, kw_only=True)
class FromScratchConfig:
    """A small Llama that is pretrained here, and how."""

    hidden_size: int = whole(2, 2**16)
    n_layers: int = whole(1, 2**10)
    n_heads: int = whole(1, 2**10)
    mlp_size: int = whole(1, 2**20)
    max_length: int = whole(2, 2**20)  # tokens of the longest prefix and continuation together
    rope_theta: float = real(1, 1e12)
    seed: int = seed_number()
    warmup_fraction: float = real(0, 1)
    weight_decay: float = real(0, LARGE)
    max_grad_norm: float = real(above=0, most=HUGE)
    betas: tuple[float, ...] = several(real(0, below=1), 2, 2)
    dtype: str = choice(*DTYPES)
    precision: str = choice(*PRECISIONS)

    def __post_init__(self) -> None:
        if self.hidden_size % (2 * self.n_heads):
            raise ValueError(
                f"hidden_size={self.hidden_size} with n_heads={self.n_heads}: expected a multiple of 2 * n_heads, "
                "because rotary positions turn pairs of coordinates in each head"
            )


MODELS = {"from_scratch": FromScratchConfig, "pretrained": PretrainedConfig}


@dataclass
class TeacherConfig:
    """Who writes D_syn. `domain`: the dataset's own teacher (symbolic for a procedural domain, the
    file's reference solutions for GSM8K)."""

    name: str = choice("domain", default="domain")
    n_attempts: int = whole(1, MOST_DRAWS, default=1)  # a problem; the first verified one is kept, none drops it


@dataclass
class SourceConfig:
    """Whose solutions an algorithm is given as good ones."""

    name: str = choice(*SOURCES, default=MISSING)
    max_solutions_per_problem: int = whole(1, MOST_ROWS, default=4)  # after removing duplicates
    include_teacher: bool = False  # add D_syn itself to the self-generated solutions
    spurious_fraction: float = real(0, 1, default=0.0)  # self_mixed: of solutions with a wrong or missing step


@dataclass
class MethodConfig(Dials):
    """The algorithm of the last training stage, its optimiser and its dials."""

    name: str = choice(*METHODS, default=MISSING)
    optim: OptimConfig = field(default_factory=OptimConfig)


@dataclass
class RolloutConfig:
    """Monte Carlo estimate of a step's q_value."""

    n_rollouts: int = whole(1, MOST_DRAWS, default=5)
    temperature: float = real(*TEMPERATURES, default=1.0)
    of: str = choice("wrong", "all", default="wrong")  # which finished traces are given credit
    max_traces_per_problem: int = whole(1, MOST_ROWS, default=3)  # distinct traces given credit, a problem
    until: str = choice("pit", "end", default="pit")  # pit: stop a trace at its first prefix without a success
    # who rolls out: the SFT policy that wrote the traces, one that was tuned on other problems of D_syn, or the base
    policy: str = choice("learner", "other_sft", "base", default="learner")
    # when a prefix has rollouts enough: never before n_rollouts; once its verdict is certain, which leaves every pit as
    # it is; or by a sequential test, which takes a prefix of `hopeful_q` or more for hopeless at most at `miss_rate`
    stop: str = choice("never", "verdict", "test", default="never")
    hopeful_q: float = real(above=0, below=1, default=0.5)
    miss_rate: float = real(above=0, below=1, default=0.05)
    search: str = choice("depth", "binary", default="depth")  # binary: as if q_values never rose again

    @property
    def n_most(self) -> int:
        """Rollouts of a prefix of which none is right."""
        n_tested = n_enough(self.hopeful_q, self.miss_rate)
        return min(self.n_rollouts, n_tested) if self.stop == "test" else self.n_rollouts

    @property
    def is_saving(self) -> bool:
        return self.stop != "never" or self.search != "depth"


@dataclass
class SamplingConfig:
    """Solutions of D_syn's problems drawn from the SFT policy."""

    n_samples: int = whole(1, MOST_DRAWS, default=8)
    temperature: float = real(*TEMPERATURES, default=1.0)
    top_p: float = real(above=0, most=1, default=1.0)
    is_cross_fit: bool = False  # of the n_problems of D_syn behind those that the SFT policy was fine-tuned on
    # expert iteration: so many times over, solutions are drawn, verified and trained on, in each round n_samples of a
    # problem and from the policy that the round before ended with
    rounds: int = whole(1, 64, default=1)
    rollouts: RolloutConfig = field(default_factory=RolloutConfig)


@dataclass
class EvaluationConfig:
    """Every problem of the split: one greedy solution and n_samples at `temperature`.

    is_entropy_matched: a control that trains nothing. Evaluated is not this run's policy but the SFT policy, sampled
    at the temperature at which its solutions have the entropy of this run's at `temperature`.
    """

    split: str = choice(*SPLITS, default="test")
    temperature: float = real(*TEMPERATURES, default=0.7)
    n_samples: int = whole(1, MOST_DRAWS, default=1)
    is_entropy_matched: bool = False


@dataclass
class ProbeConfig:
    """What is measured of a run beside its test error; nothing is trained on it, so it is in no other stage's key."""

    has_likelihoods: bool = False  # of the teacher's and of self-generated solutions, under the base
    has_values: bool = False  # q_values along the SFT policy's solutions of evaluated problems, under this run's policy
    has_estimates: bool = False  # advantages of the SFT policy's steps by its rollouts, beside n_truth of each
    n_rollouts: int = whole(1, MOST_DRAWS, default=16)  # of each prefix, for values
    n_truth: int = whole(1, MOST_DRAWS, default=128)  # of each prefix, for estimates


@dataclass
class TrackingConfig:
    """Where training curves go besides metrics.jsonl; null leaves it to W&B's own variables."""

    name: str = choice("wandb", "trackio", "jsonl", default="wandb")
    project: str | None = text(default=None)  # null: WANDB_PROJECT, else rl-on-incorrect
    entity: str | None = text(default=None)
    # null: online where a key is configured and W&B answers, else offline
    mode: str | None = choice("online", "offline", default=None)


@dataclass
class Limits:
    """Minutes that building one stage may take, by its kind, the wait for another builder aside; null: no limit."""

    dsyn: float | None = real(above=0, most=MOST_MINUTES, default=None)
    base: float | None = real(above=0, most=MOST_MINUTES, default=None)
    sft: float | None = real(above=0, most=MOST_MINUTES, default=None)
    samples: float | None = real(above=0, most=MOST_MINUTES, default=None)
    advantages: float | None = real(above=0, most=MOST_MINUTES, default=None)
    pairs: float | None = real(above=0, most=MOST_MINUTES, default=None)
    train: float | None = real(above=0, most=MOST_MINUTES, default=None)
    evaluate: float | None = real(above=0, most=MOST_MINUTES, default=None)
    likelihoods: float | None = real(above=0, most=MOST_MINUTES, default=None)
    values: float | None = real(above=0, most=MOST_MINUTES, default=None)
    estimates: float | None = real(above=0, most=MOST_MINUTES, default=None)

    def of(self, kind: str) -> float | None:
        limit: float | None = getattr(self, kind)
        return limit


@dataclass
class Exec:
    """Resources. Nothing here may change a result beyond floating-point noise."""

    store: str = text(default="outputs/store")
    # the group in W&B, and a folder's name
    sweep_name: str = text(r"\w[\w.+@=-]{0,62}", "at most 63 letters, digits and _.+@=-", default="adhoc")
    n_workers: int | None = whole(1, 1024, default=None)  # local launcher; null: one a core that it may use
    n_threads: int = whole(1, 1024, default=1)  # torch threads of one worker
    device: str = text(r"auto|cpu|cuda(:[0-9]+)?", "one of auto, cpu, cuda, cuda:0, ...", default="auto")
    # of the cards that CUDA_VISIBLE_DEVICES leaves, by number or by name (GPU-..., MIG-...); null: all of them
    cards: tuple[str, ...] | None = several(text(r"[\w.:/-]+", "a card's number or name"), default=None)
    workers_per_card: int | None = whole(1, 64, default=None)  # null: one, and more where the model is tiny
    n_processes: int = whole(1, 1024, default=1)  # that share one training; on cuda each has a card
    micro_batch_tokens: int = whole(1, 2**30, default=4096)  # of one forward pass of training
    max_logits: int = whole(1, 2**40, default=2**25)  # that training holds at once: tokens x vocabulary
    gradient_checkpointing: bool = False  # compute activations again in place of keeping them
    gpu_memory_gib: float | None = real(above=0, most=LARGE, default=None)  # of a card, to be used: more is refused
    compiler: str = choice(*COMPILERS, default="off")  # torch.compile's backend for the layers that are trained
    engine: str = choice(*ENGINES, default="embedded")  # of sampling (models/engines.py); all draw the same tokens
    max_rows: int = whole(1, MOST_ROWS, default=2048)  # rows the engine decodes at once
    cuda_graphs: bool = True  # on a card, an engine captures its step and replays it; embedded never does
    checkpoint_every_s: float = real(0, 1e9, default=300.0)
    rebuild_corrupted: bool = False
    limits_minutes: Limits = field(default_factory=Limits)


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
    probes: ProbeConfig = field(default_factory=ProbeConfig)
    max_solution_tokens: int = whole(1, MOST_ROWS, default=MISSING)  # of every sampled solution, its end included
    n_problems: int = whole(1, MOST_PROBLEMS, default=MISSING)
    seed: int = seed_number(default=0)
    replicate: int = seed_number(default=0)  # decides nothing by itself: the seeds of domain, base and run follow it


@dataclass
class LeafConfig(Exp):
    """What Hydra composes: identity at the top level, resources and tracking in nodes of their own.

    `rates` (a learning rate an arm), `likelihood` and `preference` are where a model's file states its settings
    and conf/method/ reads them; they decide nothing except through `sft` and `method`.
    """

    rates: dict[str, Any] = field(default_factory=dict)
    likelihood: dict[str, Any] = field(default_factory=dict)
    preference: dict[str, Any] = field(default_factory=dict)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    exec: Exec = field(default_factory=Exec)


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as dotted names: {"a": {"b": 1}} is {"a.b": 1}."""
    out: dict[str, Any] = {}
    for name, value in tree.items():
        out.update(flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value})
    return out
