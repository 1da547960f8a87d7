"""Rows, columns and names as people spell them: filters by the column's type, text that stays text, places to write."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.__main__ import main
from analysis.figures.style import in_legend, new_figure, paper
from analysis.report.write import write_report
from analysis.sheet import Sheet
from analysis.tables.read import table_at
from analysis.tables.table import Columns
from analysis.tables.where import filters_of


def counts(**more: object) -> pd.DataFrame:
    rows = [
        (arm, n, seed, int(500 * (1 - 0.5 * (n * worth / 64) ** -0.3)) + seed, 500)
        for arm, worth in (("SFT", 1), ("DPO", 2)) for n in (64, 128, 256) for seed in range(3)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["arm", "n_problems", "seed", "n_correct", "n_test"]).assign(**more)


def written(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    "asked",
    ["val=True", "val=true", "val=1", "lr=1e-4", "lr=0.0001", "lr=1.0e-4", "k=8", "k=8.0", "name=a"],
)
def test_a_filter_compares_values_and_not_their_spelling(asked: str, tmp_path: Path) -> None:
    frame = pd.concat([counts(val=True, lr=1e-4, k=8, name="a"), counts(val=False, lr=3e-4, k=16, name="b")])
    for path in (written(frame, tmp_path / "t.csv"), tmp_path / "t.parquet"):
        if path.suffix == ".parquet":
            frame.to_parquet(path)
        table = table_at(path, Columns(filters=filters_of([asked])))
        assert len(table.runs) == 18


@pytest.mark.parametrize(
    "asked, said",
    [
        (["lr=x"], "--where lr=x: the column holds double, 'x' is none"),
        (["val=maybe"], "the column holds bool, 'maybe' is none"),
        (["lr=1", "lr=2"], r"--where lr is given twice \(1, 2\)"),
        (["lr"], "--where lr: COLUMN=VALUE was expected"),
        (["lr=0.5"], "no row has lr=0.5; its values are 0.0001"),
        (["what=1"], "no column 'what' to filter on; the columns are arm, "),
    ],
)
def test_a_filter_that_cannot_be_meant_is_refused(asked: list[str], said: str, tmp_path: Path) -> None:
    path = written(counts(lr=1e-4, val=True), tmp_path / "t.csv")
    with pytest.raises(ValueError, match=said):
        table_at(path, Columns(filters=filters_of(asked)))


def test_a_filter_leaves_the_table_that_the_rows_alone_make(tmp_path: Path) -> None:
    """Problems of the rows that are filtered out are no problems of the table."""
    rng = np.random.default_rng(0)
    rows = [
        (arm, n, 0, f"{data}{j}", rng.random() < 0.5, data)
        for data in "ab" for arm in ("SFT", "DPO") for n in (64, 128, 256) for j in range(50)
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["arm", "n_problems", "seed", "problem_id", "is_correct", "dataset"])
    both = table_at(written(frame, tmp_path / "two.csv"), Columns(filters={"dataset": "a"}))
    one = table_at(written(frame[frame.dataset == "a"], tmp_path / "one.csv"))
    assert len(both.blocks) == 1
    assert np.array_equal(both.blocks[0].errors, one.blocks[0].errors)
    assert both.runs.equals(one.runs)


def test_a_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("arm,n_problems,seed,n_correct,n_test,arm\nSFT,64,0,1,2,SFT\n")
    with pytest.raises(ValueError, match="column arm appears twice in the header"):
        table_at(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "text",
    [
        "arm,n_problems,seed,n_correct,n_test,arm\nSFT,64,0,1,2,SFT\n",
        "arm,n_problems,seed,n_correct,n_test,n_test\nSFT,64,0,1,2,3\n",
        "arm,n_problems,seed,n_correct,n_test, n_test\nSFT,64,0,1,2,3\n",
    ],
)
@pytest.mark.parametrize("verb", ["multiplier", "fit", "report", "design"])
def test_every_command_says_of_a_column_that_stands_twice_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str, text: str
) -> None:
    (tmp_path / "t.csv").write_text(text)
    place = ("--out", str(tmp_path / "report")) if verb == "report" else ()
    assert main([verb, str(tmp_path / "t.csv"), *place]) == 2
    told = capsys.readouterr().err
    assert "appears twice in the header" in told and "Traceback" not in told and told.count("\n") == 1


def test_counts_and_outcomes_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    runs = counts().head(3).assign(
        run=["a", "b", "c"], split="test", source="teacher", method="sft", n_correct=[9, 7, 7], n_test=10,
        n_correct_sampled=5, n_sampled=10,
    )  # fmt: skip
    outcomes = pd.DataFrame(
        [(run, f"p{j}", j < 7, int(j < 5), 1) for run in "abc" for j in range(10)],
        columns=["run", "problem_id", "is_correct", "n_correct_sampled", "n_sampled"],
    )
    runs.to_parquet(tmp_path / "runs.parquet")
    outcomes.to_parquet(tmp_path / "outcomes.parquet")
    (tmp_path / "provenance.json").write_text("{}")
    with pytest.raises(ValueError, match=r"a: its record says n_correct=9, and what it did .* has 7; "):
        table_at(tmp_path)
    with pytest.raises(ValueError, match=rf"{tmp_path}: a: its record says n_correct=9"):
        table_at(tmp_path, Columns(y="sampled"))


NAMES = (r"$\frac{1}$", "a{b", "=1+1", "_DPO", "<b>x</b>", "50 % & more")


def test_names_of_arms_are_text_in_every_output(tmp_path: Path) -> None:
    frame = counts()
    more = [frame[frame.arm == "DPO"].assign(arm=name) for name in NAMES]
    path = written(pd.concat([frame, *more]), tmp_path / "t.csv")
    write_report(path, tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<b>x</b>" not in page and "&lt;b&gt;x&lt;/b&gt;" in page


def test_a_name_that_begins_with_an_underscore_is_in_the_legend() -> None:
    with paper():
        _, grid = new_figure(3.0, 2.0)
        grid[0, 0].plot([], [], label=in_legend("_DPO"))
        grid[0, 0].plot([], [], label=in_legend("SFT"))
        assert [one.get_text().strip() for one in grid[0, 0].legend().get_texts()] == ["_DPO", "SFT"]


def test_a_sheet_keeps_names_from_being_formulas_or_commands() -> None:
    sheet = Sheet("s", "caption", ("arm", "ln m"), (("=1+1", "-0.5"), ("a{b", "+2e-3"), ("@x", "1")))
    assert sheet.csv() == "arm,ln m\n'=1+1,-0.5\na{b,+2e-3\n'@x,1\n"
    assert r"a\{b & +2e-3" in sheet.latex()


@pytest.mark.parametrize("command", ["report", "figures", "map"])
def test_a_place_that_cannot_be_written_is_said_before_any_work(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    missing = tmp_path / "no table is read"
    for out in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        words = [] if command == "figures" else [str(missing)]
        assert main([command, *words, "--out", str(out)]) == 2
        assert f"error: --out={out} must be a folder this user can write to, found: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "name, said", [("D\nPO", "which does not show"), ("  ", "is blank"), ("a\u202eb", "does not show")]
)
def test_a_name_that_would_not_show_is_refused(name: str, said: str, tmp_path: Path) -> None:
    frame = counts().replace({"arm": {"DPO": name}})
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=said):
        table_at(tmp_path / "t.parquet")
