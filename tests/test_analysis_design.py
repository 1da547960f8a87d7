"""What to run next, and how the laws do on sizes they have not seen."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from analysis_tables import SIZES, exact, long_frame, outcomes
from simulated_tables import power, simulated_table

from analysis import commands
from analysis.arms import word
from analysis.design.next_runs import runs_for
from analysis.design.width import Design, Width
from analysis.held_out import rmsle_at, validate
from analysis.noise.draws import draws
from analysis.noise.seeds import SeedNoise
from analysis.options import Options
from analysis.tables.table import Table
from analysis.worth.comparison import Comparison
from analysis.worth.readings import headline

LAWS = {"SFT": power(1.0, 0.15), "RFT": power(2**-0.15, 0.15)}


def compared(table, n_draws: int = 600) -> Comparison:
    return Comparison(draws(table, n_draws), law="power")


def with_costs(table: Table) -> Table:
    return dataclasses.replace(table, runs=table.runs.assign(total_seconds=table.runs["size"] * 0.1))


def test_a_plan_reaches_its_target_and_names_the_new_cells() -> None:
    table = with_costs(outcomes(LAWS, SIZES[:5], n_seeds=2, n_problems=600))
    found = runs_for(compared(table), "RFT", "SFT", width=1.25)
    assert not found.is_reached and found.cost_name == "total_seconds"
    reaching = [one for one in found.options if one.se <= found.target_se]
    assert reaching and found.options[0] in reaching
    assert [one.cost for one in reaching] == sorted(one.cost for one in reaching)
    by_seeds = next(one for one in found.options if one.what.endswith("seeds") and "," not in one.what)
    fresh = ",".join(map(str, range(2, by_seeds.design.n_seeds)))
    assert by_seeds.overrides == (f"arm=sft,rft n_problems=128,256,512,1024,2048 seed={fresh}",)
    n_more = by_seeds.design.n_seeds - 2
    assert by_seeds.n_new_runs == 10 * n_more
    assert by_seeds.cost == pytest.approx(2 * n_more * 0.1 * SIZES[:5].sum(), rel=1e-6)


def test_more_test_problems_cost_no_runs() -> None:
    found = runs_for(compared(outcomes(LAWS, n_problems=300, seed_sd=0.0)), "RFT", "SFT", width=1.2)
    tests = {one.what: one for one in found.options if one.design == replace_tests(found.now, one.design.n_test)}
    assert set(tests) == {"600 test problems", "1,200 test problems"}
    assert all(one.n_new_runs == 0 and one.overrides == () for one in tests.values())
    both = next(one for one in found.options if one.what == "1 more size, 600 test problems")
    assert both.n_new_runs == 6  # 2 arms x 3 seeds at the new size, and nothing for the test problems
    assert both.overrides == ("arm=sft,rft n_problems=16384 seed=0,1,2",)


def replace_tests(design: Design, n_test: float) -> Design:
    return dataclasses.replace(design, n_test=n_test)


def test_the_predicted_width_is_the_simulated_one() -> None:
    # predict 6 seeds and 2,400 problems from 3 seeds and 600, then run that study 25 times
    small = compared(outcomes(LAWS, n_seeds=3, n_problems=600, seed_sd=0.01), 2000)
    predicted = Width(small, "RFT", "SFT").se(Design(tuple(SIZES), 6, 2400))
    found = []
    for seed in range(25):
        one = compared(outcomes(LAWS, n_seeds=6, n_problems=2400, seed_sd=0.01, seed=seed), 100)
        found.append(np.log(headline(one, "RFT", "SFT").multiplier))
    assert predicted == pytest.approx(np.std(found, ddof=1), rel=0.45)


def test_the_predicted_width_of_arms_that_are_paired_by_seed() -> None:
    def study(n_seeds: int, seed: int) -> Table:
        return simulated_table(
            LAWS, SIZES, n_seeds=n_seeds, n_problems=1500, seed_sd=0.01, common_sd=0.03, difficulty_sd=2.0,
            rng=np.random.default_rng(seed),
        )  # fmt: skip

    today = Comparison(draws(study(5, 0), 2000), law="power")
    assert today.draws.seeds.pairings
    predicted = Width(today, "RFT", "SFT").se(Design(tuple(SIZES), 10, 1500))
    found = [
        np.log(headline(Comparison(draws(study(10, seed), 100), law="power"), "RFT", "SFT").multiplier)
        for seed in range(1, 26)
    ]
    assert predicted == pytest.approx(np.std(found, ddof=1), rel=0.45)


def test_more_sizes_do_not_cure_what_the_runs_of_a_seed_share() -> None:
    drawn = draws(outcomes(LAWS, SIZES[:5], n_problems=1319), 400)
    own = SeedNoise(phi=0.04, phi_shared=0.0, df=20.0, df_shared=np.inf, notes=())
    shared = dataclasses.replace(own, phi_shared=0.04, df=np.inf, df_shared=4.0)
    gains, more_seeds = [], []
    for seeds in (own, shared):
        width = Width(Comparison(dataclasses.replace(drawn, seeds=seeds), law="power"), "RFT", "SFT")
        now = width.now
        gains.append(width.se(dataclasses.replace(now, sizes=(*now.sizes, 4096, 8192))) / width.se_now)
        more_seeds.append(width.se(dataclasses.replace(now, n_seeds=12)) / width.se_now)
    # what is left of the interval: two more sizes narrow it where runs are independent
    assert gains[0] < 0.9 and gains[1] > gains[0] + 0.1
    # four times the seeds halve the seed noise, and 4 degrees of freedom become 22: t falls from 2.78 to 2.07
    assert more_seeds[1] == pytest.approx(0.5 * 2.074 / 2.776, abs=0.06)
    assert more_seeds[0] == pytest.approx(0.5, abs=0.06)


def test_runs_are_priced_in_the_column_that_was_asked_for(tmp_path: Path) -> None:
    frame = long_frame(outcomes(LAWS, SIZES[:5], n_seeds=2, n_problems=200))
    frame.assign(total_seconds=1.0, total_flops=frame["n_problems"] * 1e12).to_parquet(tmp_path / "t.parquet")
    (found,) = commands.what_next(tmp_path / "t.parquet", Options(n_draws=200, cost="total_flops"), width=1.3)
    by_seeds = next(one for one in found.options if one.what.endswith("seeds") and "," not in one.what)
    assert by_seeds.cost == pytest.approx(by_seeds.n_new_runs / 5 * 1e12 * SIZES[:5].sum(), rel=1e-6)
    with pytest.raises(ValueError, match="no column 'dollars' to price runs in; there are total_seconds, total_flops"):
        commands.what_next(tmp_path / "t.parquet", Options(n_draws=200, cost="dollars"))


def test_the_overrides_name_arms_as_a_sweep_does() -> None:
    assert [word(name) for name in ("per-step DPO", "SFT, more updates", "no arm of ours")] == [
        "step_dpo",
        "sft_more",
        "no arm of ours",
    ]


def test_a_study_that_is_wide_enough_says_so() -> None:
    assert runs_for(compared(exact(LAWS)), "RFT", "SFT", tell=2.0).is_reached


def test_a_plan_needs_a_factor_above_one_and_curves_that_meet() -> None:
    with pytest.raises(ValueError, match="a factor above 1 was expected"):
        runs_for(compared(exact(LAWS)), "RFT", "SFT", width=0.5)
    flat = exact({"SFT": power(0.3, -0.05), "RFT": power(0.25, 0.1)})
    with pytest.raises(ValueError, match="a fitted curve does not reach error"):
        runs_for(compared(flat), "RFT", "SFT")


def test_of_all_arms_those_without_a_plan_say_why(tmp_path: Path) -> None:
    frame = long_frame(outcomes({**LAWS, "DPO": power(0.8, 0.15)}, {"SFT": SIZES, "RFT": SIZES, "DPO": SIZES[:2]}))
    frame.to_parquet(tmp_path / "t.parquet")
    dpo, rft = commands.what_next(tmp_path / "t.parquet", Options(n_draws=200))
    assert isinstance(dpo, commands.NoNextRuns) and "DPO has 2 sizes, a curve needs 3" in dpo.why
    assert rft.arm == "RFT"
    with pytest.raises(ValueError, match="DPO has 2 sizes"):
        commands.what_next(tmp_path / "t.parquet", Options(n_draws=200, of=("DPO",)))


def test_the_true_law_wins_on_held_out_sizes() -> None:
    bent = draws(
        outcomes({"a": power(4.0, 0.6, 0.15), "b": power(3.0, 0.6, 0.15)}, n_problems=4000, seed_sd=0.002), 100
    )
    found = validate(bent)
    assert found.is_choice_feasible and found.chosen == "power_floor"
    assert found.scores[0].law == "power_floor"
    straight = draws(outcomes({"a": power(1.0, 0.15)}, n_problems=2000), 100)
    assert validate(straight).chosen == "power"


def test_a_law_is_refuted_where_it_is_not_the_truth_and_hardly_ever_where_it_is() -> None:
    bent = draws(outcomes({"a": power(4.0, 0.6, 0.15)}, n_problems=4000, n_seeds=8, seed_sd=0.002), 400)
    score = {one.law: one for one in validate(bent).scores}
    assert score["power"].is_refuted and not score["power_floor"].is_refuted
    p_values = []
    for seed in range(40):
        straight = outcomes({"a": power(1.0, 0.15)}, SIZES[:6], n_problems=400, seed=seed, seed_sd=0.01)
        p_values.append(validate(draws(straight, 200), ["power"]).scores[0].p_value)
    assert sum(p < 0.05 for p in p_values) <= 6  # 2 expected of 40; 7 or more once in 300
    assert 0.3 < np.median(p_values) < 0.7


def test_the_held_out_arms_are_those_asked_for() -> None:
    drawn = draws(outcomes(LAWS, n_problems=300), 100)
    assert {one.arm for one in validate(drawn, of=["RFT"]).predictions} == {"RFT"}


def test_all_laws_are_scored_on_the_same_predictions() -> None:
    found = validate(draws(outcomes(LAWS, n_problems=300), 100))
    assert {one.n_predictions for one in found.scores} == {2 * (3 + 2 + 1)}
    for one in found.predictions:
        assert one.distance > 0 and one.size > SIZES[one.n_fitted - 1]
    pairs = itertools.groupby(sorted((one.arm, one.n_fitted, one.size) for one in found.predictions))
    assert {len(list(group)) for _, group in pairs} == {3}


def test_few_sizes_decide_nothing() -> None:
    found = validate(draws(outcomes(LAWS, SIZES[:4], n_problems=300), 100))
    assert found.chosen is None and "too few to choose a law by" in found.says
    with pytest.raises(ValueError, match="holding a size out needs an arm with 4 sizes or more, found RFT 3, SFT 3"):
        validate(draws(outcomes(LAWS, SIZES[:3], n_problems=300), 100))


def test_only_laws_of_one_arm_are_held_out() -> None:
    drawn = draws(outcomes(LAWS, n_problems=100), 100)
    with pytest.raises(ValueError, match="law 'cubic' is unknown; the laws are power"):
        validate(drawn, ["cubic"])
    with pytest.raises(ValueError, match="power_shared is shared between arms; sizes are held out of one arm"):
        validate(drawn, ["power_shared"])
    with pytest.raises(ValueError, match="none of the laws saturating can be held out: an arm has 7 sizes at most"):
        validate(drawn, ["saturating"])  # no base model in the table


def test_held_out_error_beside_a_distance() -> None:
    found = validate(draws(exact(LAWS), 100))
    assert rmsle_at(found, "power", np.log(2)) == pytest.approx(0.0, abs=1e-6)
    assert rmsle_at(found, "power", 50.0) is None
