"""Error curves, and beside them each arm's difference from the baseline, which bands of two levels do not show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arms import look
from analysis.figures.curves import draw_errors
from analysis.figures.style import TEXT_WIDTH, end_labels, log_size_axis, new_figure, paper
from analysis.worth.comparison import Comparison
from analysis.worth.multiplier import Multiplier

LONG = 16  # letters of a name


def errors_and_differences(
    comparison: Comparison, baseline: str, shifts: Sequence[Multiplier], arms: Sequence[str], cells: pd.DataFrame
) -> Figure:
    """Left, error against size and each arm's shift (the paper's Figs. 2, 4, 5, 9, 11); right, at the sizes that an arm
    shares with the baseline, its error minus the baseline's with the interval of that difference.

    Args:
        arms: without the baseline.
        cells: columns arm, the table's axis, difference, difference_low, difference_high.
    """
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 3.1, 1, 2, width_ratios=(1.6, 1))
        draw_errors(grid[0, 0], comparison, baseline, shifts, [baseline, *arms], is_worth_alone=True)
        _differences(grid[0, 1], cells.dropna(subset=["difference"]), comparison, baseline, arms)
        for axes in grid[0]:
            axes.tick_params(axis="x", labelsize=7.5)  # nine sizes stand side by side
    return figure


def _differences(axes: Axes, cells: pd.DataFrame, comparison: Comparison, baseline: str, arms: Sequence[str]) -> None:
    looks, x_name = look(comparison.draws.table.arms), comparison.draws.table.x_name
    axes.axhline(0, color=looks[baseline][0], linewidth=1.0)
    ends = []
    for k, arm in enumerate(arms):
        of = cells[cells["arm"] == arm]
        colour, marker, is_control = looks[arm]
        x = of[x_name].to_numpy(float) * (1 + 0.07 * (k - (len(arms) - 1) / 2))  # side by side at one size
        value = of["difference"].to_numpy(float)
        ends += [(float(of[x_name].max()), float(value[-1]), _in_two_lines(arm), colour)] if len(of) else []
        limits = np.abs(of[["difference_low", "difference_high"]].to_numpy(float).T - value)
        axes.errorbar(
            x, value, yerr=limits, fmt=marker, color=colour, markersize=3.6, elinewidth=0.9, capsize=0,
            linestyle="--" if is_control else "-", linewidth=0.8, markerfacecolor="white" if is_control else colour,
        )  # fmt: skip
    if len(cells):
        log_size_axis(axes, cells[x_name].to_numpy(float), "the same size", 5)
    axes.set_ylabel(f"error minus {baseline}'s")
    end_labels(axes, ends, least_gap=0.11)


def _in_two_lines(name: str) -> str:
    """Broken where it has a comma; a long one without at its last blank."""
    if ", " in name:
        return name.replace(", ", ",\n", 1)
    return "\n".join(name.rsplit(" ", 1)) if len(name) > LONG else name
