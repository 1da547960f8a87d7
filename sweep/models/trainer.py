"""The training loop: one plain loop for likelihood and for preferences, for 0.2M and for 7B parameters.

What one update does with its batch is in `update`.

The state between two updates is weights, optimizer and torch's generator; batches are a
function of (seed, update). A run resumed from a checkpoint therefore ends in the same bits.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sweep.data.records import Judged, Pair, Row
from sweep.fields import PRECISIONS
from sweep.models.attention import reading_packs
from sweep.models.checkpoint import read_checkpoint, restore_weights, write_checkpoint
from sweep.models.layers import layers_computed
from sweep.models.logps import MAX_LOGITS
from sweep.models.lora import adapted
from sweep.models.optim import Optim
from sweep.models.packing import Item
from sweep.models.policy import Policy
from sweep.models.precision import in_precision
from sweep.models.progress import Interrupted
from sweep.models.sequences import encode_rows, logp_sums, n_tokens, token_logps
from sweep.models.sharding import (
    all_folders,
    local,
    n_processes,
    own_folder,
    process_index,
    split_like,
    summed,
    wait_for_all,
)
from sweep.models.update import Computing, Loss, Run, start, update

N_LOGGED = 200  # metrics of about this many updates of a run are logged

Trained = Sequence[Row] | Sequence[Pair] | Sequence[Judged]


@dataclass(frozen=True)
class TrainCost:
    """What a run cost; n_trained_tokens counts the tokens that carried loss, in every epoch again; flops are three
    passes' worth a token of a batch (forward, and twice that backward), one for each that the reference scores, each
    sequence counted whole: what a pair's two share is computed once and counted twice."""

    n_updates: int
    n_trained_tokens: int
    flops: float
    seconds: float


def train(
    policy: Policy,
    rows: Trained,
    loss: Loss,
    optim: Optim,
    *,
    seed: int,
    log: Callable[[int, dict[str, float]], None],
    reference: Policy | None = None,
    reference_logp_sums: Sequence[tuple[float, float]] | None = None,
    lora: Mapping[str, Any] | None = None,
    precision: str = "fp32",
    micro_batch_tokens: int = 2048,
    max_logits: int = MAX_LOGITS,
    gradient_checkpointing: bool = False,
    compiler: str = "off",
    checkpoint_dir: Path | None = None,
    checkpoint_every_s: float = 600.0,
    should_stop: Callable[[], bool] | None = None,
    report: Callable[[int, int], None] | None = None,
) -> TrainCost:
    """Trains `policy` in place, on shuffled epochs of rows, pairs or judged solutions.

    Args:
        log: called with (updates done, metrics) about 200 times a run, and after the last update.
        reference: frozen policy of the log-ratios of pairs and judged solutions, scored once for all of them
            before the first update, so it may be `policy` itself, as it is at the start. None for rows.
        reference_logp_sums: (chosen, rejected) of each pair, in place of the policy that gives them.
        lora: rank and alpha of adapters that are trained in place of the weights, and merged into them in the end.
        precision: of weights and activations, fp32 or bf16; the optimizer moves fp32 numbers in both, and the weights
            end in the dtype that they were loaded in.
        micro_batch_tokens: bound on the tokens of one forward pass; memory, not mathematics.
        max_logits: bound on the logits held at once; memory, not mathematics.
        gradient_checkpointing: compute a layer's activations again in the backward pass, in place of keeping them.
        compiler: off, or the backend of torch.compile for each layer of the model.
        checkpoint_dir: resumes from its checkpoint if there is one; the caller removes it in the end.
        should_stop: asked after every update; True leaves a checkpoint and raises Interrupted.
        report: told after every update how many are done, and of how many.
    Raises:
        ValueError: rows that do not fit the model or the loss, a checkpoint of another run.
        FloatingPointError: loss, gradient or a weight after an update is not finite; names the update.
        Interrupted: should_stop said so.
    """
    items = encode_rows(policy, rows)
    _check(precision, rows, reference, reference_logp_sums)
    computing = Computing(precision, micro_batch_tokens, max_logits)
    sums, judged, flops = _scores(policy, rows, items, reference, reference_logp_sums, computing)
    with adapted(policy.model, lora, seed):
        run = start(policy, items, sums, judged, loss, optim, seed, computing)
        run.flops = flops
        with run.masters as masters, reading_packs(masters.model):
            if checkpoint_dir is not None:
                _resume(run, checkpoint_dir)
            masters.model.train()
            with layers_computed(masters.model, gradient_checkpointing, compiler):
                _updates(run, log, checkpoint_dir, checkpoint_every_s, should_stop, report)
    policy.model.eval()
    return TrainCost(run.n_updates, run.n_trained_tokens, run.flops, run.seconds)


def _updates(
    run: Run,
    log: Callable[[int, dict[str, float]], None],
    checkpoint_dir: Path | None,
    checkpoint_every_s: float,
    should_stop: Callable[[], bool] | None,
    report: Callable[[int, int], None] | None,
) -> None:
    n_updates = run.optim.n_updates
    log_every = max(1, n_updates // N_LOGGED)
    saved = time.monotonic()
    began = saved - run.seconds
    while run.n_updates < n_updates:
        is_last = run.n_updates + 1 == n_updates
        metrics = update(run, is_logged=is_last or (run.n_updates + 1) % log_every == 0)
        run.seconds = time.monotonic() - began
        if report is not None:
            report(run.n_updates, n_updates)
        if metrics is not None and process_index() == 0:
            log(run.n_updates, metrics)
        is_stopped = not is_last and should_stop is not None and _any_process(run, should_stop())
        is_due = is_stopped or time.monotonic() - saved > checkpoint_every_s
        if checkpoint_dir is not None and is_due:
            _save(run, checkpoint_dir)
            saved = time.monotonic()
        if is_stopped:
            raise Interrupted(run.n_updates, n_updates)


def _check(precision: str, rows: Trained, reference: Policy | None, sums: Sequence[tuple[float, float]] | None) -> None:
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r} is not known; choose one of {', '.join(PRECISIONS)}")
    kind, n_references = type(rows[0]), (reference is not None) + (sums is not None)
    if n_references != (kind is not Row):
        what = {Row: "rows", Pair: "pairs", Judged: "judged solutions"}[kind]
        found = {0: "without a reference", 1: "with a reference", 2: "with two references"}[n_references]
        raise ValueError(
            f"{what} {found}: pairs and judged solutions need one and rows have no use for it; correct the method's "
            "stage"
        )
    if sums is not None and len(sums) != len(rows):
        raise ValueError(f"{len(rows)} pairs with the reference's scores of {len(sums)}; build the pairs' stage again")


def _scores(
    policy: Policy,
    rows: Trained,
    items: list[Item],
    reference: Policy | None,
    sums: Sequence[tuple[float, float]] | None,
    computing: Computing,
) -> tuple[Tensor | None, list[Tensor] | None, float]:
    """What the frozen reference says of every pair, or of every judged solution; and the FLOPs of scoring now.

    Clones, since autograd keeps no inference tensor.
    """
    if sums is not None:
        return torch.tensor(sums, device=policy.device), None, 0.0
    if reference is None:
        return None, None, 0.0
    bounds, flops = (computing.micro_batch_tokens, computing.max_logits), policy.flops_per_token * n_tokens(items)
    with in_precision(reference.model, computing.precision):
        if isinstance(rows[0], Pair):
            return logp_sums(reference, items, *bounds).to(policy.device).clone(), None, flops
        scores = [one.to(policy.device).clone() for one in token_logps(reference, items, *bounds)]
    verdicts = [(float(row.is_correct), row.pass_rate) for row in rows if isinstance(row, Judged)]
    judged = [
        torch.stack([score, *(torch.full_like(score, value) for value in told)])
        for score, told in zip(scores, verdicts, strict=True)
    ]
    return None, judged, flops


def _any_process(run: Run, is_true: bool) -> bool:
    """True on all processes if it is on one, so that they stop after the same update."""
    return bool(summed(torch.tensor(float(is_true), device=run.policy.device)).item())


def _identity(run: Run) -> str:
    """What a checkpoint must share with the run that resumes from it."""
    settings = (run.optim, run.seed, run.computing, n_processes())
    digest = hashlib.sha256(repr(settings).encode())
    for item in run.items:
        for tokens in item:
            digest.update(tokens.ids.tobytes() + tokens.n_prefix.to_bytes(4, "little"))
    return digest.hexdigest()


def _save(run: Run, checkpoint_dir: Path) -> None:
    state = {
        "identity": _identity(run),
        "n_updates": run.n_updates,
        "n_trained_tokens": run.n_trained_tokens,
        "flops": run.flops,
        "seconds": run.seconds,
        "optimizer": local(run.optimizer.state_dict()),
        "generator": torch.get_rng_state(),
    }
    write_checkpoint(own_folder(checkpoint_dir), run.n_updates, local(run.masters.by_name), state, wait_for_all)


def _resume(run: Run, checkpoint_dir: Path) -> None:
    checkpoint = read_checkpoint(own_folder(checkpoint_dir), all_folders(checkpoint_dir))
    if checkpoint is None:
        return
    weights, state = checkpoint
    if state["identity"] != _identity(run):
        raise ValueError(
            f"{checkpoint_dir}: its checkpoint was made with other rows, settings or seed than this run's; "
            "remove the folder to train from the start"
        )
    restore_weights(local(run.masters.by_name), weights, checkpoint_dir)
    run.masters.publish()
    run.optimizer.load_state_dict(split_like(run.optimizer, state["optimizer"]))
    torch.set_rng_state(state["generator"])
    run.n_updates, run.n_trained_tokens, run.flops, run.seconds = (
        state[name] for name in ("n_updates", "n_trained_tokens", "flops", "seconds")
    )
