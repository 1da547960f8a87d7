"""Error of advantages estimated from one kind of solution and from both, and what comes of it (the paper's Fig. 10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arms import look
from analysis.figures.limits import interval_bar
from analysis.figures.style import TEXT_WIDTH, log_size_axis, new_figure, paper, size_label

OF = {"wrong": "per-step DPO", "all": "per-step DPO, both"}  # what an estimate is of: the arm that is trained on it
NAMES = {"SFT": "SFT", "per-step DPO": "wrong alone", "per-step DPO, both": "both kinds"}
RULED = ("s", "#333333")  # mark and colour of the average over sizes


@dataclass(frozen=True)
class Panels:
    """What is drawn.

    Args:
        estimates: columns steps, of, replicate, value.
        steps: kind of steps to its name on the axis.
        levels: columns arm, n_problems, mean.
        gaps: columns n_problems, mean, low, high.
        gain: the difference averaged over sizes, which the claim is ruled by: mean, low, high.
    """

    estimates: pd.DataFrame
    steps: Mapping[str, str]
    levels: pd.DataFrame
    gaps: pd.DataFrame
    gain: tuple[float, float, float]


def estimates_and_errors(shown: Panels) -> Figure:
    """Error of the estimates, test errors, and the difference that is claimed."""
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 2.8, 1, 3, width_ratios=(1, 1.15, 1.1))
        looks = look(list(NAMES))
        _estimates(grid[0, 0], shown)
        for arm, name in NAMES.items():
            of = shown.levels[shown.levels["arm"] == arm].sort_values("n_problems")
            colour, marker, _ = looks[arm]
            grid[0, 1].plot(of["n_problems"], of["mean"], color=colour, marker=marker, label=name)
        log_size_axis(grid[0, 1], shown.levels["n_problems"].to_numpy(float), "n_problems", 4)
        grid[0, 1].margins(y=0.08)
        grid[0, 1].set_ylabel("test error")
        _gaps(grid[0, 2], shown, looks["per-step DPO, both"][0])
        figure.legend(*grid[0, 1].get_legend_handles_labels(), loc="outside upper right", ncols=len(NAMES))
    return figure


def _estimates(axes: Axes, shown: Panels) -> None:
    looks = look(list(NAMES))
    for place, steps in enumerate(shown.steps):
        for k, (of, arm) in enumerate(OF.items()):
            mine = shown.estimates[(shown.estimates["steps"] == steps) & (shown.estimates["of"] == of)]
            colour, marker, _ = looks[arm]
            at = place + 0.24 * (k - 0.5)
            axes.plot([at] * len(mine), mine["value"], linestyle="none", marker=".", color=colour, alpha=0.5)
            axes.plot(at, mine["value"].mean(), marker=marker, color=colour, markersize=6)
    axes.set_xlim(-0.5, len(shown.steps) - 0.5)
    axes.set_xticks(range(len(shown.steps)), list(shown.steps.values()), fontsize=7.5)
    axes.set_ylim(0, float(shown.estimates["value"].max()) * 1.15)
    axes.set_ylabel("error of the advantage")


def _gaps(axes: Axes, shown: Panels, colour: str) -> None:
    """The difference at each size, and right of the sizes their average with its bar."""
    of = shown.gaps.sort_values("n_problems")
    sizes = of["n_problems"].to_numpy(float)
    axes.axhline(0, color="#333333", linewidth=1.0)
    axes.plot(sizes, of["mean"], color=colour, marker="X")
    if of["low"].notna().all():
        axes.fill_between(sizes, of["low"].to_numpy(float), of["high"].to_numpy(float), color=colour, alpha=0.15,
                          linewidth=0)  # fmt: skip
    at = float(sizes[-1]) * max(2.0, (sizes[-1] / sizes[0]) ** 0.25)
    mean, low, high = shown.gain
    marker, dark = RULED
    axes.plot(at, mean, linestyle="none", marker=marker, color=dark, zorder=4)
    log_size_axis(axes, np.array([*sizes, at]), "the same n_problems", 5)
    axes.set_xlim(right=at * 1.3)
    axes.set_ylim(*axes.get_ylim())
    interval_bar(axes, at, (low, high), dark, is_vertical=True, width=1.4)
    axes.xaxis.set_major_formatter(lambda value, _: "all" if value == at else size_label(value))
    axes.tick_params(axis="x", labelsize=7.5)
    axes.set_ylabel("error, both minus wrong alone")
