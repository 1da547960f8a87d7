"""On PYTHONPATH of a sweep whose stages sleep: in its workers, what builds a `dsyn` stage waits as long as it says."""

import sys
import time
from pathlib import Path

if any("from sweep.launchers" in word for word in sys.orig_argv):
    sys.path.insert(0, str(Path(__file__).parents[3]))
    from sweep.artifacts import Cost
    from sweep.bench import Built
    from sweep.build import BUILDERS

    def asleep(stage, bench):  # type: ignore[no-untyped-def]
        time.sleep(stage.identity["seconds"])
        (bench.out / "slept.txt").write_text(f"{stage.identity['number']}\n", encoding="utf-8")
        return Built({"n_rows": 1}, Cost())

    BUILDERS["dsyn"] = asleep
