"""The training loop: one plain loop for likelihood and for preferences, for 0.2M and for 7B parameters.

A batch is `batch_size` rows or pairs, cut into micro-batches of similar length. A loss gives one
value per unit (a token for rows, a pair for pairs), and every micro-batch is divided by the units
of the WHOLE batch, so the gradient does not depend on how the batch was cut or over how many
processes it was spread. Accelerate supplies device and processes.

The state between two updates is weights, optimizer and torch's generator; batches are a
function of (seed, update). A run resumed from a checkpoint therefore ends in the same bits.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from sweep.data.records import Judged, Pair, Row
from sweep.fields import PRECISIONS
from sweep.models.attention import reading_packs
from sweep.models.checkpoint import read_checkpoint, restore_weights, write_checkpoint
from sweep.models.logps import MAX_LOGITS, TokenLogps
from sweep.models.optim import Optim, adamw, batch_indices, set_lr
from sweep.models.packing import Item, n_packed
from sweep.models.policy import Policy
from sweep.models.progress import Interrupted
from sweep.models.sequences import encode_rows, logp_sums, micro_batches, packed, token_logps

N_LOGGED = 200  # metrics of about this many updates of a run are logged

Loss = Callable[..., Tensor]
"""Rows: loss(logps (n_tokens,)) -> (n_tokens,). Pairs: loss(policy_chosen, policy_rejected,
reference_chosen, reference_rejected), each a log-probability sum (n_pairs,), -> (n_pairs,). Judged:
loss(policy_logps, reference_logps, is_correct, pass_rate), each (n_tokens,), -> (n_tokens,)."""

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
    precision: str = "fp32",
    micro_batch_tokens: int = 2048,
    max_logits: int = MAX_LOGITS,
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
        precision: fp32, or bf16 for autocast; the weights keep the dtype they were loaded in.
        micro_batch_tokens: bound on the tokens of one forward pass; memory, not mathematics.
        max_logits: bound on the logits held at once; memory, not mathematics.
        checkpoint_dir: resumes from its checkpoint if there is one; the caller removes it in the end.
        should_stop: asked after every update; True leaves a checkpoint and raises Interrupted.
        report: told after every update how many are done, and of how many.
    Raises:
        ValueError: rows that do not fit the model or the loss, a checkpoint of another run.
        FloatingPointError: loss, gradient or a weight after an update is not finite; names the update.
        Interrupted: should_stop said so.
    """
    run = _start(policy, rows, loss, optim, seed, reference, precision, micro_batch_tokens, max_logits)
    if checkpoint_dir is not None:
        _resume(run, checkpoint_dir)
    policy.model.train()
    with reading_packs(policy.model):
        _updates(run, log, checkpoint_dir, checkpoint_every_s, should_stop, report)
    policy.model.eval()
    return TrainCost(run.n_updates, run.n_trained_tokens, run.flops, run.seconds)


def _updates(
    run: "_Run",
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
        metrics = _update(run, is_logged=is_last or (run.n_updates + 1) % log_every == 0)
        run.seconds = time.monotonic() - began
        if report is not None:
            report(run.n_updates, n_updates)
        if metrics is not None and run.accelerator.is_main_process:
            log(run.n_updates, metrics)
        is_stopped = not is_last and should_stop is not None and _any_process(run, should_stop())
        is_due = is_stopped or time.monotonic() - saved > checkpoint_every_s
        if checkpoint_dir is not None and is_due:
            _save(run, checkpoint_dir)
            saved = time.monotonic()
        if is_stopped:
            raise Interrupted(run.n_updates, n_updates)


@dataclass
class _Run:
    """What one call of `train` holds; the last four move."""

    policy: Policy
    items: list[Item]
    lengths: list[int]  # tokens that each item lays down
    reference_logp_sums: Tensor | None  # (n_pairs, 2)
    judged: list[Tensor] | None  # of each solution: (3, n_tokens) reference log-probabilities, is_correct, pass_rate
    loss: Loss
    optim: Optim
    seed: int
    precision: str
    micro_batch_tokens: int
    accelerator: Accelerator
    token_logps: nn.Module
    optimizer: torch.optim.Optimizer
    n_updates: int = 0
    n_trained_tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.precision == "bf16")


def _start(
    policy: Policy,
    rows: Trained,
    loss: Loss,
    optim: Optim,
    seed: int,
    reference: Policy | None,
    precision: str,
    micro_batch_tokens: int,
    max_logits: int,
) -> _Run:
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r} is not known; choose one of {', '.join(PRECISIONS)}")
    items = encode_rows(policy, rows)
    kind = type(rows[0])
    if (kind is Row) == (reference is not None):
        names = {Row: "rows with", Pair: "pairs without", Judged: "judged solutions without"}
        found = f"{names[kind]} a reference policy"
        raise ValueError(
            f"{found}: pairs and judged solutions need one and rows have no use for it; correct the method's stage"
        )
    # Accelerate's own mixed precision holds for a process, a worker trains runs of both kinds
    accelerator = Accelerator(cpu=policy.device.type == "cpu", mixed_precision="no")
    torch.manual_seed(seed)
    optimizer = adamw(policy.model, optim)
    token_logps = accelerator.prepare_model(TokenLogps(policy.model, max_logits))
    run = _Run(
        policy,
        items,
        [n_packed(item) for item in items],
        None,
        None,
        loss,
        optim,
        seed,
        precision,
        micro_batch_tokens,
        accelerator,
        token_logps,
        optimizer,
    )
    if reference is not None:
        _score(run, reference, rows)
        run.flops = policy.flops_per_token * _n_tokens(items)
    return run


def _score(run: _Run, reference: Policy, rows: Trained) -> None:
    """What the frozen reference says of every pair or judged solution; clones, since autograd keeps no inference
    tensor."""
    device, n_tokens = run.accelerator.device, run.micro_batch_tokens
    with run.autocast():
        if isinstance(rows[0], Pair):
            run.reference_logp_sums = logp_sums(reference, run.items, n_tokens).to(device).clone()
            return
        scores = [one.to(device).clone() for one in token_logps(reference, run.items, n_tokens)]
    verdicts = [(float(row.is_correct), row.pass_rate) for row in rows if isinstance(row, Judged)]
    run.judged = [
        torch.stack([score, *(torch.full_like(score, value) for value in told)])
        for score, told in zip(scores, verdicts, strict=True)
    ]


def _update(run: _Run, is_logged: bool) -> dict[str, float] | None:
    """One step of the optimizer on one batch; metrics if they are logged."""
    indices = batch_indices(len(run.items), run.optim.batch_size, run.seed, run.n_updates)
    lengths = [run.lengths[i] for i in indices]
    n_processes = run.accelerator.num_processes
    groups = micro_batches(lengths, run.micro_batch_tokens, multiple_of=n_processes)
    assert sum(map(len, groups)) == run.optim.batch_size  # no row is lost between epoch and gradient
    n_tokens = sum(tokens.n_trained for i in indices for tokens in run.items[i])
    n_units = n_tokens if run.reference_logp_sums is None else len(indices)
    shares = groups[run.accelerator.process_index :: n_processes]
    totals = torch.zeros(5, device=run.accelerator.device)
    for n, group in enumerate(shares, start=1):
        with nullcontext() if n == len(shares) else run.accelerator.no_sync(run.token_logps):
            loss_sum, statistics = _loss_sum(run, [indices[k] for k in group])
            # processes average their gradients, hence the factor
            run.accelerator.backward(loss_sum * (n_processes / n_units))
        totals += statistics
    grad_norm = nn.utils.clip_grad_norm_(run.policy.model.parameters(), run.optim.max_grad_norm)
    totals = run.accelerator.reduce(totals)
    mean_loss = totals[0].item() / n_units
    _check_finite(run, {"loss": mean_loss, "gradient norm": float(grad_norm)})
    lr = set_lr(run.optimizer, run.optim, run.n_updates)
    run.optimizer.step()
    run.optimizer.zero_grad()
    largest = nn.utils.get_total_norm(run.policy.model.parameters(), norm_type=math.inf)
    _check_finite(run, {"largest weight": float(largest)})  # the last update's too, which no loss is computed after
    run.n_updates += 1
    run.n_trained_tokens += n_tokens
    run.flops += 3 * run.policy.flops_per_token * _n_tokens(run.items[i] for i in indices)
    if not is_logged:
        return None
    metrics = {
        "loss": mean_loss,
        "lr": lr,
        "grad_norm": float(grad_norm),
        "n_trained_tokens": run.n_trained_tokens,
    }
    if run.reference_logp_sums is not None:
        names = ("log_ratio_margin", "pair_accuracy", "chosen_logp_sum", "rejected_logp_sum")
        metrics |= dict(zip(names, (totals[1:] / n_units).tolist(), strict=True))
    return metrics


def _check_finite(run: _Run, numbers: dict[str, float]) -> None:
    if not all(map(math.isfinite, numbers.values())):
        raise FloatingPointError(
            f"update {run.n_updates + 1} of {run.optim.n_updates}: "
            f"{', '.join(f'{name} {value}' for name, value in numbers.items())}; expected finite numbers. "
            f"Lower lr={run.optim.lr:g} or lengthen the warm-up of this method"
        )


def _loss_sum(run: _Run, indices: list[int]) -> tuple[Tensor, Tensor]:
    """Loss summed over a micro-batch's units; and (5,) the same with the pairs' statistics, for the log."""
    batch = packed(run.policy, [run.items[i] for i in indices])
    with run.autocast():
        logps = run.token_logps(batch)
    if run.reference_logp_sums is None:
        given = () if run.judged is None else torch.cat([run.judged[i] for i in indices], dim=1).unbind(0)
        loss_sum = run.loss(logps, *given).sum()
        return loss_sum, torch.cat([loss_sum.detach()[None], loss_sum.new_zeros(4)])
    chosen, rejected = batch.sums(logps).view(-1, 2).unbind(1)
    reference_chosen, reference_rejected = run.reference_logp_sums[indices].unbind(1)
    loss_sum = run.loss(chosen, rejected, reference_chosen, reference_rejected).sum()
    with torch.no_grad():
        margin = (chosen - reference_chosen) - (rejected - reference_rejected)
        sums = [margin.sum(), (margin > 0).float().sum(), chosen.sum(), rejected.sum()]
        return loss_sum, torch.stack([loss_sum.detach(), *sums])


def _n_tokens(items: Iterable[Item]) -> int:
    """Tokens of the items' sequences, prefixes included."""
    return sum(len(tokens.ids) for item in items for tokens in item)


def _any_process(run: _Run, is_true: bool) -> bool:
    """True on all processes if it is on one, so that they stop after the same update."""
    if run.accelerator.num_processes == 1:
        return is_true
    return bool(run.accelerator.reduce(torch.tensor(float(is_true), device=run.accelerator.device)).item())


def _identity(run: _Run) -> str:
    """What a checkpoint must share with the run that resumes from it."""
    settings = (run.optim, run.seed, run.precision, run.micro_batch_tokens, run.accelerator.num_processes)
    digest = hashlib.sha256(repr(settings).encode())
    for item in run.items:
        for tokens in item:
            digest.update(tokens.ids.tobytes() + tokens.n_prefix.to_bytes(4, "little"))
    return digest.hexdigest()


def _save(run: _Run, checkpoint_dir: Path) -> None:
    if not run.accelerator.is_main_process:
        return
    state = {
        "identity": _identity(run),
        "n_updates": run.n_updates,
        "n_trained_tokens": run.n_trained_tokens,
        "flops": run.flops,
        "seconds": run.seconds,
        "optimizer": run.optimizer.state_dict(),
        "generator": torch.get_rng_state(),
    }
    write_checkpoint(checkpoint_dir, run.n_updates, dict(run.policy.model.named_parameters()), state)


def _resume(run: _Run, checkpoint_dir: Path) -> None:
    checkpoint = read_checkpoint(checkpoint_dir)
    if checkpoint is None:
        return
    weights, state = checkpoint
    if state["identity"] != _identity(run):
        raise ValueError(
            f"{checkpoint_dir}: its checkpoint was made with other rows, settings or seed than this run's; "
            "remove the folder to train from the start"
        )
    restore_weights(run.policy.model, weights, checkpoint_dir)
    run.optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["generator"])
    run.n_updates, run.n_trained_tokens, run.flops, run.seconds = (
        state[name] for name in ("n_updates", "n_trained_tokens", "flops", "seconds")
    )
