"""Facts in the names of files and columns, and rows and cells that are blank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.tables.names import facts_of, fields_of, files_matching, numbers_where_all_are
from analysis.tables.read import table_at
from analysis.tables.table import Columns


@pytest.mark.parametrize(
    "pattern, name, facts",
    [
        ("{arm}-n{n}-s{seed}", "per-step-dpo-n64-s1", {"arm": "per-step-dpo", "n": "64", "seed": "1"}),
        ("runs/{arm}/*/x.json", "runs/SFT/a b/x.json", {"arm": "SFT"}),
        ("**/{arm}/s?.csv", "a/b/SFT/s1.csv", {"arm": "SFT"}),
        ("**/{arm}/s?.csv", "SFT/s1.csv", {"arm": "SFT"}),
        ("{a}/{a}.csv", "x/x.csv", {"a": "x"}),
        ("{a}/{a}.csv", "x/y.csv", None),
        ("{arm}.csv", "a/b.csv", None),
        ("acc ({seed})", "acc (3)", {"seed": "3"}),
    ],
)
def test_braces_name_what_stands_there(pattern: str, name: str, facts: dict[str, str] | None) -> None:
    assert facts_of(pattern, name) == facts


def test_a_name_that_can_be_read_in_two_ways_is_refused() -> None:
    with pytest.raises(ValueError, match=r"can be read as arm='a', n='1-2' or as arm='a-1', n='2'; put more"):
        facts_of("{arm}-{n}", "a-1-2")


def test_numbers_are_numbers_where_every_one_is() -> None:
    assert numbers_where_all_are(["1", "20"]) == [1, 20]
    assert numbers_where_all_are(["1", "2e3"]) == [1.0, 2000.0]
    assert numbers_where_all_are(["007", "8"]) == ["007", "8"]
    assert fields_of("{a}-{b}/{a}") == ("a", "b")


def test_a_pattern_that_no_file_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "[x]").mkdir()
    (tmp_path / "[x]/SFT.csv").touch()
    assert files_matching(f"{tmp_path}/[x]/{{arm}}.csv") == [(tmp_path / "[x]/SFT.csv", {"arm": "SFT"})]
    with pytest.raises(ValueError, match=r"no file has such a name .looked for .*/\*\.json"):
        files_matching(f"{tmp_path}/{{arm}}.json")


ROWS = [(n, seed, 0.5 - 0.001 * n - 0.01 * seed) for n in (64, 128, 256) for seed in (0, 1)]
FRAME = pd.DataFrame(ROWS, columns=["n_problems", "seed", "error"])


def test_plain_tables_of_many_files_are_one_table(tmp_path: Path) -> None:
    for arm in ("SFT", "DPO"):
        FRAME.to_csv(tmp_path / f"{arm}.csv", index=False)
    table = table_at(f"{tmp_path}/{{arm}}.csv")
    assert table.arms == ("DPO", "SFT") and len(table.runs) == 12
    FRAME.assign(arm="RFT").to_csv(tmp_path / "DPO.csv", index=False)
    with pytest.raises(ValueError, match=r"DPO\.csv: its name says arm=DPO and its own column RFT; call one of them"):
        table_at(f"{tmp_path}/{{arm}}.csv")
    FRAME.assign(seed="one").to_csv(tmp_path / "DPO.csv", index=False)
    with pytest.raises(ValueError, match="one column holds numbers in one file and text in another"):
        table_at(f"{tmp_path}/{{arm}}.csv")


def test_a_wide_table_has_a_column_an_arm_or_a_seed(tmp_path: Path) -> None:
    wide = FRAME.pivot(index="n_problems", columns="seed", values="error").add_prefix("err_").reset_index()
    wide.assign(arm="SFT").to_csv(tmp_path / "seeds.csv", index=False)
    table = table_at(tmp_path / "seeds.csv", Columns(y="err_{seed}", y_is="error"))
    assert table.runs[["size", "seed", "error"]].to_numpy() == pytest.approx(np.array(ROWS))
    wide.rename(columns={"err_0": "SFT", "err_1": "DPO"}).to_csv(tmp_path / "arms.csv", index=False)
    arms = table_at(tmp_path / "arms.csv", Columns(y="{arm}", y_is="error"))
    assert arms.runs[["arm", "size", "error"]].iloc[0].tolist() == ["DPO", 64, pytest.approx(0.426)]
    with pytest.raises(ValueError, match=r"arms\.csv: no column is named as --y acc_\{seed\}; the columns are n_p"):
        table_at(tmp_path / "arms.csv", Columns(y="acc_{seed}"))
    with pytest.raises(ValueError, match=r"\{n_problems\} of --y .* is a column of the file too"):
        table_at(tmp_path / "arms.csv", Columns(y="{n_problems}", x="n"))


def test_the_name_around_the_braces_tells_right_from_wrong(tmp_path: Path) -> None:
    wide = FRAME.pivot(index="n_problems", columns="seed", values="error").reset_index().assign(arm="SFT")
    path = tmp_path / "t.csv"
    for name, values in (("accuracy_", 1 - wide[[0, 1]]), ("error_", wide[[0, 1]]), ("err_", wide[[0, 1]])):
        values.add_prefix(name).join(wide[["n_problems", "arm"]]).to_csv(path, index=False)
        if name == "err_":
            with pytest.raises(ValueError, match=r"does 'err_\{seed\}' grow with right or with wrong answers"):
                table_at(path, Columns(y="err_{seed}"))
            continue
        read = table_at(path, Columns(y=f"{name}{{seed}}")).runs
        assert read[["size", "seed", "error"]].to_numpy() == pytest.approx(np.array(ROWS))
    counts = (1000 * (1 - wide[[0, 1]])).round().astype(int).add_suffix("_n_correct")
    counts.join(wide[["n_problems", "arm"]]).assign(n_test=1000).to_csv(path, index=False)
    table = table_at(path, Columns(y="{seed}_n_correct"))
    assert table.kind == "counts" and table.runs["error"].to_numpy() == pytest.approx(np.array(ROWS)[:, 2], abs=1e-9)


def test_wide_tables_in_many_files_are_one_long_table(tmp_path: Path) -> None:
    wide = FRAME.pivot(index="seed", columns="n_problems", values="error").add_prefix("err_").reset_index()
    for arm in ("SFT", "DPO"):
        wide.to_csv(tmp_path / f"{arm}.csv", index=False)
    table = table_at(f"{tmp_path}/{{arm}}.csv", Columns(y="err_{n_problems}", y_is="error"))
    assert table.runs["arm"].tolist() == ["DPO"] * len(ROWS) + ["SFT"] * len(ROWS)
    assert table.runs[["size", "seed", "error"]][: len(ROWS)].to_numpy() == pytest.approx(np.array(ROWS))


def test_a_wide_table_of_outcomes_has_a_row_a_problem(tmp_path: Path) -> None:
    rows = [(64, f"p{j}", int(j < 3), int(j < 6)) for j in range(10)]
    pd.DataFrame(rows, columns=["n_problems", "problem_id", "SFT", "DPO"]).to_csv(tmp_path / "t.csv", index=False)
    table = table_at(tmp_path / "t.csv", Columns(y="{arm}", y_is="accuracy"))
    assert table.kind == "outcomes" and table.runs["error"].tolist() == pytest.approx([0.4, 0.7])


def test_blank_cells_of_a_wide_table_are_refused_by_line_and_column_or_left_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('n_problems,why,e SFT,e DPO\n64,"two\nlines",.5,.4\n128,,.4,\n256,,.3,.2\n')
    with pytest.raises(ValueError, match=r"t\.csv, line 4, column e DPO: the cell is blank, as are 1 in all"):
        table_at(tmp_path / "t.csv", Columns(y="e {arm}", y_is="error", filters={"n_problems": "128"}))
    with pytest.raises(ValueError, match=r"column why is named as --y {arm} and holds text; numbers were expected"):
        table_at(tmp_path / "t.csv", Columns(y="{arm}", y_is="error"))
    columns = Columns(y="e {arm}", y_is="error", drop_blank=True)
    table = table_at(tmp_path / "t.csv", columns)
    assert len(table.runs) == 5 and "line 4, column e DPO" in table.notes[0].text


LINES = ["arm,n_problems,seed,error", "SFT,64,0,.5", "SFT,128,0,.4", "SFT,256,0,.3"]


@pytest.mark.parametrize(
    "line, said",
    [
        ("", "line 3: a row was expected, found a blank one"),
        (",,,", "line 3: a row was expected, found a blank one"),
        (' ,"", ,', "line 3: error is missing|line 3: a row was expected"),
        ("SFT,96,0,", "line 3: error is missing in 1 of 4 rows; fill it in, or leave these rows out with --drop-blank"),
        ("SFT,96,0,NaN", "line 3: error is missing in 1 of 4 rows"),
    ],
)
def test_a_blank_row_is_refused_by_its_line_or_left_out(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join([*LINES[:2], line, *LINES[2:]]) + "\n")
    with pytest.raises(ValueError, match=rf"t\.csv, ({said})"):
        table_at(path)
    assert table_at(path, Columns(drop_blank=True)).runs["size"].tolist() == [64, 128, 256]


def test_a_line_break_inside_quotes_is_no_blank_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join([f"{LINES[0]},why", *(f'{one},"a\n\nb"' for one in LINES[1:])]))
    assert len(table_at(tmp_path / "t.csv").runs) == 3


def test_a_blank_row_of_parquet_is_refused(tmp_path: Path) -> None:
    FRAME.assign(arm="SFT", error=FRAME["error"].where(FRAME.index != 2)).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"t\.parquet: error is missing in 1 of 6 rows; .* --drop-blank"):
        table_at(tmp_path / "t.parquet")
    assert len(table_at(tmp_path / "t.parquet", Columns(drop_blank=True)).runs) == 5


def test_several_attempts_at_a_problem_are_averaged_where_a_column_tells_them_apart(tmp_path: Path) -> None:
    rows = [("SFT", 64, 0, f"p{j}", k, (j + k) % 2 == 0) for j in range(4) for k in range(3)]
    names = ["arm", "n_problems", "seed", "problem_id", "sample", "is_correct"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "t.csv", index=False)
    table = table_at(tmp_path / "t.csv")
    assert table.blocks[0].errors[0].tolist() == pytest.approx([1 / 3, 2 / 3, 1 / 3, 2 / 3])
    pd.DataFrame(rows, columns=names).drop(columns="sample").to_csv(tmp_path / "u.csv", index=False)
    with pytest.raises(ValueError, match=r"4 duplicate .arm, size, seed, problem. rows"):
        table_at(tmp_path / "u.csv")
