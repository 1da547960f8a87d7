"""Tables with a known truth, for recovery and coverage: difficulty of problems, seeds and outcomes drawn apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from analysis.tables.table import Block, Table, table_from_runs

Law = Callable[[np.ndarray], np.ndarray]


def power(a: float, b: float, floor: float = 0.0) -> Law:
    """n -> floor + a n^-b."""
    return lambda n: floor + a * np.asarray(n, dtype=float) ** -b


def saturating(base: float, n_half: float, b: float, floor: float = 0.0) -> Law:
    """n -> floor + (base - floor) / (1 + (n/n_half)^b)."""
    return lambda n: floor + (base - floor) / (1.0 + (np.asarray(n, dtype=float) / n_half) ** b)


def simulated_table(
    laws: Mapping[str, Law],
    sizes: np.ndarray | Mapping[str, np.ndarray],
    *,
    n_seeds: int,
    n_problems: int,
    seed_sd: float | Mapping[str, float],
    difficulty_sd: float,
    rng: np.random.Generator,
    shared_sd: float = 0.0,
    common_sd: float = 0.0,
    lucky_sd: float = 0.0,
    is_relative: bool = False,
    base_error: float | None = None,
    own_share: float = 0.0,
) -> Table:
    """Outcomes of every run on the same problems, and of a base model with this error where one is given.

    A run's expected error is law(n) + N(0, seed_sd^2) + N(0, shared_sd^2) + N(0, common_sd^2) + N(0, lucky_sd^2): the
    first of the run's own (seed_sd may name the arms), the second drawn once for each arm and seed, the third once for
    each size and seed, the last once for each seed; is_relative: times 4 p (1 - p), p = law(n). A problem's logit is
    shifted by N(0, difficulty_sd^2), with the centre chosen so that the mean over the POPULATION of problems is the
    run's expected error; a share `own_share` of that variance is the cell's own, common to its seeds alone.
    """
    difficulty = rng.normal(0.0, difficulty_sd, n_problems)
    of_cell: dict[tuple[str, float], np.ndarray] = {}
    rows, blocks, common = [], [], {}

    def test(arm: str, n: float, seed: int, error: float) -> None:
        target, shift = float(np.clip(error, 1e-4, 1 - 1e-4)), difficulty
        if own_share:
            own = of_cell.setdefault((arm, float(n)), rng.normal(0.0, difficulty_sd, n_problems))
            shift = np.sqrt(1 - own_share) * difficulty + np.sqrt(own_share) * own
        chance = 1.0 / (1.0 + np.exp(-(shift + centre(target, difficulty_sd))))
        wrong = rng.random(n_problems) < chance
        blocks.append(wrong.astype(np.float32))
        rows.append((arm, float(n), float(n), seed, wrong.mean(), n_problems))

    lucky = rng.normal(0.0, lucky_sd, n_seeds) if lucky_sd else np.zeros(n_seeds)
    for arm, law in laws.items():
        own_sd = seed_sd[arm] if isinstance(seed_sd, Mapping) else seed_sd
        shared = rng.normal(0.0, shared_sd, n_seeds) if shared_sd else np.zeros(n_seeds)
        for n in sizes[arm] if isinstance(sizes, Mapping) else sizes:
            for seed in range(n_seeds):
                if common_sd and (n, seed) not in common:
                    common[n, seed] = rng.normal(0.0, common_sd)
                noise = shared[seed] + lucky[seed] + common.get((n, seed), 0.0) + rng.normal(0.0, own_sd)
                test(arm, n, seed, law(n) + noise * (4 * law(n) * (1 - law(n)) if is_relative else 1.0))
    if base_error is not None:
        test("base", 0, 0, base_error)
    runs = pd.DataFrame(rows, columns=["arm", "size", "x", "seed", "error", "n_test"])
    return table_from_runs(runs, "outcomes", [Block(np.arange(len(runs)), np.stack(blocks))], path="simulated")


_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(41)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def centre(mean: float, sd: float) -> float:
    """Logit c with E[logistic(c + sd Z)] = mean, Z standard normal, by Newton on a Gauss-Hermite sum."""
    c = np.log(mean / (1 - mean)) * np.sqrt(1 + sd**2 / 2.9)
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-(c + sd * _NODES)))
        step = (p @ _WEIGHTS - mean) / ((p * (1 - p)) @ _WEIGHTS)
        c -= np.clip(step, -2, 2)
        if abs(step) < 1e-12:
            break
    return float(c)
