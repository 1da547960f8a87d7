"""How a base is pretrained on a procedural domain: phase after phase of its curriculum, each until it is learnt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep.artifacts import Cost
from sweep.bench import Bench, training_cost
from sweep.data import ProceduralDomain
from sweep.data.phase import Phase
from sweep.data.records import Row

if TYPE_CHECKING:  # the verbs that build nothing must not wait for torch
    from sweep.models import Policy

N_FRESH = 1024  # documents that tell whether a phase has been learnt


def phase_costs(
    policy: Policy,
    data: ProceduralDomain,
    phase: Phase,
    number: int,
    rng: np.random.Generator,
    bench: Bench,
    model: Mapping[str, Any],
    *,
    n_before: int,
) -> list[Cost]:
    """Train `policy` in place on one phase, and tell what each round of it cost; every document is seen once.

    Args:
        n_before: updates of the phases before, which curves are counted on from.
    Raises:
        ValueError: the phase has an `until_loss` that its `most_rounds` did not reach.
    """
    costs: list[Cost] = []
    while True:
        name = f"phase-{number}" if phase.until_loss is None else f"phase-{number}-{len(costs)}"
        rows = _rows(data, phase, name, rng)
        n_updates = n_before + sum(costs, Cost()).n_updates
        costs.append(_round(policy, rows, phase, name, int(rng.integers(2**31)), bench, model, n_before=n_updates))
        if phase.until_loss is None:
            return costs
        loss = _loss(policy, _rows(data, replace(phase, n_documents=N_FRESH), f"{name}-fresh", rng))
        if loss < phase.until_loss:
            return costs
        if len(costs) == phase.most_rounds:
            raise ValueError(
                f"phase {number} of the curriculum: a token of unseen documents costs {loss:.3f} nats after "
                f"{len(costs)} rounds of {phase.n_documents} documents, expected less than until_loss="
                f"{phase.until_loss:g}: this base did not learn what the phase teaches. Raise most_rounds, or take "
                "another model.seed"
            )


def _rows(data: ProceduralDomain, phase: Phase, name: str, rng: np.random.Generator) -> list[Row]:
    documents = data.pretraining_documents(phase, rng)
    return [Row(prompt, text, True, f"{name}-{i}") for i, (prompt, text) in enumerate(documents)]


def _loss(policy: Policy, rows: Sequence[Row]) -> float:
    """Nats a token."""
    from sweep.models import continuation_logps

    logps, n_tokens = zip(*continuation_logps(policy, rows), strict=True)
    return float(-sum(logps) / sum(n_tokens))


def _round(
    policy: Policy,
    rows: Sequence[Row],
    phase: Phase,
    name: str,
    seed: int,
    bench: Bench,
    model: Mapping[str, Any],
    *,
    n_before: int,
) -> Cost:
    """Every row once."""
    from sweep.methods.sft import sft_loss
    from sweep.models import Optim, train

    optim = Optim(
        lr=phase.lr,
        n_updates=math.ceil(len(rows) / phase.batch_size),
        batch_size=phase.batch_size,
        warmup_fraction=model["warmup_fraction"],
        schedule=phase.schedule,
        embedding_lr_scale=phase.embedding_lr_scale,
        weight_decay=model["weight_decay"],
        max_grad_norm=model["max_grad_norm"],
        betas=tuple(model["betas"]),
    )
    done = train(
        policy,
        rows,
        sft_loss,
        optim,
        seed=seed,
        precision=model["precision"],
        log=bench.tracker.curve(name.replace("-", "_"), offset=n_before),
        **bench.training_limits(name),
    )
    return training_cost(done)
