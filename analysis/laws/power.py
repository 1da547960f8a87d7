"""Power laws, with and without a floor, and straight lines.

    power               y = a e^(-b z)
    power_floor         y = E + a e^(-b z)
    power_shared        y = a_k e^(-b z)          b shared by the arms
    power_floor_shared  y = E + a_k e^(-b z)      b and E shared
    log_log             ln y = ln a - b z         least squares on ln y, as published exponents are; also
                        log L = -k log X + E of RL post-training for one model size (arXiv:2509.25300), k its b
    log_linear          y = a - b z

`a` is the excess error over the floor at n_ref: a value at a reference size, which has a standard error worth
quoting, where A = a n_ref^b has not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analysis.laws.curves import Cells, Curves, Law, columns
from analysis.laws.projection import B_MAX, basins_of, best_slopes, project, scan, slope_grid

N_STARTS = 400


@dataclass(frozen=True)
class Power(Law):
    """y = a e^(-b z), by variable projection."""

    names: ClassVar[tuple[str, ...]] = ("excess", "slope")

    def fit(self, cells: Cells) -> Curves:
        one = np.ones((len(cells.z), 1))
        z, y, w = cells.z, cells.errors, cells.weights
        b = best_slopes(z, y, w, one, has_floor=self.has_floor, n_grid=cells.n_grid)
        best = project(b, z, y, w, one, has_floor=self.has_floor)
        return Curves(self, cells.ln_n_ref, {"floor": best.floor, "excess": best.excess[:, 0], "slope": b})

    def error_at(self, curves: Curves, z: np.ndarray) -> np.ndarray:
        excess, slope = columns(curves, "excess", "slope")
        return np.asarray(curves.floor[:, None] + excess * np.exp(-slope * z))

    def z_at(self, curves: Curves, errors: np.ndarray) -> np.ndarray:
        excess, slope = columns(curves, "excess", "slope")
        ratio = (errors - curves.floor[:, None]) / excess
        return np.asarray(-np.log(np.where(ratio > 0, ratio, np.nan)) / slope)

    def gradient(self, curves: Curves, z: np.ndarray) -> np.ndarray:
        excess, slope = columns(curves, "excess", "slope")
        g = np.exp(-slope * z)
        parts = [g, -excess * z * g]
        return np.stack([np.ones_like(g), *parts] if self.has_floor else parts, axis=-1)

    def basins(self, cells: Cells, best: Curves) -> tuple[float, bool]:
        grid = slope_grid(N_STARTS, has_floor=self.has_floor)
        one = np.ones((len(cells.z), 1))
        return basins_of(scan(grid, cells.z, cells.errors[0], cells.weights, one, has_floor=self.has_floor))

    def named(self, curves: Curves) -> dict[str, np.ndarray]:
        floor = {"floor": curves.floor} if self.has_floor else {}
        return {"b": curves.slope, "excess_at_ref" if self.has_floor else "error_at_ref": curves.excess, **floor}

    def derived(self, first: Curves) -> dict[str, float]:
        return {"ln_a": float(np.log(max(first.excess[0], 1e-300)) + first.slope[0] * first.ln_n_ref)}

    def bounds_hit(self, first: Curves) -> tuple[str, ...]:
        hit = ("floor=0",) if self.has_floor and first.floor[0] <= 0 else ()
        return (*hit, f"b={B_MAX:g}") if abs(first.slope[0]) >= B_MAX * (1 - 1e-9) else hit


@dataclass(frozen=True)
class PowerFloor(Power):
    """y = E + a e^(-b z), E >= 0."""

    has_floor: ClassVar[bool] = True
    names: ClassVar[tuple[str, ...]] = ("floor", "excess", "slope")


@dataclass(frozen=True)
class LogLog(Power):
    """A power law fitted as a straight line through ln y."""

    def fit(self, cells: Cells) -> Curves:
        level, slope = _line(cells.z, np.log(np.maximum(cells.errors, 1e-12)), cells.weights)
        return Curves(self, cells.ln_n_ref, {"excess": np.exp(level), "slope": slope})

    def basins(self, cells: Cells, best: Curves) -> tuple[float, bool]:
        return 1.0, False


@dataclass(frozen=True)
class LogLinear(Law):
    """y = a - b z."""

    names: ClassVar[tuple[str, ...]] = ("excess", "slope")

    def fit(self, cells: Cells) -> Curves:
        level, slope = _line(cells.z, cells.errors, cells.weights)
        return Curves(self, cells.ln_n_ref, {"excess": level, "slope": slope})

    def error_at(self, curves: Curves, z: np.ndarray) -> np.ndarray:
        excess, slope = columns(curves, "excess", "slope")
        return np.asarray(excess - slope * z)

    def z_at(self, curves: Curves, errors: np.ndarray) -> np.ndarray:
        excess, slope = columns(curves, "excess", "slope")
        return np.asarray((excess - errors) / slope)

    def gradient(self, curves: Curves, z: np.ndarray) -> np.ndarray:
        (slope,) = columns(curves, "slope")
        return np.stack([np.ones_like(z * slope), -z * np.ones_like(slope)], axis=-1)

    def named(self, curves: Curves) -> dict[str, np.ndarray]:
        return {"b": curves.slope, "error_at_ref": curves.excess}


def _line(z: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n_draws,) value at z = 0 and slope downwards of the weighted straight line through each row of y."""
    mean_z, mean_y = np.average(z, weights=w), y @ w / w.sum()
    centred = (z - mean_z) * w
    slope = -(y @ centred) / (centred @ (z - mean_z))
    return mean_y + slope * mean_z, slope
