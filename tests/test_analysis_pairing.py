"""Seed effects of all arms at once: recovered where they are known, and what cannot be paired."""

import numpy as np
import pytest
from analysis_tables import outcomes
from simulated_tables import power, simulated_table

from analysis.noise.pairing import Pairing, pairings
from analysis.noise.seeds import bernoulli_unit
from analysis.tables.table import Table

FLAT = {"a": power(0.4, 0.0), "b": power(0.4, 0.0), "c": power(0.4, 0.0)}
SIZES = 2.0 ** np.arange(6, 10)
UNIT = 0.4 * 0.6


def paired(table: Table) -> Pairing | None:
    found = pairings(table, bernoulli_unit(table))
    return found[0] if found else None


def simulated(n_seeds: int, seed: int = 0, **noise: object) -> Table:
    return simulated_table(
        FLAT, SIZES, n_seeds=n_seeds, n_problems=1000, difficulty_sd=2.0, rng=np.random.default_rng(seed), **noise
    )


def test_each_arms_variance_and_what_arms_and_sizes_share_are_recovered() -> None:
    found = paired(simulated(300, seed_sd={"a": 0.01, "b": 0.02, "c": 0.03}, common_sd=0.02, lucky_sd=0.03))
    own, everywhere = np.square([0.01, 0.02, 0.03]), 0.02**2 + 0.03**2
    assert found.arms == ("a", "b", "c")
    assert found.variances * UNIT**2 == pytest.approx(own + everywhere, rel=0.15)
    wanted = [everywhere / np.sqrt((own[i] + everywhere) * (own[j] + everywhere)) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found.correlations == pytest.approx(wanted, abs=0.06)
    level = own.sum() / 9 + everywhere
    assert found.share_level == pytest.approx(0.03**2 / level, abs=0.1)
    assert found.share_contrast == pytest.approx(0.0, abs=0.05)
    assert found.df == pytest.approx(4 * 299, rel=0.02) and found.df_level == 299


def test_a_contrast_that_sizes_share_is_told_from_a_level_that_they_share() -> None:
    found = paired(simulated(300, seed_sd=0.02, shared_sd=0.02))
    assert (found.share_level, found.share_contrast) == (pytest.approx(0.5, abs=0.1), pytest.approx(0.5, abs=0.07))
    assert found.df == pytest.approx(4 * 299 / (1 + 3 * 0.25), rel=0.1)


def test_draws_have_the_covariance_they_are_drawn_by() -> None:
    covariance = np.array([[0.04, 0.03], [0.03, 0.05]])
    known = Pairing(("a", "b"), covariance, share_level=0.5, share_contrast=0.2, df=1e9, df_level=1e9)
    drawn = known.draw(200_000, 2, np.random.default_rng(0))  # (n_draws, n_sizes, n_arms)
    cells = drawn.reshape(len(drawn), 4)
    told = known.between(np.array([0, 1, 0, 1]), np.array([1.0, 1.0, 2.0, 2.0]))
    seen = np.cov(cells.T)
    gap = np.array([1.0, -1.0])
    for of in (gap, np.array([1.0, 1.0])):  # a contrast and the level, at one size and over both
        both = np.concatenate([of, of])
        assert of @ seen[:2, :2] @ of == pytest.approx(of @ told[:2, :2] @ of, rel=0.02)
        assert both @ seen @ both == pytest.approx(both @ told @ both, rel=0.02)
    assert gap @ told[:2, :2] @ gap == pytest.approx(0.03)
    assert gap @ told[:2, 2:] @ gap == pytest.approx(0.2 * 0.03)  # its share


def test_few_degrees_of_freedom_make_wide_draws() -> None:
    known = Pairing(("a", "b"), np.eye(2), share_level=0.0, share_contrast=0.0, df=5.0, df_level=4.0)
    drawn = known.draw(100_000, 1, np.random.default_rng(0))[:, 0, 0]
    assert np.quantile(drawn, 0.975) == pytest.approx(2.571, rel=0.03)  # t on 5 degrees of freedom


def test_what_cannot_be_paired_is_not() -> None:
    noise = {"seed_sd": 0.02, "common_sd": 0.03}
    assert paired(simulated(3, **noise)) is not None
    assert paired(simulated(2, **noise)) is None  # one degree of freedom between seeds
    assert paired(simulated(5, seed_sd=0.0)) is None  # all of it is the test set's noise
    assert paired(outcomes({"a": power(1.0, 0.2)}, n_seeds=5, seed_sd=0.05)) is None  # one arm
    ragged = {"a": SIZES[:2], "b": SIZES[2:]}
    assert paired(outcomes({"a": power(1.0, 0.2), "b": power(1.0, 0.2)}, ragged, n_seeds=5, seed_sd=0.05)) is None


def test_the_largest_complete_block_of_a_ragged_table_is_paired() -> None:
    few = SIZES[-2:] * 64
    sizes = {"a": 2.0 ** np.arange(6, 12), "b": SIZES, "c": SIZES, "d": SIZES[:1], "e": few, "f": few}
    laws = {arm: power(1.0, 0.2) for arm in sizes}
    table = outcomes(laws, sizes, n_seeds=5, seed_sd=0.05)
    first, second = pairings(table, bernoulli_unit(table))
    assert first.arms == ("a", "b", "c") and first.df <= 4 * 4
    assert second.arms == ("e", "f") and second.df <= 2 * 4  # d is alone
