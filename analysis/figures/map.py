"""Pictures of the map: what each ingredient does, and how far what the baseline gets wrong explains it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from analysis.arms import in_order, look
from analysis.figures import style
from analysis.figures.limits import interval_bar
from analysis.worth.words import count

LEVELS = (1.0, 2.0, 8.0)


def readable(points: pd.DataFrame, *, with_share: bool = False) -> pd.DataFrame:
    """The points of a map that a figure can show: those with a value or a bound, and `with_share` also the share of
    flaws, which is unknown where the baseline was not run at the point's size."""
    multiplier = points["multiplier"]
    shown: pd.Series[bool] = points["bound"].isin(["=", ">=", "<="]) & np.isfinite(multiplier) & (multiplier > 0)
    return points[shown & points["share"].notna()] if with_share else points[shown]


def map_figure(points: pd.DataFrame) -> Figure:
    """A row a variant, a panel a size: multipliers with intervals on a log axis, lines at 1, 2 and 8."""
    shown = readable(points)
    low, high = min([0.5, *shown["multiplier"]]) / 1.3, max([16.0, *shown["multiplier"]]) * 1.7

    def worth(axes: Axes) -> None:
        axes.set_xscale("log", base=2)
        axes.set_xlim(max(low, 1 / 8), min(high, 128))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
        _levels(axes.axvline)

    return _rows_of_variants(points, shown, worth, f"worth in {points['baseline'].iloc[0]} data", _mark)


def gap_figure(points: pd.DataFrame) -> Figure:
    """A row a variant in the order of `map_figure`, a panel a size: each arm's error less the baseline's, with its
    interval, a line at 0.

    Args:
        points: at least one of them with a gap.
    """
    shown = points[points["gap"].notna()]
    low, high = min(shown["gap"].min(), 0.0), max(shown["gap"].max(), 0.0)
    room = max(high - low, 0.01)

    def error(axes: Axes) -> None:  # as far as intervals go, but no further than the points are apart
        left, right = max(shown["gap_low"].min(), low - room), min(shown["gap_high"].max(), high + room)
        axes.set_xlim(min(left, 0.0) - room / 20, max(right, 0.0) + room / 20)
        axes.axvline(0.0, color="#444444", linewidth=0.8, zorder=1)

    return _rows_of_variants(points, shown, error, f"error less {points['baseline'].iloc[0]}'s", _mark_gap)


def _rows_of_variants(
    points: pd.DataFrame,
    shown: pd.DataFrame,
    on_axis: Callable[[Axes], None],
    label: str,
    mark: Callable[[Axes, float, Any, tuple[str, str, bool]], None],
) -> Figure:
    """A panel a size with a row a variant, the study's shaded, and in it each arm a little above the one before it."""
    arms, sizes = in_order(points["arm"].unique()), sorted(points["n_problems"].unique())
    order = _rows(points, arms[-1], sizes[-1])
    study, looks = order.index(points["variant"].iloc[0]), look(arms)
    with style.paper():
        figure, grid = style.new_figure(style.TEXT_WIDTH, 1.0 + 0.30 * len(order), 1, len(sizes), sharey=True)
        for axes, size in zip(grid[0], sizes, strict=True):
            on_axis(axes)
            axes.axhspan(study - 0.5, study + 0.5, color="#F2EEE6", zorder=0)
            for k, arm in enumerate(arms):
                style.points(axes, [], [], looks[arm], arm)
                for row in shown[(shown["n_problems"] == size) & (shown["arm"] == arm)].itertuples():
                    mark(axes, order.index(row.variant) + 0.22 * (k - (len(arms) - 1) / 2), row, looks[arm])
            axes.set_title(f"at n_problems = {count(size)}", loc="left", color="#444444")
            axes.grid(axis="x", visible=False)
            axes.set_xlabel(label)
        axes = grid[0, 0]
        axes.set_yticks(range(len(order)), [name.replace("_", " ") for name in order])
        axes.set_ylim(-0.6, len(order) - 0.4)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=len(arms), handletextpad=0.2)
    return figure


def _rows(points: pd.DataFrame, arm: str, size: float) -> list[str]:
    """The variants from the least worth of this arm at this size up; of bounds that are alike, by their interval's
    lower limit, and then by how much of the baseline's error the arm takes away.
    """
    key = points[(points["arm"] == arm) & (points["n_problems"] == size)].fillna({"multiplier": 1.0, "ci_low": 0.0})
    left = key["error"] / key["baseline_error"]
    worth = dict(zip(key["variant"], zip(key["multiplier"], key["ci_low"], -left, strict=True), strict=True))
    return sorted(points["variant"].unique(), key=lambda name: worth.get(name, (0.0, 0.0, 0.0)))


def _levels(line: Any) -> None:
    for level in LEVELS:
        line(level, color="#444444" if level == 1 else "#AAAAAA", linewidth=0.8, zorder=1)


def _mark(axes: Axes, y: float, row: Any, arm_look: tuple[str, str, bool]) -> None:
    """A point with its interval, or from a bound an arrow into the open side and a dotted line to the limit of its
    interval."""
    colour = arm_look[0]
    if row.bound == "=":
        _mark_point(axes, y, row.multiplier, (row.ci_low, row.ci_high), arm_look)
        return
    at, end, (inner, outer) = _bound(row, *axes.get_xlim())
    style.open_arrow(axes, (at, y), (end, y), colour)
    axes.plot(at, y, marker="|", color=colour, markersize=6, zorder=3)
    axes.plot([inner, outer], [y, y], color=colour, linewidth=0.9, linestyle=(0, (1.5, 1.5)))


def _mark_gap(axes: Axes, y: float, row: Any, arm_look: tuple[str, str, bool]) -> None:
    _mark_point(axes, y, row.gap, (row.gap_low, row.gap_high), arm_look)


def _mark_point(
    axes: Axes, y: float, value: float, limits: tuple[float, float], arm_look: tuple[str, str, bool]
) -> None:
    """A point with its interval; limits beyond the frame are cut off and marked there, the point stands at its edge."""
    colour, marker, is_control = arm_look
    interval_bar(axes, y, limits, colour, width=0.9)
    left, right = axes.get_xlim()
    at = min(max(value, left), right)
    axes.plot(at, y, marker=marker, color=colour, markerfacecolor="white" if is_control else colour, zorder=3)


def _bound(row: Any, low: float, high: float) -> tuple[float, float, tuple[float, float]]:
    """Of a bound on a log axis from low to high: where it stands and its arrow ends, with room for the arrow, and the
    stretch from the limit of its interval to it."""
    at = min(max(row.multiplier, low * 1.6), high / 1.6)
    limit = max(row.ci_low, low) if row.bound == ">=" else min(row.ci_high, high)
    return at, style.open_side(at, row.bound), (limit, at)


def worth_by_share(points: pd.DataFrame) -> Figure:
    """A panel an arm: its worth at each size of each variant against the share of the baseline's flaws that are of the
    kinds asked for; open where the variant leaves what there is to learn alone and changes how it is trained.

    Args:
        points: at least one of them `readable` with its share.
    """
    points = readable(points, with_share=True)
    arms = in_order(points["arm"].unique())
    sizes = sorted(points["n_problems"].unique())
    looks = look(arms)
    with style.paper():
        figure, grid = style.new_figure(style.TEXT_WIDTH, 2.6, 1, len(arms), sharey=True)
        for axes, arm in zip(grid[0], arms, strict=True):
            worth = f"worth in {points['baseline'].iloc[0]} data" if axes is grid[0, 0] else ""
            style.worth_axis(axes, 1 / 6, 64, worth)
            _levels(axes.axhline)
            for row in points[points["arm"] == arm].itertuples():
                _mark_up(axes, row, looks[arm][0], "os^Dv"[sizes.index(row.n_problems) % 5])
            axes.set_title(arm, loc="left", color=style.ink(looks[arm][0]))
            axes.set_xlim(0, 1)
            axes.set_xlabel(f"share of {points['share_of'].iloc[0]}")
        axes = grid[0, 0]
        for size, marker in zip(sizes, "os^Dv", strict=False):
            style.points(axes, [], [], ("#444444", marker, False), f"n_problems = {count(size)}")
        if points["is_training"].any():
            style.points(axes, [], [], ("#444444", "o", True), "open: only the training differs from the study's")
        n_columns = len(axes.get_legend_handles_labels()[1])
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=n_columns, handletextpad=0.2)
    return figure


def _mark_up(axes: Axes, row: Any, colour: str, marker: str) -> None:
    """A point with its interval; from a bound an arrow into the open side."""
    low, high = axes.get_ylim()
    at, end, limits = _bound(row, low, high)
    if row.bound == "=":
        limits = row.ci_low, row.ci_high
    else:
        style.open_arrow(axes, (row.share, at), (row.share, end), colour)
    interval_bar(axes, row.share, limits, to_rgba(colour, 0.45), is_vertical=True, width=0.6)
    fill = "white" if row.is_training else colour
    axes.plot(row.share, at, marker=marker, color=colour, markerfacecolor=fill, zorder=3)
