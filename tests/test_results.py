"""The table: counts, what each run cost with everything upstream once, and what is refused."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny_sweep import Sweep, build_all, planned

from sweep.__main__ import main
from sweep.arms import usual_name
from sweep.artifacts import Manifest, Stage
from sweep.config import Exp
from sweep.results import collect, comparison, point_of, split_of
from sweep.stages import probes
from sweep.table import Results, part_told, read_table, runs_told, write_table


def runs_of(sweep: Sweep) -> list[tuple[Exp | None, Stage]]:
    runs: list[tuple[Exp | None, Stage]] = [(run.leaf.exp, run.evaluate) for run in sweep.plan.runs]
    return [*runs, *((None, stage) for stage in sweep.plan.base_evaluations)]


def rewritten(sweep: Sweep, key: str, **changes: Any) -> None:
    """Give an artifact another manifest, as it would have been published with other fields."""
    path = sweep.store.folder(key) / "manifest.json"
    path.write_text(replace(Manifest.of_json(path.read_text()), **changes).sealed().to_json())


@pytest.fixture  # made anew for each test, so that a change of what collects is seen by every test of it
def table(sweep: Sweep) -> Results:
    return collect(runs_of(sweep), sweep.store)


def row(table: Results, name: str, n_problems: int) -> pd.Series:
    return table.runs[(table.runs.arm == name) & (table.runs.n_problems == n_problems)].iloc[0]


def test_a_row_a_run_and_a_row_a_run_and_problem(table: Results) -> None:
    assert len(table.runs) == 13  # 6 arms at 2 sizes, and the base
    assert len(table.outcomes) == 13 * 40
    assert not table.outcomes.duplicated(["run", "problem_id"]).any()


def test_arms_go_by_their_usual_names(table: Results) -> None:
    assert sorted(set(table.runs.arm)) == [
        "DPO", "RFT", "SFT", "SFT, more updates", "base", "chosen steps only", "per-step DPO",
    ]  # fmt: skip
    assert usual_name("teacher", "dpo") == "dpo on teacher"


def test_the_table_holds_counts_and_no_rates(table: Results) -> None:
    for name in ("n_test", "n_correct", "n_correct_sampled", "n_sampled", "n_problems", "seed", "total_n_updates"):
        assert pd.api.types.is_integer_dtype(table.runs[name]), name
    assert not [name for name in table.runs if "error" in name or "rate" in name or "accuracy" in name]


def test_counts_of_a_run_are_the_sums_of_its_outcomes(table: Results) -> None:
    sums = table.outcomes.groupby("run")[["is_correct", "n_correct_sampled", "n_sampled"]].sum()
    runs = table.runs.set_index("run")
    assert (sums.is_correct == runs.n_correct[sums.index]).all()
    assert (sums.n_correct_sampled == runs.n_correct_sampled[sums.index]).all()
    assert (runs.n_sampled == 40).all() and (runs.n_test == 40).all()


def test_the_table_says_how_many_greedy_solutions_were_malformed(sweep_copy: Sweep) -> None:
    stage = sweep_copy.plan.runs[0].evaluate
    facts = sweep_copy.store.manifest(stage.key).facts
    assert 0 <= facts["n_malformed"] <= 40
    rewritten(sweep_copy, stage.key, facts={**facts, "n_malformed": 7})
    other = sweep_copy.plan.runs[1].evaluate.key  # as evaluations were that did not count them
    before = sweep_copy.store.manifest(other).facts
    rewritten(sweep_copy, other, facts={name: value for name, value in before.items() if name != "n_malformed"})
    runs = collect(runs_of(sweep_copy), sweep_copy.store).runs.set_index("run")
    assert (runs.n_malformed[stage.key], runs.entropy[stage.key]) == (7, facts["entropy"])
    assert runs.n_malformed[other] is pd.NA


def test_upstream_updates_are_counted_once_and_the_base_models_not(table: Results) -> None:
    # passes=2, batch_size=8: ceil(2 * 8 / 8) = 2 updates a stage at 8 problems, 4 at 16
    own = {name: int(row(table, name, 16).n_updates) for name in ("SFT", "RFT", "DPO", "per-step DPO")}
    total = {name: int(row(table, name, 16).total_n_updates) for name in ("SFT", "RFT", "DPO", "per-step DPO")}
    assert own == {"SFT": 4, "RFT": 4, "DPO": 4, "per-step DPO": 4}
    assert total == {"SFT": 4, "RFT": 8, "DPO": 8, "per-step DPO": 8}


def test_sampled_tokens_upstream_are_those_of_samples_and_rollouts(sweep: Sweep, table: Results) -> None:
    cost = {
        stage.kind: sweep.store.manifest(key).cost.n_sampled_tokens
        for key, stage in sweep.plan.stages.items() if stage.identity.get("n_problems") == 16
    }  # fmt: skip
    assert cost["samples"] > 0 and cost["advantages"] > 0
    assert row(table, "SFT", 16).total_n_sampled_tokens == 0
    assert row(table, "RFT", 16).total_n_sampled_tokens == cost["samples"]
    assert row(table, "per-step DPO", 16).total_n_sampled_tokens == cost["samples"] + cost["advantages"]


def test_the_base_is_an_arm_without_problems_or_cost(table: Results) -> None:
    base = row(table, "base", 0)
    assert (base.seed, base.source, base.method) == (0, "none", "none")
    assert (base.n_updates, base.total_n_updates, base.total_n_sampled_tokens, base.total_seconds) == (0, 0, 0, 0)
    assert base.n_rows == 0


def test_arms_get_equal_updates_at_equal_problems(table: Results) -> None:
    for n in (8, 16):
        mine = table.runs[table.runs.n_problems == n]
        assert mine.n_updates.nunique() == 1


def test_a_table_is_read_back_as_it_was_written(table: Results, tmp_path: Path) -> None:
    write_table(table, tmp_path / "table", {"experiment": "tiny"})
    read = read_table(tmp_path / "table")
    pd.testing.assert_frame_equal(read.runs, table.runs)
    pd.testing.assert_frame_equal(read.outcomes, table.outcomes)
    assert read.provenance["experiment"] == "tiny"
    assert set(read.provenance["versions"]) >= {"torch", "transformers"}


def test_a_run_given_twice_is_refused_by_name(sweep: Sweep) -> None:
    runs = runs_of(sweep)
    key = runs[0][1].key
    with pytest.raises(ValueError, match=rf"runs {key}, {key} are all .*'arm': 'SFT', 'n_problems': 8.*differ in noth"):
        collect([*runs, runs[0]], sweep.store)


def test_two_settings_of_one_cell_are_refused_with_what_differs(sweep_copy: Sweep) -> None:
    other = planned("arm=sft", "n_problems=8", "sft.lr=2e-3")
    build_all(other, sweep_copy.store)
    with pytest.raises(ValueError, match=r"'arm': 'SFT', 'n_problems': 8.* and differ in .*sft.lr"):
        collect([*runs_of(sweep_copy), (other.runs[0].leaf.exp, other.runs[0].evaluate)], sweep_copy.store)


def test_arms_are_named_by_a_setting_they_were_run_with_several_values_of(sweep: Sweep) -> None:
    first, (exp, stage) = runs_of(sweep)[:2]
    assert exp is not None and usual_name(exp.source.name, exp.method.name) == "RFT"
    one = replace(exp, source=replace(exp.source, max_solutions_per_problem=1))
    told = collect([first, (one, stage), *runs_of(sweep)[2:]], sweep.store, by="source.max_solutions_per_problem")
    arms = set(told.runs.arm)
    assert {name for name in arms if name.startswith("RFT")} == {
        "RFT, max_solutions_per_problem=1", "RFT, max_solutions_per_problem=4",
    }  # fmt: skip
    assert {"SFT", "DPO", "base"} <= arms  # run with one value of it
    assert set(told.outcomes.arm) == arms
    with pytest.raises(ValueError, match=r"--by sft.rate: no such setting.*; the runs have .*sft.lr"):
        collect(runs_of(sweep), sweep.store, by="sft.rate")


def test_a_run_s_own_cost_is_its_policy_s(table: Results, sweep: Sweep) -> None:
    policy = sweep.plan.runs[0].evaluate.parents["policy"].key
    own = table.runs.set_index("run").loc[sweep.plan.runs[0].evaluate.key]
    assert own["n_updates"] == sweep.store.manifest(policy).cost.n_updates > 0


def test_a_matched_run_goes_by_its_arm_s_name_and_stands_where_the_run_that_it_matches_does() -> None:
    control, matched = planned("arm=sft_entropy_matched"), planned("arm=step_dpo")
    (own,), (other,) = ([run.evaluate for run in plan.runs] for plan in (control, matched))
    assert point_of(own) == {**point_of(other), "arm": "SFT, entropy-matched"}


def test_a_stage_looks_at_the_split_that_it_is_judged_by_and_else_at_train_problems_alone() -> None:
    (run,) = planned("arm=sft", "evaluation=validation", "probes.has_values=true").runs
    assert split_of(run.evaluate) == "validation" and split_of(run.evaluate.parents["policy"]) is None
    assert split_of(probes(run.leaf.exp)[0]) == "validation"


def test_evaluations_are_counted_as_a_sweep_counts_its_runs() -> None:
    run, base = [False], [True]
    assert runs_told(12 * run + base) == "12 runs and the base model"
    assert runs_told(run + 16 * base) == "1 run and 16 base models"
    assert (runs_told(2 * run), runs_told(base)) == ("2 runs", "the base model")
    assert part_told(10 * run + base, 12 * run + base) == "10 of 12 runs and the base model's evaluation"
    assert part_told(run + base, 2 * run + 2 * base) == "1 of 2 runs and 1 of 2 base models' evaluations"
    assert part_told(base, 12 * run + base) == "the base model's evaluation"


def test_a_missing_run_is_refused_by_name(sweep_copy: Sweep) -> None:
    run = sweep_copy.plan.runs[3]
    key, place = run.evaluate.key, rf"\(per-step DPO n_problems={run.leaf.exp.n_problems} seed={run.leaf.exp.seed}\)"
    sweep_copy.store.set_aside(key)
    with pytest.raises(ValueError, match=rf"not built: 1 of 12 runs, {key} {place}; give the sweep command again"):
        collect(runs_of(sweep_copy), sweep_copy.store)


def test_runs_made_by_different_code_are_refused_by_name(sweep_copy: Sweep) -> None:
    key = sweep_copy.plan.runs[3].evaluate.key
    provenance = sweep_copy.store.manifest(key).provenance
    rewritten(sweep_copy, key, provenance={**provenance, "code": "0123456789ab"})
    with pytest.raises(ValueError, match=rf"made by different code .*0123456789ab.*1 run, e.g. {key}"):
        collect(runs_of(sweep_copy), sweep_copy.store)
    assert len(collect(runs_of(sweep_copy), sweep_copy.store, is_mixed_code_allowed=True).runs) == 13


def test_code_that_changed_between_a_run_and_what_it_stands_on_is_refused_too(sweep_copy: Sweep) -> None:
    sft = sweep_copy.plan.runs[0].evaluate.parents["policy"]
    provenance = sweep_copy.store.manifest(sft.key).provenance
    rewritten(sweep_copy, sft.key, provenance={**provenance, "code": "0123456789ab"})
    with pytest.raises(ValueError, match=r"made by different code .*0123456789ab\+"):
        collect(runs_of(sweep_copy), sweep_copy.store)


def test_the_record_names_every_commit_that_ran_and_whether_its_files_had_changed(sweep_copy: Sweep) -> None:
    runs = [run.evaluate.key for run in sweep_copy.plan.runs]
    states = [{"commit": "aaa", "is_dirty": False}, {"commit": "bbb", "is_dirty": True}, None]
    for n, key in enumerate(runs):
        provenance = sweep_copy.store.manifest(key).provenance
        rewritten(sweep_copy, key, provenance={**provenance, "git": states[min(n, 2)]})
    commits = collect(runs_of(sweep_copy), sweep_copy.store).provenance["commits"]
    assert {"aaa", "bbb with changes", "unknown"} <= set(commits) and commits == sorted(commits)


def test_a_flipped_byte_in_an_outcome_is_refused_by_name(sweep_copy: Sweep) -> None:
    path = sweep_copy.store.folder(sweep_copy.plan.runs[0].evaluate.key) / "outcomes.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path.parent}: corrupted artifact: outcomes.parquet .* sha256"):
        collect(runs_of(sweep_copy), sweep_copy.store)


def test_an_upstream_stage_that_is_gone_is_refused_by_name(sweep_copy: Sweep) -> None:
    samples = next(key for key, stage in sweep_copy.plan.stages.items() if stage.kind == "samples")
    sweep_copy.store.set_aside(samples)
    with pytest.raises(ValueError, match=rf"cost is gone with {samples}; .*exec.rebuild_corrupted=true"):
        collect(runs_of(sweep_copy), sweep_copy.store)


def test_counts_that_are_not_those_of_the_outcomes_are_refused_by_name(sweep_copy: Sweep) -> None:
    key = sweep_copy.plan.runs[3].evaluate.key
    facts = sweep_copy.store.manifest(key).facts
    rewritten(sweep_copy, key, facts={**facts, "n_correct": facts["n_correct"] + 1})
    told = rf"{key}: its record says n_correct={facts['n_correct'] + 1}, and .*outcomes\) has {facts['n_correct']}"
    with pytest.raises(ValueError, match=told):
        collect(runs_of(sweep_copy), sweep_copy.store)


def test_records_of_before_there_were_hashes_are_collected_and_named(
    sweep_copy: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = sweep_copy.plan.runs[3].evaluate.key
    path = sweep_copy.store.folder(key) / "manifest.json"
    path.write_text(replace(Manifest.of_json(path.read_text()), record={}).to_json())
    assert main(["collect", "-m", *sweep_copy.words, "--out", str(tmp_path / "table")]) == 0
    assert read_table(tmp_path / "table").provenance["unhashed_records"] == [key]
    assert "note: 1 of 12 runs were made before manifests had hashes" in capsys.readouterr().err


def test_collecting_looks_into_no_weight(sweep_copy: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    real, read = io.open, set()

    def opened(path: Any, *arguments: Any, **names: Any) -> Any:
        read.add(Path(path).name)
        return real(path, *arguments, **names)

    monkeypatch.setattr(io, "open", opened)  # what Path.open, read_bytes and read_text go through
    monkeypatch.setattr("builtins.open", opened)
    collect(runs_of(sweep_copy), sweep_copy.store)
    assert read == {"manifest.json", "outcomes.parquet", "test_looks.jsonl"}


def test_mixed_splits_are_refused(sweep_copy: Sweep) -> None:
    other = planned("arm=sft", "n_problems=8", "evaluation=validation")
    build_all(other, sweep_copy.store)
    with pytest.raises(ValueError, match=r"the runs mix evaluation splits \['test', 'validation'\]"):
        collect([*runs_of(sweep_copy), (other.runs[0].leaf.exp, other.runs[0].evaluate)], sweep_copy.store)


def test_settings_are_compared_on_validation_alone(sweep_copy: Sweep) -> None:
    run = sweep_copy.plan.runs[0]
    with pytest.raises(ValueError, match=rf"{run.evaluate.key} .* split=test: .*add evaluation=validation"):
        comparison([(run.leaf.overrides, run.evaluate)], sweep_copy.store)
    other = planned("arm=sft", "n_problems=8", "evaluation=validation")
    with pytest.raises(ValueError, match=r"is not built; give the sweep command again"):
        comparison([(("seed=0",), other.runs[0].evaluate)], sweep_copy.store)
    build_all(other, sweep_copy.store)
    given = ("seed=0", "~arm", "prompt.mark='#=='")  # a value has what a name has not
    (found,) = comparison([(given, other.runs[0].evaluate)], sweep_copy.store).to_dict("records")
    facts = sweep_copy.store.manifest(other.runs[0].evaluate.key).facts
    told = ("n_test", "n_correct", "n_correct_sampled", "n_sampled", "n_malformed", "entropy")
    assert found == {"seed": "0", "prompt.mark": "'#=='", **{name: facts[name] for name in told}}


# several tables


def part(table: Results, of: pd.Series) -> Results:
    runs = table.runs[of].reset_index(drop=True)
    outcomes = table.outcomes[table.outcomes.run.isin(runs.run)].reset_index(drop=True)
    return Results(runs, outcomes, {**table.provenance, "commands": [f"sizes {sorted(set(runs.n_problems))}"]})


def test_the_parts_of_a_sweep_make_the_whole_again_and_what_both_hold_is_kept_once(
    table: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    is_small = table.runs.n_problems <= 8
    small, large = part(table, is_small), part(table, ~is_small | (table.runs.arm == "base"))
    for name, one in (("small", small), ("large", large)):
        write_table(one, tmp_path / name, {})
    assert main(["merge", str(tmp_path / "small"), str(tmp_path / "large"), "--out", str(tmp_path / "whole")]) == 0
    assert capsys.readouterr().out == f"12 runs and the base model x 40 problems in {tmp_path / 'whole'}\n"
    whole = read_table(tmp_path / "whole")
    pairs = [(whole.runs, table.runs, ["run"]), (whole.outcomes, table.outcomes, ["run", "problem_id"])]
    for found, expected, by in pairs:
        pd.testing.assert_frame_equal(*(one.sort_values(by, ignore_index=True) for one in (found, expected)))
    assert whole.provenance["commands"] == ["sizes [0, 8]", "sizes [0, 16]"]
