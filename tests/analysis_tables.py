"""Tables that the analysis tests share: outcomes with a known truth, and a sweep's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from simulated_tables import Law, power, simulated_table

from analysis.tables.table import Block, Table, table_from_runs

SIZES = 2.0 ** np.arange(7, 14)


def _worth(m: float) -> Law:
    return power(2.2 * m**-0.3, 0.3, 0.05)


FALLING = {
    "SFT": _worth(1),
    "RFT": _worth(2),
    "DPO": _worth(4),
    "per-step DPO": _worth(8),
    "SFT, more updates": _worth(1.1),
    "chosen steps only": _worth(2.1),
    "random-step DPO": _worth(5),
    "RFT without verifier": _worth(0.8),
}


def outcomes(
    laws: Mapping[str, Law],
    sizes: np.ndarray | Mapping[str, np.ndarray] = SIZES,
    *,
    n_seeds: int = 3,
    n_problems: int = 1319,
    seed_sd: float = 0.006,
    seed: int = 0,
) -> Table:
    return simulated_table(
        laws,
        sizes,
        n_seeds=n_seeds,
        n_problems=n_problems,
        seed_sd=seed_sd,
        difficulty_sd=2.0,
        rng=np.random.default_rng(seed),
    )


def exact(laws: Mapping[str, Law], sizes: np.ndarray = SIZES, n_seeds: int = 2) -> Table:
    """Counts of a huge test set, so that errors are the law's to nine digits."""
    n_test = 1e9
    rows = [
        (arm, n, n, seed, float(np.round(law(n) * n_test) / n_test), n_test)
        for arm, law in laws.items()
        for n in sizes
        for seed in range(n_seeds)
    ]
    return table_from_runs(
        pd.DataFrame(rows, columns=["arm", "size", "x", "seed", "error", "n_test"]), "counts", path="exact"
    )


def errors_table(laws: Mapping[str, Law], sizes: np.ndarray = SIZES, noise: float = 0.0, seed: int = 0) -> Table:
    """Cell means alone."""
    rng = np.random.default_rng(seed)
    rows = [(arm, n, n, 0, float(law(n)) + noise * rng.normal()) for arm, law in laws.items() for n in sizes]
    return table_from_runs(pd.DataFrame(rows, columns=["arm", "size", "x", "seed", "error"]), "errors", path="means")


def long_frame(table: Table) -> pd.DataFrame:
    """The table's outcomes as rows of arm, n_problems, seed, problem_id, is_correct."""
    (block,) = table.blocks
    runs = table.runs.iloc[block.rows]
    n_problems = block.errors.shape[1]
    return pd.DataFrame(
        {
            "arm": np.repeat(runs["arm"].to_numpy(str), n_problems),
            "n_problems": np.repeat(runs["size"].to_numpy().astype(int), n_problems),
            "seed": np.repeat(runs["seed"].to_numpy(), n_problems),
            "problem_id": np.tile([f"p{j}" for j in range(n_problems)], len(runs)),
            "is_correct": block.errors.ravel() == 0,
        }
    )


AXES = {
    "SFT": ("teacher", "sft"),
    "RFT": ("self", "sft"),
    "DPO": ("self", "dpo"),
    "per-step DPO": ("self", "step_dpo"),
    "SFT, more updates": ("teacher", "sft_more"),
    "chosen steps only": ("self", "chosen_sft"),
    "random-step DPO": ("self", "random_step_dpo"),
    "RFT without verifier": ("self_unverified", "sft"),
}


def write_sweep(
    folder: Path,
    laws: Mapping[str, Law],
    sizes: np.ndarray = SIZES[1:5],
    *,
    n_seeds: int = 2,
    n_problems: int = 300,
    base_error: float = 0.86,
    seed: int = 0,
) -> Path:
    """A results folder as `python -m sweep collect` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    table = outcomes(
        {"base": lambda n: base_error, **laws},
        {"base": np.array([1.0]), **{arm: sizes for arm in laws}},
        n_seeds=n_seeds,
        n_problems=n_problems,
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    (block,) = table.blocks
    runs, rows = [], []
    for i, run in enumerate(table.runs.itertuples()):
        is_base = run.arm == "base"
        if is_base and run.seed > 0:
            continue
        source, method = AXES.get(run.arm, ("none", "none"))
        n = 0 if is_base else int(run.size)
        axes = {
            "run": f"evaluate-{i:04d}",
            "arm": run.arm,
            "source": source,
            "method": method,
            "n_problems": n,
            "seed": int(run.seed),
        }
        right = block.errors[i] == 0
        sampled = rng.binomial(4, np.clip(right * 0.9, 0, 1))
        cost = {
            "n_updates": n // 4,
            "n_trained_tokens": n * 300,
            "n_sampled_tokens": 0 if source == "teacher" else n * 90,
            "seconds": n * 0.01,
        }
        more = 1 if run.arm == "SFT" else 3
        runs.append(
            {
                **axes,
                "split": "test",
                "n_test": n_problems,
                "n_correct": int(right.sum()),
                "n_correct_sampled": int(sampled.sum()),
                "n_sampled": 4 * n_problems,
                **cost,
                **{f"total_{name}": value * more for name, value in cost.items()},
                "code": "c0de",
                "config": "{}",
            }
        )
        rows.append(
            pd.DataFrame(
                {
                    **axes,
                    "problem_id": [f"test-{j}" for j in range(n_problems)],
                    "is_correct": right,
                    "n_correct_sampled": sampled,
                    "n_sampled": 4,
                }
            )
        )
    pd.DataFrame(runs).to_parquet(folder / "runs.parquet")
    pd.concat(rows).to_parquet(folder / "outcomes.parquet")
    record = {
        "commands": ["python -m sweep -m experiment=reproduce"],
        "created": "2026-11-20T18:00:00",
        "versions": {"torch": "2.13.0"},
        "git_commit": "abc123",
        "is_dirty": False,
        "experiment": "reproduce",
        "config": {"dataset": {"name": "skills"}},
        "n_test_looks": 1,
        "tuning": [{"what": "SFT lr", "on": "validation", "n_configurations": 4, "chosen": "5e-4"}],
    }
    (folder / "provenance.json").write_text(json.dumps(record))
    return folder


def regrouped(table: Table, order: np.ndarray) -> Table:
    """The same outcomes with the runs in another order in the file."""
    (block,) = table.blocks
    place = np.argsort(order)
    return table_from_runs(
        table.runs.iloc[order].reset_index(drop=True),
        "outcomes",
        [Block(place[block.rows], block.errors)],
        path="again",
    )


def write_replicates(folder: Path, laws: Mapping[str, Law], names: Sequence[int], *, seed: int = 0) -> Path:
    """The same folder of a sweep in replicates: one run a cell in each, and no base model."""
    write_sweep(folder, laws, n_seeds=len(names), seed=seed)
    for name in ("runs.parquet", "outcomes.parquet"):
        rows = pd.read_parquet(folder / name)
        rows = rows[rows["arm"] != "base"]
        rows.assign(replicate=rows["seed"].map(dict(enumerate(names)))).to_parquet(folder / name)
    return folder
