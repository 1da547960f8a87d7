"""Means against a short axis of whole numbers, and beside them what is claimed: differences with their interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arms import look
from analysis.figures.style import TEXT_WIDTH, end_labels, log_size_axis, new_figure, paper


@dataclass(frozen=True)
class Curve:
    """A named curve.

    Args:
        name: at its end, broken by the caller where it is long.
        arm: whose look it takes.
        points: columns x (below), mean, low and high.
        x: the column along the axis.
    """

    name: str
    arm: str
    points: pd.DataFrame
    x: str


def levels_and_differences(
    levels: Sequence[Curve], differences: Sequence[Curve], labels: tuple[str, str, str], *, is_log: bool = False
) -> Figure:
    """Left the means alone, right the differences with their limits and a line at 0 (the paper's Figs. 2c, 7, 10).

    Args:
        labels: of the shared axis, of the levels, of the differences.
        is_log: whether the shared axis is logarithmic, with the numbers that were run as its ticks.
    """
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 2.7, 1, 2)
        for axes, curves, label in zip(grid[0], (levels, differences), labels[1:], strict=True):
            _curves(axes, curves, has_limits=curves is differences)
            axes.set_ylabel(label)
            axes.margins(y=0.14)  # room for the names at the ends
            every = pd.concat([one.points[one.x] for one in curves]).to_numpy(float)
            if is_log:
                log_size_axis(axes, every, labels[0], 8)
            else:
                axes.set_xticks(sorted(set(every)), [f"{value:g}" for value in sorted(set(every))])
                axes.set_xlabel(labels[0])
        grid[0, 1].axhline(0, color="#333333", linewidth=1.0)
        for axes, curves in zip(grid[0], (levels, differences), strict=True):
            figure.draw_without_rendering()
            end_labels(axes, _ends(curves), least_gap=0.11)
    return figure


def _curves(axes: Axes, curves: Sequence[Curve], *, has_limits: bool) -> None:
    looks = look(list(dict.fromkeys(one.arm for one in curves)))
    for k, one in enumerate(curves):
        colour, marker, is_control = looks[one.arm]
        points, line = one.points.sort_values(one.x), "--" if is_control else "-"
        fill = "white" if is_control else colour
        x = points[one.x].to_numpy(float)
        axes.plot(x, points["mean"], color=colour, marker=marker, linestyle=line, markerfacecolor=fill, zorder=3 + k)
        if has_limits and points["low"].notna().all():
            low, high = points["low"].to_numpy(float), points["high"].to_numpy(float)
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _ends(curves: Sequence[Curve]) -> list[tuple[float, float, str, str]]:
    looks = look(list(dict.fromkeys(one.arm for one in curves)))
    last = [one.points.sort_values(one.x).iloc[-1] for one in curves]
    return [
        (float(row[one.x]), float(row["mean"]), one.name, looks[one.arm][0])
        for one, row in zip(curves, last, strict=True)
    ]
