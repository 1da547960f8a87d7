"""The law that saturates at both ends: from the base model's error C (measured) down to a floor E.

y = E + (C - E) h,  h = 1 / (1 + exp(b (z - t))).  Given (b, t) it is linear in E in [0, C]: y - C h = E (1 - h).
A grid over (b, t) finds the basin of every draw, damped Gauss-Newton on (E, t, b) finishes there.
"""

from __future__ import annotations

import numpy as np

from analysis.laws.forms import Curves

_SLOPES = np.geomspace(0.05, 6.0, 24)
_STEPS = 40


def _midpoints(z: np.ndarray) -> np.ndarray:
    span = z.max() - z.min()
    return np.linspace(z.min() - 1.5 * span, z.max() + 1.5 * span, 41)


def _scan(z: np.ndarray, y: np.ndarray, w: np.ndarray, ceiling: float) -> np.ndarray:
    """(n_draws, n_slopes, n_midpoints) objective with the best floor."""
    middles = _midpoints(z)
    out = np.empty((len(y), len(_SLOPES), len(middles)))
    for i, b in enumerate(_SLOPES):
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


def fit(ln_n_ref: float, z: np.ndarray, y: np.ndarray, w: np.ndarray, ceiling: float) -> Curves:
    """Best curve of each row of y (n_draws, n_sizes)."""
    floor, middle, slope = np.empty(len(y)), np.empty(len(y)), np.empty(len(y))
    for start in range(0, len(y), 500):
        part = slice(start, start + 500)
        values = _scan(z, y[part], w, ceiling).reshape(len(y[part]), -1)
        i, j = np.unravel_index(values.argmin(axis=1), (len(_SLOPES), len(_midpoints(z))))
        slope[part], middle[part] = _SLOPES[i], _midpoints(z)[j]
    h = 1.0 / (1.0 + np.exp(slope[:, None] * (z - middle[:, None])))
    r = 1.0 - h
    floor = np.clip(((y - ceiling * h) * r * w).sum(axis=1) / np.maximum((r * r * w).sum(axis=1), 1e-300), 0, ceiling)
    theta = _polish(np.stack([floor, middle, np.log(slope)], axis=1), z, y, w, ceiling)
    return Curves(
        "saturating",
        float(ln_n_ref),
        theta[:, 0],
        ceiling - theta[:, 0],
        np.exp(theta[:, 2]),
        theta[:, 1],
        ceiling,
    )


def _polish(theta: np.ndarray, z: np.ndarray, y: np.ndarray, w: np.ndarray, ceiling: float) -> np.ndarray:
    """Damped Gauss-Newton on (E, t, ln b), all draws together; a step that does not help raises the damping."""
    damping, root = np.full(len(y), 1e-3), np.sqrt(w)
    limits = np.array([[0.0, z.min() - 12.0, np.log(1e-3)], [ceiling, z.max() + 12.0, np.log(20.0)]])
    value, residual, jacobian = _model(theta, z, y, root, ceiling)
    for _ in range(_STEPS):
        free = ~(
            ((theta[:, 0] <= 0) & (np.einsum("dk,dk->d", jacobian[:, :, 0], residual) < 0))
            | ((theta[:, 0] >= ceiling) & (np.einsum("dk,dk->d", jacobian[:, :, 0], residual) > 0))
        )
        jacobian[~free, :, 0] = 0.0
        normal = np.einsum("dki,dkj->dij", jacobian, jacobian)
        diagonal = np.einsum("dii->di", normal) + 1e-14
        step = np.linalg.solve(
            normal + damping[:, None, None] * diagonal[:, None, :] * np.eye(3) + 1e-18 * np.eye(3),
            np.einsum("dki,dk->di", jacobian, residual)[..., None],
        )[..., 0]
        trial = np.clip(theta + step, limits[0], limits[1])
        new_value, new_residual, new_jacobian = _model(trial, z, y, root, ceiling)
        is_better = new_value <= value
        change = np.where(is_better, value - new_value, 0.0)
        theta = np.where(is_better[:, None], trial, theta)
        residual = np.where(is_better[:, None], new_residual, residual)
        jacobian = np.where(is_better[:, None, None], new_jacobian, jacobian)
        value = np.where(is_better, new_value, value)
        damping = np.clip(np.where(is_better, damping / 8, damping * 8), 1e-15, 1e10)
        if np.all((change <= 1e-16 * value + 1e-30) & (is_better | (damping > 1e8))):
            break
    return theta


def _model(
    theta: np.ndarray, z: np.ndarray, y: np.ndarray, root: np.ndarray, ceiling: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Objective (D,), weighted residuals (D, K) and Jacobian (D, K, 3) by (E, t, ln b)."""
    floor, middle, slope = theta[:, 0, None], theta[:, 1, None], np.exp(theta[:, 2, None])
    h = 1.0 / (1.0 + np.exp(np.clip(slope * (z - middle), -500, 500)))
    residual = (y - floor - (ceiling - floor) * h) * root
    bend = (ceiling - floor) * h * (1.0 - h)
    jacobian = np.stack([1.0 - h, slope * bend, -slope * (z - middle) * bend], axis=-1) * root[:, None]
    return np.einsum("dk,dk->d", residual, residual), residual, jacobian


def basins(z: np.ndarray, y: np.ndarray, w: np.ndarray, ceiling: float) -> tuple[float, bool]:
    """Share of the grid of starts that flows to the best optimum, and whether a rival lies within 5 %."""
    values = _scan(z, y[None], w, ceiling)[0]
    starts = np.array([(b, t) for b in _SLOPES[::3] for t in _midpoints(z)[::4]])
    many = np.repeat(y[None], len(starts), axis=0)
    h = 1.0 / (1.0 + np.exp(starts[:, :1] * (z - starts[:, 1:])))
    r = 1.0 - h
    floor = np.clip(
        ((many - ceiling * h) * r * w).sum(axis=1) / np.maximum((r * r * w).sum(axis=1), 1e-300), 0, ceiling
    )
    theta = _polish(np.stack([floor, starts[:, 1], np.log(starts[:, 0])], axis=1), z, many, w, ceiling)
    ends = _model(theta, z, many, np.sqrt(w), ceiling)[0]
    best = min(ends.min(), values.min())
    at_best = ends <= best * (1 + 1e-6) + 1e-14
    spread = theta[at_best]
    is_flat = len(spread) > 1 and np.ptp(np.exp(spread[:, 2])) > 0.2 * np.exp(spread[:, 2]).mean()
    rivals = (ends > best * (1 + 1e-3) + 1e-12) & (ends < best * 1.05)
    return float(at_best.mean()), bool(rivals.mean() > 0.02 or is_flat)
