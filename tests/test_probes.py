"""What is measured beside test errors: likelihoods under the base, Q along solutions, errors of advantages."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny_sweep import Sweep, build_all, planned, tiny

from analysis.gallery.write import write_gallery
from sweep import looks
from sweep.__main__ import main
from sweep.artifacts import Stage, Store
from sweep.bench import domain_of
from sweep.data import Problem, Solution, Trace
from sweep.data.records import Credit, Row
from sweep.disk import read_jsonl
from sweep.merging import merged
from sweep.methods import METHODS
from sweep.methods.dials import Dials
from sweep.methods.material import Material
from sweep.models.draws import Settings
from sweep.plan import needed
from sweep.probed import ROWS, measured
from sweep.table import Results, read_table

PROBES = (
    "arm=sft,dpo,step_dpo,step_dpo_both", "sampling.rollouts.until=end", "sampling.rollouts.max_traces_per_problem=6",
    "probes.has_likelihoods=true", "probes.has_values=true", "probes.has_estimates=true", "probes.n_rollouts=4",
    "probes.n_truth=64",
)  # fmt: skip


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    plan, store = planned(*PROBES), Store(tmp_path_factory.mktemp("probes") / "store")
    build_all(plan, store)
    return Sweep(PROBES, plan, store)


@pytest.fixture(scope="module")
def tables(sweep: Sweep) -> dict[str, pd.DataFrame]:
    return measured([(leaf.exp, stage) for leaf, stage in sweep.plan.probes], sweep.store)


def stages_of(sweep: Sweep, kind: str) -> list[Stage]:
    return [stage for stage in sweep.plan.stages.values() if stage.kind == kind]


def test_what_is_measured_changes_the_key_of_nothing_that_is_trained() -> None:
    with_probes, without = planned(*PROBES), planned(*PROBES[:3])
    added = {stage.kind for key, stage in with_probes.stages.items() if key not in without.stages}
    assert set(without.stages) < set(with_probes.stages)
    assert added == {"likelihoods", "values", "estimates"}


def test_what_no_arm_decides_is_measured_once_and_what_a_policy_decides_once_a_policy(sweep: Sweep) -> None:
    kinds = [stage.kind for _, stage in sweep.plan.probes]
    assert sorted(kinds) == ["estimates", "likelihoods", *["values"] * 4]


def test_a_measurement_is_to_build_though_every_run_is_complete(sweep: Sweep) -> None:
    built = {key for key, stage in sweep.plan.stages.items() if stage.kind not in ("likelihoods", "values")}
    todo = [sweep.plan.stages[key].kind for key in needed(sweep.plan, built)]
    assert sorted(todo) == ["likelihoods", *["values"] * 4]


def test_likelihoods_are_of_every_teacher_s_solution_and_every_distinct_right_one_of_the_policy(
    sweep: Sweep, tables: dict[str, pd.DataFrame]
) -> None:
    from sweep.models import continuation_logps, load_policy

    (stage,) = stages_of(sweep, "likelihoods")
    rows = tables["likelihoods"].set_index("problem_id")
    folder = {role: sweep.store.open(parent.key).path for role, parent in stage.parents.items()}
    traces = [t for t in read_jsonl(folder["samples"] / "traces.jsonl", Trace) if t.is_correct]
    assert (rows["writer"] == "teacher").sum() == 16
    assert (rows["writer"] == "self").sum() == len({(t.problem_id, t.text) for t in traces})
    solution = read_jsonl(folder["dsyn"] / "solutions.jsonl", Solution)
    problem = {p.problem_id: p for p in read_jsonl(folder["dsyn"] / "problems.jsonl", Problem)}
    one = next(s for s in solution if s.problem_id in rows.index)
    policy = load_policy(str(folder["base"]), revision=None, device="cpu", dtype="float32")
    prompt = domain_of(stage).prompt(problem[one.problem_id])
    ((logp, n_tokens),) = continuation_logps(policy, [Row(prompt, one.text, True, one.problem_id)])
    (found,) = rows.loc[[one.problem_id]].query("writer == 'teacher'").to_dict("records")
    assert (found["n_tokens"], found["logp_sum"]) == (n_tokens, pytest.approx(logp, abs=1e-4))
    assert n_tokens == len(one.text.split()) + 1  # its end counts


def test_values_are_asked_at_the_same_prefixes_of_every_policy(tables: dict[str, pd.DataFrame]) -> None:
    values = tables["values"]
    asked = {arm: of[["problem_id", "step", "is_correct"]].to_numpy().tolist() for arm, of in values.groupby("arm")}
    assert set(asked) == {"SFT", "DPO", "per-step DPO", "per-step DPO, both"}
    assert asked["SFT"] == asked["DPO"] == asked["per-step DPO"] == asked["per-step DPO, both"]
    assert (values["step"] < values["n_steps"]).all() and values["n_right"].between(0, 4).all()
    assert not values.duplicated(["arm", "problem_id", "step"]).any()
    assert len({tuple(of["n_right"]) for _, of in values.groupby("arm")}) > 1  # they answer differently


def test_the_policy_s_own_q_is_on_average_the_same_at_every_step(tables: dict[str, pd.DataFrame]) -> None:
    # along solutions that it drew itself, q_values are a martingale: only chance tells their means apart
    own = tables["values"].query("arm == 'SFT'")
    q = own.assign(q=own["n_right"] / own["n_rollouts"]).pivot(index="problem_id", columns="step", values="q")
    both = q[[0, 1]].dropna()
    gap = (both[1] - both[0]).mean()
    assert abs(gap) < 4 * (both[1] - both[0]).std() / math.sqrt(len(both))


def test_a_look_at_test_problems_is_recorded_for_values_and_none_for_what_sees_train_problems(sweep: Sweep) -> None:
    record = looks.looks_of(sweep.store)
    assert record is not None
    noted = {look.key.split("-")[0] for look in record.seen}
    assert noted == {"evaluate", "values"}


def test_values_on_validation_problems_are_no_look_at_test(tmp_path: Path) -> None:
    plan = planned("arm=sft", "probes.has_values=true", "probes.n_rollouts=1", "evaluation=validation")
    (stage,) = [one for one in plan.stages.values() if one.kind == "values"]
    assert stage.identity["split"] == "validation"
    build_all(
        plan, Store(tmp_path), keys=[key for key, one in plan.stages.items() if one.parents.get("matched") is None]
    )
    record = looks.looks_of(Store(tmp_path))
    assert record is None or not any(look.key == stage.key for look in record.seen)


def test_estimates_have_a_truth_everywhere_and_an_estimate_where_traces_were_charged(
    sweep: Sweep, tables: dict[str, pd.DataFrame]
) -> None:
    rows = tables["estimates"]
    (stage,) = stages_of(sweep, "estimates")
    traces = read_jsonl(sweep.store.open(stage.parents["samples"].key).path / "traces.jsonl", Trace)
    data = domain_of(stage)
    assert rows["n_traces"].sum() == sum(len(data.steps(t.text)) for t in traces if t.is_finished and t.text)
    assert rows["truth"].between(-1, 1).all() and rows["truth"].notna().all()
    assert rows["wrong"].notna().sum() < rows["all"].notna().sum() <= len(rows)
    assert (
        rows.loc[rows["wrong"].notna(), "n_wrong"].gt(0).all()
    )  # what only right traces do has no estimate from wrong
    assert (rows["all"] - rows["truth"]).abs().mean() < rows["truth"].abs().max()


def test_an_estimate_is_the_advantage_that_training_reads(sweep: Sweep, tables: dict[str, pd.DataFrame]) -> None:
    (stage,) = stages_of(sweep, "estimates")
    credits = read_jsonl(sweep.store.open(stage.parents["wrong"].key).path / "credits.jsonl", Credit)
    first = {c.problem_id: c.q_values[0] - c.pass_rate for c in credits}
    rows = tables["estimates"]
    name = credits[0].problem_id
    found = rows[(rows["problem_id"] == name) & rows["wrong"].notna()]["wrong"].tolist()
    assert any(value == pytest.approx(first[name]) for value in found)


def test_what_is_measured_is_drawn_by_the_engine_that_is_asked_for_and_is_the_same_by_each(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweep.models.slots import Slots

    rows, calls = Slots.rows, []

    def noted(engine: Slots, n_rows: dict[tuple[int, ...], int], settings: Settings) -> Any:
        calls.append(engine.max_rows)
        return rows(engine, n_rows, settings)

    monkeypatch.setattr(Slots, "rows", noted)
    probes = [stages_of(sweep, kind)[0].key for kind in ("values", "estimates")]
    again = Store(tmp_path / "store")
    shutil.copytree(sweep.store.root, again.root, ignore=shutil.ignore_patterns("values-*", "estimates-*"))
    build_all(sweep.plan, again, keys=probes, engine="slots", max_rows=48)
    assert calls == [48] * 3  # solutions, rollouts behind them, rollouts behind traces
    for key in probes:
        assert again.read(key, ROWS) == sweep.store.read(key, ROWS)


def test_a_table_holds_what_was_measured_and_a_merge_keeps_each_measurement_once(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*tiny(*PROBES), f"exec.store={sweep.store.root}", "--out", str(tmp_path / "table")]
    assert main(["collect", "-m", *words]) == 0
    table = read_table(tmp_path / "table")
    assert set(table.measured) == {"likelihoods", "values", "estimates"}
    twice = merged([table, table])
    assert {kind: len(rows) for kind, rows in twice.measured.items()} == {k: len(r) for k, r in table.measured.items()}
    assert (
        main(["collect", "-m", *tiny("arm=sft"), f"exec.store={sweep.store.root}", "--out", str(tmp_path / "table")])
        == 0
    )
    assert not read_table(tmp_path / "table").measured  # nothing of the table that was replaced stays


def test_figures_are_drawn_from_what_was_measured(sweep: Sweep, tmp_path: Path) -> None:
    words = [*tiny(*PROBES), f"exec.store={sweep.store.root}", "--out", str(tmp_path / "table")]
    assert main(["collect", "-m", *words]) == 0
    names = {"likelihood_under_base": "likelihood", "q_at_each_step": "q_values", "advantages_of_both": "both_kinds"}
    tables = {experiment: tmp_path / "table" for experiment in names.values()}
    write_gallery(tmp_path / "out", only=list(names), tables=tables, n_draws=20, scale="quick")
    for name in names:
        assert (tmp_path / "out" / f"{name}.png").is_file()
        assert "one replicate, no interval" in (tmp_path / "out" / f"{name}.txt").read_text()


def test_a_measurement_that_is_not_built_is_named(sweep: Sweep, tmp_path: Path) -> None:
    probes = [(leaf.exp, stage) for leaf, stage in sweep.plan.probes]
    with pytest.raises(ValueError, match=r"6 of 6 measurements are not built, e\.g\. \w+-\w+; give the sweep command"):
        measured(probes, Store(tmp_path))


def test_rows_that_a_stage_left_are_read_as_they_were_hashed(sweep: Sweep) -> None:
    (stage,) = stages_of(sweep, "likelihoods")
    rows = pd.read_parquet(BytesIO(sweep.store.read(stage.key, ROWS)))
    assert (rows["logp_sum"] < 0).all() and isinstance(Results(rows, rows, {}).measured, dict)


def material(credits: list[Credit], **dials: int) -> Material:
    import numpy as np

    return Material(
        prompts={"p": "Q "}, solutions=(), traces=(), credits=credits, steps=lambda text: text.split("|"),
        dials=replace(Dials(), **dials), max_solutions_per_problem=1, rng=np.random.default_rng(0),
    )  # fmt: skip


def test_per_step_dpo_of_both_prefers_the_best_step_at_a_prefix_to_the_worst() -> None:
    # behind "a" there are b (.8), c (.2) and d (.4); "x" has no sibling at its prefix
    credits = [
        Credit("p", "a|b", True, 0.5, [0.6, 0.8]),
        Credit("p", "a|c|x", False, 0.5, [0.6, 0.2, 0.0]),
        Credit("p", "a|d", False, 0.5, [0.6, 0.4]),
    ]
    text = {"a|b": ["a", "b"], "a|c|x": ["a", "c", "x"], "a|d": ["a", "d"]}
    of = replace(material(credits, max_pairs_per_problem=4), steps=lambda whole: text[whole])
    (pair,) = METHODS["step_dpo_both"].rows(of)
    assert (pair.prefix, pair.chosen, pair.rejected) == ("Q a", "b", "c")
    assert (pair.is_chosen_final, pair.is_rejected_final) == (True, False)


def test_steps_of_equal_value_make_no_pair_and_the_widest_gaps_come_first() -> None:
    level = [Credit("p", "a", False, 0.5, [0.4]), Credit("p", "b", False, 0.5, [0.4])]
    assert METHODS["step_dpo_both"].rows(replace(material(level), steps=lambda text: [text])) == []
    text = {"ab": ["a", "b"], "ac": ["a", "c"], "de": ["d", "e"], "df": ["d", "f"]}
    credits = [
        Credit("p", "ab", True, 0.5, [0.5, 1.0]), Credit("p", "ac", False, 0.5, [0.5, 0.0]),
        Credit("p", "de", False, 0.5, [0.4, 0.3]), Credit("p", "df", False, 0.5, [0.4, 0.2]),
    ]  # fmt: skip
    of = replace(material(credits, max_pairs_per_problem=1), steps=lambda whole: text[whole])
    (pair,) = METHODS["step_dpo_both"].rows(of)
    assert (pair.prefix, pair.chosen, pair.rejected) == ("Q a", "b", "c")
