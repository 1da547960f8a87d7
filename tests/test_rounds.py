"""Expert iteration: who writes a later round's solutions, what is trained on them, and that one round is as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from tiny_sweep import Sweep, build_all, planned

from analysis.gallery import rounds
from analysis.gallery.write import write_gallery
from sweep import training_set
from sweep.artifacts import Stage, Store
from sweep.data.records import Trace
from sweep.disk import read_jsonl
from sweep.plan import Plan


def policy_of(plan: Plan) -> Stage:
    return plan.runs[0].evaluate.parents["policy"]


def keys(stage: Stage) -> dict[str, str]:
    return {role: parent.key for role, parent in stage.parents.items()}


def test_a_second_round_of_rft_starts_from_the_base_on_what_both_rounds_drew() -> None:
    first, second = (policy_of(planned("arm=rft", f"sampling.rounds={n}")) for n in (1, 2))
    of = second.parents
    assert sorted(of) == ["base", "dsyn", "samples", "samples_1"] and of["samples_1"].key == keys(first)["samples"]
    assert of["samples"].parents["sft"].key == first.key
    assert "first_sample" not in of["samples_1"].identity and of["samples"].identity["first_sample"] == 4


def test_a_third_round_of_pairs_goes_on_from_the_second_s_policy_which_is_their_reference() -> None:
    second, third = (policy_of(planned("arm=step_dpo", f"sampling.rounds={n}")) for n in (2, 3))
    pairs = third.parents["pairs"]
    assert third.parents["sft"].key == second.key and sorted(pairs.parents) == ["advantages", "dsyn", "samples", "sft"]
    assert {pairs.parents[role].parents["sft"].key for role in ("samples", "advantages")} == {second.key}
    assert pairs.parents["sft"].key == second.key and pairs.parents["samples"].identity["first_sample"] == 8


def test_what_rolls_out_beside_the_learner_is_of_no_round() -> None:
    def roller(policy: str) -> Stage:
        words = ("arm=step_dpo", "sampling.rounds=2", f"sampling.rollouts.policy={policy}")
        (advantages,) = (s for s in policy_of(planned(*words)).ancestors() if s.kind == "advantages" and _is_last(s))
        return next(parent for role, parent in advantages.parents.items() if role in ("base", "sft"))

    assert [roller(policy).kind for policy in ("learner", "other_sft", "base")] == ["train", "sft", "base"]


def _is_last(stage: Stage) -> bool:
    return "first_sample" in stage.parents["samples"].identity


def test_one_round_is_in_no_stage_s_identity() -> None:
    stages = planned("arm=step_dpo", "sampling.rounds=1").stages.values()
    assert not [stage.key for stage in stages if "rounds" in json.dumps(stage.identity)]


@pytest.mark.parametrize("arm", ["sft", "sft_more"])
def test_rounds_of_what_reads_no_sample_are_refused(arm: str) -> None:
    with pytest.raises(ValueError, match=r"sampling.rounds=2 draws solutions anew in each round, but source=teacher"):
        planned(f"arm={arm}", "sampling.rounds=2")


def test_a_later_round_s_draws_are_those_behind_the_former_s(sweep_copy: Sweep) -> None:
    """Of an unchanged policy: samples 5 to 8 of a problem, drawn by themselves, are the last four of eight."""
    store = sweep_copy.store

    def texts(stage: Stage) -> dict[str, list[str]]:
        out: dict[str, list[str]] = {}
        for one in read_jsonl(store.open(stage.key).path / "traces.jsonl", Trace):
            out.setdefault(one.problem_id, []).append(one.text)
        return out

    eight = planned("arm=rft", "n_problems=8", "sampling.n_samples=8")
    all_of = next(s for s in eight.stages.values() if s.kind == "samples")
    four = next(s for s in planned("arm=rft", "n_problems=8").stages.values() if s.kind == "samples")
    later = replace(four, identity={**four.identity, "first_sample": 4})
    build_all(eight, store, [all_of.key])
    build_all(replace(eight, stages={later.key: later}), store, [later.key])
    assert {name: found[4:] for name, found in texts(all_of).items()} == texts(later)
    assert texts(later) != texts(four)


def test_rft_reads_the_traces_of_all_rounds_in_their_order(sweep_copy: Sweep) -> None:
    store, plan = sweep_copy.store, planned("arm=rft", "n_problems=8", "sampling.rounds=2")
    second = policy_of(plan)
    of = second.parents
    build_all(plan, store, [of["samples"].key, second.key])
    assert training_set.written(second, _bench(second, store), [], []).traces == [
        trace
        for role in ("samples_1", "samples")
        for trace in read_jsonl(store.open(of[role].key).path / "traces.jsonl", Trace)
    ]
    assert store.manifest(second.key) is not None


def _bench(stage: Stage, store: Store) -> object:
    class Parents:
        def read(self, role: str, name: str, record: type) -> list[object]:
            return read_jsonl(store.open(stage.parents[role].key).path / name, record) if role in stage.parents else []

    return Parents()


def of_rounds(gains: dict[str, float]) -> pd.DataFrame:
    """Either arm's errors in 1 and 3 rounds, the latter better by its gain; replicate r is r points worse."""
    rows = [
        {
            "arm": f"{arm}, rounds={n}", "n_problems": size, "replicate": replicate, "n_test": 1000,
            "n_correct": 600 - 10 * replicate + (round(1000 * gain) if n == 3 else 0), "total_flops": float(n),
            "config": json.dumps({"sampling": {"rounds": n}}),
        }
        for arm, gain in gains.items() for n in (1, 3) for size in (64, 128) for replicate in (1, 2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_rounds_are_ruled_arm_by_arm_and_told_with_what_they_cost(tmp_path: Path) -> None:
    of_rounds({"RFT": 0.02, "per-step DPO": -0.005}).to_parquet(tmp_path / "runs.parquet")
    write_gallery(tmp_path / "out", only=["rounds"], tables={"rounds": tmp_path})
    text = (tmp_path / "out/rounds.txt").read_text()
    assert "3 rounds beside one at 128 problems: RFT: held (−0.020 [−0.020, −0.020], at 3.00 times the FLOP)" in text
    assert "per-step DPO: not held (0.005 [0.005, 0.005], at 3.00 times the FLOP)" in text
    data = pd.read_csv(tmp_path / "out/rounds.csv").query("what == 'difference' and n_problems == 128")
    assert dict(zip(data["arm"], data["mean"], strict=True)) == pytest.approx({"RFT": -0.02, "per-step DPO": 0.005})


@pytest.mark.parametrize(
    ("low", "high", "ruling"),
    [
        (-0.1, -0.001, "held"),
        (-0.009, 0.1, "not held"),
        (-0.1, 0.1, "undecided"),
        (float("nan"), float("nan"), "undecided"),
    ],
)
def test_rounds_are_ruled_by_their_written_rule(low: float, high: float, ruling: str) -> None:
    assert rounds.ruling(low, high) == ruling
