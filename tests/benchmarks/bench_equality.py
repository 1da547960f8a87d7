r"""Answers compared a second: MATH's reference answers against others of their subject.

python tests/benchmarks/bench_equality.py           target: 200 comparisons/s on 2 free cores
Needs MATH in ../shared/data/math. Pairs of different texts alone reach a process; the processes' own time on a
processor is what counts where the machine is busy.
"""

import gzip
import json
import os
import random
import time
from collections import Counter
from pathlib import Path

from sweep.data.answers import BOX, Answers
from sweep.data.equality import Equality, Limits, n_processes

MATH = Path(__file__).parents[3] / "shared/data/math/train.jsonl.gz"
N_PAIRS = 2_000
TICKS = os.sysconf("SC_CLK_TCK")


def pairs() -> list[tuple[str, str]]:
    """(reference, reference of another problem of the subject), each pair once, no two texts equal."""
    of_subject: dict[str, list[str]] = {}
    for line in gzip.decompress(MATH.read_bytes()).splitlines():
        row = json.loads(line)
        of_subject.setdefault(row["type"], []).append(Answers(BOX, "math").final(row["solution"]) or "none")
    rng, found = random.Random(0), set()
    while len(found) < N_PAIRS:
        answers = rng.choice(list(of_subject.values()))
        first, second = rng.sample(answers, 2)
        if first != second:
            found.add((first, second))
    return sorted(found, key=lambda pair: rng.random())


def cpu_seconds(pid: int) -> float:
    """Time that a process has had on a processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def main() -> None:
    comparer = Equality(Limits(5, 1024, 500))
    todo = pairs()
    comparer.outcomes([("1", "2"), ("3", "4")])  # the processes are there
    for name, part in (("first", todo[: N_PAIRS // 2]), ("next", todo[N_PAIRS // 2 :])):
        before = {one.process.pid: cpu_seconds(one.process.pid) for one in comparer._processes}
        began = time.perf_counter()
        outcomes = comparer.outcomes(part)
        wall = time.perf_counter() - began
        used = sum(cpu_seconds(one.process.pid) - before.get(one.process.pid, 0.0) for one in comparer._processes)
        print(
            f"{name} {len(part)} pairs, {n_processes()} processes: {len(part) / wall:.0f}/s, {len(part) / used:.0f} a "
            f"second of one core; {dict(Counter(outcomes))}"
        )
    comparer.close()


if __name__ == "__main__":
    main()
