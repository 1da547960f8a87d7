"""python -m tests.benchmarks [--only NAME,...]: what is measured, beside whom, and whether it has become slower.

Rows are kept in outputs/bench/ as they end: the same command again goes on where it was stopped, and measures anew what
another commit measured. At the end they are compared with the last record of this machine kind in benchmarks/; where
none is slower beyond noise they take its place there, and BENCHMARKS.md is written from all records. Exit code 1 where
one is slower. What has no peer is measured by scripts of this folder, run by themselves (bench_*.py).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from . import peers
from .measuring import ROOT, one_thread
from .records import keep, kept, machine, regressions


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="names of rows, by commas; measured anew (default: all)")
    parser.add_argument("--quick", action="store_true", help="the smallest sizes, twice: that it works, not how fast")
    parser.add_argument("--accept", action="store_true", help="keep slower rows as the new record")
    parser.add_argument("--table", action="store_true", help="write the table from the records and measure nothing")
    parser.add_argument("--no-peers", action="store_true", help="leave out rows whose peer is to be installed")
    parser.add_argument("--records", type=Path, default=ROOT / "benchmarks", help="folder of the records")
    parser.add_argument("--page", type=Path, default=ROOT / "BENCHMARKS.md", help="the table")
    parser.add_argument("--progress", type=Path, default=ROOT / "outputs" / "bench", help="folder of what is under way")
    asked = parser.parse_args(words)
    os.environ.update(one_thread())  # before any library of arithmetic is loaded
    from . import registry, table
    from .running import run

    names = [name for name in asked.only.split(",") if name]
    if unknown := set(names) - {one.name for one in registry.BENCHMARKS}:
        parser.error(
            f"no row is named {', '.join(unknown)}; there are {', '.join(b.name for b in registry.BENCHMARKS)}"
        )
    chosen = [one for one in registry.BENCHMARKS if (not names or one.name in names) and not asked.table]
    if asked.no_peers:
        chosen = [one for one in chosen if not one.needs_peers]
    elif any(one.needs_peers for one in chosen):
        peers.install()
    name = f"{machine()['kind']}.json"
    rows = run(chosen, asked.progress / name, is_quick=asked.quick, is_fresh=bool(names))
    slower = regressions(kept(asked.records / name), rows)
    if slower and not asked.accept:
        print("slower than the last record, beyond noise:", *slower.values(), sep="\n  ", file=sys.stderr)
        return 1
    keep(asked.records / name, rows)
    asked.page.write_text(table.page(registry.BENCHMARKS, sorted(asked.records.glob("*.json"))), encoding="utf-8")
    print(f"{len(rows)} rows in {asked.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
