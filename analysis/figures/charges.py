"""Which step is charged: what another choice does to the error, and what finding it costs (no figure of the paper)."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.limits import framed, interval_bar
from analysis.figures.style import TEXT_WIDTH, in_legend, new_figure, paper

MARKS = ("o", "s", "^")  # a size each, by its place
COLOURS = ("#0072B2", "#D55E00", "#009E73")
PADDING = 0.12  # inches left and right
ALONE, AT_ONCE = 2.4, 0.8  # widths of the bars: each by itself, all at once


def differences_and_cost(
    gaps: pd.DataFrame, judged: pd.DataFrame, cost: pd.DataFrame, labels: tuple[str, str]
) -> Figure:
    """A row a choice: left its error minus the first choice's, with limits, right the tokens sampled for it.

    Args:
        gaps: columns name (of the choice), n_problems, mean, low, high; none of the first choice, which is an open
            mark at 0.
        judged: the same columns, of the differences that a claim is ruled by: their wider limits, as a thin bar.
        cost: columns name, n_problems, mean; its names are the rows, in their order.
        labels: of the differences, of the cost.
    """
    names, sizes = list(dict.fromkeys(cost["name"])), sorted(cost["n_problems"].unique())
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 0.42 * len(names) + 1.0, 1, 2)
        left, right = grid[0]
        framed(left, [0.0, *pd.concat([gaps, judged])[["mean", "low", "high"]].to_numpy(float).ravel()])
        framed(right, [0.0, *cost["mean"]])
        left.axvline(0, color="#333333", linewidth=1.0)
        for k, n_problems in enumerate(sizes):
            look: dict[str, Any] = {"marker": MARKS[k % len(MARKS)], "color": COLOURS[k % len(COLOURS)]}
            place = {name: i + 0.24 * (k - (len(sizes) - 1) / 2) for i, name in enumerate(names)}
            for rows, width in ((gaps, ALONE), (judged, AT_ONCE)):
                for row in rows[rows["n_problems"] == n_problems].to_dict("records"):
                    interval_bar(left, place[row["name"]], (row["low"], row["high"]), look["color"], width=width)
            _points(left, gaps[gaps["n_problems"] == n_problems], place, in_legend(f"{n_problems:,} problems"), look)
            left.plot(0, place[names[0]], linestyle="none", markersize=5, markerfacecolor="white", zorder=3, **look)
            _points(right, cost[cost["n_problems"] == n_problems], place, "", look)
        for axes, label in zip(grid[0], labels, strict=True):
            _rows(axes, names if axes is left else [""] * len(names), label)
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper right", ncols=len(sizes))
        figure.set_layout_engine("constrained", w_pad=PADDING)
    return figure


def _points(axes: Axes, rows: pd.DataFrame, place: dict[str, float], label: str, look: dict[str, Any]) -> None:
    y = [place[str(name)] for name in rows["name"]]
    axes.plot(rows["mean"], y, linestyle="none", markersize=5, zorder=3, label=label or None, **look)


def _rows(axes: Axes, names: list[str], label: str) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)  # a bar would lie on the line of its row
    axes.set_xlabel(label)
