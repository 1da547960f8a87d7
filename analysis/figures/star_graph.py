"""Star graphs: loss, the critical token and test error against the updates of SFT (the paper's Fig. 8)."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arms import look
from analysis.figures.style import TEXT_WIDTH, log_size_axis, new_figure, paper

MEASURES = {  # name in the data: what its axis says, and whether only SFT itself has it
    "loss": ("SFT loss (nats a token)", True),
    "value": ("right path at T = 1", False),
    "error": ("test error", False),
}
NAMES = {"SFT": "SFT", "SFT, more updates": "SFT continued", "per-step DPO": "per-step DPO"}


def learnt_with_updates(means: pd.DataFrame) -> Figure:
    """A row of panels a degree, a column a measure.

    Args:
        means: columns degree, arm, updates, measure, mean, low, high (nan where there is one replicate).
    """
    degrees = sorted(means["degree"].unique(), reverse=True)
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 1.9 * len(degrees) + 0.3, len(degrees), len(MEASURES), sharex=True)
        for degree, row in zip(degrees, grid, strict=True):
            for axes, (measure, (label, is_sft_alone)) in zip(row, MEASURES.items(), strict=True):
                of = means[(means["degree"] == degree) & (means["measure"] == measure)]
                _panel(axes, of[of["arm"] == "SFT"] if is_sft_alone else of, int(degree), measure)
                log_size_axis(axes, means["updates"].to_numpy(float), "SFT updates" if degree == degrees[-1] else "", 5)
                axes.set_ylabel(label)
            row[0].set_title(f"degree {degree}", loc="left", color="#444444")
        handles, labels = grid[0, -1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=3, handlelength=1.8, columnspacing=1.4)
    return figure


def _panel(axes: Axes, of: pd.DataFrame, degree: int, measure: str) -> None:
    looks = look(list(NAMES))
    for arm, name in NAMES.items():
        mine = of[of["arm"] == arm].sort_values("updates")
        if not len(mine):
            continue
        colour, marker, is_control = looks[arm]
        axes.plot(
            mine["updates"], mine["mean"], color=colour, marker=marker, label=name, markersize=3.6,
            linestyle="--" if is_control else "-", markerfacecolor="white" if is_control else colour,
        )  # fmt: skip
        axes.fill_between(
            mine["updates"].to_numpy(float), mine["low"].to_numpy(float), mine["high"].to_numpy(float), color=colour,
            alpha=0.12, linewidth=0,
        )  # fmt: skip
    if measure != "loss":
        chance = 1 / degree if measure == "value" else 1 - 1 / degree
        axes.axhline(chance, color="#999999", linewidth=0.9, linestyle=(0, (1, 2)))
        axes.annotate("chance", (axes.get_xlim()[0], chance), xytext=(2, 2), textcoords="offset points",
                      fontsize=7, color="#777777")  # fmt: skip
        axes.set_ylim(-0.03, 1.03)
