"""The map: one study with one ingredient changed at a time, and where its multipliers are 1, 2, 8.

    python -m analysis map STUDY VARIANT...     a table folder each; the first is what the others are variants of

A variant is named by its folder and described by the settings in which its runs differ from the study's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import page, style
from analysis.commands import Options, comparison_of
from analysis.multiplier import Comparison
from analysis.reading import Multiplier
from analysis.sheet import Sheet
from analysis.words import count, error_text, multiplier_text

POINTS = ("n_problems", "seed", "method.name", "source.name")  # where in the grid a run stands, not what it is made of
LEVELS = (1.0, 2.0, 8.0)


@dataclass(frozen=True)
class Reading:
    """One arm at one size in one variant.

    Args:
        variant: name of the variant's folder; changed: its settings that the study does not share, as `dial=value`.
        error, baseline_error: mean over seeds at that size, the baseline's nan where it was not run there.
        n_seeds: of the arm's runs at that size.
    """

    variant: str
    changed: str
    error: float
    baseline_error: float
    n_seeds: int
    multiplier: Multiplier


def survey(paths: Sequence[str | Path], options: Options, *, sizes: Sequence[float] = ()) -> tuple[Reading, ...]:
    """Every arm's multiplier at its own sizes in the study and in each of its variants.

    Args:
        paths: table folders as `python -m sweep collect` writes them, the study's first.
        sizes: the arms' sizes to read at; all where empty.
    Raises:
        ValueError: two folders have the same name, no arm is at a size asked for, or a table cannot be read.
    """
    names = [Path(path).resolve().name for path in paths]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{', '.join(twice)}: variants are named by their folders, and two folders have one name")
    settings = [_settings(path) for path in paths]
    out: list[Reading] = []
    for path, name, mine in zip(paths, names, settings, strict=True):
        comparison = comparison_of(path, options)
        arms = options.of or style.in_order(arm for arm in comparison.draws.table.arms if arm != options.baseline)
        changed = "" if mine is settings[0] else _changed(settings[0], mine)
        for arm in arms:
            for size in comparison.sizes(arm):
                if not sizes or size in sizes:
                    out.append(_reading(comparison, name, changed, arm, options.baseline, size))
    if not out:
        raise ValueError(f"no arm has runs at {', '.join(map(count, sizes))}; name sizes that were run")
    return tuple(out)


def _reading(comparison: Comparison, name: str, changed: str, arm: str, baseline: str, size: float) -> Reading:
    errors = {
        one: comparison.draws.observed[cell]
        for one in (arm, baseline)
        for cell, at in zip(comparison.draws.table.cells_of(one), comparison.sizes(one), strict=True)
        if at == size
    }
    runs = comparison.draws.table.runs
    n_seeds = int(((runs["arm"] == arm) & (runs["x"] == size)).sum())
    m = comparison.at_size(arm, baseline, size)
    return Reading(name, changed, float(errors[arm]), float(errors.get(baseline, np.nan)), n_seeds, m)


def _settings(path: str | Path) -> Mapping[str, Mapping[str, object]]:
    """Arm to its settings as dotted names, those of the grid left out."""
    from sweep.results import flat, read_table

    runs = read_table(path).runs
    first = runs[runs["n_problems"] > 0].groupby("arm").config.first()
    return {
        arm: {name: value for name, value in flat(json.loads(text)).items() if name not in POINTS}
        for arm, text in first.items()
    }


def _changed(study: Mapping[str, Mapping], variant: Mapping[str, Mapping]) -> str:
    """Settings of an arm of both in which they differ, `dial=value`; a list is told by its name alone."""
    missing = object()
    found = {
        name: value
        for arm in sorted({*study} & {*variant})
        for name, value in variant[arm].items()
        if study[arm].get(name, missing) != value
    }
    return ", ".join(_setting(name.rsplit(".", 1)[-1], value) for name, value in sorted(found.items()))


def _setting(dial: str, value: object) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return f"another {dial}"
    return f"{dial}={'none' if value is None else f'{value:g}' if isinstance(value, float) else value}"


def map_sheet(readings: Sequence[Reading], name: str = "map") -> Sheet:
    """A row a reading; the CSV carries the numbers, `read_map` reads it back."""
    level = readings[0].multiplier.level
    columns = ("variant", "changed", "arm", "n_problems", "error", "baseline's error", "worth", "seeds")
    rows = tuple(
        (
            one.variant.replace("_", " "),
            one.changed,
            one.multiplier.arm,
            count(one.multiplier.at_size),
            error_text(one.error),
            "" if np.isnan(one.baseline_error) else error_text(one.baseline_error),
            multiplier_text(one.multiplier),
            str(one.n_seeds),
        )
        for one in readings
    )
    caption = (
        f"What one problem of an arm is worth in {readings[0].multiplier.baseline} problems, one ingredient changed at "
        f"a time; {level:.0%} intervals, with one seed conditional on that training run."
    )
    raw = tuple(
        (
            one.variant, one.changed, m.arm, m.baseline, m.at_size, one.error, one.baseline_error, m.multiplier,
            m.bound, m.ci_low, m.ci_high, m.level, m.kind, one.n_seeds,
        )
        for one in readings
        for m in [one.multiplier]
    )  # fmt: skip
    return Sheet(name, caption, columns, rows, RAW, raw)


RAW = (
    "variant", "changed", "arm", "baseline", "n_problems", "error", "baseline_error", "multiplier", "bound", "ci_low",
    "ci_high", "level", "kind", "n_seeds",
)  # fmt: skip


def read_map(path: str | Path) -> pd.DataFrame:
    """The CSV of `map_sheet`.

    Raises:
        ValueError: not such a file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; `python -m analysis map STUDY VARIANT... --out DIR` writes a map.csv")
    found = pd.read_csv(path, keep_default_na=False, na_values={"baseline_error": [""], "multiplier": [""]})
    if absent := [name for name in RAW if name not in found.columns]:
        raise ValueError(f"{path}: a map.csv of `python -m analysis map` was expected; it has no {', '.join(absent)}")
    return found


def map_figure(points: pd.DataFrame) -> Figure:
    """A row a variant, a panel a size: multipliers with intervals on a log axis, lines at 1, 2 and 8."""
    study = points["variant"].iloc[0]
    arms = style.in_order(points["arm"].unique())
    sizes = sorted(points["n_problems"].unique())
    looks = style.look(arms)
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


def section(path: str | Path, save: Callable[[Figure, str, str], str]) -> page.Section:
    """The report's: the figure of a map.csv, given the function that keeps a figure and returns its HTML."""
    points = read_map(path)
    study, baseline = points["variant"].iloc[0].replace("_", " "), points["baseline"].iloc[0]
    seeds = " or ".join(map(str, sorted(points["n_seeds"].unique())))
    caption = (
        f"What one problem of an arm is worth in {baseline} problems, one ingredient of {study} (shaded) changed at a "
        f"time; rows by the last arm's worth at the largest size. Bars are {points['level'].iloc[0]:.0%} intervals "
        f"({seeds} seeds a cell; with one, conditional on that training run), arrows bounds, dotted down "
        "to the limit of their interval; lines at 1, 2 and 8."
    )
    return page.Section("map", "When are negatives worth 8x?", [save(map_figure(points), "map", caption)])


def write_map(
    paths: Sequence[str | Path], out: str | Path, options: Options, *, sizes: Sequence[float] = ()
) -> list[Path]:
    """Write map.csv, map.tex and the figure into the folder `out`; the CSV's path first."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    sheet = map_sheet(survey(paths, options, sizes=sizes))
    written = sheet.write(folder)
    return [*written, *style.save(map_figure(read_map(folder / "map.csv")), folder / "map")]
