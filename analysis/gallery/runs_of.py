"""Where the table of a figure's runs lies, and where there is none, what would make it, as `sweep plan` tells.

The pipeline is asked by its command line, in a process of its own: analysis reads tables and imports nothing that runs.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.gallery.entries import FULL, QUICK, Runs

PROJECT = Path(__file__).parents[2]
SECONDS = PROJECT / "analysis/results/stage_seconds.csv"  # means of the study's stages on one of two CPU cores
OWN, RECORD = "outputs/{}/table", "analysis/results/{}"


def table_of(runs: Runs, given: Mapping[str, Path], scale: str = FULL) -> Path | None:
    """The folder with the table of these runs: the one given by name, else one's own, else the record's; None: nowhere.

    At scale=fresh one's own and not the record's, at scale=quick one's own of the small experiment and no other.

    Raises:
        ValueError: the folder that was given holds no such table.
    """
    if runs.name in given:
        if not (given[runs.name] / runs.table).is_file():
            raise ValueError(
                f"--table {runs.name}={given[runs.name]}: expected a folder with {runs.table}, which "
                f"`{runs.lines()[-1]}` writes"
            )
        return given[runs.name]
    names = (runs.quick,) if scale == QUICK else (runs.name, *runs.others)
    places = [Path(OWN.format(name)) for name in names]
    if scale == FULL:
        places += [PROJECT / RECORD.format(name) for name in names]
    return next((place for place in places if (place / runs.table).is_file()), None)


def planned(words: Sequence[str]) -> dict[str, Any]:
    """What `python -m sweep plan -m WORDS --json` says: counts, what is left to build, and the flow of data.

    Raises:
        ValueError: it could not be planned; what it said.
    """
    command = [sys.executable, "-m", "sweep", "plan", "-m", *words, "--json"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=Path.cwd())
    if done.returncode:
        raise ValueError(f"python -m sweep plan -m {' '.join(words)}: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def plan_text(plan: Mapping[str, Any]) -> str:
    """`120 runs = 411 stages, 411 to build; estimated 31 min on 2 workers`: by stages like them that were built
    here, and where there is none by those of the study."""
    said = f"{plan['runs']:,} runs = {plan['stages']:,} stages, {plan['to_build']:,} to build; "
    n_unknown, minutes = plan["n_without_estimate"], plan["seconds"] / plan["n_workers"] / 60
    if n_unknown == plan["to_build"] and n_unknown:
        return said + _by_the_record(plan)
    more = f", and {n_unknown} stages of which none like them was ever built here" if n_unknown else ""
    return said + f"estimated {minutes:.0f} min on {plan['n_workers']} workers{more}"


def _by_the_record(plan: Mapping[str, Any]) -> str:
    """The time at the mean seconds that a stage of each kind took in the study."""
    if not SECONDS.is_file() or plan["to_build"] != plan["stages"]:
        return "no estimate of the time: no stage like these was built here yet"
    with SECONDS.open(encoding="utf-8") as stream:
        seconds = {row["kind"]: float(row["seconds"]) for row in csv.DictReader(stream)}
    total = sum(n * seconds.get(kind, 0) for kind, n in plan["by_kind"].items())
    unknown = [kind for kind in plan["by_kind"] if kind not in seconds]
    more = f"; stages of the kind {', '.join(unknown)} not counted" if unknown else ""
    return (
        f"about {total / plan['n_workers'] / 60:.0f} min on {plan['n_workers']} CPU cores, if a stage takes "
        f"as long as one of its kind in the study{more}"
    )
