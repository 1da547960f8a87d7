"""Rows of (run, problem) as a matrix, so that problems can be resampled for all runs at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.notes import Note, note
from analysis.tables.table import Block


def codes(column: pa.ChunkedArray) -> tuple[np.ndarray, list[Any]]:
    """(n_rows,) integer code of each value, and the values that occur (a dictionary may hold others)."""
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.unify_dictionaries().combine_chunks() if whole.num_chunks != 1 else whole.chunk(0)
    encoded = whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()
    numbers, values = encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()
    used, place = unique_small(numbers, len(values))
    return (numbers, values) if len(used) == len(values) else (place, [values[k] for k in used])


def unique_small(keys: np.ndarray, n_keys: int) -> tuple[np.ndarray, np.ndarray]:
    """np.unique with the inverse, without a sort where the keys are few."""
    if n_keys > 10_000_000:
        return np.unique(keys, return_inverse=True)
    is_there = np.bincount(keys, minlength=n_keys) > 0
    place = np.cumsum(is_there) - 1
    return np.flatnonzero(is_there), place[keys]


def blocks(
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
        ValueError: a (run, problem) appears twice; runs of one arm, or of two arms unless asked, differ.
    """
    n_runs, n_problems = len(runs), len(problems)
    matrix: np.ndarray = np.full(n_runs * n_problems, np.nan, dtype=np.float32)
    flat = run_of_row.astype(np.int64) * n_problems + problem_of_row
    matrix[flat] = wrong
    is_known = ~np.isnan(matrix)
    if int(is_known.sum()) < len(flat):
        _refuse_duplicates(flat, n_problems, runs, problems, path)
    is_known, matrix = is_known.reshape(n_runs, n_problems), matrix.reshape(n_runs, n_problems)
    if is_known.all():
        return (Block(np.arange(n_runs), matrix),), []
    arms = runs["arm"].to_numpy(str)
    found = tuple(
        _block_of(arm, np.flatnonzero(arms == arm), is_known, matrix, runs, path) for arm in sorted(set(arms.tolist()))
    )
    if not is_unpaired:
        sizes = ", ".join(f"{arms[block.rows[0]]} on {block.errors.shape[1]}" for block in found)
        raise ValueError(
            f"{path}: the arms were tested on different problems ({sizes}); paired intervals need one "
            "test set; say --unpaired to resample each arm's problems by themselves"
        )
    return found, [note("unpaired", "arms were tested on different problems: nothing cancels between them")]


def _block_of(
    arm: str, rows: np.ndarray, is_known: np.ndarray, matrix: np.ndarray, runs: pd.DataFrame, path: str
) -> Block:
    """The arm's runs (rows) on the problems that all of them saw, out of (n_runs, n_problems)."""
    seen = is_known[rows]
    if not (seen == seen[0]).all():
        odd = rows[int(np.argmax((seen != seen[0]).any(axis=1)))]
        raise ValueError(
            f"{path}: the runs of arm {arm!r} were not tested on the same problems: size="
            f"{runs['size'][odd]:g} seed={runs['seed'][odd]} has {int(is_known[odd].sum())} of them, "
            f"size={runs['size'][rows[0]]:g} seed={runs['seed'][rows[0]]} has {int(seen[0].sum())}; "
            "evaluate every run on one test set"
        )
    return Block(rows, np.ascontiguousarray(matrix[np.ix_(rows, np.flatnonzero(seen[0]))]))


def _refuse_duplicates(
    flat: np.ndarray, n_problems: int, runs: pd.DataFrame, problems: Sequence[Any], path: str
) -> None:
    values, counts = np.unique(flat, return_counts=True)
    first = int(values[np.argmax(counts > 1)])
    run = runs.iloc[first // n_problems]
    raise ValueError(
        f"{path}: {int((counts > 1).sum())} duplicate (arm, size, seed, problem) rows, the first "
        f"arm={run['arm']} size={run['size']:g} seed={run['seed']} problem={problems[first % n_problems]}; "
        "each outcome appears once: remove the repetitions, or name the column that tells them apart "
        "with --seed-column"
    )
