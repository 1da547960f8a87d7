"""`python -m sweep choose`: each arm's learning rate, by the rule of `sweep/tuning.py`."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sweep.arms import ARMS
from sweep.artifacts import Stage, Store
from sweep.commands.words import Line, plan_of
from sweep.config import Exp
from sweep.disk import write_atomically
from sweep.launchers.todo import refuse_corrupted
from sweep.places import check_writable
from sweep.plan import Run
from sweep.results import check_validation, point_of
from sweep.tracking import METRICS
from sweep.tuning import COLUMNS, Rate, Tried, as_rows, chosen_rates, judged

MARGIN = "train/log_ratio_margin"
TYPES = dict.fromkeys(("n_problems", "replicate", "n_correct", "n_test", "n_malformed"), "int64") | {
    "arm": "str", "rate": "float64", "entropy": "float64", "margin": "float64",
}  # fmt: skip


def choose_rates(line: Line) -> int:
    """Print every rate with its results, the chosen ones marked, and the lines of a model's `rates:`."""
    out = Path(line.options.out) if line.options.out else None
    if out is not None:
        _check_out(out)
    tried = [run for name in line.names for run in read_tried(Path(name))]
    if line.overrides or not line.names:
        the_plan, exec = plan_of(line.overrides, line.files)
        store = Store(exec.store)
        refuse_corrupted(the_plan, store, "no rate is chosen by these:")
        tried += [_tried(run, store) for run in the_plan.runs]
    rates = judged(tried)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out, pd.DataFrame(as_rows(tried), columns=COLUMNS).to_csv(index=False))
    if line.options.json:
        print(json.dumps(entries(rates, {run.replicate for run in tried}), indent=1))
        return 0
    print(_shown(rates).to_string(index=False))
    print("\nrates:")
    words = {arm.name: arm.word for arm in ARMS}
    for arm, by_size in chosen_rates(rates).items():
        print(f"  {words.get(arm, arm)}: {{{', '.join(f'{n}: {rate:.3g}' for n, rate in by_size.items())}}}")
    return 0


def entries(rates: Sequence[Rate], replicates: Collection[int]) -> list[dict[str, object]]:
    """What conf/tuning.json says of these choices, an entry an arm."""
    out: list[dict[str, object]] = []
    for arm, chosen in chosen_rates(rates).items():
        cells = {n: [one for one in rates if (one.arm, one.n_problems) == (arm, n)] for n in chosen}
        told = "; ".join(
            f"at {n} problems {chosen[n]:g} of {', '.join(f'{one.rate:g}: {one.n_correct}' for one in of_size)} correct"
            for n, of_size in cells.items()
        )
        n_test = next(iter(cells.values()))[0].n_test
        out.append({
            "what": f"{arm}: learning rate",
            "on": f"{n_test:,} validation problems of replicates {', '.join(map(str, sorted(replicates)))} "
            "(not in the study), greedy answers counted",
            "n_configurations": len(next(iter(cells.values()))),
            "chosen": told,
        })  # fmt: skip
    return out


def read_tried(path: Path) -> list[Tried]:
    """The validation runs of a file that --out wrote; ValueError where it is none."""
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "is not there"
        raise ValueError(f"{path} {found}: expected a .csv file as `choose --out` writes it; name each file")
    try:
        table = pd.read_csv(path, dtype=TYPES)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path}: expected validation runs as `choose --out` writes them ({error})") from error
    if tuple(table) != COLUMNS:
        raise ValueError(f"{path}: expected the columns {', '.join(COLUMNS)}; found {', '.join(map(str, table))}")
    _refuse_impossible(table, path)
    return [Tried(**{k: None if pd.isna(v) else v for k, v in row.items()}) for row in table.to_dict("records")]  # type: ignore[arg-type]


def _refuse_impossible(table: pd.DataFrame, path: Path) -> None:
    counts, numbers = table[["n_correct", "n_malformed"]], table[["rate", "entropy"]]
    is_counted = counts.ge(0).all(axis=1) & counts.le(table.n_test, axis=0).all(axis=1) & table.n_test.gt(0)
    is_possible = is_counted & table.rate.gt(0) & numbers.abs().lt(np.inf).all(axis=1)
    if not is_possible.all():
        odd = table[~is_possible].iloc[0]
        raise ValueError(
            f"{path}: expected counts of 0 to n_test, a rate above 0 and a finite entropy; row {odd.name} has "
            + ", ".join(f"{name}={odd[name]}" for name in COLUMNS)
        )


def _check_out(out: Path) -> None:
    """Refuse a place before any work: it cannot be written, or another's file is there."""
    check_writable(out.parent, "--out")
    if os.path.lexists(out) and not (out.is_file() and out.read_bytes().startswith(",".join(COLUMNS).encode())):
        raise ValueError(
            f"--out {out}: what is there was not written by `choose`: it is not replaced; name another file"
        )


def _tried(run: Run, store: Store) -> Tried:
    facts = check_validation(run.evaluate, store).facts
    policy = run.evaluate.parents["policy"]
    return Tried(
        point_of(run.evaluate)["arm"], run.leaf.exp.n_problems, _rate(run.leaf.exp, policy), run.leaf.exp.replicate,
        facts["n_correct"], facts["n_test"], facts["n_malformed"], facts["entropy"], _margin(policy, store),
    )  # fmt: skip


def _rate(exp: Exp, policy: Stage) -> float:
    return exp.sft.lr if policy.kind == "sft" else exp.method.optim.lr


def _margin(policy: Stage, store: Store) -> float | None:
    """The last batch's log-ratio margin; None where the policy is not trained on pairs."""
    lines = store.read(policy.key, METRICS).decode().splitlines()
    said = [float(row[MARGIN]) for row in map(json.loads, lines) if MARGIN in row]
    return said[-1] if said else None


def _shown(rates: Sequence[Rate]) -> pd.DataFrame:
    def mark(one: Rate) -> str:
        return ("chosen, at the end of its grid" if one.is_at_end else "chosen") if one.is_chosen else ""

    rows: Iterable[dict[str, object]] = (
        {
            "arm": one.arm, "n_problems": one.n_problems, "rate": f"{one.rate:g}",
            "right": f"{one.n_correct} of {one.n_test}", "by replicate": " ".join(map(str, one.by_replicate)),
            "malformed": f"{one.malformed:.3f}", "entropy": f"{one.entropy:.2f}",
            "margin": "" if one.margin is None else f"{one.margin:.1f}", "": mark(one),
        }
        for one in rates
    )  # fmt: skip
    return pd.DataFrame(list(rows))
