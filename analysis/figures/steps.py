"""Means against a short axis of whole numbers, and beside them what is claimed: differences with their interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arms import look
from analysis.figures.limits import DARK, margin_line
from analysis.figures.style import TEXT_WIDTH, end_labels, in_legend, log_size_axis, new_figure, paper

LEVEL, MARK, CAP = 3.8, 3.2, 2.7  # points: marks of a mean and of a difference, and half a cap, which shows beside it


@dataclass(frozen=True)
class Curve:
    """A named curve.

    Args:
        name: in the legend; a curve of levels and one of differences with the same name look alike.
        arm: whose colour and marker it takes.
        points: columns x (below), mean, low and high.
        x: the column along the axis.
        is_smaller: whether it is of fewer problems than its arm's other curve: open marks on a dotted line.
    """

    name: str
    arm: str
    points: pd.DataFrame
    x: str
    is_smaller: bool = False


@dataclass(frozen=True)
class Ruled:
    """The one number by which a claim is ruled, on the scale of the differences: drawn by itself beside them.

    Args:
        name: what stands below it.
        found: mean, low and high; without limits (nan) a mark alone.
        axis: what its axis is called where that is no difference of errors.
    """

    name: str
    found: tuple[float, float, float]
    axis: str = ""


def levels_and_differences(
    levels: Sequence[Curve],
    differences: Sequence[Curve],
    labels: tuple[str, str, str],
    *,
    ruled: Ruled | None = None,
    margin: float | None = None,
    is_log: bool = False,
) -> Figure:
    """Left the means alone, right the differences with their limits and a line at 0 (the paper's Figs. 2c, 7, 10).

    Differences of one x stand side by side, so that each bar can be followed to its mark; means stand at their x.

    Args:
        labels: of the shared axis, of the levels, of the differences.
        ruled: in a third, narrow panel on the scale of the differences.
        margin: of the claim's rule, a broken line with its value in the last panel.
        is_log: whether the shared axis is logarithmic, with the numbers that were run as its ticks.
    """
    with paper():
        widths = [1.0, 1.0, 0.32][: 3 if ruled else 2]
        figure, grid = new_figure(TEXT_WIDTH, 2.9, 1, len(widths), width_ratios=widths)
        figure.set_layout_engine("constrained", w_pad=0.08)  # room before the second axis's name
        grid[0, 1].axhline(0, color=DARK, linewidth=0.7)
        if ruled:
            _alone(grid[0, 2], grid[0, 1], ruled)
        if margin is not None:
            margin_line(grid[0, -1], margin)
        step = _step(np.concatenate([one.points[one.x].to_numpy(float) for one in levels]), is_log)
        for k, curves in enumerate((levels, differences)):
            axes = grid[0, k]
            _curves(axes, curves, step, has_limits=k == 1, is_log=is_log)
            axes.set_ylabel(labels[1 + k])
            _x_axis(axes, curves, labels[0], is_log)
        for axes in grid[0]:
            axes.margins(y=0.08)
        _clear_the_corner(grid[0, 0])
        _clear_the_corner(grid[0, 1])
        _named(figure, grid[0, 0], levels)
    return figure


def _step(x: np.ndarray, is_log: bool) -> float:
    """From a difference to the one beside it: what a linear axis adds and what a logarithmic one adds to ln x; small
    beside the distance of two x, and no wider than a mark."""
    at = np.unique(np.log(x) if is_log else x)
    gaps = np.diff(at) if len(at) > 1 else np.ones(1)
    return float(min(0.12 * gaps.min(), 0.042 * gaps.sum()))


def _curves(axes: Axes, curves: Sequence[Curve], step: float, *, has_limits: bool, is_log: bool) -> None:
    looks = look(list(dict.fromkeys(one.arm for one in curves)))
    for k, one in enumerate(curves):
        colour, marker, is_control = looks[one.arm]
        points, line = one.points.sort_values(one.x), ":" if one.is_smaller else "--" if is_control else "-"
        fill = "white" if one.is_smaller or is_control else colour
        aside = (k - (len(curves) - 1) / 2) * step if has_limits else 0.0
        x = points[one.x].to_numpy(float)
        x = x * np.exp(aside) if is_log else x + aside
        mean, low, high = (points[column].to_numpy(float) for column in ("mean", "low", "high"))
        axes.plot(
            x, mean, color=colour, marker=marker, linestyle=line, markerfacecolor=fill, zorder=3 + k,
            label=in_legend(one.name), markersize=MARK if has_limits else LEVEL,
        )  # fmt: skip
        if has_limits:
            _bars(axes, x, mean, low, high, colour)


def _named(figure: Figure, axes: Axes, curves: Sequence[Curve]) -> None:
    """Each curve where it ends, and with its mark in a legend above all panels."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=min(len(curves), 4))
    looks = look(list(dict.fromkeys(one.arm for one in curves)))
    drawn = [(line.get_xdata(), line.get_ydata()) for line in axes.lines]
    last = max(float(np.asarray(x)[-1]) for x, _ in drawn)  # marks of one x are side by side, their names in one column
    end_labels(
        axes,
        [
            (last, float(np.asarray(y)[-1]), one.name, looks[one.arm][0])
            for (_, y), one in zip(drawn, curves, strict=True)
        ],
        least_gap=0.085,
    )


def _bars(axes: Axes, x: np.ndarray, mean: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> None:
    """Intervals, where there are any; their caps lie over the marks, which may be the longer ones."""
    has = np.isfinite(low) & np.isfinite(high)
    lengths = np.stack([mean - low, high - mean])[:, has]
    _, caps, _ = axes.errorbar(
        x[has], mean[has], yerr=lengths, fmt="none", ecolor=colour, elinewidth=1.0, capsize=CAP, zorder=2.5
    )
    for line in caps:
        line.set_zorder(9)


def _alone(axes: Axes, beside: Axes, ruled: Ruled) -> None:
    axes.sharey(beside)
    axes.tick_params(labelleft=bool(ruled.axis))
    axes.set_ylabel(ruled.axis)
    axes.axhline(0, color=DARK, linewidth=0.7)
    mean, low, high = (np.array([value]) for value in ruled.found)
    axes.plot([0.0], mean, color=DARK, marker="_", markersize=11, markeredgewidth=1.8, linestyle="none")
    _bars(axes, np.array([0.0]), mean, low, high, DARK)
    axes.set_xlim(-1, 1)
    axes.set_xticks([0], [ruled.name])


def _x_axis(axes: Axes, curves: Sequence[Curve], label: str, is_log: bool) -> None:
    every = np.concatenate([one.points[one.x].to_numpy(float) for one in curves])
    if is_log:
        log_size_axis(axes, every, label, 8)
    else:
        axes.set_xticks(sorted(set(every)), [f"{value:g}" for value in sorted(set(every))])
        axes.set_xlabel(label)


def _clear_the_corner(axes: Axes) -> None:
    """The lower end of y moved down where a tick would stand in the corner of the frame, its label beside x's."""
    low, high = axes.get_ylim()
    least = 0.05 * (high - low)
    if near := [tick for tick in axes.get_yticks() if low <= tick < low + least]:
        axes.set_ylim(min(near) - least, high)
