"""The whole sweep on this machine: wall time, the share of it inside stages, and peak memory.

    python tests/benchmarks/bench_sweep.py [experiment=smoke] [other overrides]

Runs the experiment in a fresh store, then once more when all is built.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


def peak_rss_gb(pid: int, stop: threading.Event) -> float:
    """Largest sum of resident memory of a process and its descendants, sampled each second, in GiB."""
    peak = 0.0
    while not stop.wait(1.0):
        total, todo = 0, [pid]
        while todo:
            parent = todo.pop()
            try:
                pages = int(Path(f"/proc/{parent}/statm").read_text().split()[1])
                children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            except OSError:
                continue
            total += pages * resource.getpagesize()
            todo += map(int, children)
        peak = max(peak, total / 2**30)
    return peak


def timed(words: list[str]) -> tuple[float, float]:
    """(seconds, peak GiB) of a command that must succeed."""
    began, stop, peaks = time.monotonic(), threading.Event(), []
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        watcher = threading.Thread(target=lambda: peaks.append(peak_rss_gb(process.pid, stop)))
        watcher.start()
        code = process.wait()
        stop.set()
        watcher.join()
    if code:
        raise SystemExit(f"{' '.join(words)}: exit code {code}")
    return time.monotonic() - began, peaks[0]


def main() -> None:
    overrides = sys.argv[1:] or ["experiment=smoke"]
    with tempfile.TemporaryDirectory() as store:
        here = (f"exec.store={store}", f"hydra.sweep.dir={store}/.runs")
        words = [sys.executable, "-m", "sweep", "-m", *overrides, *here]
        seconds, peak = timed(words)
        costs = [json.loads(p.read_text())["cost"]["seconds"] for p in Path(store).glob("*/manifest.json")]
        again, _ = timed(words)
        n_workers = os.cpu_count() or 1
        share = sum(costs) / seconds / n_workers
        print(f"{' '.join(overrides)}: {len(costs)} stages in {seconds:.1f} s wall, {sum(costs):.1f} s inside stages")
        print(f"  {share:.0%} of the time of {n_workers} workers inside stages; peak {peak:.2f} GiB")
        print(f"  the same command again: {again:.1f} s")


if __name__ == "__main__":
    main()
