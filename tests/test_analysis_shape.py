"""The shape of a shift and its fast interval, worked by hand: from draws that are written down, and from 8 outcomes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from analysis_tables import SIZES, exact
from scipy import stats
from simulated_tables import Law, power

from analysis.noise.draws import Draws, draws
from analysis.noise.growth import RATES, Growth, none_seen
from analysis.noise.pairing import Pairing, parts
from analysis.tables.table import Block, Table, table_from_runs
from analysis.worth.comparison import Comparison
from analysis.worth.delta import delta_interval, influence_variance
from analysis.worth.shape import Fieller, fieller, multiplier_curve, pooled_draws, shape_of, simultaneous_band

SFT, TWICE = power(1.0, 0.15), power(2**-0.15, 0.15)
Z = np.arange(-99, 100) / 100  # 199 draws: the limits at 95 % are the fifth from the ends, -0.95 and 0.95


def drawn(observed: Law, of_draws: Sequence[Law], law: str = "power", sizes: np.ndarray = SIZES) -> Comparison:
    """SFT as it was observed in every draw, and an arm with a curve of its own in each."""
    found = draws(exact({"SFT": SFT, "RFT": observed}, sizes), 100)
    rows = np.repeat(found.observed[None], len(of_draws), axis=0)
    for row, curve in zip(rows, of_draws, strict=True):
        row[found.table.cells_of("RFT")] = curve(sizes)
    return Comparison(dataclasses.replace(found, errors=rows), law=law)


def test_sizes_speak_against_one_number_at_a_level_corrected_for_how_many_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    comparison, asked = drawn(TWICE, [power((2 * np.exp(z)) ** -0.15, 0.15) for z in 0.1 * Z]), list[float]()
    plain = Comparison.at_level

    def noted(self: Comparison, level: float) -> Comparison:
        asked.append(level)
        return plain(self, level)

    monkeypatch.setattr(Comparison, "at_level", noted)
    assert shape_of(comparison, "RFT", "SFT").against == ()
    assert asked == [pytest.approx(1 - 0.05 / len(SIZES))]


# the curve of the multiplier and its bands


def test_the_curve_of_an_arm_that_draws_worth_twice_the_data_more_or_less() -> None:
    curve = multiplier_curve(drawn(TWICE, [power((2 * np.exp(z)) ** -0.15, 0.15) for z in 0.1 * Z]), "RFT", "SFT")
    assert curve is not None and curve.errors.shape == curve.values.shape
    assert curve.errors[0] == pytest.approx(TWICE(128), rel=1e-6)  # the arm's largest; the baseline's is larger
    assert curve.errors[-1] == pytest.approx(SFT(8192), rel=1e-6)
    assert curve.values == pytest.approx(2.0, rel=1e-5)
    assert curve.pointwise == pytest.approx(np.tile(2 * np.exp([-0.095, 0.095]), (len(curve.errors), 1)), rel=1e-5)
    assert curve.simultaneous == pytest.approx(curve.pointwise, rel=1e-9)  # all draws shift the whole curve


def test_a_curve_needs_an_arm_of_three_sizes() -> None:
    for n_sizes, is_drawn in ((2, False), (3, True)):
        frame = exact({"SFT": SFT, "RFT": TWICE}).runs
        few = frame[(frame["arm"] == "SFT") | frame["size"].isin(SIZES[2 : 2 + n_sizes])]
        comparison = Comparison(draws(table_from_runs(few, "counts"), 100), law="power")
        assert (multiplier_curve(comparison, "RFT", "SFT") is not None) == is_drawn


def test_a_band_of_equal_ranks_holds_its_share_of_whole_curves() -> None:
    ranks = np.arange(8.0)
    straight = np.stack([ranks, ranks], axis=1)
    assert simultaneous_band(straight, 0.75).tolist() == [[1, 6], [1, 6]]  # 6 of 8: without the first and the last
    assert simultaneous_band(straight, 0.5).tolist() == [[2, 5], [2, 5]]
    # the second column's ranks are 3, 4, 0, 7, 2, 5, 1, 6: rows 1, 4, 5 and 6 are first or last in neither column
    crossed = np.stack([ranks, 10 * np.array([3.0, 4, 0, 7, 2, 5, 1, 6])], axis=1)
    assert simultaneous_band(crossed, 0.5).tolist() == [[1, 6], [10, 60]]
    assert simultaneous_band(crossed, 0.75).tolist() == [[0, 7], [0, 70]]


def test_no_narrower_band_of_equal_ranks_holds_the_share() -> None:
    curves = np.random.default_rng(0).normal(size=(40, 5))
    ordered = np.sort(curves, axis=0)
    for level in (0.25, 0.5, 0.75):
        n_inside = [
            np.sum(np.all((curves >= ordered[rank]) & (curves <= ordered[39 - rank]), axis=1)) for rank in range(20)
        ]
        narrowest = max(rank for rank, n in enumerate(n_inside) if n >= level * 40)
        expected = np.stack([ordered[narrowest], ordered[39 - narrowest]], axis=1)
        assert simultaneous_band(curves, level).tolist() == expected.tolist()


def test_a_draw_that_says_nothing_widens_a_band_on_both_sides() -> None:
    ranks = np.arange(8.0)
    ranks[3] = np.nan
    # from below nan, 0, 1, 2, 4 ...; from above nan, 7, 6, 5, 4 ...: without the first and the last 0 and 7 are left
    assert simultaneous_band(ranks[:, None], 0.75).tolist() == [[0, 7]]


# one number for the whole curve


def test_a_difference_of_slopes_and_what_the_multiplier_varies_by() -> None:
    """e = .6 n^-b for the arm, b = .16, and n^-.15 for SFT, so that ln m(e) = -ln(e)/.15 - ln(.6/e)/b.

    It changes by (1/.15 - 1/b) ln(e_high/e_low) over the errors that both have.
    """
    slopes = 0.16 + 0.001 * np.arange(-99, 101) / 100
    found = shape_of(drawn(power(0.6, 0.16), [power(0.6, b) for b in slopes]), "RFT", "SFT")
    assert found.delta_b == pytest.approx(0.01, abs=1e-6)
    # 200 draws: order statistics 5 and 196, which are -.95 and .96 thousandths about the middle
    assert found.delta_b_ci == pytest.approx((0.00905, 0.01096), abs=1e-6)
    assert found.delta_floor is None and found.delta_floor_ci is None and found.pooled_law == "power_shared"
    span = np.log(0.6 * 128**-0.16 / 8192**-0.15)
    assert np.log(found.factor) == pytest.approx((1 / 0.15 - 1 / 0.16) * span, rel=1e-4)
    assert np.log(found.factor_high) == pytest.approx((1 / 0.15 - 1 / slopes[179]) * span, rel=1e-4)  # the 180th
    assert found.is_constant


def test_the_limit_of_what_it_varies_by_is_the_least_rank_that_holds_nine_draws_of_ten() -> None:
    slopes = 0.16 + 0.001 * np.arange(11)  # 9.9 of 11 draws: the 10th, where 9 of 10 would be the 9th
    found = shape_of(drawn(power(0.6, 0.16), [power(0.6, b) for b in slopes]), "RFT", "SFT")
    span = np.log(0.6 * 128**-0.16 / 8192**-0.15)
    assert np.log(found.factor_high) == pytest.approx((1 / 0.15 - 1 / slopes[9]) * span, rel=1e-3)


def test_without_errors_in_common_nothing_shows_one_number_for_the_curve() -> None:
    far = power(0.1, 0.15)
    found = shape_of(drawn(far, [far] * 100), "RFT", "SFT")
    assert np.isnan(found.factor) and found.factor_high == np.inf and not found.is_constant


def test_draws_whose_curve_does_not_reach_the_errors_in_common_count_as_any_factor() -> None:
    good, rising = power(2**-0.15, 0.15), power(0.2, -0.01)
    assert shape_of(drawn(good, [good] * 90 + [rising] * 10), "RFT", "SFT").factor_high == pytest.approx(1, abs=1e-4)
    assert shape_of(drawn(good, [good] * 89 + [rising] * 11), "RFT", "SFT").factor_high == np.inf


def test_the_pooled_multiplier_and_its_limits_from_draws_that_shift_the_whole_curve() -> None:
    found = shape_of(drawn(TWICE, [power((2 * np.exp(z)) ** -0.15, 0.15) for z in Z]), "RFT", "SFT")
    assert found.pooled == pytest.approx(2.0, rel=1e-6)
    assert np.log(found.pooled_ci) == pytest.approx(np.log(2) + np.array([-0.95, 0.95]), abs=1e-4)


def test_a_shared_floor_is_fitted_where_each_arm_has_one() -> None:
    arm = power(3.0 * 4**-0.4, 0.4, 0.06)
    table = exact({"SFT": power(3.0, 0.4, 0.1), "RFT": arm})
    found = shape_of(Comparison(draws(table, 100), law="power_floor"), "RFT", "SFT")
    assert found.delta_floor == pytest.approx(-0.04, abs=1e-4) and found.pooled_law == "power_floor_shared"
    same = exact({"SFT": power(3.0, 0.4, 0.1), "RFT": power(3.0 * 4**-0.4, 0.4, 0.1)})
    assert shape_of(Comparison(draws(same, 100), law="power_floor"), "RFT", "SFT").pooled == pytest.approx(4, rel=1e-4)


def test_a_difference_of_floors_with_the_limits_of_its_draws() -> None:
    """SFT has none; the arm's draws have .06 +- .02, of which the fifth from each end are .041 and .079."""
    found = shape_of(
        drawn(power(2, 0.4, 0.06), [power(2, 0.4, 0.06 + 0.02 * z) for z in Z], "power_floor"), "RFT", "SFT"
    )
    assert found.delta_floor == pytest.approx(0.06, abs=5e-5)
    assert found.delta_floor_ci == pytest.approx((0.041, 0.079), abs=5e-5)


def test_draws_whose_shared_curve_does_not_fall_are_infinite_on_the_side_of_the_better_arm() -> None:
    found = draws(exact({"SFT": power(0.4, 0.1), "RFT": power(0.3, 0.1)}), 100)
    for worse, limits in (("SFT", (0.0, np.inf)), ("RFT", (0.0, 0.0))):
        rows = np.repeat(found.observed[None], 100, axis=0)
        flat = {"SFT": 0.4 if worse == "SFT" else 0.3, "RFT": 0.3 if worse == "SFT" else 0.4}
        for arm, level in flat.items():
            rows[:, found.table.cells_of(arm)] = power(level, -0.05)(SIZES)
        shape = shape_of(Comparison(dataclasses.replace(found, errors=rows), law="power"), "RFT", "SFT")
        assert shape.pooled_ci == ((np.inf, np.inf) if worse == "SFT" else limits)
    distance, slope = pooled_draws(Comparison(dataclasses.replace(found, errors=rows), law="power"), "RFT", "SFT")
    assert slope == pytest.approx([0.1, *[-0.05] * 100], abs=1e-6)
    assert distance == pytest.approx([np.log(4 / 3), *[np.log(3 / 4)] * 100], abs=1e-6)


# Fieller's set: l with (d - l b)^2 <= t^2 Var(D - l b)

T = stats.norm.ppf(0.975)
UP, TURNED = np.array([1.0, -1, 1, -1]), np.array([1.0, 1, -1, -1])  # of variance 4/3, and uncorrelated


def fieller_of(d: float, b: float, x: float, y: float, of_b: np.ndarray = TURNED, df: float = np.inf) -> Fieller:
    """From draws with t sd(D) = x and t sd(b) = y at df = inf."""
    unit = np.sqrt(3 / 4) / T
    return fieller(d + unit * x * np.r_[0.0, UP], b + unit * y * np.r_[0.0, of_b], 0.95, df)


def logs(found: Fieller) -> list[float]:
    with np.errstate(divide="ignore"):
        return [float(np.log(found.low)), float(np.log(found.high))]


def test_fieller_with_a_slope_that_is_known() -> None:
    found = fieller_of(0.6, 0.3, 0.3, 0.0)  # (.6 - .3 l)^2 <= .3^2: l from 1 to 3
    assert found.kind == "interval" and logs(found) == pytest.approx([1, 3])
    t_3 = 3.182446  # Student's at .975 on 3 degrees of freedom
    assert logs(fieller_of(0.6, 0.3, 0.3, 0.0, df=3)) == pytest.approx([2 - t_3 / T, 2 + t_3 / T], rel=1e-5)


def test_fieller_with_a_slope_of_its_own_noise() -> None:
    # (1 - .5 l)^2 <= .4375 + .09 l^2, or .16 l^2 - l + .5625 <= 0
    found = fieller_of(1.0, 0.5, 0.4375**0.5, 0.3)
    assert found.kind == "interval" and logs(found) == pytest.approx([0.625, 5.625])
    # one noise in both: (1 - .5 l)^2 <= .3^2 (1 - l)^2
    found = fieller_of(1.0, 0.5, 0.3, 0.3, of_b=UP)
    assert found.kind == "interval" and logs(found) == pytest.approx([1.625, 3.5])


@pytest.mark.parametrize(("d", "limits"), [(0.8, [1.0, np.inf]), (-1.0, [-np.inf, -1.25])])
def test_fieller_with_a_slope_that_may_be_0_is_the_half_line_on_the_side_of_the_shift(d: float, limits) -> None:
    found = fieller_of(d, 0.3, 0.0, 0.5)  # |d - .3 l| <= .5 |l|: outside of the roots d/.8 and -d/.2
    assert found.kind == "half_line" and logs(found) == pytest.approx(limits)


def test_fieller_says_nothing_where_neither_shift_nor_slope_is_seen() -> None:
    for d in (0.0, 0.1):
        found = fieller_of(d, 0.3, 0.2, 0.5)  # (d - .3 l)^2 <= .04 + .25 l^2 for every l
        assert (found.kind, found.low, found.high) == ("everything", 0.0, np.inf)


def test_fieller_without_a_shift_reaches_to_either_side() -> None:
    assert fieller_of(0.0, 0.3, 0.0, 0.5) == Fieller(0.0, np.inf, "everything")


def test_fieller_leaves_out_draws_that_are_infinite() -> None:
    unit = 0.3 * np.sqrt(3 / 4) / T
    distance, slope = 0.6 + unit * np.r_[0.0, UP, np.inf, 1], np.r_[np.full(5, 0.3), 0.3, np.nan]
    assert logs(fieller(distance, slope, 0.95, np.inf)) == pytest.approx([1, 3])


# the fast interval: how much each source of noise moves ln m


def outcomes_of(rows: Sequence[tuple[str, float, int, Sequence[int]]]) -> Draws:
    """Draws of a table of (arm, size, seed, error of each problem); all runs on the same problems."""
    errors = np.array([each for *_, each in rows], dtype=np.float32)
    frame = pd.DataFrame([row[:3] for row in rows], columns=["arm", "size", "seed"])
    frame = frame.assign(x=frame["size"], error=errors.mean(axis=1, dtype=float), n_test=errors.shape[1])
    return draws(table_from_runs(frame, "outcomes", [Block(np.arange(len(rows)), errors)]), 100)


def with_seeds(found: Draws, **seeds) -> Draws:
    return dataclasses.replace(found, seeds=dataclasses.replace(found.seeds, **seeds))


TWO = [("SFT", 64.0, 0, (1, 0, 0, 0)), ("SFT", 64.0, 1, (1, 1, 1, 0))]


def test_two_runs_on_four_problems() -> None:
    """Problems: scores about their runs' means, over 2 runs and 4 problems, are 1/8, 0, 0, -1/8: 1/32 in squares.

    Seeds: gaps of -1/4 and 1/4 in halves, twice (S/(S - 1)) their squares: 1/16; less the test set's: the runs differ
    on 2 of 4 problems, 1/2 each, over 4^2 and 2 seeds: 1/32.
    """
    assert influence_variance(outcomes_of(TWO), np.array([1.0])) == pytest.approx((1 / 16, 1))
    assert influence_variance(outcomes_of(TWO), np.array([-3.0])) == pytest.approx((9 / 16, 1))


def test_seeds_that_differ_by_less_than_their_test_set_add_nothing() -> None:
    same = [("SFT", 64.0, 0, (1, 0, 1, 0)), ("SFT", 64.0, 1, (0, 1, 1, 0))]  # both are wrong on half
    assert influence_variance(outcomes_of(same), np.array([1.0]))[0] == pytest.approx(1 / 32)


def test_a_single_run_borrows_its_seeds_noise() -> None:
    rows = [*TWO, ("SFT", 128.0, 0, (0, 1, 0, 0))]
    found = with_seeds(outcomes_of(rows), phi=2.0, df=5.0, growth=none_seen())
    # the run's scores are -1/16, 3/16, -1/16, -1/16: 3/64; and phi (p (1 - p))^2 with p = 1/4
    assert influence_variance(found, np.array([0.0, 1.0])) == pytest.approx((3 / 64 + 2 * (3 / 16) ** 2, 5))
    # all three runs: scores 1/8 - 1/16, 3/16, -1/16, -1/8 - 1/16, or (1, 3, -1, -3)/16; the two runs' seeds as above
    assert influence_variance(found, np.array([1.0, 1.0])) == pytest.approx((20 / 256 + 1 / 32 + 2 * (3 / 16) ** 2, 1))


def test_a_single_runs_borrowed_noise_grows_with_its_size() -> None:
    as_size = (RATES == 1)[None].astype(float)  # noise that grows as the size does, 1 at 64 problems
    growth = Growth(as_size, np.ones_like(as_size), np.log(64), np.log(64), np.log(128), np.ones(1))
    found = with_seeds(outcomes_of([*TWO, ("SFT", 128.0, 0, (0, 1, 0, 0))]), phi=2.0, growth=growth)
    assert influence_variance(found, np.array([0.0, 1.0]))[0] == pytest.approx(3 / 64 + 4 * 2 * (3 / 16) ** 2)


def test_only_runs_that_move_the_number_count() -> None:
    rows = [*TWO, *(("RFT", 64.0, seed, each) for seed, each in enumerate(((1, 1, 0, 0), (0, 1, 1, 1), (1, 0, 0, 0))))]
    found = outcomes_of(rows)  # RFT's cell comes first
    assert influence_variance(found, np.array([0.0, 1.0])) == pytest.approx((1 / 16, 1))
    assert influence_variance(found, np.array([1.0, 0.0]))[1] == 2
    assert influence_variance(found, np.array([1.0, 1.0]))[1] == 3


def test_runs_of_one_seed_that_move_together_are_summed_before_they_are_squared() -> None:
    """Two runs as above at two sizes, in each of two arms. An arm's problems: twice the scores, 1/8 in squares.

    Its seeds: twice the squares of 4 gaps of (1/2)(1/4), 1/8; or of 2 sums of two such gaps, 1/4. The test set's: 1/16.
    """
    rows = [(arm, size, seed, each) for arm in ("SFT", "RFT") for size in (64.0, 128.0) for _, _, seed, each in TWO]
    apart = with_seeds(outcomes_of(rows), phi=1.0, phi_shared=0.0, pairings=())
    together = with_seeds(apart, phi_shared=0.5)
    one, both = np.array([0.0, 0.0, 1.0, 1.0]), np.ones(4)
    assert influence_variance(apart, one) == pytest.approx((1 / 8 + 1 / 8 - 1 / 16, 2))
    assert influence_variance(together, one) == pytest.approx((1 / 8 + 1 / 4 - 1 / 16, 1))  # 2 clusters, 1 mean
    assert influence_variance(apart, both) == pytest.approx((1 / 2 + 1 / 4 - 1 / 8, 4))
    assert influence_variance(together, both) == pytest.approx((1 / 2 + 1 / 2 - 1 / 8, 2))  # 4 clusters, 2 means


def test_seeds_that_arms_have_in_common_count_by_their_covariance() -> None:
    rows = [(arm, 64.0, seed, each) for arm in ("SFT", "RFT", "DPO") for _, _, seed, each in TWO]
    onto = parts(np.array([0.5, 0.5]))
    covariance = onto @ np.array([[4.0, 1.0], [1.0, 9.0]]) @ onto.T
    pairing = Pairing(("RFT", "SFT"), covariance, none_seen(3), 0.0, 0.0, df=3.0, df_level=3.0)
    found = with_seeds(outcomes_of(rows), phi=1.0, pairings=(pairing,))  # cells: DPO, RFT, SFT
    # problems cancel; (1, -1) through the covariance is 4 + 9 - 2, in units of p (1 - p) = 1/4 and of 2 seeds
    assert influence_variance(found, np.array([0.0, 1.0, -1.0])) == pytest.approx((11 / 32, 3))
    assert influence_variance(found, np.array([0.0, 1.0, 2.0])) == pytest.approx((9 / 32 + (4 + 36 + 4) / 32, 3))
    # DPO is not among them: each arm's seeds by themselves, 1/16 less 1/32 times the squares
    assert influence_variance(found, np.array([1.0, 0.0, -1.0])) == pytest.approx((2 / 32, 2))


def counts(is_unpaired: bool = False) -> Draws:
    """195 and 205 wrong of 400 in two arms: half of the scatter that binomial counts have, so that r = 1/2."""
    rows = [(arm, 64.0, 64.0, seed, k / 400, 400) for arm in ("SFT", "RFT") for seed, k in enumerate((195, 205))]
    frame = pd.DataFrame(rows, columns=["arm", "size", "x", "seed", "error", "n_test"])
    return draws(table_from_runs(frame, "counts", is_unpaired=is_unpaired), 100)


def test_counts_share_what_their_scatter_does_not_show() -> None:
    """p (1 - p)/n is 1/1600 a run: half of it own, over 2 runs; half in common, which mostly cancels between the arms.

    Seeds scatter as their own part says, and add nothing.
    """
    assert influence_variance(counts(), np.array([1.0, 0.0])) == pytest.approx((1 / 6400 + 1 / 3200, 1))
    # and of what the seeds of a cell have in common, a half, other cells are taken to have four fifths
    assert influence_variance(counts(), np.array([1.0, -1.0])) == pytest.approx((2 / 6400 + 2 * 0.1 / 1600, 2))
    assert influence_variance(counts(), np.array([1.0, 1.0])) == pytest.approx(
        (2 / 6400 + 2 * 0.1 / 1600 + 4 * 0.4 / 1600, 2)
    )


def test_counts_on_different_problems_cancel_nothing() -> None:
    of_arms = 2 / 6400 + 2 / 1600
    assert influence_variance(counts(is_unpaired=True), np.array([1.0, -1.0])) == pytest.approx((of_arms, 2))
    assert influence_variance(counts(is_unpaired=True), np.array([1.0, 1.0])) == pytest.approx((of_arms, 2))


def test_a_single_run_of_counts_is_as_uncertain_as_binomial_counts_are() -> None:
    frame = pd.DataFrame([("SFT", 64.0, 64.0, 0, 0.2, 100)], columns=["arm", "size", "x", "seed", "error", "n_test"])
    found = with_seeds(draws(table_from_runs(frame, "counts"), 100), phi=0.5, df=7.0)
    assert influence_variance(found, np.array([2.0])) == pytest.approx((4 * (0.16 / 100 + 0.5 * 0.16**2), 7))


def means(rows: Sequence[tuple[str, float, float]]) -> Table:
    """Cell means alone: (arm, ln of the size, error)."""
    frame = pd.DataFrame(rows, columns=["arm", "ln_n", "error"]).assign(size=lambda t: np.exp(t["ln_n"]), seed=0)
    return table_from_runs(frame.assign(x=frame["size"]), "errors")


def test_replicates_say_themselves_how_uncertain_a_difference_is() -> None:
    """Errors .1, .2, .3 and .2, .5, .2: squares .02 and .06, product 0, over 3 x 2; for their difference the sum."""
    rows = [
        (replicate, size, size, "SFT", 0, error)
        for size, errors in ((64.0, (0.1, 0.2, 0.3)), (128.0, (0.2, 0.5, 0.2)))
        for replicate, error in enumerate(errors)
    ]
    frame = pd.DataFrame(rows, columns=["replicate", "size", "x", "arm", "seed", "error"])
    found = draws(table_from_runs(frame, "errors"), 100)
    assert influence_variance(found, np.array([1.0, -1.0])) == pytest.approx((0.08 / 6, 2))


# the interval itself

# a line in ln n, read at its middle error: n moves by 1/(3 slope) with each of its 3 errors
LINES = [(arm, start + i, 0.5 - 0.1 * i) for arm, start in (("SFT", 5.0), ("RFT", 5.0 - np.log(2))) for i in range(3)]


def lines(df: float, level: float = 0.95, error: float = 0.4) -> tuple[float, float, float, float]:
    """ln m, se, and the limits' distance from it in se, from errors of variance .0003."""
    found = draws(means(LINES), 100)
    found = dataclasses.replace(found, variance=np.full(6, 3e-4), seeds=dataclasses.replace(found.seeds, df=df))
    one = delta_interval(Comparison(found, law="log_linear", level=level), "RFT", "SFT", at_error=error)
    assert one.df == df
    low, high = (np.log([one.low, one.high]) - one.ln_m) / one.se
    return one.ln_m, one.se, low, high


def test_the_fast_interval_of_two_lines_in_ln_n() -> None:
    """Both slopes are .1: 6 errors, each moves ln m by 10/3, or a variance of 6 x 100/9 x .0003 = .02."""
    assert lines(np.inf) == pytest.approx((np.log(2), 0.02**0.5, -1.959964, 1.959964), rel=1e-4)
    assert lines(4.0) == pytest.approx((np.log(2), 0.02**0.5, -2.776445, 2.776445), rel=1e-4)
    assert lines(4.0, level=0.9) == pytest.approx((np.log(2), 0.02**0.5, -2.131847, 2.131847), rel=1e-4)
    assert lines(np.inf, level=0.9)[3] == pytest.approx(1.644854)


def test_the_fast_interval_is_of_the_arms_that_were_asked_for() -> None:
    rest = [("DPO", 5.0 + i, 0.9 - 0.3 * i) for i in range(3)]
    found = draws(means([*LINES, *rest]), 100)  # DPO's cells come before RFT's
    found = dataclasses.replace(found, variance=np.full(9, 3e-4))
    one = delta_interval(Comparison(found, law="log_linear"), "RFT", "SFT", at_error=0.4)
    assert (one.ln_m, one.se) == pytest.approx((np.log(2), 0.02**0.5), rel=1e-4)


def test_without_an_error_the_fast_interval_is_of_the_pooled_multiplier() -> None:
    comparison = drawn(TWICE, [TWICE] * 100)
    one = delta_interval(comparison, "RFT", "SFT")
    assert one.ln_m == pytest.approx(np.log(2), abs=1e-6)
    # one error of 1e9 test problems moves the shift by little, and 14 sizes of 2 seeds by less
    assert 0 < one.se < 1e-3 and one.low < 2 < one.high


def test_a_multiplier_at_the_edge_of_what_exists_has_no_fast_interval() -> None:
    """The baseline falls by less than one step of the derivative: ln m exists, its change does not."""
    edge = [("SFT", 5.0 + i, 0.4 - 1e-7 * i) for i in range(3)]
    comparison = Comparison(draws(means([*edge, *LINES[3:]]), 100), law="log_linear")
    assert np.isfinite(comparison.ln_m("RFT", "SFT", np.array([0.4 - 1e-7]), "log_linear")[0, 0])
    with pytest.raises(ValueError, match="RFT over SFT: no multiplier exists at this error, so no delta interval"):
        delta_interval(comparison, "RFT", "SFT", at_error=0.4 - 1e-7)
