"""Reading anybody's table, and the mistakes that are named and never guessed around."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_tables import SIZES, long_frame, outcomes, write_sweep
from simulated_tables import power

from analysis.laws.surface import read_losses
from analysis.map import read_map
from analysis.noise.draws import METHODS, draws
from analysis.noise.seeds import LEAST_COMMON, MOST_SHARED, count_correlation
from analysis.tables.read import table_at
from analysis.tables.table import Block, Columns, Table, table_from_runs
from analysis.worth.comparison import Comparison
from analysis.worth.readings import headline

RECORD = Path(__file__).parents[1] / "analysis/results"

LAWS = {"SFT": power(1.0, 0.15), "RFT": power(2**-0.15, 0.15)}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return long_frame(outcomes(LAWS, SIZES[:4], n_seeds=2, n_problems=120))


def saved(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    return path


def per_run(frame: pd.DataFrame) -> pd.DataFrame:
    grouped = frame.groupby(["arm", "n_problems", "seed"], as_index=False)["is_correct"]
    return grouped.agg(n_correct="sum", n_test="size")


def test_counts_and_errors_that_differ_are_named_and_the_one_to_read_is_asked_for(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    counts = per_run(frame)
    rounded = counts.assign(error=(1 - counts["n_correct"] / counts["n_test"]).round(2))
    assert table_at(saved(rounded, tmp_path / "rounded.csv")).kind == "counts"
    halved = saved(rounded.assign(error=rounded["error"] / 2), tmp_path / "halved.csv")
    with pytest.raises(
        ValueError, match=r"halved.csv: n_correct and error differ in 16 of 16 rows; row 1 below .* has .* --y"
    ):
        table_at(halved)
    assert table_at(halved, Columns(y="n_correct")).kind == "counts"
    assert table_at(halved, Columns(y="error")).kind == "errors"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_outcomes_counts_and_errors_are_the_same_table(frame: pd.DataFrame, suffix: str, tmp_path: Path) -> None:
    counts = per_run(frame)
    errors = counts.assign(error=1 - counts["n_correct"] / counts["n_test"]).drop(columns=["n_correct", "n_test"])
    tables = [
        table_at(saved(one, tmp_path / f"{name}{suffix}"))
        for name, one in (("outcomes", frame), ("counts", counts), ("errors", errors))
    ]
    assert [one.kind for one in tables] == ["outcomes", "counts", "errors"]
    for other in tables[1:]:
        assert other.cells["error"].to_numpy() == pytest.approx(tables[0].cells["error"].to_numpy(), abs=1e-7)
    methods = [draws(one, 100).method for one in tables]
    assert methods == [METHODS["outcomes"], METHODS["counts"], METHODS["errors"]]


def test_columns_that_pandas_had_as_an_index_are_columns(frame: pd.DataFrame, tmp_path: Path) -> None:
    counts = per_run(frame)
    counts.set_index(["arm", "n_problems"]).to_parquet(tmp_path / "t.parquet")
    assert table_at(tmp_path / "t.parquet").runs.equals(table_at(saved(counts, tmp_path / "plain.parquet")).runs)
    few = counts[counts["seed"] == 0].query("arm == 'SFT'").assign(n_problems=[1, 2, 3, 4])
    few.set_index("n_problems").to_parquet(tmp_path / "range.parquet")  # as the remark "1 to 4", no column
    assert table_at(tmp_path / "range.parquet").runs["size"].tolist() == [1, 2, 3, 4]


def test_a_cell_is_an_arm_at_a_size(frame: pd.DataFrame, tmp_path: Path) -> None:
    table = table_at(saved(frame, tmp_path / "t.parquet"))
    assert table.arms == ("RFT", "SFT")
    assert table.cells["n_seeds"].tolist() == [2] * 8
    assert table.cells["n_test"].tolist() == [120] * 8
    first = frame[(frame["arm"] == "RFT") & (frame["n_problems"] == 128)]
    assert table.cells["error"][0] == pytest.approx(1 - first["is_correct"].mean())
    assert table.runs["x"][table.cells_of("SFT") * 2].tolist() == [128, 256, 512, 1024]


def test_other_column_names_and_text_outcomes(frame: pd.DataFrame, tmp_path: Path) -> None:
    renamed = frame.rename(
        columns={"arm": "method", "n_problems": "n", "problem_id": "id", "is_correct": "ok", "seed": "rep"}
    )
    columns = Columns(arm="method", x="n", seed="rep", y="ok", y_is="accuracy", problem="id")
    table = table_at(saved(renamed, tmp_path / "t.csv"), columns)
    assert table.kind == "outcomes"
    assert table.cells["error"].tolist() == pytest.approx(
        table_at(saved(frame, tmp_path / "u.csv")).cells["error"].tolist()
    )


def test_filters_choose_rows(frame: pd.DataFrame, tmp_path: Path) -> None:
    both = pd.concat([frame.assign(split="test"), frame.assign(split="validation", is_correct=False)])
    table = table_at(saved(both, tmp_path / "t.parquet"), Columns(filters={"split": "test"}))
    assert table.cells["error"].max() < 1
    with pytest.raises(ValueError, match="no rows left to read"):
        table_at(tmp_path / "t.parquet", Columns(filters={"split": "train"}))
    with pytest.raises(ValueError, match="no column 'part' to filter on"):
        table_at(tmp_path / "t.parquet", Columns(filters={"part": "test"}))


def test_percent_and_accuracy_are_asked_for(frame: pd.DataFrame, tmp_path: Path) -> None:
    counts = per_run(frame)
    percent = counts.assign(accuracy=100 * counts["n_correct"] / counts["n_test"]).drop(columns=["n_correct", "n_test"])
    path = saved(percent, tmp_path / "t.csv")
    with pytest.raises(ValueError, match=r"an accuracy of 0 to 1 was expected; if these are percent"):
        table_at(path, Columns(y="accuracy"))
    table = table_at(path, Columns(y="accuracy", unit="percent"))
    assert table.cells["error"][0] == pytest.approx(1 - counts["n_correct"][:2].sum() / 240)
    score = saved(percent.rename(columns={"accuracy": "score"}), tmp_path / "s.csv")
    with pytest.raises(ValueError, match="does 'score' grow with right or with wrong answers"):
        table_at(score, Columns(y="score", unit="percent"))


def changed(frame: pd.DataFrame, **columns) -> pd.DataFrame:
    return frame.assign(**columns)


def test_bad_rows_are_named(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    counts = per_run(frame)
    errors = counts.assign(error=1 - counts["n_correct"] / counts["n_test"]).drop(columns=["n_correct", "n_test"])
    bad = errors.copy()
    bad.loc[3, "error"] = np.nan
    cases = [
        (pd.concat([frame, frame.iloc[:3]]), "3 duplicate .arm, size, seed, problem. rows, the first arm=RFT size=128"),
        (pd.concat([errors, errors.iloc[:1]]), "1 row is of a run that another row is of, the first is row 17 .*=RFT"),
        (changed(errors, error=0.0), "all errors are zero"),
        (bad, "error is missing in 1 of 16 rows|error is not a finite number in 1 of 16 rows"),
        (changed(errors, n_problems=-errors["n_problems"]), "the size is negative in 16 rows"),
        (changed(counts, n_correct=500), "n_correct must lie in 0..n_test"),
        (
            changed(counts, n_correct=20.5),
            "row 1 below the names of columns has 20.5 of 120; of problems that are right in part give the share",
        ),
        (changed(counts, n_correct=True), "n_correct holds true and false in 16 rows; numbers were expected"),
        (
            counts.assign(arm=counts["arm"].where(counts["seed"] > 0, counts["arm"] + " ")),
            "the arms 'RFT ' and 'RFT' differ in blanks or in upper and lower case alone",
        ),
        (counts.assign(arm=counts["arm"].where(counts["seed"] > 0, "rft")), "the arms 'rft' and 'RFT' differ in"),
        (counts.drop(columns="n_test"), "n_correct needs a column 'n_test'"),
        (errors.drop(columns="arm"), "no column 'arm'; the columns are n_problems, seed, error"),
        (errors.drop(columns="error"), "no outcome column"),
        (changed(errors, n_problems="many"), "n_problems is not a finite number in 16 of 16 rows, the first is 'many'"),
        (errors.iloc[:0], "no rows to read; a table has a row a run"),
    ]
    for one, message in cases:
        with pytest.raises(ValueError, match=message):
            table_at(saved(one, path))


def test_a_hole_in_the_outcomes_and_arms_on_other_problems_are_named(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    hole = frame.drop(index=frame.index[5])
    with pytest.raises(ValueError, match="the runs of arm 'RFT' were not tested on the same problems"):
        table_at(saved(hole, path))
    other = frame.assign(problem_id=frame["problem_id"].where(frame["arm"] == "SFT", "q" + frame["problem_id"]))
    with pytest.raises(ValueError, match=r"tested on different problems \(RFT on 120, SFT on 120\)"):
        table_at(saved(other, path))
    table = table_at(path, is_unpaired=True)
    assert len(table.blocks) == 2
    assert "unpaired" in [one.code for one in draws(table, 100).notes]
    assert draws(table, 100).method == METHODS["unpaired"]


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such file or folder"):
        table_at(tmp_path / "none")
    with pytest.raises(ValueError, match="no such file"):
        table_at(tmp_path / "none.csv")
    text = tmp_path / "t.parquet"
    text.write_text("not a table")
    with pytest.raises(ValueError, match="not readable as a table"):
        table_at(text)
    for content, told in (
        (b"arm|n_problems\nA|1\n", "expected columns separated by commas, found a header with bars"),
        (b"arm;n_problems\nA;1\n", "expected columns separated by commas, found a header with semicolons"),
        (b"arm\tn_problems\n", "found a header with tabs"),
        ("arm,n_problems\n".encode("utf-16"), "expected UTF-8 text, found UTF-16"),
        ("arm,n_problems\n".encode("utf-16-le"), "expected UTF-8 text, found UTF-16"),
    ):
        (tmp_path / "t.csv").write_bytes(content)
        for read in (table_at, read_map, lambda path: read_losses(path, "n", "d", "loss")):
            with pytest.raises(ValueError, match=told):
                read(tmp_path / "t.csv")
    odd = tmp_path / "t.xlsx"
    odd.write_text("")
    with pytest.raises(ValueError, match=r"\.csv or \.parquet was expected, or a log of these: .*; found '\.xlsx'"):
        table_at(odd)


def test_a_sweeps_folder_is_read_with_its_base_model_and_costs(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "table", LAWS)
    table = table_at(folder)
    assert table.kind == "outcomes" and table.provenance["experiment"] == "reproduce"
    assert table.reference_error == pytest.approx(0.86, abs=0.05)
    assert table.arms == ("RFT", "SFT")
    sampled = table_at(folder, Columns(y="sampled"))
    assert sampled.cells["error"].mean() > table.cells["error"].mean()
    seconds = table.with_x("total_seconds")
    assert seconds.cells["x"].max() == pytest.approx(2048 * 0.01 * 3)
    assert seconds.cells["size"].tolist() == table.cells["size"].tolist()
    same = dataclasses.replace(table, runs=table.runs.assign(total_seconds=2.0)).with_x("total_seconds")
    with pytest.raises(ValueError, match="total_seconds is 2 at every size of SFT, so it has no curve on that axis"):
        same.cells_of("SFT")
    with pytest.raises(ValueError, match="no column 'dollars' to put on the axis; there are size"):
        table.with_x("dollars")
    with pytest.raises(ValueError, match="y='greedily' is not kept by a sweep"):
        table_at(folder, Columns(y="greedily"))


def test_a_folder_that_is_no_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"runs\.parquet"):
        table_at(tmp_path)


def test_outcomes_of_a_run_that_the_table_lacks_are_named(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "table", LAWS)
    runs = pd.read_parquet(folder / "runs.parquet")
    runs.iloc[1:].to_parquet(folder / "runs.parquet")
    with pytest.raises(ValueError, match="outcomes hold run 'evaluate-"):
        table_at(folder)


def test_many_problems_are_drawn_from_their_normal_distribution() -> None:
    table = outcomes({"SFT": power(1.0, 0.15)}, SIZES[:3], n_seeds=2, n_problems=20_500)
    many = draws(table, 2000)
    assert "normal_approximation" in [one.code for one in many.notes]
    (block,) = table.blocks
    fewer = Table(table.kind, table.runs, (Block(block.rows, block.errors[:, :19_000]),))
    exact = draws(fewer, 400)
    assert many.errors.std(axis=0) == pytest.approx(exact.errors.std(axis=0), rel=0.2)
    assert np.corrcoef(many.errors.T)[0, 1] == pytest.approx(np.corrcoef(exact.errors.T)[0, 1], abs=0.15)


def test_one_seed_says_so_and_another_arm_lends_its_seed_variance() -> None:
    one = outcomes(LAWS, n_seeds=1, n_problems=300)
    assert "one_seed" in [note.code for note in draws(one, 100).notes]
    table = outcomes(LAWS, n_problems=300, seed_sd=0.02)
    keep = ~((table.runs["arm"] == "RFT") & (table.runs["seed"] > 0)).to_numpy()
    (block,) = table.blocks
    fewer = Table(
        table.kind, table.runs[keep].reset_index(drop=True), (Block(np.arange(keep.sum()), block.errors[keep]),)
    )
    lent = draws(fewer, 100)
    assert lent.seeds.phi > 0
    assert any("borrowed" in note.text for note in lent.notes)


def test_runs_of_one_seed_that_move_together_are_one_cluster() -> None:
    # seed k of an arm is off by the same amount at every size, as with nested data sets
    rng = np.random.default_rng(0)
    table = outcomes(LAWS, n_problems=2000, n_seeds=4, seed_sd=0.001)
    (block,) = table.blocks
    errors, shift = block.errors.copy(), {}
    for i, run in enumerate(table.runs.itertuples()):
        off = shift.setdefault((run.arm, run.seed), rng.normal(0, 0.03))
        change = rng.permutation(np.flatnonzero(errors[i] == (off < 0)))[: int(abs(off) * 2000)]
        errors[i, change] = float(off > 0)
    together = table_from_runs(table.runs.assign(error=errors.mean(axis=1)), "outcomes", [Block(block.rows, errors)])
    drawn, apart = draws(together, 100), draws(table, 100)
    assert "seed_clusters" in [note.code for note in drawn.notes]
    assert "seed_clusters" not in [note.code for note in apart.notes]
    # of what seeds do alone: problems, which all runs share, tie cells together in either table
    effects = (one.seeds.draw(one.table, 2000, rng)[:, together.cells_of("SFT")] for one in (drawn, apart))
    one_cluster, none = (np.corrcoef(each.T)[np.triu_indices(each.shape[1], 1)] for each in effects)
    assert one_cluster.min() > 0.6
    assert np.abs(none).max() < 0.15


def counts(errors: dict[str, list[float]], n_test: int = 100, sizes: tuple[int, ...] = (1, 2, 4)) -> Table:
    """Every size of an arm has these errors, one a seed."""
    rows = [(arm, n, n, k, e, n_test) for arm, each in errors.items() for n in sizes for k, e in enumerate(each)]
    return table_from_runs(pd.DataFrame(rows, columns=["arm", "size", "x", "seed", "error", "n_test"]), "counts")


def test_runs_that_scatter_less_than_binomially_show_what_they_share() -> None:
    # variance .0008 of two runs at .48 and .52, binomial .25 / 100 = .0025: 32 % of it is their own
    assert count_correlation(counts({"a": [0.48, 0.52], "b": [0.48, 0.52]})) == pytest.approx(0.68)
    assert count_correlation(counts({"a": [0.4, 0.6]})) == 0.0  # variance .02: seeds differ
    assert count_correlation(counts({"a": [0.5]})) == 0.0


@pytest.mark.parametrize(
    ("name", "seeds", "least", "most"),
    [("one_base", 0.417, 0.331, 0.418), ("free_order_one_base", 0.521, 0.434, 0.513)],
)
def test_what_cells_have_in_common_where_outcomes_show_it(name: str, seeds: float, least: float, most: float) -> None:
    """What `common_between_cells` takes its bounds from: runs of unlike arm, size or both, beside seeds of one cell."""
    table = table_at(RECORD / name)
    (block,) = table.blocks
    cell, arm = table.cell_of_run[block.rows], table.runs["arm"].to_numpy(str)[block.rows]
    size = table.runs["size"].to_numpy(float)[block.rows]
    i, j = np.triu_indices(len(cell), 1)
    i, j = (each[(size[i] > 0) & (size[j] > 0)] for each in (i, j))
    r = np.corrcoef(block.errors.astype(float))[i, j]
    is_arm, is_size = arm[i] == arm[j], size[i] == size[j]
    unlike = [r[is_arm & ~is_size].mean(), r[~is_arm & is_size].mean(), r[~is_arm & ~is_size].mean()]
    assert r[cell[i] == cell[j]].mean() == pytest.approx(seeds, abs=1e-3)
    assert (min(unlike), max(unlike)) == pytest.approx((least, most), abs=1e-3)
    assert LEAST_COMMON * seeds < min(unlike) and max(unlike) < MOST_SHARED


def test_seeds_that_are_copies_leave_a_difference_of_arms_its_noise() -> None:
    table = counts({"a": [0.4, 0.4], "b": [0.3, 0.3]}, n_test=1000)
    assert count_correlation(table) == 1.0
    drawn = draws(table, 8000)
    cells = [int(table.cells_of(arm)[1]) for arm in ("a", "b")]
    gap = drawn.errors[1:, cells] @ [1.0, -1.0]
    # what cells have in common is .42 to .7 of the noise, .56 in the mean, and cancels but for unlike p (1 - p)
    own, common = 0.44 * (0.24 + 0.21) / 1000, 0.56 * (np.sqrt(0.24) - np.sqrt(0.21)) ** 2 / 1000
    assert gap.std() == pytest.approx(np.sqrt(own + common), rel=0.03)


def test_what_counts_share_cancels_between_arms_on_one_test_set_alone() -> None:
    table = counts({"a": [0.46, 0.5, 0.54], "b": [0.46, 0.5, 0.54]})
    apart = dataclasses.replace(table, is_unpaired=True)
    one, other = draws(table, 2000), draws(apart, 2000)
    assert np.corrcoef(one.errors.T)[0, 3] > 0.3 and abs(np.corrcoef(other.errors.T)[0, 3]) < 0.08
    assert np.corrcoef(other.errors.T)[0, 1] > 0.5
    gaps = [np.std(each.errors[:, 0] - each.errors[:, 3]) for each in (one, other)]
    assert gaps[1] > 1.5 * gaps[0]
    said = [next(note.text for note in each.notes if note.code == "counts_only") for each in (one, other)]
    assert "say --unpaired" in said[0] and "nothing cancels between them" in said[1]


def test_counts_of_unequal_test_sets_are_refused_unless_asked_for(frame: pd.DataFrame, tmp_path: Path) -> None:
    uneven = per_run(frame)
    uneven.loc[uneven["arm"] == "RFT", "n_test"] = 130
    path = saved(uneven, tmp_path / "t.csv")
    with pytest.raises(ValueError, match=r"tested on 120 to 130 problems \(first of each arm: RFT 130, SFT 120\)"):
        table_at(path)
    assert table_at(path, is_unpaired=True).is_unpaired


def test_too_few_seeds_to_see_a_cluster_are_warned_of() -> None:
    two, three = (outcomes(LAWS, SIZES[:4], n_problems=300, n_seeds=n) for n in (2, 3))
    assert "few_clusters" in [note.code for note in draws(two, 100).notes]
    assert "few_clusters" not in [note.code for note in draws(three, 100).notes]
    four_arms = outcomes({**LAWS, "A": LAWS["SFT"], "B": LAWS["RFT"]}, SIZES[:4], n_problems=300, n_seeds=2)
    (said,) = [note.text for note in draws(four_arms, 100).notes if note.code == "few_clusters"]
    assert said.startswith("2 seeds in ") and " and 2 seeds in " in said  # arms beside a contrast give it no seeds
    one_size = outcomes(LAWS, SIZES[:1], n_problems=300, n_seeds=2)
    assert "few_clusters" not in [note.code for note in draws(one_size, 100).notes]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_outcomes_carry_what_their_runs_cost(frame: pd.DataFrame, suffix: str, tmp_path: Path) -> None:
    spent = frame.assign(total_flops=frame["n_problems"] * 1e9, dollars=frame["n_problems"] * 0.5)
    path = saved(spent, tmp_path / f"t{suffix}")
    assert table_at(path, x="total_flops").cells["x"].tolist() == [1.28e11, 2.56e11, 5.12e11, 1.024e12] * 2
    assert table_at(path, x="dollars").cells["x"].tolist() == [64, 128, 256, 512] * 2
    assert "dollars" not in table_at(path).runs
    uneven = spent.assign(total_flops=np.arange(len(spent)))
    with pytest.raises(ValueError, match="total_flops differs between rows of one run"):
        table_at(saved(uneven, path))


def test_an_axis_on_which_an_arm_spends_nothing_is_named(tmp_path: Path) -> None:
    table = table_at(write_sweep(tmp_path / "table", LAWS), x="total_n_sampled_tokens")
    assert table.arms == ("RFT",)
    assert table.reference_error == pytest.approx(0.86, abs=0.05)  # the base model's, not the free arm's
    with pytest.raises(ValueError, match="total_n_sampled_tokens is 0 in every run of SFT, so it has no curve"):
        table.cells_of("SFT")


def test_outcomes_that_are_no_outcomes_are_named(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    odd = frame.assign(is_correct=frame["is_correct"].astype(float))
    odd.loc[7, "is_correct"] = 3.0
    with pytest.raises(
        ValueError,
        match=r"is_correct must be 0/1, true/false or a share in \[0, 1\], row 8 below the names of columns is 3",
    ):
        table_at(saved(odd, path))
    odd.loc[7, "is_correct"] = np.nan
    with pytest.raises(ValueError, match=r"is_correct .*(missing in 1 of 1920 rows|row 7 is nan)"):
        table_at(saved(odd, path))
    with pytest.raises(ValueError, match=r"t.csv: problem_id is missing in 1 of 1920 rows"):
        table_at(saved(frame.assign(problem_id=frame["problem_id"].where(frame.index != 3)), tmp_path / "t.csv"))
    with pytest.raises(ValueError, match="n_problems is not a finite number in 4 of 4 rows, the first is 'many'"):
        table_at(saved(frame[frame["n_problems"] == 128].assign(n_problems="many"), path))


def test_a_cell_without_a_single_error_is_noted(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "arm": "SFT",
            "n_problems": [1, 2, 4, 8] * 2,
            "seed": [0] * 4 + [1] * 4,
            "n_correct": [50, 70, 90, 100] * 2,
            "n_test": 100,
        }
    )
    drawn = draws(table_at(saved(frame, tmp_path / "t.csv")), 100)
    assert any(note.code == "zero_errors" and "SFT at 8" in note.text for note in drawn.notes)
    assert np.isfinite(drawn.errors).all()


def test_standard_errors_widen_the_draws(tmp_path: Path) -> None:
    sizes = SIZES.astype(int)
    rows = [(arm, n, 0, float(law(n)), 0.01) for arm, law in LAWS.items() for n in sizes]
    frame = pd.DataFrame(rows, columns=["arm", "n_problems", "seed", "error", "se"])
    path = saved(frame, tmp_path / "t.csv")
    drawn = draws(table_at(path, Columns(stderr="se")), 2000)
    assert drawn.method == METHODS["stderr"]
    assert drawn.errors.std(axis=0) == pytest.approx(0.01, rel=0.1)
    with pytest.raises(ValueError, match="se must be positive in every row"):
        table_at(saved(frame.assign(se=0.0), path), Columns(stderr="se"))


def test_cell_means_without_three_sizes_leave_nothing_to_judge_by(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"arm": ["a", "a", "b", "b"], "n_problems": [1, 2, 1, 2], "seed": 0, "error": [0.4, 0.3, 0.3, 0.2]}
    )
    with pytest.raises(ValueError, match="no arm has 3 sizes"):
        draws(table_at(saved(frame, tmp_path / "t.csv")), 100)


def test_a_multiplier_from_a_file_finds_its_truth(tmp_path: Path) -> None:
    frame = long_frame(outcomes(LAWS, n_problems=600))
    m = headline(Comparison(draws(table_at(saved(frame, tmp_path / "t.parquet")), 400)), "RFT", "SFT")
    assert m.ci_low < 2 < m.ci_high


def test_a_folder_with_two_splits_asks_which(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "table", LAWS)
    runs, outcomes_ = (pd.read_parquet(folder / f"{name}.parquet") for name in ("runs", "outcomes"))
    twice = pd.concat([runs, runs.assign(split="validation", run="v" + runs["run"])])
    twice.to_parquet(folder / "runs.parquet")
    pd.concat([outcomes_, outcomes_.assign(run="v" + outcomes_["run"])]).to_parquet(folder / "outcomes.parquet")
    with pytest.raises(ValueError, match="runs on test and validation stand in one table; choose with --where"):
        table_at(folder)
    assert len(table_at(folder, Columns(filters={"split": "test"})).runs) == len(runs)
    with pytest.raises(ValueError, match="no column 'part' to filter on; the columns are run, arm"):
        table_at(folder, Columns(filters={"part": "test"}))
    with pytest.raises(ValueError, match="no rows left to read"):
        table_at(folder, Columns(filters={"split": "train"}))
