"""Submitting 1,000 grid points to a real SLURM, and what a packed stage costs beside its own work.

    python tests/benchmarks/bench_slurm.py          as root; starts the one-machine SLURM and stops it

    submission       at most 60 s, 20 sbatch calls and 500 MB for the whole command, planning included
    a packed stage   at most 0.5 s beyond its own work; imports are paid once a job and shown beside it
The sweep of 1,000 points is cancelled as soon as it is in the queue; the packs are those of the smoke experiment.
"""

from __future__ import annotations

import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from sweep.artifacts import Store
from sweep.launchers.slurm.submission import submissions

GRID = ("arm=rft,dpo,step_dpo,random_step_dpo", "n_problems=128,256,512,1024,2048", "seed=range(50)")
CLUSTER = Path(__file__).parents[2] / "slurm" / "cluster"
LAUNCHER = (
    "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1.5",
    "hydra.launcher.timeout_min=30", "exec.device=cpu", "tracking=jsonl",
)  # fmt: skip


def sweep(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "sweep", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout


def submission(folder: Path) -> None:
    began = time.perf_counter()
    said = sweep("-m", *GRID, *LAUNCHER, f"exec.store={folder}")
    seconds = time.perf_counter() - began
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    stages, jobs, n_arrays, calls = re.search(
        r"submitted (\d+) stages .* as (\d+) jobs in (\d+) arrays, (\d+) sbatch calls", said
    ).groups()
    print(
        f"1,000 grid points, {stages} stages, {jobs} jobs in {n_arrays} arrays: {seconds:.1f} s (target 60), {calls} "
        f"sbatch calls (target 20), {megabytes:.0f} MiB (target 500 MB)"
    )
    subprocess.run(["scancel", "--user", str(os.getuid())], check=True)
    while subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout.strip():
        time.sleep(0.5)


def packs(folder: Path) -> None:
    sweep("-m", "experiment=smoke", *LAUNCHER, "hydra.launcher.stages_per_job=8", "hydra.launcher.wait=true",
          f"exec.store={folder}")  # fmt: skip
    store = Store(folder)
    jobs = defaultdict(list)
    for row in submissions(store)[-1].attempts():
        jobs[row["job"]].append(row)
    overhead = []
    for rows in jobs.values():
        work = sum(store.manifest(row["key"]).cost.seconds for row in rows)
        span = rows[-1]["time"] + rows[-1]["seconds"] - rows[0]["time"]
        overhead.append((span - work, len(rows)))
    most = max(extra / n for extra, n in overhead)
    mean = sum(extra for extra, _ in overhead) / sum(n for _, n in overhead)
    print(
        f"{sum(n for _, n in overhead)} packed stages in {len(jobs)} jobs: {mean:.2f} s beyond its own work in the "
        f"mean, {most:.2f} s in the worst job (target 0.5)"
    )


def main() -> None:
    if os.geteuid():
        print("not run: the one-machine SLURM needs root")
        return
    started = subprocess.run(
        [CLUSTER / "start", "--nodes", "2", "--cpus", "1", "--gpus", "1", "--memory-mb", "8000"],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    for line in started.stdout.splitlines():
        if line.startswith("export "):
            name, value = shlex.split(line)[1].split("=", 1)
            os.environ[name] = value
    try:
        with tempfile.TemporaryDirectory() as folder:
            submission(Path(folder) / "grid")
            packs(Path(folder) / "smoke")
    finally:
        subprocess.run([CLUSTER / "stop"], check=True)


if __name__ == "__main__":
    main()
