"""What is to be seen in the gallery's pictures, read off what they are drawn of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.markers import CARETDOWN, CARETLEFT, CARETRIGHT, CARETUP
from matplotlib.text import Annotation, Text

from analysis.figures.charges import differences_and_cost
from analysis.figures.limits import framed, interval_bar
from analysis.figures.style import new_figure, sideways
from analysis.figures.worths import worths_side_by_side
from analysis.gallery import both_kinds, likelihood, star_graph

NONE, OPEN = float("nan"), float("inf")
RECORD = Path(__file__).parents[1] / "analysis/results"


def places(line: Line2D) -> tuple[list[float], list[float]]:
    """x and y of a line's points."""
    return np.asarray(line.get_xdata(), float).tolist(), np.asarray(line.get_ydata(), float).tolist()


def bars(axes: Axes, *, is_vertical: bool = False) -> dict[float, tuple[float, float]]:
    """Of each interval's line: its place to its two ends."""
    found = {}
    for line in axes.lines:
        x, y = places(line)
        place, ends = (x, y) if is_vertical else (y, x)
        is_line = line.get_linestyle() == "-" and line.get_marker() == "None"
        is_across = line.get_transform() != axes.transData  # the whole frame
        if len(ends) == 2 and place[0] == place[1] and is_line and not is_across:
            found[round(place[0], 6)] = (ends[0], ends[1])
    return found


def heads(axes: Axes, marker: int) -> list[tuple[float, float]]:
    """Where arrowheads of one direction stand; all of them are open."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    assert {line.get_markerfacecolor() for line in lines} <= {"white"}
    return [(x[0], y[0]) for x, y in map(places, lines)]


def marks(axes: Axes, marker: str) -> list[tuple[float, float]]:
    """Where a mark stands, in the order of drawing."""
    lines = [line for line in axes.lines if line.get_marker() == marker]
    return [at for line in lines for at in zip(*places(line), strict=True)]


def labelled(axes: Axes) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in axes.lines}


def test_an_interval_is_cut_at_the_frame_and_an_open_arrowhead_says_so() -> None:
    flat, upright = new_figure(3, 2, 1, 2)[1][0]
    for axes in (flat, upright):
        axes.set(xlim=(0, 10), ylim=(0, 10))
    interval_bar(flat, 4, (2.0, 3.0), "black")
    interval_bar(flat, 5, (-1.0, OPEN), "black")
    interval_bar(flat, 6, (NONE, NONE), "black")
    interval_bar(upright, 7, (-5.0, 11.0), "black", is_vertical=True)
    assert bars(flat) == {4: (2, 3), 5: (0, 10)}
    assert heads(flat, CARETLEFT) == [(0, 5)] and heads(flat, CARETRIGHT) == [(10, 5)]
    assert bars(upright, is_vertical=True) == {7: (0, 10)}
    assert heads(upright, CARETDOWN) == [(7, 0)] and heads(upright, CARETUP) == [(7, 10)]


@pytest.mark.parametrize(("values", "ticks"), [([-9.3, NONE, 20.0], [0, 10, 20]), ([0.0, 19.1], [0, 5, 10, 15])])
def test_a_tick_that_would_stand_at_a_corner_of_the_frame_is_left_out(values: list[float], ticks: list[float]) -> None:
    axes = new_figure(3, 2)[1][0, 0]
    framed(axes, values)  # from −11.6 to 22.3, where −10 would overhang; from −1.5 to 20.6, where 20 would
    assert axes.get_xticks().tolist() == ticks


def worths(*rows: tuple[object, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["name", "arm", "axis", "multiplier", "bound", "low", "high"])


def test_an_interval_without_a_bound_is_drawn_up_to_the_frame_and_a_row_is_a_setting() -> None:
    rows = worths(
        ("48 wide", "per-step DPO", "", 3.5, "=", 0.7, OPEN), ("96 wide", "per-step DPO", "", 3.0, "=", 0.0, OPEN)
    )
    (axes,) = (figure := worths_side_by_side(rows, "worth in SFT's problems")).axes
    low, high = axes.get_xlim()
    assert low < 0.7 and high > 3.5
    assert bars(axes) == {0: (0.7, high), 1: (low, high)}
    assert heads(axes, CARETRIGHT) == [(high, 0), (high, 1)] and heads(axes, CARETLEFT) == [(low, 1)]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["48 wide", "96 wide"]
    assert not figure.legends and axes.get_xlabel() == "worth in SFT's problems"


def test_a_limit_far_away_does_not_stretch_the_frame_of_worths() -> None:
    (axes,) = worths_side_by_side(worths(("RFT", "RFT", "", 2.0, "=", 1e-9, 3.0)), "worth").axes
    assert axes.get_xlim() == pytest.approx((1 / 1.3, 3 * 1.3)) and len(heads(axes, CARETLEFT)) == 1


def test_worths_on_several_axes_have_ticks_within_a_doubling_and_no_line_under_the_bars() -> None:
    rows = worths(
        ("RFT", "RFT", "in problems", 2.0, "=", 1.6, 2.9), ("RFT", "RFT", "in FLOP", 0.5, "=", 0.36, 0.6),
        ("RFT", "RFT", "in seconds", 0.5, ">=", 0.4, OPEN),
    )  # fmt: skip
    figure = worths_side_by_side(rows, "worth")
    (axes,) = figure.axes
    figure.draw_without_rendering()
    ticks = [tick.get_text() for tick in axes.get_xticklabels()]
    assert ticks == ["0.375×", "0.5×", "0.75×", "1×", "1.5×", "2×", "3×"]
    assert not any(line.get_visible() for line in axes.get_ygridlines())
    assert bars(axes) == {-0.22: (1.6, 2.9), 0: (0.36, 0.6)}  # the third is a bound: an arrow from its mark
    assert [text.get_text() for text in figure.legends[0].texts] == ["in problems", "in FLOP", "in seconds"]


STEP, MORE = "per-step DPO", "SFT, more updates"


def star_runs(lacking: tuple[str, int, int] | None = None) -> pd.DataFrame:
    """Two degrees, two checkpoints, three replicates; continued SFT makes no error in the first, per-step DPO does."""
    error = {"SFT": (0.5, 0.5, 0.6), MORE: (0.0, 0.5, 0.6), STEP: (0.5, 0.4, 0.5)}
    rows = [
        (degree, arm, updates, replicate, 0.3, 1 - error[arm][replicate - 1], error[arm][replicate - 1])
        for degree in (5, 2)
        for arm in error
        for updates in (128, 4096)
        for replicate in (1, 2, 3)
        if (arm, updates, replicate) != lacking
    ]
    return pd.DataFrame(rows, columns=["degree", "arm", "updates", "replicate", "loss", "value", "error"])


def test_levels_of_a_star_graph_are_over_the_replicates_that_all_arms_have_and_n_says_where_these_are_fewer() -> None:
    runs = star_runs(lacking=(STEP, 4096, 1))
    figure = star_graph.VIEW.draw(runs)
    error = labelled(figure.axes[2])
    ends = {name: float(places(error[name])[1][-1]) for name in ("SFT continued", STEP)}
    assert ends == {"SFT continued": pytest.approx(0.55), STEP: pytest.approx(0.45)}  # of replicates 2 and 3 alone
    for axes in figure.axes[1:4]:  # one sign for all arms of the checkpoint, above the frame
        (said,) = [text for text in axes.texts if text.get_text().startswith("n = ")]
        assert isinstance(said, Annotation) and (said.get_text(), said.xy) == ("n = 2", (4096, 1))
    levels = star_graph.VIEW.data(runs).query("measure == 'error' and updates == 4096 and degree == 2").set_index("arm")
    assert levels.loc[[STEP, MORE], "n_replicates"].tolist() == [2, 2]
    assert levels["mean"][STEP] - levels["mean"][MORE] == pytest.approx(levels["mean"][f"{STEP} minus {MORE}"])
    assert "marks means over 3 replicates a degree, n = 2 at degree 2 and 4,096" in star_graph.VIEW.caption(runs)


def test_the_paired_difference_of_a_star_graph_stands_beside_the_levels_and_its_bars_say_where_they_are_cut() -> None:
    runs = star_runs()
    axes = star_graph.VIEW.draw(runs).axes[3]
    low, high = axes.get_ylim()
    # −0.1, −0.1 and 0.5: mean 0.1, se 0.2, and t at 0.9875 with 2 degrees of freedom 6.2053: beyond what a difference
    # of errors can be; 1 is within once more the runs' range of 0.6, −1 is not
    assert star_graph.gains(runs, 5)[["low", "high"]].to_numpy().tolist() == [[-1, 1], [-1, 1]]
    assert (low, high) == pytest.approx((-0.1 - 0.08 * 1.1, 1 + 0.08 * 1.1))
    assert bars(axes, is_vertical=True) == {128: (low, 1), 4096: (low, 1)}
    assert heads(axes, CARETDOWN) == [(128, low), (4096, low)] and heads(axes, CARETUP) == []
    assert marks(axes, "_") == [(128, 1), (4096, 1)]  # caps at the limits that are shown
    assert [y for _, y in marks(axes, "D")] == pytest.approx([0.1, 0.1])
    assert sorted(y for _, y in marks(axes, ".")) == pytest.approx([-0.1] * 4 + [0.5] * 2)


def test_every_row_of_a_star_graph_has_the_scale_of_its_own_runs_and_holds_the_margin_of_its_rule() -> None:
    runs = star_runs()
    is_close = runs["degree"].eq(5)
    runs.loc[is_close, "error"] = 0.8 + runs.loc[is_close, "error"] / 50
    figure = star_graph.VIEW.draw(runs)
    assert figure.axes[2].get_ylim() == pytest.approx((-0.048, 0.648))  # 0 to 0.6
    assert figure.axes[6].get_ylim() == pytest.approx((0.8 - 0.012 * 0.08, 0.812 + 0.012 * 0.08))  # chance 0.8 inside
    for axes in (figure.axes[3], figure.axes[7]):
        low, high = axes.get_ylim()
        assert low < star_graph.MARGIN * -1 < high and "−0.01" in [text.get_text() for text in axes.texts]


def test_bars_of_the_star_graph_of_record_are_longer_than_their_marks() -> None:
    figure = star_graph.VIEW.draw(star_graph.VIEW.read(RECORD / "star_graph", 0))
    figure.draw_without_rendering()
    for axes in (figure.axes[3], figure.axes[7]):
        (mark,) = [line for line in axes.lines if line.get_marker() == "D"]
        size = float(mark.get_markersize()) * 2**0.5 * figure.dpi / 72  # of a square that stands on its corner
        for ends in bars(axes, is_vertical=True).values():
            (_, low), (_, high) = axes.transData.transform([(128, y) for y in ends])
            assert high - low > 1.4 * size


def test_no_letter_of_the_star_graph_is_below_six_points_where_it_is_printed_five_and_a_half_inches_wide() -> None:
    figure = star_graph.VIEW.draw(star_graph.VIEW.read(RECORD / "star_graph", 0))
    figure.draw_without_rendering()
    sizes = {one.get_fontsize() for one in figure.findobj(Text) if one.get_visible() and one.get_text()}
    assert min(sizes) * 5.5 / figure.get_figwidth() > 6


def test_a_star_graph_has_a_dot_a_run_no_bands_a_tick_a_checkpoint_and_chance_in_the_legend() -> None:
    figure = star_graph.VIEW.draw(star_runs())
    assert not any(axes.collections for axes in figure.axes)
    assert len(marks(figure.axes[2], ".")) == 3 * 2 * 3
    assert [figure.axes[k].get_ylabel() for k in (0, 4)] == ["degree 2", "degree 5"]
    assert figure.axes[1].get_title() == "chance of a right path"
    assert places(labelled(figure.axes[6])["chance level"])[1] == [0.8, 0.8]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ["SFT", "SFT continued", STEP, "chance level"]
    assert star_graph.VIEW.caption(star_runs()).index("degree 2:") < star_graph.VIEW.caption(star_runs()).index(
        "degree 5:"
    )


def test_every_checkpoint_of_the_paper_s_star_graph_has_its_tick() -> None:
    runs = pd.concat([star_runs().assign(updates=n) for n in (64, 128, 256, 1024, 4096)])
    runs = runs.drop_duplicates(["degree", "arm", "updates", "replicate"]).reset_index(drop=True)
    axes = star_graph.VIEW.draw(runs).axes[-1]
    assert axes.get_xticks().tolist() == [64, 256, 1024, 4096] and axes.get_xticks(minor=True).tolist() == [128]
    assert axes.xaxis.get_minor_formatter()(128) == ""  # no room for its number


def charges(name: str, n_problems: int, mean: float, half: float) -> dict[str, object]:
    return {"name": name, "n_problems": n_problems, "mean": mean, "low": mean - half, "high": mean + half}


def test_limits_that_rule_the_pit_are_a_thin_bar_with_caps_around_the_thick_one_and_the_usual_a_dash_at_0() -> None:
    gaps = pd.DataFrame([charges("other", 128, 0.02, 0.01), charges("random", 128, 0.01, 0.01)])
    judged = pd.DataFrame([charges("other", 128, 0.02, 0.015)])
    cost = pd.DataFrame({"name": ["first", "other", "random"], "n_problems": 128, "mean": [100.0, 150.0, 100.0]})
    of = (gaps, judged, cost, ("difference", "tokens"), STEP)
    left, right = differences_and_cost(*of, controls=["random"], margin=-0.01).axes
    found = [
        (places(line)[1][0], *np.round(places(line)[0], 6), line.get_linewidth())
        for line in left.lines
        if len(places(line)[0]) == 2 and line.get_marker() == "None" and line.get_transform() == left.transData
    ]
    assert found == [(1, 0.01, 0.03, 2.4), (2, 0.0, 0.02, 2.4), (1, 0.005, 0.035, 0.8)]
    assert marks(left, "|")[0] == (0, 0)  # the first lowest itself
    assert [at for at, _ in marks(left, "|")[1:]] == pytest.approx([0.005, 0.035])  # caps of the thin bar alone
    assert [tick.get_text() for tick in left.get_yticklabels()] == ["first", "other", "random (control)"]
    (margin,) = left.texts
    assert margin.get_text() == "−0.01" and isinstance(margin, Annotation) and margin.xy == (-0.01, 1)
    assert left.get_xlim()[0] < -0.01
    for axes in (left, right):  # no number stands at a corner of a frame
        (low, high), ticks = axes.get_xlim(), axes.get_xticks()
        assert len(ticks) >= 3 and min(ticks) - low > 0.05 * (high - low) < high - max(ticks)
    assert right.get_xlim()[0] < 0  # tokens are counted from 0


def test_the_sizes_of_a_choice_have_its_arm_s_look_open_of_the_smaller_and_filled_of_the_larger() -> None:
    rows = [charges("other", n, 0.02, 0.01) for n in (128, 512)]
    cost = pd.DataFrame({"name": ["first"] * 2 + ["other"] * 2, "n_problems": [128, 512] * 2, "mean": 100.0})
    left = differences_and_cost(pd.DataFrame(rows), pd.DataFrame(rows[1:]), cost, ("d", "t"), STEP).axes[0]
    smaller, larger = (labelled(left)[f"{n} problems"] for n in (128, 512))
    assert {(one.get_color(), one.get_marker()) for one in (smaller, larger)} == {("#D55E00", "D")}
    assert (smaller.get_markerfacecolor(), larger.get_markerfacecolor()) == ("white", "#D55E00")


def likelihoods() -> pd.DataFrame:
    """Self minus teacher: −0.01 and 0.01 a token, 1 and 3 a solution, 2 and 4 where equally long."""
    of = {"token": (0.2, (-0.01, 0.01)), "solution": (3.0, (1.0, 3.0)), "equally long": (1.0, (2.0, 4.0))}
    rows = [
        (replicate, measure, writer, teacher + gap * (writer == "self"), 10 + replicate)
        for measure, (teacher, gaps) in of.items()
        for replicate, gap in enumerate(gaps)
        for writer in ("self", "teacher")
    ]
    return pd.DataFrame(rows, columns=["replicate", "measure", "writer", "value", "n_problems"])


def test_below_the_likelihoods_stand_their_differences_with_the_interval_that_the_caption_tells() -> None:
    figure = likelihood.VIEW.draw(likelihoods())
    token, solution, equal, *below = figure.axes
    assert [axes.get_xlabel() for axes in below] == [
        "self minus teacher, nats a token", *["self minus teacher, nats a solution"] * 2
    ]  # fmt: skip
    half = 12.7062  # t with 1 degree of freedom; s.e. of 1 and 3 is 1
    assert bars(below[1]) == {0: pytest.approx((2 - half, 2 + half), abs=1e-3)}
    assert [x for x, _ in marks(below[1], "s")] == [2] and [x for x, _ in marks(below[1], ".")] == [1, 3]
    assert len({y for _, y in marks(below[1], ".")}) == 2  # in lanes
    assert all(any(set(places(line)[0]) == {0} for line in axes.lines) for axes in below)
    assert below[1].get_xlim() == below[2].get_xlim() != below[0].get_xlim()
    assert solution.get_ylim() == equal.get_ylim() != token.get_ylim()
    assert "have both, 10 to 11 problems a replicate" in likelihood.VIEW.caption(likelihoods())


def test_dots_of_neighbouring_values_stand_in_three_lanes_in_turn() -> None:
    assert sideways([0.3, 0.1, 0.2, 0.4], 1.0) == [1.0, -1.0, 0.0, -1.0]  # by rank: third, first, second, fourth
    assert sideways([0.1, 0.1], 0.5) == [-0.5, 0.0] and sideways([], 1.0) == []


def test_one_replicate_s_likelihoods_have_no_bar_and_solutions_of_one_length_may_be_lacking() -> None:
    rows = likelihoods().query("replicate == 0 and measure != 'equally long'")
    below = likelihood.VIEW.draw(rows).axes[3:]
    assert [bars(axes) for axes in below] == [{}, {}, {}] and len(marks(below[0], "s")) == 1
    assert "equally long, no problem)" in likelihood.VIEW.caption(rows)


def estimates_of_both() -> dict[str, pd.DataFrame]:
    """Both kinds are 0.01 and 0.03 worse at 64 problems, 0.03 and 0.05 at 128: 0.02 and 0.04 in the mean of sizes."""
    errors = [
        (arm, n, replicate, 0.3 + (0.01 * (2 * replicate - 1) + (0.02 if n == 128 else 0)) * (arm == both_kinds.BOTH))
        for arm in (both_kinds.BASELINE, both_kinds.ALONE, both_kinds.BOTH)
        for n in (64, 128)
        for replicate in (1, 2)
    ]
    misses = [(r, steps, of, 0.2, 0.9, 128) for r in (1, 2) for steps in ("wrong", "all") for of in ("wrong", "all")]
    return {
        "errors": pd.DataFrame(errors, columns=["arm", "n_problems", "replicate", "value"]),
        "estimates": pd.DataFrame(misses, columns=["replicate", "steps", "of", "value", "covered", "n_problems"]),
    }


def test_what_both_kinds_are_ruled_by_is_a_mark_of_its_own_and_one_legend_names_the_marks_of_all_panels() -> None:
    rows = estimates_of_both()
    figure = both_kinds.VIEW.draw(rows)
    axes = figure.axes[2]
    ((at, mean),) = marks(axes, "s")
    assert at > 128 and mean == pytest.approx(0.03)
    half = 12.7062 * 0.01  # t with 1 degree of freedom, s.e. of 0.02 and 0.04
    found = bars(axes, is_vertical=True)
    assert list(found) == [64, 128, at] and found[at] == pytest.approx((0.03 - half, 0.03 + half), abs=1e-4)
    assert found[64] == pytest.approx((0.02 - half, 0.02 + half), abs=1e-4)  # of 0.01 and 0.03
    assert not axes.collections and "−0.01" in [text.get_text() for text in axes.texts]  # bars, no band
    figure.draw_without_rendering()
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["64", "128", "all"]
    assert axes.get_ylabel() == "error, both minus wrong alone"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ["SFT", "wrong alone", "both kinds"]
    assert not any(one.texts for one in figure.axes[:2])  # no name that could leave its frame
    text = both_kinds.VIEW.caption(rows)
    assert "many rollouts, at 128 problems (" in text and "marks beside them their means" in text
    assert "that of the mean lies below 0, not held where it lies above −0.01 (broken)" in text


def test_wrong_alone_and_both_kinds_differ_without_colour_and_replicates_stand_beside_their_mean() -> None:
    left, middle, _ = both_kinds.VIEW.draw(estimates_of_both()).axes
    alone, both = (labelled(middle)[name] for name in ("wrong alone", "both kinds"))
    assert (alone.get_linestyle(), both.get_linestyle()) == ("-", "--")
    assert both.get_markerfacecolor() == "white" != alone.get_markerfacecolor()
    means = [at for marker in ("D", "X") for at in marks(left, marker)]
    nearest = min(abs(x - at) for x, _ in marks(left, ".") for at, _ in means)
    assert len(means) == 4 and nearest == pytest.approx(0.1)
    assert left.get_ylim()[0] > 0  # its values are 0.2: an axis from 0 would waste the panel


def test_the_data_of_both_kinds_have_the_ruled_mean_with_its_limits_and_the_shares_that_have_an_estimate() -> None:
    data = both_kinds.VIEW.data(estimates_of_both())
    ruled = data[data["what"] == "both minus alone, mean of sizes"].iloc[0]
    half = 12.7062 * 0.01
    assert ruled[["mean", "low", "high"]].tolist() == pytest.approx([0.03, 0.03 - half, 0.03 + half], abs=1e-4)
    assert data.loc[data["what"] == "error of the estimate", "covered"].tolist() == pytest.approx([0.9] * 4)
