"""Reading a folder that `python -m sweep collect` wrote: counts of its runs, and outcomes that say the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from analysis.tables.outcomes import blocks, codes
from analysis.tables.pass_at import k_of, wrong_at_k
from analysis.tables.plain import costs
from analysis.tables.table import Columns, Table, table_from_runs
from analysis.tables.where import kept
from sweep.terminal.words import nearest

if TYPE_CHECKING:
    from sweep.table import Results

SWEEP_Y = {"greedy": ("n_correct", "n_test"), "sampled": ("n_correct_sampled", "n_sampled")}


def collected_table(path: Path, columns: Columns, is_unpaired: bool) -> Table:
    from sweep.table import n_malformed

    found, y = _sweep_at(path, columns)
    wanted = _wanted_runs(found.runs, columns.filters, path)
    size = wanted["n_problems"].astype(float)
    runs = wanted.assign(size=size, x=size, error=_errors(found, wanted, y))
    if (malformed := n_malformed(wanted)) is not None:
        runs["malformed"] = malformed / wanted["n_test"]
    unit = ["replicate", "seed"] if "replicate" in runs else ["seed"]
    told = [name for name in ("malformed", "entropy") if name in runs]
    runs = runs[["run", "arm", "size", "x", *unit, "error", "n_test", *told, *costs(runs.columns)]]
    known: dict[str, Any] = {"x_name": "n_problems", "y_name": f"{y} error"}
    known |= {"path": str(path), "provenance": found.provenance}
    if "replicate" in runs and runs["replicate"].nunique() > 1:  # each has its own test problems: counts are enough
        return table_from_runs(runs.drop(columns="run"), "counts", **known)
    outcomes = pa.Table.from_pandas(found.outcomes, preserve_index=False)
    if len(wanted) < len(found.runs):
        outcomes = outcomes.filter(pc.is_in(outcomes["run"], pa.array(wanted["run"])))
    run_codes, run_names = codes(outcomes["run"])
    places = pd.Index(runs["run"]).get_indexer(pd.Index(run_names))
    if (places < 0).any():
        raise ValueError(
            f"{path}: outcomes hold run {run_names[int(np.argmin(places))]!r} that runs.parquet does not; collect the "
            "table again"
        )
    problem_codes, problems = codes(outcomes["problem_id"])
    wrong = _wrong_share(outcomes, y)
    matrices, notes = blocks(places[run_codes], problem_codes, wrong, runs, problems, is_unpaired, str(path))
    known |= {"is_unpaired": len(matrices) > 1, "notes": tuple(notes)}
    return table_from_runs(runs.drop(columns="run"), "outcomes", matrices, **known)


def collected_outcomes(path: Path, columns: Columns) -> tuple[pd.DataFrame, Columns]:
    """Rows of (run, problem) of a sweep's folder that pass the filters, `is right` the share of attempts that were."""
    found, y = _sweep_at(path, columns)
    runs = _wanted_runs(found.runs, columns.filters, path)
    told = runs[[name for name in ("run", "arm", "n_problems", "seed", "replicate") if name in runs]]
    wrong = _wrong_share(pa.Table.from_pandas(found.outcomes, preserve_index=False), y)
    rows = found.outcomes[["run", "problem_id"]].assign(**{"is right": 1.0 - wrong})
    return rows.astype({"run": str}).merge(told.astype({"run": str}), on="run"), Columns(filters=columns.filters)


def _sweep_at(path: Path, columns: Columns) -> tuple[Results, str]:
    """A sweep's folder, its counts and outcomes saying the same, and which outcome is asked for."""
    from sweep.table import check_counts, read_table

    settled = (
        "arm",
        "x",
        "seed",
        "replicate",
        "y_is",
        "unit",
        "problem",
        "n_test",
        "stderr",
        "step",
        "sample",
        "format",
    )
    if said := columns.named(*settled):
        option, value = next(iter(said.items()))
        axis = "; another axis is --cost COLUMN" if option == "--x" else ""
        raise ValueError(
            f"{path}: {option} {value} is of other tables: in a folder that `sweep collect` wrote columns have one "
            f"meaning each; drop it{axis}"
        )
    found = read_table(path)
    y = columns.y or "greedy"
    if y not in SWEEP_Y and k_of(y) is None:
        like = nearest(y, SWEEP_Y)
        raise ValueError(f"{path}: y={y!r} is not kept by a sweep{like}; say --y greedy, --y sampled or --y pass@K")
    try:
        check_counts(found.runs, found.outcomes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return found, y


def _wanted_runs(runs: pd.DataFrame, filters: Mapping[str, str], path: Path) -> pd.DataFrame:
    """The runs that pass the filters, all on one split."""
    if filters:
        runs = kept(pa.Table.from_pandas(runs, preserve_index=False), filters, str(path)).to_pandas()
    if runs.empty:
        raise ValueError(f"{path}: no rows to read; collect the table again")
    splits = sorted(set(runs["split"]))
    if len(splits) > 1:
        raise ValueError(f"{path}: runs on {' and '.join(splits)} stand in one table; choose with --where split=test")
    return runs.reset_index(drop=True)


def _errors(found: Results, runs: pd.DataFrame, y: str) -> pd.Series[float]:
    """Of each run: of counts where they are enough, of each problem's where pass@k is asked for."""
    k = k_of(y)
    if k is None:
        n_correct, n_all = SWEEP_Y[y]
        return 1.0 - runs[n_correct] / runs[n_all]
    outcomes = found.outcomes
    wrong = wrong_at_k(outcomes["n_correct_sampled"].to_numpy(), outcomes["n_sampled"].to_numpy(), k)
    of_runs = pd.Series(wrong).groupby(outcomes["run"].astype(str).to_numpy()).mean()
    return runs["run"].astype(str).map(of_runs)


def _wrong_share(outcomes: pa.Table, y: str) -> np.ndarray:
    if y == "greedy":
        return 1.0 - outcomes["is_correct"].cast(pa.int8()).to_numpy().astype(np.float32)
    n_correct, n_sampled = outcomes["n_correct_sampled"].to_numpy(), outcomes["n_sampled"].to_numpy()
    k = k_of(y)
    return (1.0 - n_correct / n_sampled if k is None else wrong_at_k(n_correct, n_sampled, k)).astype(np.float32)
