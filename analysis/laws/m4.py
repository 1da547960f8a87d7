"""M4: a power law that bends towards chance, (y - E) / (C - y)^alpha = beta n^-b (arXiv:2209.06640, Eq. 4; b = -c).

E is the error with infinite data, C that of random guessing, alpha how the curve leaves it. With the share
w = (y - E) / (C - E) the law is

    w / (1 - w)^alpha = e^(-u),   u = b (z - t),   beta = (C - E)^(1 - alpha) e^(b (t + ln n_ref)).

alpha = 0 is the power law with a floor and alpha = 1 the sigmoid (sigmoid.py). In the logit x of w the left side is
ln w - alpha ln(1 - w), which rises with x by (1 - w) + alpha w: Newton solves it, and its derivatives are exact. Given
(alpha, b, t) the law is linear in E and C. A grid over the three finds a start for each alpha of every draw; damped
Gauss-Newton on all five finishes, and the best end counts. The authors fit logs of the excess by alternating steps;
here the error itself is fitted, as for every law of this package.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analysis.laws.curves import Cells, Curves, Law, columns
from analysis.laws.descent import Model, agreement, descend

ALPHA = (1e-3, 6.0)  # limits: below, C plays no part; above, w leaves 1 at once
TIMES = 10.0  # C is no more than this many times the largest error seen, nor than an error can be
_LN_B = (np.log(1e-3), np.log(20.0))
_ALPHAS = np.array([0.01, 0.4, 1.0, 2.5])
_SLOPES = np.geomspace(0.05, 6.0, 16)
_N_FIRST, _N_STEPS = 12, 120  # steps of every start, and of the better half of them


@dataclass(frozen=True)
class M4(Law):
    """Values: floor E, excess C - E, ceiling C, slope b, midpoint t, alpha."""

    has_floor: ClassVar[bool] = True
    names: ClassVar[tuple[str, ...]] = ("floor", "ceiling", "alpha", "midpoint", "slope")
    alphas: ClassVar[np.ndarray] = _ALPHAS
    alpha_limits: ClassVar[tuple[float, float]] = ALPHA

    def fit(self, cells: Cells) -> Curves:
        theta = np.empty((len(cells.errors), 5))
        for first in range(0, len(theta), 500):
            part = slice(first, first + 500)
            theta[part] = self._optima(cells.z, cells.errors[part], cells.weights, cells.top)
        values = {
            "floor": theta[:, 0],
            "excess": theta[:, 1] - theta[:, 0],
            "ceiling": theta[:, 1],
            "alpha": theta[:, 2],
            "midpoint": theta[:, 3],
            "slope": np.exp(theta[:, 4]),
        }
        return Curves(self, cells.ln_n_ref, values)

    def error_at(self, curves: Curves, z: np.ndarray) -> np.ndarray:
        floor, excess, alpha, midpoint, slope = columns(curves, "floor", "excess", "alpha", "midpoint", "slope")
        return np.asarray(floor + excess * _sigmoid(_logit(slope * (z - midpoint), alpha)))

    def z_at(self, curves: Curves, errors: np.ndarray) -> np.ndarray:
        floor, excess, alpha, midpoint, slope = columns(curves, "floor", "excess", "alpha", "midpoint", "slope")
        w = (errors - floor) / excess
        w = np.where(w > 0, w, np.nan)
        u = -np.log(w) + alpha * np.log1p(-np.minimum(w, 1.0))
        return np.where(w >= 1, -np.inf, midpoint + u / slope)

    def gradient(self, curves: Curves, z: np.ndarray) -> np.ndarray:
        theta = np.stack(
            [curves.values[name] for name in ("floor", "ceiling", "alpha", "midpoint")] + [np.log(curves.slope)], axis=1
        )
        by_ln_b = _model_at(theta, z)[1]
        by_ln_b[..., 4] /= curves.slope[:, None]
        return by_ln_b

    def basins(self, cells: Cells, best: Curves) -> tuple[float, bool]:
        y, (low, high) = cells.errors[:1], self._limits(cells.z, cells.errors[:1], cells.top)
        t_at, b_at = np.linspace(cells.z.min(), cells.z.max(), 5), _SLOPES[2::4]
        starts = np.array([(a, t, np.log(b)) for a, t, b in itertools.product(self.alphas, t_at, b_at)])
        many = np.repeat(y, len(starts), axis=0)
        theta = np.column_stack([_ends(starts, cells.z, many, cells.weights, high), starts])
        model = _model(cells.z, many, np.sqrt(cells.weights))
        theta = descend(theta, model, low, high, n_steps=3 * _N_STEPS, least_gain=1e-13, is_pruned=True)
        ends = model(theta, np.arange(len(theta)))[0]
        fitted = self.error_at(best, cells.z)[0]
        reached = float(cells.weights @ np.square(y[0] - fitted))
        return agreement(ends, min(float(ends.min()), reached), np.exp(theta[:, 4]))

    def named(self, curves: Curves) -> dict[str, np.ndarray]:
        half = np.exp(curves.ln_n_ref + self.z_at(curves, (curves.floor + curves.excess / 2)[:, None])[:, 0])
        ends = {"floor": curves.floor, "ceiling": curves.values["ceiling"]}
        return {"b": curves.slope, "alpha": curves.values["alpha"], "n_half": half, **ends}

    def derived(self, first: Curves) -> dict[str, float]:
        value = {name: float(values[0]) for name, values in first.values.items()}
        ln_u = value["slope"] * (value["midpoint"] + first.ln_n_ref)
        return {"ln_beta": float((1 - value["alpha"]) * np.log(max(value["excess"], 1e-300)) + ln_u)}

    def bounds_hit(self, first: Curves) -> tuple[str, ...]:
        value = {name: float(values[0]) for name, values in first.values.items()}
        hit = ["floor=0"] if value["floor"] <= 0 else []
        low, high = self.alpha_limits
        if low < high:
            hit += [f"alpha={end:g}" for end in self.alpha_limits if abs(value["alpha"] / end - 1) < 1e-9]
        return tuple(hit + [f"b={np.exp(end):g}" for end in _LN_B if abs(np.log(value["slope"]) - end) < 1e-9])

    def _limits(self, z: np.ndarray, y: np.ndarray, top: float) -> tuple[np.ndarray, np.ndarray]:
        """(n_draws, 5) least and largest (E, C, alpha, t, ln b) of each row."""
        most = np.minimum(top, TIMES * y.max(axis=1))
        one = np.ones(len(y))
        low = [0 * one, 0 * one, self.alpha_limits[0] * one, (z.min() - 12) * one, _LN_B[0] * one]
        high = [most, most, self.alpha_limits[1] * one, (z.max() + 12) * one, _LN_B[1] * one]
        return np.stack(low, axis=1), np.stack(high, axis=1)

    def _optima(self, z: np.ndarray, y: np.ndarray, w: np.ndarray, top: float) -> np.ndarray:
        """(n_draws, 5) best end of the starts, one an alpha of the grid, the worse half of them given up early."""
        low, high = self._limits(z, y, top)
        theta = np.stack([_start(alpha, z, y, w, high) for alpha in self.alphas])
        for n_kept, n_steps in ((len(theta), _N_FIRST), ((len(theta) + 1) // 2, _N_STEPS)):
            theta = _best(theta, z, y, w)[:n_kept]
            times = (n_kept, 1)
            model = _model(z, np.tile(y, times), np.sqrt(w))
            ends = descend(
                theta.reshape(-1, 5),
                model,
                np.tile(low, times),
                np.tile(high, times),
                n_steps=n_steps,
                least_gain=1e-9,
                is_pruned=True,
            )
            theta = ends.reshape(theta.shape)
        return np.asarray(_best(theta, z, y, w)[0])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -700, 700))))


def _logit(u: np.ndarray, alpha: np.ndarray | float) -> np.ndarray:
    """x with ln w - alpha ln(1 - w) = -u for w = 1 / (1 + e^-x), of the shapes' broadcast.

    The left side is concave in x for alpha < 1 and convex above, so Newton's steps stay on one side after the first.
    """
    u, alpha = np.broadcast_arrays(u, alpha)
    x = np.where(u >= 0, -u, -u / alpha)  # the two asymptotes
    for _ in range(60):
        w = _sigmoid(x)
        gap = -np.logaddexp(0.0, -x) + alpha * np.logaddexp(0.0, x) + u
        step = gap / (1.0 - w + alpha * w)
        x = x - step
        if np.all(np.abs(step) <= 1e-13 * (1.0 + np.abs(x))):
            break
    return x


def _model_at(theta: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n_draws, n_sizes) errors and their (..., 5) derivatives by (E, C, alpha, t, ln b)."""
    floor, ceiling, alpha, midpoint, slope = (column[:, None] for column in theta.T)
    slope = np.exp(slope)
    u = slope * (z - midpoint)
    x = _logit(u, alpha)
    w = _sigmoid(x)
    bend = (ceiling - floor) * w * (1.0 - w) / (1.0 - w + alpha * w)
    parts = [1.0 - w, w, -np.logaddexp(0.0, x) * bend, slope * bend, -u * bend]
    return floor + (ceiling - floor) * w, np.stack(parts, axis=-1)


def _model(z: np.ndarray, y: np.ndarray, root: np.ndarray) -> Model:
    """Objective, weighted residuals and Jacobian."""

    def model(theta: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        errors, jacobian = _model_at(theta, z)
        residual = (y[rows] - errors) * root
        return np.einsum("dk,dk->d", residual, residual), residual, jacobian * root[:, None]

    return model


def _best(theta: np.ndarray, z: np.ndarray, y: np.ndarray, w: np.ndarray) -> np.ndarray:
    """(n_starts, n_draws, 5) the starts of each draw from the best down."""
    values = np.stack([np.square(y - _model_at(one, z)[0]) @ w for one in theta])
    return np.take_along_axis(theta, np.argsort(values, axis=0, kind="stable")[..., None], axis=0)


def _start(alpha: float, z: np.ndarray, y: np.ndarray, w: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(n_draws, 5) best grid point of each row at one alpha, with its best ends."""
    span = z.max() - z.min()
    middles = np.linspace(z.min() - 1.5 * span, z.max() + 1.5 * span, 25)
    grid = np.array(list(itertools.product(_SLOPES, middles)))
    share = _sigmoid(_logit(grid[:, :1] * (z - grid[:, 1:]), alpha))
    best = _objectives(share, y, w, high[:, 1]).argmin(axis=1)
    rest = np.column_stack([np.full(len(y), alpha), grid[best, 1], np.log(grid[best, 0])])
    return np.column_stack([_ends(rest, z, y, w, high), rest])


def _ends(rest: np.ndarray, z: np.ndarray, y: np.ndarray, w: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(n_draws, 2) best E and C at (alpha, t, ln b) of each row."""
    alpha, midpoint, slope = rest[:, :1], rest[:, 1:2], np.exp(rest[:, 2:])
    share = _sigmoid(_logit(slope * (z - midpoint), alpha))
    sums = _sums(share, w)
    at = w * y
    return np.stack(_linear(*sums, (at * (1 - share)).sum(axis=1), (at * share).sum(axis=1), high[:, 1]), axis=1)


def _sums(share: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted sums of (1 - s)^2, s (1 - s) and s^2 over sizes, the last axis."""
    return np.square(1 - share) @ w, (share * (1 - share)) @ w, np.square(share) @ w


def _objectives(share: np.ndarray, y: np.ndarray, w: np.ndarray, most: np.ndarray) -> np.ndarray:
    """(n_draws, n_grid) squares with the best ends, for shares (n_grid, n_sizes)."""
    s_ff, s_fc, s_cc = _sums(share, w)
    s_fy, s_cy = y @ (w * (1 - share)).T, y @ (w * share).T
    floor, ceiling = _linear(s_ff, s_fc, s_cc, s_fy, s_cy, most[:, None])
    cross = 2 * (floor * ceiling * s_fc - floor * s_fy - ceiling * s_cy)
    return np.asarray(np.square(floor) * s_ff + np.square(ceiling) * s_cc + cross)


def _linear(
    s_ff: np.ndarray, s_fc: np.ndarray, s_cc: np.ndarray, s_fy: np.ndarray, s_cy: np.ndarray, most: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Best E >= 0 and C <= most of y = E (1 - s) + C s, from its sums."""
    determinant = np.maximum(s_ff * s_cc - s_fc * s_fc, 1e-12 * (s_ff + s_cc) ** 2 + 1e-300)
    ceiling = np.clip((s_ff * s_cy - s_fc * s_fy) / determinant, 0.0, most)
    floor = np.clip((s_fy - ceiling * s_fc) / np.maximum(s_ff, 1e-300), 0.0, most)
    ceiling = np.clip((s_cy - floor * s_fc) / np.maximum(s_cc, 1e-300), 0.0, most)
    return floor, ceiling
