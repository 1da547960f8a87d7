"""Reading a table: a folder written by `python -m sweep collect`, or anybody's CSV or Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from analysis.notes import Note, note
from analysis.table import COSTS, Block, Columns, Table, table_from_runs

SWEEP_Y = {"greedy": ("n_correct", "n_test"), "sampled": ("n_correct_sampled", "n_sampled")}


def read(path: str | Path, columns: Columns | None = None, *, is_unpaired: bool = False, x: str | None = None) -> Table:
    """The table at `path`, checked.

    Args:
        path: a folder with runs.parquet, outcomes.parquet and provenance.json, or one .csv or .parquet file.
        columns: names of the columns; for a sweep's folder `y` is "greedy" (default) or "sampled".
        is_unpaired: accept arms that were tested on different problems, and resample each arm's own.
        x: another axis for the same cells, for example total_seconds.
    Raises:
        ValueError: anything the analysis would otherwise have to guess.
    """
    path, columns = Path(path), columns or Columns()
    if path.is_dir():
        table = _read_sweep(path, columns, is_unpaired)
    elif path.suffix.lower() in (".csv", ".parquet", ".pq"):
        table = _read_file(path, columns, is_unpaired)
    elif not path.exists():
        raise ValueError(
            f"{path}: no such file or folder; give the folder that `python -m sweep collect` wrote, "
            "or a .csv or .parquet file"
        )
    else:
        raise ValueError(f"{path}: a folder, .csv or .parquet was expected, found {path.suffix or 'no suffix'!r}")
    return table.with_x(x) if x else table


def _read_sweep(path: Path, columns: Columns, is_unpaired: bool) -> Table:
    from sweep.results import read_table

    found = read_table(path)
    y = columns.y or "greedy"
    if y not in SWEEP_Y:
        raise ValueError(f"{path}: y={y!r} is not kept by a sweep; say --y greedy or --y sampled")
    kept = _wanted_runs(found.runs, columns.filters, path)
    n_correct, n_all = SWEEP_Y[y]
    costs = [f"{prefix}{cost}" for prefix in ("", "total_") for cost in COSTS]
    size = kept["n_problems"].astype(float)
    runs = kept.assign(size=size, x=size, error=1.0 - kept[n_correct] / kept[n_all])
    runs = runs[["run", "arm", "size", "x", "seed", "error", "n_test", *(c for c in costs if c in runs)]]
    outcomes = pa.Table.from_pandas(found.outcomes, preserve_index=False)
    if len(kept) < len(found.runs):
        outcomes = outcomes.filter(pc.is_in(outcomes["run"], pa.array(kept["run"])))
    run_codes, run_names = _codes(outcomes["run"])
    places = pd.Index(runs["run"]).get_indexer(pd.Index(run_names))
    if (places < 0).any():
        raise ValueError(
            f"{path}: outcomes hold run {run_names[int(np.argmin(places))]!r} that runs.parquet does not; collect the "
            "table again"
        )
    problem_codes, problems = _codes(outcomes["problem_id"])
    wrong = _wrong_share(outcomes, y)
    blocks, notes = _blocks(places[run_codes], problem_codes, wrong, runs, problems, is_unpaired, str(path))
    return table_from_runs(
        runs.drop(columns="run"),
        "outcomes",
        blocks,
        x_name="n_problems",
        y_name=f"{y} error",
        path=str(path),
        provenance=found.provenance,
        notes=tuple(notes),
    )


def _wanted_runs(runs: pd.DataFrame, filters: Mapping[str, str], path: Path) -> pd.DataFrame:
    """The runs that pass the filters, all on one split."""
    for name, value in filters.items():
        if name not in runs:
            raise ValueError(f"{path}: no column {name!r} to filter on; the columns are {', '.join(runs.columns)}")
        runs = runs[runs[name].astype(str) == value]
    if runs.empty:
        raise ValueError(f"{path}: no rows left to read; check the filters {dict(filters)}")
    splits = sorted(set(runs["split"]))
    if len(splits) > 1:
        raise ValueError(f"{path}: runs on {' and '.join(splits)} stand in one table; choose with --where split=test")
    return runs.reset_index(drop=True)


def _wrong_share(outcomes: pa.Table, y: str) -> np.ndarray:
    if y == "greedy":
        return 1.0 - outcomes["is_correct"].cast(pa.int8()).to_numpy().astype(np.float32)
    n_sampled = outcomes["n_sampled"].to_numpy()
    return (1.0 - outcomes["n_correct_sampled"].to_numpy() / n_sampled).astype(np.float32)


def _read_file(path: Path, columns: Columns, is_unpaired: bool) -> Table:
    data = _arrow(path, columns)
    have = data.column_names
    for name in (columns.arm, columns.x):
        if name not in have:
            raise ValueError(
                f"{path}: no column {name!r}; the columns are {', '.join(have)}; name yours with --arm, --x and --y"
            )
    y = columns.y or next((name for name in ("is_correct", "n_correct", "error") if name in have), None)
    if y is None or y not in have:
        raise ValueError(
            f"{path}: no outcome column {y or 'is_correct, n_correct or error'!r}; the columns are "
            f"{', '.join(have)}; name yours with --y"
        )
    if data[y].null_count:
        raise ValueError(f"{path}: {y} is missing in {data[y].null_count} of {len(data)} rows; fill or drop them")
    if columns.problem in have:
        return _from_outcomes(data, y, columns, is_unpaired, str(path))
    return _from_rows(data, y, columns, str(path))


def _arrow(path: Path, columns: Columns) -> pa.Table:
    """The file with text columns as dictionaries, which keeps ten million rows small."""
    if not path.exists():
        raise ValueError(f"{path}: no such file; give a .csv or .parquet file with a row a run or a row an outcome")
    text = [columns.arm, columns.problem]
    try:
        if path.suffix.lower() == ".csv":
            types = {name: pa.dictionary(pa.int32(), pa.string()) for name in text}
            data = pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(column_types=types))
        else:
            schema = pa.parquet.read_schema(path)
            text = [name for name in text if name in schema.names and pa.types.is_string(schema.field(name).type)]
            wanted = {
                columns.arm,
                columns.x,
                columns.seed,
                columns.problem,
                columns.n_test,
                columns.stderr,
                *columns.filters,
                *([columns.y] if columns.y else ("is_correct", "n_correct", "error")),
            }
            data = pa.parquet.read_table(
                path,
                read_dictionary=text,
                columns=None
                if columns.problem not in schema.names
                else [name for name in schema.names if name in wanted],
            )
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(
            f"{path}: not readable as a table ({error}); a .csv with a header line or a .parquet file was expected"
        ) from error
    for name, value in columns.filters.items():
        if name not in data.column_names:
            raise ValueError(f"{path}: no column {name!r} to filter on; the columns are {', '.join(data.column_names)}")
        data = data.filter(pc.equal(pc.cast(data[name], pa.string()), value))
    if not len(data):
        raise ValueError(f"{path}: no rows left to read; check the file and the filters {dict(columns.filters)}")
    return data


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, list[Any]]:
    """(n_rows,) integer code of each value, and the values."""
    if column.null_count:
        raise ValueError(f"{column.null_count} rows lack a value that identifies them; fill or drop these rows")
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.unify_dictionaries().combine_chunks() if whole.num_chunks != 1 else whole.chunk(0)
    encoded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()


def _from_outcomes(data: pa.Table, y: str, columns: Columns, is_unpaired: bool, path: str) -> Table:
    arm_codes, arms = _codes(data[columns.arm])
    size_codes, sizes = _codes(data[columns.x])
    seed_codes, seeds = (
        _codes(data[columns.seed]) if columns.seed in data.column_names else (np.zeros(len(data), dtype=np.int32), [0])
    )
    flat = (arm_codes.astype(np.int64) * len(sizes) + size_codes) * len(seeds) + seed_codes
    run_keys, run_of_row = _unique_small(flat, len(arms) * len(sizes) * len(seeds))
    runs = pd.DataFrame(
        {
            "arm": [str(arms[key // (len(sizes) * len(seeds))]) for key in run_keys],
            "size": [float(sizes[key // len(seeds) % len(sizes)]) for key in run_keys],
            "seed": [seeds[key % len(seeds)] for key in run_keys],
        }
    )
    wrong = _as_error(data[y], y, columns, path).astype(np.float32)
    problem_codes, problems = _codes(data[columns.problem])
    blocks, notes = _blocks(run_of_row, problem_codes, wrong, runs, problems, is_unpaired, path)
    n_test = np.bincount(run_of_row, minlength=len(runs))
    runs = runs.assign(
        x=runs["size"],
        n_test=n_test,
        error=np.bincount(run_of_row, weights=wrong, minlength=len(runs)) / n_test,
    )
    return table_from_runs(runs, "outcomes", blocks, x_name=columns.x, y_name="error", path=path, notes=tuple(notes))


def _unique_small(keys: np.ndarray, n_keys: int) -> tuple[np.ndarray, np.ndarray]:
    """np.unique with the inverse, without a sort where the keys are few."""
    if n_keys > 10_000_000:
        return np.unique(keys, return_inverse=True)
    is_there = np.bincount(keys, minlength=n_keys) > 0
    place = np.cumsum(is_there) - 1
    return np.flatnonzero(is_there), place[keys]


def _as_error(column: pa.ChunkedArray, y: str, columns: Columns, path: str) -> np.ndarray:
    """Outcomes as errors in [0, 1], by the names or options, never by their range."""
    try:
        values = column.cast(pa.int8() if pa.types.is_boolean(column.type) else pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: {y} holds text where 0/1, true/false or a number was expected ({error})") from error
    values = values / 100.0 if columns.unit == "percent" else values.astype(float)
    y_is = columns.y_is or {
        "is_correct": "accuracy",
        "n_correct": "accuracy",
        "error": "error",
        "accuracy": "accuracy",
    }.get(y)
    if y_is is None:
        raise ValueError(
            f"{path}: does {y!r} grow with right or with wrong answers? say --y-is accuracy or --y-is error"
        )
    return 1.0 - values if y_is == "accuracy" else values


def _from_rows(data: pa.Table, y: str, columns: Columns, path: str) -> Table:
    frame = data.to_pandas()
    is_counts = y == "n_correct" or (columns.n_test in frame and y.startswith("n_"))
    if is_counts and columns.n_test not in frame:
        raise ValueError(
            f"{path}: {y} needs a column {columns.n_test!r} with the number of test problems; name yours with --n-test"
        )
    size = pd.to_numeric(frame[columns.x], errors="coerce").astype(float)
    runs = pd.DataFrame(
        {
            "arm": frame[columns.arm].astype(str),
            "size": size,
            "x": size,
            "seed": frame.get(columns.seed, 0),
        }
    )
    if is_counts:
        n_test = frame[columns.n_test].astype(float)
        bad = (frame[y] < 0) | (frame[y] > n_test) | (n_test <= 0)
        if bad.any():
            raise ValueError(
                f"{path}: {y} must lie in 0..{columns.n_test} and {columns.n_test} above 0; "
                f"row {int(np.argmax(bad))} has {y}={frame[y][bad].iloc[0]} of {n_test[bad].iloc[0]:g}"
            )
        share = frame[y] / n_test
        runs = runs.assign(n_test=n_test, error=share if columns.y_is == "error" else 1.0 - share)
    else:
        runs = runs.assign(error=_as_error(data[y], y, columns, path))
        if columns.stderr:
            stderr = frame[columns.stderr].astype(float) / (100.0 if columns.unit == "percent" else 1.0)
            if not (stderr > 0).all():
                raise ValueError(f"{path}: {columns.stderr} must be positive in every row; drop it to use residuals")
            runs = runs.assign(stderr=stderr)
    costs = [name for name in frame if name.startswith("total_") or name in COSTS]
    runs = runs.assign(**{name: frame[name] for name in costs})
    return table_from_runs(runs, "counts" if is_counts else "errors", x_name=columns.x, path=path)


def _blocks(
    run_of_row: np.ndarray,
    problem_of_row: np.ndarray,
    wrong: np.ndarray,
    runs: pd.DataFrame,
    problems: Sequence[Any],
    is_unpaired: bool,
    path: str,
) -> tuple[tuple[Block, ...], list[Note]]:
    """One block where all runs saw the same problems, else one block an arm, on request.

    Raises:
        ValueError: a (run, problem) stands twice; runs of one arm, or of two arms unless asked, differ.
    """
    n_runs, n_problems = len(runs), len(problems)
    matrix = np.full(n_runs * n_problems, np.nan, dtype=np.float32)
    flat = run_of_row.astype(np.int64) * n_problems + problem_of_row
    matrix[flat] = wrong
    is_known = ~np.isnan(matrix)
    if int(is_known.sum()) < len(flat):
        _refuse_duplicates(flat, n_problems, runs, problems, path)
    is_known, matrix = is_known.reshape(n_runs, n_problems), matrix.reshape(n_runs, n_problems)
    if is_known.all():
        return (Block(np.arange(n_runs), matrix),), []
    arms = runs["arm"].to_numpy(str)
    blocks = []
    for arm in sorted(set(arms.tolist())):
        rows = np.flatnonzero(arms == arm)
        seen = is_known[rows]
        if not (seen == seen[0]).all():
            odd = rows[int(np.argmax((seen != seen[0]).any(axis=1)))]
            raise ValueError(
                f"{path}: the runs of arm {arm!r} were not tested on the same problems: size="
                f"{runs['size'][odd]:g} seed={runs['seed'][odd]} has {int(is_known[odd].sum())} of them, "
                f"size={runs['size'][rows[0]]:g} seed={runs['seed'][rows[0]]} has {int(seen[0].sum())}; "
                "evaluate every run on one test set"
            )
        blocks.append(Block(rows, np.ascontiguousarray(matrix[np.ix_(rows, np.flatnonzero(seen[0]))])))
    if not is_unpaired:
        sizes = ", ".join(f"{arms[block.rows[0]]} on {block.errors.shape[1]}" for block in blocks)
        raise ValueError(
            f"{path}: the arms were tested on different problems ({sizes}); paired intervals need one "
            "test set; say --unpaired to resample each arm's problems by themselves"
        )
    return tuple(blocks), [note("unpaired", "arms were tested on different problems: nothing cancels between them")]


def _refuse_duplicates(
    flat: np.ndarray, n_problems: int, runs: pd.DataFrame, problems: Sequence[Any], path: str
) -> None:
    values, counts = np.unique(flat, return_counts=True)
    first = int(values[np.argmax(counts > 1)])
    run = runs.iloc[first // n_problems]
    raise ValueError(
        f"{path}: {int((counts > 1).sum())} duplicate (arm, size, seed, problem) rows, the first "
        f"arm={run['arm']} size={run['size']:g} seed={run['seed']} problem={problems[first % n_problems]}; "
        "each outcome stands once: remove the repetitions, or name the column that tells them apart "
        "with --seed-column"
    )
