"""Speed and memory of the analysis on one thread.

    python tests/benchmarks/bench_analysis.py [--rows 10000000]

Targets: 4,000 draws of a two-arm comparison, 7 sizes x 3 seeds x 1,319 problems, in 1 s and 500 MB; a table of ten
million outcome rows read and analysed in 10 s and 4 GB. Each part runs in a process of its own, so that the peak
memory is its own; the best of three times is shown, because other work on the machine only slows a round down.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.worth.readings import headline

sys.path.append(str(Path(__file__).parents[1]))  # the tests' tables with a known truth


def two_arms() -> list[tuple[float, str]]:
    """The bootstrap comparison of point 3: draws, both curves, headline, shape and bands."""
    from simulated_tables import power, simulated_table

    from analysis.commands import result
    from analysis.noise.draws import draws
    from analysis.worth.comparison import Comparison

    table = simulated_table(
        {"SFT": power(1.0, 0.15), "RFT": power(2**-0.15, 0.15)},
        2.0 ** np.arange(7, 14),
        n_seeds=3,
        n_problems=1319,
        seed_sd=0.006,
        difficulty_sd=2.0,
        rng=np.random.default_rng(0),
    )
    out = []
    for name in ("headline alone", "headline, shape, bands and delta"):
        times = []
        for _ in range(3):
            started = time.perf_counter()
            comparison = Comparison(draws(table, 4000))
            if name == "headline alone":
                headline(comparison, "RFT", "SFT")
            else:
                result(comparison, "RFT", "SFT")
            times.append(time.perf_counter() - started)
        out.append((min(times), name))
    return out


def write_rows(path: Path, n_rows: int, n_problems: int = 100_000) -> None:
    """Outcome rows of 2 arms, about 100 runs in all, in chunks."""
    rng = np.random.default_rng(0)
    n_runs = n_rows // n_problems
    sizes, seeds = 2 ** np.arange(7, 12), max(1, n_runs // 10)
    problems = pa.array([f"problem-{j:06d}" for j in range(n_problems)])
    writer = None
    for arm, m in (("SFT", 1.0), ("RFT", 2.0)):
        for n in sizes:
            for seed in range(seeds):
                wrong = rng.random(n_problems) < (m * n) ** -0.15
                chunk = pa.table(
                    {
                        "arm": pa.array([arm] * n_problems),
                        "n_problems": np.full(n_problems, n),
                        "seed": np.full(n_problems, seed),
                        "problem_id": problems,
                        "is_correct": ~wrong,
                    }
                )
                writer = writer or pq.ParquetWriter(path, chunk.schema)
                writer.write_table(chunk)
    writer.close()


def many_rows(path: Path) -> list[tuple[float, str]]:
    from analysis.noise.draws import draws
    from analysis.tables.read import table_at
    from analysis.worth.comparison import Comparison

    started, cpu = time.perf_counter(), time.process_time()
    table = table_at(path)
    read_s = time.perf_counter() - started
    m = headline(Comparison(draws(table, 4000)), "RFT", "SFT")
    total, cpu = time.perf_counter() - started, time.process_time() - cpu
    return [(read_s, "reading alone"), (total, f"reading and analysis ({cpu:.2f} s of CPU), m = {m.multiplier:.3f}")]


def measured(work: Callable, *arguments) -> tuple[list[tuple[float, str]], float]:
    """What the work returns and its peak memory in MB, in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (work, arguments))


def _measured(work: Callable, arguments: tuple) -> tuple[list[tuple[float, str]], float]:
    times = work(*arguments)
    return times, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the largest table")
    asked = parser.parse_args()
    times, memory = measured(two_arms)
    for seconds, name in times:
        print(f"4,000 draws, 2 arms x 7 sizes x 3 seeds x 1,319 problems, {name}: {seconds:.2f} s (target 1 s)")
    print(f"peak memory of that process: {memory:.0f} MB (target 500 MB)")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.parquet"
        write_rows(path, asked.rows)
        times, memory = min((measured(many_rows, path) for _ in range(3)), key=lambda one: one[0][-1][0])
    for seconds, name in times:
        print(f"{asked.rows:,} outcome rows, {name}: {seconds:.2f} s (target 10 s)")
    print(f"peak memory of that process: {memory:.0f} MB (target 4,096 MB)")


if __name__ == "__main__":
    main()
