"""The pictures of docs/statistics.md, drawn by the analysis itself from the committed study: python docs/pictures.py"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from analysis.arms import look
from analysis.figures.style import COLUMN_WIDTH, TEXT_WIDTH, log_error_axis, log_size_axis, new_figure, paper
from analysis.options import Options, comparison_of
from analysis.worth.comparison import Comparison
from analysis.worth.readings import headline

STUDY = Path(__file__).parents[1] / "analysis" / "results" / "study"
ARM, BASELINE, LAW = "per-step DPO", "SFT", "saturating"
LOOKS = look((BASELINE, ARM))


def cells(axes: Axes, comparison: Comparison, arm: str) -> None:
    """Mean error at each size with its 95 % interval."""
    drawn = comparison.arm_errors(arm)
    low, high = np.percentile(drawn[1:], [2.5, 97.5], axis=0)
    colour, marker, _ = LOOKS[arm]
    axes.errorbar(
        comparison.sizes(arm), drawn[0], [drawn[0] - low, high - drawn[0]],
        linestyle="none", marker=marker, color=colour, label=arm, elinewidth=0.8,
    )  # fmt: skip


def sizes_and_errors(axes: Axes, comparison: Comparison, *arms: str) -> None:
    sizes = np.concatenate([comparison.sizes(arm) for arm in arms])
    log_size_axis(axes, sizes, "synthetic problems")
    ends = [comparison.arm_errors(arm)[0] for arm in arms]
    log_error_axis(axes, float(min(map(np.min, ends))) / 1.35, float(max(map(np.max, ends))) * 1.1, "test error")


def distance(comparison: Comparison, axes: Axes) -> None:
    """The multiplier: how far apart two curves are, read horizontally."""
    found = headline(comparison, ARM, BASELINE)
    for arm in (BASELINE, ARM):
        cells(axes, comparison, arm)
        curve = comparison.reader(arm, LAW, is_refuted=True, is_run=False)
        errors = np.geomspace(*comparison.observed_range(arm), 100)
        axes.plot(np.exp(curve.ln_size_at(errors)[0]), errors, color=LOOKS[arm][0], linewidth=1)
    at_error = np.array([found.at_error])
    readers = [comparison.reader(one, LAW, is_refuted=True, is_run=False) for one in (ARM, BASELINE)]
    at = [float(np.exp(one.ln_size_at(at_error)[0, 0])) for one in readers]
    both_ways = {"arrowstyle": "<->", "color": "black"}
    axes.annotate("", (at[1], found.at_error), (at[0], found.at_error), arrowprops=both_ways)
    axes.text(np.sqrt(at[0] * at[1]), found.at_error * 0.92, f"{found.multiplier:.2f}x", ha="center")
    sizes_and_errors(axes, comparison, BASELINE, ARM)
    axes.legend()


def draws(comparison: Comparison, axes: Axes) -> None:
    """The interval: every draw of the two curves gives a multiplier, and 95 % of them lie between the limits."""
    found = headline(comparison, ARM, BASELINE)
    error = np.array([found.at_error])
    bins = np.geomspace(1, 5, 60)
    for name, colour, is_refuted in (("from a law", "#999999", False), ("without a law", LOOKS[ARM][0], True)):
        read = [comparison.curves(one, LAW) if not is_refuted
                else comparison.reader(one, LAW, is_refuted=True, is_run=False) for one in (BASELINE, ARM)]  # fmt: skip
        worth = np.exp(read[0].ln_size_at(error)[1:, 0] - read[1].ln_size_at(error)[1:, 0])
        axes.hist(worth, bins, histtype="step", color=colour, label=name)
    for limit in (found.ci_low, found.ci_high):
        axes.axvline(limit, color="black", linewidth=0.8, linestyle="--")
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 2, 4], ["1x", "2x", "4x"])
    axes.set_xlabel(f"worth of {ARM} at an error of {found.at_error:.3f}")
    axes.set_ylabel("draws")
    axes.legend()


def noise(comparison: Comparison, axes: Axes) -> None:
    """Two kinds of noise: each replicate's error less its size's mean, and what 2,000 test problems alone would do."""
    runs = comparison.draws.table.runs
    runs = runs[(runs.arm == BASELINE) & (runs["size"] > 0)]
    mean = runs.groupby("size").error.transform("mean")
    axes.plot(
        runs["size"],
        100 * (runs.error - mean),
        linestyle="none",
        marker="o",
        color=LOOKS[BASELINE][0],
        label="a replicate",
    )
    band = 196 * np.sqrt(mean * (1 - mean) / runs.n_test)
    axes.fill_between(runs["size"], -band, band, color="#dddddd", label="test problems alone, 95 %", zorder=0)
    log_size_axis(axes, runs["size"].to_numpy(), "synthetic problems")
    axes.set_ylabel("error less the size's mean, points")
    axes.legend()


def forms(comparison: Comparison, axes: Axes) -> None:
    """The form of the law: two laws through the same sizes, and what each says beyond and between them."""
    cells(axes, comparison, BASELINE)
    grid = np.linspace(comparison.ln_n(BASELINE)[0], comparison.ln_n(BASELINE)[-1] + np.log(4), 200)
    for law, line in (("power", "--"), (LAW, "-")):
        axes.plot(
            np.exp(grid), comparison.point(BASELINE, law).error_at(grid)[0], line, color="black", linewidth=1, label=law
        )
    sizes_and_errors(axes, comparison, BASELINE)
    axes.legend()


PICTURES = {"distance": distance, "draws": draws, "noise": noise, "forms": forms}


def draw(folder: Path, n_draws: int = 2000) -> list[Path]:
    """All pictures as PNG; the paths."""
    comparison = comparison_of(STUDY, Options(baseline=BASELINE, law=LAW, n_draws=n_draws))
    paths = []
    for name, picture in PICTURES.items():
        with paper():
            figure, axes = new_figure(TEXT_WIDTH * 0.8, COLUMN_WIDTH * 0.8)
            picture(comparison, axes[0, 0])
            paths.append(folder / f"{name}.png")
            figure.savefig(paths[-1], dpi=130, metadata={"Software": None})
    return paths


if __name__ == "__main__":
    print(*draw(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "pictures"), sep="\n")
