"""Planning 1,000 grid points: composition, checks, unique stages and their keys, as one command.

python tests/benchmarks/bench_plan.py            target: at most 10 s
Wall-clock time of the whole process, start-up included; the best of three rounds is shown.
"""

import json
import subprocess
import sys
import tempfile
import time

GRID = (
    "arm=sft,rft,dpo,step_dpo,sft_more,chosen_sft,random_step_dpo,rft_unverified",
    "n_problems=128,256,512,1024,2048",
    "seed=range(25)",
)
TARGET_S, N_ROUNDS = 10.0, 3


def main() -> None:
    seconds = []
    with tempfile.TemporaryDirectory() as store:
        for _ in range(N_ROUNDS):
            began = time.perf_counter()
            line = [sys.executable, "-m", "sweep", "plan", "-m", "--json", *GRID, f"exec.store={store}"]
            done = subprocess.run(line, check=True, capture_output=True, text=True)
            seconds.append(time.perf_counter() - began)
    counts = json.loads(done.stdout)
    print(f"plan of {counts['runs']} runs, {counts['stages']} stages: {min(seconds):.1f} s (target {TARGET_S:.0f} s)")


if __name__ == "__main__":
    main()
