"""plan, status and collect on a store of 1,000 artifacts, each as one command.

python tests/benchmarks/bench_store.py            target: plan and status at most 2 s each
The artifacts are published by the store itself, with outcomes of 200 problems and a weight file of 1 MB that nobody
may read. Wall-clock time of the whole process, start-up included; the best of three rounds, and its processor time.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from sweep.artifacts import Cost, Stage, Store
from sweep.commands.words import plan_of
from sweep.launchers.plugins import register
from sweep.results import EVALUATED

GRID = ("arm=sft,rft,dpo,step_dpo,sft_more", "n_problems=128,256,512,1024", "seed=range(23)")
TARGET_S, N_ROUNDS, N_TEST = 2.0, 3, 200
PROVENANCE = {"code": "0123456789ab", "ended": "2026-01-01T00:00:00+00:00", "versions": {}, "gpus": []}


def publish(store: Store, stage: Stage) -> None:
    """An artifact as the stage would leave it, its work aside."""
    folder = store.start(stage.key)
    facts = {"n_rows": 1}
    if stage.kind == "evaluate":
        ids = [f"p{i}" for i in range(N_TEST)]
        outcomes = pd.DataFrame({"problem_id": ids, "is_correct": True, "n_correct_sampled": 1, "n_sampled": 1})
        outcomes.assign(solution="x").to_parquet(folder / "outcomes.parquet", index=False)
        facts = dict.fromkeys(EVALUATED, N_TEST)
    elif stage.kind in ("base", "sft", "train"):
        (folder / "model.safetensors").write_bytes(bytes(1_000_000))
    store.publish(stage, folder, facts, Cost(seconds=1.0), PROVENANCE)


def timed(verb: str, store: Path) -> tuple[float, float]:
    """Wall-clock and processor seconds of one command."""
    line = [sys.executable, "-m", "sweep", verb, "-m", *GRID, f"exec.store={store}"]
    line += ["--out", str(store.parent / "table")] if verb == "collect" else []
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(line, check=True, capture_output=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    register()
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(Path(scratch) / "store")
        plan, _ = plan_of(GRID)
        began = time.perf_counter()
        os.fsync = lambda descriptor: None  # the disk is not what is measured
        for stage in plan.stages.values():
            publish(store, stage)
        print(f"{len(plan.stages)} artifacts of {len(plan.runs)} runs, made in {time.perf_counter() - began:.0f} s")
        for verb in ("plan", "status", "collect"):
            wall, processor = min(timed(verb, store.root) for _ in range(N_ROUNDS))
            target = "" if verb == "collect" else f" (target {TARGET_S:.0f} s)"
            print(f"{verb}: {wall:.2f} s, {processor:.2f} s of processor time{target}", flush=True)


if __name__ == "__main__":
    main()
