"""plan, status and collect on a store of 1,000 artifacts, and `make reproduce` once more, each as one command.

python tests/benchmarks/bench_store.py            target: plan and status at most 2 s each
Then the three commands of `make reproduce` where all is built: target 15 s for the three.
The artifacts are published by the store itself, with outcomes of 200 problems and a weight file of 1 MB that nobody
may read. Wall-clock time of the whole process, start-up included; the best of three rounds, and its processor time.
"""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweep.artifacts import Cost, Stage, Store
from sweep.commands.words import plan_of
from sweep.launchers.plugins import register
from sweep.results import EVALUATED, point_of

GRID = ("arm=sft,rft,dpo,step_dpo,sft_more", "n_problems=128,256,512,1024", "seed=range(23)")
TARGET_S, AGAIN_S, N_ROUNDS, N_TEST = 2.0, 15.0, 3, 200
REPRODUCE = ("experiment=reproduce", "replicate=11,12,13")
ROOT = Path(__file__).parents[2]
PROVENANCE: dict[str, Any] = {
    "code": "0123456789ab", "started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:00:01+00:00",
    "versions": {}, "gpus": [],
}  # fmt: skip


def publish(store: Store, stage: Stage) -> None:
    """An artifact as the stage would leave it, its work aside."""
    folder = store.start(stage.key)
    facts = {"n_rows": 1}
    if stage.kind == "evaluate":
        rows = outcomes(stage)
        rows.to_parquet(folder / "outcomes.parquet", index=False)
        facts = {**dict.fromkeys(EVALUATED, N_TEST), "n_correct": int(rows.is_correct.sum()), "n_malformed": 0}
        facts["n_correct_sampled"] = facts["n_correct"]
    elif stage.kind in ("base", "sft", "train"):
        (folder / "model.safetensors").write_bytes(bytes(1_000_000))
    seconds = 1.0 + stage.identity.get("n_problems", 0) / 1000
    store.publish(stage, folder, facts, Cost(seconds=seconds), PROVENANCE)


def outcomes(evaluation: Stage) -> pd.DataFrame:
    """Outcomes that err less with more problems, by another curve for each arm, so that a report has laws to fit."""
    at = point_of(evaluation)
    n_half = 400 * (1 + zlib.crc32(at["arm"].encode()) % 7)
    error = 0.05 + 0.75 / math.sqrt(1 + at["n_problems"] / n_half)
    is_correct = np.random.default_rng(zlib.crc32(evaluation.key.encode())).random(N_TEST) > error
    ids = [f"p{i}" for i in range(N_TEST)]
    counts = {"n_correct_sampled": is_correct.astype(int), "n_sampled": 1}
    return pd.DataFrame({"problem_id": ids, "is_correct": is_correct, **counts, "solution": "x"})


def filled(store: Store, grid: Sequence[str]) -> None:
    """Publish all that a grid needs."""
    plan, _ = plan_of(grid)
    began = time.perf_counter()
    for stage in plan.stages.values():
        publish(store, stage)
    print(f"{len(plan.stages)} artifacts of {len(plan.runs)} runs, made in {time.perf_counter() - began:.0f} s")


def timed(*words: str) -> tuple[float, float]:
    """Wall-clock and processor seconds of one command."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", *words], check=True, capture_output=True, cwd=ROOT)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def told(name: str, lines: Sequence[Sequence[str]], target_s: float | None = None) -> None:
    """Print the best of all rounds of the commands `lines`, one after the other."""
    rounds = [[timed(*words) for words in lines] for _ in range(N_ROUNDS)]
    wall, processor = min(tuple(sum(each) for each in zip(*one, strict=True)) for one in rounds)
    target = f" (target {target_s:.0f} s)" if target_s else ""
    print(f"{name}: {wall:.2f} s, {processor:.2f} s of processor time{target}", flush=True)


def main() -> None:
    register()
    os.fsync = lambda fd: None  # the disk is not what is measured
    with tempfile.TemporaryDirectory() as scratch:
        at = Path(scratch)
        filled(Store(at / "store"), GRID)
        on = (*GRID, f"exec.store={at / 'store'}")
        for verb in ("plan", "status"):
            told(verb, [("sweep", verb, "-m", *on)], TARGET_S)
        told("watch --once", [("sweep", "watch", "-m", *on, "--once", "--out", str(at / "page"))])
        told("collect", [("sweep", "collect", "-m", *on, "--out", str(at / "table"))])
        filled(Store(at / "reproduced"), REPRODUCE)
        again = reproduced(at)
        for name, line in again.items():
            told(name, [line])
        told("make reproduce, all of it built", list(again.values()), AGAIN_S)


def reproduced(at: Path) -> dict[str, tuple[str, ...]]:
    """The three commands of `make reproduce`, on a store and with results under `at`."""
    on = ("-m", *REPRODUCE, f"exec.store={at / 'reproduced'}")
    table, results = str(at / "reproduced-table"), "analysis/results"
    shown = ("--law", "saturating", "--record", f"{results}/study", "--map", f"{results}/map/map.csv")
    return {
        "run": ("sweep", *on, f"hydra.sweep.dir={at / 'records'}"),
        "collect": ("sweep", "collect", *on, "--out", table),
        "report": ("analysis", "report", table, *shown, "--out", str(at / "report")),
    }


if __name__ == "__main__":
    main()
