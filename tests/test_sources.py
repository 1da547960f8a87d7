"""Whose solutions are held up as good, on lists short enough to read."""

import pytest

from sweep.data.records import Credit, Solution, Trace
from sweep.sources import SOURCES
from sweep.sources.soundness import matched
from sweep.sources.written import Written

DSYN = [Solution("p0", "a ; ans 1"), Solution("p1", "b ; ans 2")]
TRACES = [
    Trace("p0", "x ; ans 1", is_correct=True, is_finished=True),
    Trace("p0", "x ;  ans 1 ", is_correct=True, is_finished=True),  # the same words
    Trace("p0", "y ; ans 3", is_correct=False, is_finished=True),
    Trace("p0", "z ; z ; z", is_correct=False, is_finished=False),
    Trace("p1", "x ; ans 1", is_correct=True, is_finished=True),  # the same words for another problem
]
REACHED = [Solution("p0", "x ; ans 1"), Solution("p0", "w ; ans 1")]


def test_the_teacher_is_dsyn_whatever_the_policy_sampled() -> None:
    assert SOURCES["teacher"].solutions(Written(DSYN, TRACES, REACHED, [])) == DSYN


def test_self_keeps_distinct_correct_traces_then_new_ends_of_rollouts() -> None:
    assert SOURCES["self"].solutions(Written(DSYN, TRACES, REACHED, [])) == [
        Solution("p0", "x ; ans 1"),
        Solution("p1", "x ; ans 1"),
        Solution("p0", "w ; ans 1"),
    ]


def test_self_without_a_correct_trace_is_empty() -> None:
    assert SOURCES["self"].solutions(Written(DSYN, TRACES[2:4], [], [])) == []


def test_unverified_keeps_distinct_finished_traces_right_or_wrong() -> None:
    assert SOURCES["self_unverified"].solutions(Written(DSYN, TRACES, REACHED, [])) == [
        Solution("p0", "x ; ans 1"),
        Solution("p0", "y ; ans 3"),
        Solution("p1", "x ; ans 1"),
    ]


def test_the_filter_keeps_right_and_wrong_traces_whose_worst_step_is_in_the_upper_half() -> None:
    credits = [
        Credit("p0", "good", True, 0.5, [0.4, 1.0]),  # lowest advantage -.1
        Credit("p0", "lost at once", False, 0.5, [0.0, 0.0]),  # -.5
        Credit("p1", "nearly", False, 0.2, [0.2, 0.0]),  # -.2, though the answer is wrong
        Credit("p1", "lucky", True, 0.8, [0.2, 1.0]),  # -.6, though the answer is right
    ]
    kept = SOURCES["self_filtered"].solutions(Written(DSYN, TRACES, REACHED, credits))
    assert kept == [Solution("p0", "good"), Solution("p1", "nearly")]  # the median is -.35


def test_the_filter_leaves_out_problems_that_nothing_solved() -> None:
    hopeless = Credit("p0", "no way", False, 0.0, [0.0, 0.0])  # advantages of 0 at every step, the best there could be
    assert SOURCES["self_filtered"].solutions(Written(DSYN, TRACES, REACHED, [hopeless])) == []


TEXTS = {"p0": ["s1", "x1", "s2", "x2", "x3"], "p1": ["s3"], "p2": ["x4"], "p3": ["x5", "x6", "s4", "s5"]}


@pytest.mark.parametrize(
    ("fraction", "kept"),
    [  # s: sound, x: spurious; of each problem as many as it has of the rarer kind
        (0.0, ["s1", "s2", "s4", "s5"]),
        (1.0, ["x1", "x2", "x5", "x6"]),
        (0.5, ["s1", "x1", "s4", "x5"]),
        (0.25, ["s1", "s2", "s4", "x5"]),  # 1 of 4, and of the first two .5, so none
    ],
)
def test_a_fraction_of_spurious_solutions_of_the_same_problems_equally_many(fraction: float, kept: list[str]) -> None:
    solutions = [Solution(problem_id, text) for problem_id, all_ in TEXTS.items() for text in all_]
    found = matched(solutions, [s.text.startswith("s") for s in solutions], fraction)
    assert [s.text for s in found] == kept


def test_the_sources_of_sound_spurious_and_mixed_solutions_differ_in_the_fraction_alone() -> None:
    traces = [Trace(p, text, is_correct=True, is_finished=True) for p, all_ in TEXTS.items() for text in all_]

    def held_up(source: str) -> list[str]:
        written = Written(DSYN, traces, is_sound=lambda s: s.text.startswith("s"), dials={"spurious_fraction": 0.5})
        return [s.text for s in SOURCES[source].solutions(written)]

    assert held_up("self_sound") == ["s1", "s2", "s4", "s5"]
    assert held_up("self_spurious") == ["x1", "x2", "x5", "x6"]
    assert held_up("self_mixed") == ["s1", "x1", "s4", "x5"]


def test_what_each_source_needs() -> None:
    assert {name: source.needs for name, source in SOURCES.items()} == {
        "teacher": "none", "self": "samples", "self_unverified": "samples", "self_filtered": "advantages",
        "self_sound": "samples", "self_spurious": "samples", "self_mixed": "samples",
    }  # fmt: skip
    judged = [name for name, source in SOURCES.items() if source.is_step_judged]
    assert judged == ["self_sound", "self_spurious", "self_mixed"]
