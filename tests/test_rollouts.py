"""How many rollouts a prefix gets, and which step of a trace is found with them: against outcomes written down."""

from collections.abc import Sequence

import pytest

from sweep.data.records import Trace
from sweep.methods.rollouts import estimated, searched
from sweep.methods.settling import Prefix, Rolled, n_enough, rolled_out

STEPS = ["a ", "b ", "c ", "d ", "ans"]
TRACE = Trace("p", "".join(STEPS), False, True)


class Table:
    """Rollouts whose outcomes are written down: a 1 for each right one, by the number of steps in the prefix."""

    def __init__(self, outcomes: dict[int, str], *, is_settled_early: bool = False) -> None:
        self.outcomes, self.is_settled_early = outcomes, is_settled_early
        self.n_drawn, self.waves = 0, list[tuple[int, int, int]]()

    def draw(self, prefixes: Sequence[Prefix], first: int, n: int) -> list[list[str]]:
        self.n_drawn += n * len(prefixes)
        self.waves.append((len(prefixes), first, n))
        of = [self.outcomes[len(text.split())] for _, text in prefixes]
        return [[f"{i}" for i in range(first, first + n) if row[i] == "1"] for row in of]

    def __call__(self, prefixes: Sequence[Prefix], depth: int) -> list[Rolled]:
        n = len(next(iter(self.outcomes.values())))
        return rolled_out(prefixes, self.draw, n, is_settled_early=self.is_settled_early)


def test_all_rollouts_are_one_call_and_settled_ones_stop_at_the_first_right_one() -> None:
    prefixes = [("p", "a "), ("p", "a b "), ("p", "a b c ")]
    outcomes = {1: "10110", 2: "00010", 3: "00000"}
    every, few = Table(outcomes), Table(outcomes, is_settled_early=True)
    assert [one.q_value for one in every(prefixes, 0)] == [0.6, 0.2, 0.0]
    assert every.waves == [(3, 0, 5)]
    assert few(prefixes, 0) == [Rolled(["0"], 1), Rolled(["3"], 4), Rolled([], 5)]
    assert few.waves == [(3, 0, 1), (2, 1, 1), (2, 2, 2), (1, 4, 1)]  # 3 + 2 + 4 + 1 rollouts in place of 15
    assert [one.q_value for one in few(prefixes, 0)] == [1.0, 0.25, 0.0]


def test_the_sequential_test_gives_up_after_as_many_wrong_ones_as_its_error_allows() -> None:
    assert n_enough(0.5, 0.05) == 5  # 1/16 is more than .05, 1/32 is not
    assert n_enough(0.5, 0.25) == 2  # exactly
    assert n_enough(0.9, 0.05) == 2  # 1/10, 1/100


@pytest.mark.parametrize("is_settled_early", [False, True])
def test_the_pit_is_the_same_step_whichever_way_it_is_looked_for(is_settled_early: bool) -> None:
    outcomes = {1: "011", 2: "001", 3: "000", 4: "000"}
    every = Table(outcomes)
    (q_values,), reached = estimated([TRACE], [STEPS], every, is_stopped_at_pit=True)
    assert q_values == [pytest.approx(2 / 3), pytest.approx(1 / 3), 0.0]
    assert every.n_drawn == 9 and [s.text for s in reached] == ["1", "2"]
    few = Table(outcomes, is_settled_early=is_settled_early)
    (q_values,), _ = estimated([TRACE], [STEPS], few, is_stopped_at_pit=True)
    assert [q == 0 for q in q_values] == [False, False, True] and few.n_drawn == (8 if is_settled_early else 9)
    halves = Table(outcomes, is_settled_early=is_settled_early)
    (q_values,), _ = searched([TRACE], [STEPS], halves)
    # step 4 is hopeless by itself: 1 is looked at (hopeful), then 2 (hopeless); 0 has at least the value of 1
    assert q_values == [pytest.approx(1 / 3), pytest.approx(1 / 3), 0.0] and halves.n_drawn == 6


def test_a_q_value_that_rises_again_can_hide_the_first_pit_from_a_search_by_halves() -> None:
    table = Table({1: "0", 2: "1", 3: "0", 4: "0"})
    assert searched([TRACE], [STEPS], table)[0] == [[1.0, 1.0, 0.0]]
    assert estimated([TRACE], [STEPS], table, is_stopped_at_pit=True)[0] == [[0.0]]


def test_traces_that_share_a_prefix_share_its_rollouts_and_a_lone_last_step_needs_none() -> None:
    table = Table({1: "0", 2: "0", 3: "0", 4: "0"})
    short = Trace("p", "ans", False, True)
    q_values, _ = searched([TRACE, TRACE, short], [STEPS, STEPS, ["ans"]], table)
    assert q_values == [[0.0], [0.0], [0.0]] and table.n_drawn == 2  # of steps 1 and 0, for both traces at once


def test_a_trace_without_a_step_or_without_a_mistake_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 1 traces have no step"):
        searched([TRACE], [[]], Table({}))
    with pytest.raises(ValueError, match="1 of 1 traces are right and have no pit; charge wrong ones alone"):
        searched([Trace("p", "ans", True, True)], [["ans"]], Table({}))
