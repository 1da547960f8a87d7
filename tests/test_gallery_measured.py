"""What the figures of measurements make of their tables: numbers by hand, rulings by their rules, and commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_tables import FALLING, write_sweep

from analysis.__main__ import main
from analysis.gallery import (
    both_kinds,
    costs,
    likelihood,
    model_sizes,
    positives,
    q_values,
    quadrupling,
    runs_of,
    spurious,
    write,
)
from analysis.gallery.entries import QUICK, PaperFigure, Runs
from analysis.gallery.student import means, told
from analysis.gallery.write import commands, write_gallery
from analysis.intervals import student

NONE = float("nan")


def frame(rows: list[tuple[object, ...]], columns: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def test_a_mean_has_student_s_interval_over_replicates_and_one_replicate_has_none() -> None:
    mean, low, high = student(np.array([1.0, 2.0, 3.0]))  # s.e. 0.57735, t with 2 degrees of freedom 4.30265
    assert (mean, low, high) == pytest.approx((2.0, -0.48414, 4.48414), abs=1e-4)
    assert np.isnan(student(np.array([1.0]))[1:]).all() and "no interval" in told(*student(np.array([1.0])))
    rows = frame([("a", 1, 1.0), ("a", 2, 3.0)], "arm replicate value")
    assert means(rows, ["arm"], "value")[["mean", "n_replicates"]].to_numpy().tolist() == [[2.0, 2]]


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """Two replicates; teacher 10 tokens at 1 nat each, own ones 5 tokens at .8 and 10 tokens at .6 (second: .7)."""
    rows: list[tuple[object, ...]] = []
    for replicate, equal in ((1, 6.0), (2, 7.0)):
        rows += [(replicate, 8, "p", "teacher", 10, -10.0), (replicate, 8, "alone", "teacher", 10, -99.0)]
        rows += [(replicate, 8, "p", "self", 5, -4.0), (replicate, 8, "p", "self", 10, -equal)]
    columns = "replicate n_problems problem_id writer n_tokens logp_sum"
    frame(rows, columns).to_parquet(tmp_path / "likelihoods.parquet")
    return tmp_path


def test_likelihoods_are_compared_on_problems_that_both_have_solved(scored: Path) -> None:
    rows = likelihood.VIEW.read(scored, 0)
    of = rows.set_index(["measure", "writer", "replicate"])["value"]
    assert of["token", "teacher", 1] == 1.0 and of["token", "self", 1] == pytest.approx((0.8 + 0.6) / 2)
    assert of["solution", "self", 1] == pytest.approx(5.0) and of["solution", "teacher", 1] == 10.0
    assert of["equally long", "self", 2] == 7.0  # the short one has no equal
    text = likelihood.VIEW.caption(rows)
    assert "nats a solution −4.75" in text and "over 2 replicates" in text


@pytest.mark.parametrize(
    ("low", "high", "ruling"), [(-2, -1, "held"), (1, 2, "not held"), (-1, 1, "undecided"), (NONE, NONE, "undecided")]
)
def test_likelihoods_are_ruled_by_their_written_rule(low: float, high: float, ruling: str) -> None:
    assert likelihood.ruling(low, high) == ruling


def values(arms: dict[str, list[int]]) -> pd.DataFrame:
    """Of each arm, right ones of 100 rollouts at two steps, in three replicates that move together."""
    rows = [
        (arm, 8, replicate, "p", 2, False, step, right + replicate, 100)
        for arm, at in arms.items()
        for replicate in (1, 2, 3)
        for step, right in enumerate(at)
    ]
    return frame(rows, "arm n_problems replicate problem_id n_steps is_correct step n_right n_rollouts")


def test_q_is_compared_with_the_sft_policy_s_step_by_step_in_pairs(tmp_path: Path) -> None:
    values({"SFT": [40, 30], "DPO": [50, 30], "per-step DPO": [60, 40]}).to_parquet(tmp_path / "values.parquet")
    rows = q_values.VIEW.read(tmp_path, 0)
    gap = q_values.differences(rows, "per-step DPO")
    assert gap["step"].tolist() == [0, 1] and gap["mean"].tolist() == pytest.approx([0.2, 0.1])
    assert gap["low"].tolist() == pytest.approx([0.2, 0.1])  # what replicates share is in no difference
    text = q_values.VIEW.caption(rows)
    assert "raises Q at every step”: held" in text and "“Standard DPO does not”: held" in text


@pytest.mark.parametrize(
    ("lows", "highs", "ruling"),
    [
        ([0.1, 0.1], [0.2, 0.2], "held"),
        ([0.1, -0.1], [0.2, 0.005], "not held"),
        ([0.1, -0.1], [0.2, 0.1], "undecided"),
        ([NONE, NONE], [NONE, NONE], "undecided"),
    ],
)
def test_q_is_raised_by_the_written_rule(lows: list[float], highs: list[float], ruling: str) -> None:
    assert q_values.raised(pd.DataFrame({"low": lows, "high": highs})) == ruling


def test_a_table_of_q_without_an_arm_is_refused(tmp_path: Path) -> None:
    values({"SFT": [40, 30], "DPO": [50, 30]}).to_parquet(tmp_path / "values.parquet")
    with pytest.raises(ValueError, match=r"expected the arms SFT, DPO, per-step DPO, found no per-step DPO; collect"):
        q_values.VIEW.read(tmp_path, 0)


def rft_runs(errors: dict[int, float]) -> pd.DataFrame:
    """RFT's errors by the number of positives, which cost a FLOP each."""
    config = {k: json.dumps({"source": {"max_solutions_per_problem": k}}) for k in errors}
    rows = [
        (f"RFT, max_solutions_per_problem={k}", n, replicate, 1000, int(1000 * (1 - error)), config[k], float(k))
        for k, error in errors.items()
        for n in (64, 128)
        for replicate in (1, 2)
    ]
    return frame(rows, "arm n_problems replicate n_test n_correct config total_flops")


def test_positives_are_ruled_by_the_last_fourfold_number(tmp_path: Path) -> None:
    rft_runs({1: 0.5, 4: 0.4, 16: 0.395}).to_parquet(tmp_path / "runs.parquet")
    rows = positives.VIEW.read(tmp_path, 0)
    assert quadrupling.last_quadrupling(rows) == (4, 16, pytest.approx((-0.005, -0.005, -0.005)))
    assert (
        "flat or raise it”: held" in (caption := positives.VIEW.caption(rows)) and "at 4.00 times the FLOP" in caption
    )
    gaps = positives.VIEW.data(rows).query("what == 'difference' and x == 16")
    assert gaps["mean"].tolist() == pytest.approx([-0.105, -0.105])


@pytest.mark.parametrize(
    ("low", "high", "ruling"),
    [(-0.005, 0.1, "held"), (-0.1, -0.02, "not held"), (-0.1, 0.1, "undecided"), (NONE, NONE, "undecided")],
)
def test_positives_are_ruled_by_their_written_rule(low: float, high: float, ruling: str) -> None:
    assert quadrupling.ruling(low, high) == ruling


def test_one_replicate_is_told_as_one(tmp_path: Path) -> None:
    rft_runs({1: 0.5, 4: 0.4}).query("replicate == 1").to_parquet(tmp_path / "runs.parquet")
    assert "means over 1 replicate;" in positives.VIEW.caption(positives.VIEW.read(tmp_path, 0))


def test_a_table_with_one_number_of_positives_is_refused(tmp_path: Path) -> None:
    rft_runs({4: 0.4}).to_parquet(tmp_path / "runs.parquet")
    with pytest.raises(ValueError, match=r"expected RFT with several source\.max_solutions_per_problem, found 1"):
        positives.VIEW.read(tmp_path, 0)


def mixed_runs(errors: dict[float, float]) -> pd.DataFrame:
    """RFT's errors by the fraction of spurious solutions; replicate r is r points worse at every one."""
    config = {f: json.dumps({"source": {"spurious_fraction": f}}) for f in errors}
    rows = [
        (
            f"RFT, spurious steps mixed in, spurious_fraction={f}",
            n,
            r,
            1000,
            round(1000 * (1 - error)) - 10 * r,
            config[f],
            1.0,
        )
        for f, error in errors.items()
        for n in (64, 128)
        for r in (1, 2)
    ]
    return frame(rows, "arm n_problems replicate n_test n_correct config total_flops")


def test_spurious_steps_are_ruled_by_the_slope_over_their_fraction(tmp_path: Path) -> None:
    mixed_runs({0: 0.3, 0.5: 0.35, 1: 0.4}).to_parquet(tmp_path / "runs.parquet")
    rows = spurious.VIEW.read(tmp_path, 0)
    assert spurious.slope(rows) == pytest.approx((0.1, 0.1, 0.1))  # a tenth from none to all, in each replicate
    text = spurious.VIEW.caption(rows)
    assert (
        "means over 2 replicates" in text
        and "“Spurious steps hurt”: held" in text
        and "0.100 [0.100, 0.100] at 64 problems" in text
    )


@pytest.mark.parametrize(
    ("low", "high", "ruling"),
    [(0.021, 0.1, "held"), (-0.1, 0.019, "not held"), (-0.1, 0.1, "undecided"), (NONE, NONE, "undecided")],
)
def test_spurious_steps_hurt_by_the_written_rule(low: float, high: float, ruling: str) -> None:
    assert spurious.ruling(low, high) == ruling


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """Truth .5 on a step of 3 right solutions that only both kinds estimate (at .3), 0 on one of a wrong one (.1)."""
    steps = [(1, 8, "p", 3, 0, 0.5, NONE, 0.3), (1, 8, "p", 1, 1, 0.0, 0.1, 0.1)]
    frame(steps, "replicate n_problems problem_id n_traces n_wrong truth wrong all").to_parquet(
        tmp_path / "estimates.parquet"
    )
    errors = {"SFT": 500, "per-step DPO": 400, "per-step DPO, both": 370}
    rows = [(arm, 8, one, 1000, 1000 - wrong - one) for arm, wrong in errors.items() for one in (1, 2)]
    frame([*rows, ("SFT", 16, 1, 1000, 600)], "arm n_problems replicate n_test n_correct").to_parquet(
        tmp_path / "runs.parquet"
    )
    return tmp_path


def test_an_estimate_that_is_not_there_counts_as_nought_where_solutions_pass(both: Path) -> None:
    rows = both_kinds.VIEW.read(both, 0)
    of = rows["estimates"].set_index(["steps", "of"])
    assert of.loc[("wrong", "wrong"), "value"] == pytest.approx(0.1)
    assert of.loc[("all", "wrong"), "value"] == pytest.approx(((3 * 0.25 + 0.01) / 4) ** 0.5)
    assert of.loc[("all", "all"), "value"] == pytest.approx(((3 * 0.04 + 0.01) / 4) ** 0.5)
    assert of.loc[("all", "wrong"), "covered"] == 0.25 and of.loc[("all", "all"), "covered"] == 1.0
    assert set(rows["errors"]["n_problems"]) == {8}  # SFT's other sizes have no partner
    assert both_kinds.gain(rows["errors"])[0] == pytest.approx(-0.03)
    assert "improve per-step DPO”: held" in both_kinds.VIEW.caption(rows)


@pytest.mark.parametrize(
    ("low", "high", "ruling"),
    [(-0.1, -0.01, "held"), (-0.005, 0.1, "not held"), (-0.1, 0.1, "undecided"), (NONE, NONE, "undecided")],
)
def test_both_kinds_are_ruled_by_their_written_rule(low: float, high: float, ruling: str) -> None:
    assert both_kinds.ruling(low, high) == ruling


def test_a_table_without_an_arm_of_both_kinds_is_refused(both: Path) -> None:
    runs = pd.read_parquet(both / "runs.parquet")
    runs[runs["arm"] != "per-step DPO, both"].to_parquet(both / "runs.parquet")
    with pytest.raises(ValueError, match=r"expected the arms SFT, per-step DPO, per-step DPO, both, found no per-step"):
        both_kinds.VIEW.read(both, 0)


@pytest.mark.parametrize(
    ("name", "table"), [("likelihood_under_base", "likelihood"), ("advantages_of_both", "both_kinds")]
)
def test_a_quick_figure_says_that_it_proves_nothing(
    name: str, table: str, scored: Path, both: Path, tmp_path: Path
) -> None:
    write_gallery(tmp_path / "out", only=[name], tables={table: tmp_path}, n_draws=10, scale=QUICK)
    assert (tmp_path / "out" / f"{name}.txt").read_text().startswith("Scale quick: a small domain")
    assert "is worth nothing" in (tmp_path / "out/index.html").read_text()


def test_commands_are_of_missing_tables_alone_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs_of, "PROJECT", tmp_path / "project")
    there = tmp_path / "outputs/quick/table"
    there.mkdir(parents=True)
    assert commands(["likelihood_under_base", "q_at_each_step"], QUICK) == [
        "python -m sweep -m experiment=quick", "python -m sweep collect -m experiment=quick",
    ]  # fmt: skip
    pd.DataFrame().to_parquet(there / "likelihoods.parquet")
    assert commands(["likelihood_under_base"], QUICK) == []
    assert main(["figures", "--commands", "--only", "theorem"]) == 0
    assert capsys.readouterr().out == "python -m sweep.exact --out outputs/theorem/table\n"


def test_every_figure_has_runs_of_the_small_scale_too() -> None:
    for one in write.FIGURES:
        if one.runs:
            assert one.runs.quick, one.name
            assert one.runs.is_sweep or one.runs.quick_commands


def test_a_figure_that_nothing_draws_yet_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "FIGURES", (PaperFigure("12", "later", "What is to come.", needs="A stage."),))
    write_gallery(tmp_path, only=["later"])
    assert "It needs: A stage." in (tmp_path / "index.html").read_text()


def test_a_small_experiment_has_a_file() -> None:
    conf = Path(__file__).parents[1] / "conf/experiment"
    names = {one.runs.quick for one in write.FIGURES if one.runs and one.runs.is_sweep}
    assert all((conf / f"{name}.yaml").is_file() for name in names) and Runs("x", quick="y").lines(QUICK)[0].endswith(
        "y"
    )


def test_data_and_compute_are_read_off_one_table(tmp_path: Path) -> None:
    table = write_sweep(tmp_path / "table", FALLING, n_problems=300)
    runs = pd.read_parquet(table / "runs.parquet")
    is_sft = runs["arm"].eq("SFT")
    runs = runs.assign(
        total_flops=runs["n_problems"] * np.where(is_sft, 1.0, 10.0), total_seconds=runs["n_problems"] * 1.0
    )
    runs.to_parquet(table / "runs.parquet")
    view = costs.costs_of("RFT", "DPO")
    found = view.data(view.read(table, 200)).set_index(["arm", "axis"])["multiplier"]
    # flops ten times as dear for an arm divide its worth by ten; seconds that are problems change nothing
    assert found["RFT", "in FLOP"] == pytest.approx(found["RFT", "in problems"] / 10, rel=0.02)
    assert found["RFT", "in seconds"] == pytest.approx(found["RFT", "in problems"], rel=1e-6)
    caption = view.caption(view.read(table, 200))
    assert "“Each arm is worth more than 1×”: in problems held; in FLOP RFT not held, DPO undecided; in sec" in caption
    with pytest.raises(ValueError, match=r"expected the arms SFT, NFT, found no NFT; give a table with them"):
        costs.costs_of("NFT").read(table, 200)


def test_worth_by_width_is_read_off_a_table_a_width(tmp_path: Path) -> None:
    for width, worth in ((48, "DPO"), (64, "RFT")):  # which are worth 4x and 2x in these tables
        write_sweep(tmp_path / str(width), {**FALLING, "per-step DPO": FALLING[worth]}, n_problems=300)
    found = model_sizes.VIEW.read(tmp_path, 200)
    data = model_sizes.VIEW.data(found).query("arm == 'per-step DPO'").groupby("width")["multiplier"].first()
    assert data.to_dict() == {48: pytest.approx(4, rel=0.3), 64: pytest.approx(2, rel=0.3)}
    text = model_sizes.VIEW.caption(found)
    assert "every width”: " in text and "(48 wide per-step DPO: worth" in text and "; 64 wide per-step DPO" in text
    assert model_sizes.VIEW.draw(found).axes


@pytest.mark.parametrize(
    ("limits", "ruling"),
    [
        ([(1.1, 2.0), (1.2, float("inf"))], "held"),
        ([(1.1, 2.0), (0.4, 0.9)], "not held"),
        ([(1.1, 2.0), (0.9, 1.5)], "undecided"),
        ([(1.1, 2.0), (NONE, NONE)], "undecided"),
    ],
)
def test_worth_at_every_width_is_ruled_by_its_written_rule(limits: list[tuple[float, float]], ruling: str) -> None:
    assert model_sizes.ruling(limits) == ruling


def test_a_table_a_width_is_made_by_a_sweep_and_as_many_collects() -> None:
    runs = model_sizes.MODEL_SIZES
    assert runs.is_sweep and not Runs("theorem", commands=("python -m sweep.exact",)).is_sweep
    assert runs.lines()[0] == "python -m sweep -m experiment=model_sizes"
    assert runs.lines()[3].endswith("experiment=model_sizes model=tiny_llama_96 --out outputs/model_sizes/table/96")
