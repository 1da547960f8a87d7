"""Values that cannot be run are refused before any work, each by its name, what was found and what is valid."""

import json
import math
import re
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from tiny_sweep import planned

from sweep.commands.words import plan_of
from sweep.config import MODELS, Exec, Exp, TrackingConfig
from sweep.data import DIALS
from sweep.fields import DTYPES, Valid, shown
from sweep.leaves import leaf
from sweep.methods import METHODS
from sweep.plan import plan
from sweep.sources import SOURCES
from sweep.stages import VERSION


def tiny_config() -> dict[str, Any]:
    return config_of()


@cache
def config_of(*words: str) -> dict[str, Any]:
    """The leaf of a tiny plan as plain dicts; of another dataset than the tiny one, with that one's own dials."""
    point = (plan_of([*words, *OTHERS])[0] if words else planned()).runs[0].leaf
    return {**asdict(point.exp), "tracking": asdict(point.tracking), "exec": asdict(point.exec)}


OTHERS = (
    "n_problems=8",
    "arm=sft",
    "dataset.n_train=16",
    "dataset.n_validation=4",
    "dataset.n_test=4",
    "tracking=jsonl",
)


def keys_of(name: str) -> list[str | int]:
    """`dataset.curriculum[0].lr` as keys and places."""
    return [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", name)]


def changed(name: str, value: Any, start: dict[str, Any] | None = None) -> dict[str, Any]:
    """A leaf as plain dicts, the tiny one without another, with one value set."""
    config = deepcopy(start or tiny_config())
    *nodes, last = keys_of(name)
    node: Any = config
    for inner in nodes:
        node = node[inner]
    node[last] = value
    return config


def test_the_tiny_leaf_is_typed_all_the_way_down() -> None:
    point = planned("sft.lr=1").runs[0].leaf
    assert (point.exp.sft.lr, type(point.exp.sft.lr)) == (1.0, float)
    assert point.exp.method.optim.batch_size == 8
    assert point.exec.n_workers == 1


def test_every_stage_kind_has_a_time_limit_that_is_none_by_default() -> None:
    assert asdict(Exec().limits_minutes) == dict.fromkeys(VERSION)


COUNT = "a whole number of at least 1"
SEED = "a whole number from 0 to 2**63 - 1"
POSITIVE = "a finite number above 0"
SINGLE, FACTOR = f"{POSITIVE} and at most 1e+38", f"{POSITIVE} and at most 1e+06"
TEMPERATURE = "a number in [0.001, 1000]"
ROWS, DRAWS = "a whole number from 1 to 1048576", "a whole number from 1 to 1000000"
SHARE = "a number in [0, 1]"
METHODS_TOLD = ", ".join(METHODS)
INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("name", "valid", "values"),
    [
        ("n_problems", "a whole number from 1 to 10000000", (0, -1, True, 8.5, "abc", None, [8])),
        ("seed", SEED, (-1, 2**63, 18446744073709551616, False)),
        ("sft.lr", SINGLE, (0.0, -1.0, NAN, INF, True, "fast", 10**400)),
        ("sft.passes", f"{POSITIVE} and at most 1e+09", (INF, 0)),
        ("sft.batch_size", ROWS, (0,)),
        ("sft.min_updates", "a whole number from 1 to 1000000000", (0,)),
        ("sft.schedule", "one of constant, linear, cosine", ("step", None, True)),
        ("sft.warmup_fraction", SHARE, (1.5, -0.1, NAN)),
        ("sft.weight_decay", "a number in [0, 1e+06]", (-1.0, INF)),
        ("method.optim.max_grad_norm", SINGLE, (0.0,)),
        ("method.optim.embedding_lr_scale", FACTOR, (-1.0,)),
        ("method.beta", FACTOR, (0.0,)),
        ("method.name", f"one of {METHODS_TOLD}", ("ppo",)),
        ("source.name", f"one of {', '.join(SOURCES)}", ("web",)),
        ("teacher.name", "one of domain", ("gpt",)),
        ("method.pit_rule", "one of first_lowest, first_below, lowest_advantage", ("last",)),
        ("method.pit_threshold", SHARE, (2.0,)),
        ("method.no_pit", "one of skip, last_step", ("drop",)),
        ("method.chosen_rule", "one of random, shortest", ("best",)),
        ("method.chosen_span", "one of step, completion", ("all",)),
        ("method.rejected_span", "one of step, completion", ("all",)),
        ("method.max_pairs_per_problem", ROWS, (0,)),
        ("source.max_solutions_per_problem", ROWS, (0,)),
        ("source.include_teacher", "true or false", (2, "maybe", None)),
        ("sampling.n_samples", DRAWS, (0,)),
        ("sampling.temperature", TEMPERATURE, (0.0, NAN)),
        ("sampling.top_p", "a finite number above 0 and at most 1", (0.0, 1.1)),
        ("sampling.rollouts.n_rollouts", DRAWS, (0,)),
        ("sampling.rollouts.stop", "one of never, verdict, test", ("early",)),
        ("sampling.rollouts.search", "one of depth, binary", ("fast",)),
        ("sampling.rollouts.hopeful_q", "a finite number above 0 and below 1", (0.0, 1.0)),
        ("sampling.rollouts.miss_rate", "a finite number above 0 and below 1", (0.0, 1.0)),
        ("sampling.rollouts.max_traces_per_problem", ROWS, (-1,)),
        ("sampling.rollouts.until", "one of pit, end", ("never",)),
        ("sampling.rollouts.of", "one of wrong, all", ("right",)),
        ("evaluation.split", "one of test, validation, unseen", ("train",)),
        ("evaluation.n_samples", DRAWS, (0,)),
        ("teacher.n_attempts", DRAWS, (0,)),
        ("max_solution_tokens", ROWS, (0,)),
        ("tracking.mode", "one of online, offline, or null", ("foo",)),
        ("tracking.project", "a text of at least one character, or null", ("", "a\nb", "a\x1b[2J", "\ud800")),
        ("exec.store", "a text of at least one character", ("", "a\0b", "a\u2028b")),
        ("exec.sweep_name", "at most 63 letters, digits and _.+@=-", ("a\nb", "../x", ".hidden", "", "x" * 64)),
        ("exec.n_workers", "a whole number from 1 to 1024, or null", (0,)),
        ("exec.cards", "a list of 1 or more entries, each a card's number or name, or null", ("0,1",)),
        ("exec.workers_per_card", "a whole number from 1 to 64, or null", (0, 65)),
        ("exec.n_threads", "a whole number from 1 to 1024", (0,)),
        ("exec.max_rows", ROWS, (0,)),
        ("exec.micro_batch_tokens", "a whole number from 1 to 2**30", (0,)),
        ("exec.max_logits", "a whole number from 1 to 2**40", (0,)),
        ("exec.n_processes", "a whole number from 1 to 1024", (0, 1025)),
        ("exec.gpu_memory_gib", f"{FACTOR}, or null", (0,)),
        ("exec.compiler", "one of off, inductor, aot_eager", ("triton",)),
        ("exec.engine", "one of embedded, slots, paged, vllm", ("fast",)),
        ("exec.cuda_graphs", "true or false", ("maybe",)),
        ("exec.gradient_checkpointing", "true or false", ("maybe",)),
        ("exec.checkpoint_every_s", "a number in [0, 1e+09]", (-1.0, NAN)),
        ("exec.device", "one of auto, cpu, cuda, cuda:0, ...", ("tpu", "cuda:x")),
        ("exec.rebuild_corrupted", "true or false", (7,)),
        ("exec.limits_minutes.train", f"{POSITIVE} and at most 1e+07, or null", (0.0, NAN, "1h")),
        ("model.kind", "one of from_scratch, pretrained", ("pretrain", None, ["pretrained"])),
        ("model.n_heads", "a whole number from 1 to 1024", (0, 1.5)),
        ("model.rope_theta", "a number in [1, 1e+12]", (0, -1, NAN)),
        ("model.seed", SEED, (-1, 2**64)),
        ("model.weight_decay", "a number in [0, 1e+06]", (INF,)),
        ("model.dtype", "one of float32, bfloat16, float16", ("int8",)),
        ("model.precision", "one of fp32, bf16", ("fp8",)),
        ("model.betas", "a list of 2 entries, each a finite number of at least 0 and below 1", ([], [0.9], 0.9, "no")),
        ("model.betas[1]", "a finite number of at least 0 and below 1", (1.0, NAN, True)),
        ("dataset.name", "one of skills, star_graph, problems", ("maths", None)),
        ("dataset.n_train", "a whole number from 0 to 10000000", (-1, 96.5, 10**12)),
        ("dataset.domain_seed", SEED, (-1, 2**63)),
        ("dataset.n_values", "a whole number from 3 to 1000000", (2,)),
        ("dataset.answer_classes", "a whole number from 2 to 1000000, or null", (0, 1)),
        ("dataset.zipf_exponent", "a number in [0, 100]", (NAN, -1)),
        ("dataset.zipf_offset", "a number in [0, 1e+12]", (-1, INF)),
        ("dataset.is_order_free", "true or false", (1,)),
        ("dataset.teacher_order", "one of given, random, reversed", ("sorted",)),
        ("dataset.tail_reliability", "a list of 2 entries, each a number in [0, 1]", ([], [0.1, 0.2, 0.3])),
        ("dataset.curriculum", "a list of 0 or more entries", ("short", {"n_documents": 1})),
        ("dataset.curriculum[0].n_documents", "a whole number from 1 to 1000000000", (0, True, 1e-3)),
        ("dataset.curriculum[0].lr", SINGLE, (0, NAN)),
        ("dataset.curriculum[0].schedule", "one of constant, linear, cosine", ("step",)),
        ("dataset.curriculum[0].until_loss", f"{FACTOR}, or null", (0, NAN)),
        ("dataset.curriculum[0].most_rounds", "a whole number from 1 to 10000", (0, 1.5)),
    ],
)
def test_a_value_that_cannot_be_run_is_refused(name: str, valid: str, values: tuple[Any, ...]) -> None:
    for value in values:
        with pytest.raises(ValueError, match=re.escape(f"{name} must be {valid}; found {shown(value)}")):
            leaf(changed(name, value))


Field = tuple[str, Any, Valid | None]


def walked(schema: Any, prefix: str) -> Iterator[Field]:
    """Name, type and valid values of every field of a typed node and of the nodes in it."""
    hints = get_type_hints(schema)
    for field in fields(schema):
        name, kind = f"{prefix}.{field.name}".lstrip("."), hints[field.name]
        if name in ("dataset", "model"):
            continue
        inner = next(arg for arg in get_args(kind) if arg is not NoneType) if get_origin(kind) is UnionType else kind
        yield name, inner, field.metadata.get("valid")
        if is_dataclass(inner):
            yield from walked(inner, name)
        elif get_origin(inner) is tuple and is_dataclass(get_args(inner)[0]):
            yield from walked(get_args(inner)[0], f"{name}[0]")


NODES = {
    "exp": tuple(walked(Exp, "")),
    "exec": tuple(walked(Exec, "exec")),
    "tracking": tuple(walked(TrackingConfig, "tracking")),
    **{f"model {kind}": tuple(walked(schema, "model")) for kind, schema in MODELS.items()},
    **{f"dataset {name}": tuple(walked(schema, "dataset")) for name, schema in DIALS.items()},
}
ODD = (0, -1, 0.5, 1e-300, 1e300, 2**62, 10**400, INF, -INF, NAN, True, None, "", "x", "a\nb", [], [[]], {}, {"a": 1})
SEEDS = ("seed", "replicate", "domain_seed", "split_seed")


@pytest.mark.parametrize("node", NODES)
def test_every_number_of_every_node_has_an_upper_limit(node: str) -> None:
    for name, kind, valid in NODES[node]:
        if kind in (int, float) and name.split(".")[-1] not in SEEDS:
            assert valid is not None and not valid.holds(kind(2**200)) and not valid.holds(kind(-1)), name


@pytest.mark.parametrize(
    "node", ["exp", "exec", "tracking", "model from_scratch", "dataset skills", "dataset star_graph"]
)
def test_an_odd_value_of_any_field_is_planned_or_refused_by_the_fields_name(node: str) -> None:
    start = config_of("dataset=star_graph") if node == "dataset star_graph" else tiny_config()
    for name, _, valid in NODES[node]:
        for value in ODD:
            try:
                plan([leaf(changed(name, value, start))])
            except ValueError as error:
                assert re.split(r"[.\[]", name.removesuffix("[0]"))[-1] in str(error), (name, value)
            else:  # what is planned is what the field says it takes
                assert valid is None or not isinstance(value, float) or math.isfinite(value), (name, value)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("sft", 5, "sft must be a node with the keys lr, passes, .*, found 5"),
        ("dataset.curriculum", [3], r"dataset.curriculum\[0\] must be a node with the keys n_documents, .*, found 3"),
        ("teacher.name", "???", "teacher.name has no value: give one on the command line or in the experiment"),
        ("n_problems", "???", "n_problems has no value: give one on the command line or in the experiment"),
        ("model.max_length", "???", "model.max_length has no value: give one"),
        ("model.n_heads", 5, "model: hidden_size=32 with n_heads=5: expected a multiple of 2"),
        ("dataset.tail_reliability", [0.9, 0.1], r"dataset: tail_reliability=\[0.9, 0.1\] must be \[lowest, highest\]"),
        ("dataset.teacher_order", "random", "dataset: teacher_order=random needs is_order_free=true"),
        ("dataset.answer_classes", 5, "dataset: answer_classes=5 must be null or from 2 to n_values=4"),
        (
            "method.pit_rule",
            "lowest_advantage",
            "method.pit_rule=lowest_advantage compares all steps .*; add sampling.rollouts.until=end",
        ),
        (
            "sampling.rollouts",
            {"stop": "verdict", "until": "end"},
            "sampling.rollouts.stop=verdict search=depth finds the first step .* and no other q_value, .* until=end",
        ),
        ("source.name", "self_filtered", "source=self_filtered reads the advantage of every .* of=wrong until=pit"),
        ("method.name", "good_steps", "method=good_steps reads the advantage of every step .* of=wrong until=pit"),
    ],
)
def test_a_node_or_a_combination_that_cannot_be_run_is_refused(name: str, value: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        leaf(changed(name, value))


@pytest.mark.parametrize(
    ("name", "spellings", "one"),
    [
        ("model.rope_theta", (1000, 1000.0, "1e3"), 1000.0),
        ("sft.weight_decay", (0, 0.0, -0.0, "0"), 0.0),
        ("dataset.zipf_offset", (2, 2.0, "2"), 2),  # as every key of the study has it
        ("n_problems", (16, "16"), 16),  # "16" is what an environment variable gives
        ("source.include_teacher", (True, "true", "True"), True),
        ("exec.sweep_name", (2026, "2026"), "2026"),
        ("model.betas", ([0, 0.5], (0.0, 0.5)), [0.0, 0.5]),
        ("dataset.curriculum[0].lr", (1, 1.0), 1.0),
    ],
)
def test_one_value_has_one_spelling(name: str, spellings: tuple[Any, ...], one: Any) -> None:
    for value in spellings:
        point = leaf(changed(name, value))
        found: Any = {**asdict(point.exp), "exec": asdict(point.exec)}
        for key in keys_of(name):
            found = found[key]
        assert json.dumps(found) == json.dumps(one)


def test_the_names_that_models_read_are_those_a_configuration_may_give() -> None:
    from sweep.models.folder import DTYPES as KNOWN

    assert set(KNOWN) == set(DTYPES)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("dataset.n_skills=3", "dataset: chain_length=2 and n_head=4 must not exceed n_skills=3"),
        ("max_solution_tokens=28", "=28 behind a prompt of 5 tokens is more than model.max_length=32"),
        ("dataset.n_train=4000", "ask for more than the 224 different problems of n_values=4"),
        ("n_problems=???", "Missing mandatory value: n_problems"),
    ],
)
def test_a_dataset_that_cannot_be_made_is_refused_before_any_work(word: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        planned(word)


def test_a_pit_rule_that_compares_all_steps_is_allowed_with_rollouts_to_the_end() -> None:
    the_plan = planned("method.pit_rule=lowest_advantage", "sampling.rollouts.until=end")
    assert the_plan.runs[0].leaf.exp.method.pit_rule == "lowest_advantage"


@pytest.mark.parametrize(("threshold", "is_run"), [(0.15, True), (0.2, False)])
def test_verdicts_alone_serve_a_threshold_that_no_right_rollout_is_below(threshold: float, is_run: bool) -> None:
    # of 5 rollouts one right one is a q_value of .2
    asked = ["sampling.rollouts.stop=verdict", "method.pit_rule=first_below", f"method.pit_threshold={threshold}"]
    if is_run:
        assert planned("sampling.rollouts.n_rollouts=5", *asked).runs
    else:
        with pytest.raises(ValueError, match=r"method\.pit_rule=first_below pit_threshold=0\.2; take of=wrong"):
            planned("sampling.rollouts.n_rollouts=5", *asked)


def test_a_leaf_of_plain_dicts_refuses_keys_that_nothing_reads() -> None:
    with pytest.raises(ValueError, match="unknown key n_gpus in exec; the valid ones are store, sweep_name, n_workers"):
        leaf(changed("exec.n_gpus", 1))
