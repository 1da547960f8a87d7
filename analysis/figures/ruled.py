"""What claims are ruled by: at each size with its limits, and the number that decides (no counterpart in the paper).

A thick bar is the interval at the table's level, a thin one the limits at a level corrected for the number of sizes,
which make a claim undecided where the sizes disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.figures.limits import interval_bar
from analysis.figures.style import log_size_axis, open_arrow, open_side, size_label

DARK, PALE = "#222222", "#BBBBBB"
BEYOND = 2.1  # the deciding number stands right of the largest size by this factor
FAR, ROOM = 4.0, 1.2  # of an axis of worths: what it shows of limits beyond the marks; beyond the outermost
THICK, THIN = 1.8, 0.7  # points


@dataclass(frozen=True)
class Value:
    """A difference, or a worth, whose `bound` may be ">=", "<=" or, where nothing is known, "?"."""

    value: float
    low: float
    high: float
    bound: str = "="


@dataclass(frozen=True)
class Ruled:
    """A claim's numbers.

    Args:
        arm: whose worth or difference it is.
        title: what is measured, in a line or two.
        sizes: where it was measured.
        at_sizes: at each of them.
        surely: limits at each of them, corrected for their number.
        whole: the number that decides, and its interval.
        whole_name: what it is: the mean of the sizes, or the middle of the curve.
        margin: of a difference, what is no difference worth a point.
        worth: what the claim says of a worth, as 8 for 8 times the data; 0 of a difference, which is held against 0.
    """

    arm: str
    title: str
    sizes: tuple[float, ...]
    at_sizes: tuple[Value, ...]
    surely: tuple[tuple[float, float], ...]
    whole: Value
    whole_name: str
    margin: float = 0.0
    worth: float = 0.0


def draw_ruled(axes: Axes, one: Ruled, n_labels: int) -> None:
    """One claim's panel; intervals that leave its frame end in an open arrowhead.

    Args:
        n_labels: sizes that stand apart on the axis.
    """
    sizes = np.array(one.sizes)
    beyond = float(sizes.max()) * BEYOND
    log_size_axis(axes, sizes, "n_problems", n_labels)
    ticks = [*axes.xaxis.get_major_locator().tick_values(0, 1), beyond]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: one.whole_name if value == beyond else size_label(value))
    )
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlim(sizes.min() / 1.35, beyond * 1.5)
    if one.worth:
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_locator(FixedLocator([2.0**k for k in range(-10, 20)]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    for claimed in (one.worth,) if one.worth else (-one.margin, one.margin):
        axes.axhline(claimed, color=DARK if one.worth else "#888888", linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_ylim(*_frame(one))
    axes.axhline(1.0 if one.worth else 0.0, color=DARK, linewidth=0.9)
    axes.axvline(float(sizes.max()) * BEYOND**0.5, color=PALE, linewidth=0.6)
    for size, (low, high), value in zip(sizes, one.surely, one.at_sizes, strict=True):
        if value.bound == "?":
            continue
        limits = {"=": (low, high), ">=": (low, value.value), "<=": (value.value, high)}[value.bound]
        interval_bar(axes, size, limits, DARK, is_vertical=True, width=THIN)
        _mark(axes, size, value, "o", 2.8)
    _mark(axes, beyond, one.whole, "_", 9.0)
    axes.set_title(one.title, loc="left", fontsize=8.5, linespacing=1.0)


def _mark(axes: Axes, x: float, one: Value, marker: str, size: float) -> None:
    if one.bound == "?" or not np.isfinite(one.value):
        return
    if one.bound == "=":
        interval_bar(axes, x, (one.low, one.high), DARK, is_vertical=True, width=THICK)
        axes.plot(x, one.value, marker=marker, color=DARK, markersize=size, linestyle="none", zorder=3)
        return
    open_arrow(axes, (x, one.value), (x, open_side(one.value, one.bound)), DARK)
    axes.plot(x, one.value, marker="_", color=DARK, markersize=7, zorder=3)


def _frame(one: Ruled) -> tuple[float, float]:
    """Of differences: the margin, their intervals, and the limits for all sizes as far as these do not dwarf them. Of
    worths: 1, what is claimed, all marks, and limits so far."""
    limits = [limit for pair in (*one.surely, (one.whole.low, one.whole.high)) for limit in pair]
    if not one.worth:
        ends = [end for value in (*one.at_sizes, one.whole) for end in (value.low, value.high)]
        low, high = min(-one.margin, *ends), max(one.margin, *ends)
        far = 0.3 * (high - low)
        low, high = max(low - far, min(low, *limits)), min(high + far, max(high, *limits))
        room = 0.08 * (high - low)
        return low - room, high + room
    found = [value for value in (*one.at_sizes, one.whole) if value.bound != "?" and value.value > 0]
    marks = [1.0, one.worth, *(value.value for value in found)]
    marks += [open_side(value.value, value.bound) for value in found if value.bound != "="]
    least, most = min(marks) / FAR, max(marks) * FAR
    inside = [*marks, *(limit for limit in limits if least <= limit <= most)]
    return min(inside) / ROOM, max(inside) * ROOM
