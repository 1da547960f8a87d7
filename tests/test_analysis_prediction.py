"""What a study in replicates predicts for as many new ones: Student's limits, where a value lies, what is told."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_tables import FALLING, write_replicates, write_sweep

from analysis.__main__ import main
from analysis.claims.prediction import (
    Predicted,
    Prediction,
    own_replicates,
    place_of,
    prediction_of,
    read_here,
    student_limits,
    why_not,
    without_replicates,
)
from analysis.noise.draws import draws
from analysis.options import Options
from analysis.report.predicted import of_record, prediction_sheet, sentence
from analysis.report.write import read_study
from analysis.tables.table import Columns, Table, table_from_runs
from analysis.worth.comparison import Comparison
from analysis.worth.readings import at_error, headline

SIZES = (64, 128, 256, 512, 1024)
COLUMNS = ["replicate", "arm", "size", "x", "seed", "error"]
Error = Callable[[int, int], float]  # of a replicate and a size


def table(arms: Mapping[str, Error], replicates: Sequence[int], sizes: Sequence[int] = SIZES, **known: bool) -> Table:
    rows = [
        (r, arm, float(n), float(n), 0, error(r, n)) for arm, error in arms.items() for r in replicates for n in sizes
    ]
    return table_from_runs(pd.DataFrame(rows, columns=COLUMNS), "errors", path="made", **known)


def without(of: Table, **where: object) -> Table:
    """The table without the runs that have all these values."""
    gone = np.logical_and.reduce([of.runs[name] == value for name, value in where.items()])
    return table_from_runs(of.runs[~gone], "errors", path="made")


def sft(replicate: int, n: int) -> float:
    """A replicate's luck is in every arm, and cancels."""
    return 0.5 * (n / 64) ** -0.3 + 0.02 * (replicate % 3)


def better_by(gaps: Mapping[int, float]) -> Error:
    return lambda replicate, n: sft(replicate, n) + gaps[replicate]


def worth(m: Mapping[int, float]) -> Error:
    return lambda replicate, n: sft(replicate, n * m[replicate])  # type: ignore[arg-type]


def told(record: Table, here: Table, arms: Sequence[str] = ("RFT", "DPO"), main: Sequence[str] = ()) -> Prediction:
    pair = (Comparison(draws(one, 200), law="power") for one in (record, here))
    return prediction_of(*pair, "SFT", arms, main)


RECORD = {1: -0.04, 2: -0.03, 3: -0.02, 4: -0.01}


def test_the_limits_are_students_as_a_table_of_t_gives_them() -> None:
    # mean .25, s = .1291, t(.975, 3) = 3.182: .25 +- 3.182 x .1291 x sqrt(1/4 + 1/3) = .25 +- .3138
    low, high = student_limits(np.array([0.1, 0.2, 0.3, 0.4]), 3, 0.95)
    assert (low, high) == pytest.approx((0.25 - 0.3138, 0.25 + 0.3138), abs=1e-4)
    assert student_limits(np.full(5, 0.3), 2, 0.95) == pytest.approx((0.3, 0.3))


def test_the_mean_of_three_new_replicates_lies_inside_in_95_of_100_studies_of_eight() -> None:
    drawn = np.random.default_rng(5).normal(1.0, 0.3, (2000, 11))
    inside = []
    for row in drawn:
        low, high = student_limits(row[:8], 3, 0.95)
        inside.append(low <= row[8:].mean() <= high)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)  # three standard errors of 2,000 studies


def test_a_difference_is_paired_inside_a_replicate_and_its_limits_hold_singly_and_for_all_arms() -> None:
    twin = {replicate: gap - 0.1 for replicate, gap in RECORD.items()}
    arms = ("RFT", "DPO", "per-step DPO")
    record = table({"SFT": sft, "RFT": better_by(RECORD), "DPO": better_by(twin), "per-step DPO": sft}, RECORD)
    new = {7: -0.06, 8: -0.05, 9: -0.04}
    here = table({"SFT": sft, "RFT": better_by(new), "DPO": better_by(new), "per-step DPO": sft}, tuple(new))
    found = told(record, here, arms)
    assert (found.n_record, found.n_here, found.apart) == (4, 3, ())
    rft, dpo, per_step = found.values
    assert (rft.arm, rft.record, rft.sd, rft.here) == (
        "RFT",
        pytest.approx(-0.025),
        pytest.approx(0.01291, abs=1e-5),
        pytest.approx(-0.05),
    )
    assert rft.limits == pytest.approx((-0.025 - 0.03138, -0.025 + 0.03138), abs=1e-5)
    # Bonferroni over three arms: t(1 - .05/6, 3) = 4.857
    assert rft.joint == pytest.approx((-0.025 - 0.04789, -0.025 + 0.04789), abs=2e-5)
    assert (rft.place, rft.joint_place) == ("inside", "inside")
    assert (dpo.place, dpo.joint_place) == ("outside", "outside")  # here .05 better, predicted .125 +- .031
    assert per_step.limits == (0.0, 0.0) and per_step.place == "inside"  # the baseline itself, run for run


def test_between_the_single_limits_and_those_for_all_a_value_is_outside_of_the_first_alone() -> None:
    record = table({"SFT": sft, "RFT": better_by(RECORD), "DPO": better_by(RECORD)}, RECORD)
    here = table({"SFT": sft, "RFT": better_by({7: 0.01, 8: 0.01, 9: 0.01}), "DPO": sft}, (7, 8, 9))
    rft = told(record, here).values[0]  # .035 from the mean; single .0314, for two arms .0412: t(1 - .05/4, 3) = 4.177
    assert (rft.place, rft.joint_place) == ("outside", "inside")


def test_sizes_that_one_table_lacks_or_a_replicate_lacks_are_no_part_of_the_mean() -> None:
    def uneven(replicate: int, n: int) -> float:  # -.01 at 64, -.02 at 128, ...
        return sft(replicate, n) - 0.01 * (SIZES.index(n) + 1)

    record = without(table({"SFT": sft, "RFT": uneven}, RECORD), replicate=2, arm="RFT", size=128)
    here = table({"SFT": sft, "RFT": uneven}, (7, 8), SIZES[1:4])
    (rft,) = told(record, here, ("RFT",)).values
    assert (rft.sizes, rft.left_out) == ((256, 512), (128,))
    assert (rft.record, rft.here) == pytest.approx((-0.035, -0.035))
    (row,) = prediction_sheet(told(record, here, ("RFT",))).rows
    assert row[-1] == "n = 256, 512, without 128"


def test_an_arm_of_one_table_alone_or_without_a_size_of_every_replicate_is_named() -> None:
    record = table({"SFT": sft, "RFT": sft, "DPO": sft}, RECORD, SIZES[:4])
    here = table({"SFT": sft, "RFT": sft, "per-step DPO": sft}, (7, 8, 9))
    found = told(record, here, ("RFT", "DPO", "per-step DPO"))
    assert [one.arm for one in found.values] == ["RFT"]
    assert found.apart == (("DPO", "in the record alone"), ("per-step DPO", "in this table alone"))
    elsewhere = told(record, without(without(here, arm="RFT", size=64.0), replicate=7, arm="RFT"), ("RFT",))
    assert elsewhere.apart == (("RFT", "no size at which every replicate of both tables has it"),)
    assert "share no arm at a size that every replicate has: nothing is predicted" in sentence(elsewhere)


def test_one_base_model_here_is_one_replicate() -> None:
    record = table({"SFT": sft, "RFT": better_by(RECORD)}, RECORD)
    here = table({"SFT": sft, "RFT": better_by({9: -0.02})}, (9,))
    found = told(record, here, ("RFT",))
    assert found.n_here == 1 and found.values[0].here == pytest.approx(-0.02)
    # t(.975, 3) x .01291 x sqrt(1/4 + 1) = .04593
    assert found.values[0].limits == pytest.approx((-0.025 - 0.04593, -0.025 + 0.04593), abs=1e-5)
    assert (
        sentence(found)
        == "1 of 1 differences from SFT lie inside the record's 95 % prediction interval for 1 replicate."
    )


def test_draws_of_new_replicates_lie_farther_out_on_the_scale_they_were_drawn_on() -> None:
    # R = 4, m = 3: sqrt(1 + 4/3) = 1.5275 times as far; m without end: the record's own draws
    for is_loss, ends in ((False, "logit"), (True, "log")):
        noise = draws(table({"SFT": sft, "RFT": better_by(RECORD)}, RECORD, is_loss=is_loss), 200)
        scale = np.log if ends == "log" else lambda p: np.log(p / (1 - p))
        own = scale(noise.errors) - scale(noise.observed)
        new = scale(noise.of_new(3).errors) - scale(noise.observed)
        assert new == pytest.approx(own * (1 + 4 / 3) ** 0.5, abs=1e-9)
        assert noise.of_new(10**12).errors == pytest.approx(noise.errors)
    with pytest.raises(ValueError, match="made has no replicates: nothing tells how new ones would differ"):
        draws(table({"SFT": sft}, (1,)), 200).of_new(3)


def test_the_multiplier_of_three_new_replicates_lies_inside_in_95_of_100_studies_of_eight() -> None:
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(100):
        luck = dict(enumerate(zip(np.exp(rng.normal(0, 0.15, 11)), rng.normal(0, 0.02, 11), strict=True)))

        def base(r: int, n: int, luck: dict[int, tuple[float, float]] = luck) -> float:
            return float(0.5 * (n / 64) ** -0.3 + 0.05 + luck[r][1])

        def arm(r: int, n: int, luck: dict[int, tuple[float, float]] = luck) -> float:
            return base(r, n * 2 * luck[r][0])  # type: ignore[arg-type]

        study = [table({"SFT": base, "RFT": arm}, rs) for rs in (range(8), range(8, 11))]
        inside.append(told(*study, ("RFT",), ("RFT",)).values[1].place)
    assert "undecided" not in inside
    assert np.mean([place == "inside" for place in inside]) == pytest.approx(0.95, abs=0.066)  # 3 standard errors


def test_where_the_baseline_is_flat_limits_lie_farther_above_than_below_and_are_open_beyond_what_was_run() -> None:
    def predicted(spread: float, n_here: int) -> tuple[float, float]:
        def floored(r: int, n: int) -> float:  # every base model has a floor of its own
            return float(0.15 * (n / 64) ** -0.7 + 0.1 * (1 + spread * r))

        arms = {"SFT": floored, "RFT": lambda r, n: floored(0, 2 * n)}
        record, here = (table(arms, rs, (16, 32, *SIZES)) for rs in ((-2, -1, 1, 2), range(3, 3 + n_here)))
        found = told(record, here, ("RFT",), ("RFT",)).values[1]
        assert found.record == pytest.approx(2.0)
        return found.limits

    low, high = np.log(predicted(0.1, 1)) - np.log(2)
    assert high > 1.5 * -low > 0
    less_low, less_high = np.log(predicted(0.1, 3)) - np.log(2)
    assert low < less_low < less_high < high
    assert predicted(0.3, 1)[1] == np.inf


def test_a_bound_is_inside_or_outside_only_where_it_leaves_no_doubt() -> None:
    assert [place_of(value, (1.0, 2.0)) for value in (0.9, 1.0, 2.0, 2.1)] == ["outside", "inside", "inside", "outside"]
    assert [place_of(value, (1.0, 2.0), ">=") for value in (0.5, 1.5, 2.1)] == ["undecided", "undecided", "outside"]
    assert [place_of(value, (1.0, np.inf), ">=") for value in (0.5, 1.5)] == ["undecided", "inside"]
    assert [place_of(value, (-np.inf, 2.0), "<=") for value in (1.5, 2.1)] == ["inside", "undecided"]
    assert place_of(0.5, (1.0, 2.0), "<=") == "outside"
    assert place_of(np.nan, (1.0, 2.0), "?") == "undecided"


def in_replicates(m: Mapping[int, float], sizes: Sequence[int] = SIZES) -> Table:
    """An arm worth m times the data in each replicate, among the same base models' luck."""
    wide = table({"SFT": sft}, tuple(m), (16, 32, *SIZES, 2048, 4096, 8192)).runs
    return table_from_runs(pd.concat([wide, table({"RFT": worth(m)}, tuple(m), sizes).runs]), "errors", path="made")


def test_the_multiplier_here_is_read_at_the_records_error_and_so_are_its_limits() -> None:
    record, here = in_replicates({1: 1.8, 2: 2.0, 3: 2.2, 4: 2.0}), in_replicates({7: 2.1, 8: 2.0, 9: 1.8}, SIZES[1:])
    pair = [Comparison(draws(one, 200), law="power") for one in (record, here)]
    m = headline(pair[0], "RFT", "SFT")
    assert headline(pair[1], "RFT", "SFT").at_error != m.at_error  # by itself it would be read elsewhere
    gap, found = told(record, here, ("RFT",), ("RFT",)).values
    assert (gap.what, found.what, found.at_errors) == ("difference", "multiplier", (m.at_error, m.at_error))
    assert found.here == at_error(pair[1], "RFT", "SFT", m.at_error).multiplier
    assert found.record == m.multiplier and found.place == "inside"
    out = np.log(found.limits) - np.log(m.multiplier)  # for 3 of 4: sqrt(1 + 4/3) = 1.5275 times as far
    assert out / (np.log([m.ci_low, m.ci_high]) - np.log(m.multiplier)) == pytest.approx(1.5275, rel=0.05)
    far = told(record, in_replicates({7: 6, 8: 5, 9: 6}), ("RFT",), ("RFT",)).values[1]
    assert (far.place, far.joint_place) == ("outside", "outside") and far.here > far.limits[1]


def test_an_arm_without_a_curve_is_read_at_its_own_error_and_says_so() -> None:
    record, here = in_replicates({1: 1.8, 2: 2.0, 3: 2.2, 4: 2.0}), in_replicates({7: 2.0, 8: 2.0, 9: 1.9}, SIZES[1:3])
    found = told(record, here, ("RFT",), ("RFT",))
    theirs, mine = found.values[1].at_errors or (0.0, 0.0)
    assert theirs != mine
    assert prediction_sheet(found).rows[1][-1] == f"error {theirs:.3f}; here {mine:.3f}"


def test_an_error_at_an_end_of_the_scale_is_read_at_the_own_one() -> None:
    record, here = (Comparison(draws(in_replicates(m), 200), law="power") for m in ({1: 1, 2: 1.1}, {3: 1, 4: 1.2}))
    for end in (0.0, 1.0):
        m = dataclasses.replace(headline(record, "RFT", "SFT"), at_error=end)
        assert read_here(here, m).at_error == headline(here, "RFT", "SFT").at_error


def test_three_sizes_are_a_curve_and_one_base_model_is_one_replicate() -> None:
    record = in_replicates({1: 1.8, 2: 2.0, 3: 2.2, 4: 2.0})
    m = headline(Comparison(draws(record, 200), law="power"), "RFT", "SFT")
    found = told(record, in_replicates({7: 2.0}, SIZES[1:4]), ("RFT",), ("RFT",)).values[1]
    assert found.at_errors == (m.at_error, m.at_error)
    out = np.log(found.limits) - np.log(m.multiplier)  # for 1 of 4: sqrt(1 + 4) times as far
    assert out / (np.log([m.ci_low, m.ci_high]) - np.log(m.multiplier)) == pytest.approx(5**0.5, rel=0.05)
    short = table({"SFT": sft, "RFT": better_by(RECORD)}, RECORD, SIZES[:3])
    assert told(short, table({"SFT": sft, "RFT": sft}, (7, 8)), ("RFT",), ("RFT",)).apart == ()


def test_a_multiplier_that_is_open_on_one_side_is_predicted_by_the_other() -> None:
    record, here = in_replicates({1: 900, 2: 1000, 3: 1100, 4: 1000}), in_replicates({7: 1000, 8: 1000})
    _, found = told(record, here, ("RFT",), ("RFT",)).values
    assert found.what == "multiplier" and found.limits[0] > 0 and found.limits[1] == np.inf


def test_a_multiplier_that_may_lie_below_1_and_is_open_above_is_predicted_by_its_lower_limit() -> None:
    arms = {"SFT": sft, "RFT": worth({1: 0.9, 2: 2.6, 3: 1.5, 4: 1.5, 7: 1.0, 8: 1.0})}
    runs = table(arms, (1, 2, 3, 4)).runs
    few = runs[(runs["arm"] == "SFT") | (runs["size"] > 256)]  # SFT at 1,024 against RFT at 512: 2 at the most
    record = table_from_runs(few, "errors", path="made")
    _, found = told(record, table(arms, (7, 8)), ("RFT",), ("RFT",)).values
    assert found.what == "multiplier" and 0 < found.limits[0] < 1 and found.limits[1] == np.inf


def test_a_multiplier_between_the_single_limits_and_those_for_all_is_outside_of_the_first_alone() -> None:
    def of(rft: float) -> Table:
        m = {
            "RFT": {1: 1.8, 2: 2.0, 3: 2.2, 4: 2.0, 7: rft, 8: rft},
            "DPO": {1: 2.2, 2: 1.9, 3: 2.0, 4: 1.8, 7: 2.0, 8: 2.0},
        }
        arms = {"SFT": sft, **{arm: worth(each) for arm, each in m.items()}}
        return table(arms, (1, 2, 3, 4) if not rft else (7, 8), (16, 32, *SIZES, 2048, 4096))

    def found(rft: float) -> Predicted:
        values = told(of(0.0), of(rft), ("RFT", "DPO"), ("RFT", "DPO")).values
        return next(one for one in values if one.what == "multiplier" and one.arm == "RFT")

    single, joint = found(2.0).limits[1], found(2.0).joint[1]
    assert 2 < single < joint < np.inf
    between = found((single * joint) ** 0.5)
    assert (between.place, between.joint_place) == ("outside", "inside")


def test_a_multiplier_whose_interval_is_open_on_both_sides_predicts_nothing() -> None:
    m = {replicate: 2.0 ** (5 * (replicate % 2) - 2) for replicate in (1, 2)}  # two replicates, worth 8 and 1/4
    found = told(in_replicates(m), in_replicates({7: 2.0, 8: 2.0}), ("RFT",), ("RFT",))
    assert [one.what for one in found.values] == ["difference"]
    assert found.apart == (("RFT's multiplier", "what is predicted is open on both sides"),)


def test_a_record_with_two_sizes_of_the_baseline_has_no_multipliers() -> None:
    record = table({"SFT": sft, "RFT": better_by(RECORD)}, RECORD, SIZES[:2])
    found = told(record, table({"SFT": sft, "RFT": sft}, (7, 8)), ("RFT",), ("RFT",))
    assert found.apart == (("multipliers", "the record has SFT at fewer than 3 sizes"),)


def test_why_nothing_is_predicted() -> None:
    arms = {"SFT": sft, "RFT": sft}
    record = table(arms, (1, 2, 3))
    one_base = table(arms, (1,))
    assert why_not(one_base, record, "SFT") == "The record has one base model and no replicates: nothing is predicted."
    assert why_not(record, record, "PPO") == "The record has no PPO: nothing is predicted."
    loss = table(arms, (7, 8), is_loss=True)
    assert why_not(record, loss, "SFT") == "The record holds errors, this table losses: nothing is predicted."
    assert why_not(loss, record, "SFT") == "The record holds losses, this table errors: nothing is predicted."
    oneself = "Replicates 1, 2 are the record's own: a comparison with oneself is no prediction."
    assert why_not(record, table(arms, (1, 2)), "SFT") == oneself
    assert (why_not(record, one_base, "SFT") or "").startswith("Replicate 1 is the record's own: ")
    assert why_not(record, table(arms, (3, 4)), "SFT") is None
    assert sentence(Prediction("SFT", 0.95, 1, 3, why_not="As said.")) == "As said."


def test_replicates_of_the_record_are_left_out_by_their_numbers() -> None:
    record, here = table({"SFT": sft}, (1, 2, 3)), table({"SFT": sft}, (3, 10, 11))
    assert own_replicates(record, here) == ("3",)
    assert without_replicates(here, ("3",)).replicate_names == ("10", "11")
    left = without_replicates(here, ("3", "10"))
    assert left.n_replicates == 0 and left.replicate_names == ("11",) and left.path == "made"
    assert table_from_runs(left.runs, "errors").replicate_names == ()


def test_the_first_sentence_counts_what_lies_inside_and_names_the_rest() -> None:
    record = in_replicates({1: 1.8, 2: 2.0, 3: 2.2, 4: 2.0})
    found = told(record, in_replicates({7: 6, 8: 5, 9: 6}), ("RFT",), ("RFT",))
    interval = "lie inside the record's 95 % prediction interval for 3 replicates"
    gap, m = found.values
    assert sentence(found) == (
        f"0 of 1 differences from SFT and 0 of 1 headline multipliers {interval}; outside: RFT's difference (outside "
        "for all at once), RFT's multiplier (outside for all at once)."
    )
    many = [dataclasses.replace(gap, place="inside")] * 12 + [dataclasses.replace(m, place="inside")] * 3
    all_in = dataclasses.replace(found, values=tuple(many))
    assert sentence(all_in) == f"All 12 differences from SFT and 3 of 3 headline multipliers {interval}."
    open_ = dataclasses.replace(found, values=(*many, dataclasses.replace(m, place="undecided")), own=("3",))
    assert sentence(open_).endswith(
        "; undecided, being bounds here: RFT's multiplier; replicate 3 is the record's own and left out."
    )
    assert "for 90 %" not in sentence(found) and "90 % prediction" in sentence(dataclasses.replace(found, level=0.9))


QUICK = Options(n_draws=200, law="power")
LAWS = {arm: FALLING[arm] for arm in ("SFT", "RFT", "per-step DPO")}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of four replicates with verdicts beside it, as the study of record lies."""
    folder = write_replicates(tmp_path_factory.mktemp("record") / "study", LAWS, (1, 2, 3, 4))
    (folder / "verdicts.json").write_text("[]")
    return folder


def reported(words: Sequence[str], out: Path, record: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the terminal says first; the page and prediction.csv are in `out`."""
    capsys.readouterr()
    assert main(["report", *words, "--out", str(out), "--record", str(record), "--draws", "200", "--law", "power"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == [str(out / "index.html")]
    page = (out / "index.html").read_text(encoding="utf-8").replace("&#x27;", "'")
    leads = re.findall(r'<p class="lead">(.*?)</p>', page)
    assert leads[0] == lines[0] and leads[1].startswith("Worth of a problem")
    assert page.index('id="prediction"') < page.index('id="record"')
    return lines[0]


def test_the_report_says_first_whether_its_values_lie_where_the_record_predicts(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = write_replicates(tmp_path / "table", LAWS, (101, 102, 103), seed=5)
    out = tmp_path / "report"
    said = reported([str(here)], out, record, capsys)
    assert said == (
        "2 of 2 differences from SFT and 2 of 2 headline multipliers lie inside the record's 95 % prediction interval "
        "for 3 replicates."
    )
    rows = list(csv.DictReader((out / "prediction.csv").open(encoding="utf-8")))
    assert [(row["value"], row["arm"]) for row in rows] == [
        ("difference", "RFT"), ("difference", "per-step DPO"), ("multiplier", "RFT"), ("multiplier", "per-step DPO"),
    ]  # fmt: skip
    for row in rows:
        low, value, high = float(row["low"]), float(row["here"]), float(row["high"])
        assert float(row["joint_low"]) <= low <= value <= high <= float(row["joint_high"])
        assert (row["n_record"], row["n_here"], row["place"]) == ("4", "3", "inside")


def test_the_records_own_replicates_are_no_prediction_and_no_older_numbers_stay(
    record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("prediction.csv", "of an earlier report"), ("verdicts.json", "[]")):
        (tmp_path / name).write_text(text)
    said = reported([str(record)], tmp_path, record, capsys)
    assert said == "Replicates 1, 2, 3, 4 are the record's own: a comparison with oneself is no prediction."
    assert (tmp_path / "prediction.csv").read_text().count("\n") == 1


def test_a_record_with_replicates_of_this_table_of_one_base_model_or_without_its_table(
    record: Path, tmp_path: Path
) -> None:
    mixed = read_study(write_replicates(tmp_path / "mixed", LAWS, (4, 101, 102), seed=5), tmp_path / "out", QUICK)
    said = sentence(of_record(mixed, record))
    assert "for 2 replicates" in said and said.endswith("; replicate 4 is the record's own and left out.")
    told = of_record(mixed, write_sweep(tmp_path / "old", LAWS))
    assert sentence(told) == "The record has one base model and no replicates: nothing is predicted."
    (tmp_path / "verdicts.json").write_text("[]")
    told = of_record(mixed, tmp_path / "verdicts.json")
    assert sentence(told) == f"No table lies with the record in {tmp_path}: nothing is predicted."


def test_what_was_asked_of_the_table_here_is_not_asked_of_the_record(record: Path, tmp_path: Path) -> None:
    here = write_replicates(tmp_path / "table", LAWS, (101, 102, 103), seed=5)
    asked = dataclasses.replace(QUICK, of=("RFT",), columns=Columns(filters={"replicate": "101"}), ceiling=0.9)
    found = of_record(read_study(here, tmp_path / "out", asked), record)
    assert (found.n_record, found.n_here, found.apart) == (4, 1, ())
    assert [one.arm for one in found.values] == ["RFT", "RFT"]
