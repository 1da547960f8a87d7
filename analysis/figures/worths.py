"""An arm's worth on several axes side by side, or in several settings (no counterpart in the paper)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from analysis.arms import look
from analysis.figures.limits import interval_bar
from analysis.figures.style import TEXT_WIDTH, in_legend, new_figure, open_arrow, open_side, paper

MARKS = ("o", "s", "^")  # an axis each, by its place
ROOM, FAR = 1.3, 8.0  # beyond the outermost mark, and how far from the marks a limit may stretch the frame, as factors
HALVES = (1.0, 1.5)  # ticks within a doubling; a frame of more than WIDE has doublings alone
WIDE = 32.0
PADDING = 0.08  # inches left and right


def worths_side_by_side(rows: pd.DataFrame, label: str) -> Figure:
    """A line a row, a mark an axis, with its interval, cut at the frame; a bound as an arrow into its open side.

    Args:
        rows: columns name (of the row), arm (whose look it takes), axis, multiplier, bound, low, high.
        label: of the axis of worths.
    """
    names, axes_of = list(dict.fromkeys(rows["name"])), list(dict.fromkeys(rows["axis"]))
    has_legend = len(axes_of) > 1
    with paper():
        height = max(0.34, 0.207 * len(axes_of)) * len(names) + (0.9 if has_legend else 0.6)
        figure, grid = new_figure(TEXT_WIDTH, height)
        frame = grid[0, 0]
        _worth_axis(frame, rows[np.isfinite(rows["multiplier"])], label)
        _marks(frame, rows[np.isfinite(rows["multiplier"])], names, axes_of)
        frame.set_yticks(range(len(names)), names)
        frame.set_ylim(len(names) - 0.5, -0.5)
        frame.grid(axis="y", visible=False)  # a bar would lie on the line of its row
        if has_legend:
            for k, axis in enumerate(axes_of):
                frame.plot([], [], marker=MARKS[k % len(MARKS)], color="#444444", linestyle="none",
                           label=in_legend(axis))  # fmt: skip
            figure.legend(*frame.get_legend_handles_labels(), loc="outside upper right", ncols=len(axes_of))
        figure.set_layout_engine("constrained", w_pad=PADDING)
    return figure


def _marks(frame: Axes, rows: pd.DataFrame, names: list[str], axes_of: list[str]) -> None:
    looks = look(list(dict.fromkeys(rows["arm"])))
    for row in rows.to_dict("records"):
        k, multiplier = axes_of.index(row["axis"]), row["multiplier"]
        y, (colour, marker, _) = names.index(row["name"]) + 0.22 * (k - (len(axes_of) - 1) / 2), looks[row["arm"]]
        if len(axes_of) > 1:
            marker = MARKS[k % len(MARKS)]
        if row["bound"] == "=":
            interval_bar(frame, y, (row["low"], row["high"]), colour)
        else:
            open_arrow(frame, (multiplier, y), (open_side(multiplier, row["bound"]), y), colour)
        frame.plot(multiplier, y, marker=marker, color=colour, linestyle="none", markersize=5, zorder=3)


def _worth_axis(frame: Axes, rows: pd.DataFrame, label: str) -> None:
    """A log axis that holds 1, every mark, and the intervals as far as they do not dwarf the marks."""
    ends = [
        open_side(m, bound) if bound != "=" else m for m, bound in zip(rows["multiplier"], rows["bound"], strict=True)
    ]
    marks = np.array([1.0, *rows["multiplier"], *ends])
    limits = rows.loc[rows["bound"] == "=", ["low", "high"]].to_numpy(float).ravel()
    least, most = marks.min() / FAR, marks.max() * FAR
    inside = [*marks, *limits[(limits >= least) & (limits <= most)]]
    low, high = min(inside) / ROOM, max(inside) * ROOM
    frame.set_xscale("log", base=2)
    frame.set_xlim(low, high)
    halves = HALVES if high / low <= WIDE else HALVES[:1]
    ticks = sorted(2.0**k * half for k in range(-40, 41) for half in halves)
    frame.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    frame.xaxis.set_minor_locator(NullLocator())
    frame.xaxis.set_major_formatter(lambda value, _: f"{value:.3g}×")
    frame.axvline(1, color="#333333", linewidth=1.0)
    frame.set_xlabel(label)
