"""An interval as a line that ends where the frame does, and says so (no counterpart in the paper)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.markers import CARETDOWN, CARETLEFT, CARETRIGHT, CARETUP
from matplotlib.ticker import MaxNLocator

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


def interval_bar(
    axes: Axes, place: float, limits: tuple[float, float], colour: Any, *, is_vertical: bool = False, width: float = 1.0
) -> None:
    """A line between the limits at a place of the other axis. What lies beyond the frame, 0 and infinity of a log axis
    among it, is cut off, and an open arrowhead stands there.

    Args:
        axes: their frame is fixed already: what is cut off depends on it.
        limits: low and high; both nan, as one replicate has them, for no line.
        width: of the line, in points.
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
