"""The optimizer's numbers in 8 bits: smaller, nearly the same training, and weights that are read layer by layer."""

import gc
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_lab import files
from test_math_sweep import reader
from test_memory import SHAPES, model_of, n_bytes
from tiny_policy import OPTIM, WORDS, rows, tiny_policy, trained, weights
from tiny_sweep import build_all
from torch import Tensor
from torch.distributed.fsdp._fully_shard._fsdp_param import FSDPParam

from sweep.artifacts import Store
from sweep.commands.words import plan_of
from sweep.config import Adapters, PretrainedConfig
from sweep.installed import check_chosen
from sweep.memory import Shape, training
from sweep.methods.sft import sft_loss
from sweep.models import Interrupted, Policy, load_policy, new_policy, save_policy, train_in_processes
from sweep.models.optim import adamw, set_lr

IN_8_BITS = replace(OPTIM, moments="8bit", lr=3e-3)
SETTINGS = {"seed": 0, "device": "cpu", "dtype": "float32", "micro_batch_tokens": 60}
needs_torchao = pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="needs the extra moments")


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The library's step as it is written: a compiled one takes a minute to make, and gives the same numbers."""
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")  # of processes that are started
    with torch.compiler.set_stance("force_eager"):
        yield


def wide_policy() -> Policy:
    """Wide enough for blocks: matrices of 4,096 numbers and more, vectors of 64."""
    return new_policy(
        WORDS, hidden_size=64, n_layers=2, n_heads=2, mlp_size=128, max_length=48, rope_theta=1000.0, seed=0
    )


@needs_torchao
def test_training_goes_nearly_as_with_moments_in_fp32() -> None:
    policies, losses = [wide_policy(), wide_policy()], [[], []]
    for policy, told, moments in zip(policies, losses, ("fp32", "8bit"), strict=True):
        optim = replace(IN_8_BITS, moments=moments)
        trained(policy, rows(20), optim=optim, log=lambda update, metrics, told=told: told.append(metrics["loss"]))
    exact, coded = losses
    assert coded == pytest.approx(exact, rel=0.03) and coded[-1] < 0.8 * coded[0]
    moved = weights(policies[0]) - weights(wide_policy())
    apart = weights(policies[1]) - weights(policies[0])
    assert 0 < apart.norm() < 0.2 * moved.norm()


@needs_torchao
@pytest.mark.parametrize("shape", [SHAPES[0], Shape(64, 2, 4, 2, 32, 96, 100, False)], ids=["tied", "untied"])
def test_the_plan_counts_the_bytes_that_the_library_keeps(shape: Shape) -> None:
    model = model_of(shape)
    optimizer = adamw(model, IN_8_BITS, dict(model.named_parameters()))
    model(input_ids=torch.arange(8)[None]).logits.logsumexp(-1).sum().backward()
    optimizer.step()
    kept = [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    parts = [[one.codes, one.scale, one.qmap] if hasattr(one, "codes") else [one] for one in kept]
    assert {len(of) for of in parts} == {1, 3}
    told = {"dtype": "float32", "precision": "fp32", "n_tokens": 1, "max_logits": 1, "gradient_checkpointing": False}
    assert sum(map(n_bytes, parts)) == training(shape, **told, moments="8bit").optimizer


@needs_torchao
def test_the_learning_rate_is_set_where_a_compiled_step_reads_it() -> None:
    model = wide_policy().model
    optimizer = adamw(model, IN_8_BITS, dict(model.named_parameters()))
    held = [group["lr"] for group in optimizer.param_groups]
    assert set_lr(optimizer, IN_8_BITS, 0) == pytest.approx(3e-3)
    assert [group["lr"] is one for group, one in zip(optimizer.param_groups, held, strict=True)] == [True] * 3
    assert [float(one) for one in held] == pytest.approx([9e-3, 3e-3, 3e-3])


def shared(n: int, tmp_path: Path, optim=IN_8_BITS, loss=sft_loss, **options) -> tuple[list[float], Tensor]:
    """Losses and weights of a training by n processes."""
    losses: list[float] = []
    save_policy(wide_policy(), tmp_path / "start")
    told = {"log": lambda update, metrics: losses.append(metrics["loss"]), **SETTINGS, **options}
    train_in_processes(n, tmp_path / "start", rows(20), loss, optim, tmp_path / "out", **told)
    return losses, weights(load_policy(str(tmp_path / "out"), revision=None, device="cpu", dtype="float32"))


@needs_torchao
def test_one_process_that_reads_its_weights_layer_by_layer_gives_the_same(tmp_path: Path) -> None:
    policy, alone = wide_policy(), []
    trained(policy, rows(20), optim=IN_8_BITS, log=lambda update, metrics: alone.append(metrics["loss"]))
    losses, found = shared(1, tmp_path)
    assert losses == pytest.approx(alone, abs=1e-5)
    # a number that lies between two codes may be rounded to either: that moves a weight by less than one update
    apart = (found - weights(policy)).abs()
    assert apart.mean() < 1e-5 and apart.max() < IN_8_BITS.lr


@needs_torchao
@pytest.mark.slow
def test_a_stopped_training_resumes_to_the_same_bits(tmp_path: Path) -> None:
    _, straight = shared(1, tmp_path / "straight")
    done: list[int] = []
    checkpoints = {"checkpoint_dir": tmp_path / "checkpoints"}
    with pytest.raises(Interrupted, match=r"stopped on request after update \d+ of 12"):
        stopping = {"report": lambda n_done, n: done.append(n_done), "should_stop": lambda: len(done) >= 3}
        shared(1, tmp_path / "stopped", **checkpoints, **stopping)
    losses, resumed = shared(1, tmp_path / "resumed", **checkpoints)
    assert len(losses) < 12 and torch.equal(resumed, straight)


def holding_its_share(logps: Tensor) -> Tensor:
    """Fails where this process keeps a gradient of whole tensors from one micro-batch to the next."""
    held = [one for one in gc.get_objects() if type(one) is FSDPParam]
    whole = [one.unsharded_accumulated_grad for one in held] + [one._unsharded_param.grad for one in held]
    assert held and all(gradient is None for gradient in whole)
    return sft_loss(logps)


def test_no_process_holds_a_whole_gradient_between_micro_batches(tmp_path: Path) -> None:
    shared(2, tmp_path, optim=replace(OPTIM, n_updates=2), loss=holding_its_share, micro_batch_tokens=20)


def test_without_torchao_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao.optim", None)
    with pytest.raises(ValueError, match=r"model.moments=8bit needs the package torchao, .*'rl-on-.*\[moments\]'"):
        trained(tiny_policy(), rows(2), optim=IN_8_BITS)


@pytest.mark.parametrize(("setting", "package"), [("lora", "peft"), ("moments", "torchao")])
def test_a_setting_whose_package_is_missing_is_refused_before_any_work(
    setting: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"lora": {"rank": 2, "alpha": 4}, "moments": "8bit"}
    monkeypatch.setattr("sweep.installed.find_spec", lambda name: None)
    check_chosen({"lora": None, "moments": "fp32"}, "slots", "cpu")
    with pytest.raises(ValueError, match=rf"model.{setting} needs the package {package}, .*'\.\[{setting}\]'"):
        check_chosen({setting: asked[setting]}, "slots", "cpu")


def test_moments_in_8_bits_of_adapters_are_refused() -> None:
    told = {"path": "a/model", "revision": None, "dtype": "float32", "precision": "bf16", "betas": (0.9, 0.999)}
    assert PretrainedConfig(**told, lora=Adapters(rank=2, alpha=4.0)).moments == "fp32"
    with pytest.raises(ValueError, match=r"lora=.* and moments=8bit: expected one of them"):
        PretrainedConfig(**told, lora=Adapters(rank=2, alpha=4.0), moments="8bit")


@needs_torchao
@pytest.mark.slow
def test_a_model_in_a_folder_is_fine_tuned_with_them_by_a_stage(tmp_path: Path) -> None:
    save_policy(reader(), tmp_path / "model")
    words = (
        "experiment=scaling_gsm_symbolic", "arm=sft", "n_problems=16", "seed=1", *files(tmp_path),
        f"model.path={tmp_path / 'model'}", "model.revision=null", "model.dtype=float32", "model.precision=fp32",
        "exec.device=cpu", "rates.sft=1e-3", "max_solution_tokens=24", "tracking=jsonl",
    )  # fmt: skip
    store = Store(tmp_path / "store")
    plain, coded = plan_of(words)[0], plan_of((*words, "+model.moments=8bit"))[0]
    assert coded.stages.keys() & plain.stages.keys() == {key for key, one in plain.stages.items() if one.kind == "dsyn"}
    built = build_all(
        coded, store, keys=[key for key, one in coded.stages.items() if one.kind in ("dsyn", "base", "sft")]
    )
    (sft,) = (one for one in built.values() if one.kind == "sft")
    assert sft.cost.n_updates > 0 and sft.facts["loss"] > 0
