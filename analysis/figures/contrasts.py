"""Error curves, and beside them each arm's difference from the baseline, which bands of two levels do not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.arms import look
from analysis.figures.curves import beside_each_other, draw_errors
from analysis.figures.style import TEXT_WIDTH, end_labels, in_legend, log_size_axis, new_figure, paper
from analysis.worth.comparison import Comparison
from analysis.worth.multiplier import Multiplier
from analysis.worth.words import multiplier_text

LONG = 16  # letters of a name
IN_A_ROW = 4  # entries of the legend


def errors_and_differences(
    comparison: Comparison, baseline: str, shifts: Sequence[Multiplier], arms: Sequence[str], cells: pd.DataFrame,
    names: Mapping[str, str] | None = None,
) -> Figure:  # fmt: skip
    """Left, error against size and each arm's shift (the paper's Figs. 2, 4, 5, 9, 11); right, at the sizes that an arm
    shares with the baseline, its error minus the baseline's with the interval of that difference. A legend above both
    has each arm's mark and worth.

    Args:
        arms: without the baseline.
        cells: columns arm, the table's axis, difference, difference_low, difference_high.
        names: of arms that are called otherwise in the picture.
    """
    shown = {arm: (names or {}).get(arm, arm) for arm in (baseline, *arms)}
    with paper():
        rows = -(-(1 + len(arms)) // IN_A_ROW)
        figure, grid = new_figure(TEXT_WIDTH, 3.1 + 0.17 * rows, 1, 2, width_ratios=(1.6, 1))
        draw_errors(grid[0, 0], comparison, baseline, shifts, [baseline, *arms], has_names=False)
        _differences(grid[0, 1], cells.dropna(subset=["difference"]), comparison, baseline, arms, shown)
        _legend(figure, comparison, shifts, shown)
        for axes in grid[0]:
            axes.tick_params(axis="x", labelsize=7)  # nine sizes stand side by side
    return figure


def _legend(figure: Figure, comparison: Comparison, shifts: Sequence[Multiplier], shown: Mapping[str, str]) -> None:
    """An arm's mark, name and worth each, above the panels."""
    looks, worth = look(comparison.draws.table.arms), {one.arm: one for one in shifts}
    handles = []
    for arm, name in shown.items():
        colour, marker, is_control = looks[arm]
        said = f"{name} {multiplier_text(worth[arm], with_interval=False)}" if arm in worth else name
        handles.append(
            Line2D([], [], color=colour, marker=marker, linestyle="--" if is_control else "-", label=in_legend(said),
                   markerfacecolor="white" if is_control else colour)
        )  # fmt: skip
    figure.legend(handles=handles, loc="outside upper left", ncols=IN_A_ROW, handletextpad=0.5, columnspacing=1.4)


def _differences(
    axes: Axes, cells: pd.DataFrame, comparison: Comparison, baseline: str, arms: Sequence[str],
    shown: Mapping[str, str],
) -> None:  # fmt: skip
    looks, x_name = look(comparison.draws.table.arms), comparison.draws.table.x_name
    axes.axhline(0, color=looks[baseline][0], linewidth=1.0)
    ends: list[tuple[float, float, str, str]] = []
    for arm, beside in zip(arms, beside_each_other(len(arms), 0.07), strict=True):
        of = cells[cells["arm"] == arm]
        colour, marker, is_control = looks[arm]
        x = of[x_name].to_numpy(float) * beside
        value = of["difference"].to_numpy(float)
        ends += [(float(x.max()), float(value[-1]), _in_two_lines(shown[arm]), colour)] if len(of) else []
        limits = np.abs(of[["difference_low", "difference_high"]].to_numpy(float).T - value)
        axes.errorbar(
            x, value, yerr=limits, fmt=marker, color=colour, markersize=3.6, elinewidth=0.9, capsize=0,
            linestyle="--" if is_control else "-", linewidth=0.8, markerfacecolor="white" if is_control else colour,
        )  # fmt: skip
    if len(cells):
        log_size_axis(axes, cells[x_name].to_numpy(float), x_name, 5)
    axes.set_ylabel(f"error minus {baseline}'s")
    last = max((x for x, _, _, _ in ends), default=0.0)  # marks at one size are side by side, their names in one column
    end_labels(axes, [(last if x > 0.75 * last else x, y, name, colour) for x, y, name, colour in ends], least_gap=0.11)


def _in_two_lines(name: str) -> str:
    """Broken where it has a comma; a long one without at its last blank."""
    if ", " in name:
        return name.replace(", ", ",\n", 1)
    return "\n".join(name.rsplit(" ", 1)) if len(name) > LONG else name
