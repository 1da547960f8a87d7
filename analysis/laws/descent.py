"""Damped Gauss-Newton (Levenberg-Marquardt) within limits, on many data vectors at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# parameters (D, P) and rows (D,) of the data -> sum of squares (D,), residuals (D, K), Jacobian of the model (D, K, P)
Model = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def descend(
    theta: np.ndarray,
    model: Model,
    low: np.ndarray,
    high: np.ndarray,
    *,
    n_steps: int = 40,
    least_gain: float = 1e-16,
    is_pruned: bool = False,
) -> np.ndarray:
    """(D, P) parameters of least squares in reach of the starts; a step that does not help raises the damping.

    A parameter on a limit that its gradient points beyond is held there.

    Args:
        theta: (D, P) starts.  low, high: (P,) or (D, P).
        least_gain: share of the objective that a step must gain for its row to go on.
        is_pruned: a row that has come to rest is left alone while others go on.
    """
    theta, low, high = theta.copy(), np.broadcast_to(low, theta.shape), np.broadcast_to(high, theta.shape)
    rows = np.arange(len(theta))
    damping, (value, residual, jacobian) = np.full(len(theta), 1e-3), model(theta, rows)
    for _ in range(n_steps):
        trial = _trial(theta[rows], residual, jacobian, damping, low[rows], high[rows])
        new_value, new_residual, new_jacobian = model(trial, rows)
        is_better = new_value <= value
        change = np.where(is_better, value - new_value, 0.0)
        theta[rows] = np.where(is_better[:, None], trial, theta[rows])
        residual = np.where(is_better[:, None], new_residual, residual)
        jacobian = np.where(is_better[:, None, None], new_jacobian, jacobian)
        value = np.where(is_better, new_value, value)
        damping = np.clip(np.where(is_better, damping / 8, damping * 8), 1e-15, 1e10)
        going = (change > least_gain * value + 1e-30) | ~(is_better | (damping > 1e8))
        if not going.any():
            break
        if is_pruned:
            rows, value, damping, residual, jacobian = (
                one[going] for one in (rows, value, damping, residual, jacobian)
            )
    return theta


def _trial(
    theta: np.ndarray,
    residual: np.ndarray,
    jacobian: np.ndarray,
    damping: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> np.ndarray:
    """(D, P) where the damped step leads, within the limits; it leaves parameters that are held on one."""
    score = np.einsum("dki,dk->di", jacobian, residual)
    is_held = ((theta <= low) & (score < 0)) | ((theta >= high) & (score > 0))
    free = np.where(is_held[:, None, :], 0.0, jacobian)
    normal = np.einsum("dki,dkj->dij", free, free)
    diagonal = np.einsum("dii->di", normal) + 1e-14
    eye = np.eye(theta.shape[1])
    damped = normal + damping[:, None, None] * diagonal[:, None, :] * eye + 1e-18 * eye
    step = np.linalg.solve(damped, np.einsum("dki,dk->di", free, residual)[..., None])[..., 0]
    return np.clip(theta + step, low, high)


def agreement(values: np.ndarray, best: float, slope: np.ndarray) -> tuple[float, bool]:
    """What the ends of many starts say: the share at the best value, and whether that is one optimum.

    It is not one where a rival ends within 5 % of the best value, or the slopes of those at the best differ by more
    than a fifth: a flat valley.

    Args:
        values: (n_starts,) objectives reached.  slope: (n_starts,) b reached.
    """
    at_best = values <= best * (1 + 1e-6) + 1e-14
    spread = slope[at_best]
    is_flat = len(spread) > 1 and np.ptp(spread) > 0.2 * spread.mean()
    rivals = (values > best * (1 + 1e-3) + 1e-12) & (values < best * 1.05)
    return float(at_best.mean()), bool(rivals.mean() > 0.02 or is_flat)
