"""What stages of every kind are thought to hold on a card, and how a measurement corrects it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_memory import SMOLLM2, model_of
from tiny_sweep import planned
from transformers import DynamicCache

from sweep.artifacts import Stage
from sweep.config import Exec
from sweep.manifest import Cost, Manifest
from sweep.memory import GIB, Shape
from sweep.models import held, is_out_of_memory
from sweep.stage_memory import HELD, PROCESS, Estimates, like, n_cards, sampling, shape_for

SMALL = Shape(32, 4, 4, 2, 16, 48, 100, False)


def stages(*words: str) -> dict[str, Stage]:
    plan = planned("arm=step_dpo", *words)
    return {stage.kind: stage for stage in plan.stages.values() if stage.kind != "evaluate"} | {
        "evaluate": plan.runs[0].evaluate
    }


def test_the_cache_of_rows_is_what_transformers_holds_for_them() -> None:
    n_rows, n_prompt, n_new = 6, 5, 7
    model, cache = model_of(SMALL), DynamicCache(config=model_of(SMALL).config)
    with torch.inference_mode():
        model(torch.zeros(n_rows, n_prompt + n_new, dtype=torch.long), past_key_values=cache, use_cache=True)
    layers: Any = cache.layers
    found = sum(part.numel() * part.element_size() for layer in layers for part in (layer.keys, layer.values))
    settings = {"dtype": "float32", "n_rows": n_rows, "n_prompt": n_prompt, "n_new": n_new}
    need = sampling(SMALL, **settings, n_prefixes=0)
    assert need.activations == found + found // SMALL.n_layers  # and one layer's copy while it grows


def test_sampling_by_hand_with_the_model_of_135_million() -> None:
    # a token of one layer: key and value of 3 heads, 64 wide, 4 bytes = 1,536; 30 layers 46,080; 2,048 rows of 400
    need = sampling(SMOLLM2, dtype="float32", n_rows=2048, n_prefixes=256, n_prompt=80, n_new=320)
    rows, prefixes, layer = 2048 * 400 * 46080, 256 * 80 * 46080, 2048 * 400 * 1536
    assert need.activations == rows + prefixes + layer
    assert need.weights == 134_515_008 * 4 and need.logits == 4 * 4 * 2048 * 49152
    assert 35 * GIB < need.total < 45 * GIB


def test_which_stages_take_a_card_and_how_many() -> None:
    exec = Exec(n_processes=4)
    assert {kind: n_cards(stage, exec) for kind, stage in stages().items()} == {
        "dsyn": 0, "base": 1, "sft": 4, "samples": 1, "advantages": 1, "pairs": 1, "train": 4, "evaluate": 1,
    }  # fmt: skip


def test_every_kind_of_stage_has_an_estimate_before_any_is_built(tmp_path: Path) -> None:
    estimates = Estimates(Exec(), tmp_path)
    probes = ("probes.has_likelihoods=true", "probes.has_values=true", "probes.has_estimates=true")
    assert {"likelihoods", "values", "estimates"} < stages(*probes).keys()
    for kind, stage in stages(*probes).items():
        if kind != "dsyn":
            n_bytes, how = estimates.n_bytes(stage)
            assert how == "counted" and n_bytes is not None and 2**19 < n_bytes < 2 * GIB, kind
            assert estimates.with_room(stage) == round(1.25 * n_bytes) + PROCESS
    shape = shape_for(stages()["evaluate"], tmp_path)
    assert shape is not None and (shape.hidden_size, shape.n_layers) == (32, 2)


def built(stage: Stage, exec: Exec, held: int, counted: int | None) -> Manifest:
    told = {"reserved_bytes": held, "allocated_bytes": held // 2, "like": like(stage, exec)}
    told |= {} if counted is None else {"counted_bytes": counted}
    return Manifest(stage.key, stage.kind, 1, dict(stage.identity), {}, {}, {}, Cost(), {HELD: told})


def test_a_measurement_corrects_like_stages_and_one_on_fewer_problems_only_upwards(tmp_path: Path) -> None:
    exec, few, many = Exec(), stages("n_problems=8")["sft"], stages("n_problems=16")["sft"]
    estimates = Estimates(exec, tmp_path)
    counted = estimates.n_bytes(many)[0]
    assert counted is not None
    estimates.learn(built(few, exec, held=counted // 2, counted=counted))
    assert estimates.n_bytes(few) == (counted // 2, "measured") and estimates.n_bytes(many) == (counted, "counted")
    assert estimates.with_room(few) == round(1.1 * (counted // 2)) + PROCESS
    estimates.learn(built(few, exec, held=3 * counted, counted=counted))
    assert estimates.n_bytes(many) == (3 * counted, "measured")
    other = Estimates(replace(exec, micro_batch_tokens=8192), tmp_path, [built(few, exec, 3 * counted, counted)])
    assert other.n_bytes(few)[1] == "counted"  # other settings hold something else
    elsewhere = Estimates(replace(exec, store="elsewhere"), tmp_path, [built(few, exec, 3 * counted, counted)])
    assert elsewhere.n_bytes(few)[1] == "measured"


def test_a_model_of_unknown_shape_is_unknown_until_one_like_it_was_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweep.stage_memory.shape_for", lambda stage, root: None)
    exec, few, many = Exec(), stages("n_problems=8")["sft"], stages("n_problems=16")["sft"]
    estimates = Estimates(exec, tmp_path)
    assert estimates.n_bytes(few) == (None, "unknown") and estimates.with_room(few) is None
    estimates.learn(built(few, exec, held=GIB, counted=None))
    assert estimates.n_bytes(few) == (GIB, "measured") and estimates.n_bytes(many) == (None, "unknown")


def test_a_process_without_a_card_holds_nothing_and_what_others_of_its_stage_held_counts() -> None:
    held.forget()
    assert held.peak() == (0, 0)
    held.note(3, 5)
    held.note(4, 4)
    assert held.peak() == (4, 5)
    held.forget()
    held.let_go()
    assert held.peak() == (0, 0)


def test_only_an_error_of_a_card_without_memory_counts_as_one() -> None:
    for error in (torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("CUDA error: out of memory")):
        assert is_out_of_memory(error)
    for other in (
        MemoryError("out of memory"),
        RuntimeError("CUDA error: device is lost"),
        ValueError("CUDA out of memory"),
    ):
        assert not is_out_of_memory(other)
