"""Seed effects of all arms at once: recovered where they are known, and what cannot be paired."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from analysis_tables import outcomes
from scipy import stats
from simulated_tables import power, simulated_table

from analysis.noise.draws import draws
from analysis.noise.growth import Growth, growth_of, none_seen
from analysis.noise.pairing import Pairing, pairings, parts, steadiest
from analysis.noise.seeds import bernoulli_unit, within_seed_variance
from analysis.tables.table import Table, table_from_runs

FLAT = {"a": power(0.4, 0.0), "b": power(0.4, 0.0), "c": power(0.4, 0.0)}
SIZES = 2.0 ** np.arange(6, 10)
UNIT = 0.4 * 0.6


def paired(table: Table) -> Pairing | None:
    found = pairings(table, bernoulli_unit(table), within_seed_variance(table))
    return found[0] if found else None


def simulated(n_seeds: int, seed: int = 0, **noise: object) -> Table:
    return simulated_table(
        FLAT, SIZES, n_seeds=n_seeds, n_problems=1000, difficulty_sd=2.0, rng=np.random.default_rng(seed), **noise
    )


def test_each_arms_variance_and_what_arms_and_sizes_share_are_recovered() -> None:
    found = paired(simulated(300, seed_sd={"a": 0.01, "b": 0.02, "c": 0.03}, common_sd=0.02, lucky_sd=0.03))
    own, everywhere = np.square([0.01, 0.02, 0.03]), 0.02**2 + 0.03**2
    assert found.arms == ("a", "b", "c")
    assert found.variances(SIZES[1:2])[0] * UNIT**2 == pytest.approx(own + everywhere, rel=0.15)
    assert found.growth.rates == pytest.approx(0, abs=0.1)
    wanted = [everywhere / np.sqrt((own[i] + everywhere) * (own[j] + everywhere)) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert found.correlations == pytest.approx(wanted, abs=0.06)
    level = own.sum() / 9 + everywhere
    assert found.share_level == pytest.approx(0.03**2 / level, abs=0.1)
    assert found.share_contrast == pytest.approx(0.0, abs=0.05)
    assert found.df == pytest.approx(4 * 299, rel=0.02) and found.df_level == 299


def test_a_contrast_that_sizes_share_is_distinguished_from_a_level_that_they_share() -> None:
    found = paired(simulated(300, seed_sd=0.02, shared_sd=0.02))
    assert (found.share_level, found.share_contrast) == (pytest.approx(0.5, abs=0.1), pytest.approx(0.5, abs=0.07))
    assert found.df == pytest.approx(4 * 299 / (1 + 3 * 0.25), rel=0.1)


def by_parts(covariance: np.ndarray) -> np.ndarray:
    onto = parts(np.full(len(covariance), 1 / len(covariance)))
    return onto @ covariance @ onto.T


def test_draws_have_the_covariance_they_are_drawn_by() -> None:
    covariance = np.array([[0.04, 0.03], [0.03, 0.05]])
    known = Pairing(
        ("a", "b"), by_parts(covariance), none_seen(3), share_level=0.5, share_contrast=0.2, df=1e9, df_level=1e9
    )
    drawn = known.draw(200_000, np.array([1.0, 2.0]), np.random.default_rng(0))  # (n_draws, n_sizes, n_arms)
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


def test_no_sum_of_effects_has_a_negative_variance() -> None:
    """One arm far noisier than the other, a level that sizes share whole, contrasts that they share but for a tenth."""
    covariance = by_parts(np.array([[1.0, 0.0], [0.0, 0.01]]))
    known = Pairing(("a", "b"), covariance, none_seen(3), share_level=1.0, share_contrast=0.9, df=9, df_level=4)
    told = known.between(np.tile([0, 1], 4), np.repeat([1.0, 2.0, 4.0, 8.0], 2))
    assert np.linalg.eigvalsh(told).min() > -1e-12


@pytest.mark.parametrize(
    ("covariance", "wanted"),
    [
        ([[1.0, 0.0], [0.0, 4.0]], [0.8, 0.2]),  # by inverse variances
        ([[1.0, 1.0], [1.0, 5.0]], [1.0, 0.0]),  # b is a and noise of its own
        ([[1.0, 2.0], [2.0, 9.0]], [1.0, 0.0]),  # less than nothing of b would be best
        ([[1.0, 0.0], [0.0, -0.5]], [0.0, 1.0]),  # as an estimate may be
    ],
)
def test_the_level_is_the_mean_that_varies_least(covariance: list, wanted: list) -> None:
    assert steadiest(np.array(covariance)) == pytest.approx(wanted, abs=2e-3)


def test_where_noise_hides_half_a_variance_is_twice_as_unsure() -> None:
    """s^2 + noise is known on 5 degrees of freedom: a draw of it by c moves s^2, half of it, by 2 c."""
    known = Pairing(("a", "b"), by_parts(np.eye(2)), none_seen(3), 0, 0, df=5, df_level=1e9, made=0.5)
    drawn = known.draw(200_000, np.array([1.0]), np.random.default_rng(0))[:, 0]
    wanted = stats.chi2(5).expect(lambda x: max(1 + 2 * (5 / x - 1), 0.0), lb=1e-9)
    assert np.var(drawn[:, 0] - drawn[:, 1]) == pytest.approx(2 * wanted, rel=0.05)


def test_few_degrees_of_freedom_make_wide_draws() -> None:
    known = Pairing(("a", "b"), by_parts(np.eye(2)), none_seen(3), share_level=0, share_contrast=0, df=5, df_level=4)
    drawn = known.draw(100_000, np.array([1.0]), np.random.default_rng(0))[:, 0, 0]
    assert np.quantile(drawn, 0.975) == pytest.approx(2.571, rel=0.03)  # t on 5 degrees of freedom


def test_what_cannot_be_paired_is_not() -> None:
    noise = {"seed_sd": 0.02, "common_sd": 0.03}
    assert paired(simulated(3, **noise)) is not None
    assert paired(simulated(2, **noise)) is None  # one degree of freedom between seeds
    assert paired(simulated(3, seed_sd=0.0, shared_sd=0.05)) is None  # two, however many sizes
    assert paired(simulated(5, seed_sd=0.0, shared_sd=0.05)) is not None
    assert paired(simulated(5, seed_sd=0.0)) is None  # all of it is the test set's noise
    assert paired(outcomes({"a": power(1.0, 0.2)}, n_seeds=5, seed_sd=0.05)) is None  # one arm
    ragged = {"a": SIZES[:2], "b": SIZES[2:]}
    assert paired(outcomes({"a": power(1.0, 0.2), "b": power(1.0, 0.2)}, ragged, n_seeds=5, seed_sd=0.05)) is None


def test_the_largest_complete_block_of_a_ragged_table_is_paired() -> None:
    few = SIZES[-2:] * 64
    sizes = {"a": 2.0 ** np.arange(6, 12), "b": SIZES, "c": SIZES, "d": SIZES[:1], "e": few, "f": few}
    laws = {arm: power(1.0, 0.2) for arm in sizes}
    table = outcomes(laws, sizes, n_seeds=5, seed_sd=0.05)
    first, second = pairings(table, bernoulli_unit(table), within_seed_variance(table))
    assert first.arms == ("a", "b", "c") and first.df <= 4 * 4
    assert second.arms == ("e", "f") and second.df <= 2 * 4  # d is alone


def growing(n_seeds: int, seed: int = 0, luck: float = 0.3) -> Table:
    """Counts of 20,000; the arm's own noise doubles with each doubling of the size, a seed's luck is everybody's."""
    rng, rows = np.random.default_rng(seed), []
    for k in range(n_seeds):
        lucky = rng.normal(0, luck)
        for n in SIZES:
            for arm in ("a", "b"):
                own = rng.normal(0, 0.05 * n / SIZES[0]) if arm == "b" else 0.0
                wrong = rng.binomial(20_000, 0.4 + UNIT * np.clip(lucky + own, -1.5, 1.5))
                rows.append((arm, n, n, k, wrong / 20_000, 20_000))
    return table_from_runs(pd.DataFrame(rows, columns=["arm", "size", "x", "seed", "error", "n_test"]), "counts")


def test_a_contrast_that_grows_with_size_is_distinguished_from_a_level_that_does_not() -> None:
    found = paired(growing(200))
    assert found.growth.rates[[0, 2]] == pytest.approx([0.0, 1.0], abs=0.15)
    steady = found.variances(SIZES)[:, 0]  # a seed's luck, to which the other arm's noise adds nothing
    assert steady == pytest.approx(0.3**2, rel=0.2) and np.ptp(steady) < 0.1 * 0.3**2
    sizes, gap = SIZES[[0, 3]], np.array([1.0, -1.0])
    wide = [gap @ found.between(np.array([0, 1]), np.array([n, n])) @ gap for n in sizes]
    assert np.sqrt(wide) == pytest.approx([0.05, 0.4], rel=0.25)
    assert found.share_level > 0.8


def test_a_contrast_is_as_wide_at_each_size_as_its_noise_is_there() -> None:
    """One variance for all sizes would be 4.3 times too wide at the smallest and .54 of the truth at the largest."""
    found = []
    for k in range(20):
        table = growing(5, seed=k)
        drawn, sizes = draws(table, 1000), table.cells["size"].to_numpy(float)
        a, b = ([int(np.flatnonzero((table.cells["arm"] == arm) & (sizes == n))[0]) for n in SIZES] for arm in "ab")
        low, high = np.quantile(drawn.errors[:, b] - drawn.errors[:, a], (0.025, 0.975), axis=0)
        found.append((high - low) / (2 * 1.96 * UNIT * 0.05 * SIZES / SIZES[0] / np.sqrt(5)))
    assert (np.median(found, axis=0) > 0.9).all() and (np.median(found, axis=0) < 1.7).all()


def test_the_rate_of_growth_is_read_off_mean_squares() -> None:
    """Mean squares of 1, 4, 16, 64 at sizes 1, 2, 4, 8: a standard deviation that grows as the size."""
    sizes, df = 2.0 ** np.arange(4), np.full(4, 500.0)
    found = growth_of(sizes, sizes[:, None] ** 2, np.zeros((4, 1)), df)
    assert found.rates == pytest.approx([1.0], abs=0.02) and found.middle == pytest.approx(np.log(8) / 2)
    assert found.scale(np.array([8.0, 64.0]))[:, 0] == pytest.approx([8**0.5] * 2, rel=0.05)  # no further than seen
    noisy = growth_of(sizes, sizes[:, None] ** 2 + 50.0, np.full((4, 1), 50.0), df)
    assert noisy.rates == pytest.approx([1.0], abs=0.15)
    few = growth_of(sizes, sizes[:, None] ** 2, np.zeros((4, 1)), np.full(4, 1.0))
    assert 0.4 < few.rates[0] < 0.95 and (few.weights > 0.01).sum() > 3 * (found.weights > 0.01).sum()
    for nothing in (np.zeros((4, 1)), np.full((4, 1), 1e-6)):  # no scatter, or that of the test set alone
        assert growth_of(sizes, nothing, np.ones((4, 1)), df).scale(sizes) == pytest.approx(1.0)
    assert growth_of(sizes, np.zeros((4, 1)), np.zeros((4, 1)), df).scale(sizes) == pytest.approx(1.0)
    little = growth_of(sizes, 1e-7 * sizes[:, None] ** 2, np.zeros((4, 1)), df)  # errors near 0: the unit is no matter
    assert little.weights == pytest.approx(found.weights) and none_seen().weights.shape == (1, 41)


def test_the_doubt_of_a_rate_is_that_of_a_slope_in_logarithms() -> None:
    """Of 8 degrees of freedom a log mean square has variance 2/8: the slope's is .25 over the squares of ln n, 4 times
    that of the rate; with a prior of 1, .159."""
    sizes, rates = 2.0 ** np.arange(4), np.arange(-20, 21) / 10
    found = growth_of(sizes, sizes[:, None], np.zeros((4, 1)), np.full(4, 8.0))
    spread = np.sqrt(found.weights[0] @ (rates - found.rates[0]) ** 2)
    assert spread == pytest.approx(0.159, rel=0.1)
    small = growth_of(sizes / 1000, sizes[:, None], np.zeros((4, 1)), np.full(4, 8.0))  # the unit of size is no matter
    assert small.scale(sizes / 1000) == pytest.approx(found.scale(sizes))


def test_where_little_is_seen_the_rates_are_weighed_by_their_prior() -> None:
    """A normal of standard deviation 1 at rates -2, -1.9, ..., 2; mean squares with next to no degrees of freedom."""
    sizes, rates = 2.0 ** np.arange(4), np.arange(-20, 21) / 10
    found = growth_of(sizes, sizes[:, None], np.zeros((4, 1)), np.full(4, 1e-6))
    wanted = np.exp(-(rates**2) / 2)
    assert found.weights[0] == pytest.approx(wanted / wanted.sum(), rel=1e-3)
    assert found.rates == pytest.approx([0.0], abs=1e-3) and (found.weights[0] @ found.levels[0]) == pytest.approx(1)


def test_a_draw_beyond_all_rates_but_the_last_takes_the_last() -> None:
    last = np.eye(41)[40:]  # a standard deviation that grows as the square of the size
    seen = Growth(last, np.ones_like(last), 0.0, 0.0, np.log(8), np.ones(1))
    assert seen.drawn(np.array([8.0]), np.array([[0.5], [1.0]]))[:, 0, 0] == pytest.approx([64.0, 64.0])
    short = dataclasses.replace(seen, weights=last * (1 - 1e-12))  # weights whose sum rounding has left short of 1
    assert short.drawn(np.array([8.0]), np.array([[1.0]]))[0, 0, 0] == pytest.approx(64.0)


def test_drawn_growth_has_the_root_mean_square_it_is_said_to_have() -> None:
    sizes = np.array([1.0, 10.0, 100.0])
    seen = growth_of(sizes, np.array([[1.0], [3.0], [9.0]]), np.full((3, 1), 0.5), np.full(3, 4.0))
    drawn = seen.drawn(sizes, np.random.default_rng(0).random((200_000, 1)))[:, :, 0]
    assert np.sqrt(np.square(drawn).mean(axis=0)) == pytest.approx(seen.scale(sizes)[:, 0], rel=0.02)
    assert np.std(drawn[:, 0]) > 0.05
