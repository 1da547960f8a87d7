"""How often the interval of `analysis compare` holds the truth, in 2,000 simulated studies a setting, and its width.

Difficulty of problems varies by 2 logits, a model's own taste by .7, a training run by run_sd. 95 % were asked for.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from test_analysis_compare import simulated, true_difference

from analysis.noise.paired import _clustered, tango_interval

STUDIES = 2000
SETTINGS = (  # problems, runs, attempts, gap in logits, run_sd
    (60, 1, 1, 0.3, 0.0), (60, 1, 1, 1.5, 0.0), (300, 1, 1, 0.3, 0.0), (1319, 1, 1, 0.2, 0.0), (60, 1, 8, 0.3, 0.0),
    (300, 3, 1, 0.3, 0.0), (300, 3, 1, 0.3, 0.1), (300, 2, 1, 0.3, 0.2), (300, 5, 2, 0.3, 0.2),
    (1319, 3, 1, 0.2, 0.05), (1319, 2, 1, 0.2, 0.1),
)  # fmt: skip


def interval(a: np.ndarray, b: np.ndarray, n_runs: int, n_attempts: int) -> tuple[float, float]:
    if n_runs == n_attempts == 1:  # without the power, which takes longer than the interval
        return tango_interval(int((a > b).sum()), int((b > a).sum()), a.shape[1], 0.95)
    found = _clustered(a, b, 0.95)
    return found.low, found.high


for n, n_runs, n_attempts, gap, run_sd in SETTINGS:
    rng, truth = np.random.default_rng(0), true_difference(gap, run_sd)
    limits = np.array(
        [interval(*simulated(rng, n, n_runs, n_attempts, gap, run_sd), n_runs, n_attempts) for _ in range(STUDIES)]
    )
    covered = np.mean((limits[:, 0] <= truth) & (truth <= limits[:, 1]))
    print(
        f"{n:5d} problems, {n_runs} runs, {n_attempts} attempts, run sd {run_sd:g}: {covered:.3f} "
        f"(s.e. {np.sqrt(0.05 * 0.95 / STUDIES):.3f}), width {np.mean(limits[:, 1] - limits[:, 0]):.3f}",
        flush=True,
    )
