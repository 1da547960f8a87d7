"""Star graphs: loss, the critical token and test error against the updates of SFT (the paper's Fig. 8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arms import look
from analysis.figures.limits import interval_bar
from analysis.figures.style import TEXT_WIDTH, log_size_axis, new_figure, paper

MEASURES = {  # name in the data: what its column is called, and whether only SFT itself has it
    "loss": ("SFT loss (nats a token)", True),
    "value": ("chance of a right path", False),
    "error": ("test error", False),
}
GAP = "test error, per-step DPO\nminus SFT continued"
NAMES = {"SFT": "SFT", "SFT, more updates": "SFT continued", "per-step DPO": "per-step DPO"}
APART = 1.13  # of two arms at one checkpoint, as a factor of updates
ASIDE = 1.3  # of the runs of a difference beside its bar, as a factor of updates
ROOM = 1.35  # of the frame of differences around the outermost run, as a factor


@dataclass(frozen=True)
class Shown:
    """What is drawn.

    Args:
        runs: columns degree, arm, updates, replicate, and each measure.
        means: columns degree, arm, updates, measure, mean, n_replicates.
        gap_runs: columns degree, updates, replicate, difference.
        gaps: columns degree, updates, mean, low, high (nan where there is one replicate), n_replicates.
    """

    runs: pd.DataFrame
    means: pd.DataFrame
    gap_runs: pd.DataFrame
    gaps: pd.DataFrame


def learnt_with_updates(shown: Shown) -> Figure:
    """A row of panels a degree: a column a measure, and the difference that the claim is ruled by."""
    degrees = sorted(shown.means["degree"].unique())
    updates = shown.means["updates"].to_numpy(float)
    span = ROOM * max(float(shown.gap_runs["difference"].abs().max()), 0.01)
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 1.75 * len(degrees) + 0.6, len(degrees), len(MEASURES) + 1, sharex=True)
        for degree, row in zip(degrees, grid, strict=True):
            mine = Shown(**{name: of[of["degree"] == degree] for name, of in vars(shown).items()})
            for axes, measure in zip(row, MEASURES, strict=False):
                _panel(axes, mine, int(degree), measure)
            _gaps(row[-1], mine, span)
            for axes in row:
                log_size_axis(axes, updates, "SFT updates" if degree == degrees[-1] else "", 6)
                axes.tick_params(labelsize=6.5)
            row[0].set_ylabel(f"degree {degree}")
        for axes, (title, _) in zip(grid[0], [*MEASURES.values(), (GAP, False)], strict=True):
            axes.set_title(title, fontsize=8)
        handles, labels = grid[0, -2].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=3, handlelength=1.8, columnspacing=1.4)
    return figure


def _panel(axes: Axes, shown: Shown, degree: int, measure: str) -> None:
    looks, is_sft_alone = look(list(NAMES)), MEASURES[measure][1]
    means = shown.means[shown.means["measure"] == measure]
    for k, (arm, name) in enumerate(NAMES.items()):
        if is_sft_alone and arm != "SFT":
            continue
        colour, marker, is_control = looks[arm]
        line = {
            "color": colour, "marker": marker, "markersize": 3.6, "linewidth": 1.0, "label": name, "zorder": 4,
            "linestyle": "--" if is_control else "-", "markerfacecolor": "white" if is_control else colour,
        }  # fmt: skip
        shift = 1.0 if is_sft_alone else APART ** (k - (len(NAMES) - 1) / 2)
        _levels(axes, shown.runs[shown.runs["arm"] == arm], measure, means[means["arm"] == arm], line, shift)
    if not is_sft_alone:
        chance = 1 / degree if measure == "value" else 1 - 1 / degree
        axes.axhline(chance, color="#777777", linewidth=0.9, linestyle=(0, (1, 2)))
        axes.annotate("chance", (1, chance), xycoords=axes.get_yaxis_transform(), xytext=(2, 0),
                      textcoords="offset points", fontsize=6.5, color="#555555", va="center")  # fmt: skip
        axes.set_ylim(-0.03, 1.03)


def _levels(
    axes: Axes, runs: pd.DataFrame, measure: str, means: pd.DataFrame, line: Mapping[str, Any], shift: float
) -> None:
    """An arm's single runs as dots, and its means as a line."""
    of = means.sort_values("updates")
    axes.plot(runs["updates"] * shift, runs[measure], linestyle="none", marker=".", markersize=4, alpha=0.6,
              markeredgewidth=0, color=line["color"], zorder=3)  # fmt: skip
    axes.plot(of["updates"] * shift, of["mean"], **line)
    _rings(axes, of, str(line["color"]), shift)


def _rings(axes: Axes, means: pd.DataFrame, colour: str, shift: float = 1.0) -> None:
    """Around the means over fewer replicates than the degree has."""
    few = means[means["n_replicates"] < means["n_replicates"].max()]
    axes.plot(few["updates"] * shift, few["mean"], linestyle="none", marker="o", markersize=7, markeredgewidth=0.7,
              markerfacecolor="none", color=colour, zorder=5)  # fmt: skip


def _gaps(axes: Axes, shown: Shown, span: float) -> None:
    colour, marker, _ = look(list(NAMES))["per-step DPO"]
    axes.set_ylim(-span, span)
    axes.axhline(0, color="#333333", linewidth=1.0)
    axes.plot(shown.gap_runs["updates"] * ASIDE, shown.gap_runs["difference"], linestyle="none", marker=".",
              markersize=4, alpha=0.6, markeredgewidth=0, color=colour, zorder=3)  # fmt: skip
    for updates, low, high in shown.gaps[["updates", "low", "high"]].to_numpy(float).tolist():
        interval_bar(axes, updates, (low, high), colour, is_vertical=True)
    axes.plot(shown.gaps["updates"], shown.gaps["mean"], linestyle="none", marker=marker, markersize=3.6, color=colour)
    _rings(axes, shown.gaps, colour)
