"""The two-variable law: loss = E + A / N^alpha + B / D^beta, N parameters and D tokens (arXiv:2203.15556, Eq. 2).

N and D are divided by their geometric means, so that the two reducible terms are losses at a reference point. For
given exponents the rest is linear and non-negative (variable projection over a grid); the best starts are finished
by least squares to tight tolerances. `huber` is the published objective: Huber on ln predicted - ln observed with
delta 1e-3; `least_squares` works on the loss itself.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import least_squares

from analysis.intervals import interval
from analysis.laws.fit import FitStatus
from analysis.laws.surface import SurfaceFit, refuse_few
from analysis.notes import note
from sweep.terminal.progress import counted

Objective = Literal["huber", "least_squares"]
_EXPONENTS = np.geomspace(0.02, 2.5, 36)
N_POLISHED = 12
ESTIMATED = ("A", "B", "E", "alpha", "beta", "reducible_n_at_ref", "reducible_d_at_ref")


def fit_chinchilla(
    points: np.ndarray,
    *,
    objective: Objective = "huber",
    delta: float = 1e-3,
    n_draws: int = 0,
    seed: int = 0,
    level: float = 0.95,
    n_starts: int = N_POLISHED,
) -> SurfaceFit:
    """Fit the law to (n_points, 3) of N, D, loss; with n_draws, intervals by resampling the points.

    Raises:
        ValueError: fewer than 7 points, or an axis without 3 distinct values.
    """
    _refuse_few(points)
    u, v = np.log(points[:, 0]), np.log(points[:, 1])
    problem = _Problem(u - u.mean(), v - v.mean(), points[:, 2], objective, delta)
    refs = float(u.mean()), float(v.mean())
    rng = np.random.default_rng(seed)
    ends = [problem.polish(start) for start in counted(problem.starts(n_starts), "fits from many starts")]
    values = np.array([problem.value(end) for end in ends])
    best = ends[int(values.argmin())]
    tolerance = 1e-6 * values.min() + 1e-13
    rivals = _rivals(values, 10 * tolerance)
    bounds = tuple(name for name, value in zip(("E=0", "A=0", "B=0"), np.exp(best[:3]), strict=True) if value < 1e-8)
    drawn = _drawn(problem, best, refs, n_draws, rng)
    return SurfaceFit(
        law="chinchilla",
        params=_params(best, *refs),
        standard_errors={name: float(np.std(values, ddof=1)) for name, values in drawn.items()},
        intervals={name: interval(values, level) for name, values in drawn.items()},
        level=level,
        status=FitStatus.MULTIMODAL if rivals else FitStatus.AT_BOUND if bounds else FitStatus.CONVERGED,
        objective_name=f"Huber on ln loss, delta {delta:g}" if objective == "huber" else "least squares on the loss",
        objective=float(values.min()),
        n_starts=len(ends),
        frac_at_best=float(np.mean(values <= values.min() + tolerance)),
        gradient_norm=float(np.linalg.norm(problem.gradient(best))),
        bounds_hit=bounds,
        rivals=rivals,
        n_points=len(points),
        n_draws=n_draws,
        notes=(note("multimodal", f"{len(rivals)} other optima within 5 % of the best objective"),) if rivals else (),
    )


def predicted(found: SurfaceFit, n_params: np.ndarray, n_tokens: np.ndarray) -> np.ndarray:
    """(n_points,) loss of the fitted law."""
    p = found.params
    return np.asarray(p["E"] + p["A"] / n_params ** p["alpha"] + p["B"] / n_tokens ** p["beta"])


def _refuse_few(points: np.ndarray) -> None:
    refuse_few(points, {"n_params": 3, "n_tokens": 3})
    if len(points) < 7:
        raise ValueError(f"{len(points)} points for 5 parameters; 7 or more are needed")


def _rivals(values: np.ndarray, apart: float) -> tuple[float, ...]:
    """Objectives within 5 % of the least and further than `apart` from it, each once."""
    near = values[(values > values.min() + apart) & (values < 1.05 * values.min())]
    return tuple(sorted({round(float(x), 12) for x in near}))


def _drawn(
    problem: _Problem, best: np.ndarray, refs: tuple[float, float], n_draws: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Name -> (n_draws,) parameters of fits to resampled points, polished from the best fit; empty without draws."""
    drawn = []
    for _ in counted(range(n_draws), "fits to resampled points"):
        rows = rng.integers(0, len(problem.loss), len(problem.loss))
        again = _Problem(problem.u[rows], problem.v[rows], problem.loss[rows], problem.objective, problem.delta)
        drawn.append(_params(again.polish(best), *refs))
    return {name: np.array([one[name] for one in drawn]) for name in ESTIMATED} if drawn else {}


def _params(theta: np.ndarray, u_ref: float, v_ref: float) -> dict[str, float]:
    floor, part_n, part_d = np.exp(theta[:3])
    alpha, beta = theta[3:]
    return {
        "A": float(np.exp(theta[1] + alpha * u_ref)),
        "B": float(np.exp(theta[2] + beta * v_ref)),
        "E": float(floor),
        "alpha": float(alpha),
        "beta": float(beta),
        "reducible_n_at_ref": float(part_n),
        "reducible_d_at_ref": float(part_d),
        "n_params_ref": float(np.exp(u_ref)),
        "n_tokens_ref": float(np.exp(v_ref)),
    }


@dataclass(frozen=True, eq=False)
class _Problem:
    """The objective in theta = (ln E, ln A', ln B', a, b), u and v centred logs of N and D."""

    u: np.ndarray
    v: np.ndarray
    loss: np.ndarray
    objective: Objective
    delta: float

    def starts(self, n: int) -> list[np.ndarray]:
        """The best grid points of the projected least-squares objective, apart from each other."""
        found = []
        for a, b in itertools.product(_EXPONENTS, _EXPONENTS):
            basis = np.stack([np.ones_like(self.u), np.exp(-a * self.u), np.exp(-b * self.v)], axis=1)
            linear, value = _non_negative(basis, self.loss)
            found.append((value, np.array([*np.log(np.maximum(linear, 1e-6)), a, b])))
        found.sort(key=lambda one: one[0])
        spaced = found[: n // 2] + found[n // 2 :: max(1, len(found) // (n // 2))]
        return [theta for _, theta in spaced[:n]]

    def residual(self, theta: np.ndarray) -> np.ndarray:
        """(n_points,) residuals, scaled so that the objective is O(1)."""
        predicted = self._parts(theta).sum(axis=0)
        if self.objective == "huber":
            return (np.log(predicted) - np.log(self.loss)) / self.delta
        return (predicted - self.loss) / np.std(self.loss)

    def _parts(self, theta: np.ndarray) -> np.ndarray:
        """(3, n_points) E, A'/N'^a, B'/D'^b."""
        return np.exp(np.stack([theta[0] + 0 * self.u, theta[1] - theta[3] * self.u, theta[2] - theta[4] * self.v]))

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        """(n_points, 5) of `residual`."""
        floor, part_n, part_d = self._parts(theta)
        columns = np.stack([floor, part_n, part_d, -self.u * part_n, -self.v * part_d], axis=1)
        if self.objective == "huber":
            return columns / (floor + part_n + part_d)[:, None] / self.delta
        return columns / np.std(self.loss)

    def value(self, theta: np.ndarray) -> float:
        """Mean loss: half squares, and |r| - 1/2 beyond 1 for Huber."""
        r = np.abs(self.residual(theta))
        if self.objective == "huber":
            return float(np.where(r <= 1, 0.5 * r * r, r - 0.5).mean())
        return float(0.5 * np.square(r).mean())

    def gradient(self, theta: np.ndarray) -> np.ndarray:
        """(5,) of `value`."""
        r = self.residual(theta)
        score = np.clip(r, -1, 1) if self.objective == "huber" else r
        return self.jacobian(theta).T @ score / len(r)

    def polish(self, start: np.ndarray) -> np.ndarray:
        """Local optimum from a start: least squares first where Huber's flat sides would stall, tight tolerances."""
        limits = (np.array([-30.0, -30, -30, 1e-4, 1e-4]), np.array([10.0, 10, 10, 5, 5]))
        theta = np.clip(start, limits[0] + 1e-9, limits[1] - 1e-9)
        stages = (30.0, 5.0, 1.0) if self.objective == "huber" else (1.0,)
        for scale in stages:
            theta = least_squares(
                self.residual,
                theta,
                jac=self.jacobian,
                bounds=limits,
                loss="huber" if self.objective == "huber" else "linear",
                f_scale=scale,
                x_scale="jac",
                ftol=1e-15,
                xtol=1e-15,
                gtol=1e-15,
                max_nfev=2000 if scale == stages[-1] else 200,
            ).x
        return theta


def _non_negative(basis: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Best non-negative linear coefficients (3,) and their squared error, over the active sets."""
    gram, right = basis.T @ basis, basis.T @ y
    best, best_value = np.zeros(3), float(y @ y)
    for active in ((0, 1, 2), (0, 1), (0, 2), (1, 2), (0,), (1,), (2,)):
        part = list(active)
        try:
            values = np.linalg.solve(gram[np.ix_(part, part)], right[part])
        except np.linalg.LinAlgError:
            continue
        value = float(y @ y - values @ right[part])
        if np.all(values >= 0) and value < best_value:
            best, best_value = np.zeros(3), value
            best[part] = values
    return best, best_value
