"""Means over replicates with Student's interval, the same in every figure whose measurement is its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from analysis.intervals import student
from analysis.worth.words import error_text, interval_text

LEVEL = 0.95


def means(rows: pd.DataFrame, by: Sequence[str], value: str, level: float = LEVEL) -> pd.DataFrame:
    """A row a group of rows, one a replicate each: the group, mean, low, high and n_replicates."""
    found = [
        (*(key if isinstance(key, tuple) else (key,)), *student(of[value].to_numpy(float), level), len(of))
        for key, of in rows.groupby(list(by), sort=True)
    ]
    return pd.DataFrame(found, columns=[*by, "mean", "low", "high", "n_replicates"])


def against(rows: pd.DataFrame, by: Sequence[str], arm: str, other: str, column: str = "arm") -> pd.DataFrame:
    """One arm's values minus another's in the same group and replicate: the group, replicate and `difference`."""
    wide = rows.pivot_table(index=[*by, "replicate"], columns=column, values="value")
    return (wide[arm] - wide[other]).dropna().rename("difference").reset_index()


def ruled_above(bound: float, low: float, high: float) -> str:
    """Whether a value lies above a bound, by its limits; without limits (nan) nothing is decided."""
    return "held" if low > bound else "not held" if high < bound else "undecided"


def told(mean: float, low: float, high: float) -> str:
    """`-0.12 [-0.15, -0.09]`, or that one replicate has no interval."""
    limits = f" {interval_text(low, high, error_text)}" if math.isfinite(low) else " (one replicate, no interval)"
    return f"{error_text(mean)}{limits}"
