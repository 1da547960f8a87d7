"""Laws of two variables: what their fits say, and the tables they are fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from analysis.laws.fit import FitStatus
from analysis.notes import Note
from analysis.tables.delimited import check_csv
from analysis.tables.plain import parquet_frame
from sweep.terminal.words import nearest

MAX_DRAWS = 200  # each is a refit


@dataclass(frozen=True)
class SurfaceFit:
    """The law's parameters and what the optimiser can vouch for.

    Args:
        params: of chinchilla A, B, E, alpha, beta, and the reducible losses of N and D at (n_params_ref, n_tokens_ref);
            of learning_efficiency K_max, N_0 and ln L of each model at x_ref.
        standard_errors: of each but the reference point, over resampled points; empty without draws. Those of A and B
            are of a skewed distribution: their interval says more.
        intervals: name -> (low, high); empty without draws.
        objective: mean loss of the objective.
        frac_at_best: share of the starts that ended at the best objective.
        rivals: objectives of other optima within 5 % of the best.
    """

    law: str
    params: Mapping[str, float]
    standard_errors: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    level: float
    status: FitStatus
    objective_name: str
    objective: float
    n_starts: int
    frac_at_best: float
    gradient_norm: float
    bounds_hit: tuple[str, ...]
    rivals: tuple[float, ...]
    n_points: int
    n_draws: int
    notes: tuple[Note, ...]


def read_losses(path: str | Path, n_params: str, n_tokens: str, loss: str) -> np.ndarray:
    """(n_points, 3) parameters, tokens, loss, all positive.

    Raises:
        ValueError: a column is missing or holds a value that is not positive.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give a .csv or .parquet with {n_params}, {n_tokens} and {loss}")
    is_csv = path.suffix.lower() == ".csv"
    if is_csv:
        check_csv(path)
    try:
        frame = pd.read_csv(path) if is_csv else parquet_frame(path)
    except (ValueError, OSError, pa.ArrowException) as error:  # pandas' and pyarrow's do not name the file
        raise ValueError(f"{path}: not readable as a table ({error}); a .csv or .parquet was expected") from error
    for name in (n_params, n_tokens, loss):
        if name not in frame:
            raise ValueError(
                f"{path}: no column {name!r}{nearest(name, frame.columns)}; the columns are "
                f"{', '.join(frame.columns)}; name yours "
                "with --n-params, --n-tokens and --y"
            )
        values = pd.to_numeric(frame[name], errors="coerce")
        if not (values > 0).all():
            raise ValueError(
                f"{path}: {name} must be positive in every row, row {int(np.argmin(values > 0))} is "
                f"{frame[name].iloc[int(np.argmin(values > 0))]}; fill or drop these rows"
            )
    return frame[[n_params, n_tokens, loss]].to_numpy(float)


def refuse_few(points: np.ndarray, wanted: Mapping[str, int]) -> None:
    """Refuse points (n_points, 3) of too few distinct values; wanted is a number for n_params and, or, n_tokens."""
    for name, least in wanted.items():
        found = len(np.unique(points[:, ("n_params", "n_tokens").index(name)]))
        if found < least:
            raise ValueError(f"{name} has {found} distinct values, its exponent needs {least} or more")
