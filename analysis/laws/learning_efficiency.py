"""RL post-training by model size: ln L = -k(N) ln X + E(N), k(N) = K_max / (1 + N_0 / N) (arXiv:2509.25300, Eqs. 1-2).

L is the test error (1 - pass rate), N the model's parameters and X what it was trained with, compute or data. k, the
learning efficiency, saturates at K_max as models grow; E is free for each N. X is divided by its geometric mean, so
that E(N) stands where data are. Given N_0 the law is linear in K_max and the E(N): least squares on ln L over N_0
alone, scanned on a grid (the guard against local optima) and finished by Brent's method. For one model size the law
is `log_log`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from analysis.intervals import interval
from analysis.laws.fit import FitStatus
from analysis.laws.projection import basins_of
from analysis.laws.surface import SurfaceFit, refuse_few
from analysis.notes import note

N_GRID = 200
BEYOND = 1e3  # N_0 is sought within this factor of the models' sizes; past it k is constant, or straight in N


@dataclass(frozen=True, eq=False)
class _Points:
    """ln L (n_points,), ln X less its mean (n_points,), and the model of each point as a row of 0/1 (n_points, n_N)."""

    ln_loss: np.ndarray
    ln_x: np.ndarray
    ln_n: np.ndarray
    member: np.ndarray

    def linear(self, ln_n_0: float) -> tuple[float, np.ndarray, float]:
        """Best K_max >= 0 and E (n_N,) at an N_0, and the mean square of what they leave."""
        g = self.ln_x / (1.0 + np.exp(ln_n_0 - self.ln_n))
        counts = np.maximum(self.member.sum(axis=0), 1)
        g_mean, y_mean = self.member.T @ g / counts, self.member.T @ self.ln_loss / counts
        within_g, within_y = g - self.member @ g_mean, self.ln_loss - self.member @ y_mean
        k_max = max(0.0, float(-(within_g @ within_y) / max(float(within_g @ within_g), 1e-300)))
        rest = within_y + k_max * within_g
        return k_max, y_mean + k_max * g_mean, float(rest @ rest / len(rest))

    def best(self, grid: np.ndarray) -> tuple[float, np.ndarray]:
        """ln N_0 of least squares, and the objective over the grid."""
        values = np.array([self.linear(at)[2] for at in grid])
        near = int(values.argmin())
        low, high = grid[max(near - 1, 0)], grid[min(near + 1, len(grid) - 1)]
        end = minimize_scalar(lambda at: self.linear(at)[2], bounds=(low, high), options={"xatol": 1e-10})
        return float(end.x if end.fun < values[near] else grid[near]), values

    def drawn(self, rows: np.ndarray) -> _Points:
        return _Points(self.ln_loss[rows], self.ln_x[rows], self.ln_n[rows], self.member[rows])


def fit_learning_efficiency(points: np.ndarray, *, n_draws: int = 0, seed: int = 0, level: float = 0.95) -> SurfaceFit:
    """Fit the law to (n_points, 3) of N, X, L; with n_draws, intervals by resampling the points of each model.

    Raises:
        ValueError: fewer than 3 model sizes, or one with fewer than 3 values of X.
    """
    _refuse_thin(points)
    ln_x, sizes = np.log(points[:, 1]), np.unique(points[:, 0])
    x_ref = float(ln_x.mean())
    data = _Points(np.log(points[:, 2]), ln_x - x_ref, np.log(points[:, 0]), (points[:, :1] == sizes).astype(float))
    grid = np.linspace(np.log(sizes[0] / BEYOND), np.log(sizes[-1] * BEYOND), N_GRID)
    at, values = data.best(grid)
    share, is_multimodal = basins_of(values)
    is_at_end = min(at - grid[0], grid[-1] - at) < grid[1] - grid[0]
    params = _params(data, at, sizes, x_ref)
    status = FitStatus.MULTIMODAL if is_multimodal else FitStatus.AT_BOUND if is_at_end else FitStatus.CONVERGED
    if params["K_max"] <= 0:
        status = FitStatus.NOT_FALLING
    rng = np.random.default_rng(seed)
    drawn = [_drawn(data, grid, sizes, x_ref, rng) for _ in range(n_draws)]
    columns = {name: np.array([one[name] for one in drawn]) for name in params if drawn and name != "x_ref"}
    step = 1e-4
    return SurfaceFit(
        law="learning_efficiency",
        params=params,
        standard_errors={name: float(np.std(values, ddof=1)) for name, values in columns.items()},
        intervals={name: interval(values, level) for name, values in columns.items()},
        level=level,
        status=status,
        objective_name="least squares on ln loss",
        objective=data.linear(at)[2],
        n_starts=N_GRID,
        frac_at_best=share,
        gradient_norm=abs(data.linear(at + step)[2] - data.linear(at - step)[2]) / (2 * step),
        bounds_hit=("N_0 beyond the models' sizes",) if is_at_end else (),
        rivals=(),
        n_points=len(points),
        n_draws=n_draws,
        notes=(note("multimodal", "another N_0 fits within 5 % of the best objective"),) if is_multimodal else (),
    )


def predicted(found: SurfaceFit, n_params: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(n_points,) loss of the fitted models at X.

    Raises:
        KeyError: a model size that was not fitted; its E(N) is not known.
    """
    p = found.params
    k = p["K_max"] / (1.0 + p["N_0"] / n_params)
    level = np.array([p[_name(size)] for size in n_params])
    return np.asarray(np.exp(level - k * (np.log(x) - np.log(p["x_ref"]))))


def _refuse_thin(points: np.ndarray) -> None:
    refuse_few(points, {"n_params": 3})
    for size in np.unique(points[:, 0]):
        n = len(np.unique(points[points[:, 0] == size, 1]))
        if n < 3:
            raise ValueError(
                f"the model of {size:g} parameters has {n} values of n_tokens, its slope needs 3 or more; run more, "
                "or leave the model out"
            )


def _name(size: float) -> str:
    return f"E[{size:g}]"


def _params(data: _Points, at: float, sizes: np.ndarray, x_ref: float) -> dict[str, float]:
    k_max, level, _ = data.linear(at)
    named = {_name(size): float(value) for size, value in zip(sizes, level, strict=True)}
    return {"K_max": k_max, "N_0": float(np.exp(at)), **named, "x_ref": float(np.exp(x_ref))}


def _drawn(
    data: _Points, grid: np.ndarray, sizes: np.ndarray, x_ref: float, rng: np.random.Generator
) -> dict[str, float]:
    """The parameters of one resample, points drawn anew within each model."""
    of_model = [np.flatnonzero(one) for one in data.member.T]
    again = data.drawn(np.concatenate([rng.choice(rows, len(rows)) for rows in of_model]))
    return _params(again, again.best(grid[::4])[0], sizes, x_ref)
