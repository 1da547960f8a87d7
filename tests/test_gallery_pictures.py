"""What a reader sees in the figures of error curves: names, marks and arrows where they belong."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from analysis.figures.contrasts import arrows_of
from analysis.figures.curves import beside_each_other
from analysis.figures.steps import Curve, levels_and_differences
from analysis.figures.style import end_labels, new_figure, set_apart
from analysis.gallery.shifts import curves_of

RECORD = Path(__file__).parents[1] / "analysis/results"
ARMS, NAMES = ("DPO", "random-step DPO", "per-step DPO"), ("DPO", "any step", "per-step DPO")


def test_a_claim_has_a_panel_with_each_size_the_deciding_number_and_what_it_is_held_against(
    falling_table: Path,
) -> None:
    claims = ("per-step DPO is worth 8x SFT's data", "Per-step DPO beats standard DPO")
    view = curves_of(*ARMS, claims=claims)
    evidence = view.read(falling_table, 200)
    figure, data = view.draw(evidence), view.data(evidence)
    worth, gap = figure.axes[2:]
    assert worth.get_title("left") == "worth of per-step DPO\nin SFT's data" and gap.get_title("left").endswith("DPO")
    assert {8.0, 1.0} <= {
        float(np.asarray(line.get_ydata())[0]) for line in worth.lines if line.get_linestyle() != "None"
    }
    found = evidence.difference("per-step DPO", "DPO")
    assert found is not None
    marks = [float(np.asarray(line.get_ydata())[0]) for line in gap.lines if line.get_marker() in ("o", "_")]
    assert marks == pytest.approx([*(value for value, _, _ in found.by_size), found.value])
    rows = data[data["minus"] == "DPO"]  # the same, beside the picture
    assert rows["difference"].tolist() == pytest.approx(marks) and rows["n_problems"].isna().tolist()[-1]
    here = data[(data["arm"] == "per-step DPO") & (data["minus"] == "SFT")]
    _, surely = evidence.worth_by_size("per-step DPO")
    assert here["worth_here"].tolist() == [m.multiplier for m in surely]
    figure.draw_without_rendering()
    labels = [text.get_text() for text in gap.get_xticklabels()]
    assert labels[-1] == "mean" and [text.get_text() for text in worth.get_xticklabels()][-1] == "middle"


def test_the_largest_shift_alone_is_an_arrow_where_many_arms_are_drawn_and_none_is_claimed() -> None:
    def shift(arm: str, multiplier: float, bound: str = "=") -> SimpleNamespace:
        return SimpleNamespace(arm=arm, multiplier=multiplier, bound=bound)

    three: list[Any] = [shift("a", 2.0), shift("b", 3.0), shift("c", 1.1)]
    assert [one.arm for one in arrows_of(three, [])] == ["b"] and [one.arm for one in arrows_of(three, ["a"])] == ["a"]
    assert [one.arm for one in arrows_of(three[:2], [])] == ["a", "b"] and arrows_of(three[2:], []) == []


@pytest.fixture(scope="module")
def drawn(falling_table: Path) -> Figure:
    view = curves_of(*ARMS, names={"random-step DPO": "any step"})
    figure = view.draw(view.read(falling_table, 200))
    figure.draw_without_rendering()
    return figure


def notes(axes: Axes) -> dict[str, Annotation]:
    return {text.get_text().replace("\n", " "): text for text in axes.texts if isinstance(text, Annotation)}


def test_values_are_pushed_apart_as_far_down_as_up_and_others_stay() -> None:
    assert set_apart([0.1, 0.5, 0.5, 0.9], 0.2) == pytest.approx([0.1, 0.4, 0.6, 0.9])
    assert set_apart([], 0.2) == [] and set_apart([0.1, 0.4], 0.2) == [0.1, 0.4]


def test_marks_at_one_size_stand_side_by_side_and_near_it() -> None:
    assert beside_each_other(3, 0.07) == pytest.approx([0.93, 1.0, 1.07])
    assert beside_each_other(1, 0.07) == [1.0] and max(beside_each_other(9, 0.07)) == pytest.approx(1.14)


def test_where_a_name_was_pushed_off_its_curve_each_has_a_line_to_its_own_end_else_none_has() -> None:
    figure, grid = new_figure(4, 3)
    axes = grid[0, 0]
    axes.set(xlim=(0, 1), ylim=(0, 1))
    ends = [(0.9, 0.50, "one", "#000000"), (1.0, 0.51, "two", "#000000"), (1.0, 0.9, "far", "#000000")]
    end_labels(axes, ends, least_gap=0.1)  # marks of one size stand side by side
    of = notes(axes)
    assert all(of[name].arrow_patch is not None and of[name].xy == (x, y) for x, y, name, _ in ends)
    figure.draw_without_rendering()
    lefts = {round(Text.get_window_extent(text).x0, 3) for text in of.values()}
    assert len(lefts) == 1  # in one column
    other = new_figure(4, 3)[1][0, 0]
    end_labels(other, [(1.0, 0.2, "low", "#000000"), (1.0, 0.9, "high", "#000000")], least_gap=0.1)
    assert all(text.arrow_patch is None for text in notes(other).values())


def test_each_arm_stands_in_the_legend_with_its_worth_and_at_the_end_of_its_differences(drawn: Figure) -> None:
    (legend,) = drawn.subfigs[0].legends
    said = [text.get_text() for text in legend.get_texts()]
    assert said[0] == "SFT" and [re.sub("( ≥)? [0-9.]+×$", "", one) for one in said[1:]] == list(NAMES)
    right = drawn.axes[1]
    assert set(notes(right)) == set(NAMES) and right.get_xlabel() == "n_problems"


def test_no_two_arms_have_a_mark_at_the_same_place(drawn: Figure) -> None:
    left, right = drawn.axes
    for axes, n in ((left, 1 + len(ARMS)), (right, len(ARMS))):
        marks = [line for container in axes.containers for line in container.lines[:1]]
        firsts = [float(np.asarray(line.get_xdata())[0]) for line in marks]
        assert len(firsts) == len(set(firsts)) == n


def test_the_base_model_is_named_at_the_right_above_its_line_where_no_curve_comes() -> None:
    view = curves_of("DPO")
    left = view.draw(view.read(RECORD / "negatives", 200)).axes[0]
    base = notes(left)["base model"]
    largest = max(float(np.asarray(line.get_xdata(), float).max()) for line in left.lines)
    assert base.xy[0] == pytest.approx(largest, rel=0.05) and base.get_ha() == "right" and base.get_va() == "bottom"
    highest = max(float(np.asarray(line.get_ydata(), float).max()) for line in left.lines)
    assert base.xy[1] == pytest.approx(highest) and left.get_ylim()[1] > 1.1 * highest


def test_a_curve_over_a_setting_is_named_where_it_ends_in_the_order_of_the_ends() -> None:
    points = pd.DataFrame({"n": [1, 2], "mean": [0.5, 0.4], "low": [0.4, 0.3], "high": [0.6, 0.5]})
    curves = [Curve("few", "RFT", points, "n", is_smaller=True), Curve("many", "RFT", points.assign(mean=0.401), "n")]
    figure = levels_and_differences(curves, curves, ("n", "error", "difference"))
    of = notes(figure.axes[0])
    assert set(of) == {"few", "many"} and of["few"].get_position()[1] < of["many"].get_position()[1]
    assert of["many"].xy[1] == 0.401 and of["few"].xy[1] == 0.4 and not notes(figure.axes[1])
