"""Star graphs: loss, the critical token and test error against the updates of SFT (the paper's Fig. 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from analysis.arms import look
from analysis.figures.limits import DARK, interval_bar, margin_line
from analysis.figures.style import TEST_ERROR, TEXT_WIDTH, log_size_axis, new_figure, paper

MEASURES = {  # name in the data: what its column is called, and whether only SFT itself has it
    "loss": ("SFT loss (nats a token)", True),
    "value": ("chance of a right path", False),
    "error": (TEST_ERROR, False),
}
GAP = "error, per-step DPO\nminus SFT continued"
NAMES = {"SFT": "SFT", "SFT, more updates": "SFT continued", "per-step DPO": "per-step DPO"}
APART = 1.2  # of two arms at one checkpoint, as a factor of updates
ASIDE = 1.3  # of the runs of a difference beside its bar, as a factor of updates
ROOM, FAR = 0.08, 1.0  # of a frame beyond its values, and how far a limit may stretch it, as parts of their range
SMALL = 8  # points, of ticks and titles: 6.5 where the figure is printed 5.5 inches wide
DOT: dict[str, Any] = {"marker": ".", "markersize": 3.6, "markeredgewidth": 0}
LEFT_OUT: dict[str, Any] = {"marker": "x", "markersize": 3.2, "markeredgewidth": 0.8}
MARK, CAP, TITLE = 3.0, 4.0, 15  # points; above a frame, below its title, stands how many replicates a mark is over


@dataclass(frozen=True)
class Shown:
    """What is drawn.

    Args:
        runs: columns degree, arm, updates, replicate, each measure, and is_counted: whether a mark is over it, where
            arms are compared.
        means: columns degree, arm, updates, measure, mean, n_replicates.
        gap_runs: columns degree, updates, replicate, difference.
        gaps: columns degree, updates, mean, low, high (nan where there is one replicate), n_replicates.
        margin: of the claim's rule.
    """

    runs: pd.DataFrame
    means: pd.DataFrame
    gap_runs: pd.DataFrame
    gaps: pd.DataFrame
    margin: float

    def of_degree(self, degree: int) -> Shown:
        """What is drawn of one degree."""
        tables = {name: of[of["degree"] == degree] for name, of in vars(self).items() if name != "margin"}
        return replace(self, **tables)


def learnt_with_updates(shown: Shown) -> Figure:
    """A row of panels a degree: a column a measure, and the difference that the claim is ruled by."""
    degrees = sorted(shown.means["degree"].unique())
    updates = shown.means["updates"].to_numpy(float)
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 1.85 * len(degrees) + 0.6, len(degrees), len(MEASURES) + 1, sharex=True)
        for degree, row in zip(degrees, grid, strict=True):
            mine = shown.of_degree(degree)
            for axes, measure in zip(row, MEASURES, strict=False):
                _panel(axes, mine, int(degree), measure)
            _gaps(row[-1], mine)
            for axes in row:
                _updates_axis(axes, updates, "SFT updates" if degree == degrees[-1] else "")
                axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
                axes.tick_params(labelsize=SMALL)
            row[0].set_ylabel(f"degree {degree}")
        for axes, (title, _) in zip(grid[0], [*MEASURES.values(), (GAP, False)], strict=True):
            axes.set_title(title, fontsize=SMALL, pad=TITLE)
        handles, labels = grid[0, -2].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=4, handlelength=2.2, columnspacing=1.4)
    return figure


def _updates_axis(axes: Axes, updates: np.ndarray, label: str) -> None:
    """A tick at every checkpoint, a number where there is room for it."""
    log_size_axis(axes, updates, label, 4)
    axes.xaxis.set_minor_locator(FixedLocator(np.unique(updates).tolist()))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=3, width=0.6)


def _framed(axes: Axes, values: ArrayLike) -> None:
    """The y axis around these values."""
    low, high = float(np.min(values)), float(np.max(values))
    room = ROOM * ((high - low) or 1.0)
    axes.set_ylim(low - room, high + room)


def _panel(axes: Axes, shown: Shown, degree: int, measure: str) -> None:
    looks, is_sft_alone = look(list(NAMES)), MEASURES[measure][1]
    means = shown.means[shown.means["measure"] == measure]
    for k, (arm, name) in enumerate(NAMES.items()):
        if is_sft_alone and arm != "SFT":
            continue
        colour, marker, is_control = looks[arm]
        line = {
            "color": colour, "marker": marker, "markersize": MARK, "linewidth": 0.9, "label": name, "zorder": 4,
            "linestyle": "--" if is_control else "-", "markerfacecolor": "white" if is_control else colour,
        }  # fmt: skip
        shift = 1.0 if is_sft_alone else APART ** (k - (len(NAMES) - 1) / 2)
        _levels(axes, shown.runs[shown.runs["arm"] == arm], measure, means[means["arm"] == arm], line, shift)
    drawn = shown.runs[shown.runs["arm"].eq("SFT") | (not is_sft_alone)][measure].tolist()
    if not is_sft_alone:
        chance = 1 / degree if measure == "value" else 1 - 1 / degree
        axes.axhline(chance, color=DARK, linewidth=0.9, linestyle=(0, (1, 2)), label="chance level")
        drawn.append(chance)
    _framed(axes, drawn)
    _fewer(axes, means[means["arm"] == "SFT"] if is_sft_alone else means)


def _levels(
    axes: Axes, runs: pd.DataFrame, measure: str, means: pd.DataFrame, line: Mapping[str, Any], shift: float
) -> None:
    """An arm's single runs as dots, crosses where no mark is over them, and its means as a line."""
    of = means.sort_values("updates")
    counted = runs["is_counted"] | MEASURES[measure][1]
    for these, look_of in ((counted, DOT), (~counted, LEFT_OUT)):
        axes.plot(runs["updates"][these] * shift, runs[measure][these], linestyle="none", alpha=0.6,
                  color=line["color"], zorder=3, **look_of)  # fmt: skip
    axes.plot(of["updates"] * shift, of["mean"], **line)


def _fewer(axes: Axes, means: pd.DataFrame) -> None:
    """`n = 7` above a checkpoint of fewer replicates than the degree has."""
    few = means[means["n_replicates"] < means["n_replicates"].max()].drop_duplicates("updates")
    for updates, n in few[["updates", "n_replicates"]].to_numpy(int).tolist():
        axes.annotate(f"n = {n}", (updates, 1), xycoords=axes.get_xaxis_transform(), xytext=(0, 4),
                      textcoords="offset points", fontsize=SMALL, color=DARK, ha="center")  # fmt: skip


def _gaps(axes: Axes, shown: Shown) -> None:
    """The frame holds all runs, and the limits as far as they do not dwarf them; a longer bar is cut and says so."""
    colour, marker, _ = look(list(NAMES))["per-step DPO"]
    values, limits = [0.0, shown.margin, *shown.gap_runs["difference"]], shown.gaps[["low", "high"]].to_numpy(float)
    least, most = min(values), max(values)
    reach = FAR * (most - least)
    _framed(axes, [*values, *limits[(limits >= least - reach) & (limits <= most + reach)]])
    axes.axhline(0, color=DARK, linewidth=0.7)
    margin_line(axes, shown.margin)
    axes.plot(shown.gap_runs["updates"] * ASIDE, shown.gap_runs["difference"], linestyle="none", marker=".",
              markersize=3.6, alpha=0.6, markeredgewidth=0, color=colour, zorder=3)  # fmt: skip
    for updates, low, high in shown.gaps[["updates", "low", "high"]].to_numpy(float).tolist():
        interval_bar(axes, updates, (low, high), colour, is_vertical=True, cap=CAP)
    axes.plot(shown.gaps["updates"], shown.gaps["mean"], linestyle="none", marker=marker, markersize=MARK, color=colour)
    _fewer(axes, shown.gaps)
