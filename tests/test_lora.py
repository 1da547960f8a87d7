"""Adapters: few numbers are trained, and what is left is an ordinary model."""

import sys
from pathlib import Path

import pytest
import torch
from tiny_policy import pairs, rows, tiny_policy, trained, trained_policy, weights

from sweep.data.records import Pair, Row
from sweep.models import Interrupted, Optim, load_policy, save_policy

LORA = {"rank": 2, "alpha": 4.0}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("data", [rows(20), pairs(20, is_final=True)], ids=["rows", "pairs"])
def test_adapters_move_linear_layers_by_matrices_of_their_rank(
    data: list[Row] | list[Pair], precision: str, tmp_path: Path
) -> None:
    policy, before, losses = trained_policy(), dict(trained_policy().model.named_parameters()), []
    log = lambda update, metrics: losses.append(metrics["loss"])  # noqa: E731
    trained(policy, data, optim=Optim(1e-2, 12, 20), lora=LORA, precision=precision, log=log)
    assert losses[-1] < losses[0]
    after = dict(policy.model.named_parameters())
    assert after.keys() == before.keys() and all(p.requires_grad for p in after.values())
    for name, parameter in after.items():
        moved = (parameter - before[name]).detach()
        is_linear = "_proj" in name
        assert bool(moved.any()) == is_linear, name
        if is_linear:
            assert torch.linalg.matrix_rank(moved, rtol=1e-3) <= 2, name
    save_policy(policy, tmp_path)
    again = load_policy(str(tmp_path), revision=None, device="cpu", dtype="float32")
    assert torch.equal(weights(again), weights(policy))


def test_adapters_of_another_seed_begin_otherwise() -> None:
    one, again, other = (trained_policy() for _ in range(3))
    for policy, seed in ((one, 1), (again, 1), (other, 2)):
        trained(policy, rows(8), lora=LORA, seed=seed)
    assert torch.equal(weights(one), weights(again)) and not torch.equal(weights(one), weights(other))


def test_a_stopped_training_of_adapters_leaves_the_weights_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    straight, resumed = trained_policy(), trained_policy()
    trained(straight, rows(20), lora=LORA)
    answers = iter([False] * 4 + [True])
    with pytest.raises(Interrupted, match="after update 5 of 12"):
        trained(resumed, rows(20), lora=LORA, checkpoint_dir=tmp_path, should_stop=lambda: next(answers))
    assert torch.equal(weights(resumed), weights(trained_policy()))
    trained(resumed, rows(20), lora=LORA, checkpoint_dir=tmp_path)
    assert torch.equal(weights(resumed), weights(straight))


def test_without_peft_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ValueError, match=r"model.lora needs the package peft, .*'rl-on-incorrect\[lora\]'"):
        trained(tiny_policy(), rows(2), lora=LORA)
