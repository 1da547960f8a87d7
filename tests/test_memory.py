"""The memory plan: its arithmetic against the bytes of the tensors that torch really makes."""

import json
from functools import partial
from pathlib import Path

import peft
import pytest
import torch
from tiny_policy import rows, tiny_policy
from tiny_sweep import tiny
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from sweep.commands.words import plan_of
from sweep.leaves import Leaf
from sweep.memory import GIB, Shape, check, in_words, kept_by_layer, of_training, shape_of, training
from sweep.models.attention import reading_packs
from sweep.models.optim import Optim, adamw
from sweep.models.packing import pack
from sweep.models.precision import COMPUTED, Masters
from sweep.models.sequences import encode_rows

SHAPES = [
    Shape(64, 3, 4, 4, 16, 192, 828, True),
    Shape(32, 4, 4, 2, 16, 48, 100, False),  # heads that share keys and are wider than their part of the hidden size
]
SMOLLM2 = Shape(576, 30, 9, 3, 64, 1536, 49152, True)
EIGHT_B = Shape(4096, 32, 32, 8, 128, 14336, 128256, False)


def model_of(shape: Shape) -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=shape.hidden_size, num_hidden_layers=shape.n_layers, num_attention_heads=shape.n_heads,
            num_key_value_heads=shape.n_kv_heads, head_dim=shape.head_size, intermediate_size=shape.mlp_size,
            vocab_size=shape.n_vocabulary, tie_word_embeddings=shape.is_tied,
        )
    )  # fmt: skip


def n_bytes(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("shape", [*SHAPES, SMOLLM2, EIGHT_B], ids=lambda s: f"{s.hidden_size}")
def test_parameters_and_adapters_are_counted_as_the_model_has_them(shape: Shape) -> None:
    with torch.device("meta"):
        model = model_of(shape)
        model.tie_weights()
        assert sum(p.numel() for p in model.parameters()) == shape.n_parameters
        adapted = peft.get_peft_model(model, peft.LoraConfig(r=8, target_modules="all-linear"))
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == shape.n_adapted(8)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shape", SHAPES, ids=["tied", "untied"])
def test_weights_gradients_and_the_optimizers_numbers_are_what_torch_holds(shape: Shape, precision: str) -> None:
    model = model_of(shape)
    with Masters(model, precision) as masters:
        optimizer = adamw(model, Optim(1e-3, 1, 1), masters.by_name)
        ids = torch.arange(8)[None]
        model(input_ids=ids).logits.float().logsumexp(-1).sum().backward()
        moved = list(masters.by_name.values())
        gradients = n_bytes([p.grad for p in moved if p.grad is not None])
        optimizer.step()
        copies = [p for p in model.parameters() if all(p is not master for master in moved)]
        moments = [t for state in optimizer.state.values() for name, t in state.items() if name != "step"]
        need = training(
            shape, dtype="float32", precision=precision, n_tokens=1, max_logits=1, gradient_checkpointing=False
        )
        found = {"weights": n_bytes(copies), "masters": n_bytes(moved), "gradients": gradients}
        assert {**found, "optimizer": n_bytes(moments)} == {name: need.parts[name] for name in (*found, "optimizer")}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shape", SHAPES, ids=["equal heads", "shared keys"])
def test_activations_are_within_a_tenth_of_what_autograd_keeps(shape: Shape, precision: str) -> None:
    policy = tiny_policy()
    policy.model = model_of(shape).to(COMPUTED[precision])
    batch, kept = pack(encode_rows(policy, rows(64)), 0, torch.device("cpu"), has_kernel=False), {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    weights = {p.untyped_storage().data_ptr() for p in policy.model.parameters()}
    with reading_packs(policy.model), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        policy.model.get_decoder()(
            input_ids=batch.input_ids, position_ids=batch.position_ids, layout=batch.layout, use_cache=False
        )
    found = sum(size for place, size in kept.items() if place not in weights)
    # without the kernel of a card: keys and values that heads share are repeated, blocks' results copied together
    repeated = 2 * (shape.n_heads - shape.n_kv_heads) * shape.head_size
    copied = shape.n_heads * shape.head_size
    of_token = kept_by_layer(shape, precision) + (repeated + copied) * COMPUTED[precision].itemsize
    assert found == pytest.approx(shape.n_layers * batch.input_ids.numel() * of_token, rel=0.1)


def test_an_eight_billion_model_on_eight_cards_and_on_one_by_hand() -> None:
    # 8.03e9 parameters: fp32 numbers of 4 kinds are 16 bytes each, 119.7 GiB, of which a card of 8 holds 15
    settings = {"dtype": "float32", "precision": "bf16", "n_tokens": 4096, "max_logits": 2**25}
    whole = training(EIGHT_B, **settings, gradient_checkpointing=True)
    shared = training(EIGHT_B, **settings, gradient_checkpointing=True, n_processes=8)
    adapted = training(EIGHT_B, **settings | {"dtype": "bfloat16"}, gradient_checkpointing=True, rank=16)
    assert EIGHT_B.n_parameters == 8_030_261_248
    assert (whole.masters + whole.gradients + whole.optimizer) / GIB == pytest.approx(119.66, abs=0.01)
    # where weights are split, the gradient of both embeddings is whole for a moment, in bf16 and in fp32: 1.05e9 x 6
    assert (shared.masters + shared.gradients + shared.optimizer) / GIB == pytest.approx(14.96 + 5.87, abs=0.01)
    assert whole.total > 80 * GIB > shared.total
    assert adapted.weights / GIB == pytest.approx(14.96 + 0.08, abs=0.01)  # frozen in bf16, and the adapters' copies
    assert adapted.total < 24 * GIB


def test_a_seven_billion_model_with_moments_in_8_bits_fits_one_card_of_80_gb_by_hand() -> None:
    shape = Shape(4096, 30, 32, 32, 128, 11008, 102400, False)  # DeepSeek-Math-7B
    settings = {"dtype": "float32", "precision": "bf16", "n_tokens": 4096, "max_logits": 2**25}
    need = training(shape, **settings, gradient_checkpointing=True, moments="8bit")
    assert shape.n_parameters == 6_910_365_696
    # a byte each and 4 for 256 of them; a table of 256 fp32 numbers for each of 273 tensors
    assert need.optimizer == 2 * (6_910_365_696 * 260 // 256 + 273 * 1024)
    assert need.masters == 4 * 6_910_365_696 and need.weights / GIB == pytest.approx(1.56 + 0.75, abs=0.01)
    assert need.total < 79 * GIB
    assert training(shape, **settings, gradient_checkpointing=True).total > 117 * GIB


def test_checkpointing_and_chunks_lower_the_plan_by_what_they_do_not_keep() -> None:
    need = partial(training, SMOLLM2, dtype="float32", precision="bf16", n_tokens=1000)
    plain = need(max_logits=10**12, gradient_checkpointing=False)
    small = need(max_logits=2**20, gradient_checkpointing=True)
    assert plain.logits == 3 * 4 * 1000 * 49152 and small.logits == 3 * 4 * 2**20
    assert plain.activations == 30 * 1000 * kept_by_layer(SMOLLM2, "bf16")
    assert small.activations == 1000 * kept_by_layer(SMOLLM2, "bf16") + 30 * 1000 * 576 * 2


def test_a_folder_tells_its_shape_by_its_config_and_a_hubs_name_does_not(tmp_path: Path) -> None:
    told = {
        "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "intermediate_size": 48, "vocab_size": 100,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(told))
    assert shape_of({"kind": "pretrained", "path": str(tmp_path)}, None) == SHAPES[1]
    assert shape_of({"kind": "pretrained", "path": "a-lab/a-model"}, None) is None
    (tmp_path / "config.json").write_text("{}")
    assert shape_of({"kind": "pretrained", "path": str(tmp_path)}, None) is None


def leaf(*words: str) -> Leaf:
    return plan_of(tiny("arm=sft", *words))[0].runs[0].leaf


def test_a_grid_that_needs_more_than_a_card_has_is_refused_with_what_to_change() -> None:
    need = of_training(leaf())
    assert need is not None and need.weights == 0
    assert check([leaf(), leaf("n_problems=8")]) == [in_words(need)]
    assert check([leaf("exec.gpu_memory_gib=1")]) == [in_words(need)]
    with pytest.raises(ValueError, match=r"a training needs [\d.]+ MiB a process \(.* and exec.gpu_memory_gib=0.001; "):
        check([leaf("exec.gpu_memory_gib=0.001")])
