"""What a tracker shows of a stage: the words that charts group by, and of an evaluation its rates and outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from sweep.arms import BASE_ARM, usual_name
from sweep.artifacts import Cost, Stage, Store
from sweep.launchers.code import git
from sweep.results import point_of
from sweep.tracking.wandb_runs import OUTCOMES, files_of


def flat(stage: Stage) -> dict[str, Any]:
    """arm, n_problems, source, method, seed, of an evaluation its replicate, and the commit; None is left out."""
    if stage.kind == "evaluate":
        out = {**point_of(stage), "split": stage.identity["evaluation"]["split"]}
    elif stage.kind == "base":
        out = {"arm": BASE_ARM}
    else:
        names = {node: stage.identity[node]["name"] for node in ("source", "method") if stage.kind == "train"}
        pair = {"source": "teacher", "method": "sft", **names}
        out = {"arm": usual_name(**pair), **pair}
        out |= {name: stage.identity[name] for name in ("n_problems", "seed") if name in stage.identity}
    out |= {"replicate": stage.replicate, "commit": git().get("commit")}
    return {key: value for key, value in out.items() if value is not None}


def conclusion(
    stage: Stage, folder: Path, facts: dict[str, Any], cost: Cost, provenance: dict[str, Any], store: Store
) -> tuple[dict[str, Any], list[str], list[list[Any]], dict[str, bytes]]:
    """Facts, columns and rows of a table, and files, for `Tracker.conclude`."""
    numbers = {name: value for name, value in facts.items() if isinstance(value, int | float)}
    if stage.kind != "evaluate":
        return numbers, [], [], {}
    split = stage.identity["evaluation"]["split"]
    numbers[f"{split}_error"] = (facts["n_test"] - facts["n_correct"]) / facts["n_test"]
    numbers[f"{split}_error_sampled"] = (facts["n_sampled"] - facts["n_correct_sampled"]) / facts["n_sampled"]
    table = pd.read_parquet(folder / OUTCOMES)
    rows = [list(row) for row in table.astype(object).itertuples(index=False, name=None)]
    return numbers, [str(c) for c in table.columns], rows, files_of(stage, folder, facts, cost, provenance, store)
