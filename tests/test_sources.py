"""Whose solutions are held up as good, on lists short enough to read."""

from sweep.data.records import Solution, Trace
from sweep.sources import SOURCES

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
    assert SOURCES["teacher"].solutions(DSYN, TRACES, REACHED) == DSYN


def test_self_keeps_distinct_correct_traces_then_new_ends_of_rollouts() -> None:
    assert SOURCES["self"].solutions(DSYN, TRACES, REACHED) == [
        Solution("p0", "x ; ans 1"),
        Solution("p1", "x ; ans 1"),
        Solution("p0", "w ; ans 1"),
    ]


def test_self_without_a_correct_trace_is_empty() -> None:
    assert SOURCES["self"].solutions(DSYN, TRACES[2:4], []) == []


def test_unverified_keeps_distinct_finished_traces_right_or_wrong() -> None:
    assert SOURCES["self_unverified"].solutions(DSYN, TRACES, REACHED) == [
        Solution("p0", "x ; ans 1"),
        Solution("p0", "y ; ans 3"),
        Solution("p1", "x ; ans 1"),
    ]


def test_only_the_teacher_needs_no_samples_and_only_the_control_is_unverified() -> None:
    assert [name for name, source in SOURCES.items() if not source.needs_samples] == ["teacher"]
    assert [name for name, source in SOURCES.items() if not source.is_verified] == ["self_unverified"]
