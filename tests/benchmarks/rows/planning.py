"""From a command line to a plan, and on to SLURM: one command a measurement, start-up included."""

from __future__ import annotations

import math
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fake_slurm import OPTIONS, put_on_path
from tiny_sweep import TINY, build_all

from sweep.artifacts import Cost, Stage, Store
from sweep.commands.words import plan_of
from sweep.results import EVALUATED, point_of

from .. import peers
from ..measuring import ROOT, Spent, command, start

ARMS = "sft,rft,dpo,step_dpo,sft_more,chosen_sft,random_step_dpo,rft_unverified"
HELP = "".join(f"      --{name}=x@" for name in OPTIONS.split())
SLURM = {
    "sbatch": f"""case "$*" in *--help*) printf '{HELP}' | tr @ '\\n';;
    *) echo "Submitted batch job $$";; esac""",
    "scontrol": """case "$*" in
      *config*) echo "ClusterName = lab"; echo "MaxArraySize = 100001";;
      *partition*) echo "PartitionName=cpu MaxTime=UNLIMITED State=UP Default=YES";;
      *) echo "NodeName=$(hostname) Partitions=cpu State=IDLE CPUTot=64 RealMemory=512000";; esac""",
    "squeue": "true",
    "sacctmgr": "exit 1",
    "sacct": "kill $PPID",  # the peer asks it when all is submitted, and would then wait for jobs that nobody runs
}


def grid(n: int) -> tuple[str, ...]:
    """A grid of n points, n a multiple of 10: two arms, or eight from 40 points on."""
    arms, sizes = (ARMS, "128,256,512,1024,2048") if n % 40 == 0 else ("sft,rft", "128,256,512,1024,2048")
    return f"arm={arms}", f"n_problems={sizes}", f"seed=range({n // (40 if n % 40 == 0 else 10)})"


@contextmanager
def faked(folder: Path) -> Iterator[str]:
    """PATH with a SLURM that answers at once and runs nothing."""
    with pytest.MonkeyPatch.context() as patch:
        put_on_path(folder, patch, SLURM)
        yield os.environ["PATH"]


@dataclass(frozen=True)
class Submission:
    """Plan and submit a grid, jobs not run."""

    folder: Path
    n: int

    def ours(self) -> Spent:
        store = self.folder / f"store{len(list(self.folder.iterdir()))}"
        words = (
            "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1", "tracking=jsonl",
            "exec.device=cpu", f"exec.store={store}", f"hydra.sweep.dir={store}-runs",
        )  # fmt: skip
        with faked(self.folder / "bin") as path:
            return command([sys.executable, "-m", "sweep", "-m", *grid(self.n), *words], PATH=path)

    def peer(self) -> Spent:
        app = Path(__file__).with_name("peer_submit.py")
        where = self.folder / f"peer{len(list(self.folder.iterdir()))}"
        words = ("hydra/launcher=submitit_slurm", "hydra/sweeper=basic", f"hydra.sweep.dir={where}")
        with faked(self.folder / "bin") as path:
            return command(
                [peers.python(), app, "-m", *grid(self.n), *words], codes=(-15,), PATH=path, PYTHONPATH=str(ROOT)
            )

    def limit(self) -> Spent:
        return start("hydra", "submitit", "numpy")


PROVENANCE: dict[str, Any] = {
    "code": "0123456789ab", "started": "2026-01-01T00:00:00+00:00", "ended": "2026-01-01T00:00:01+00:00",
    "versions": {}, "gpus": [],
}  # fmt: skip
N_TEST = 200
LOOP = Path(__file__).with_name("peer_manifests.py")


def publish(store: Store, stage: Stage) -> None:
    """An artifact as the stage would leave it, its work aside."""
    folder = store.builds.start(stage.key)
    facts = {"n_rows": 1}
    if stage.kind == "evaluate":
        rows = outcomes(stage)
        rows.to_parquet(folder / "outcomes.parquet", index=False)
        facts = {**dict.fromkeys(EVALUATED, N_TEST), "n_correct": int(rows.is_correct.sum()), "n_malformed": 0}
        facts["n_correct_sampled"] = facts["n_correct"]
    elif stage.kind in ("base", "sft", "train"):
        (folder / "model.safetensors").write_bytes(bytes(100_000))
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


def fill(words: tuple[str, ...], store: Path) -> None:
    """Publish all that a grid needs."""
    before, os.fsync = os.fsync, lambda fd: None  # the disk is not what is measured
    try:
        for stage in plan_of((*words, f"exec.store={store}"))[0].stages.values():
            publish(Store(store), stage)
    finally:
        os.fsync = before


@dataclass(frozen=True)
class Asked:
    """A verb on a store in which everything is built, of a grid of about n points: three artifacts a point."""

    folder: Path
    n: int
    verb: str

    @cached_property
    def words(self) -> tuple[str, ...]:
        few, many = (
            ("arm=sft", "n_problems=128,256"),
            ("arm=sft,rft,dpo,step_dpo,sft_more", "n_problems=128,256,512,1024"),
        )
        words = (*many, f"seed=range({self.n // 20})") if self.n >= 100 else (*few, f"seed=range({self.n // 2})")
        fill(words, self.folder / "filled")
        return (*words, f"exec.store={self.folder / 'filled'}")

    def ours(self) -> Spent:
        words = self.words
        return command([sys.executable, "-m", "sweep", self.verb, "-m", *words])

    def peer(self) -> Spent:
        assert self.words
        return command([sys.executable, LOOP, self.folder / "filled"])

    def limit(self) -> Spent:
        return start("hydra", "numpy")


@dataclass(frozen=True)
class Again:
    """The three commands of `make reproduce` where all is built; n replicates."""

    folder: Path
    n: int

    @cached_property
    def grid(self) -> tuple[str, ...]:
        words = ("experiment=reproduce", f"replicate={','.join(str(11 + i) for i in range(self.n))}")
        fill(words, self.folder / "filled")
        self._once(("-m", *words, f"exec.store={self.folder / 'filled'}"))  # table and report are then there as well
        return ("-m", *words, f"exec.store={self.folder / 'filled'}")

    def ours(self) -> Spent:
        return self._once(self.grid)

    def _once(self, grid: tuple[str, ...]) -> Spent:
        table, kept, python = self.folder / "table", "analysis/results", (sys.executable, "-m")
        shown = ("--law", "saturating", "--record", f"{kept}/study", "--map", f"{kept}/map/map.csv")
        done = [
            command([*python, *words])
            for words in (
                ("sweep", *grid, f"hydra.sweep.dir={self.folder / 'records'}"),
                ("sweep", "collect", *grid, "--out", table),
                ("analysis", "report", table, *shown, "--out", self.folder / "report"),
            )
        ]
        return Spent(sum(one.wall for one in done), sum(one.processor for one in done))

    def peer(self) -> Spent:
        assert self.grid
        return command([sys.executable, LOOP, self.folder / "filled"])

    def limit(self) -> Spent:
        return start("hydra", "numpy", "pandas", "scipy", "matplotlib.pyplot")


@dataclass(frozen=True)
class Stages:
    """How many stages a grid needs: as one plan, as plain jobs that each do all of their own, and at the least."""

    folder: Path
    n: int
    is_built: bool = True

    @property
    def words(self) -> tuple[str, ...]:
        arms = ("sft", "rft", "dpo", "step_dpo", "sft_more", "chosen_sft")
        if self.n <= 12:
            return (*TINY, f"arm={','.join(arms[: self.n // 2])}", "n_problems=8,16")
        return grid(self.n)

    def ours(self) -> Spent:
        n = len(plan_of(self.words)[0].stages)
        return Spent(n, n)

    def peer(self) -> Spent:
        """What was built where each point of the grid is run by itself."""
        n = sum(len(plan.stages) - len(plan.base_evaluations) for plan in self._alone)
        return Spent(n, n)

    def limit(self) -> Spent:
        """Different contents among all that the jobs by themselves have built: nothing builds less."""
        contents = set()
        for number, plan in enumerate(self._alone):
            kept = {key: stage for key, stage in plan.stages.items()}
            for manifest in build_all(plan, Store(self.folder / f"alone{number}"), list(kept)).values():
                files = {name: one["sha256"] for name, one in manifest.files.items() if name != "metrics.jsonl"}
                contents.add((manifest.kind, tuple(sorted(files.items()))))
        return Spent(len(contents), len(contents))

    @cached_property
    def _alone(self) -> list[Any]:
        plan, _ = plan_of(self.words)
        return [plan_of((*self.words, *run.leaf.overrides))[0] for run in plan.runs]
