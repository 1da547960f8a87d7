"""Which step is charged: what another choice does to the error, and what finding it costs (no figure of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arms import look
from analysis.figures.limits import DARK, framed, interval_bar, margin_line
from analysis.figures.style import TEXT_WIDTH, in_legend, new_figure, paper

PADDING = 0.12  # inches left and right
ALONE, AT_ONCE, CAP = 2.4, 0.8, 6.0  # points: widths of the bars, each by itself and all at once, and the latter's caps
LONG = 24  # letters of a row's name


def differences_and_cost(
    gaps: pd.DataFrame, judged: pd.DataFrame, cost: pd.DataFrame, labels: tuple[str, str], arm: str, *,
    controls: Sequence[str] = (), margin: float | None = None,
) -> Figure:  # fmt: skip
    """A row a choice: left its error minus the first choice's, with limits, right the tokens sampled for it.

    Args:
        gaps: columns name (of the choice), n_problems, mean, low, high; none of the first choice, which is a dash at 0.
        judged: the same columns, of the differences that a claim is ruled by: their wider limits, as a thin bar.
        cost: columns name, n_problems, mean; its names are the rows, in their order.
        labels: of the differences, of the cost.
        arm: whose look all marks have; open ones are of fewer problems than the most.
        controls: names that the claim leaves out, the last rows.
        margin: of the claim's rule, a broken line.
    """
    names, sizes = list(dict.fromkeys(cost["name"])), sorted(cost["n_problems"].unique())
    colour, marker, _ = look([arm])[arm]
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 0.42 * len(names) + 1.0, 1, 2, width_ratios=(1.6, 1))
        left, right = grid[0]
        bounds = pd.concat([gaps, judged])[["mean", "low", "high"]].to_numpy(float).ravel()
        framed(left, [0.0, *([] if margin is None else [margin]), *bounds], n_ticks=8)
        framed(right, [0.0, *cost["mean"]], n_ticks=5)
        left.axvline(0, color=DARK, linewidth=0.5)
        if margin is not None:
            margin_line(left, margin, is_vertical=False)
        left.plot(0, 0, linestyle="none", marker="|", markersize=12, markeredgewidth=2.0, color=colour)
        for k, n_problems in enumerate(sizes):
            fill = colour if n_problems == sizes[-1] else "white"
            mark: dict[str, Any] = {"marker": marker, "color": colour, "markerfacecolor": fill}
            place = {name: i + 0.3 * (k - (len(sizes) - 1) / 2) for i, name in enumerate(names)}
            for rows, width, cap in ((gaps, ALONE, 0.0), (judged, AT_ONCE, CAP)):
                _bars(left, rows[rows["n_problems"] == n_problems], place, colour, (width, cap))
            _points(left, gaps[gaps["n_problems"] == n_problems], place, in_legend(f"{n_problems:,} problems"), mark)
            _points(right, cost[cost["n_problems"] == n_problems], place, "", mark)
        for axes, label in zip(grid[0], labels, strict=True):
            _rows(axes, [_row_name(name, controls) if axes is left else "" for name in names], label)
        figure.legend(*left.get_legend_handles_labels(), loc="outside upper right", ncols=len(sizes))
        figure.set_layout_engine("constrained", w_pad=PADDING)
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, place: dict[str, float], colour: str, of: tuple[float, float]) -> None:
    """An interval a row, of a width and with caps, in points."""
    for name, low, high in rows[["name", "low", "high"]].itertuples(index=False):
        interval_bar(axes, place[name], (low, high), colour, width=of[0], cap=of[1])


def _row_name(name: str, controls: Sequence[str]) -> str:
    """A control as one, in a line of its own where the name is long."""
    if name not in controls:
        return name
    return f"{name}{chr(10) if len(name) > LONG else ' '}(control)"


def _points(axes: Axes, rows: pd.DataFrame, place: dict[str, float], label: str, mark: dict[str, Any]) -> None:
    y = [place[str(name)] for name in rows["name"]]
    axes.plot(rows["mean"], y, linestyle="none", markersize=4, zorder=3, label=label or None, **mark)


def _rows(axes: Axes, names: list[str], label: str) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", visible=False)  # a bar would lie on the line of its row
    axes.set_xlabel(label)
