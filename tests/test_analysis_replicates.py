"""Tables in replicates of the whole experiment: Student's t over replicates, at each size by its own noise."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.intervals import median_limits
from analysis.noise.draws import draws
from analysis.tables.read import table_at as read
from analysis.tables.table import Table, table_from_runs
from analysis.worth.by_unit import ByUnit, difference_of_units, each_at_error, each_at_size
from analysis.worth.comparison import Comparison
from analysis.worth.readings import at_size, at_sizes, headline

SIZES = (64, 256, 1024, 4096)


def runs(n_replicates: int = 8, seed: int = 0, arm_noise: float = 0.01, arms: Sequence[str] = ("SFT", "DPO")) -> Table:
    """Errors .5 (n/64)^-.3 that a replicate's luck moves up or down; the arm's own noise grows with size."""
    rng, rows = np.random.default_rng(seed), []
    for replicate in range(n_replicates):
        luck = rng.normal(0, 0.2)
        for arm in arms:
            for n in SIZES:
                own = 0.0 if arm == "SFT" else rng.normal(0, arm_noise * n / 64)
                error = 0.5 * (n / 64) ** -0.3 * np.exp(0.5 * (luck + own))
                rows.append((replicate, arm, float(n), float(n), 0, error))
    frame = pd.DataFrame(rows, columns=["replicate", "arm", "size", "x", "seed", "error"])
    return table_from_runs(frame, "errors", path="made")


def cell(table: Table, arm: str, size: int) -> int:
    return int(np.flatnonzero((table.cells["arm"] == arm) & (table.cells["size"] == size))[0])


def test_a_contrast_at_each_size_has_students_t_over_its_own_replicates() -> None:
    table = runs()
    drawn = draws(table, 20_000)
    for size in SIZES:
        each = table.runs[table.runs["size"] == size].pivot(index="replicate", columns="arm", values="error")
        gap = each["DPO"] - each["SFT"]
        by_hand = stats.t.interval(0.95, 7, gap.mean(), stats.sem(gap))
        found = drawn.errors[:, cell(table, "DPO", size)] - drawn.errors[:, cell(table, "SFT", size)]
        assert np.quantile(found, (0.025, 0.975)) == pytest.approx(by_hand, abs=0.1 * np.ptp(by_hand))


def test_noise_that_grows_with_size_widens_the_large_sizes_alone() -> None:
    comparison = Comparison(draws(runs(), 4000))
    middle, large = (at_size(comparison, "DPO", "SFT", size) for size in (256, 1024))
    assert 1.5 * np.log(middle.ci_high / middle.ci_low) < np.log(large.ci_high / large.ci_low) < np.inf


def test_an_arm_that_is_the_baseline_run_for_run_is_worth_1_at_every_size() -> None:
    table = runs(arms=("SFT",))
    twin = table.runs.assign(arm="the same runs")
    both = table_from_runs(pd.concat([table.runs, twin]), "errors", path="made")
    for law in ("auto", "power", "log_linear"):
        comparison = Comparison(draws(both, 1000), law=law)
        for one in [*at_sizes(comparison, "the same runs", "SFT"), headline(comparison, "the same runs", "SFT")]:
            assert one.ci_low <= 1 <= one.ci_high, (law, one.at_size)


def test_one_odd_run_is_named_and_kept() -> None:
    table = runs(n_replicates=6)
    at = (table.runs["arm"] == "DPO") & (table.runs["size"] == 256) & (table.runs["replicate"] == 3)
    table = table_from_runs(table.runs.assign(error=table.runs["error"].where(~at, 0.9)), "errors", path="made")
    (note,) = [one for one in draws(table, 200).notes if one.code == "odd_run"]
    assert note.text.startswith("DPO at 256, replicate 3: error 0.900")


def test_no_run_is_odd_where_none_is() -> None:
    assert "odd_run" not in {one.code for one in draws(runs(arm_noise=0.002), 200).notes}


def test_a_cell_of_one_replicate_alone_is_refused() -> None:
    table = runs(n_replicates=3)
    kept = table.runs[(table.runs["size"] < 4096) | (table.runs["replicate"] == 0)]
    with pytest.raises(ValueError, match="DPO at 4096, SFT at 4096 were run in one replicate alone"):
        draws(table_from_runs(kept, "errors", path="made"))


def test_a_cell_that_some_replicates_lack_is_said() -> None:
    table = runs(n_replicates=4)
    kept = table.runs[(table.runs["size"] < 4096) | (table.runs["replicate"] < 2)]
    drawn = draws(table_from_runs(kept, "errors", path="made"), 200)
    assert "of 4 replicates DPO at 4096 has 2, SFT at 4096 has 2" in {one.text for one in drawn.notes}


def test_problems_of_one_name_in_two_replicates_are_two_problems(tmp_path: Path) -> None:
    rows = [
        (r, arm, n, f"test-{j}", (j * (r + 2) + n) % 7 > k)
        for r in range(3) for k, arm in enumerate(("SFT", "DPO")) for n in (64, 256, 1024) for j in range(20)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["replicate", "arm", "n_problems", "problem_id", "is_correct"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = read(tmp_path / "t.csv")
    assert table.n_replicates == 3 and table.blocks == ()
    first = frame[(frame.replicate == 2) & (frame.arm == "DPO") & (frame.n_problems == 256)]
    at = (table.runs["replicate"] == 2) & (table.runs["arm"] == "DPO") & (table.runs["size"] == 256)
    assert table.runs.loc[at, "error"].item() == pytest.approx(1 - first.is_correct.mean())


def test_an_outcome_given_twice_in_a_replicate_is_refused(tmp_path: Path) -> None:
    rows = [(r, "SFT", n, "p", True) for r in range(2) for n in (64, 64)]
    frame = pd.DataFrame(rows, columns=["replicate", "arm", "n_problems", "problem_id", "is_correct"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="2 duplicate"):
        read(tmp_path / "t.csv")


def outcomes_of(tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Path:
    rows = [
        (r, arm, n, f"test-{j}", int((j * (r + 2) + n) % 7 > k))
        for r in range(3) for k, arm in enumerate(("SFT", "DPO")) for n in (64, 256, 1024) for j in range(20)
    ]  # fmt: skip
    columns = ["replicate", "arm", "n_problems", "problem_id", "is_correct"]
    change(pd.DataFrame(rows, columns=columns)).to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_runs_of_a_replicate_that_were_tested_on_other_problems_are_refused(tmp_path: Path) -> None:
    hole = outcomes_of(tmp_path, lambda frame: frame.drop(index=frame.index[[25, 26]]))  # of replicate 0, SFT at 256
    said = "replicate=0 arm=SFT n_problems=256 seed=0 has 18 of the 20 that its replicate was tested on"
    with pytest.raises(ValueError, match=said):
        read(hole)
    with pytest.raises(ValueError, match="has 18 of the 20 that its arm was tested on"):
        read(hole, is_unpaired=True)
    own = lambda frame: frame.problem_id.where(frame.arm == "SFT", "x" + frame.problem_id)  # noqa: E731
    other = outcomes_of(tmp_path, lambda frame: frame.assign(problem_id=own(frame)))
    with pytest.raises(ValueError, match=r"has 20 of the 40 .* say --unpaired if the arms had test sets of their own"):
        read(other)
    assert read(other, is_unpaired=True).n_replicates == 3


def test_an_outcome_that_is_none_is_refused_in_a_replicate_too(tmp_path: Path) -> None:
    path = outcomes_of(tmp_path, lambda frame: frame.assign(is_correct=[2, *frame.is_correct[1:]]))
    with pytest.raises(
        ValueError,
        match=r"is_correct must be 0/1, true/false or a share in \[0, 1\], row 1 below the names of columns is 2",
    ):
        read(path)


def test_one_replicate_is_a_table_of_seeds() -> None:
    table = runs(n_replicates=1)
    assert table.n_replicates == 0


def test_the_same_seed_gives_the_same_draws_and_another_seed_others() -> None:
    table = runs()
    assert np.array_equal(draws(table, 200, 1).errors, draws(table, 200, 1).errors)
    assert not np.array_equal(draws(table, 200, 1).errors, draws(table, 200, 2).errors)


def test_a_limit_beyond_the_ratios_that_were_run_is_open() -> None:
    table = runs(arm_noise=0.03)
    one = at_size(Comparison(draws(table, 2000)), "DPO", "SFT", 4096)
    assert one.ci_high == np.inf or one.ci_high <= 1.0 + 1e-9


def test_each_replicate_by_itself_and_students_interval_over_them() -> None:
    """Errors that fall as n^-1/2 exactly, an arm worth 2, 2, 5 and 5 times the data in four replicates."""
    rows = [
        (r, arm, float(n), float(n), 0, 4.0 * (n * worth) ** -0.5)
        for r, m in enumerate((2, 2, 5, 5))
        for arm, worth, sizes in (("SFT", 1, (64, 128, 256, 1024)), ("DPO", m, (64, 128, 300)))
        for n in sizes
    ]  # fmt: skip
    table = table_from_runs(pd.DataFrame(rows, columns=["replicate", "arm", "size", "x", "seed", "error"]), "errors")
    found = each_at_size(Comparison(draws(table, 200)), "DPO", "SFT", 128)
    assert found is not None and found.unit == "replicate"
    assert found.values == pytest.approx((2, 2, 5, 5))
    half = stats.t.ppf(0.975, 3) * np.log(2.5) / 2 / np.sqrt(3)  # of ln m: two at ln 2, two at ln 5
    middle = (np.log(2) + np.log(5)) / 2
    assert np.log([found.mean, found.low, found.high]) == pytest.approx(middle + half * np.array([0, -1, 1]))
    beyond = each_at_size(
        Comparison(draws(table, 200)), "DPO", "SFT", 300
    )  # 5 x 300 is more than the baseline was given
    assert beyond is not None and beyond.mean is None and beyond.values == pytest.approx((2, 2, np.inf, np.inf))
    assert beyond.median == pytest.approx(2) and beyond.median_limits is None  # four values bound no median at 95 %
    alike = each_at_error(Comparison(draws(table, 200)), "DPO", "SFT", 4.0 * 500**-0.5)  # the arms' sizes: 250, 100
    assert alike is not None and alike.values == pytest.approx((2, 2, 5, 5)) and alike.size is None
    assert alike.median == pytest.approx(np.sqrt(10))  # of an even number the geometric mean of the two in the middle
    early = each_at_error(Comparison(draws(table, 200)), "DPO", "SFT", 4.0 * 200**-0.5)  # 40 is below the arm's first
    assert early is not None and early.values == pytest.approx((2, 2, np.inf, np.inf))
    assert each_at_error(Comparison(draws(table, 200)), "DPO", "SFT", 4.0 * 1400**-0.5) is None  # no curve reaches it


@pytest.mark.parametrize(
    ("n", "ranks"),
    [(5, None), (6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (16, (4, 13)), (20, (6, 15))],  # Conover's table A3 at p = .5
)
def test_a_median_is_limited_by_ranks_whatever_the_distribution(n: int, ranks: tuple[int, int] | None) -> None:
    values = np.array([*range(n, 1, -1), np.inf])  # the largest is beyond any number
    expected = None if ranks is None else tuple(np.sort(values)[[ranks[0] - 1, ranks[1] - 1]])
    assert median_limits(values) == expected


def test_the_median_s_limits_hold_it_in_as_many_cases_as_they_say() -> None:
    skewed = np.exp(2 * np.random.default_rng(0).standard_normal((4000, 16)))  # a median of 1, a mean of 7.4
    limits = np.array([median_limits(values) for values in skewed])
    held = ((limits[:, 0] <= 1) & (limits[:, 1] >= 1)).mean()
    assert held == pytest.approx(0.979, abs=0.01)  # 1 - 2 P(Bin(16, 1/2) < 4)


def test_one_unit_alone_and_one_that_lacks_a_run_have_no_multiplier_unit_by_unit() -> None:
    frame = pd.DataFrame(
        [
            (r, arm, float(n), float(n), 0, 4.0 * (n * worth) ** -0.5)
            for r in range(3)
            for arm, worth, sizes in (("SFT", 1, (64, 128, 256, 1024)), ("DPO", 2, (64, 128, 256)))
            for n in sizes
        ],
        columns=["replicate", "arm", "size", "x", "seed", "error"],
    )

    def found(rows: pd.DataFrame, size: float = 128) -> ByUnit | None:
        return each_at_size(Comparison(draws(table_from_runs(rows, "errors"), 100)), "DPO", "SFT", size)

    whole = found(frame)
    assert whole is not None and whole.values == pytest.approx((2, 2, 2))
    assert found(frame, 200) is None  # not a size that was run
    first = frame["replicate"] == 0
    for arm, size in (("DPO", 128), ("SFT", 1024)):  # its own error, or a point of its baseline's curve
        assert found(frame[~(first & (frame["arm"] == arm) & (frame["size"] == size))]) is None
    assert found(frame[first]) is None
    assert found(frame[frame["replicate"] < 2]) is not None


def test_a_difference_of_each_replicate_is_its_own_mean_over_the_sizes() -> None:
    """Gaps of -.02, -.04 at one size and -.04, -.10 at the other: means -.03 and -.07, Student's t on one df 12.706."""
    errors = {("SFT", 64): (0.5, 0.6), ("DPO", 64): (0.48, 0.56), ("SFT", 256): (0.4, 0.5), ("DPO", 256): (0.36, 0.4)}
    rows = [(r, arm, float(n), float(n), 0, y[r]) for (arm, n), y in errors.items() for r in range(2)]
    rows += [(r, "SFT", 512.0, 512.0, 0, 0.3) for r in range(2)]
    table = table_from_runs(pd.DataFrame(rows, columns=["replicate", "arm", "size", "x", "seed", "error"]), "errors")
    comparison = Comparison(draws(table, 200))
    found = difference_of_units(comparison, "DPO", "SFT", (64.0, 256.0))
    assert found is not None and found[:2] == (2, "replicate")
    assert found[2:] == pytest.approx((-0.05, -0.05 - 12.706 * 0.02, -0.05 + 12.706 * 0.02), abs=1e-4)


def test_seeds_are_the_units_where_there_are_no_replicates() -> None:
    frame = runs().runs.assign(seed=lambda each: each["replicate"]).drop(columns="replicate")
    found = each_at_size(Comparison(draws(table_from_runs(frame, "errors"), 200)), "DPO", "SFT", 256)
    assert found is not None and found.unit == "seed" and len(found.values) == 8
