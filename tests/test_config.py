"""Values that cannot be run are refused before any work, each by its name, what was found and what is valid."""

from copy import deepcopy
from dataclasses import asdict
from functools import cache
from typing import Any

import pytest
from tiny_sweep import planned

from sweep.config import leaf


@cache
def tiny_config() -> dict[str, Any]:
    point = planned().runs[0].leaf
    return {**asdict(point.exp), "tracking": asdict(point.tracking), "exec": asdict(point.exec)}


def changed(name: str, value: Any) -> dict[str, Any]:
    """The tiny leaf as plain dicts, with one value set."""
    config = deepcopy(tiny_config())
    *nodes, last = name.split(".")
    node = config
    for inner in nodes:
        node = node[inner]
    node[last] = value
    return config


def test_the_tiny_leaf_is_typed_all_the_way_down() -> None:
    point = planned("sft.lr=1").runs[0].leaf
    assert (point.exp.sft.lr, type(point.exp.sft.lr)) == (1.0, float)
    assert point.exp.method.optim.batch_size == 8
    assert point.exec.n_workers == 1


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("n_problems", 0, "n_problems must be at least 1, found 0"),
        ("seed", -1, "seed must be at least 0, found -1"),
        ("sft.lr", 0.0, "sft.lr must be above 0 and finite, found 0.0"),
        ("sft.lr", float("nan"), "sft.lr must be above 0 and finite, found nan"),
        ("sft.passes", float("inf"), "sft.passes must be above 0 and finite, found inf"),
        ("sft.batch_size", 0, "sft.batch_size must be at least 1, found 0"),
        ("sft.schedule", "step", "sft.schedule must be one of constant, linear, cosine; found 'step'"),
        ("sft.warmup_fraction", 1.5, r"sft.warmup_fraction must lie in \[0, 1\], found 1.5"),
        ("method.optim.weight_decay", -1.0, "method.optim.weight_decay must be at least 0, found -1.0"),
        ("method.optim.max_grad_norm", 0.0, "method.optim.max_grad_norm must be above 0 and finite, found 0.0"),
        ("method.beta", 0.0, "method.beta must be above 0 and finite, found 0.0"),
        ("method.name", "ppo", "method.name must be one of sft, sft_more, dpo, .*; found 'ppo'"),
        ("source.name", "web", "source.name must be one of teacher, self, self_unverified, self_filtered, self_sound, "
                               "self_spurious; found 'web'"),
        ("teacher.name", "gpt", "teacher.name must be one of domain; found 'gpt'"),
        ("method.pit_rule", "last", "method.pit_rule must be one of first_lowest, first_below, lowest_advantage"),
        ("method.pit_threshold", 2.0, r"method.pit_threshold must lie in \[0, 1\], found 2.0"),
        ("method.chosen_rule", "best", "method.chosen_rule must be one of random, shortest; found 'best'"),
        ("method.chosen_span", "all", "method.chosen_span must be one of step, completion; found 'all'"),
        ("method.rejected_span", "all", "method.rejected_span must be one of step, completion; found 'all'"),
        ("method.max_pairs_per_problem", 0, "method.max_pairs_per_problem must be at least 1, found 0"),
        ("source.max_solutions_per_problem", 0, "source.max_solutions_per_problem must be at least 1, found 0"),
        ("sampling.n_samples", 0, "sampling.n_samples must be at least 1, found 0"),
        ("sampling.temperature", 0.0, "sampling.temperature must be above 0 and finite, found 0.0"),
        ("sampling.top_p", 0.0, "sampling.top_p must be above 0 and at most 1, found 0.0"),
        ("sampling.rollouts.n_rollouts", 0, "sampling.rollouts.n_rollouts must be at least 1, found 0"),
        ("sampling.rollouts.until", "never", "sampling.rollouts.until must be one of pit, end; found 'never'"),
        ("evaluation.split", "train", "evaluation.split must be one of test, validation; found 'train'"),
        ("evaluation.n_samples", 0, "evaluation.n_samples must be at least 1, found 0"),
        ("teacher.n_attempts", 0, "teacher.n_attempts must be at least 1, found 0"),
        ("max_solution_tokens", 0, "max_solution_tokens must be at least 1, found 0"),
        ("tracking.name", "mlflow", "tracking.name must be one of wandb, jsonl; found 'mlflow'"),
        ("exec.n_workers", 0, "exec.n_workers must be at least 1, found 0"),
        ("exec.n_threads", 0, "exec.n_threads must be at least 1, found 0"),
        ("exec.device", "tpu", "exec.device must be one of auto, cpu, cuda; found 'tpu'"),
        ("teacher.name", "???", "teacher.name has no value: give one on the command line or in the experiment"),
        ("n_problems", "???", "n_problems has no value: give one on the command line or in the experiment"),
        (
            "method.pit_rule",
            "lowest_advantage",
            "method.pit_rule=lowest_advantage compares all steps .*; add sampling.rollouts.until=end",
        ),
    ],
)
def test_a_value_that_cannot_be_run_is_refused(name: str, value: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        leaf(changed(name, value))


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("dataset.n_skills=0", "chain_length=2 and n_head=4 must not exceed n_skills=0"),
        ("dataset.n_train=4000", "train asks for 4000 problems and only"),
        ("n_problems=???", "Missing mandatory value: n_problems"),
    ],
)
def test_a_dataset_that_cannot_be_made_is_refused_before_any_work(word: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        planned(word)


def test_a_pit_rule_that_compares_all_steps_is_allowed_with_rollouts_to_the_end() -> None:
    the_plan = planned("method.pit_rule=lowest_advantage", "sampling.rollouts.until=end")
    assert the_plan.runs[0].leaf.exp.method.pit_rule == "lowest_advantage"


def test_a_leaf_of_plain_dicts_refuses_keys_that_nothing_reads() -> None:
    with pytest.raises(ValueError, match="unknown key n_gpus in exec; the valid ones are store, sweep_name, n_workers"):
        leaf(changed("exec.n_gpus", 1))
