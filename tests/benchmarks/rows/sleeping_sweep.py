"""N stages that sleep, on the local pool: python sleeping_sweep.py N SECONDS WORKERS STORE"""

from __future__ import annotations

import sys
from dataclasses import replace

from sweep.artifacts import Stage
from sweep.commands.words import plan_of
from sweep.config import TrackingConfig
from sweep.launchers.local import run
from sweep.launchers.plugins import register
from sweep.plan import Plan, Run


def main(n: str, seconds: str, workers: str, store: str) -> int:
    register()
    one, exec = plan_of((f"exec.store={store}", f"exec.n_workers={workers}", "exec.device=cpu"))
    stages = [Stage("dsyn", 1, {"number": i, "seconds": float(seconds)}) for i in range(int(n))]
    runs = tuple(Run(one.runs[0].leaf, stage) for stage in stages)
    asleep = Plan(runs, {stage.key: stage for stage in stages}, len(stages))
    return run(asleep, replace(exec, sweep_name="asleep"), TrackingConfig(name="jsonl"))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
