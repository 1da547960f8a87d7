"""How the weights of a stage are fine-tuned: with which optimiser, on which reference, by how many processes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sweep.artifacts import Cost, Stage
from sweep.bench import Bench, Built, seed_of, training_cost
from sweep.config import OptimConfig
from sweep.data.records import Judged, Pair, ReferenceScore

if TYPE_CHECKING:  # the verbs that build nothing must not wait for torch
    from sweep.models import Loss, Optim, TrainCost, Trained


def fine_tuned(
    stage: Stage,
    bench: Bench,
    start: str,
    rows: Trained,
    loss: Loss,
    optim: OptimConfig,
    reference: Sequence[ReferenceScore] | None = None,
) -> Built:
    """Train the weights of the parent `start` and publish them.

    Args:
        reference: of each pair; of judged solutions it is the policy that they start from.
    """
    last, curve = dict[str, float](), bench.tracker.curve("train")

    def log(n_done: int, metrics: dict[str, float]) -> None:
        last.update(metrics)
        curve(n_done, metrics)

    how: dict[str, Any] = {
        "seed": seed_of(stage),
        "lora": bench.model.get("lora"),
        "precision": bench.model["precision"],
        "log": log,
        **bench.training_limits("train"),
    }
    if reference is not None:
        how["reference_logp_sums"] = [(score.chosen_logp_sum, score.rejected_logp_sum) for score in reference]
    done = _trained(bench, start, rows, loss, _optim(stage, bench, optim), how)
    facts = {
        "n_rows" if reference is None else "n_pairs": len(rows),
        "n_problems_used": len({row.problem_id for row in rows}),
        "loss": last["loss"],
    }
    return Built(facts, training_cost(done))


def _trained(bench: Bench, start: str, rows: Trained, loss: Loss, optim: Optim, how: dict[str, Any]) -> TrainCost:
    """By this process, or by as many as are asked for; where memory is short by one that reads weights by layers."""
    from sweep.models import save_policy, train, train_in_processes

    if bench.exec.n_processes > 1 or optim.moments == "8bit":
        n, folder = bench.exec.n_processes, bench.parents[start].path
        return train_in_processes(n, folder, rows, loss, optim, bench.out, **{**bench.placed(), **how})
    policy = bench.policy(start)
    done = train(policy, rows, loss, optim, reference=policy if isinstance(rows[0], Judged) else None, **how)
    save_policy(policy, bench.out)
    return done


def scored(bench: Bench, pairs: Sequence[Pair]) -> tuple[list[ReferenceScore], Cost]:
    """The pairs' log-probabilities under pi_sft, in the precision that they are trained in, and what they cost."""
    from sweep.models import pair_scores

    sums, flops = pair_scores(
        bench.policy("sft"),
        pairs,
        precision=bench.model["precision"],
        max_tokens=bench.exec.micro_batch_tokens,
        max_logits=bench.exec.max_logits,
    )
    return [ReferenceScore(*both) for both in sums], Cost(flops=flops)


def _optim(stage: Stage, bench: Bench, optim: OptimConfig) -> Optim:
    """n_updates is a function of n_problems alone, so arms with more or fewer rows still get equal updates."""
    from sweep.models import Optim

    return Optim(
        lr=optim.lr,
        n_updates=max(optim.min_updates, math.ceil(optim.passes * stage.identity["n_problems"] / optim.batch_size)),
        batch_size=optim.batch_size,
        warmup_fraction=optim.warmup_fraction,
        schedule=optim.schedule,
        weight_decay=optim.weight_decay,
        max_grad_norm=optim.max_grad_norm,
        embedding_lr_scale=optim.embedding_lr_scale,
        betas=tuple(bench.model["betas"]),
        moments=bench.model.get("moments", "fp32"),
    )
