"""Error of advantages estimated from one kind of solution and from both, and what comes of it (the paper's Fig. 10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arms import look
from analysis.figures.style import TEXT_WIDTH, end_labels, log_size_axis, new_figure, paper

NAMES = {"wrong": ("per-step DPO", "wrong"), "all": ("per-step DPO, both", "both")}
SHORT = {"SFT": "SFT", "per-step DPO": "wrong", "per-step DPO, both": "both"}


@dataclass(frozen=True)
class Panels:
    """What is drawn.

    Args:
        estimates: columns steps, of, replicate, value.
        steps: kind of steps to its name on the axis.
        levels: columns arm, n_problems, mean.
        gaps: columns n_problems, mean, low, high.
    """

    estimates: pd.DataFrame
    steps: Mapping[str, str]
    levels: pd.DataFrame
    gaps: pd.DataFrame


def estimates_and_errors(shown: Panels) -> Figure:
    """Error of the estimates, test errors, and the difference that is claimed."""
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 2.6, 1, 3, width_ratios=(1, 1.15, 1))
        _estimates(grid[0, 0], shown)
        looks, ends = look(list(SHORT)), []
        for arm, name in SHORT.items():
            of = shown.levels[shown.levels["arm"] == arm].sort_values("n_problems")
            colour, marker, _ = looks[arm]
            grid[0, 1].plot(of["n_problems"], of["mean"], color=colour, marker=marker)
            ends.append((float(of["n_problems"].iloc[-1]), float(of["mean"].iloc[-1]), name, colour))
        log_size_axis(grid[0, 1], shown.levels["n_problems"].to_numpy(float), "n_problems", 4)
        grid[0, 1].set_ylabel("test error")
        _gaps(grid[0, 2], shown.gaps, looks["per-step DPO, both"][0])
        figure.draw_without_rendering()
        end_labels(grid[0, 1], ends, least_gap=0.13)
    return figure


def _estimates(axes: Axes, shown: Panels) -> None:
    looks = look([arm for arm, _ in NAMES.values()])
    for place, steps in enumerate(shown.steps):
        for k, (of, (arm, _)) in enumerate(NAMES.items()):
            mine = shown.estimates[(shown.estimates["steps"] == steps) & (shown.estimates["of"] == of)]
            colour, marker, _ = looks[arm]
            at = place + 0.24 * (k - 0.5)
            axes.plot([at] * len(mine), mine["value"], linestyle="none", marker=".", color=colour, alpha=0.5)
            axes.plot(at, mine["value"].mean(), marker=marker, color=colour, markersize=6)
    axes.set_xlim(-0.5, len(shown.steps) - 0.5)
    axes.set_xticks(range(len(shown.steps)), list(shown.steps.values()), fontsize=7.5)
    axes.set_ylim(0, float(shown.estimates["value"].max()) * 1.15)
    axes.set_ylabel("error of the advantage")


def _gaps(axes: Axes, gaps: pd.DataFrame, colour: str) -> None:
    of = gaps.sort_values("n_problems")
    axes.axhline(0, color="#333333", linewidth=1.0)
    axes.plot(of["n_problems"], of["mean"], color=colour, marker="X")
    if of["low"].notna().all():
        x, low, high = (of[name].to_numpy(float) for name in ("n_problems", "low", "high"))
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    log_size_axis(axes, of["n_problems"].to_numpy(float), "the same n_problems", 4)
    axes.set_ylabel("both minus wrong alone")
