"""A whole sweep on natural text: a policy that reads any text, MATH-shaped files, answers compared by math-verify."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pandas as pd
import torch
from test_stages import stage_of
from test_tokens import policy_of
from tiny_sweep import build_all

from sweep.artifacts import Store
from sweep.bench import domain_of
from sweep.commands.words import plan_of
from sweep.data.answers import BOX, Answers
from sweep.data.records import Trace
from sweep.disk import read_jsonl
from sweep.models import Policy, save_policy
from sweep.results import collect

final_answer = Answers(BOX, "math").final
TEMPLATE = "Take {n}.\nSo $\\boxed{{{answer}}}$."


def files(folder: Path) -> list[str]:
    """Problems whose answer is 1/2 whatever the question, spelt in two ways that no text comparison holds for one."""
    words = []
    for name, first, n_rows in (("train", 0, 16), ("test", 100, 6)):
        rows = [
            {"problem": f"{n}?", "solution": TEMPLATE.format(n=n % 3, answer=("\\frac{1}{2}", "0.5")[n % 2])}
            for n in range(first, first + n_rows)
        ]
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        words.append(f"dataset.{name}_path={path}")
    return words


def reader() -> Policy:
    """An untrained policy that reads any text, wide enough to learn a template by heart."""
    policy = copy.deepcopy(policy_of("gpt2"))
    shape = policy.model.config
    shape.vocab_size, shape.hidden_size, shape.intermediate_size = len(policy.tokenizer), 64, 128
    shape.num_attention_heads, shape.num_key_value_heads, shape.head_dim = 4, 4, 16
    torch.manual_seed(0)
    policy.model = type(policy.model)(shape)
    policy.model.generation_config.eos_token_id = policy.eos_id
    return policy


def test_sft_samples_step_dpo_and_evaluation_on_math(tmp_path: Path) -> None:
    save_policy(reader(), tmp_path / "model")
    words = (
        "dataset=math", *files(tmp_path), "dataset.n_validation=2", "n_problems=12", "arm=sft,step_dpo",
        "model=deepseek_math_7b", f"model.path={tmp_path / 'model'}", "model.revision=null", "model.dtype=float32",
        "model.precision=fp32", "rates.sft=1e-2", "rates.step_dpo=1e-3", "sft.batch_size=8", "sft.passes=50",
        "method.optim.batch_size=8", "max_solution_tokens=48", "sampling.n_samples=32", "sampling.temperature=1.4",
        "sampling.rollouts.n_rollouts=2", "tracking=jsonl",
    )  # fmt: skip
    plan, _ = plan_of(words)
    store = Store(tmp_path / "store")
    manifests = build_all(plan, store)
    samples = stage_of(plan, "samples").key
    traces = read_jsonl(store.open(samples).path / "traces.jsonl", Trace)
    assert {t.is_correct for t in traces} == {True, False}
    shown = manifests[stage_of(plan, "dsyn").key].facts["prompt"]
    assert shown.startswith("Problem: ") and shown.endswith("?\nPut the final answer in \\boxed{}.\nSolution:\n")
    assert sum(t.is_correct for t in traces) == manifests[samples].facts["n_correct"]
    assert manifests[stage_of(plan, "train").key].facts["n_pairs"] > 0
    right = {final_answer(t.text) for t in traces if t.is_correct}
    assert {"\\frac{1}{2}", "0.5"} <= right  # each is the reference of half of the problems
    data, of_form = domain_of(stage_of(plan, "samples")), {final_answer(t.text): t.text for t in traces if t.is_correct}
    for problem in data.problems("train"):  # what is right for one half is right for the other, in another spelling
        assert data.verdicts(list(of_form.values()), [problem] * len(of_form)).is_correct == [True] * len(of_form)
    table = collect([(run.leaf.exp, run.evaluate) for run in plan.runs], store)
    assert sorted(table.runs.arm) == ["SFT", "per-step DPO"]
    assert (table.runs.n_test == 6).all()
    outcomes = pd.read_parquet(store.open(plan.runs[0].evaluate.key).path / "outcomes.parquet")
    assert outcomes.is_correct.any()
