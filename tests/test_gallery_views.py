"""What the figures of star graphs and of the theorem make of their tables: numbers by hand, rulings by their rules."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.gallery import choices, star_graph, theorem
from analysis.gallery.pit_rules import PIT_RULES, ROLLED_OUT_BY
from analysis.gallery.write import write_gallery
from analysis.worth.words import number

STEP, MORE = "per-step DPO", "SFT, more updates"


def star_row(arm: str, passes: int, replicate: int, n_correct: int, degree: int = 5) -> dict[str, object]:
    config = {"dataset": {"degree": degree}, "sft": {"passes": passes, "batch_size": 64}, "n_problems": 128}
    return {
        "arm": f"{arm}, passes={passes}", "n_problems": 128, "replicate": replicate, "n_test": 100,
        "n_correct": n_correct, "n_correct_sampled": 2 * n_correct, "n_sampled": 400, "loss": 1.5,
        "config": json.dumps(config),
    }  # fmt: skip


@pytest.fixture
def star_table(tmp_path: Path) -> Path:
    """Two checkpoints of 8 and 512 updates, three replicates: DPO gains 10, 12 and 14 points at the first, none at the
    last."""
    rows = [{**star_row("base", 1, 1, 20), "n_problems": 0}]
    for replicate, gain in ((1, 10), (2, 12), (3, 14)):
        rows += [star_row(arm, passes, replicate, 40) for arm in ("SFT", MORE) for passes in (4, 256)]
        rows += [star_row(STEP, 4, replicate, 40 + gain), star_row(STEP, 256, replicate, 40)]
    pd.DataFrame(rows).to_parquet(tmp_path / "runs.parquet")
    return tmp_path


def test_gains_are_paired_differences_with_student_s_interval(star_table: Path) -> None:
    gap = star_graph.gains(star_graph.VIEW.read(star_table, 0), 5)
    assert gap["updates"].tolist() == [8, 512] and gap["mean"].tolist() == pytest.approx([-0.12, 0.0])
    # sd 0.02, se 0.011547; two checkpoints: level 0.975, t with 2 degrees of freedom 6.2053
    assert gap["low"].iloc[0] == pytest.approx(-0.12 - 0.07165, abs=1e-4)
    assert star_graph.ruling(gap) == "held"


@pytest.mark.parametrize(
    ("lows", "highs", "ruling"),
    [
        ([-0.3, -0.2], [-0.1, 0.1], "held"),
        ([-0.3, -0.2], [-0.1, -0.05], "undecided"),  # the over-trained one gains as well
        ([-0.005, -0.2], [0.1, 0.1], "not held"),
        ([-0.02, -0.2], [0.1, 0.1], "undecided"),
        ([np.nan, np.nan], [np.nan, np.nan], "undecided"),  # one replicate
    ],
)
def test_the_star_graph_is_ruled_by_its_written_rule(lows: list[float], highs: list[float], ruling: str) -> None:
    assert star_graph.ruling(pd.DataFrame({"updates": [8, 512], "low": lows, "high": highs})) == ruling


def test_the_star_graph_figure_states_its_numbers(star_table: Path, tmp_path: Path) -> None:
    write_gallery(tmp_path / "out", only=["star_graph"], tables={"star_graph": star_table})
    text = (tmp_path / "out/star_graph.txt").read_text()
    assert "degree 5: held (per-step DPO minus SFT continued: −0.120 [−0.192, −0.048] at 8, 0.000" in text
    data = pd.read_csv(tmp_path / "out/star_graph.csv")
    assert data.query("measure == 'value' and arm == 'SFT'")["mean"].tolist() == pytest.approx([0.2, 0.2])
    assert data.query(f"measure == 'error' and arm == '{STEP}' and updates == 8")["mean"].tolist() == [
        pytest.approx(0.48)
    ]


def test_one_replicate_of_a_star_graph_has_no_interval_and_no_ruling(star_table: Path, tmp_path: Path) -> None:
    runs = pd.read_parquet(star_table / "runs.parquet")
    runs[runs["replicate"] == 1].to_parquet(star_table / "runs.parquet")
    write_gallery(tmp_path / "out", only=["star_graph"], tables={"star_graph": star_table})
    text = (tmp_path / "out/star_graph.txt").read_text()
    assert "degree 5: undecided (per-step DPO minus SFT continued: −0.100 (one replicate, no interval) at 8" in text
    assert "nan" not in text


def test_a_star_graph_table_without_an_arm_is_refused(star_table: Path) -> None:
    runs = pd.read_parquet(star_table / "runs.parquet")
    runs[~runs["arm"].str.startswith(STEP)].to_parquet(star_table / "runs.parquet")
    with pytest.raises(ValueError, match="found no per-step DPO; collect the whole experiment"):
        star_graph.VIEW.read(star_table, 0)


def theorem_table(folder: Path, at_infinity: float, power: float) -> Path:
    """Three replicates whose distances are exact powers of the number of pairs."""
    rows = [
        (replicate, rule, n, *[at_infinity if n == np.inf else replicate * n**power] * 4)
        for replicate in (1, 2, 3)
        for n in (32.0, 64.0, 128.0, 256.0, np.inf)
        for rule in ("drawn by advantage", "larger advantage")
    ]
    columns = ["replicate", "rule", "n_pairs", "tv_dpo", "kl_dpo", "tv_regression", "tv_between"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "theorem.csv", index=False)
    return folder


@pytest.mark.parametrize(
    ("at_infinity", "power", "ruling"), [(1e-7, -0.5, "held"), (0.2, -0.5, "not held"), (1e-3, -0.5, "undecided")]
)
def test_the_theorem_is_ruled_by_distances_that_vanish(
    tmp_path: Path, at_infinity: float, power: float, ruling: str
) -> None:
    write_gallery(
        tmp_path / "out", only=["theorem"], tables={"theorem": theorem_table(tmp_path, at_infinity, power)}, n_draws=200
    )
    text = (tmp_path / "out/theorem.txt").read_text()
    assert f"reach one policy”: {ruling} (" in text and "falls as n^−0.50 [−0.50, −0.50]" in text
    assert f"is {number(at_infinity, '.1e')};" in text and "-" not in re.sub(r"[a-z]-[a-z]", "", text, flags=re.I)
    data = pd.read_csv(tmp_path / "out/theorem.csv")
    at_32 = data.query("curve == 'regression' and n_pairs == 32").iloc[0]
    assert at_32["distance"] == pytest.approx(2 * 32**-0.5) and at_32["low"] <= at_32["distance"] <= at_32["high"]


@pytest.mark.parametrize(
    ("value", "spec", "text"), [(-0.01, "g", "−0.01"), (9.34e-8, ".1e", "9.3 × 10⁻⁸"), (-2.5e12, ".1e", "−2.5 × 10¹²")]
)
def test_a_number_has_a_true_minus_and_a_power_of_ten(value: float, spec: str, text: str) -> None:
    assert number(value, spec) == text


def test_exponents_are_of_the_larger_half_of_sizes(tmp_path: Path) -> None:
    table = theorem.VIEW.read(theorem_table(tmp_path, 0.0, -0.7), 200)
    table.loc[table["n_pairs"] <= 64, "tv_dpo"] = 1.0
    assert theorem.exponents(table, "drawn by advantage") == pytest.approx((-0.7, -0.7, -0.7))


def charged_runs(errors: dict[str, float]) -> pd.DataFrame:
    """Per-step DPO's errors by the rule of the pit, and the random step's; replicate r is r points worse."""

    def row(rule: str, n_problems: int, replicate: int, error: float) -> dict[str, object]:
        is_random = rule == "random"
        threshold = 0.2 if rule == "first_below" else 0.0
        pit = {"pit_rule": "first_lowest" if is_random else rule, "pit_threshold": threshold}
        return {
            "arm": "random-step DPO" if is_random else f'per-step DPO, pit_rule="{rule}"',
            "n_problems": n_problems, "replicate": replicate, "n_test": 1000,
            "n_correct": round(1000 * (1 - error)) - 10 * replicate, "config": json.dumps({"method": pit}),
            "total_n_sampled_tokens": n_problems * (300 if rule == "lowest_advantage" else 100),
        }  # fmt: skip

    return pd.DataFrame([row(rule, n, r, error) for rule, error in errors.items() for n in (64, 128) for r in (1, 2)])


def test_rules_of_the_pit_are_compared_with_the_first_lowest_and_told_with_their_tokens(tmp_path: Path) -> None:
    errors = {"first_lowest": 0.4, "first_below": 0.38, "lowest_advantage": 0.41, "random": 0.3}
    charged_runs(errors).to_parquet(tmp_path / "runs.parquet")
    write_gallery(tmp_path / "out", only=["pit_rules"], tables={"pit_rules": tmp_path})
    table = pd.read_csv(tmp_path / "out/pit_rules.csv").query("n_problems == 128").set_index(["what", "name"])
    data = table["mean"]
    found = data["difference"].to_dict()
    wanted = {"first q_value ≤ 0.2": -0.02, "lowest advantage": 0.01, "a random step up to the pit": -0.1}
    assert found == pytest.approx(wanted)
    assert data["sampled tokens a problem", "lowest advantage"] == 300
    text = (tmp_path / "out/pit_rules.txt").read_text()
    assert (
        "first lowest q_value 100, first q_value ≤ 0.2 100, lowest advantage 300, a random step up to the pit 100"
        in text
    )
    assert "is better than the first lowest”: held (at 128 problems" in text  # 0.2's alone, by two points in each
    assert "for both other choices at once" in text and "a random step up to the pit is a control, which the" in text
    assert "held where those of one lie below 0, not held where those of all lie above −0.01 (broken)" in text
    at_once = table[["low_at_once", "high_at_once"]].dropna()  # replicates differ in nothing: limits are the means
    assert at_once.index.tolist() == [("difference", "first q_value ≤ 0.2"), ("difference", "lowest advantage")]
    assert at_once.to_numpy().ravel().tolist() == pytest.approx([-0.02, -0.02, 0.01, 0.01])


@pytest.mark.parametrize(
    ("lows", "highs", "ruling"),
    [
        ([-0.1, -0.1], [-0.01, 0.1], "held"),
        ([-0.009, -0.005], [0.1, 0.1], "not held"),
        ([-0.009, -0.05], [0.1, 0.1], "undecided"),
        ([np.nan, np.nan], [np.nan, np.nan], "undecided"),
    ],
)
def test_choices_are_ruled_by_the_written_rule(lows: list[float], highs: list[float], ruling: str) -> None:
    assert choices.ruling(pd.DataFrame({"low": lows, "high": highs})) == ruling


def test_a_table_with_one_rule_of_the_pit_is_refused(tmp_path: Path) -> None:
    charged_runs({"first_lowest": 0.4, "random": 0.3}).to_parquet(tmp_path / "runs.parquet")
    with pytest.raises(
        ValueError, match=r"pit_rule=first_lowest and with another, found a random step up to the pit, first lowest"
    ):
        PIT_RULES.read(tmp_path, 0)


def test_whose_rollouts_tell_the_pit_is_compared_with_the_learner_s(tmp_path: Path) -> None:
    rows = [
        {
            "arm": f'per-step DPO, policy="{policy}"', "n_problems": n, "replicate": r, "n_test": 1000,
            "n_correct": n_correct - 10 * r, "total_n_sampled_tokens": 100 * n,
            "config": json.dumps({"sampling": {"rollouts": {"policy": policy}}}),
        }
        for policy, n_correct in (("learner", 700), ("other_sft", 690), ("base", 500))
        for n in (64, 128) for r in (1, 2)
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "runs.parquet")
    judged = ROLLED_OUT_BY.judged(ROLLED_OUT_BY.read(tmp_path, 0))
    assert judged[["name", "n_problems"]].to_numpy().tolist() == [["another SFT policy", 128], ["the base model", 128]]
    assert judged["mean"].tolist() == pytest.approx([0.01, 0.2])
