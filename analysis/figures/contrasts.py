"""Error curves, and beside them each arm's difference from the baseline, which bands of two levels do not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from analysis.arms import look
from analysis.figures.curves import beside_each_other, draw_errors, is_arrow
from analysis.figures.ruled import Ruled, draw_ruled
from analysis.figures.style import TEXT_WIDTH, end_labels, figure_of_rows, in_legend, log_size_axis, paper
from analysis.worth.comparison import Comparison
from analysis.worth.multiplier import Multiplier
from analysis.worth.words import multiplier_text

LONG = 16  # letters of a name
ABREAST = 3  # panels of claims
MOST = 3  # arms whose bands and single runs can be distinguished on one page
IN_A_ROW = 4  # entries of the legend


def errors_and_differences(
    comparison: Comparison, baseline: str, shifts: Sequence[Multiplier], arms: Sequence[str], cells: pd.DataFrame,
    names: Mapping[str, str] | None = None, ruled: Sequence[Ruled] = (),
) -> Figure:  # fmt: skip
    """Left, error against size and each arm's shift (the paper's Figs. 2, 4, 5, 9, 11); right, at the sizes that an arm
    shares with the baseline, its error minus the baseline's with the interval of that difference. A legend above both
    has each arm's mark and worth; below them, a panel a claim has what it is ruled by.

    Args:
        arms: without the baseline.
        cells: columns arm, the table's axis, difference, difference_low, difference_high.
        names: of arms that are called otherwise in the picture.
        ruled: the claims' numbers.
    """
    claimed = [one.arm for one in ruled if one.worth]
    shown = {arm: (names or {}).get(arm, arm) for arm in (baseline, *arms)}
    with paper():
        rows = -(-(1 + len(arms)) // IN_A_ROW)
        below = in_rows(ruled)
        heights = [3.1 + 0.17 * rows, *(1.75 for _ in below)]
        widths = [(1.6, 1.0), *([1.0] * len(several) for several in below)]
        figure, ((above, top), *rest) = figure_of_rows(TEXT_WIDTH, heights, widths)
        draw_errors(
            top[0], comparison, baseline, shifts, [baseline, *arms], has_names=False,
            arrows=arrows_of(shifts, claimed), is_plain=is_crowded(arms),
        )  # fmt: skip
        _differences(top[1], cells.dropna(subset=["difference"]), comparison, baseline, arms, shown)
        for (_, panels), several in zip(rest, below, strict=True):
            for axes, one in zip(panels, several, strict=True):
                draw_ruled(axes, one, 12 // len(several))
        _legend(above, comparison, shifts, shown)
        for axes in top:
            axes.tick_params(axis="x", labelsize=7)  # nine sizes stand side by side
    return figure


def in_rows(ruled: Sequence[Ruled]) -> list[Sequence[Ruled]]:
    """At most three side by side, the rows as alike as they can be."""
    n_rows = -(-len(ruled) // ABREAST)
    n = -(-len(ruled) // max(n_rows, 1))
    return [ruled[k * n : (k + 1) * n] for k in range(n_rows)]


def is_crowded(arms: Sequence[str]) -> bool:
    """Whether so many arms are drawn that their bands and single runs are left out."""
    return len(arms) > MOST


def arrows_of(shifts: Sequence[Multiplier], claimed: Sequence[str]) -> list[Multiplier]:
    """The shifts that are drawn as arrows: those that a claim is about, else all of one or two, else the largest."""
    drawn = [one for one in shifts if is_arrow(one)]
    if claimed:
        return [one for one in drawn if one.arm in claimed]
    return drawn if len(shifts) <= 2 else sorted(drawn, key=lambda one: one.multiplier)[-1:]


def _legend(above: SubFigure, comparison: Comparison, shifts: Sequence[Multiplier], shown: Mapping[str, str]) -> None:
    """An arm's mark, name and worth each, above the panels."""
    looks, worth = look(comparison.draws.table.arms), {one.arm: one for one in shifts}
    handles = []
    for arm, name in shown.items():
        colour, marker, is_control = looks[arm]
        said = f"{name} {multiplier_text(worth[arm], with_interval=False)}" if arm in worth else name
        handles.append(
            Line2D([], [], color=colour, marker=marker, linestyle="--" if is_control else "-", label=in_legend(said),
                   markerfacecolor="white" if is_control else colour)
        )  # fmt: skip
    above.legend(handles=handles, loc="outside upper left", ncols=IN_A_ROW, handletextpad=0.5, columnspacing=1.4)


def _differences(
    axes: Axes, cells: pd.DataFrame, comparison: Comparison, baseline: str, arms: Sequence[str],
    shown: Mapping[str, str],
) -> None:  # fmt: skip
    looks, x_name = look(comparison.draws.table.arms), comparison.draws.table.x_name
    axes.axhline(0, color=looks[baseline][0], linewidth=1.0)
    ends: list[tuple[float, float, str, str]] = []
    for arm, beside in zip(arms, beside_each_other(len(arms), 0.1), strict=True):
        of = cells[cells["arm"] == arm]
        colour, marker, is_control = looks[arm]
        x = of[x_name].to_numpy(float) * beside
        value = of["difference"].to_numpy(float)
        ends += [(float(x.max()), float(value[-1]), _in_two_lines(shown[arm]), colour)] if len(of) else []
        limits = np.abs(of[["difference_low", "difference_high"]].to_numpy(float).T - value)
        axes.errorbar(
            x, value, yerr=limits, fmt=marker, color=colour, markersize=3.6, elinewidth=0.9, capsize=0,
            linestyle="--" if is_control else "-", linewidth=0.8, markerfacecolor="white" if is_control else colour,
        )  # fmt: skip
    if len(cells):
        log_size_axis(axes, cells[x_name].to_numpy(float), x_name, 5)
    axes.set_ylabel(f"error minus {baseline}'s")
    end_labels(axes, ends, least_gap=0.11)


def _in_two_lines(name: str) -> str:
    """Broken where it has a comma; a long one without at its last blank."""
    if ", " in name:
        return name.replace(", ", ",\n", 1)
    return "\n".join(name.rsplit(" ", 1)) if len(name) > LONG else name
