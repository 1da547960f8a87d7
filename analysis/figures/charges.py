"""Which step is charged: what another choice does to the error, and what finding it costs (no figure of the paper)."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import TEXT_WIDTH, in_legend, new_figure, paper

MARKS = ("o", "s", "^")  # a size each, by its place
COLOURS = ("#0072B2", "#D55E00", "#009E73")


def differences_and_cost(gaps: pd.DataFrame, cost: pd.DataFrame, labels: tuple[str, str]) -> Figure:
    """A row a choice: left its error minus the first choice's, with limits, right the tokens sampled for it.

    Args:
        gaps: columns name (of the choice), n_problems, mean, low, high; none of the first choice.
        cost: columns name, n_problems, mean; its names are the rows, in their order.
        labels: of the differences, of the cost.
    """
    names, sizes = list(dict.fromkeys(cost["name"])), sorted(cost["n_problems"].unique())
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 0.42 * len(names) + 1.0, 1, 2)
        for k, n_problems in enumerate(sizes):
            look = {"marker": MARKS[k % len(MARKS)], "color": COLOURS[k % len(COLOURS)], "linestyle": "none"}
            shift = 0.24 * (k - (len(sizes) - 1) / 2)
            for axes, rows in zip(grid[0], (gaps, cost), strict=True):
                own = rows[rows["n_problems"] == n_problems]
                axes.plot(own["mean"], [names.index(name) + shift for name in own["name"]], markersize=5, **look)
                for row in own.itertuples() if axes is grid[0, 0] else ():
                    y = names.index(str(row.name)) + shift
                    axes.plot([row.low, row.high], [y, y], color=look["color"], linewidth=1.0, alpha=0.7)
            grid[0, 0].plot([], [], label=in_legend(f"{n_problems:,} problems"), **look)
        grid[0, 0].axvline(0, color="#333333", linewidth=1.0)
        for axes, label in zip(grid[0], labels, strict=True):
            _rows(axes, names if axes is grid[0, 0] else [""] * len(names), label)
        grid[0, 1].set_xlim(0, 1.12 * cost["mean"].max())
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=len(sizes))
    return figure


def _rows(axes: Axes, names: list[str], label: str) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(label)
