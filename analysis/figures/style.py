"""How every figure looks: one column or text width of a paper, colours that colour-blind readers can distinguish.

Files are the same for the same numbers: no dates, fixed SVG ids, text as paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator
from matplotlib.transforms import offset_copy
from numpy.typing import ArrayLike

TEXT_WIDTH, COLUMN_WIDTH = 6.75, 3.25  # inches, of two columns of a journal and of one
OFF = 0.35  # of the least gap between labels: further from its curve's end a label has a line to it
LEADER = "#8A8A8A"
BESIDE = 0.75  # marks of one size are set side by side within this factor
ARROW = 1.55  # length of an arrow from a bound, as a factor
TEST_ERROR = "test error (greedy)"  # what an axis calls it, and a caption too
RC: Any = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral"],
    "mathtext.fontset": "stix",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.5,
    "text.parse_math": False,  # an arm's name is text, whatever dollars are in it
    "legend.fontsize": 8,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.edgecolor": "#444444",
    "axes.labelcolor": "#222222",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "svg.hashsalt": "analysis",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    "figure.dpi": 150,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "legend.frameon": False,
}


def ink(colour: str) -> tuple[float, float, float]:
    """The colour, dark enough for text on white."""
    rgb = np.array(to_rgb(colour))
    return tuple((rgb * min(1.0, 0.30 / max(float(rgb @ (0.2126, 0.7152, 0.0722)), 1e-9)) ** 0.6).tolist())


@contextmanager
def paper() -> Iterator[None]:
    """matplotlib with the settings above and no others."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        yield


def new_figure(
    width: float, height: float, n_rows: int = 1, n_columns: int = 1, **grid: Any
) -> tuple[Figure, np.ndarray]:
    """An empty figure in inches and its (n_rows, n_columns) axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(n_rows, n_columns, squeeze=False, **grid)


def figure_of_rows(
    width: float, heights: Sequence[float], widths: Sequence[Sequence[float]]
) -> tuple[Figure, list[tuple[SubFigure, np.ndarray]]]:
    """An empty figure whose rows have columns of their own: each row with its axes.

    Args:
        heights: of the rows, in inches.
        widths: of each row's columns, relative.
    """
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    return figure, [
        (row, row.subplots(1, len(shares), squeeze=False, width_ratios=shares)[0])
        for row, shares in zip(rows, widths, strict=True)
    ]


def in_legend(name: str) -> str:
    """The name as a legend takes it: matplotlib leaves out what begins with an underscore."""
    return f" {name}" if name.startswith("_") else name


def save(figure: Figure, stem: Path) -> list[Path]:
    """stem.png, .svg and .pdf, without dates."""
    paths = []
    with paper():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # found once: it is dear, and one for all three
        for suffix, metadata in (
            (".png", {"Software": None}),
            (".svg", {"Date": None, "Creator": None}),
            (".pdf", {"CreationDate": None, "Creator": None, "Producer": None}),
        ):
            path = stem.with_name(stem.name + suffix)
            figure.savefig(path, dpi=220, metadata=metadata)  # not cropped: a column is as wide as it is
            paths.append(path)
    return paths


def points(axes: Axes, x: ArrayLike, y: ArrayLike, arm_look: tuple[str, str, bool], label: str) -> None:
    """An arm's points under its name; open where it is a control. Without points its place in the legend alone."""
    colour, marker, is_control = arm_look
    fill = "white" if is_control else colour
    axes.plot(x, y, linestyle="none", marker=marker, color=colour, label=in_legend(label), markerfacecolor=fill)


def open_side(value: float, bound: str) -> float:
    """Where the arrow ends that starts at a bound and points into its open side, on a log axis."""
    return value * ARROW if bound == ">=" else value / ARROW


def open_arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    """From a bound into its open side."""
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={
            "arrowstyle": "->,head_width=0.15,head_length=0.25",
            "color": colour,
            "linewidth": 0.9,
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )


def log_size_axis(axes: Axes, sizes: np.ndarray, label: str, n_labels: int = 8) -> None:
    """A log axis whose ticks are the sizes that were run, thinned until n_labels at most stand apart."""
    axes.set_xscale("log")
    ticks = sorted(set(float(size) for size in sizes))
    least = 10 ** (np.log10(ticks[-1] / ticks[0]) / n_labels) * (1 - 1e-9) if len(ticks) > 1 else 1.0
    kept = ticks[:1]
    for tick in ticks[1:]:
        if tick >= kept[-1] * least:
            kept.append(tick)
    axes.xaxis.set_major_locator(FixedLocator(kept))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size_label(value)))
    axes.set_xlabel(label)


def log_error_axis(axes: Axes, low: float, high: float, label: str) -> None:
    """A log axis with plain decimal ticks at round errors, or losses."""
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    if high > 1:
        steps: tuple[float, ...] = tuple(MaxNLocator(6).tick_values(low, high))
    elif high / low > 30:
        steps = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    elif high / low > 2.2:
        steps = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
    else:
        steps = tuple(np.round(np.arange(0.02, 1.0, 0.02 if high / low < 1.25 else 0.05), 2))
    axes.yaxis.set_major_locator(FixedLocator([tick for tick in steps if low <= tick <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel(label)


def worth_axis(axes: Axes, low: float, high: float, label: str) -> None:
    """A log axis of multipliers, a step a doubling."""
    axes.set_yscale("log", base=2)
    axes.set_ylim(low, high)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axes.set_ylabel(label)


def tested(y_name: str) -> str:
    """What an axis is called: test error (greedy) of the `greedy error`, test error, test loss."""
    how, _, what = y_name.rpartition(" ")
    return f"test {what} ({how})" if how else f"test {what}"


def size_label(value: float) -> str:
    """128, 2,048, 16k, 16,384, 1.5M."""
    for size, suffix in ((1e9, "B"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.3g}{suffix}"
    if value >= 1e4 and value % 1000 == 0:
        return f"{value / 1000:.0f}k"
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def end_labels(axes: Axes, places: list[tuple[float, float, str, str]], *, least_gap: float = 0.052) -> None:
    """Labels right of the curves' ends, those of one x pushed apart vertically; each (x, y, text, colour). Marks that
    stand side by side at one x count as of one, and each label keeps to its own."""
    rest, last = sorted(places, key=lambda place: place[0]), max((place[0] for place in places), default=0.0)
    while rest:
        x = rest[-1][0]
        at_one = [place for place in rest if place[0] == x or place[0] > BESIDE * x > 0]
        _end_labels(axes, at_one, least_gap, is_inside=x < last)
        rest = rest[: -len(at_one)]


def _end_labels(axes: Axes, places: list[tuple[float, float, str, str]], least_gap: float, *, is_inside: bool) -> None:
    """Of curves that end at one x; inside the frame they keep below the highest end, off the curves that go on above.
    Where one was pushed off its curve's height, each has a thin line to its curve's end. A white ground keeps the
    letters free of what they lie on, and leaves them letters in the files."""
    to_axes = axes.transData + axes.transAxes.inverted()
    x = max(to_axes.transform(place[:2])[0] for place in places)
    ordered = sorted(places, key=lambda place: place[1])
    ends = [to_axes.transform((place[0], place[1]))[1] for place in ordered]
    heights = set_apart(ends, least_gap)
    highest = ends[-1] - least_gap / 2
    down = max(0.0, heights[-1] - highest) if is_inside and len(places) > 1 else 0.0
    is_led = any(abs(height - down - end) > OFF * least_gap for height, end in zip(heights, ends, strict=True))
    right = 16 if is_led else 7  # points
    beside = offset_copy(axes.transAxes, axes.get_figure(root=True), x=right, y=0, units="points")
    for (end_x, end_y, text, colour), height in zip(ordered, heights, strict=True):
        line = {"arrowstyle": "-", "color": LEADER, "linewidth": 0.5, "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 2}
        axes.annotate(
            text,
            (end_x, end_y),
            xytext=(x, height - down),
            textcoords=beside,
            color=ink(colour),
            va="center",
            ha="left",
            fontsize=8.5,
            linespacing=1.0,
            zorder=6,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
            arrowprops=line if is_led else None,
        )


def sideways(values: Sequence[float], step: float) -> list[float]:
    """How far each value's dot stands beside its line: three lanes in turn by rank, so that neighbours do not merge."""
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return [(int(rank) % 3 - 1) * step for rank in ranks]


def set_apart(values: Sequence[float], least_gap: float) -> list[float]:
    """Rising values pushed apart until neighbours differ by the gap, as far down as up."""
    out = list(values)
    for _ in range(200):
        moved = False
        for i in range(len(out) - 1):
            gap = out[i + 1] - out[i]
            if gap < least_gap - 1e-9:
                out[i] -= (least_gap - gap) / 2
                out[i + 1] += (least_gap - gap) / 2
                moved = True
        if not moved:
            break
    return out
