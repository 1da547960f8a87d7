"""Pictures of the map: what each ingredient does, and how far what the baseline gets wrong explains it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arms import in_order, look
from analysis.figures import style
from analysis.worth.words import count

LEVELS = (1.0, 2.0, 8.0)


def map_figure(points: pd.DataFrame) -> Figure:
    """A row a variant, a panel a size: multipliers with intervals on a log axis, lines at 1, 2 and 8."""
    study = points["variant"].iloc[0]
    arms = in_order(points["arm"].unique())
    sizes = sorted(points["n_problems"].unique())
    looks = look(arms)
    key = points[(points["arm"] == arms[-1]) & (points["n_problems"] == sizes[-1])]
    worth = dict(zip(key["variant"], key["multiplier"].fillna(1.0), strict=True))
    order = sorted(points["variant"].unique(), key=lambda name: worth.get(name, 0.0))
    place = {name: row for row, name in enumerate(order)}
    finite = points["multiplier"][np.isfinite(points["multiplier"]) & (points["multiplier"] > 0)]
    low, high = min(0.5, finite.min()) / 1.3, max(16.0, finite.max()) * 1.7
    with style.paper():
        figure, grid = style.new_figure(style.TEXT_WIDTH, 1.0 + 0.30 * len(order), 1, len(sizes), sharey=True)
        for axes, size in zip(grid[0], sizes, strict=True):
            axes.set_xscale("log", base=2)
            axes.set_xlim(max(low, 1 / 8), min(high, 128))
            axes.axhspan(place[study] - 0.5, place[study] + 0.5, color="#F2EEE6", zorder=0)
            for level in LEVELS:
                axes.axvline(level, color="#444444" if level == 1 else "#AAAAAA", linewidth=0.8, zorder=1)
            for k, arm in enumerate(arms):
                colour, marker, is_control = looks[arm]
                axes.plot([], [], linestyle="none", marker=marker, color=colour, label=arm,
                          markerfacecolor="white" if is_control else colour)  # fmt: skip
                rows = points[(points["arm"] == arm) & (points["n_problems"] == size)]
                for row in rows.itertuples():
                    y = place[row.variant] + 0.22 * (k - (len(arms) - 1) / 2)
                    _mark(axes, y, row, colour, marker, is_control)
            axes.set_title(f"at n_problems = {count(size)}", loc="left", color="#444444")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
            axes.grid(axis="x", visible=False)
        axes = grid[0, 0]
        axes.set_yticks(range(len(order)), [name.replace("_", " ") for name in order])
        axes.set_ylim(-0.6, len(order) - 0.4)
        grid[0, -1].set_xlabel(f"worth in {points['baseline'].iloc[0]} data")
        axes.set_xlabel(f"worth in {points['baseline'].iloc[0]} data")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=len(arms), handletextpad=0.2)
    return figure


def _mark(axes: Axes, y: float, row: Any, colour: str, marker: str, is_control: bool) -> None:
    """A point with its interval, or from a bound an arrow into the open side and a dotted line to the limit of its
    interval; limits beyond the axis are cut by it."""
    left, right = axes.get_xlim()
    if row.bound == "=":
        axes.plot([max(row.ci_low, left), min(row.ci_high, right)], [y, y], color=colour, linewidth=0.9)
        at = min(max(row.multiplier, left), right)
        axes.plot(at, y, marker=marker, color=colour, markerfacecolor="white" if is_control else colour, zorder=3)
    elif row.bound in (">=", "<="):
        at = min(max(row.multiplier, left * 1.6), right / 1.6)
        end = at * 1.55 if row.bound == ">=" else at / 1.55
        arrow = {"arrowstyle": "->,head_width=0.15,head_length=0.25", "color": colour, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", xy=(end, y), xytext=(at, y), arrowprops={**arrow, "linewidth": 0.9}, zorder=3)
        axes.plot(at, y, marker="|", color=colour, markersize=6, zorder=3)
        inner = max(row.ci_low, left) if row.bound == ">=" else min(row.ci_high, right)
        axes.plot([inner, at], [y, y], color=colour, linewidth=0.9, linestyle=(0, (1.5, 1.5)))


def worth_by_share(points: pd.DataFrame) -> Figure:
    """A panel an arm: its worth at each size of each variant against the share of the baseline's flaws that are of the
    kinds asked for; open where the variant leaves what there is to learn alone and changes how it is trained."""
    points = points[points["share"].notna() & points["bound"].isin(["=", ">=", "<="])]
    arms = in_order(points["arm"].unique())
    sizes = sorted(points["n_problems"].unique())
    looks = look(arms)
    with style.paper():
        figure, grid = style.new_figure(style.TEXT_WIDTH, 2.6, 1, len(arms), sharey=True)
        for axes, arm in zip(grid[0], arms, strict=True):
            axes.set_yscale("log", base=2)
            axes.set_ylim(1 / 6, 64)
            for level in LEVELS:
                axes.axhline(level, color="#444444" if level == 1 else "#AAAAAA", linewidth=0.8, zorder=1)
            for row in points[points["arm"] == arm].itertuples():
                _mark_up(axes, row, looks[arm][0], "os^Dv"[sizes.index(row.n_problems) % 5])
            axes.set_title(arm, loc="left", color=style.ink(looks[arm][0]))
            axes.set_xlim(0, 1)
            axes.set_xlabel(f"flaws: {points['share_of'].iloc[0]}")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}×")
        axes = grid[0, 0]
        axes.set_ylabel(f"worth in {points['baseline'].iloc[0]} data")
        for size, marker in zip(sizes, "os^Dv", strict=False):
            axes.plot([], [], linestyle="none", marker=marker, color="#444444", label=f"n_problems = {count(size)}")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper left", ncols=len(sizes), handletextpad=0.2)
    return figure


def _mark_up(axes: Axes, row: Any, colour: str, marker: str) -> None:
    """A point with its interval; from a bound an arrow into the open side."""
    low, high = axes.get_ylim()
    at = min(max(row.multiplier, low * 1.6), high / 1.6)
    limits = [max(row.ci_low, low), min(row.ci_high, high)]
    if row.bound != "=":
        limits = [limits[0], at] if row.bound == ">=" else [at, limits[1]]
        end = at * 1.55 if row.bound == ">=" else at / 1.55
        arrow = {"arrowstyle": "->,head_width=0.15,head_length=0.25", "color": colour, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", xy=(row.share, end), xytext=(row.share, at), arrowprops={**arrow, "linewidth": 0.9})
    axes.plot([row.share, row.share], limits, color=colour, linewidth=0.6, alpha=0.45, zorder=2)
    fill = "white" if row.is_training else colour
    axes.plot(row.share, at, marker=marker, color=colour, markerfacecolor=fill, zorder=3)
