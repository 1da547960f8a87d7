"""Noise of a table in replicates: everything drawn anew, so that cell means are judged by replicates alone.

A replicate has its own domain, base model, synthetic data, order and test problems. What its runs share (a lucky base,
hard test problems) moves all its cells together and is in its deviations, at each size by as much as it is there, so
the covariance of cell means is that of replicates over R, whatever grows or shrinks with size. With y[r, c] the mean
error of replicate r in cell c, p[c] their mean and u[r, c] = (y[r, c] - p[c]) / (p[c] (1 - p[c])), a draw is

    logit p*[c] = logit p[c] + s sum_r g[r] u[r, c] / sqrt(R (R - 1)),  g[r] normal, s^2 = (R - 1) / chi^2_{R - 1}

(of a loss: ln, and u in units of p), so every contrast of cells has Student's t interval on R - 1 degrees of freedom,
and all contrasts the same draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from analysis.notes import Note, note
from analysis.tables.table import Table

FEW = 5
EDGE = 1e-6  # errors have finite log-odds
ODD = 6.0  # robust standard deviations from the others beyond which one run is named


@dataclass(frozen=True, eq=False)
class Replicates:
    """Mean errors by replicate.

    Args:
        names: (n_replicates,) as in the table.
        errors: (n_replicates, n_cells), nan where a replicate has no run in the cell.
        is_loss: errors are losses, which have no upper end.
    """

    names: tuple[object, ...]
    errors: np.ndarray
    is_loss: bool = False

    @property
    def unit(self) -> np.ndarray:
        """(n_cells,) p (1 - p) held off 0, of a loss p: what noise is measured in."""
        p = np.nanmean(self.errors, axis=0)
        if self.is_loss:
            return p
        held = np.clip(p, 1e-4 / np.maximum(self.n_of_cell, 1), 1 - 1e-4 / np.maximum(self.n_of_cell, 1))
        return held * (1 - held)

    @property
    def n_of_cell(self) -> np.ndarray:
        """(n_cells,) replicates with a run in the cell."""
        return (~np.isnan(self.errors)).sum(axis=0)

    @property
    def deviations(self) -> np.ndarray:
        """(n_replicates, n_cells) u, 0 where there is no run."""
        return np.nan_to_num((self.errors - np.nanmean(self.errors, axis=0)) / self.unit)

    def covariance(self) -> np.ndarray:
        """(n_cells, n_cells) of the cell means, in units of error."""
        scaled = self._scaled() * self.unit
        return scaled.T @ scaled

    def draw(self, n_draws: int, rng: np.random.Generator) -> np.ndarray:
        """(n_draws, n_cells) cell means."""
        n = len(self.names)
        scale = np.sqrt((n - 1) / rng.chisquare(n - 1, size=(n_draws, 1)))
        return self._moved(scale * rng.standard_normal((n_draws, n)) @ self._scaled())

    def of_new(self, drawn: np.ndarray, n_new: int) -> np.ndarray:
        """Draws of the means of `n_new` further replicates, from draws of these: sqrt(1 + R/m) times as far from the
        means that were seen, on the scale on which they were drawn.
        """
        p = np.nanmean(self.errors, axis=0)
        out = np.log(drawn / p) if self.is_loss else logit(drawn) - logit(_inside(p))
        return self._moved(np.sqrt(1 + len(self.names) / n_new) * out)

    def _moved(self, by: np.ndarray) -> np.ndarray:
        return moved(np.nanmean(self.errors, axis=0), by, is_loss=self.is_loss)

    def _scaled(self) -> np.ndarray:
        n = self.n_of_cell
        return self.deviations / np.sqrt(n * (n - 1))


def moved(errors: np.ndarray, by: np.ndarray, *, is_loss: bool) -> np.ndarray:
    """Errors moved on the log-odds scale; losses on that of their logarithm."""
    return errors * np.exp(by) if is_loss else expit(logit(_inside(errors)) + by)


def _inside(p: np.ndarray) -> np.ndarray:
    return np.clip(p, EDGE, 1 - EDGE)


def units_of(table: Table, unit: str) -> Replicates:
    """Mean errors by the values of a column of the runs, "replicate" or "seed"."""
    names = tuple(sorted(set(table.runs[unit])))
    row = {name: k for k, name in enumerate(names)}
    sums, counts = np.zeros((2, len(names), len(table.cells)))
    places = (table.runs[unit].map(row).to_numpy(), table.cell_of_run)
    np.add.at(sums, places, table.runs["error"].to_numpy(float))
    np.add.at(counts, places, 1)
    with np.errstate(invalid="ignore"):
        errors = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return Replicates(names, errors, table.is_loss)


def replicates_of(table: Table) -> Replicates:
    """The table's mean errors by replicate.

    Raises:
        ValueError: a cell was run in one replicate alone, so that nothing tells of its noise.
    """
    found = units_of(table, "replicate")
    alone = [f"{c.arm} at {c.size:g}" for c, n in zip(table.cells.itertuples(), found.n_of_cell, strict=True) if n < 2]
    if alone:
        raise ValueError(
            f"{table.path}: {', '.join(alone)} {'was' if len(alone) == 1 else 'were'} run in one replicate alone, so "
            "nothing tells how replicates differ there; run the others, or leave the cell out with --where"
        )
    return found


def replicate_notes(table: Table, found: Replicates) -> tuple[Note, ...]:
    """How many replicates stand behind the intervals, which are not in every cell, and single odd runs."""
    n = len(found.names)
    text = f"intervals are over {n} replicates, each with a domain, base and test problems of its own"
    notes = [note("replicates", text if n >= FEW else f"{text}: with so few, Student's t is wide")]
    counts = zip(table.cells.itertuples(), found.n_of_cell, strict=True)
    missing = [f"{c.arm} at {c.size:g} has {k}" for c, k in counts if k < n]
    if missing:
        notes.append(note("missing_replicates", f"of {n} replicates {', '.join(missing)}"))
    return (*notes, *odd_runs(table, found, "replicate"))


def odd_runs(table: Table, found: Replicates, what: str) -> tuple[Note, ...]:
    """Cells of one replicate (or seed) far from where the rest of the replicate and of the cell put them."""
    trained = table.cells["x"].to_numpy() > 0
    u = np.where(np.isnan(found.errors), np.nan, found.deviations)[:, trained]
    if u.shape[0] < 3 or u.shape[1] < 3:
        return ()
    gap = u - np.nanmedian(u, axis=0)
    gap = gap - np.nanmedian(gap, axis=1, keepdims=True)
    of_cell = np.nanmedian(np.abs(gap), axis=0)
    spread = 1.4826 * np.maximum(of_cell, np.nanmedian(of_cell))  # noise may grow with size
    cells = table.cells[trained].reset_index(drop=True)
    out = []
    for r, c in np.argwhere(np.abs(np.nan_to_num(gap)) > ODD * np.maximum(spread, 1e-9)):
        others = np.nanmedian(np.delete(found.errors[:, trained][:, c], r))
        text = (
            f"{cells.arm[c]} at {cells['size'][c]:g}, {what} {found.names[r]}: error "
            f"{found.errors[:, trained][r, c]:.3f}, the others' middle is {others:.3f}; it is kept: look at that run"
        )
        out.append(note("odd_run", text))
    return tuple(out)
