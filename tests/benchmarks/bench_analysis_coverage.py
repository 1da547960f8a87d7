"""Coverage of the 95 % interval for ln m on tables with a known truth.

    python tests/benchmarks/bench_analysis_coverage.py [--replications 1000] [--others 300] [--draws 199] [--only NAME]

A row a setting: coverage and median width in ln m of the reported interval at the middle of the overlap (or where the
setting says: at an end, or all arms at once), which blends local regression with the law that `auto` takes (where the
truth saturates, the saturating law), and how often that has a floor; in the first `others` replications also under the
plain power law, of the shared-shape value, and of the two-way delta interval.
199 draws give the nominal level exactly, as 1,999 would.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit

from sweep.terminal.progress import counted

sys.path.append(str(Path(__file__).parents[1]))  # the tests' tables with a known truth

from simulated_tables import centre, power, saturating, simulated_table

from analysis.intervals import interval
from analysis.noise.draws import draws
from analysis.tables.table import Table, table_from_runs
from analysis.worth.comparison import Comparison
from analysis.worth.delta import delta_interval
from analysis.worth.joint import jointly
from analysis.worth.multiplier import Multiplier
from analysis.worth.readings import at_size, headline
from analysis.worth.shape import pooled_draws

SIZES = 2.0 ** np.arange(9, 16)
LUCK = 0.3  # of a replicate, in logits
DIFFICULTY = 2.0  # of problems, in logits


@dataclass(frozen=True)
class Setting:
    """One simulated study; the arm is worth m of the baseline's data unless `arm_b` or `arm_floor` bend its curve.

    With n_half the truth saturates at the base model's error, `start`, and the arm's own sizes are `arm_sizes`.
    """

    n_problems: int
    n_seeds: int
    b: float
    m: float
    seed_sd: float
    start: float = 0.5
    floor: float = 0.0
    arm_b: float | None = None
    arm_floor: float | None = None
    shared_sd: float = 0.0
    common_sd: float = 0.0
    lucky_sd: float = 0.0
    is_relative: bool = False
    arm_seed_sd: float | None = None
    is_counts: bool = False
    is_errors: bool = False  # of runs, without the number of test problems; all noise is then in logits
    sizes: np.ndarray = field(default_factory=lambda: SIZES)
    arm_sizes: np.ndarray | None = None
    n_half: float | None = None
    bend: str = ""  # "broken" or "wiggle": a curve that is none of the laws
    n_replicates: int = 0  # with it: everything drawn anew, `seed_sd` is then the arm's own noise in units of p (1 - p)
    growth: float = 0.0  # the arm's own noise grows as n to this power
    bad_run: float | None = None  # error of one run of the arm, at its middle size
    has_seeds: bool = False  # the replicates are seeds of one base and one test set
    at: str = "middle"  # or "largest", "smallest": at that size of the arm; "joint": n_arms of them, all at once
    n_arms: int = 1
    difficulty: float = DIFFICULTY
    own_share: float = 0.0  # of the variance of difficulty, what a cell has for itself
    is_identity: bool = False  # the arm is the baseline itself


SETTINGS: dict[str, Setting] = {
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
    "baseline alone has a floor": Setting(1319, 3, 0.30, 4, 0.006, floor=0.1, arm_b=0.2, arm_floor=0.0),
    "shallow, baseline alone has a floor": Setting(500, 3, 0.10, 4, 0.006, floor=0.25, arm_b=0.05, arm_floor=0.0),
    "counts": Setting(1319, 3, 0.15, 2, 0.006, is_counts=True),
    "counts, J500 m8": Setting(500, 3, 0.15, 8, 0.006, is_counts=True),
    "counts, a fifth of a cell's own": Setting(1319, 3, 0.15, 2, 0.006, is_counts=True, own_share=0.2),
    "counts, half of a cell's own": Setting(1319, 3, 0.15, 2, 0.006, is_counts=True, own_share=0.5),
    "counts, seeds nearly copies": Setting(500, 2, 0.3, 2, 0.0, is_counts=True, own_share=0.3, difficulty=20.0),
    "seeds common to arms": Setting(1319, 3, 0.15, 2, 0.006, common_sd=0.02),
    "half common, five seeds": Setting(1319, 5, 0.15, 2, 0.015, common_sd=0.015, sizes=2.0 ** np.arange(6, 12)),
    "all but common, five seeds": Setting(
        2000, 5, 0.3, 2, 0.008, common_sd=0.03, lucky_sd=0.02, sizes=2.0 ** np.arange(6, 12)
    ),
    "all but common, three seeds": Setting(
        2000, 3, 0.3, 2, 0.008, common_sd=0.03, lucky_sd=0.02, sizes=2.0 ** np.arange(8, 12)
    ),
    "lucky seeds, arm steadier": Setting(
        2000, 5, 0.3, 2, 0.03, arm_seed_sd=0.01, lucky_sd=0.02, shared_sd=0.01, sizes=2.0 ** np.arange(6, 12)
    ),
    "nested seeds": Setting(1319, 3, 0.15, 2, 0.0, shared_sd=0.02),
    "nested seeds, four sizes": Setting(1500, 2, 0.30, 2, 0.0, shared_sd=0.01, sizes=2.0 ** np.arange(8, 12)),
    "arm out of range": Setting(1319, 3, 0.15, 512, 0.006),
    "saturating, as the study": Setting(
        2000,
        5,
        0.6,
        2,
        0.012,
        start=0.62,
        floor=0.07,
        shared_sd=0.006,
        common_sd=0.02,
        lucky_sd=0.02,
        n_half=330,
        sizes=2.0 ** np.arange(6, 15),
        arm_sizes=2.0 ** np.arange(6, 12),
    ),
    "saturating, arm steeper": Setting(
        2000,
        5,
        0.6,
        1.3,
        0.018,
        start=0.62,
        floor=0.07,
        arm_b=0.75,
        arm_floor=0.02,
        common_sd=0.018,
        n_half=330,
        sizes=2.0 ** np.arange(6, 15),
        arm_sizes=2.0 ** np.arange(6, 12),
    ),
}
SETTINGS |= {
    "saturating, noise as the study's": replace(
        SETTINGS["saturating, as the study"],
        seed_sd=0.02,
        shared_sd=0.01,
        common_sd=0.03,
        lucky_sd=0.03,
        is_relative=True,
    ),
    "saturating, arm steeper, noise as the study's": replace(
        SETTINGS["saturating, arm steeper"], seed_sd=0.03, common_sd=0.03, is_relative=True
    ),
}


SETTINGS |= {
    "broken power law": Setting(4000, 3, 0.15, 2, 0.004, bend="broken"),
    "wiggle of 4 %": Setting(4000, 3, 0.15, 2, 0.004, bend="wiggle"),
    "errors near 1": Setting(2000, 5, 0.01, 2, 0.002, start=0.97),
    "8 replicates": Setting(2000, 1, 0.3, 2, 0.03, n_replicates=8),
    "8 replicates, noise that grows": Setting(2000, 1, 0.3, 2, 0.02, n_replicates=8, growth=0.5),
    "8 replicates, one bad run": Setting(2000, 1, 0.3, 2, 0.03, n_replicates=8, bad_run=0.9),
    "4 replicates": Setting(2000, 1, 0.3, 2, 0.03, n_replicates=4),
}
OF_ERRORS = Setting(0, 5, 0.25, 2, 0.05, start=2.0 * 100**-0.25, shared_sd=0.15, sizes=100 * 2.0 ** np.arange(6))
OF_ERRORS = replace(OF_ERRORS, is_errors=True)
SETTINGS |= {
    "errors alone, levels of five seeds": OF_ERRORS,
    "errors alone, levels of three seeds": replace(OF_ERRORS, n_seeds=3),
    "errors alone, levels common to arms": replace(OF_ERRORS, shared_sd=0.0654, lucky_sd=0.135),
    "errors alone, five seeds": replace(OF_ERRORS, seed_sd=0.1, shared_sd=0.0),
    "errors alone, three seeds": replace(OF_ERRORS, seed_sd=0.1, shared_sd=0.0, n_seeds=3),
    "errors alone, two seeds": replace(OF_ERRORS, seed_sd=0.1, shared_sd=0.0, n_seeds=2),
}
GROWING = replace(
    SETTINGS["8 replicates, noise that grows"], m=1.5, growth=0.56, sizes=2.0 ** np.arange(6, 13), at="largest"
)
SETTINGS |= {
    "8 replicates, noise that grows, largest size": GROWING,
    "5 seeds, noise that grows, largest size": replace(GROWING, n_replicates=5, has_seeds=True),
    "5 seeds, noise that grows, smallest size": replace(GROWING, n_replicates=5, has_seeds=True, at="smallest"),
    "5 seeds, noise that grows, middle": replace(GROWING, n_replicates=5, has_seeds=True, at="middle"),
    "3 seeds, noise that grows, largest size": replace(GROWING, n_replicates=3, has_seeds=True),
    "5 seeds, steady noise, largest size": replace(GROWING, n_replicates=5, has_seeds=True, growth=0.0, seed_sd=0.1),
    "12 arms at once": Setting(1319, 3, 0.15, 2, 0.006, n_arms=12, at="joint"),
    "12 arms at once, 8 replicates": Setting(2000, 1, 0.3, 2, 0.03, n_replicates=8, n_arms=12, at="joint"),
    "identity at the smallest size": Setting(1319, 3, 0.15, 1, 0.006, at="smallest", is_identity=True),
    "identity at the largest size": Setting(1319, 3, 0.15, 1, 0.006, at="largest", is_identity=True),
    "identity at the smallest size, broken law": Setting(
        4000, 3, 0.15, 1, 0.004, bend="broken", at="smallest", is_identity=True
    ),
    "identity at the largest size, 8 replicates": Setting(
        2000, 1, 0.3, 1, 0.03, n_replicates=8, at="largest", is_identity=True
    ),
}


def replicated_table(setting: Setting, base: Callable, arm: Callable, rng: np.random.Generator) -> Table:
    """Counts in replicates (or seeds): luck of the whole, sd LUCK in logits, and noise of the arms' own runs.

    Each replicate has test problems of its own, which binomial noise stands for; seeds have one test set.
    """
    rows, sizes = [], setting.sizes
    one_set = rng.normal(0.0, DIFFICULTY, setting.n_problems) if setting.has_seeds else None
    for replicate in range(setting.n_replicates):
        luck = rng.normal(0, LUCK)
        for name, curve in (("SFT", base), *((name, arm) for name in _arms(setting))):
            for n in _sizes_of(setting, name):
                own = rng.normal(0, setting.seed_sd * (n / sizes[0]) ** setting.growth) if name != "SFT" else 0.0
                error = float(expit(logit(curve(n)) + luck + own))
                if setting.bad_run and (replicate, name, n) == (0, "arm", sizes[len(sizes) // 2]):
                    error = setting.bad_run
                rows.append(
                    (replicate, name, n, n, 0, _tested(error, setting.n_problems, one_set, rng), setting.n_problems)
                )
    unit, other = ("seed", "replicate") if setting.has_seeds else ("replicate", "seed")
    runs = pd.DataFrame(rows, columns=[unit, "arm", "size", "x", other, "error", "n_test"])
    return table_from_runs(runs, "counts", path="simulated")


def table_of_errors(setting: Setting, base: Callable, arm: Callable, rng: np.random.Generator) -> Table:
    """A run's error with noise in logits: of its seed in all arms, of its seed in its arm, its own."""
    rows, lucky = [], rng.normal(0, setting.lucky_sd, setting.n_seeds)
    for name, curve in (("SFT", base), *((name, arm) for name in _arms(setting))):
        level = lucky + rng.normal(0, setting.shared_sd, setting.n_seeds)
        for n in _sizes_of(setting, name):
            own = level + rng.normal(0, setting.seed_sd, setting.n_seeds)
            rows += [(name, n, n, seed, float(expit(logit(curve(n)) + one))) for seed, one in enumerate(own)]
    return table_from_runs(
        pd.DataFrame(rows, columns=["arm", "size", "x", "seed", "error"]), "errors", path="simulated"
    )


def _tested(error: float, n_problems: int, difficulty: np.ndarray | None, rng: np.random.Generator) -> float:
    """The share of problems that a run gets wrong whose error over all such problems is this."""
    if difficulty is None:
        return float(rng.binomial(n_problems, error) / n_problems)
    return float((rng.random(n_problems) < expit(difficulty + centre(error, DIFFICULTY))).mean())


def _arms(setting: Setting) -> list[str]:
    return ["arm", *(f"arm {k}" for k in range(2, setting.n_arms + 1))]


def _sizes_of(setting: Setting, name: str) -> np.ndarray:
    """Where an end is read the baseline goes further on that side, as it would in a study."""
    few = 3 if setting.at in ("largest", "smallest") and not setting.is_identity and name == "SFT" else 0
    if not few:
        return setting.sizes if setting.arm_sizes is None or name == "SFT" else setting.arm_sizes
    beyond = 2.0 ** np.arange(1, few + 1)
    ends = (
        [setting.sizes, setting.sizes[-1] * beyond]
        if setting.at == "largest"
        else [setting.sizes[0] / 2, setting.sizes]
    )
    return np.concatenate([np.atleast_1d(one) for one in ends])


def expected_worth(setting: Setting, base: Callable, arm: Callable, n: float) -> float:
    """ln m at a size of the arm, of the mean errors over replicates, which noise in logits moves off the curves."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(41)
    own = setting.seed_sd * (n / setting.sizes[0]) ** setting.growth

    def mean(error: float, sd: float) -> float:
        return float(expit(logit(error) + sd * nodes) @ weights / weights.sum())

    wanted = mean(float(arm(n)), float(np.hypot(LUCK, own)))
    low, high = np.log(n) - 2, np.log(n) + 2
    return float(brentq(lambda ln_n: mean(float(base(np.exp(ln_n))), LUCK) - wanted, low, high) - np.log(n))


def bent(setting: Setting) -> Callable:
    """A falling curve that is none of the laws."""

    def curve(n: float | np.ndarray) -> np.ndarray:
        n = np.asarray(n, dtype=float)
        if setting.bend == "broken":
            return setting.start * (n / 512) ** -0.1 * (1 + (n / 4096) ** 1.5) ** -0.2
        return setting.start * (n / 512) ** -setting.b * (1 + 0.04 * np.sin(2.5 * np.log(n)))

    return curve


def truth(setting: Setting) -> tuple[Callable, Callable, Callable[[float], float]]:
    """Baseline's law, arm's law and ln m(e)."""
    if setting.bend:
        curve, ln_worth = bent(setting), float(np.log(setting.m))
        return curve, lambda n: curve(setting.m * np.asarray(n)), lambda e: ln_worth
    n_0, arm_b = setting.sizes[0], setting.arm_b or setting.b
    arm_floor = setting.floor if setting.arm_floor is None else setting.arm_floor
    if setting.n_half:
        top, half, arm_half = setting.start, setting.n_half, setting.n_half / setting.m

        def ln_m_saturating(e: float) -> float:
            ln_n_0 = np.log(half) + np.log((top - e) / (e - setting.floor)) / setting.b
            return float(ln_n_0 - np.log(arm_half) - np.log((top - e) / (e - arm_floor)) / arm_b)

        curves = saturating(top, half, setting.b, setting.floor), saturating(top, arm_half, arm_b, arm_floor)
        return *curves, ln_m_saturating
    a = (setting.start - setting.floor) * n_0**setting.b
    arm_a = (setting.start - arm_floor) * setting.m**-setting.b * n_0**arm_b

    def ln_m(e: float) -> float:
        return float(np.log(a / (e - setting.floor)) / setting.b - np.log(arm_a / (e - arm_floor)) / arm_b)

    return power(a, setting.b, setting.floor), power(arm_a, arm_b, arm_floor), ln_m


def replication(
    setting: Setting, n_draws: int, seed: int, *, has_others: bool
) -> tuple[dict[str, tuple[float, float, float]], bool]:
    """Name -> (low, high, truth) in ln m of every interval under test, and whether auto fitted the floor."""
    base, arm, ln_m = truth(setting)
    table = _table(setting, base, arm, seed)
    drawn = draws(Table("counts", table.runs) if setting.is_counts else table, n_draws, seed)
    auto, plain = (Comparison(drawn, law=law) for law in ("saturating" if setting.n_half else "auto", "power"))
    has_floor = auto.law_of("SFT" if setting.is_identity else "arm", "SFT") != "power"
    out = {"auto": _reported(setting, auto, ln_m)}
    if not has_others or setting.bend or setting.n_replicates or setting.is_errors or setting.at != "middle":
        return out, has_floor
    m = headline(plain, "arm", "SFT")
    out["plain"] = _interval(m, ln_m)
    if m.kind == "interior":
        fast = delta_interval(plain, "arm", "SFT", at_error=m.at_error)
        out["delta, plain"] = (np.log(fast.low), np.log(fast.high), ln_m(m.at_error))
    if setting.arm_b is None and not setting.n_half:
        for law in ("power_shared", "power_floor_shared") if setting.floor else ("power_shared",):
            distance, slope = pooled_draws(plain, "arm", "SFT", law)
            out[law] = (*interval((distance / slope)[1:], 0.95), float(np.log(setting.m)))
    return out, has_floor


def _reported(setting: Setting, comparison: Comparison, ln_m: Callable[[float], float]) -> tuple[float, float, float]:
    """The interval as reported where the setting reads it; of all arms at once that of the arm nearest to a miss."""
    arm = "SFT" if setting.is_identity else "arm"
    if setting.at == "joint":
        found = jointly([headline(comparison, one, "SFT") for one in _arms(setting)])
        low, high, true = np.array([(*np.log(one.joint_ci or (0, np.inf)), ln_m(one.at_error)) for one in found]).T
        worst = int(np.argmin(np.minimum(true - low, high - true)))
        return float(low[worst]), float(high[worst]), float(true[worst])
    if setting.at == "middle":
        return _interval(headline(comparison, arm, "SFT"), ln_m)
    m = at_size(comparison, arm, "SFT", setting.sizes[-1 if setting.at == "largest" else 0])
    if setting.is_identity:
        return _interval(m, lambda error: 0.0)
    curves = truth(setting)[:2]  # the settings read at an end are in replicates or seeds
    return _interval(m, lambda error: expected_worth(setting, *curves, m.at_size or 0.0))


def _table(setting: Setting, base: Callable, arm: Callable, seed: int) -> Table:
    if setting.n_replicates:
        return replicated_table(setting, base, arm, np.random.default_rng(seed))
    if setting.is_errors:
        return table_of_errors(setting, base, arm, np.random.default_rng(seed))
    arms = [] if setting.is_identity else _arms(setting)
    return simulated_table(
        {"SFT": base, **dict.fromkeys(arms, arm)},
        {name: _sizes_of(setting, name) for name in ("SFT", *arms)},
        n_seeds=setting.n_seeds,
        n_problems=setting.n_problems,
        seed_sd={"SFT": setting.seed_sd, **dict.fromkeys(arms, setting.arm_seed_sd or setting.seed_sd)},
        difficulty_sd=setting.difficulty,
        own_share=setting.own_share,
        rng=np.random.default_rng(seed),
        shared_sd=setting.shared_sd,
        common_sd=setting.common_sd,
        lucky_sd=setting.lucky_sd,
        is_relative=setting.is_relative,
        base_error=setting.start if setting.n_half else None,
    )


def _interval(m: Multiplier, ln_m: Callable[[float], float]) -> tuple[float, float, float]:
    with np.errstate(divide="ignore"):
        return float(np.log(m.ci_low)), float(np.log(m.ci_high)), ln_m(m.at_error)


def coverage(setting: Setting, n_replications: int, n_others: int, n_draws: int) -> dict[str, dict[str, float]]:
    """Name -> coverage, median width, misses below and above, over the replications."""
    found: dict[str, list[tuple[float, float, float]]] = {}
    n_floors = 0
    for k in counted(range(n_replications), "replications"):
        rows, has_floor = replication(setting, n_draws, k, has_others=k < n_others)
        n_floors += has_floor
        for name, row in rows.items():
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
    out["auto"]["has_floor"] = n_floors / n_replications
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=1000, help="tables drawn of each setting")
    parser.add_argument("--others", type=int, default=300, help="of them that other intervals are computed of too")
    parser.add_argument("--draws", type=int, default=199, help="resamples of each table")
    parser.add_argument("--only", default="", help="settings whose name has this in it")
    asked = parser.parse_args()
    for name, setting in SETTINGS.items():
        if asked.only in name:
            started = time.perf_counter()
            n_draws = max(asked.draws, 999) if setting.at == "joint" else asked.draws  # ranks of all arms need more
            for what, row in coverage(setting, asked.replications, asked.others, n_draws).items():
                print(
                    json.dumps({"setting": name, "interval": what, **{k: round(v, 4) for k, v in row.items()}}),
                    flush=True,
                )
            print(f"# {name}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
