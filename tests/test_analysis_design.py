"""What to run next, and how the laws do on sizes they have not seen."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_tables import SIZES, exact, long_frame, outcomes
from scipy import stats
from simulated_tables import power, simulated_table

from analysis import commands
from analysis.arms import word
from analysis.design.next_runs import NextRuns, Option, runs_for
from analysis.design.width import Design, Width
from analysis.held_out import rmsle_at, validate
from analysis.noise.draws import draws
from analysis.noise.seeds import SeedNoise
from analysis.options import Options
from analysis.report.tables import validation_sheet
from analysis.tables.table import Table, table_from_runs
from analysis.terminal import as_json, plans_text, validation_text
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
    fresh = ",".join(map(str, range(2, by_seeds.design.n_units)))
    assert by_seeds.overrides == (f"arm=sft,rft n_problems=128,256,512,1024,2048 seed={fresh}",)
    n_more = by_seeds.design.n_units - 2
    assert by_seeds.n_new_runs == 10 * n_more
    assert by_seeds.cost == pytest.approx(2 * n_more * 0.1 * SIZES[:5].sum(), rel=1e-6)


def test_more_test_problems_cost_no_runs() -> None:
    found = runs_for(compared(outcomes(LAWS, n_problems=300, seed_sd=0.0)), "RFT", "SFT", width=1.3)
    tests = {one.what: one for one in found.options if one.design == replace_tests(found.now, one.design.n_test)}
    assert set(tests) == {"600 test problems", "1,200 test problems", "2,400 test problems"}
    assert all(one.n_new_runs == 0 and one.overrides == () for one in tests.values())
    both = next(one for one in found.options if one.what == "1 more size, 4 seeds, 1,200 test problems")
    assert both.n_new_runs == 2 * (7 + 4)  # a seed at 7 sizes, 4 at the new one, and nothing for the test problems
    assert both.overrides == (
        "arm=sft,rft n_problems=128,256,512,1024,2048,4096,8192 seed=3",
        "arm=sft,rft n_problems=16384 seed=0,1,2,3",
    )


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
        more = dataclasses.replace(now, sizes=(*now.sizes, 4096, 8192))
        gains.append(width.raw(more, False) / width.raw(now, False))  # by the law
        assert width.raw(more, True) == pytest.approx(width.raw(now, True), rel=0.02)  # no law, no use of far sizes
        more_seeds.append(width.se(dataclasses.replace(now, n_units=12)) / width.se_now)
    # what is left of the interval: two more sizes narrow it where runs are independent
    assert gains[0] < 0.9 and gains[1] > gains[0] + 0.1
    # four times the seeds halve the seed noise, and 4 degrees of freedom become 22: t falls from 2.78 to 2.07
    assert more_seeds[1] == pytest.approx(0.5 * 2.074 / 2.776, abs=0.06)
    assert more_seeds[0] == pytest.approx(0.5, abs=0.06)


def in_replicates(
    names: Sequence[int], sizes: Mapping[str, Sequence[int]], *, seed: int = 0, seeds: Sequence[int] = (0,)
) -> Table:
    """Errors .5 (n/64)^-.3, of RFT those of twice the problems, that a replicate's luck moves for all its runs and each
    run's own noise besides.
    """
    rng, rows = np.random.default_rng(seed), []
    for name in names:
        luck = rng.normal(0, 0.1)
        for arm, of_arm in sizes.items():
            for n in of_arm:
                error = 0.5 * (n * (2 if arm == "RFT" else 1) / 64) ** -0.3
                rows += [(name, arm, n, n, one, error * np.exp(luck + rng.normal(0, 0.03))) for one in seeds]
    frame = pd.DataFrame(rows, columns=["replicate", "arm", "size", "x", "seed", "error"])
    return table_from_runs(frame.assign(total_seconds=1.0), "errors", path="made")


QUADRUPLING = (64, 256, 1024, 4096, 16384)


def by_units(found: NextRuns, n: int) -> Option:
    (one,) = [one for one in found.options if one.what == f"{n} {found.unit}s"]
    return one


def test_new_replicates_are_runs_of_both_arms_under_the_next_numbers() -> None:
    table = in_replicates((1, 2, 4, 9), {"SFT": QUADRUPLING, "RFT": QUADRUPLING[:4]})
    found = runs_for(compared(table), "RFT", "SFT", width=1.01)
    assert found.unit == "replicate" and found.now.n_units == 4
    one = by_units(found, 6)
    assert one.n_new_runs == one.cost == 2 * (5 + 4)
    assert one.overrides == (
        "arm=rft n_problems=64,256,1024,4096 replicate=10,11",
        "arm=sft n_problems=64,256,1024,4096,16384 replicate=10,11",
    )
    larger = next(one for one in found.options if one.what == "1 more size")
    assert larger.overrides == ("arm=sft,rft n_problems=65536 replicate=1,2,4,9",)
    told = plans_text([found])
    assert "6 replicates: factor" in told and "seed" not in told and "a base, which is not priced" in told


def test_a_cell_is_filled_with_the_replicates_of_others_first() -> None:
    whole = in_replicates((1, 2, 4, 9), {"SFT": QUADRUPLING, "RFT": QUADRUPLING})
    runs = whole.runs[(whole.runs["arm"] == "SFT") | (whole.runs["replicate"] != 4) | (whole.runs["size"] != 64)]
    found = runs_for(compared(table_from_runs(runs, "errors", path="made")), "RFT", "SFT", width=1.01)
    assert found.now.n_units == 3
    assert by_units(found, 4).overrides == ("arm=rft n_problems=64 replicate=4",)


def test_a_replicate_of_several_seeds_is_one_and_brings_them_all() -> None:
    table = in_replicates((1, 2, 3, 4), {"SFT": QUADRUPLING, "RFT": QUADRUPLING}, seeds=(5, 7))
    found = runs_for(compared(table), "RFT", "SFT", width=1.01)
    one = by_units(found, 5)
    assert found.now.n_units == 4 and one.n_new_runs == 2 * 10
    assert one.overrides == ("arm=sft,rft n_problems=64,256,1024,4096,16384 replicate=5 seed=5,7",)


def test_new_seeds_are_the_next_numbers_and_stay_in_their_replicate() -> None:
    table = outcomes(LAWS, SIZES[:5], n_seeds=2, n_problems=600)
    later = dataclasses.replace(table, runs=table.runs.assign(seed=table.runs["seed"] + 3), only_replicate=7)
    one = by_units(runs_for(compared(later), "RFT", "SFT", width=1.05), 4)
    assert one.overrides == ("arm=sft,rft n_problems=128,256,512,1024,2048 seed=5,6 replicate=7",)


def test_more_replicates_narrow_as_students_t_over_replicates_does() -> None:
    sizes = {"SFT": QUADRUPLING, "RFT": QUADRUPLING}
    found = [
        np.log(headline(compared(in_replicates(range(12), sizes, seed=seed), 100), "RFT", "SFT").multiplier)
        for seed in range(40)
    ]
    predicted = []
    for seed in range(100, 108):  # what is seen of six replicates differs from table to table
        width = Width(compared(in_replicates(range(6), sizes, seed=seed)), "RFT", "SFT")
        twice = dataclasses.replace(width.now, n_units=12)
        by_hand = np.sqrt(6 / 12) * stats.t.ppf(0.975, 11) / stats.t.ppf(0.975, 5)
        assert width.se(twice) / width.se_now == pytest.approx(by_hand, rel=0.03)
        predicted.append(width.se(twice) * width.normal / stats.t.ppf(0.975, 11))
    assert np.mean(predicted) == pytest.approx(np.std(found, ddof=1), rel=0.25)


def test_a_plan_of_losses_is_the_plan_of_the_same_errors_in_another_unit() -> None:
    table = in_replicates(range(6), {"SFT": QUADRUPLING, "RFT": QUADRUPLING})
    losses = table_from_runs(table.runs.assign(error=6 * table.runs["error"]), "errors", path="made", is_loss=True)
    plans = [runs_for(compared(one), "RFT", "SFT", width=1.01) for one in (table, losses)]
    (errors, of_losses) = ({one.what: one.factor for one in plan.options} for plan in plans)
    assert errors == pytest.approx(of_losses, rel=0.02) and plans[1].at_error > 1


def test_what_replicates_share_is_not_counted_as_cured_by_more_sizes() -> None:
    """Noise of each run's own falls with more sizes; luck of an arm in a replicate at all its sizes does not."""
    gains = []
    for own, shared in ((0.05, 0.0), (0.0, 0.05)):
        rng, rows = np.random.default_rng(3), []
        for name, arm in itertools.product(range(8), ("SFT", "RFT")):
            luck = rng.normal(0, shared)
            for n in QUADRUPLING:
                error = 0.5 * (n * (2 if arm == "RFT" else 1) / 64) ** -0.3
                rows.append((name, arm, n, n, 0, error * np.exp(luck + rng.normal(0, own + 1e-6))))
        frame = pd.DataFrame(rows, columns=["replicate", "arm", "size", "x", "seed", "error"])
        width = Width(compared(table_from_runs(frame, "errors", path="made")), "RFT", "SFT")
        denser = (*QUADRUPLING, 128, 512, 2048, 8192)
        gains.append(width.raw(dataclasses.replace(width.now, sizes=denser), False) / width.raw(width.now, False))
    assert gains[0] == pytest.approx(np.sqrt(5 / 9), abs=0.06) and gains[1] == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("is_bent", [False, True])
def test_a_plan_starts_from_the_value_and_the_interval_that_multiplier_prints(is_bent: bool) -> None:
    bent = {"SFT": lambda n: 0.2 + 0.3 / (1 + (n / 1000) ** 3), "RFT": lambda n: 0.2 + 0.3 / (1 + (n / 500) ** 3)}
    table = outcomes(bent if is_bent else LAWS, n_problems=4000, n_seeds=4, seed=1)
    comparison = compared(table)
    m, found = headline(comparison, "RFT", "SFT"), runs_for(comparison, "RFT", "SFT")
    assert m.form == found.form == ("local" if is_bent else "law and local")
    assert found.multiplier == pytest.approx(m.multiplier) and found.at_error == pytest.approx(m.at_error)
    assert found.factor == pytest.approx(np.sqrt(m.ci_high / m.ci_low), rel=1e-6)
    assert ("read without power, which residuals refute" in plans_text([found])) == is_bent


def test_the_law_and_a_curve_without_one_that_differ_keep_the_interval_open() -> None:
    comparison = compared(outcomes(LAWS, n_problems=2000, n_seeds=4, seed=1))
    width = Width(comparison, "RFT", "SFT")
    law, free = width.parts
    apart = dataclasses.replace(
        free, estimate=law.estimate + 0.3, drawn=free.drawn - free.estimate + law.estimate + 0.3
    )
    width.parts = (law, apart)
    # a thousand times the seeds: what is left of the interval is half of the distance between the two
    assert width.se(dataclasses.replace(width.now, n_units=4000, n_test=2_000_000)) * width.normal == pytest.approx(
        0.15, rel=0.05
    )


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
    with pytest.raises(ValueError, match="run SFT at larger sizes or RFT at smaller ones"):
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
        p_values.append(validate(draws(straight, 200), ["power"]).scores[0].own.p_value)
    assert sum(p < 0.05 for p in p_values) <= 6  # 2 expected of 40; 7 or more once in 300
    assert 0.3 < np.median(p_values) < 0.7


def test_the_held_out_arms_are_those_asked_for() -> None:
    drawn = draws(outcomes(LAWS, n_problems=300), 100)
    assert {one.arm for one in validate(drawn, of=["RFT"]).predictions} == {"RFT"}


def test_laws_are_ranked_on_the_same_predictions_and_each_is_judged_on_all_of_its_own() -> None:
    drawn = draws(outcomes(LAWS, n_problems=300), 100)
    found = validate(drawn)
    assert {one.shared.n_predictions for one in found.scores} == {2 * (3 + 2 + 1)}
    # from 3 sizes of 7 on with two parameters, from 4 on with three, in each of two arms
    own = {one.law: one.own.n_predictions for one in found.scores}
    assert own == {"power": 2 * (4 + 3 + 2 + 1), "log_linear": 2 * (4 + 3 + 2 + 1), "power_floor": 2 * (3 + 2 + 1)}
    for one in found.scores:
        (alone,) = validate(drawn, [one.law]).scores
        for other in (alone.own, alone.shared):
            assert dataclasses.asdict(one.own) == pytest.approx(dataclasses.asdict(other))
    for one in found.predictions:
        assert one.distance > 0 and one.size > SIZES[one.n_fitted - 1]
    pairs = itertools.groupby(sorted((one.arm, one.n_fitted, one.size) for one in found.predictions))
    assert {len(list(group)) for _, group in pairs} == {3}


def test_a_law_that_its_own_predictions_refute_is_not_chosen_without_a_word() -> None:
    """The first size lies below the curve of the others: laws that are fitted to three sizes predict badly by it."""
    straight = power(1.0, 0.15)
    bent = {"a": lambda n: straight(n) - 0.04 * (n < 200)}
    found = validate(draws(outcomes(bent, n_problems=2000, n_seeds=6, seed_sd=0.003), 400))
    first = found.scores[0]
    assert found.chosen == first.law == "log_linear" and not first.shared.is_refuted and first.own.is_refuted
    told = (
        "refuted by its 10 predictions (p = 0.002); the best that is not is power_floor; beyond the noise (p < 0.01): "
    )
    assert told + "log_linear, power" in found.says
    text = validation_text(found)
    assert found.says in text and "0.162" in text and "0.002" in text
    row = validation_sheet(found).rows[0]
    assert row[0] == "log_linear" and (row[2], row[5]) == ("6", "0.162") and (row[7], row[10]) == ("10", "0.002")
    shared, own = (json.loads(as_json(found))["scores"][0][which] for which in ("shared", "own"))
    assert (shared["n_predictions"], own["n_predictions"]) == (6, 10) and own["p_value"] < 0.01 < shared["p_value"]


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
    with pytest.raises(ValueError, match="--law power is given twice; name each law once"):
        validate(drawn, ["power", "log_linear", "power"])
    with pytest.raises(ValueError, match="saturating cannot be held out: an arm has 7 sizes at most"):
        validate(drawn, ["saturating"])  # no base model in the table


def test_held_out_error_beside_a_distance() -> None:
    found = validate(draws(exact(LAWS), 100))
    assert rmsle_at(found, "power", np.log(2)) == pytest.approx(0.0, abs=1e-6)
    assert rmsle_at(found, "power", 50.0) is None
