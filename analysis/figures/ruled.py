"""What claims are ruled by: at each size with its limits, and the number that decides (no counterpart in the paper).

A thick bar is the interval at the table's level, a thin one the limits at a level corrected for the number of sizes,
which make a claim undecided where the sizes disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from analysis.figures.limits import DARK, interval_bar, margin_line
from analysis.figures.style import open_arrow, open_side, size_label

PALE = "#BBBBBB"
BEYOND = 3.2  # the deciding number stands right of the largest size by this factor
FAR, ROOM, HEAD = 4.0, 1.2, 1.6  # of an axis of worths: what it shows of limits beyond the marks; below and above all
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


def leaves_frame(one: Ruled) -> bool:
    """Whether an interval goes on beyond the panel's frame, where it ends in an open arrowhead."""
    low, high = _frame(one)
    known = [pair for pair, value in zip(one.surely, one.at_sizes, strict=True) if value.bound == "="]
    return any(limits[0] < low or limits[1] > high for limits in (*known, (one.whole.low, one.whole.high)))


def draw_ruled(axes: Axes, one: Ruled, n_labels: int) -> None:
    """One claim's panel; intervals that leave its frame end in an open arrowhead.

    Args:
        n_labels: sizes that stand apart on the axis.
    """
    sizes = np.array(one.sizes)
    beyond = float(sizes.max()) * BEYOND
    axes.set_xscale("log")
    axes.set_xlabel("n_problems")
    axes.xaxis.set_major_locator(FixedLocator([*sizes, beyond]))
    axes.xaxis.set_minor_locator(NullLocator())
    labelled = {beyond: one.whole_name, **{n: size_label(n) for n in sizes[:: -(-len(sizes) // n_labels) * -1]}}
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: labelled.get(value, "")))
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlim(sizes.min() / 1.35, beyond * 1.5)
    if one.worth:
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_locator(FixedLocator([2.0**k for k in range(-10, 20)]))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}×")
        margin_line(axes, one.worth, said=f"{one.worth:g}×")
    else:
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], min_n_ticks=4))
        margin_line(axes, one.margin, said=f"±{one.margin:g}")
        axes.axhline(-one.margin, color=DARK, linewidth=0.9, linestyle="--", zorder=1.5)
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
    """The value on its interval; of a bound a dash with an arrow into its open side, and its interval on the other."""
    if one.bound == "?" or not np.isfinite(one.value):
        return
    limits = {"=": (one.low, one.high), ">=": (one.low, one.value), "<=": (one.value, one.high)}[one.bound]
    interval_bar(axes, x, limits, DARK, is_vertical=True, width=THICK)
    if one.bound == "=":
        axes.plot(x, one.value, marker=marker, color=DARK, markersize=size, linestyle="none", zorder=3)
        return
    open_arrow(axes, (x, one.value), (x, open_side(one.value, one.bound)), DARK)
    axes.plot(x, one.value, marker="_", color=DARK, markersize=11, markeredgewidth=1.8, zorder=3)


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
    return min(inside) / ROOM, max(inside) * HEAD
