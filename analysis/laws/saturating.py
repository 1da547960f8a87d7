"""The law that saturates at both ends: from the base model's error C (measured) down to a floor E.

y = E + (C - E) h,  h = 1 / (1 + exp(b (z - t))).  Given (b, t) it is linear in E in [0, C]: y - C h = E (1 - h).
A grid over (b, t) finds the basin of every draw, damped Gauss-Newton on (E, t, ln b) finishes there.

With n the compute of RL this is the sigmoid of ScaleRL (arXiv:2510.13786, Eq. 1) for the pass rate R = 1 - y,
R_C - R_0 = (A - R_0) / (1 + (C_mid / C)^B): A = 1 - E, R_0 = 1 - C as measured, B = b, C_mid the size n_half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analysis.laws.curves import Cells, Curves, Law, columns
from analysis.laws.descent import Model, agreement, descend
from sweep.terminal.progress import counted

SLOPES = np.geomspace(0.05, 6.0, 24)


@dataclass(frozen=True)
class Saturating(Law):
    """Values: floor E, excess C - E, ceiling C, slope b, midpoint t."""

    has_floor: ClassVar[bool] = True
    needs_ceiling: ClassVar[bool] = True
    names: ClassVar[tuple[str, ...]] = ("floor", "midpoint", "slope")

    def fit(self, cells: Cells) -> Curves:
        if cells.ceiling is None:
            raise ValueError(
                "law saturating needs the error at zero data (rows with size 0, the base model); "
                "add them or choose power_floor or sigmoid"
            )
        theta = _fit(cells.z, cells.errors, cells.weights, cells.ceiling)
        values = {
            "floor": theta[:, 0],
            "excess": cells.ceiling - theta[:, 0],
            "ceiling": np.full(len(theta), cells.ceiling),
            "slope": np.exp(theta[:, 2]),
            "midpoint": theta[:, 1],
        }
        return Curves(self, cells.ln_n_ref, values)

    def error_at(self, curves: Curves, z: np.ndarray) -> np.ndarray:
        floor, ceiling, slope, midpoint = columns(curves, "floor", "ceiling", "slope", "midpoint")
        with np.errstate(over="ignore"):
            return np.asarray(floor + (ceiling - floor) / (1.0 + np.exp(slope * (z - midpoint))))

    def z_at(self, curves: Curves, errors: np.ndarray) -> np.ndarray:
        floor, ceiling, slope, midpoint = columns(curves, "floor", "ceiling", "slope", "midpoint")
        share = (errors - floor) / (ceiling - errors)
        z = midpoint - np.log(np.where(share > 0, share, np.nan)) / slope
        return np.where(errors >= ceiling, -np.inf, z)

    def gradient(self, curves: Curves, z: np.ndarray) -> np.ndarray:
        floor, ceiling, slope, midpoint = columns(curves, "floor", "ceiling", "slope", "midpoint")
        d = z - midpoint
        share = 1.0 / (1.0 + np.exp(np.clip(slope * d, -500, 500)))
        bend = (ceiling - floor) * share * (1.0 - share)
        return np.stack([1.0 - share, slope * bend, -d * bend], axis=-1)

    def basins(self, cells: Cells, best: Curves) -> tuple[float, bool]:
        ceiling, y = float(best.values["ceiling"][0]), cells.errors[:1]
        return _basins(cells.z, y, cells.weights, ceiling)

    def named(self, curves: Curves) -> dict[str, np.ndarray]:
        half = np.exp(curves.ln_n_ref + curves.values["midpoint"])
        return {"b": curves.slope, "n_half": half, "floor": curves.floor}

    def bounds_hit(self, first: Curves) -> tuple[str, ...]:
        hit = ("floor=0",) if first.floor[0] <= 0 else ()
        return (*hit, f"b={SLOPES[-1]:g}") if first.slope[0] >= SLOPES[-1] * (1 - 1e-9) else hit


def midpoints(z: np.ndarray) -> np.ndarray:
    """(41,) t to start from, half as far again outside the sizes on either side."""
    span = z.max() - z.min()
    return np.linspace(z.min() - 1.5 * span, z.max() + 1.5 * span, 41)


def _scan(z: np.ndarray, y: np.ndarray, w: np.ndarray, ceiling: float) -> np.ndarray:
    """(n_draws, n_slopes, n_midpoints) objective with the best floor."""
    middles = midpoints(z)
    out = np.empty((len(y), len(SLOPES), len(middles)))
    for i, b in enumerate(SLOPES):
        h = 1.0 / (1.0 + np.exp(np.clip(b * (z[:, None] - middles), -500, 500)))
        r = 1.0 - h
        s_rr = (w[:, None] * r * r).sum(axis=0)
        s_ry = y @ (w[:, None] * r) - ceiling * (w[:, None] * r * h).sum(axis=0)
        floor = np.clip(s_ry / np.maximum(s_rr, 1e-300), 0.0, ceiling)
        s_yy = (y * y) @ w
        s_hy = y @ (w[:, None] * h)
        s_hh = (w[:, None] * h * h).sum(axis=0)
        base = s_yy[:, None] - 2 * ceiling * s_hy + ceiling**2 * s_hh
        out[:, i] = base - 2 * floor * s_ry + floor**2 * s_rr
    return out


def _fit(z: np.ndarray, y: np.ndarray, w: np.ndarray, ceiling: float) -> np.ndarray:
    """(n_draws, 3) E, t, ln b of each row of y (n_draws, n_sizes)."""
    starts = np.empty((len(y), 2))
    for first in counted(range(0, len(y), 500), "fits to 500 draws"):
        part = slice(first, first + 500)
        values = _scan(z, y[part], w, ceiling).reshape(len(y[part]), -1)
        i, j = np.unravel_index(values.argmin(axis=1), (len(SLOPES), len(midpoints(z))))
        starts[part] = np.stack([SLOPES[i], midpoints(z)[j]], axis=1)
    return _polish(starts, z, y, w, ceiling)


def _polish(starts: np.ndarray, z: np.ndarray, y: np.ndarray, w: np.ndarray, ceiling: float) -> np.ndarray:
    """(n_draws, 3) optima from starts (n_draws, 2) of b and t, each with its best floor."""
    h = 1.0 / (1.0 + np.exp(starts[:, :1] * (z - starts[:, 1:])))
    r = 1.0 - h
    floor = np.clip(((y - ceiling * h) * r * w).sum(axis=1) / np.maximum((r * r * w).sum(axis=1), 1e-300), 0, ceiling)
    low = np.array([0.0, z.min() - 12.0, np.log(1e-3)])
    high = np.array([ceiling, z.max() + 12.0, np.log(20.0)])
    theta = np.stack([floor, starts[:, 1], np.log(starts[:, 0])], axis=1)
    return descend(theta, _model(z, y, np.sqrt(w), ceiling), low, high)


def _model(z: np.ndarray, y: np.ndarray, root: np.ndarray, ceiling: float) -> Model:
    """Objective, weighted residuals and Jacobian by (E, t, ln b)."""

    def model(theta: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        floor, middle, slope = theta[:, 0, None], theta[:, 1, None], np.exp(theta[:, 2, None])
        h = 1.0 / (1.0 + np.exp(np.clip(slope * (z - middle), -500, 500)))
        residual = (y[rows] - floor - (ceiling - floor) * h) * root
        bend = (ceiling - floor) * h * (1.0 - h)
        jacobian = np.stack([1.0 - h, slope * bend, -slope * (z - middle) * bend], axis=-1) * root[:, None]
        return np.einsum("dk,dk->d", residual, residual), residual, jacobian

    return model


def _basins(z: np.ndarray, y: np.ndarray, w: np.ndarray, ceiling: float) -> tuple[float, bool]:
    """Of y (1, n_sizes): share of the grid of starts that flows to the best optimum, and whether a rival is near."""
    values = _scan(z, y, w, ceiling)[0]
    starts = np.array([(b, t) for b in SLOPES[::3] for t in midpoints(z)[::4]])
    many = np.repeat(y, len(starts), axis=0)
    theta = _polish(starts, z, many, w, ceiling)
    ends = _model(z, many, np.sqrt(w), ceiling)(theta, np.arange(len(theta)))[0]
    return agreement(ends, float(min(ends.min(), values.min())), np.exp(theta[:, 2]))
