"""Per-step credit against solutions worked by hand."""

import numpy as np
import pytest

from sweep.data.credit import advantages, pit


def test_a_trace_that_goes_wrong_at_step_2() -> None:
    # solved half the time; step 0 helps, step 1 is neutral, step 2 is the mistake
    assert advantages(np.array([0.75, 0.75, 0.0]), pass_rate=0.5).tolist() == [0.25, 0.0, -0.75]


def test_advantages_telescope_to_the_last_q_value_minus_the_pass_rate() -> None:
    assert advantages(np.array([0.2, 0.6, 0.4, 0.0]), pass_rate=0.3).sum() == pytest.approx(-0.3)


@pytest.mark.parametrize(
    ("q_values", "pass_rate", "told"),
    [
        ([], 0.5, r"non-empty vector, one entry a step; found shape \(0,\)"),
        ([[0.5]], 0.5, r"found shape \(1, 1\)"),
        ([0.5, 1.5], 0.5, r"must lie in \[0, 1\]; found \[0.5, 1.5\], 0.5"),
        ([0.5], 1.1, r"must lie in \[0, 1\]; found \[0.5\], 1.1"),
        ([0.5], -0.1, r"must lie in \[0, 1\]; found \[0.5\], -0.1"),
        ([float("nan")], 0.5, r"must lie in \[0, 1\]; found \[nan\]"),
    ],
)
def test_advantages_refuse_what_is_no_probability(q_values: list, pass_rate: float, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        advantages(np.array(q_values), pass_rate)


def test_a_step_that_always_or_never_helps_is_a_probability_still() -> None:
    assert advantages(np.array([1.0, 0.0]), pass_rate=0.0).tolist() == [1.0, -1.0]
    assert advantages(np.array([1.0]), pass_rate=1.0).tolist() == [0.0]


def test_the_first_of_several_lowest_steps_is_the_pit() -> None:
    assert pit(np.array([0.6, 0.2, 0.4, 0.2]), 0.5, "first_lowest", 0.0) == 1


def test_first_below_takes_the_first_step_at_the_threshold_or_under_it() -> None:
    assert pit(np.array([0.6, 0.4, 0.2, 0.0]), 0.5, "first_below", 0.4) == 1


def test_first_below_finds_no_pit_where_no_step_is_that_low() -> None:
    assert pit(np.array([0.6, 0.4]), 0.5, "first_below", 0.3) is None


def test_lowest_advantage_is_the_largest_fall_and_not_the_lowest_value() -> None:
    # falls by 0.1, 0.5, 0.3 in turn: step 1, although step 2 has the lowest q_value
    assert pit(np.array([0.8, 0.3, 0.0]), 0.9, "lowest_advantage", 0.0) == 1


def test_lowest_advantage_finds_no_pit_where_no_step_lost_anything() -> None:
    assert pit(np.array([0.5, 0.8]), 0.5, "lowest_advantage", 0.0) is None


def test_an_unknown_pit_rule_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="must be first_lowest, first_below or lowest_advantage; found 'last'"):
        pit(np.array([0.5]), 0.5, "last", 0.0)
