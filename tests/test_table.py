"""A table by itself, of three runs written down by hand: what is refused, how several become one, how it is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sweep.merging import merged
from sweep.table import Results, check_out, n_malformed, read_table, some_of, told_of_replaced, write_table

RUN = {
    "split": "test", "n_test": 2, "n_correct": 1, "n_correct_sampled": 3, "n_sampled": 8, "temperature": 0.7,
    "entropy": 0.5, "n_malformed": 1, "n_updates": 4, "seconds": 1.5, "diagnosis": "{}", "code": "c0de", "config": "{}",
}  # fmt: skip
ARMS = [
    {"run": "evaluate-a", "arm": "SFT", "source": "teacher", "method": "sft", "n_problems": 8, "seed": 0},
    {"run": "evaluate-b", "arm": "RFT", "source": "self", "method": "sft", "n_problems": 8, "seed": 0},
    {"run": "evaluate-c", "arm": "base", "source": "none", "method": "none", "n_problems": 0, "seed": 0},
]
SOLVED = [
    {"problem_id": "p0", "is_correct": True, "n_correct_sampled": 3, "n_sampled": 4},
    {"problem_id": "p1", "is_correct": False, "n_correct_sampled": 0, "n_sampled": 4},
]
RECORD = {
    "versions": {"torch": "2"}, "created": "2026-01-02", "first_run": "2026-01-01T00:00:00+00:00", "commits": ["b"],
    "commands": ["one"],
}  # fmt: skip


@pytest.fixture
def table() -> Results:
    rows = [{"run": one["run"], **solved} for one in ARMS for solved in SOLVED]
    return Results(pd.DataFrame([{**one, **RUN} for one in ARMS]), pd.DataFrame(rows), dict(RECORD))


def part(table: Results, *names: str, **record: object) -> Results:
    runs, outcomes = (one[one.run.isin(names)].reset_index(drop=True) for one in (table.runs, table.outcomes))
    return Results(runs, outcomes, {**table.provenance, **record})


def changed(table: Results, of: str, **values: object) -> Results:
    """Other values in the row of one run."""
    runs = table.runs.astype(dict.fromkeys(values, object))
    runs.loc[runs.run == of, list(values)] = list(values.values())
    return replace(table, runs=runs.infer_objects())


def with_other_problems(table: Results, run: str) -> pd.DataFrame:
    rows = table.outcomes
    return rows.assign(problem_id=rows.problem_id.where(rows.run != run, "x" + rows.problem_id))


def test_the_same_command_again_replaces_its_table_without_a_word(table: Results, tmp_path: Path) -> None:
    write_table(table, tmp_path, {})
    other = part(table, "evaluate-a", commands=["two"])
    assert told_of_replaced(part(table, "evaluate-a"), tmp_path, {}) == ""  # as after a change of code
    assert told_of_replaced(replace(table, provenance={}), tmp_path, {"commands": ["two"]}) == ""  # all are there
    lost = f"replaces the table of `one` in {tmp_path}: 2 runs and the base model, 2 not in the new one"
    assert told_of_replaced(other, tmp_path, {}) == lost
    assert told_of_replaced(other, tmp_path / "none", {}) == ""


def test_a_folder_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"it has no runs.parquet, outcomes.parquet, provenance.json"):
        read_table(tmp_path)


def test_a_folder_with_files_of_somebody_else_is_not_written_into(table: Results, tmp_path: Path) -> None:
    (tmp_path / "runs.parquet").write_text("mine")
    with pytest.raises(ValueError, match=rf"--out {tmp_path}: runs.parquet there was not written by `collect`"):
        write_table(table, tmp_path, {})
    (tmp_path / "provenance.json").write_text('{"created": "by me"}')
    with pytest.raises(ValueError, match=r"runs.parquet, provenance.json there was not written by `collect`"):
        write_table(table, tmp_path, {})
    assert (tmp_path / "runs.parquet").read_text() == "mine"


def test_a_table_replaces_an_older_one_and_keeps_what_else_lies_there(table: Results, tmp_path: Path) -> None:
    write_table(table, tmp_path, {"experiment": "first"})
    (tmp_path / "notes.txt").write_text("mine")
    write_table(table, tmp_path, {"experiment": "second"})
    assert read_table(tmp_path).provenance["experiment"] == "second"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "notes.txt", "outcomes.parquet", "provenance.json", "runs.parquet",
    ]  # fmt: skip


def test_somebody_s_file_of_the_name_of_a_measurement_is_not_removed(table: Results, tmp_path: Path) -> None:
    own = pd.DataFrame({"stage": ["first", "second"], "value": [1, 2]})
    own.to_parquet(tmp_path / "values.parquet")
    for _ in range(2):  # in an empty folder, and beside a table
        with pytest.raises(ValueError, match=rf"--out {tmp_path}: values.parquet there was not written by `collect`"):
            write_table(table, tmp_path, {})
        (tmp_path / "values.parquet").rename(tmp_path / "aside")
        write_table(table, tmp_path, {})
        (tmp_path / "aside").rename(tmp_path / "values.parquet")
    (tmp_path / "values.parquet").write_text("no table")
    with pytest.raises(ValueError, match=r"values.parquet there was not written by `collect`"):
        check_out(tmp_path)


def test_measurements_of_a_table_that_is_replaced_go_with_it(table: Results, tmp_path: Path) -> None:
    rows = pd.DataFrame({"stage": ["q_values-0123456789abcdef"], "q_value": [0.5]})
    write_table(replace(table, measured={"values": rows}), tmp_path, {})
    write_table(replace(table, measured={"estimates": rows}), tmp_path, {})
    assert list(read_table(tmp_path).measured) == ["estimates"]


def test_a_table_that_cannot_be_written_to_the_end_leaves_the_older_one_and_nothing_else(
    table: Results, tmp_path: Path
) -> None:
    write_table(table, tmp_path, {"experiment": "first"})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(pa.ArrowTypeError):  # of two kinds in one column
        write_table(replace(table, outcomes=table.outcomes.assign(problem_id=["a", 1] * 3)), tmp_path, {})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


CHANGED = [
    ("runs", lambda runs: runs.drop(columns="n_sampled"), r"runs.parquet: expected the columns .*; no n_sampled"),
    ("outcomes", lambda rows: rows.drop(columns="run"), r"outcomes.parquet: expected the columns .*; no run"),
    ("runs", lambda runs: runs.assign(arm=[None, *runs.arm[1:]]), r"arm must be a text, found nan in 1 of 3 rows"),
    ("runs", lambda runs: runs.assign(seed="a"), r"seed must be a whole number of at least 0, found 'a' in 3 of 3"),
    ("runs", lambda runs: runs.assign(n_problems=-1), "n_problems must be a whole number of at least 0, found -1"),
    ("runs", lambda runs: runs.assign(seed=True), "seed must be a whole number of at least 0, found True in 3 of 3"),
    ("runs", lambda runs: runs.assign(diagnosis="[]"), r"diagnosis must be a JSON object, found '\[\]' in 3 of 3"),
    ("runs", lambda runs: runs.assign(split=5), "split must be a text, found 5 in 3 of 3"),
    ("runs", lambda runs: runs.assign(n_test=40.5), "n_test must be a whole number of at least 0, found 40.5"),
    ("runs", lambda runs: runs.assign(entropy=np.inf), "entropy must be a finite number of at least 0, found inf"),
    ("runs", lambda runs: runs.assign(seconds=-1.0), "seconds must be a finite number of at least 0, found -1.0"),
    ("runs", lambda runs: runs.assign(diagnosis="{"), "diagnosis must be a JSON object, found '{'"),
    ("runs", lambda runs: runs.assign(n_malformed=3), "has n_malformed=3 of n_test=2"),
    ("runs", lambda runs: pd.concat([runs, runs.head(1)]), "run evaluate-a appears twice"),
    ("outcomes", lambda rows: rows.assign(is_correct="yes"), "is_correct must be true or false, found 'yes'"),
]


@pytest.mark.parametrize(("name", "change", "said"), CHANGED)
def test_a_table_that_was_changed_is_refused_by_its_file_and_column(
    name: str, change: Callable[[pd.DataFrame], pd.DataFrame], said: str, table: Results, tmp_path: Path
) -> None:
    write_table(table, tmp_path, {})
    change(pd.read_parquet(tmp_path / f"{name}.parquet")).to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(ValueError, match=said):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ("[]", "provenance.json: expected a JSON object, found list"),
        ("{", "not readable as a table"),
        ("\udcff", "not readable as a table"),
        ('{"first_run": "yesterday"}', "first_run must be a date with its time zone, found 'yesterday'"),
        ('{"first_run": "2026-01-01T00:00:00"}', "first_run must be a date with its time zone"),
        ('{"created": 20260101}', "created must be a date, found 20260101"),
        ('{"commands": "one"}', "commands must be a list, found 'one'"),
    ],
)
def test_a_record_that_was_changed_is_refused(record: str, said: str, table: Results, tmp_path: Path) -> None:
    write_table(table, tmp_path, {})
    (tmp_path / "provenance.json").write_text(record, errors="surrogateescape")
    with pytest.raises(ValueError, match=said):
        read_table(tmp_path)


def test_a_file_that_is_no_parquet_is_told_with_its_folder(table: Results, tmp_path: Path) -> None:
    write_table(table, tmp_path, {})
    (tmp_path / "runs.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=f"{tmp_path}: not readable as a table"):
        read_table(tmp_path)


def test_tables_without_a_date_are_not_merged(table: Results) -> None:
    with pytest.raises(ValueError, match=r"has no date \(created\)"):
        merged([replace(table, provenance={}), table])


def test_a_place_that_is_no_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        ValueError,
        match=rf"--out={tmp_path}/file/table must be a folder this user can write to, found: Not a directory",
    ):
        check_out(tmp_path / "file" / "table")


def test_what_an_older_table_does_not_know_is_no_change(table: Results, tmp_path: Path) -> None:
    runs = table.runs.assign(entropy=[0.5, np.nan, 0.5], n_malformed=pd.array([1, None, 2], dtype="Int64"))
    older = replace(table, runs=runs.drop(columns=["seconds", "diagnosis"]))
    write_table(older, tmp_path, {})
    assert read_table(tmp_path).runs["entropy"].isna().sum() == 1
    with pytest.raises(ValueError, match="evaluate-c has n_malformed=3 of n_test=2"):
        write_table(replace(table, runs=runs.assign(n_malformed=[1, 2, 3])), tmp_path, {})
        read_table(tmp_path)


def test_malformed_solutions_are_those_that_were_counted_or_else_those_with_a_step_that_cannot_be_read(
    table: Results,
) -> None:
    told = table.runs.assign(diagnosis=['{"bad format": 2}', '{"other": 1}', "{}"])
    assert n_malformed(told).tolist() == [1, 1, 1]
    one_silent = told.assign(n_malformed=pd.array([1, None, 1], dtype="Int64"))
    assert n_malformed(one_silent).tolist() == n_malformed(told.drop(columns="n_malformed")).tolist() == [2, 0, 0]
    silent = table.runs.drop(columns="n_malformed")
    assert n_malformed(silent) is None and n_malformed(silent.drop(columns="diagnosis")) is None


def test_runs_that_count_otherwise_than_their_outcomes_do_are_refused_by_name_and_both_counts(table: Results) -> None:
    for name, value, other in (("n_correct", 2, 1), ("n_test", 3, 2), ("n_correct_sampled", 4, 3), ("n_sampled", 9, 8)):
        said = (
            rf"evaluate-b: its record says {name}={value}, and .* \(outcomes\) has {other}; one of the two was changed"
        )
        with pytest.raises(ValueError, match=said):
            merged([changed(table, "evaluate-b", **{name: value})])
    bare = replace(table, outcomes=table.outcomes[table.outcomes.run != "evaluate-a"])
    with pytest.raises(ValueError, match=r"evaluate-a: .*n_correct=1, and .* \(outcomes\) are missing"):
        merged([bare])


# several tables


def test_parts_are_one_table_with_each_run_once_all_commands_and_the_outer_dates(table: Results) -> None:
    first = part(table, "evaluate-a", "evaluate-b", created="2026-01-05", commits=["b"], commands=["one", "all"])
    second = part(
        table, "evaluate-b", "evaluate-c", first_run="2025-12-01T00:00:00+00:00", commits=["a"], commands=["two", "all"]
    )
    whole = merged([first, second])
    assert whole.runs.run.tolist() == ["evaluate-a", "evaluate-b", "evaluate-c"]
    assert len(whole.outcomes) == 6 and not whole.outcomes.duplicated(["run", "problem_id"]).any()
    assert whole.runs.index.tolist() == [0, 1, 2] and whole.outcomes.index.tolist() == list(range(6))
    record = whole.provenance
    assert record["commands"] == ["one", "all", "two"] and record["commits"] == ["a", "b"]
    assert (record["created"], record["first_run"]) == ("2026-01-05", "2025-12-01T00:00:00+00:00")
    assert "test_looks" not in record and record["versions"] == {"torch": "2"}
    dateless = replace(second, provenance={"created": "2026-01-03"})  # of before the first run was dated
    assert merged([dateless, first]).provenance.get("first_run") is None


def test_what_was_measured_by_a_stage_of_both_parts_is_kept_once(table: Results) -> None:
    def measured(*stages: str) -> dict[str, pd.DataFrame]:
        return {"values": pd.DataFrame({"stage": stages, "q_value": [0.5] * len(stages)})}

    first = replace(part(table, "evaluate-a"), measured=measured("s1", "s1"))
    second = replace(part(table, "evaluate-b"), measured=measured("s2", "s1", "s1"))
    whole = merged([first, second, part(table, "evaluate-c")]).measured
    assert list(whole) == ["values"] and whole["values"].index.tolist() == [0, 1, 2]
    assert whole["values"]["stage"].tolist() == ["s1", "s1", "s2"]


def test_a_stage_whose_rows_differ_between_two_parts_is_refused(table: Results) -> None:
    def measured(value: float) -> dict[str, pd.DataFrame]:
        return {"values": pd.DataFrame({"stage": ["s1"], "q_value": [value]})}

    parts = [replace(part(table, name), measured=measured(v)) for name, v in (("evaluate-a", 0.5), ("evaluate-b", 1))]
    with pytest.raises(ValueError, match=r"stage s1 has two sets of rows in values.parquet in these tables"):
        merged(parts)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arm": "SFT, k=4"}, "run evaluate-a has arm=SFT and SFT, k=4 in these tables, and a run is one run"),
        ({"replicate": 7}, "run evaluate-a has replicate=1 and 7 in these tables"),
        ({"seed": 3}, "run evaluate-a has seed=0 and 3 in these tables"),
    ],
)
def test_a_run_that_two_parts_name_differently_is_refused(change: dict[str, object], said: str, table: Results) -> None:
    whole = replace(table, runs=table.runs.assign(replicate=1))
    with pytest.raises(ValueError, match=said):
        merged([whole, changed(whole, "evaluate-a", **change)])
    assert len(merged([whole, whole]).runs) == 3


def test_a_run_with_other_outcomes_in_another_part_is_refused(table: Results) -> None:
    is_a = table.outcomes.run == "evaluate-a"
    swapped = table.outcomes.assign(is_correct=table.outcomes.is_correct ^ is_a)  # as many right, and others
    with pytest.raises(ValueError, match="run evaluate-a has two outcomes of problem p0 in these tables"):
        merged([table, replace(table, outcomes=swapped)])
    cut = replace(table, outcomes=table.outcomes[1:])  # what the other part has would stand in for it
    with pytest.raises(ValueError, match="evaluate-a: its record says n_correct=1"):
        merged([table, cut])


def test_what_the_record_of_any_part_says_is_said_of_the_whole(table: Results) -> None:
    first = part(table, "evaluate-a", versions={"torch": "2", "numpy": "1"}, git_commit="b", experiment="one")
    second = part(
        table, "evaluate-b", "evaluate-c", versions={"torch": "3", "numpy": "1"}, git_commit="c", experiment="one",
        is_dirty=True, unhashed_records=["evaluate-b"], tuning=[{"what": "rate"}],
    )  # fmt: skip
    for parts in ([first, second], [second, first], [first, merged([second, first])]):
        record = merged(parts).provenance
        assert record["versions"] == {"torch": "2 and 3", "numpy": "1"}
        assert set(record["git_commit"].split(" and ")) == {"b", "c"} and record["experiment"] == "one"
        assert record["is_dirty"] is True and record["unhashed_records"] == ["evaluate-b"]
        assert record["tuning"] == [{"what": "rate"}]


def test_a_run_that_one_part_left_out_and_another_has_is_not_left_out_of_the_whole(table: Results) -> None:
    first = part(table, "evaluate-a", not_built={"evaluate-b": "arm=sft", "evaluate-d": "arm=rft"})
    second = part(table, "evaluate-b", "evaluate-c")
    for parts in ([first, second], [second, first]):
        assert merged(parts).provenance["not_built"] == {"evaluate-d": "arm=rft"}
    assert "not_built" not in merged([part(table, "evaluate-a"), second]).provenance


def test_looks_of_a_table_that_counted_none_are_not_known_beside_those_that_did(table: Results) -> None:
    record = {"id": "x", "since": "2026", "n_unreadable": 0, "n_evaluations": {"p": 7}}
    looked = {"records": [record], "n_evaluations": 7, "n_policies": 1, "n_left_out": 0, "n_unrecorded": 0}
    first, second = part(table, "evaluate-a", test_looks=looked), part(table, "evaluate-b", "evaluate-c")
    assert merged([first, second]).provenance["test_looks"] == {**looked, "n_unrecorded": 2}


def test_parts_with_the_same_cell_or_of_other_code_splits_or_problems_are_refused(table: Results) -> None:
    said = r"runs evaluate-a, again are all {'arm': 'SFT', 'n_problems': 8, .*differ in sft.lr; .*one run a cell"
    again = changed(table, "evaluate-a", run="again", config='{"sft": {"lr": 1}}')
    rows = table.outcomes.replace({"run": {"evaluate-a": "again"}})
    with pytest.raises(ValueError, match=said):
        merged([table, replace(again, outcomes=rows)])
    with pytest.raises(
        ValueError, match=r"c0de: 1 run and the base model, e.g. evaluate-a; f00d: 1 run, e.g. evaluate-b\)"
    ):
        merged([changed(table, "evaluate-b", code="f00d")])
    assert len(merged([changed(table, "evaluate-b", code="f00d")], is_mixed_code_allowed=True).runs) == 3
    with pytest.raises(ValueError, match=r"the runs mix evaluation splits \['test', 'validation'\]"):
        merged([changed(table, "evaluate-b", split="validation")])
    with pytest.raises(ValueError, match=r"evaluate-b was tested on .* than evaluate-a, e.g. p0, p1, xp0, xp1;"):
        merged([replace(table, outcomes=with_other_problems(table, "evaluate-b"))])


def test_problems_are_the_same_within_a_replicate_alone(table: Results) -> None:
    other = with_other_problems(table, "evaluate-b")
    apart = replace(table, runs=table.runs.assign(replicate=[1, 2, 1]), outcomes=other)
    assert len(merged([apart]).runs) == 3
    with pytest.raises(ValueError, match="evaluate-b was tested on other problems than evaluate-a"):
        merged([replace(apart, runs=table.runs.assign(replicate=[1, 1, 1]))])
    silent = replace(apart, runs=table.runs.assign(replicate=[1, np.nan, 1]))
    with pytest.raises(ValueError, match="runs evaluate-b do not say their replicate and others do"):
        merged([silent])
    twice = changed(replace(table, runs=table.runs.assign(replicate=[1, 2, 1])), "evaluate-b", arm="SFT")
    assert len(merged([twice]).runs) == 3  # one cell in two replicates


def test_of_many_names_five_are_shown() -> None:
    assert some_of("abcde") == "a, b, c, d, e"
    assert some_of("abcdefg") == "a, b, c, d, e and 2 more"
