"""Policies that broke: the share of malformed solutions beside the baseline's, and what a reader is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_tables import FALLING, write_sweep

from analysis.commands import multipliers
from analysis.noise.malformed import Malformed, malformed_note, malformed_of
from analysis.options import Options
from analysis.report.write import write_report
from analysis.tables.read import table_at
from analysis.tables.table import Table, table_from_runs
from analysis.terminal import result_object, results_text

N_TEST = 2000
LAWS = {"SFT": FALLING["SFT"], "per-step DPO": FALLING["per-step DPO"]}


def counted(unit: str, sft: Sequence[float], dpo: Sequence[float]) -> Table:
    """Two arms at 2,048 problems, with the shares of malformed solutions of each unit."""
    rows = [
        {"arm": arm, "size": 2048.0, "x": 2048.0, "seed": 0, unit: k, "error": 0.3, "n_test": N_TEST, "malformed": one}
        for arm, shares in (("SFT", sft), ("per-step DPO", dpo))
        for k, one in enumerate(shares)
    ]
    return table_from_runs(pd.DataFrame(rows), "counts")


def of_dpo(table: Table) -> Malformed:
    (row,) = malformed_of(table, "SFT", 0.95, ("per-step DPO",))
    return row


@pytest.mark.parametrize("unit", ["replicate", "seed"])
def test_the_interval_of_the_difference_is_students_over_pairs(unit: str) -> None:
    # differences .20, .24, .28: mean .24, standard error .04 / sqrt(3), t(.975, 2) = 4.3027
    row = of_dpo(counted(unit, (0.05, 0.04, 0.06), (0.25, 0.28, 0.34)))
    assert row.gap is not None
    assert (row.gap.unit, row.gap.n_units) == (unit, 3)
    assert (row.share, row.gap.other, row.gap.value) == pytest.approx((0.29, 0.05, 0.24))
    assert (row.gap.low, row.gap.high) == pytest.approx((0.14063, 0.33937), abs=1e-5)
    assert row.is_broken
    note = malformed_note([row], "SFT")
    assert note is not None and note.severity == "warning"
    told = "per-step DPO writes malformed solutions, surely beyond SFT's share: 29% at n = 2,048 (SFT 5%)"
    assert note.text.startswith(told)


def test_an_arm_whose_surplus_is_within_the_margin_or_not_sure_is_not_named() -> None:
    within = of_dpo(counted("seed", (0.05, 0.05, 0.05), (0.09, 0.10, 0.09)))  # surely more, by less than .05
    unsure = of_dpo(counted("seed", (0.05, 0.05, 0.05), (0.06, 0.12, 0.18)))  # by .07, give or take .15
    assert not within.is_broken and not unsure.is_broken
    assert malformed_note([within], "SFT") is None


def test_one_policy_that_broke_among_many_is_named_though_the_mean_is_not_sure() -> None:
    row = of_dpo(counted("replicate", (0.05,) * 8, (0.05,) * 7 + (0.55,)))
    assert row.gap is not None and row.gap.low < 0.05 and row.gap.broken == (7,)
    note = malformed_note([row], "SFT")
    assert note is not None and "11% at n = 2,048 (SFT 5%; in 1 of 8 replicates alone)" in note.text


def test_one_seed_alone_has_no_interval_and_is_judged_by_its_counts() -> None:
    row = of_dpo(counted("seed", (0.05,), (0.30,)))
    assert row.gap is not None and row.gap.low == -np.inf and row.is_broken
    assert not of_dpo(counted("seed", (0.05,), (0.21,))).is_broken  # .16 more, with a standard error of .010


def test_a_run_is_broken_by_its_counts_from_three_standard_errors_beyond_15_points() -> None:
    # .1875 more: standard error sqrt((.05 x .95 + .2375 x .7625) / 2000) = .0107, so .155; .18 more: .148
    assert of_dpo(counted("seed", (0.05,), (0.2375,))).is_broken
    assert not of_dpo(counted("seed", (0.05,), (0.23,))).is_broken


def test_two_seeds_have_an_interval_of_one_degree_of_freedom() -> None:
    # differences .2 and .3: mean .25, standard error .05, t(.975, 1) = 12.706
    row = of_dpo(counted("seed", (0.05, 0.05), (0.25, 0.35)))
    assert row.gap is not None and (row.gap.low, row.gap.high) == pytest.approx((-0.3853, 0.8853), abs=1e-4)


def test_a_table_that_does_not_say_what_was_malformed_has_no_rows() -> None:
    table = counted("seed", (0.05,), (0.05,))
    assert malformed_of(replace(table, runs=table.runs.drop(columns="malformed")), "SFT", 0.95) == ()


def test_runs_that_the_baseline_has_not_are_shown_and_not_compared() -> None:
    table = counted("seed", (0.05, 0.05), (0.5, 0.5))
    alone = replace(table, runs=table.runs.assign(size=np.where(table.runs.arm == "SFT", 4096.0, table.runs["size"])))
    assert of_dpo(alone).gap is None and not of_dpo(alone).is_broken


def written(folder: Path, **columns: object) -> Path:
    write_sweep(folder, LAWS, n_seeds=3)
    runs = pd.read_parquet(folder / "runs.parquet")
    runs.assign(**columns).to_parquet(folder / "runs.parquet")
    return folder


def with_counts(folder: Path, share: float = 0.4) -> Path:
    """A sweep whose per-step DPO breaks at its largest size."""
    write_sweep(folder, LAWS, n_seeds=3)
    runs = pd.read_parquet(folder / "runs.parquet")
    is_broken = (runs.arm == "per-step DPO") & (runs.n_problems == runs.n_problems.max())
    runs["n_malformed"] = np.where(is_broken, int(share * 300), 6)
    runs["entropy"] = 1.25
    runs.to_parquet(folder / "runs.parquet")
    return folder


def test_a_sweep_of_before_tells_it_by_the_steps_that_could_not_be_read(tmp_path: Path) -> None:
    counts = pd.array([6, None], dtype="Int64").take([0] * 24 + [1])  # one run did not count: the two are not mixed
    told = written(tmp_path / "table", diagnosis=json.dumps({"bad format": 30, "wrong fact": 9}), n_malformed=counts)
    table = table_at(told)
    assert set(table.runs["malformed"]) == {0.1}
    silent = table_at(written(tmp_path / "other", diagnosis="{}"))
    assert malformed_of(silent, "SFT", 0.95) == malformed_of(table_at(write_sweep(tmp_path / "old", LAWS)), "SFT", 0.95)
    assert malformed_of(silent, "SFT", 0.95) == ()


def test_the_multiplier_says_beside_the_arm_that_it_broke(tmp_path: Path) -> None:
    options = Options(n_draws=200)
    (found,) = multipliers(with_counts(tmp_path / "table"), options)
    text = results_text([found])
    assert "malformed: 2.0% at 256 (SFT 2.0%), " in text and "40.0% at 2,048 (SFT 2.0%)" in text
    assert "nats a sampled solution: 1.25 at 256, " in text
    assert "warning malformed: per-step DPO writes malformed solutions" in text
    assert [row["share"] for row in result_object(found)["malformed"]] == pytest.approx([0.02, 0.02, 0.02, 0.4])
    (sound,) = multipliers(with_counts(tmp_path / "sound", share=0.02), options)
    for name in ("multiplier", "ci_low", "ci_high"):
        assert getattr(sound.multiplier, name) == getattr(found.multiplier, name)
    assert "warning malformed" not in results_text([sound])


def test_the_report_warns_at_its_top_and_beside_the_arm(tmp_path: Path) -> None:
    page = write_report(with_counts(tmp_path / "table"), tmp_path / "out", Options(n_draws=200)).page.read_text()
    top = page[page.index("<header>") : page.index("</header>")]
    assert "Warning: surely more malformed solutions than SFT&#x27;s at the same size:" in top
    assert ": per-step DPO (40% at 2,048)." in top
    assert "<td>per-step DPO (malformed)</td>" in page
    rows = pd.read_csv(tmp_path / "out" / "malformed.csv").set_index(["arm", "n_problems"])
    assert rows.loc[("per-step DPO", 2048), ["malformed", "difference", "entropy"]].tolist() == pytest.approx(
        [0.4, 0.38, 1.25]
    )
    sound = write_report(
        with_counts(tmp_path / "sound", 0.02), tmp_path / "fine", Options(n_draws=200)
    ).page.read_text()
    assert "Warning" not in sound and "(malformed)" not in sound
