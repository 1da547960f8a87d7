"""The losses and the trainer's gradient of them, against TRL on the same batch."""

import copy
import math
from functools import partial
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from tiny_policy import pairs, rows, tiny_policy, trained_policy
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from sweep.data.records import Pair, Row
from sweep.methods.dpo import dpo_loss
from sweep.methods.sft import sft_loss
from sweep.models import Loss, Optim, Policy, encode_continuation, encode_prefix, train

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of TRL and transformers to each other

ONE_UPDATE = {"lr": 1e-3, "n_updates": 1, "max_grad_norm": 1e9}
TRL = {"report_to": "none", "use_cpu": True, "bf16": False, "disable_tqdm": True}


def first_metrics(
    policy: Policy, data: list[Row] | list[Pair], loss: Loss, reference: Policy | None = None
) -> dict[str, float]:
    """What our trainer computes of one batch that holds all of data, before the weights move."""
    logged: list[dict[str, float]] = []
    optim = Optim(batch_size=len(data), **ONE_UPDATE)
    train(
        policy,
        data,
        loss,
        optim,
        seed=0,
        reference=reference,
        log=lambda update, metrics: logged.append(metrics),
    )
    return logged[0]


def grad_norm(model: torch.nn.Module) -> float:
    return math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None))


def trl_metrics(trainer: SFTTrainer | DPOTrainer, inputs: dict | None = None) -> dict[str, float]:
    """TRL's loss and gradient norm of the same batch, by its own data preparation unless inputs are given."""
    inputs = next(iter(trainer.get_train_dataloader())) if inputs is None else inputs
    loss = trainer.compute_loss(trainer.model, inputs)
    loss.backward()
    return {"loss": loss.item(), "grad_norm": grad_norm(trainer.model)}


def trl_dpo(policy: Policy, reference: Policy, data: list[Pair], folder: Path) -> DPOTrainer:
    columns = {"prompt": "prefix", "chosen": "chosen", "rejected": "rejected"}
    dataset = Dataset.from_list([{name: getattr(pair, field) for name, field in columns.items()} for pair in data])
    config = DPOConfig(str(folder), beta=0.3, per_device_train_batch_size=len(data), **TRL)
    models = [copy.deepcopy(p.model).eval() for p in (policy, reference)]
    return DPOTrainer(models[0], models[1], config, train_dataset=dataset, processing_class=policy.tokenizer)


def test_sft_loss_and_its_gradient_are_those_of_trl(tmp_path: Path) -> None:
    policy, data = trained_policy(), rows(12, seed=3)
    dataset = Dataset.from_list([{"prompt": row.prefix, "completion": row.continuation} for row in data])
    config = SFTConfig(str(tmp_path), per_device_train_batch_size=len(data), **TRL)
    trainer = SFTTrainer(
        copy.deepcopy(policy.model).eval(), config, train_dataset=dataset, processing_class=policy.tokenizer
    )
    expected = trl_metrics(trainer)
    found = first_metrics(policy, data, sft_loss)
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert found["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-5)


def test_dpo_loss_and_its_gradient_are_those_of_trl_for_whole_solutions(tmp_path: Path) -> None:
    # TRL appends EOS to both sides of every pair, which is right where both sides are whole solutions
    policy, reference, data = trained_policy(), tiny_policy(seed=5), pairs(12, is_final=True)
    expected = trl_metrics(trl_dpo(policy, reference, data, tmp_path))
    found = first_metrics(policy, data, partial(dpo_loss, beta=0.3), reference)
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    assert found["grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-5)


def test_dpo_loss_of_inner_steps_is_that_of_trl_without_the_eos_that_trl_appends(tmp_path: Path) -> None:
    # an inner step goes on, so its pair must not learn to stop: here TRL's data preparation differs, its loss does not
    policy, reference, data = trained_policy(), tiny_policy(seed=5), pairs(12, is_final=False)
    trainer = trl_dpo(policy, reference, data, tmp_path)
    examples = [
        {
            "prompt_ids": encode_prefix(policy, pair.prefix),
            "chosen_ids": encode_continuation(policy, pair.chosen, False),
            "rejected_ids": encode_continuation(policy, pair.rejected, False),
        }
        for pair in data
    ]
    with_eos = trl_metrics(trl_dpo(policy, reference, data, tmp_path))
    without_eos = trl_metrics(trainer, DataCollatorForPreference(policy.pad_id)(examples))
    found = first_metrics(policy, data, partial(dpo_loss, beta=0.3), reference)
    assert found["loss"] == pytest.approx(without_eos["loss"], rel=1e-5)
    assert found["grad_norm"] == pytest.approx(without_eos["grad_norm"], rel=1e-5)
    assert abs(found["loss"] - with_eos["loss"]) > 1e-3


def test_dpo_loss_of_one_pair_by_hand() -> None:
    # log-ratios 1 - 3 = -2 and -1 - 0 = -1, margin -1, beta 2: log(1 + e^2)
    sums = [torch.tensor([x]) for x in (1.0, -1.0, 3.0, 0.0)]
    assert dpo_loss(*sums, beta=2.0).tolist() == pytest.approx([math.log(1 + math.e**2)])


def test_dpo_loss_is_log_2_where_policy_and_reference_agree() -> None:
    policy = trained_policy()
    metrics = first_metrics(policy, pairs(4, is_final=True), partial(dpo_loss, beta=0.1), reference=policy)
    assert metrics["loss"] == pytest.approx(math.log(2), rel=1e-5)
    assert metrics["log_ratio_margin"] == pytest.approx(0, abs=1e-4)


def test_sft_loss_is_the_negative_log_probability_of_each_token() -> None:
    assert sft_loss(torch.tensor([-0.5, -2.0])).tolist() == [0.5, 2.0]
