"""Every row of the table: what is measured, beside whom, what was asked for, and what it cannot go below."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # the tests' sweeps that are small enough to run here

from .measuring import Benchmark
from .rows.fits import Chinchilla, Draws
from .rows.planning import Again, Asked, Stages, Submission
from .rows.pool import Asleep
from .rows.reading import Answers, Manifests
from .rows.training import Training

STARTED = "starting Python with the libraries"
BENCHMARKS = (
    Benchmark(
        "stages", "stages that `sweep` builds", "stages of plain Hydra jobs, one a grid point, each doing all its own",
        "different contents among what the plain jobs built",
        Stages, 12, "grid points", is_count=True, near=1.1, quick_size=4,
    ),
    Benchmark(
        "submit", "plan 1,000 grid points and hand them to sbatch", "hydra-submitit-launcher 1.2, the same "
        "configuration and grid, to the moment it would wait for its jobs; once", STARTED,
        Submission, 1_000, "grid points", goal=10, needs_peers=True, repeats=3, is_peer_once=True,
    ),
    Benchmark(
        "pool_joblib", "200 stages of 2 s in the local pool, 4 workers, beyond the sleep", "hydra-joblib-launcher 1.2, "
        "4 processes; its jobs import nothing", f"{STARTED}, and one process with torch",
        partial(Asleep, launcher="joblib"), 200, "stages", goal=3, needs_peers=True, repeats=2,
        grow=partial(Asleep, seconds=0.0),
        why="Nearly all of it is one import of torch and transformers, which the peer's jobs do without; where theirs "
        "import both, see the next row.",
    ),
    Benchmark(
        "pool_loaded", "the same", "the same, where each of its processes imports torch and transformers, as training "
        "a model needs; once", f"{STARTED}, and one process with torch",
        partial(Asleep, launcher="joblib", is_loaded=True), 200, "stages", (), goal=3, needs_peers=True, repeats=2,
        is_peer_once=True, not_grown="as the row above",
    ),
    Benchmark(
        "pool_submitit", "the same", "hydra-submitit-launcher 1.2, submitit_local, all at once; its jobs import "
        "nothing; once", f"{STARTED}, and one process with torch",
        partial(Asleep, launcher="submitit_local"), 200, "stages", (), goal=3, needs_peers=True, repeats=2,
        is_peer_once=True, not_grown="as two rows above",
    ),
    Benchmark(
        "plan", "`plan` where 1,000 artifacts are built", "a loop over pandas that reads their manifests", STARTED,
        partial(Asked, verb="plan"), 360, "grid points, 1,000 artifacts", at_most=2,
    ),
    Benchmark(
        "status", "`status` where 1,000 artifacts are built", "a loop over pandas that reads their manifests", STARTED,
        partial(Asked, verb="status"), 360, "grid points, 1,000 artifacts", at_most=2,
    ),
    Benchmark(
        "reproduce_again", "`make reproduce` where all is built: run, collect, report",
        "a loop over pandas that reads the manifests", STARTED, Again, 3, "replicates", (), at_most=15,
        quick_size=1, repeats=2, not_grown="a replicate is 141 stages, as `status` grows with them",
    ),
    Benchmark(
        "manifests", "10,000 manifests read, each checked against its hashes", "a loop over pandas, nothing checked",
        "the same files read and parsed as JSON", Manifests, 10_000, "manifests", goal=5,
    ),
    Benchmark(
        "verifier", "answers compared in processes that can be killed", "math-verify in a pool of processes",
        "the distinct pairs compared in one process", Answers, 1_000, "pairs", goal=1, repeats=3,
    ),
    Benchmark(
        "draws", "power laws with a floor fitted to 4,000 draws", "scipy.optimize.curve_fit, draw by draw",
        "the operations of the scan as one product of matrices", Draws, 4_000, "draws", goal=100, repeats=3,
    ),
    Benchmark(
        "chinchilla", "the law of two variables fitted", "chinchilla 0.2 from 243 starts (its README's example takes "
        "3,125)", "one descent from one start", Chinchilla, 240, "points", needs_peers=True, repeats=3,
    ),
    Benchmark(
        "train_rows", "SFT of a model of 0.2M parameters", "TRL's SFTTrainer", "6 operations a parameter and token, as "
        "products of matrices", Training, 1_024, "rows", (100, 1_000, 10_000), goal=1.5, quick_size=64, repeats=3,
    ),
    Benchmark(
        "train_pairs", "per-step DPO of the same", "TRL's DPOTrainer", "6 operations a parameter and token, as "
        "products of matrices", partial(Training, is_pairs=True), 1_024, "pairs", (100, 1_000, 10_000), goal=1.5,
        quick_size=64, repeats=3,
    ),
)  # fmt: skip
