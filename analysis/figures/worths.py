"""An arm's worth on several axes side by side (no counterpart in the paper)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.arms import look
from analysis.figures.style import TEXT_WIDTH, in_legend, new_figure, open_arrow, open_side, paper

MARKS = ("o", "s", "^")  # an axis each, by its place


def worths_side_by_side(rows: pd.DataFrame) -> Figure:
    """A line an arm, a mark an axis, with its interval; a bound as an arrow into its open side.

    Args:
        rows: columns arm, axis, multiplier, bound, low, high.
    """
    arms, axes_of = list(dict.fromkeys(rows["arm"])), list(dict.fromkeys(rows["axis"]))
    looks = look(arms)
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 0.62 * len(arms) + 0.9)
        frame = grid[0, 0]
        frame.set_xscale("log", base=2)
        frame.axvline(1, color="#333333", linewidth=1.0)
        for row in rows[np.isfinite(rows["multiplier"])].itertuples():
            k = axes_of.index(row.axis)
            y, colour = arms.index(row.arm) + 0.22 * (k - (len(axes_of) - 1) / 2), looks[row.arm][0]
            frame.plot(row.multiplier, y, marker=MARKS[k % len(MARKS)], color=colour, linestyle="none", markersize=5)
            if row.bound == "=":
                frame.plot([row.low, row.high], [y, y], color=colour, linewidth=1.0, alpha=0.7)
            else:
                open_arrow(frame, (row.multiplier, y), (open_side(row.multiplier, row.bound), y), colour)
        for k, axis in enumerate(axes_of):
            frame.plot([], [], marker=MARKS[k % len(MARKS)], color="#444444", linestyle="none", label=in_legend(axis))
        frame.set_yticks(range(len(arms)), arms)
        frame.set_ylim(len(arms) - 0.5, -0.5)
        frame.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
        frame.set_xlabel("worth in SFT's")
        figure.legend(*frame.get_legend_handles_labels(), loc="outside upper right", ncols=len(axes_of))
    return figure
