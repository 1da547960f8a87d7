"""Figures of means against a short axis: whose look a curve has, no mark hidden, and what a claim is ruled by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from analysis.figures.steps import Curve, Ruled, levels_and_differences
from analysis.gallery import dials, positives, q_values, rounds, spurious

RECORD = Path(__file__).parents[1] / "analysis/results"
LABELS = ("x", "level", "difference")
NONE = float("nan")


def curve(name: str, means: list[float], half: float, *, arm: str = "RFT", is_smaller: bool = False) -> Curve:
    """At x = 1, 2, 4 and so on, with limits `half` to either side."""
    mean = np.array(means)
    points = {"x": 2.0 ** np.arange(len(means)), "mean": mean, "low": mean - half, "high": mean + half}
    return Curve(name, arm, pd.DataFrame(points), "x", is_smaller)


def marked(axes: Axes) -> dict[str, Line2D]:
    """Curves by their names."""
    return {str(line.get_label()): line for line in axes.lines if not str(line.get_label()).startswith("_")}


def first(values: Any) -> float:
    """Of a line's x or y."""
    return float(values[0])


def bars(axes: Axes) -> list[list[tuple[float, float, float]]]:
    """Of each curve, x, low and high of its bars."""
    found = [one for one in axes.collections if isinstance(one, LineCollection)]
    return [[(bar[0][0], bar[0][1], bar[1][1]) for bar in one.get_segments()] for one in found]


@pytest.mark.parametrize(
    ("view", "table", "looks"),
    [
        (dials.OF_ROLLOUTS, "rollouts", {"{} problems": ("#D55E00", "D")}),
        (dials.OF_PAIRS, "pairs", {"{} problems": ("#D55E00", "D")}),
        (positives.VIEW, "positives", {"{} problems": ("#0072B2", "s")}),
        (spurious.VIEW, "spurious", {"{} problems": ("#999933", "v")}),
        (rounds.VIEW, "rounds", {"RFT, {}": ("#0072B2", "s"), "per-step DPO, {}": ("#D55E00", "D")}),
    ],
)
def test_an_arm_s_curves_have_its_own_look_open_and_dotted_of_the_smaller_size(
    view: Any, table: str, looks: dict[str, tuple[str, str]]
) -> None:
    figure = view.draw(view.read(RECORD / table, 0))
    for axes in figure.axes[:2]:
        lines = marked(axes)
        assert len(lines) == 2 * len(looks)
        for name, (colour, marker) in looks.items():
            smaller, larger = lines[name.format("512")], lines[name.format("2,048")]
            assert {(one.get_color(), one.get_marker()) for one in (smaller, larger)} == {(colour, marker)}
            assert (smaller.get_markerfacecolor(), smaller.get_linestyle()) == ("white", ":")
            assert (larger.get_markerfacecolor(), larger.get_linestyle()) == (colour, "-")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(marked(figure.axes[0]))


@pytest.mark.parametrize("is_log", [False, True])
def test_differences_of_one_x_stand_side_by_side_each_on_its_own_bar_and_means_at_their_x(is_log: bool) -> None:
    same = [curve(arm, [0.3, 0.2, 0.1], 0.05, arm=arm) for arm in ("SFT", "RFT", "DPO")]
    figure = levels_and_differences(same, same, LABELS, is_log=is_log)
    assert [line.get_xdata().tolist() for line in marked(figure.axes[0]).values()] == [[1, 2, 4]] * 3
    at = np.array([line.get_xdata() for line in marked(figure.axes[1]).values()], float)
    assert (np.diff(at, axis=0) > 0).all()  # of three equal curves none hides another
    assert at[1].tolist() == pytest.approx([1, 2, 4])  # and the middle one is where it was
    aside = at / [1, 2, 4] if is_log else at - [1, 2, 4]
    assert np.ptp(aside, axis=1) == pytest.approx(0) and (at[2, :-1] < at[0, 1:] - 0.5).all()
    assert bars(figure.axes[0]) == [] and not [
        one for axes in figure.axes for one in axes.collections if isinstance(one, PolyCollection)
    ]
    for line, found in zip(marked(figure.axes[1]).values(), bars(figure.axes[1]), strict=True):
        wanted = np.array([line.get_xdata(), [0.25, 0.15, 0.05], [0.35, 0.25, 0.15]]).T
        assert np.array(found) == pytest.approx(wanted)


def test_one_replicate_has_marks_and_no_bars() -> None:
    alone = [curve("one", [0.3, 0.2], NONE)]
    figure = levels_and_differences(alone, alone, LABELS, ruled=Ruled("1 to 2", (-0.1, NONE, NONE)))
    assert [bars(axes) for axes in figure.axes] == [[], [[]], [[]]]
    assert marked(figure.axes[1])["one"].get_ydata() == pytest.approx([0.3, 0.2])


def test_differences_at_one_x_still_stand_apart() -> None:
    both = [curve("a", [0.3], 0.1), curve("b", [0.3], 0.1)]
    a, b = (first(line.get_xdata()) for line in marked(levels_and_differences(both, both, LABELS).axes[1]).values())
    assert a < 1 < b


def test_an_interval_that_its_mark_would_hide_has_caps_that_reach_beyond_the_mark_and_lie_over_it() -> None:
    tiny = [curve("a", [0.3, 0.2], 1e-4)]
    axes = levels_and_differences(tiny, tiny, LABELS).axes[1]
    mark = marked(axes)["a"]
    caps = [line for line in axes.lines if line.get_marker() == "_"]
    assert len(caps) == 2
    for cap in caps:
        assert cap.get_markersize() > 1.5 * mark.get_markersize() and cap.get_zorder() > mark.get_zorder()


def the_ruled(figure: Figure) -> tuple[str, float, list[list[tuple[float, float, float]]]]:
    """What stands below the last panel's mark, its height, and its bar."""
    axes = figure.axes[2]
    (mark,) = [line for line in axes.lines if line.get_marker() == "_" and line.get_markersize() > 10]
    (name,) = [label.get_text() for label in axes.get_xticklabels()]
    return name, first(mark.get_ydata()), bars(axes)


def broken(axes: Axes) -> list[float]:
    """Heights of broken lines that cross the panel."""
    return [first(line.get_ydata()) for line in axes.lines if line.get_linestyle() == "--"]


def test_what_a_claim_is_ruled_by_is_drawn_by_itself_on_the_differences_scale_with_its_margin() -> None:
    both = [curve("a", [-0.02, -0.03], 0.01)]
    figure = levels_and_differences(both, both, LABELS, ruled=Ruled("1 to 2", (-0.1, -0.2, 0.05)), margin=-0.01)
    name, mean, [[bar]] = the_ruled(figure)
    assert (name, mean) == ("1 to 2", -0.1) and bar == pytest.approx((0.0, -0.2, 0.05))
    assert [broken(axes) for axes in figure.axes] == [[], [], [-0.01]]
    (label,) = figure.axes[2].texts
    assert label.get_text() == "−0.01" and isinstance(label, Annotation) and label.xy == (1, -0.01)
    assert label.get_ha() == "left"  # beyond the frame, where nothing is drawn
    assert figure.axes[2].get_ylim() == figure.axes[1].get_ylim() and figure.axes[1].get_ylim()[0] < -0.2


@pytest.mark.parametrize(
    ("view", "table", "name", "margin"),
    [
        (dials.OF_ROLLOUTS, "rollouts", "4 to 16,\n2,048 problems", -0.01),
        (dials.OF_PAIRS, "pairs", "4 to 16,\n2,048 problems", -0.01),
        (positives.VIEW, "positives", "4 to 16,\n2,048 problems", -0.01),
        (spurious.VIEW, "spurious", "slope,\n512 and 2,048", 0.02),
    ],
)
def test_a_figure_shows_the_number_that_its_caption_rules_on(view: Any, table: str, name: str, margin: float) -> None:
    rows = view.read(RECORD / table, 0)
    figure = view.draw(rows)
    below, mean, [[(_, low, high)]] = the_ruled(figure)
    assert below == name and broken(figure.axes[2]) == [margin]
    assert [text.get_text() for text in figure.axes[2].texts] == [f"{margin}".replace("-", "−")]
    shown = f"{mean:.3f} [{low:.3f}, {high:.3f}]".replace("-", "−")
    assert shown in view.caption(rows).split("“")[-1]
    in_data = view.data(rows).query("what == @name.replace('\\n', ' ')")[["mean", "low", "high"]]
    assert in_data.to_numpy().tolist() == [pytest.approx([mean, low, high])]


def test_rounds_and_q_have_their_margins_beside_the_differences() -> None:
    for view, table, margin in ((rounds.VIEW, "rounds", -0.01), (q_values.VIEW, "q_values", 0.01)):
        axes = view.draw(view.read(RECORD / table, 0)).axes[1]
        assert broken(axes) == [margin] and [text.get_text() for text in axes.texts] == [f"{margin}".replace("-", "−")]


@pytest.mark.parametrize(
    ("view", "table", "rule"),
    [
        (dials.OF_PAIRS, "pairs", "held where its bar lies above −0.01 (broken), not held where it lies below"),
        (rounds.VIEW, "rounds", "held where it lies below 0, not held where it lies above −0.01 (broken)"),
        (spurious.VIEW, "spurious", "held where its bar lies above 0.02 (broken), not held where it lies below"),
        (q_values.VIEW, "q_values", "where all its bars lie above 0, and does not where one lies below 0.01 (broken)"),
    ],
)
def test_a_caption_states_both_thresholds_of_its_rule(view: Any, table: str, rule: str) -> None:
    assert rule in view.caption(view.read(RECORD / table, 0))


def test_a_slope_has_an_axis_of_its_own_name_and_the_differences_keep_theirs() -> None:
    figure = spurious.VIEW.draw(spurious.VIEW.read(RECORD / "spurious", 0))
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "test error (greedy)", "error minus that with 0", "slope of error over fraction"
    ]  # fmt: skip


@pytest.mark.parametrize(("view", "table"), [(spurious.VIEW, "spurious"), (positives.VIEW, "positives")])
def test_the_name_of_an_axis_ends_before_the_next_panel_begins(view: Any, table: str) -> None:
    figure = view.draw(view.read(RECORD / table, 0))
    figure.draw_without_rendering()
    ends = [axes.xaxis.label.get_window_extent().x1 for axes in figure.axes[:2]]
    assert all(end < axes.get_window_extent().x0 for end, axes in zip(ends, figure.axes[1:], strict=True))


def test_the_line_at_nought_is_above_the_frame_s_lower_side() -> None:
    figure = spurious.VIEW.draw(spurious.VIEW.read(RECORD / "spurious", 0))
    low, high = figure.axes[1].get_ylim()
    assert low < -0.04 * (high - low)
    assert figure.axes[0].get_xlabel() == "fraction with a spurious step"


def test_no_tick_stands_in_the_corner_of_the_frame() -> None:
    # .2325 apart with a margin of .08 of it: the frame would start at -.0511, a hair below the tick at -.05
    close = [curve("a", [0.2, -0.0325], 0.0)]
    figure = levels_and_differences(close, close, LABELS)
    for axes in figure.axes:
        low, high = axes.get_ylim()
        assert min(tick for tick in axes.get_yticks() if tick >= low) > low + 0.04 * (high - low)


def test_q_tells_its_axis_its_problems_and_every_arm_that_is_drawn() -> None:
    rows = q_values.VIEW.read(RECORD / "q_values", 0)
    figure = q_values.VIEW.draw(rows)
    assert {axes.get_xlabel() for axes in figure.axes} == {"steps already given"}
    arms = ["SFT", "RFT", "DPO", "per-step DPO"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == arms
    at_the_ends = {text.get_text(): text for text in figure.axes[0].texts if isinstance(text, Annotation)}
    assert set(at_the_ends) == set(arms)
    assert at_the_ends["SFT"].arrow_patch is not None  # ends coincide: a line leads from the name to its curve
    caption = q_values.VIEW.caption(rows)
    assert "policies of 1,024 problems" in caption and all(f"{arm}: " in caption for arm in arms[1:])
