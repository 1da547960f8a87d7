"""Scatter of cell means about a curve: what stands for noise where nothing else tells of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.laws.fit import fit_curves
from analysis.laws.forms import FORMS
from analysis.tables.table import Table

LAWS = ("power", "log_linear", "power_floor")


@dataclass(frozen=True, eq=False)
class Scatter:
    """What one arm's cells differ by from a fitted law.

    Args:
        residuals, leverages: (n_cells,).
        n_free: cells less the law's parameters.
    """

    law: str
    residuals: np.ndarray
    leverages: np.ndarray
    n_free: int


def scatter_about(law: str, table: Table, cells: np.ndarray, weights: np.ndarray) -> Scatter:
    """The scatter about one law, fitted with these weights (n_cells,)."""
    ln_n = np.log(table.cells["x"].to_numpy(float)[cells])
    y = table.cells["error"].to_numpy(float)[cells]
    curve = fit_curves(law, ln_n, y[None], weights, n_grid=200)
    jacobian = curve.gradient(ln_n)[0] * np.sqrt(weights)[:, None]
    leverages = np.square(np.linalg.qr(jacobian)[0]).sum(axis=1)
    residuals = y - curve.error_at(ln_n)[0]
    return Scatter(law, residuals, np.minimum(leverages, 0.98), len(cells) - FORMS[law].n_params)


def least_scatter(table: Table, cells: np.ndarray, weights: np.ndarray) -> Scatter:
    """The scatter about the law that leaves least a degree of freedom, of those the arm has the sizes for.

    Where there is a floor the residuals of a law without one are form error, and no noise.
    """
    ready = [law for law in LAWS if FORMS[law].n_sizes <= len(cells)]
    found = [scatter_about(law, table, cells, weights) for law in ready]
    return min(found, key=lambda one: float(weights @ np.square(one.residuals)) / one.n_free)
