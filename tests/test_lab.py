"""What a lab gives first: the experiments on real models, with a model and files small enough for a CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_math_sweep import reader
from tiny_sweep import build_all

from sweep.artifacts import Store
from sweep.commands.words import plan_of
from sweep.models import save_policy
from sweep.results import collect

QUESTIONS = ("How many are {n} apples?", "You have {n} pens. How many?")


def files(folder: Path) -> list[str]:
    """Problems in words whose answer is one of two, which a model of any size learns to guess."""
    words = []
    for name, first, n_rows in (("train", 0, 20), ("validation", 50, 6), ("test", 100, 6), ("unseen", 200, 6)):
        rows = [
            {"question": QUESTIONS[n % 2].format(n=n), "answer": str(n % 2), "solution": f"Odd?\n#### {n % 2}"}
            for n in range(first, first + n_rows)
        ]
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        words.append(f"dataset.{name}_path={path}")
    return words


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "few"),
    [
        ("scaling_gsm_symbolic", ("n_problems=16", "seed=1")),
        ("gsm_symbolic_tune_sft", ("n_problems=16", "replicate=101", "sft.lr=1e-2")),
    ],
)
def test_every_arm_of_the_study_runs_on_a_model_in_a_folder(tmp_path: Path, experiment: str, few: list[str]) -> None:
    save_policy(reader(), tmp_path / "model")
    plan, _ = plan_of((
        f"experiment={experiment}", *few, *files(tmp_path), f"model.path={tmp_path / 'model'}", "model.revision=null",
        "model.dtype=float32", "model.precision=fp32", "exec.device=cpu", "sft.passes=30", "sft.batch_size=8",
        "rates.sft=1e-2", "max_solution_tokens=24", "sampling.n_samples=16", "sampling.temperature=1.4",
        "sampling.rollouts.n_rollouts=2", "tracking=jsonl",
    ))  # fmt: skip
    store = Store(tmp_path / "store")
    build_all(plan, store)
    table = collect([(run.leaf.exp, run.evaluate) for run in plan.runs], store).runs
    assert sorted(table.arm) == sorted({run.leaf.overrides for run in plan.runs} and set(table.arm))
    assert len(table) == len(plan.runs) and (table.n_test == 6).all()
