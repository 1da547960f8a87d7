"""python -m tests.benchmarks [NAME ...]: every bench_*.py of this folder, or those whose name holds a NAME.

Timings are benchmarks, not tests: each script prints its figures with the load of the machine, and says
what it is compared with. Coverage of the intervals (1,000 replications) takes long and is named last.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

LONG = ("coverage",)


def main(names: list[str]) -> int:
    """Run the scripts one after the other; the number of those that failed."""
    scripts = sorted(Path(__file__).parent.glob("bench_*.py"), key=lambda p: (any(w in p.stem for w in LONG), p.stem))
    chosen = [p for p in scripts if not names or any(name in p.stem for name in names)]
    failed = []
    for script in chosen:
        print(f"== {script.stem}  (load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)", flush=True)
        began = time.monotonic()
        done = subprocess.run([sys.executable, str(script)], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
        print(f"   {time.monotonic() - began:.0f} s, exit code {done.returncode}", flush=True)
        failed += [script.stem] if done.returncode else []
    if failed or not chosen:
        print(f"failed: {', '.join(failed)}" if failed else f"no benchmark is named {names}", file=sys.stderr)
    return len(failed) + (not chosen)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
