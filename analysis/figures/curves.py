"""The figures: one function a figure, named after what it shows. Each returns a matplotlib Figure.

Curves are the law named on the page; points are means over seeds with the interval of the table's level, small dots
single runs. An arrow is the horizontal shift: from the arm's size to the baseline's size at one error. An arrow with
an open head stops at the largest size that was run: a bound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.arms import MAIN_ARMS, look, panels
from analysis.figures.style import (
    TEXT_WIDTH,
    end_labels,
    log_error_axis,
    log_size_axis,
    new_figure,
    open_arrow,
    open_side,
    paper,
    points,
    set_apart,
    tested,
    worth_axis,
)
from analysis.intervals import interval
from analysis.laws.fit import FitStatus
from analysis.worth.comparison import Comparison
from analysis.worth.multiplier import Multiplier
from analysis.worth.readings import at_sizes
from analysis.worth.words import multiplier_text

ARROWS_APART = 0.016  # of ln error
SHORTEST = 1.2  # a shift below has no room for an arrow's head
DEEP = 2.0  # how far below the least mark a band is followed, as a factor
Looks = Mapping[str, tuple[str, str, bool]]  # arm -> colour, marker, whether it is a control


def error_against_n_problems(
    comparison: Comparison, baseline: str, shifts: Sequence[Multiplier], arms: Sequence[str] | None = None
) -> Figure:
    """Error against size, fitted curves, and each arm's horizontal shift to the baseline (the paper's Figs. 2, 5)."""
    arms = list(arms or _main(comparison.draws.table.arms, baseline))
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 3.6)
        draw_errors(grid[0, 0], comparison, baseline, shifts, arms)
    return figure


def draw_errors(
    axes: Axes,
    comparison: Comparison,
    baseline: str,
    shifts: Sequence[Multiplier],
    arms: Sequence[str],
    *,
    has_names: bool = True,
    arrows: Sequence[Multiplier] | None = None,
    is_plain: bool = False,
) -> None:
    """The curves, shifts, axes and names of that figure.

    Args:
        has_names: not where a legend gives them.
        arrows: the shifts that are drawn; all where None.
        is_plain: without bands and single runs, which cannot be distinguished where many arms are drawn.
    """
    table = comparison.draws.table
    looks, shift_laws = look(table.arms), {one.law for one in shifts}
    lows, highs, ends = [], [], []
    for k, arm in enumerate(arms):
        law = comparison.law_of(arm, baseline)
        if arm == baseline and len(shift_laws) == 1:  # the arrows end on this curve
            (law,) = shift_laws
        beside = beside_each_other(len(arms), 0.02)[k]
        low, high, end = _curve_with_points(axes, comparison, arm, law, looks[arm], beside, is_plain=is_plain)
        lows.append(low)
        highs.append(high)
        ends.append((*end, arm, looks[arm][0]))
    sizes = np.exp(np.concatenate([comparison.ln_n(arm) for arm in arms]))
    if table.reference_error is not None and table.reference_error < 1.6 * max(highs):
        _base_model(axes, float(sizes.max()), table.reference_error)
        highs.append(1.08 * table.reference_error)
    log_size_axis(axes, sizes, _size_name(table.x_name), 10)
    log_error_axis(axes, min(lows) / 1.06, min(table.top, max(highs) * 1.08), tested(table.y_name))
    axes.set_xlim(sizes.min() / 1.12, sizes.max() * 1.12)
    _draw_shifts(axes, comparison, [one for one in (shifts if arrows is None else arrows) if one.arm in arms], looks)
    if has_names:
        _name_ends(axes, ends, shifts)


def _name_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]], shifts: Sequence[Multiplier]) -> None:
    last, worth = max(x for x, *_ in ends), {one.arm: one for one in shifts}
    named = [(x, y, _named(arm, worth.get(arm), is_last=x == last), colour) for x, y, arm, colour in ends]
    is_short = all(x < last for x, _, arm, _ in ends if arm in worth)
    end_labels(axes, named, least_gap=0.06 if is_short else 0.105)


def beside_each_other(n: int, most: float) -> list[float]:
    """Factors of a log axis that set n arms' marks at one size side by side, the outermost within 14 % of it."""
    step = min(most, 0.28 / max(n - 1, 1))
    return [1 + step * (k - (n - 1) / 2) for k in range(n)]


def _named(arm: str, m: Multiplier | None, *, is_last: bool) -> str:
    """The arm and its worth, with the interval where the label has the margin to itself."""
    if m is None:
        return arm
    return f"{arm}\n{multiplier_text(m)}" if is_last else f"{arm} {multiplier_text(m, with_interval=False)}"


def _base_model(axes: Axes, x: float, error: float) -> None:
    """The base model's error as a dotted line, named at its right end, where no curve comes near it."""
    axes.axhline(error, color="#999999", linewidth=0.9, linestyle=(0, (1, 2)))
    axes.annotate(
        "base model", (x, error), xytext=(0, 2), ha="right", va="bottom", fontsize=8, textcoords="offset points",
        color="#777777", bbox={"facecolor": "white", "edgecolor": "none", "pad": 0},
    )  # fmt: skip


def _main(arms: Sequence[str], baseline: str) -> list[str]:
    main = [arm for arm in MAIN_ARMS if arm in arms]
    return main if baseline in main else [baseline, *[arm for arm in arms if arm != baseline]]


def _size_name(x_name: str) -> str:
    names = {
        "n_problems": "number of synthetic problems (n_problems)",
        "total_seconds": "training seconds, all stages",
        "total_flops": "floating-point operations, all stages",
        "total_n_trained_tokens": "trained tokens, all stages",
        "total_n_updates": "updates, all stages",
        "total_n_sampled_tokens": "generated tokens, all stages",
        "n_params": "parameters",
    }
    return names.get(x_name, x_name)


def _curve_with_points(
    axes: Axes, comparison: Comparison, arm: str, law: str, arm_look: tuple[str, str, bool], beside: float = 1.0,
    *, is_plain: bool = False,
) -> tuple[float, float, tuple[float, float]]:  # fmt: skip
    """Draw one arm; return its least and largest drawn error and where its label goes."""
    least, largest, x, y = _cells(axes, comparison, arm, arm_look, beside, has_runs=not is_plain)
    if comparison.n_sizes(arm) >= 3:
        y, lowest = _curve(axes, comparison, arm, law, arm_look, has_band=not is_plain)
        least = min(least, max(lowest, least / DEEP))
    return least, largest, (x, y)


def _cells(
    axes: Axes, comparison: Comparison, arm: str, arm_look: tuple[str, str, bool], beside: float, *, has_runs: bool
) -> tuple[float, float, float, float]:
    """Means with intervals, and single runs as dots, at this factor of their size: least and largest drawn error, last
    size and the error there."""
    colour, marker, is_control = arm_look
    table, ln_n, errors = comparison.draws.table, comparison.ln_n(arm), comparison.arm_errors(arm)
    limits = np.array([interval(column[1:], comparison.level) for column in errors.T])
    runs = table.runs[(table.runs["arm"] == arm) & (table.runs["x"] > 0)]
    if has_runs:
        axes.plot(
            runs["x"] * beside, runs["error"], linestyle="none", marker=".", markersize=2.6, color=colour, alpha=0.45,
            zorder=2,
        )  # fmt: skip
    axes.errorbar(
        np.exp(ln_n) * beside,
        errors[0],
        yerr=np.abs(limits.T - errors[0]),
        fmt=marker,
        color=colour,
        markerfacecolor="white" if is_control else colour,
        markeredgewidth=0.9,
        elinewidth=0.9,
        capsize=0,
        zorder=4,
    )
    shown = np.concatenate([limits.ravel(), runs["error"].to_numpy(float) if has_runs else []])
    least = float(shown[shown > 0].min(initial=1.0))  # a log axis has no place for a run without errors
    return least, float(shown.max()), float(np.exp(ln_n[-1])), float(errors[0, -1])


def _curve(
    axes: Axes, comparison: Comparison, arm: str, law: str, arm_look: tuple[str, str, bool], *, has_band: bool
) -> tuple[float, float]:
    """The fitted law with its band, or where it does not fall a line from mean to mean; the error at its end, and the
    least that the band holds."""
    colour, _, is_control = arm_look
    fitted, ln_n, observed = comparison.fit(arm, law), comparison.ln_n(arm), comparison.arm_errors(arm)[0]
    if fitted.status is FitStatus.NOT_FALLING:
        axes.plot(np.exp(ln_n), observed, color=colour, linewidth=0.9, linestyle=(0, (1, 1.2)), zorder=3)
        return float(observed[-1]), float(observed[-1])
    at = np.linspace(ln_n[0], ln_n[-1], 80)
    drawn = fitted.curves.error_at(at)
    axes.plot(np.exp(at), drawn[0], color=colour, linestyle="--" if is_control else "-", zorder=3)
    if not has_band:
        return float(drawn[0, -1]), float(drawn[0, -1])
    band = np.array([interval(column[1:], comparison.level) for column in drawn.T])
    axes.fill_between(np.exp(at), band[:, 0], band[:, 1], color=colour, alpha=0.12, linewidth=0, zorder=1)
    return float(drawn[0, -1]), float(band[:, 0].min())


def is_arrow(m: Multiplier) -> bool:
    """Whether a shift can be drawn: it is known, and longer than an arrow's head."""
    return m.bound in ("=", ">=") and np.isfinite(m.multiplier) and m.multiplier >= SHORTEST


def _draw_shifts(axes: Axes, comparison: Comparison, shifts: Sequence[Multiplier], looks: Looks) -> None:
    """An arrow a shift; those at nearly one error are set apart, as far down as up."""
    drawn = []
    for m in sorted(filter(is_arrow, shifts), key=lambda one: one.at_error):
        n_1 = m.at_size if m.at_size is not None else _size_of(comparison, m.arm, m)
        if n_1 is not None:
            drawn.append((m, n_1))
    heights = np.exp(set_apart([float(np.log(m.at_error)) for m, _ in drawn], ARROWS_APART))
    for (m, n_1), e in zip(drawn, heights, strict=True):
        axes.annotate(
            "",
            xy=(n_1 * m.multiplier, e),
            xytext=(n_1, e),
            zorder=5,
            arrowprops={
                "arrowstyle": f"{'-|>' if m.bound == '=' else '->'},head_width=0.18,head_length=0.35",
                "color": looks[m.arm][0],
                "linewidth": 1.1,
                "shrinkA": 0,
                "shrinkB": 0,
                "linestyle": "-" if m.bound == "=" else (0, (4, 2)),
            },
        )


def _size_of(comparison: Comparison, arm: str, m: Multiplier) -> float | None:
    ln_n = comparison.curves(arm, m.law).ln_size_at(np.array([m.at_error]))[0, 0]
    return float(np.exp(ln_n)) if np.isfinite(ln_n) else None


def controls_against_n_problems(comparison: Comparison, baseline: str) -> Figure | None:
    """Every arm at every size, the controls beside the arms they test (no counterpart in the paper)."""
    table = comparison.draws.table
    looks = look(table.arms)
    drawn = panels(table.arms)
    if not any(looks[arm][2] for _, arms in drawn for arm in arms):
        return None
    with paper():
        n_rows = (len(drawn) + 1) // 2
        figure, grid = new_figure(TEXT_WIDTH, 3.1 * n_rows, n_rows, min(len(drawn), 2), sharey=True)
        every = grid.ravel()
        for empty in every[len(drawn) :]:
            empty.set_visible(False)
        lows, highs, ends = [], [], []
        sizes = np.exp(np.concatenate([comparison.ln_n(arm) for _, arms in drawn for arm in arms]))
        for axes, (title, arms) in zip(every, drawn, strict=False):
            places = []
            for arm in arms:
                law = comparison.law_of(arm, baseline)
                low, high, last = _curve_with_points(axes, comparison, arm, law, looks[arm])
                lows.append(low)
                highs.append(high)
                places.append((*last, arm.removeprefix("RFT, "), looks[arm][0]))
            ends.append(places)
            log_size_axis(axes, sizes, "n_problems" if table.x_name == "n_problems" else _size_name(table.x_name), 4)
            axes.set_xlim(sizes.min() / 1.15, sizes.max() * 1.15)
            axes.set_title(title, loc="left", color="#444444")
        for axes, places in zip(every, ends, strict=False):
            log_error_axis(axes, min(lows) / 1.06, min(table.top, max(highs) * 1.08), "")
            end_labels(axes, places, least_gap=0.06)
        for axes in grid[:, 0]:
            axes.set_ylabel(tested(table.y_name))
    return figure


def multiplier_at_each_size(comparison: Comparison, baseline: str, arms: Sequence[str]) -> Figure:
    """The multiplier at the arm's own sizes, bounds with open arrows (Figs. 2 and 5 as numbers)."""
    looks = look(comparison.draws.table.arms)
    with paper():
        figure, grid = new_figure(TEXT_WIDTH, 2.9)
        axes = grid[0, 0]
        values = [1.0]
        for k, arm in enumerate(arms):
            points(axes, [], [], looks[arm], arm)
            offset = 1.0 + 0.035 * (k - (len(arms) - 1) / 2)
            for m in at_sizes(comparison, arm, baseline):
                if m.at_size is None or m.bound == "?" or not np.isfinite(m.multiplier) or m.multiplier <= 0:
                    continue
                x, values = m.at_size * offset, [*values, m.multiplier]
                _reading(axes, x, m, looks[arm])
        axes.axhline(1.0, color="#444444", linewidth=0.8)
        worth_axis(axes, min(values) / 2, max(values) * 2, f"worth in {baseline} data")
        sizes = np.exp(np.concatenate([comparison.ln_n(arm) for arm in arms]))
        log_size_axis(axes, sizes, f"the arm's {comparison.draws.table.x_name}")
        axes.set_xlim(sizes.min() / 1.2, sizes.max() * 1.2)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(arms), handletextpad=0.2, columnspacing=1.4)
    return figure


def _reading(axes: Axes, x: float, m: Multiplier, arm_look: tuple[str, str, bool]) -> None:
    """One multiplier: a point with its interval, or an arrow from the bound into the open side."""
    colour, marker, is_control = arm_look
    if m.bound == "=":
        low, high = max(m.ci_low, m.multiplier / 64), min(m.ci_high, m.multiplier * 64)
        axes.plot([x, x], [low, high], color=colour, linewidth=0.9)
        axes.plot(x, m.multiplier, marker=marker, color=colour, markerfacecolor="white" if is_control else colour)
        return
    open_arrow(axes, (x, m.multiplier), (x, open_side(m.multiplier, m.bound)), colour)
    axes.plot(x, m.multiplier, marker="_", color=colour, markersize=7)
