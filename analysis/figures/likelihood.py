"""How likely the base finds two writers' solutions (the paper's Fig. 3)."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arms import look
from analysis.figures.style import TEXT_WIDTH, new_figure, paper

WRITERS = {"teacher": "SFT", "self": "RFT"}  # the arm that is trained on them, whose look they take


def two_writers(rows: pd.DataFrame, measures: Mapping[str, str]) -> Figure:
    """A panel a measure: each replicate as a line from the teacher's to the self-generated solutions, and the means.

    Args:
        rows: columns measure, writer, replicate, value.
        measures: name in the rows to what its axis says.
    """
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 2.4, 1, len(measures))
        for axes, (name, label) in zip(grid[0], measures.items(), strict=True):
            _panel(axes, rows[rows["measure"] == name], label)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, label: str) -> None:
    wide = rows.pivot(index="replicate", columns="writer", values="value")
    for row in wide[list(WRITERS)].to_numpy():
        axes.plot([0, 1], row, color="#AAAAAA", linewidth=0.8, zorder=2)
    looks = look(list(WRITERS.values()))
    for place, (writer, arm) in enumerate(WRITERS.items()):
        colour, marker, _ = looks[arm]
        axes.plot(place, wide[writer].mean(), marker=marker, color=colour, markersize=6, zorder=4)
    axes.set_xlim(-0.4, 1.4)
    axes.set_xticks([0, 1], ["teacher's", "self-generated"])
    axes.set_ylim(0, max(float(rows["value"].max()) * 1.12, 1e-9))
    axes.set_ylabel(label)
