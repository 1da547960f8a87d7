"""The bench a stage is built at: what a builder of `sweep.stages` needs and the paper does not speak of.

Its parents' artifacts, the domain its slice of Exp names, its stream of randomness, where checkpoints lie, and
what the work cost.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.artifacts import Artifact, Cost, Stage
from sweep.config import Exec
from sweep.data import Domain, domain
from sweep.disk import read_jsonl
from sweep.tracking import Tracker

if TYPE_CHECKING:  # planning a sweep reads this module and must not wait for torch
    from sweep.models import Completion, Policy, Sampler, TrainCost


class NothingToLearn(ValueError):
    """What was drawn leaves a method no training row, as a policy without a mistake leaves no pair: the same settings
    leave none again."""


@dataclass(frozen=True)
class Built:
    """Facts (counts and descriptions) for the manifest, and what the work cost."""

    facts: dict[str, Any]
    cost: Cost


@dataclass(frozen=True)
class Bench:
    """What a build may use: its parents, the base model's config, its folder, resources, curve, checkpoints; and what
    is told how far it is."""

    parents: Mapping[str, Artifact]
    model: Mapping[str, Any]
    out: Path
    exec: Exec
    tracker: Tracker
    checkpoint_dir: Path
    should_stop: Callable[[], bool] | None = None
    report: Callable[[str, int, int], None] = lambda unit, n_done, n: None

    def policy(self, role: str) -> Policy:
        """The weights of a parent, on this machine's device."""
        return self.policy_at(self.parents[role].path)

    def policy_at(self, folder: Path) -> Policy:
        from sweep.models import load_policy

        return load_policy(str(folder), revision=None, **self.placed())

    def placed(self) -> dict[str, str]:
        """On which device weights are opened, and in which dtype."""
        return {"device": _device(self.exec), "dtype": self.model["dtype"]}

    def read(self, role: str, name: str, record: type) -> list[Any]:
        """The records in a parent's file; none where the stage has no such parent."""
        return read_jsonl(self.parents[role].path / name, record) if role in self.parents else []

    def sampler(self, policy: Policy) -> AbstractContextManager[Sampler]:
        """What draws from the policy, by the engine that `exec` names, in the precision of training."""
        from sweep.models import opened

        precision, exec = self.model["precision"], self.exec
        return opened(policy, exec.engine, max_rows=exec.max_rows, precision=precision, is_graphed=exec.cuda_graphs)

    def training_limits(self, name: str) -> dict[str, Any]:
        return {
            "micro_batch_tokens": self.exec.micro_batch_tokens,
            "max_logits": self.exec.max_logits,
            "gradient_checkpointing": self.exec.gradient_checkpointing,
            "compiler": self.exec.compiler,
            "checkpoint_dir": self.checkpoint_dir / name,
            "checkpoint_every_s": self.exec.checkpoint_every_s,
            "should_stop": self.should_stop,
            "report": partial(self.report, "update" if name == "train" else f"{name} update"),
        }

    def sampling_limits(self, name: str | None = None) -> dict[str, Any]:
        """Without a name nothing is kept for a restart."""
        return {
            "checkpoint_path": self.checkpoint_dir / f"{name}.jsonl" if name else None,
            "should_stop": self.should_stop,
            "report": partial(self.report, f"{name}: prefix" if name else "prefix"),
        }


def _device(exec: Exec) -> str:
    if exec.device != "auto":
        return exec.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def training_cost(done: TrainCost) -> Cost:
    return Cost(n_updates=done.n_updates, n_trained_tokens=done.n_trained_tokens, flops=done.flops)


def sampling_cost(policy: Policy, prefixes: Sequence[str], drawn: Sequence[Sequence[Completion]]) -> Cost:
    from sweep.models import n_sampled_tokens, sampling_flops

    return Cost(n_sampled_tokens=n_sampled_tokens(drawn), flops=sampling_flops(policy, prefixes, drawn))


@cache
def open_domain(dataset: str) -> Domain:
    """The domain of a dataset config, given as JSON; opened once a process."""
    return domain(json.loads(dataset))


def domain_of(stage: Stage) -> Domain:
    """The stage's own dataset, or that of its D_syn; refused where its files changed since planning."""
    if "dataset" not in stage.identity:
        return domain_of(stage.parents["dsyn"])
    dials = {name: value for name, value in stage.identity["dataset"].items() if name != "revision"}
    data = open_domain(json.dumps({**dials, **stage.places}, sort_keys=True))
    if data.revision != stage.identity["dataset"]["revision"]:
        raise ValueError(
            f"{stage.key}: the dataset's files changed since the sweep was planned (revision {data.revision}, planned "
            f"with {stage.identity['dataset']['revision']}); give the sweep command again"
        )
    return data


def model_of(stage: Stage) -> Mapping[str, Any]:
    """The model config of the base that a stage descends from; empty where it needs no model."""
    found = [s for s in [*stage.ancestors(), stage] if s.kind == "base"]
    return found[0].identity["model"] if found else {}


STREAM = {"pairs": "train"}  # pairs are drawn as training draws rows: chosen_sft sees the chosen sides of step_dpo


def seed_of(stage: Stage, seed: int | None = None) -> int:
    """One stream of randomness a stage kind and run seed, the same on every machine."""
    seed = stage.identity["seed"] if seed is None else seed
    kind = STREAM.get(stage.kind, stage.kind)
    return int(np.random.SeedSequence([seed, zlib.crc32(kind.encode())]).generate_state(1)[0])
