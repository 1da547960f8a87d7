"""Figures that question the fit: m(e) with its bands, residuals, held-out errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from analysis.arms import look
from analysis.figures.style import (
    COLUMN_WIDTH,
    TEXT_WIDTH,
    log_size_axis,
    new_figure,
    paper,
    points,
    tested,
    worth_axis,
)
from analysis.held_out import Validation
from analysis.worth.comparison import Comparison
from analysis.worth.shape import MultiplierCurve

_LAW_LOOKS = {
    "power": ("#0072B2", "o"),
    "power_floor": ("#D55E00", "D"),
    "log_linear": ("#009E73", "^"),
    "saturating": ("#CC79A7", "s"),
    "sigmoid": ("#56B4E9", "v"),
    "m4": ("#E69F00", "P"),
}


def multiplier_against_error(comparison: Comparison, curves: Sequence[MultiplierCurve]) -> Figure:
    """m(e) over each overlap with both bands, and where it was read (no counterpart in the paper)."""
    looks = look(comparison.draws.table.arms)
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 2.7, 1, len(curves), sharey=True)
        finite = [1.0]
        for axes, curve in zip(grid[0], curves, strict=True):
            colour = looks[curve.arm][0]
            wide = np.clip(np.nan_to_num(curve.simultaneous, posinf=1e9), 1e-9, 1e9)
            near = np.clip(np.nan_to_num(curve.pointwise, posinf=1e9), 1e-9, 1e9)
            axes.fill_between(curve.errors, wide[:, 0], wide[:, 1], color=colour, alpha=0.14, linewidth=0)
            axes.fill_between(curve.errors, near[:, 0], near[:, 1], color=colour, alpha=0.26, linewidth=0)
            axes.plot(curve.errors, curve.values, color=colour)
            axes.axhline(1.0, color="#444444", linewidth=0.8)
            axes.set_title(f"{curve.arm} over {curve.baseline}", loc="left", color="#444444")
            axes.set_xlabel(tested(comparison.draws.table.y_name))
            axes.invert_xaxis()
            shown = np.concatenate([curve.values, curve.pointwise.ravel()])
            finite += [value for value in shown if np.isfinite(value) and 1 / 64 < value < 4096]
        worth_axis(grid[0, 0], min(finite) / 1.3, max(finite) * 1.3, "multiplier m(e)")
    return figure


def residuals(comparison: Comparison, baseline: str, arms: Sequence[str]) -> Figure:
    """Residuals of each arm's law in standard errors of the cell, against size."""
    looks = look(comparison.draws.table.arms)
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 2.4)
        axes = grid[0, 0]
        axes.axhspan(-1, 1, color="#EEEEEE", linewidth=0, zorder=0)
        axes.axhline(0, color="#444444", linewidth=0.8)
        largest, sizes = 2.2, np.empty(0)
        for k, arm in enumerate(arms):
            fit = comparison.fit(arm, comparison.law_of(arm, baseline))
            z = (fit.observed - fit.fitted) / fit.stderr
            colour = looks[arm][0]
            shift = 1.0 + 0.03 * (k - (len(arms) - 1) / 2)
            x = np.exp(fit.ln_n)
            points(axes, x * shift, z, looks[arm], arm)
            axes.vlines(x * shift, 0, z, color=colour, linewidth=0.7, alpha=0.6)
            largest, sizes = max(largest, np.abs(z).max() * 1.1), np.concatenate([sizes, x])
        log_size_axis(axes, sizes, comparison.draws.table.x_name)
        axes.set_ylim(-largest, largest)
        axes.set_ylabel("residual / se")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, handletextpad=0.2, columnspacing=1.4)
    return figure


def held_out_errors(validation: Validation) -> Figure:
    """Log error of held-out predictions against how far they reach beyond the fitted sizes, one colour a law."""
    with paper():
        figure, grid = new_figure(COLUMN_WIDTH * 1.45, 2.6)
        axes = grid[0, 0]
        axes.axhline(0, color="#444444", linewidth=0.8)
        for k, score in enumerate(validation.scores):
            colour, marker = _LAW_LOOKS.get(score.law, ("#7F7F7F", "o"))
            mine = [one for one in validation.predictions if one.law == score.law]
            logs = np.array([np.log(max(one.predicted, 1e-12) / max(one.observed, 1e-12)) for one in mine])
            at = np.array([one.distance for one in mine]) + 0.03 * (k - (len(validation.scores) - 1) / 2)
            axes.plot(
                at,
                np.clip(logs, -1.5, 1.5),
                linestyle="none",
                marker=marker,
                color=colour,
                alpha=0.8,
                markersize=3.8,
                label=f"{score.law}, RMSLE {score.shared.rmsle:.3f}",
            )
        axes.set_xlim(0, max(one.distance for one in validation.predictions) + 0.3)
        axes.set_xlabel("distance beyond the fitted sizes (ln n)")
        axes.set_ylabel("ln predicted − ln observed")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, handletextpad=0.2, columnspacing=1.2)
    return figure
