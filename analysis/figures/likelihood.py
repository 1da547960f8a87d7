"""How likely the base finds two writers' solutions (the paper's Fig. 3)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arms import look
from analysis.figures.limits import DARK, framed, interval_bar
from analysis.figures.style import TEXT_WIDTH, new_figure, paper, sideways

WRITERS = {"teacher": "SFT", "self": "RFT"}  # the arm that is trained on them, whose look they take
LANE = 0.4  # from lane to lane of the replicates, where their mean stands 1 above them


def two_writers(rows: pd.DataFrame, gaps: pd.DataFrame, measures: Mapping[str, tuple[str, str]]) -> Figure:
    """A panel a measure: each replicate as a line from the teacher's to the self-generated solutions, and the means;
    below it the same replicates' differences, their mean and its interval. Panels of one unit share their scales.

    Args:
        rows: columns measure, writer, replicate, value.
        gaps: columns measure, mean, low, high (nan where there is one replicate): self minus teacher.
        measures: name in the rows to its unit and to which solutions it is of.
    """
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 3.3, 2, len(measures), height_ratios=(2.1, 0.6))
        for unit in dict.fromkeys(unit for unit, _ in measures.values()):
            alike = [k for k, (own, _) in enumerate(measures.values()) if own == unit]
            names = [list(measures)[k] for k in alike]
            _unit(grid[:, alike], rows[rows["measure"].isin(names)], gaps[gaps["measure"].isin(names)], names)
        for (levels, differences), (unit, of_which) in zip(grid.T, measures.values(), strict=True):
            levels.set_title(of_which, color="#444444")
            levels.set_ylabel(unit)
            differences.set_xlabel(f"self minus teacher, {unit}")
    return figure


def _unit(grid: np.ndarray, rows: pd.DataFrame, gaps: pd.DataFrame, names: list[str]) -> None:
    """The panels of one unit: levels above, differences below."""
    wide = rows.pivot(index=["measure", "replicate"], columns="writer", values="value")
    each = wide["self"] - wide["teacher"]
    ends = [0.0, *each, *gaps["low"], *gaps["high"]]
    for (levels, differences), name in zip(grid.T, names, strict=True):
        if name in wide.index:  # no problem may have two solutions of one length
            _levels(levels, rows[rows["measure"] == name])
        levels.set_ylim(0, max(float(rows["value"].max()) * 1.12, 1e-9))
        framed(differences, ends, n_ticks=4)
        _differences(differences, each[each.index.get_level_values("measure") == name], gaps[gaps["measure"] == name])


def _levels(axes: Axes, rows: pd.DataFrame) -> None:
    wide = rows.pivot(index="replicate", columns="writer", values="value")
    for row in wide[list(WRITERS)].to_numpy():
        axes.plot([0, 1], row, color="#AAAAAA", linewidth=0.8, zorder=2)
    looks = look(list(WRITERS.values()))
    for place, (writer, arm) in enumerate(WRITERS.items()):
        colour, marker, _ = looks[arm]
        axes.plot(place, wide[writer].mean(), marker=marker, color=colour, markersize=6, zorder=4)
    axes.set_xlim(-0.4, 1.4)
    axes.set_xticks([0, 1], ["teacher's", "self-generated"])


def _differences(axes: Axes, each: pd.Series, gaps: pd.DataFrame) -> None:
    """Replicates as dots in three lanes of their own, above them the mean with its bar."""
    colour, marker, _ = look([WRITERS["self"]])[WRITERS["self"]]
    axes.axvline(0, color=DARK, linewidth=0.7)
    y = [1.0 + lane for lane in sideways(each.tolist(), LANE)]
    axes.plot(each, y, linestyle="none", marker=".", markersize=4.5, markeredgewidth=0, color="#777777", zorder=3)
    for mean, low, high in gaps[["mean", "low", "high"]].to_numpy(float).tolist():
        interval_bar(axes, 0.0, (low, high), colour, width=1.4, cap=6)
        axes.plot(mean, 0.0, linestyle="none", marker=marker, color=colour, markersize=4, zorder=4)
    axes.set_ylim(1.8, -0.7)
    axes.set_yticks([])
