"""What was said of a table and is of no use to it: refused or told, never swallowed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_tables import write_sweep
from simulated_tables import power

from analysis.commands import SharedFit, fits, held_out, multipliers
from analysis.held_out import validate
from analysis.noise.draws import draws
from analysis.options import Options, comparison_of
from analysis.tables.read import table_at
from analysis.tables.table import Columns

SIZES = (100, 200, 400, 800)


def runs(n_seeds: int = 2) -> pd.DataFrame:
    rows = [
        (arm, n, seed, int(1000 * (1 - 3 * (m * n) ** -0.3)) + 3 * seed, 1000)
        for arm, m in (("SFT", 1), ("RFT", 2)) for n in SIZES for seed in range(n_seeds)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["arm", "n_problems", "seed", "n_correct", "n_test"])


def saved(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False)
    return path


def errors(frame: pd.DataFrame) -> pd.DataFrame:
    share = 1 - frame["n_correct"] / frame["n_test"]
    return frame.drop(columns=["n_correct", "n_test"]).assign(error=share)


@pytest.mark.parametrize(
    "said, message",
    [
        ({"stderr": "foo"}, "no column 'foo', which --stderr names; the columns are arm, n_problems"),
        ({"sample": "sed"}, r"no column 'sed' \(did you mean seed\?\), which --sample names; .* or drop --sample"),
        ({"problem": "foo"}, "no column 'foo', which --problem names"),
        ({"seed": "trial"}, "no column 'trial', which --seed-column names"),
        ({"stderr": "n_test"}, "n_correct counts problems, whose noise the counts tell themselves; drop --stderr"),
        ({"unit": "percent"}, "n_correct counts problems, which are no percentage; drop --unit percent"),
        ({"y_is": "error"}, "n_correct counts right solutions and --y-is error says that they are wrong"),
        ({"step": "last"}, "--step last chooses a row of a training curve, and this is a plain table; drop it"),
    ],
)
def test_what_a_table_of_counts_has_no_use_for_is_refused(said: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        table_at(saved(runs(), tmp_path / "t.csv"), Columns(**said))


@pytest.mark.parametrize("said", [{"unit": "percent"}, {"seed": "replicate"}, {"x": "total_seconds"}, {"step": "3"}])
def test_columns_of_a_sweeps_folder_are_settled(said: dict, tmp_path: Path) -> None:
    write_sweep(tmp_path / "table", {"SFT": power(1.0, 0.2), "RFT": power(0.9, 0.2)})
    with pytest.raises(ValueError, match=r"is of other tables: in a folder that `sweep collect` wrote .*; drop it"):
        table_at(tmp_path / "table", Columns(**said))


def test_rows_of_one_run_that_differ_elsewhere_are_to_be_chosen_from(tmp_path: Path) -> None:
    both = pd.concat([runs().assign(temperature=t) for t in (0.0, 1.0)], ignore_index=True)
    path = saved(both, tmp_path / "t.csv")
    with pytest.raises(ValueError, match=r"16 rows are of a run .* first is row 17 .*temperature: choose with --where "
                       r"temperature=0.0, or .* --seed-column temperature"):  # fmt: skip
        table_at(path)
    assert len(table_at(path, Columns(filters={"temperature": "0"})).runs) == 16


def test_text_among_outcomes_is_named_by_its_row(tmp_path: Path) -> None:
    long = pd.DataFrame({"arm": "SFT", "n_problems": 1, "problem_id": [1, 2, 3], "is_correct": ["1", "no", "yes"]})
    with pytest.raises(ValueError, match="is_correct holds text in 2 of 3 rows, the first is 'no' in row 2 below"):
        table_at(saved(long, tmp_path / "t.csv"))


def test_an_arm_is_named_once_and_a_baseline_that_was_filtered_away_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--of RFT is given twice"):
        Options(of=("RFT", "DPO", "RFT"))
    path = saved(runs(), tmp_path / "t.csv")
    with pytest.raises(ValueError, match=r"'SFT' is not in the table.*of the rows that --where arm=RFT leaves"):
        multipliers(path, Options(columns=Columns(filters={"arm": "RFT"}), n_draws=199))


def test_a_law_that_was_asked_for_is_held_out_or_refused(tmp_path: Path) -> None:
    drawn = draws(table_at(saved(runs(), tmp_path / "t.csv")), 199)
    assert [score.law for score in validate(drawn, ["power"]).scores] == ["power"]
    with pytest.raises(ValueError, match="sigmoid cannot be held out: an arm has 4 sizes at most"):
        validate(drawn, ["power", "sigmoid"])


def codes(frame: pd.DataFrame, path: Path, **said: object) -> dict[str, str]:
    options = Options(n_draws=199, columns=Columns(**said))
    (found,) = multipliers(saved(frame, path), options)
    return {one.code: one.text for one in found.multiplier.notes}


def test_what_is_left_out_or_looks_wrong_is_told(tmp_path: Path) -> None:
    path, whole = tmp_path / "t.csv", runs(3)
    assert not {"missing_seeds", "no_data", "low_percent"} & codes(whole, path).keys()
    gap = whole.drop(whole.index[(whole["arm"] == "RFT") & (whole["n_problems"] == 800) & (whole["seed"] == 2)])
    assert "RFT at 800 has 2 of 3" in codes(gap, path)["missing_seeds"]
    base = pd.DataFrame({"arm": "SFT", "n_problems": 0, "seed": range(3), "n_correct": 100, "n_test": 1000})
    assert codes(pd.concat([whole, base]), path)["no_data"].startswith("3 runs of size 0")
    tiny = errors(whole)
    tiny["error"] /= 100
    assert codes(tiny.assign(error=tiny["error"] * 100), path, unit="percent")["low_percent"].startswith("no error is")
    assert "low_percent" not in codes(tiny.assign(error=tiny["error"] * 1e4), path, unit="percent")


@pytest.mark.parametrize("y", ["error", "accuracy"])
def test_fractions_called_percent_are_told_by_every_command(y: str, tmp_path: Path) -> None:
    frame = errors(runs(3))
    frame.loc[0, "error"] = 0.0  # an accuracy of 1, which is 1 percent and no more
    frame = frame.assign(accuracy=1 - frame["error"]).drop(columns={"error", "accuracy"} - {y})
    options = Options(n_draws=199, columns=Columns(y=y, unit="percent"))
    path = saved(frame, tmp_path / "t.csv")
    found = [m.multiplier.notes for m in multipliers(path, options)] + [one.notes for one in fits(path, options)]
    shared = fits(path, replace(options, law="power_shared"))
    assert isinstance(shared, SharedFit)
    for notes in (*found, shared.notes, held_out(path, options).notes):
        assert f"no {y} is above 1 percent" in {one.code: one.text for one in notes}["low_percent"]


def test_a_share_of_a_problem_called_percent_is_told_too(tmp_path: Path) -> None:
    rows = [(arm, n, k, float(k < 5)) for arm in ("SFT", "RFT") for n in SIZES for k in range(10)]
    frame = pd.DataFrame(rows, columns=["arm", "n_problems", "problem_id", "is_correct"])
    (found,) = table_at(saved(frame, tmp_path / "t.csv"), Columns(unit="percent")).notes
    assert found.code == "low_percent"


def test_a_count_of_another_name_is_asked_whether_it_is_of_right_or_of_wrong(tmp_path: Path) -> None:
    path = saved(runs().rename(columns={"n_correct": "n_wrong"}), tmp_path / "t.csv")
    with pytest.raises(ValueError, match="does 'n_wrong' grow with right or with wrong answers"):
        table_at(path, Columns(y="n_wrong"))
    read = table_at(path, Columns(y="n_wrong", y_is="error")).runs["error"]
    assert read.mean() == pytest.approx(runs()["n_correct"].mean() / 1000)


def test_what_is_undefined_has_no_value_by_law_or_seed(tmp_path: Path) -> None:
    flat = runs().assign(n_correct=500)
    (found,) = multipliers(saved(flat, tmp_path / "t.csv"), Options(n_draws=199))
    assert found.multiplier.kind == "undefined" and found.by_unit is None
    assert np.isnan(found.multiplier.multiplier)


def test_every_choice_has_a_use_somewhere(tmp_path: Path) -> None:
    """The same options on a table that has what they name are taken."""
    frame = errors(runs()).rename(columns={"seed": "trial"}).assign(se=0.01)
    read = comparison_of(
        saved(frame, tmp_path / "t.csv"), Options(columns=Columns(seed="trial", stderr="se"), n_draws=199)
    )
    assert read.draws.method.startswith("standard errors") or "stderr" in read.draws.table.cells
