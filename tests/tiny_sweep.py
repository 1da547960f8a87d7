"""A sweep small enough to run inside a test, and ways to compose and to build it without a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from sweep.artifacts import Manifest, Store
from sweep.commands.words import plan_of
from sweep.config import Exec, TrackingConfig
from sweep.launchers.plugins import register
from sweep.plan import Plan

register()

# A world of 8 functions and a 32-wide model, which learns a little of them in a second; every arm finds pairs in it.
TINY = (
    "dataset.n_train=96", "dataset.n_validation=8", "dataset.n_test=40", "dataset.n_skills=8", "dataset.n_head=4",
    "dataset.n_values=4", "dataset.chain_length=2", "dataset.answer_classes=2",
    "dataset.curriculum=[{n_documents: 8000, lr: 1e-2, tail_fraction: 0.4, batch_size: 32}]",
    "max_solution_tokens=16", "sampling.n_samples=4", "sampling.rollouts.n_rollouts=2",
    "model.hidden_size=32", "model.n_layers=2", "model.n_heads=2", "model.mlp_size=64", "model.max_length=32",
    "sft.lr=5e-4", "sft.batch_size=8", "sft.passes=2", "method.optim.batch_size=8", "method.optim.passes=2",
    "n_problems=16", "tracking=jsonl", "exec.n_workers=1",
)  # fmt: skip
GRID = ("arm=sft,rft,dpo,step_dpo,sft_more,chosen_sft", "n_problems=8,16")


@dataclass(frozen=True)
class Sweep:
    """A plan, its store, and the words that make it on a command line."""

    words: tuple[str, ...]
    plan: Plan
    store: Store


@cache
def planned(*words: str) -> Plan:
    """The plan of a tiny grid, composed as the command line composes it; later words win."""
    return plan_of(tiny(*words))[0]


def tiny(*words: str) -> tuple[str, ...]:
    """TINY with some of its words replaced."""
    named = {word.split("=")[0]: word for word in (*TINY, *words)}
    return tuple(named.values())


def build_all(plan: Plan, store: Store, keys: Sequence[str] | None = None, **exec: object) -> dict[str, Manifest]:
    """Build the plan's stages one after the other in this process, through the workers' own function."""
    import torch

    from sweep.launchers.execute import build

    torch.set_num_threads(1)
    resources = Exec(store=str(store.root), sweep_name="tests", **exec)
    wanted = plan.stages if keys is None else keys
    return {key: build(plan.stages[key], store, resources, TrackingConfig(name="jsonl")) for key in wanted}
