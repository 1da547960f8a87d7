"""What runs of a seed share over sizes: recovered where it is known, and drawn with what is not known of it."""

import numpy as np
import pytest
from scipy import stats
from simulated_tables import power, simulated_table

from analysis.noise.seeds import SeedNoise, bernoulli_unit, seed_noise
from analysis.tables.table import Table

SIZES = 2.0 ** np.arange(6, 12)


def two_arms(n_seeds: int, seed: int = 0, **noise: float) -> Table:
    laws = {"a": power(0.4, 0.0), "b": power(0.4, 0.0)}
    rng = np.random.default_rng(seed)
    return simulated_table(laws, SIZES, n_seeds=n_seeds, n_problems=500, difficulty_sd=2.0, rng=rng, **noise)


def of_one_arm(found: SeedNoise, table: Table, n_draws: int = 100_000) -> np.ndarray:
    """(n_draws, n_sizes) effects of the first arm's cells, in units of p (1 - p) and as of one run."""
    drawn = found.draw(table, n_draws, np.random.default_rng(0))
    cells = table.cells_of("a")
    return drawn[:, cells] / bernoulli_unit(table)[cells] * np.sqrt(table.cells["n_seeds"].to_numpy()[cells])


def test_what_seeds_share_and_what_they_do_not_are_recovered() -> None:
    found = seed_noise(two_arms(150, seed_sd=0.024, shared_sd=0.036))
    assert found.phi_shared == pytest.approx((0.036 / 0.24) ** 2, rel=0.15) and found.df_shared == 2 * 149
    assert found.phi - found.phi_shared == pytest.approx((0.024 / 0.24) ** 2, rel=0.15)
    # a run's own noise and the test set's, which is less than binomial where problems are easy or hard for all runs
    assert 0.01 / 6 < found.noise_shared < (0.01 + 1 / 0.24 / 500) / 6


def test_a_mean_square_is_drawn_with_its_noise_and_the_noise_taken_off() -> None:
    table = two_arms(3, seed_sd=0.0)
    found = SeedNoise(phi=0.01, phi_shared=0.01, df=np.inf, df_shared=4.0, notes=(), noise_shared=0.02)
    drawn = of_one_arm(found, table)
    assert np.ptp(drawn, axis=1).max() < 1e-12  # at all sizes the same
    none = stats.chi2.sf(4 * 0.03 / 0.02, 4)  # how often .03 x 4 / chi^2 is below the noise
    assert (drawn[:, 0] == 0).mean() == pytest.approx(none, abs=0.005) and none == pytest.approx(0.199, abs=0.001)
    # P(|effect| > .3) by integrating a normal tail over the mean square
    ranks = (np.arange(2000) + 0.5) / 2000
    variance = np.maximum(0.03 * 4 / stats.chi2.ppf(ranks, 4) - 0.02, 0.0)
    beyond = 2 * stats.norm.sf(0.3 / np.sqrt(np.maximum(variance, 1e-300))).mean()
    assert (np.abs(drawn[:, 0]) > 0.3).mean() == pytest.approx(beyond, rel=0.05)


def test_without_noise_what_seeds_share_is_students_t() -> None:
    table = two_arms(3, seed_sd=0.0)
    found = SeedNoise(phi=0.01, phi_shared=0.01, df=np.inf, df_shared=4.0, notes=())
    drawn = of_one_arm(found, table)[:, 0]
    assert np.quantile(np.abs(drawn), 0.95) == pytest.approx(0.1 * stats.t.ppf(0.975, 4), rel=0.03)


def test_runs_that_go_their_own_ways_share_nothing() -> None:
    found = seed_noise(two_arms(12, seed_sd=0.03))
    assert (found.phi_shared, found.noise_shared) == (0.0, 0.0) and np.isinf(found.df_shared)
