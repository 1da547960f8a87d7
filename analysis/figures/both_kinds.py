"""Error of advantages estimated from one kind of solution and from both, and what comes of it (the paper's Fig. 10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arms import look
from analysis.figures.limits import DARK, interval_bar, margin_line
from analysis.figures.style import TEST_ERROR, TEXT_WIDTH, log_size_axis, new_figure, paper, sideways, size_label

OF = {"wrong": "per-step DPO", "all": "per-step DPO, both"}  # what an estimate is of: the arm that is trained on it
NAMES = {"SFT": "SFT", "per-step DPO": "wrong alone", "per-step DPO, both": "both kinds"}
RULED = "s"  # mark of the average over sizes
CAP = 5.0  # points, of the bars
ASIDE, LANE = 0.1, 0.03  # of replicates beside their mean and from lane to lane; two kinds of steps are 1 apart


@dataclass(frozen=True)
class Panels:
    """What is drawn.

    Args:
        estimates: columns steps, of, replicate, value.
        steps: kind of steps to its name on the axis.
        levels: columns arm, n_problems, mean.
        gaps: columns n_problems, mean, low, high.
        gain: the difference averaged over sizes, which the claim is ruled by: mean, low, high.
        margin: of the claim's rule.
    """

    estimates: pd.DataFrame
    steps: Mapping[str, str]
    levels: pd.DataFrame
    gaps: pd.DataFrame
    gain: tuple[float, float, float]
    margin: float


def estimates_and_errors(shown: Panels) -> Figure:
    """Error of the estimates, test errors, and the difference that is claimed."""
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 2.8, 1, 3, width_ratios=(1, 1.15, 1.1))
        _estimates(grid[0, 0], shown)
        for arm, name in NAMES.items():
            of = shown.levels[shown.levels["arm"] == arm].sort_values("n_problems")
            grid[0, 1].plot(of["n_problems"], of["mean"], label=name, **_look(arm))
        log_size_axis(grid[0, 1], shown.levels["n_problems"].to_numpy(float), "n_problems", 4)
        grid[0, 1].margins(y=0.08)
        grid[0, 1].set_ylabel(TEST_ERROR)
        _gaps(grid[0, 2], shown)
        figure.legend(
            *grid[0, 1].get_legend_handles_labels(), loc="outside upper right", ncols=len(NAMES), handlelength=2.6
        )
    return figure


def _look(arm: str) -> dict[str, Any]:
    """Both kinds open and broken: without colour they would be wrong ones alone."""
    colour, marker, _ = look(list(NAMES))[arm]
    found: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4}
    if NAMES[arm] == "both kinds":
        return found | {"markerfacecolor": "white", "markersize": 5, "linestyle": (0, (4, 1.5))}
    return found


def _estimates(axes: Axes, shown: Panels) -> None:
    """Replicates as dots, and left of them their mean."""
    for place, steps in enumerate(shown.steps):
        for k, (of, arm) in enumerate(OF.items()):
            mine = shown.estimates[(shown.estimates["steps"] == steps) & (shown.estimates["of"] == of)]
            at, values = place + 0.44 * (k - 0.5) - ASIDE / 2, mine["value"].to_numpy(float)
            x = [at + ASIDE + LANE + lane for lane in sideways(values.tolist(), LANE)]
            mark = _look(arm)
            axes.plot(x, values, linestyle="none", marker=".", markersize=5, color=mark["color"], alpha=0.6,
                      markeredgewidth=0)  # fmt: skip
            axes.plot(at, values.mean(), **mark)
    axes.set_xlim(-0.5, len(shown.steps) - 0.5)
    axes.set_xticks(range(len(shown.steps)), list(shown.steps.values()), fontsize=7.5)
    axes.margins(y=0.1)
    axes.set_ylabel("error of the advantage")


def _gaps(axes: Axes, shown: Panels) -> None:
    """The difference at each size, and right of the sizes their average, each with its bar."""
    of = shown.gaps.sort_values("n_problems")
    sizes = of["n_problems"].to_numpy(float)
    axes.axhline(0, color=DARK, linewidth=0.7)
    margin_line(axes, shown.margin)
    mark = _look("per-step DPO, both")
    axes.plot(sizes, of["mean"], zorder=3, **mark)
    at = float(sizes[-1]) * max(2.0, (sizes[-1] / sizes[0]) ** 0.25)
    axes.plot(at, shown.gain[0], linestyle="none", marker=RULED, color=DARK, zorder=4)
    ends = np.array([*of[["mean", "low", "high"]].to_numpy(float).ravel(), *shown.gain, shown.margin, 0.0])
    room = 0.08 * float(np.nanmax(ends) - np.nanmin(ends))
    axes.set_ylim(float(np.nanmin(ends)) - room, float(np.nanmax(ends)) + room)
    for n, low, high in of[["n_problems", "low", "high"]].to_numpy(float).tolist():
        interval_bar(axes, n, (low, high), mark["color"], is_vertical=True, cap=CAP)
    interval_bar(axes, at, shown.gain[1:], DARK, is_vertical=True, width=1.4, cap=CAP)
    log_size_axis(axes, np.array([*sizes, at]), "the same n_problems", 5)
    axes.set_xlim(right=at * 1.3)
    axes.xaxis.set_major_formatter(lambda value, _: "all" if value == at else size_label(value))
    axes.tick_params(axis="x", labelsize=7.5)
    axes.set_ylabel("error, both minus wrong alone")
