"""pass@k from counts: worked by hand, and against every set of k solutions that can be drawn."""

import itertools

import numpy as np
import pytest

from analysis.tables.pass_at import k_of, wrong_at_k


def test_pass_at_k_is_the_share_of_sets_of_k_that_hold_a_right_solution() -> None:
    # 4 solutions, 1 right: of the 6 pairs 3 hold it
    assert wrong_at_k(np.array([1, 0, 3, 4]), np.array([4, 4, 4, 4]), 2).tolist() == [0.5, 1.0, 0.0, 0.0]
    assert wrong_at_k(np.array([1]), np.array([4]), 1).tolist() == [0.75]


@pytest.mark.parametrize(("n", "c", "k"), [(7, 2, 3), (9, 4, 4), (5, 5, 1), (6, 0, 6)])
def test_pass_at_k_counts_every_set(n: int, c: int, k: int) -> None:
    sets = [any(i < c for i in chosen) for chosen in itertools.combinations(range(n), k)]
    assert 1 - wrong_at_k(np.array([c]), np.array([n]), k)[0] == pytest.approx(sum(sets) / len(sets))


def test_more_attempts_than_were_sampled_are_refused() -> None:
    with pytest.raises(ValueError, match=r"pass@5 needs 5 sampled solutions of every problem, and one has 4"):
        wrong_at_k(np.array([1, 1]), np.array([8, 4]), 5)
    assert (k_of("pass@16"), k_of("greedy"), k_of("pass@0")) == (16, None, None)
