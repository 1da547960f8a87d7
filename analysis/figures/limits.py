"""An interval as a line that ends where the frame does, and says so (no counterpart in the paper)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.markers import CARETDOWN, CARETLEFT, CARETRIGHT, CARETUP

HORIZONTAL, VERTICAL = (CARETLEFT, CARETRIGHT), (CARETDOWN, CARETUP)


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
    frame = sorted(axes.get_ylim() if is_vertical else axes.get_xlim())
    shown = np.clip(limits, *frame).tolist()

    def plot(values: list[float], **look: Any) -> None:
        places = [place] * len(values)
        axes.plot(*((places, values) if is_vertical else (values, places)), color=colour, zorder=2, **look)

    plot(shown, linewidth=width, solid_capstyle="butt")
    for limit, end, head in zip(limits, shown, VERTICAL if is_vertical else HORIZONTAL, strict=True):
        if limit != end:
            plot([end], linestyle="none", marker=head, markersize=5, markerfacecolor="white", clip_on=False)
