"""What a claim is ruled by: an interval as a line that ends where the frame does, and says so, and the margin of the
rule (no counterpart in the paper)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.markers import CARETDOWN, CARETLEFT, CARETRIGHT, CARETUP
from matplotlib.ticker import MaxNLocator

from analysis.worth.words import number

DARK = "#222222"  # what belongs to no arm: the line at 0, the margin, the difference that is ruled on
ROOM, CORNER = 0.08, 0.06  # beyond the outermost value; what a tick keeps from the frame's corners; of the width
HORIZONTAL, VERTICAL = (CARETLEFT, CARETRIGHT), (CARETDOWN, CARETUP)


def framed(axes: Axes, values: Sequence[float], *, n_ticks: int = 6) -> None:
    """The x axis around all values (nan apart), with round ticks that keep off the corners, where a number would
    overhang."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = ROOM * ((high - low) or 1.0)
    low, high = low - room, high + room
    corner = CORNER * (high - low)
    axes.set_xlim(low, high)
    ticks = MaxNLocator(n_ticks, steps=[1, 2, 5, 10]).tick_values(low, high)
    axes.set_xticks([x for x in ticks if low + corner <= x <= high - corner])


def margin_line(axes: Axes, value: float, *, is_vertical: bool = True, said: str = "") -> None:
    """A broken line at the margin of a claim's rule, with its value beyond the frame, where nothing is drawn.

    Args:
        is_vertical: whether the values stand on the y axis, as in `interval_bar`.
        said: what it is called, where that is not the number.
    """
    look: dict[str, Any] = {"color": DARK, "linewidth": 0.9, "linestyle": "--", "zorder": 1.5}
    text: dict[str, Any] = {"text": said or number(value), "textcoords": "offset points", "fontsize": 8, "color": DARK}
    if is_vertical:
        axes.axhline(value, **look)
        axes.annotate(xy=(1, value), xycoords=axes.get_yaxis_transform(), xytext=(3, 0), va="center", **text)
    else:
        axes.axvline(value, **look)
        axes.annotate(xy=(value, 1), xycoords=axes.get_xaxis_transform(), xytext=(0, 2), ha="center", **text)


def interval_bar(
    axes: Axes, place: float, limits: tuple[float, float], colour: Any, *, is_vertical: bool = False,
    width: float = 1.0, cap: float = 0.0,
) -> None:  # fmt: skip
    """A line between the limits at a place of the other axis. What lies beyond the frame, 0 and infinity of a log axis
    among it, is cut off, and an open arrowhead stands there.

    Args:
        axes: their frame is fixed already: what is cut off depends on it.
        limits: low and high; both nan, as one replicate has them, for no line.
        width: of the line, in points.
        cap: length of the strokes across the two limits, in points; an arrowhead stands in the place of one.
    """
    if math.isnan(limits[0]) or math.isnan(limits[1]):
        return
    start, end = sorted(axes.get_ylim() if is_vertical else axes.get_xlim())
    shown = np.clip(np.array(limits), start, end).tolist()

    def plot(values: list[float], **look: Any) -> None:
        places = [place] * len(values)
        axes.plot(*((places, values) if is_vertical else (values, places)), color=colour, zorder=2, **look)

    plot(shown, linewidth=width, solid_capstyle="butt")
    for limit, at, head in zip(limits, shown, VERTICAL if is_vertical else HORIZONTAL, strict=True):
        if limit != at:
            plot([at], linestyle="none", marker=head, markersize=5, markerfacecolor="white", clip_on=False)
        elif cap:
            plot([at], linestyle="none", marker="_" if is_vertical else "|", markersize=cap, markeredgewidth=0.8)
