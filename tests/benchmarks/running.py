"""Runs benchmarks one after the other and keeps each as it ends, so that an interrupted run goes on where it was."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from .measuring import Benchmark, Case, Row, Spent, measured_load
from .records import commit, keep, kept

BUDGET_S = 90.0  # of one benchmark's repeats, after which two are enough
SHORT_S = 0.5  # of ours, below which one measurement is mostly noise
GROWTH_S = 180.0  # that the next larger size may be expected to take


def measured(benchmark: Benchmark, *, is_quick: bool) -> Row:
    """Ours and the peer's in turn, then the limit, then how ours grows."""
    size = benchmark.quick_size if is_quick else benchmark.size
    load: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, measured_load(load):
        case = benchmark.open(_folder(scratch, "at"), size)
        pairs, began = [], time.monotonic()
        n = 1 if benchmark.is_count else 2 if is_quick else benchmark.repeats
        while len(pairs) < n and (len(pairs) < 2 or time.monotonic() - began < BUDGET_S):
            mine = _short(benchmark, case)
            pairs.append((mine, pairs[0][1] if pairs and benchmark.is_peer_once else _value(benchmark, case.peer())))
        limit = min(_value(benchmark, case.limit()) for _ in range(1 if benchmark.is_count else 2))
        ours, theirs = (list(one) for one in zip(*pairs, strict=True))
        theirs = theirs[:1] if benchmark.is_peer_once else theirs
        sizes = benchmark.sizes[:1] if is_quick else benchmark.sizes
        growth = _grown(benchmark, Path(scratch), sizes)
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Row(size, ours, theirs, limit, growth, load, commit(), when)


def _short(benchmark: Benchmark, case: Case) -> float:
    """What ours takes; what is over in a moment is done several times, and the median counts."""
    values = [_value(benchmark, case.ours())]
    while sum(values) < SHORT_S and len(values) < 9 and not benchmark.is_count:
        values.append(_value(benchmark, case.ours()))
    return statistics.median(values)


def _grown(benchmark: Benchmark, scratch: Path, sizes: Sequence[int]) -> dict[str, float]:
    """Size to what ours takes, up to the size that is expected to take too long: ten times the last step's more."""
    out: dict[int, float] = {}
    for size in sizes:
        known = [0.0, *out.values()][-2:]
        if len(out) > 1 and known[1] + (known[1] - known[0]) * size / max(out) > GROWTH_S and not benchmark.is_count:
            break
        case = (benchmark.grow or benchmark.open)(_folder(str(scratch), f"n{size}"), size)
        out[size] = _value(benchmark, case.ours())
    return {str(size): value for size, value in out.items()}


def _folder(scratch: str, name: str) -> Path:
    folder = Path(scratch) / name
    folder.mkdir()
    return folder


def _value(benchmark: Benchmark, one: Spent) -> float:
    return max(one.wall if benchmark.clock == "wall" else one.processor, 1e-6)


def run(benchmarks: Sequence[Benchmark], progress: Path, *, is_quick: bool, is_fresh: bool) -> dict[str, Row]:
    """Every benchmark's row; those that `progress` holds of this very commit are taken from there.

    Args:
        is_fresh: measure all anew.
    """
    rows: dict[str, Row] = {}
    for benchmark in benchmarks:
        before = kept(progress).get(benchmark.name)
        if before is not None and before.commit == commit() and not is_fresh:
            print(f"{benchmark.name}: measured already, {before.date}", flush=True)
            rows[benchmark.name] = before
            continue
        began = time.monotonic()
        rows[benchmark.name] = row = measured(benchmark, is_quick=is_quick)
        keep(progress, {benchmark.name: row})
        print(f"{benchmark.name}: {row.ratio:.3g} times ({time.monotonic() - began:.0f} s) {asdict(row)}", flush=True)
    return rows
