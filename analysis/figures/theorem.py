"""Distance between the policies of Theorem 6.1 against the number of pairs (arXiv:2406.14532, section 6)."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import TEXT_WIDTH, end_labels, log_error_axis, log_size_axis, new_figure, paper

LOOKS = {  # curve: colour, marker, line, name at its end
    "drawn by advantage": ("#D55E00", "D", "-", "per-step DPO,\ndrawn by advantage"),
    "regression": ("#0072B2", "s", "-", "advantage-weighted\nregression"),
    "between": ("#333333", "o", ":", "between the two"),
    "larger advantage": ("#7F7F7F", "v", "--", "per-step DPO,\nlarger advantage wins"),
}


def distance_against_n_pairs(curves: pd.DataFrame) -> Figure:
    """Total variation distance against pairs, both logarithmic, a curve a way to get a policy.

    Args:
        curves: columns curve, n_pairs, distance, low, high; finite n_pairs.
    """
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 2.7)
        axes = grid[0, 0]
        ends = []
        for name, of in curves.groupby("curve", sort=False):
            ends.append(_curve(axes, of.sort_values("n_pairs"), *LOOKS[str(name)]))
        log_size_axis(axes, curves["n_pairs"].to_numpy(float), "pairs (for regression: steps)", 12)
        log_error_axis(
            axes, curves["low"].min() / 1.1, min(1.0, curves["high"].max() * 1.1), "total variation distance"
        )
        end_labels(axes, ends, least_gap=0.14)
    return figure


def _curve(
    axes: Axes, of: pd.DataFrame, colour: str, marker: str, line: str, name: str
) -> tuple[float, float, str, str]:
    """Draw it with its band; where its label goes."""
    x = of["n_pairs"].to_numpy(float)
    axes.fill_between(x, of["low"].to_numpy(float), of["high"].to_numpy(float), color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, of["distance"], color=colour, marker=marker, linestyle=line, markersize=3.2, linewidth=1.2)
    return float(x[-1]), float(of["distance"].iloc[-1]), name, colour
