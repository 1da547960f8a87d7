"""Coverage of the 95 % interval for ln m on tables with a known truth.

    python tests/benchmarks/bench_analysis_coverage.py [--replications 1000] [--draws 1000] [--only NAME]

A row a setting: coverage and median width in ln m of the interval at the middle of the overlap under the law that
`auto` would take and under the plain power law, of the shared-shape value, and of the two-way delta interval.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from analysis.delta import delta_interval
from analysis.fit import interval
from analysis.multiplier import Comparison
from analysis.resample import draws
from analysis.shape import pooled_draws
from analysis.simulate import power, simulated_table

SIZES = 2.0 ** np.arange(9, 16)


@dataclass(frozen=True)
class Setting:
    """One simulated study; the arm is worth m of the baseline's data unless `arm` gives its own curve."""

    n_problems: int
    n_seeds: int
    b: float
    m: float
    seed_sd: float
    start: float = 0.5
    floor: float = 0.0
    arm_b: float | None = None
    shared_sd: float = 0.0
    sizes: np.ndarray = field(default_factory=lambda: SIZES)
    arm_sizes: np.ndarray | None = None


SETTINGS: Mapping[str, Setting] = {
    "J500 b.15 m8": Setting(500, 3, 0.15, 8, 0.006),
    "J500 b.05 m8": Setting(500, 3, 0.05, 8, 0.006),
    "J5000 b.15 m8": Setting(5000, 3, 0.15, 8, 0.006),
    "J5000 b.05 m8": Setting(5000, 3, 0.05, 8, 0.006),
    "J1319 S3 m2": Setting(1319, 3, 0.15, 2, 0.006),
    "J1319 S2 m2": Setting(1319, 2, 0.15, 2, 0.006),
    "J1319 S5 m2": Setting(1319, 5, 0.15, 2, 0.006),
    "J500 sd.02 m8": Setting(500, 3, 0.15, 8, 0.02),
    "J5000 sd.02 m8": Setting(5000, 3, 0.15, 8, 0.02),
    "floor .1": Setting(1319, 3, 0.30, 4, 0.006, floor=0.1),
    "non-parallel": Setting(1319, 3, 0.12, 4, 0.006, arm_b=0.20),
    "four sizes, two seeds": Setting(1500, 2, 0.30, 2, 0.006, sizes=2.0 ** np.arange(8, 12)),
    "nested seeds": Setting(1319, 3, 0.15, 2, 0.0, shared_sd=0.02),
    "nested seeds, four sizes": Setting(1500, 2, 0.30, 2, 0.0, shared_sd=0.01, sizes=2.0 ** np.arange(8, 12)),
    "arm out of range": Setting(1319, 3, 0.15, 512, 0.006),
}


def truth(setting: Setting) -> tuple[Callable, Callable, Callable[[float], float]]:
    """Baseline's law, arm's law and ln m(e)."""
    n_0 = setting.sizes[0]
    a = (setting.start - setting.floor) * n_0**setting.b
    base = power(a, setting.b, setting.floor)
    if setting.arm_b is None:
        return base, power(a * setting.m**-setting.b, setting.b, setting.floor), lambda e: float(np.log(setting.m))
    arm_a = (setting.start - setting.floor) * setting.m**-setting.b * n_0**setting.arm_b

    def ln_m(e: float) -> float:
        return float((np.log(a) - np.log(e)) / setting.b - (np.log(arm_a) - np.log(e)) / setting.arm_b)

    return base, power(arm_a, setting.arm_b), ln_m


def replication(setting: Setting, n_draws: int, seed: int) -> dict[str, tuple[float, float, float]]:
    """Name -> (low, high, truth) in ln m of every interval under test."""
    rng = np.random.default_rng(seed)
    base, arm, ln_m = truth(setting)
    sizes = {"base": setting.sizes, "arm": setting.sizes if setting.arm_sizes is None else setting.arm_sizes}
    table = simulated_table(
        {"base": base, "arm": arm},
        sizes,
        n_seeds=setting.n_seeds,
        n_problems=setting.n_problems,
        seed_sd=setting.seed_sd,
        difficulty_sd=2.0,
        rng=rng,
        shared_sd=setting.shared_sd,
    )
    drawn = draws(table, n_draws, seed)
    out = {}
    for law in ("auto", "power"):
        m = Comparison(drawn, law=law).headline("arm", "base")
        with np.errstate(divide="ignore"):
            out[f"headline {law}"] = (np.log(m.ci_low), np.log(m.ci_high), ln_m(m.at_error))
        if law == "power" and m.kind == "interior":
            fast = delta_interval(Comparison(drawn, law=law), "arm", "base", at_error=m.at_error)
            out["delta power"] = (np.log(fast.low), np.log(fast.high), ln_m(m.at_error))
    if setting.arm_b is None:
        for law in ("power_shared", "power_floor_shared") if setting.floor else ("power_shared",):
            distance, slope = pooled_draws(Comparison(drawn), "arm", "base", law)
            low, high = interval((distance / slope)[1:], 0.95)
            out[law] = (low, high, float(np.log(setting.m)))
        if not setting.floor:
            fast = delta_interval(Comparison(drawn), "arm", "base")
            out["delta shared"] = (np.log(fast.low), np.log(fast.high), float(np.log(setting.m)))
    return out


def coverage(setting: Setting, n_replications: int, n_draws: int, first_seed: int = 0) -> dict[str, dict[str, float]]:
    """Name -> coverage, median width, misses below and above, over the replications."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    for k in range(n_replications):
        for name, row in replication(setting, n_draws, first_seed + k).items():
            found.setdefault(name, []).append(row)
    out = {}
    for name, rows in found.items():
        low, high, true = np.array(rows).T
        out[name] = {
            "n": len(rows),
            "coverage": float(np.mean((low <= true) & (true <= high))),
            "width": float(np.median(high - low)),
            "below": float(np.mean(high < true)),
            "above": float(np.mean(low > true)),
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    for name, setting in SETTINGS.items():
        if asked.only in name:
            started = time.perf_counter()
            for what, row in coverage(setting, asked.replications, asked.draws).items():
                print(
                    json.dumps({"setting": name, "interval": what, **{k: round(v, 4) for k, v in row.items()}}),
                    flush=True,
                )
            print(f"# {name}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
