"""Two processes that share a training: the numbers of one, checkpoints of their own parts, and a common end."""

import os
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny_policy import OPTIM, PREFERENCE, pairs, rows, trained, trained_policy, weights
from torch import Tensor

from sweep.data.records import Pair, Row
from sweep.methods.sft import sft_loss
from sweep.models import Interrupted, TrainCost, load_policy, pair_scores, save_policy, train_in_processes
from sweep.models.processes import PATIENCE_S

SETTINGS = {"seed": 0, "device": "cpu", "dtype": "float32", "micro_batch_tokens": 60}


def shared(data: list[Row] | list[Pair], tmp_path: Path, **options) -> tuple[TrainCost, Tensor]:
    """Cost and weights of a training that two processes share."""
    folder, out = tmp_path / "start", tmp_path / "out"
    save_policy(trained_policy(), folder)
    options = {"log": lambda update, metrics: None, "optim": OPTIM} | options
    optim, loss = options.pop("optim"), options.pop("loss", PREFERENCE if isinstance(data[0], Pair) else sft_loss)
    if isinstance(data[0], Pair):
        options["reference_logp_sums"], _ = pair_scores(trained_policy(), data)
    cost = train_in_processes(2, folder, data, loss, optim, out, **SETTINGS, **options)
    return cost, weights(load_policy(str(out), revision=None, device="cpu", dtype="float32"))


@pytest.mark.parametrize("data", [rows(20), pairs(20, is_final=True)], ids=["rows", "pairs"])
def test_two_processes_give_the_losses_and_weights_of_one(data: list[Row] | list[Pair], tmp_path: Path) -> None:
    policy, alone, together, told = trained_policy(), [], [], []
    reference = {"reference": policy} if isinstance(data[0], Pair) else {}
    cost = trained(policy, data, log=lambda update, metrics: alone.append(metrics), **reference)
    common, found = shared(
        data,
        tmp_path,
        log=lambda update, metrics: together.append(metrics),
        report=lambda n_done, n: told.append((n_done, n)),
    )
    assert len(alone) == len(together) == 12
    for metrics in (alone[0], together[0]):
        metrics.pop("pair_accuracy", None)  # policy and reference agree there: the margin's sign is rounding
    for one, two in zip(alone, together, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
        assert two == pytest.approx(one, rel=1e-4, abs=1e-4)
    assert (found - weights(policy)).abs().max() < 1e-4
    assert (common.n_updates, common.n_trained_tokens) == (cost.n_updates, cost.n_trained_tokens)
    assert told == [(update, 12) for update in range(1, 13)]


def test_a_stopped_training_resumes_to_the_same_bits_from_the_parts_of_both(tmp_path: Path) -> None:
    data, parts = rows(20), tmp_path / "checkpoints"
    _, straight = shared(data, tmp_path / "straight")
    done: list[int] = []
    with pytest.raises(Interrupted, match=r"stopped on request after update \d+ of 12"):
        shared(
            data,
            tmp_path / "stopped",
            checkpoint_dir=parts,
            report=lambda n_done, n: done.append(n_done),
            should_stop=lambda: len(done) >= 3,
        )
    assert sorted(part.name for part in parts.iterdir()) == ["part-0-of-2", "part-1-of-2"]
    kept = {update.name for part in parts.iterdir() for update in part.iterdir()}
    assert len(kept) == 1 and kept < {f"update-{n:08d}" for n in range(3, 12)}
    logged: list[int] = []
    _, resumed = shared(
        data, tmp_path / "resumed", checkpoint_dir=parts, log=lambda update, metrics: logged.append(update)
    )
    assert logged[0] == int(next(iter(kept)).removeprefix("update-")) + 1
    assert torch.equal(resumed, straight)


def failing(logps: Tensor, how: str) -> Tensor:
    if how == "killed":
        os._exit(9)
    return logps * float("nan")


def test_what_goes_wrong_in_a_process_is_raised_where_it_was_started(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match="update 1 of 12: loss nan"):
        shared(rows(20), tmp_path, loss=partial(failing, how="nan"))


def test_a_process_that_ends_without_a_word_ends_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PATIENCE_S > 1
    monkeypatch.setattr("sweep.models.processes.PATIENCE_S", 1.0)
    with pytest.raises(RuntimeError, match="one of 2 training processes ended with exit code 9 and said nothing"):
        shared(rows(20), tmp_path, loss=partial(failing, how="killed"))
