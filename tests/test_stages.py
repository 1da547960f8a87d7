"""What the stages build: nested subsets, seeds, and q_values against a tree of completions worked by hand."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_data_gsm8k import ROWS, opened
from test_data_skills import skills_by_hand
from tiny_policy import weights
from tiny_sweep import Sweep, build_all, planned

from sweep import build, training_set
from sweep.artifacts import Artifact, Cost, Manifest, Stage, Store
from sweep.bench import Bench, Built, domain_of, model_of
from sweep.config import Exec
from sweep.data.records import Credit, Pair, Problem, ReferenceScore, Row, Solution, Trace
from sweep.disk import read_jsonl, write_jsonl
from sweep.methods.rollouts import to_charge
from sweep.methods.sft import sft_loss
from sweep.models import (
    Completion,
    Optim,
    continuation_logps,
    load_policy,
    new_policy,
    save_policy,
    temperature_of,
    train,
)
from sweep.results import collect


def stage_of(plan: Any, kind: str) -> Stage:
    return next(stage for stage in plan.stages.values() if stage.kind == kind)


def subset(sweep: Sweep, *words: str) -> list[str]:
    """problem_ids of the training problems of one run."""
    stage = stage_of(planned("arm=sft", *words), "sft")
    bench = SimpleNamespace(parents={"dsyn": sweep.store.open(stage.parents["dsyn"].key)})
    problems, solutions = training_set.subset(stage, bench)
    assert [p.problem_id for p in problems] == [s.problem_id for s in solutions]
    return [p.problem_id for p in problems]


# subsets and seeds


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_first_n_problems_are_inside_the_first_2n_of_the_same_seed(sweep: Sweep, seed: int) -> None:
    small, large = (subset(sweep, f"n_problems={n}", f"seed={seed}") for n in (8, 16))
    assert small == large[:8]
    assert len(set(large)) == 16


def test_another_seed_takes_other_problems(sweep: Sweep) -> None:
    assert set(subset(sweep, "n_problems=16")) != set(subset(sweep, "n_problems=16", "seed=1"))


def test_all_arms_of_a_seed_and_size_stand_on_the_same_problems(sweep: Sweep) -> None:
    used = set(subset(sweep, "n_problems=8"))
    samples = next(s for s in sweep.plan.stages.values() if s.kind == "samples" and s.identity["n_problems"] == 8)
    traces = read_jsonl(sweep.store.open(samples.key).path / "traces.jsonl", Trace)
    assert {t.problem_id for t in traces} == used
    assert len(traces) == 8 * 4  # n_samples=4 of each


def test_more_problems_than_dsyn_has_are_refused_with_how_many_there_are(sweep_copy: Sweep) -> None:
    dsyn = stage_of(sweep_copy.plan, "dsyn")
    n = sweep_copy.store.manifest(dsyn.key).facts["n_problems"]
    too_many = planned("arm=sft", "n_problems=96")
    told = rf"n_problems=96 but D_syn .* has {n} problems with a verified solution, of 96 asked; choose .* up to {n}"
    with pytest.raises(ValueError, match=told):
        build_all(too_many, sweep_copy.store, [stage_of(too_many, "sft").key])
    assert sweep_copy.store.manifest(stage_of(too_many, "sft").key) is None


def test_more_problems_than_the_dataset_has_are_refused_when_the_sweep_is_planned() -> None:
    with pytest.raises(ValueError, match="n_problems=97 but dataset=skills has 96 train problems"):
        planned("arm=sft", "n_problems=97")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("dataset.curriculum=[]",), r"dataset.curriculum=\[\] leaves model.kind=from_scratch nothing to pretrain on"),
        (("dataset.n_test=0",), r"evaluation.split=test but dataset=skills has no test problem \(dataset.n_test=0\)"),
        (("evaluation=validation", "dataset.n_validation=0"), r"has no validation problem \(dataset.n_validation=0\)"),
        (
            ("sampling.is_cross_fit=true", "n_problems=49"),
            "sampling.is_cross_fit=true at n_problems=49 needs as many .* has 96 train problems; choose sizes up to 48",
        ),
    ],
)
def test_a_dataset_without_what_a_stage_asks_of_it_is_refused_when_the_sweep_is_planned(
    words: tuple[str, ...], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        planned("arm=rft", *words)


def test_dsyn_holds_verified_solutions_of_train_problems_in_order(sweep: Sweep) -> None:
    stage = stage_of(sweep.plan, "dsyn")
    artifact, data = sweep.store.open(stage.key), domain_of(stage)
    problems = read_jsonl(artifact.path / "problems.jsonl", Problem)
    solutions = read_jsonl(artifact.path / "solutions.jsonl", Solution)
    assert all(data.is_correct(s.text, p) for p, s in zip(problems, solutions, strict=True))
    assert problems == [p for p in data.problems("train") if p in set(problems)]
    assert artifact.manifest.facts["n_problems"] + artifact.manifest.facts["n_dropped"] == 96


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(sweep: Sweep, tmp_path: Path) -> None:
    def trained(folder: str, *words: str) -> torch.Tensor:
        store, plan = Store(tmp_path / folder), planned("arm=step_dpo", "n_problems=8", *words)
        store.root.mkdir()
        for kind in ("base", "dsyn"):
            key = stage_of(plan, kind).key
            (store.root / key).symlink_to(sweep.store.folder(key))
        keys = [k for k, s in plan.stages.items() if s.kind in ("sft", "samples", "advantages", "pairs", "train")]
        build_all(plan, store, keys)
        folder_of = store.open(stage_of(plan, "train").key).path
        return weights(load_policy(str(folder_of), revision=None, device="cpu", dtype="float32"))

    first = trained("first")
    shared = next(r.evaluate.parents["policy"] for r in sweep.plan.runs
                  if r.leaf.exp.method.name == "step_dpo" and r.leaf.exp.n_problems == 8)  # fmt: skip
    theirs = load_policy(str(sweep.store.open(shared.key).path), revision=None, device="cpu", dtype="float32")
    assert torch.equal(first, weights(theirs))
    assert not torch.equal(first, trained("other", "seed=1"))


def test_every_artifact_with_weights_opens_as_a_plain_hugging_face_model(sweep: Sweep) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for kind in ("base", "sft", "train"):
        folder = sweep.store.open(stage_of(sweep.plan, kind).key).path
        assert AutoModelForCausalLM.from_pretrained(folder).config.hidden_size == 32
        assert AutoTokenizer.from_pretrained(folder).eos_token == "<eos>"


def test_every_test_problem_has_an_outcome_and_the_counts_are_its_sums(sweep: Sweep) -> None:
    import pandas as pd

    stage = sweep.plan.runs[0].evaluate
    artifact = sweep.store.open(stage.key)
    outcomes = pd.read_parquet(artifact.path / "outcomes.parquet")
    assert outcomes.problem_id.tolist() == [p.problem_id for p in domain_of(stage).problems("test")]
    assert artifact.manifest.facts["n_correct"] == outcomes.is_correct.sum()


def said(text: str, *, is_finished: bool = True) -> Completion:
    return Completion(text, 1, is_finished, None)


def test_a_solution_that_is_cut_short_or_has_no_answer_or_a_step_that_cannot_be_read_is_malformed() -> None:
    right = "f1 0 2 ; f2 2 0 ; f0 0 1 ; ans B"
    solutions = [
        said(right),
        said(right[:-1] + "A"),  # wrong, but well-formed
        said(right, is_finished=False),
        said(right[: -len(" ans B")]),
        said("f9 " + right),
    ]
    found = build.written_form(skills_by_hand(), [Problem("p", "0 f1 f2 f0", "B")] * 5, solutions)
    assert found == {"n_malformed": 3, "diagnosis": {"wrong answer": 1, "bad format": 1, "easy skip": 1}}


def test_natural_text_is_malformed_without_an_end_or_a_number_behind_the_answer_mark(tmp_path: Path) -> None:
    data = opened(tmp_path, ROWS[:2], ROWS[2:4])
    solutions = [said("2 + 2 = 4\n#### 4"), said("#### 5"), said("#### 4", is_finished=False), said("2 + 2 = 4")]
    assert build.written_form(data, [data.problems("test")[0]] * 4, solutions) == {"n_malformed": 2}


def test_a_method_without_a_single_pair_says_what_it_was_made_of(sweep: Sweep, tmp_path: Path) -> None:
    plan = planned("arm=step_dpo", "n_problems=8")
    stage = stage_of(plan, "pairs")
    empty = {}
    for role in ("sft", "dsyn"):
        empty[role] = sweep.store.open(stage.parents[role].key)
    for role, names in (("samples", ["traces"]), ("advantages", ["credits", "reached"])):
        folder = tmp_path / role
        folder.mkdir()
        for name in names:
            write_jsonl(folder / f"{name}.jsonl", [])
        empty[role] = Artifact(folder, Manifest("", role, 1, {}, {}, {}, {}, Cost(), {}))
    told = "method=step_dpo at n_problems=8 made no training pair out of 0 solutions, 0 traces and 0 mistakes"
    with pytest.raises(ValueError, match=told):
        build.build_pairs(stage, bench_of(stage, empty, tmp_path))


def test_kept_scores_are_the_references_and_chosen_sft_sees_the_same_pairs(sweep: Sweep) -> None:
    plan = planned("arm=step_dpo", "n_problems=16")
    found = sweep.store.open(stage_of(plan, "pairs").key)
    pairs = read_jsonl(found.path / "pairs.jsonl", Pair)
    kept = read_jsonl(found.path / "reference.jsonl", ReferenceScore)
    folder = sweep.store.open(stage_of(plan, "sft").key).path
    pi_sft = load_policy(str(folder), revision=None, device="cpu", dtype="float32")
    for side in ("chosen", "rejected"):
        rows = [Row(p.prefix, getattr(p, side), getattr(p, f"is_{side}_final"), p.problem_id) for p in pairs]
        sums = [logp_sum for logp_sum, _ in continuation_logps(pi_sft, rows)]
        assert [getattr(score, f"{side}_logp_sum") for score in kept] == pytest.approx(sums, abs=1e-4)
    facts = sweep.store.manifest(stage_of(planned("arm=chosen_sft", "n_problems=16"), "train").key).facts
    assert found.manifest.facts == {"n_pairs": len(pairs)} and facts["n_rows"] == len(pairs)


# q_values by rollouts: a policy that has learned by heart how each prefix goes on


def bench_of(stage: Stage, parents: dict[str, Artifact], out: Path) -> Bench:
    return Bench(parents, model_of(stage), out, Exec(), None, out / "checkpoints")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """One problem and a policy whose completions are known.

    bare       -> G R ans right
    G          -> R ans right        q = 1, 3 tokens-long steps and an end
    G W        -> ans wrong          q = 0
    B          -> W ans wrong        q = 0
    """
    plan = planned("arm=step_dpo", "n_problems=1", "dataset.chain_length=2", "sampling.rollouts.temperature=0.001")
    advantages = stage_of(plan, "advantages")
    data = domain_of(advantages)
    problem = data.problems("train")[0]
    right = problem.answer
    other = "C1" if right == "C0" else "C0"
    good, repair, bad, wrong = "f0 0 1 ; ", "f1 1 2 ; ", "f2 0 3 ; ", "f3 3 3 ; "
    prompt = data.prompt(problem)
    known = [
        (prompt + good, f"{repair}ans {right}"),
        (prompt + good + wrong, f"ans {other}"),
        (prompt + good + repair, f"ans {right}"),
        (prompt + bad, f"{wrong}ans {other}"),
        (prompt + bad + wrong, f"ans {other}"),
    ]
    shape = {"hidden_size": 32, "n_layers": 2, "n_heads": 2, "mlp_size": 64, "max_length": 48, "rope_theta": 1000.0}
    policy = new_policy(data.vocabulary, **shape, seed=0)
    rows = [Row(prefix, continuation, True, problem.problem_id) for prefix, continuation in known]
    train(policy, rows, sft_loss, Optim(lr=1e-2, n_updates=120, batch_size=5), seed=0, log=lambda update, metrics: None)
    root = tmp_path_factory.mktemp("tree")
    save_policy(policy, root / "sft")
    (root / "dsyn").mkdir()
    write_jsonl(root / "dsyn" / "problems.jsonl", [problem])
    write_jsonl(root / "dsyn" / "solutions.jsonl", [Solution(problem.problem_id, f"{good}{repair}ans {right}")])
    return SimpleNamespace(
        root=root, stage=advantages, problem=problem, right=right, other=other,
        good=good, repair=repair, bad=bad, wrong=wrong,
    )  # fmt: skip


def credited(
    tree: SimpleNamespace, out: Path, texts: list[str], n_right: int = 0, **rollouts: Any
) -> tuple[list[Credit], list[Solution], Built]:
    """What build_advantages makes of wrong traces with these texts, beside n_right correct ones."""
    identity = {**tree.stage.identity, "rollouts": {**tree.stage.identity["rollouts"], "n_rollouts": 2, **rollouts}}
    identity["rollouts"]["max_traces_per_problem"] = 9
    stage = Stage("advantages", 1, identity, tree.stage.parents)
    name = tree.problem.problem_id
    traces = [Trace(name, text, False, True) for text in texts]
    traces += [Trace(name, f"{tree.good}{tree.repair}ans {tree.right}", True, True)] * n_right
    (out / "samples").mkdir()
    write_jsonl(out / "samples" / "traces.jsonl", traces)
    facts = Manifest("", "", 1, {}, {}, {}, {"n_dropped": 0}, Cost(), {})
    folders = {"dsyn": tree.root / "dsyn", "sft": tree.root / "sft", "samples": out / "samples"}
    parents = {role: Artifact(folder, facts) for role, folder in folders.items()}
    built = build.build_advantages(stage, bench_of(stage, parents, out))
    return read_jsonl(out / "credits.jsonl", Credit), read_jsonl(out / "reached.jsonl", Solution), built


def test_q_values_are_the_fraction_of_rollouts_that_reach_the_answer(tree: SimpleNamespace, tmp_path: Path) -> None:
    late, early = f"{tree.good}{tree.wrong}ans {tree.other}", f"{tree.bad}{tree.wrong}ans {tree.other}"
    credits, _, _ = credited(tree, tmp_path, [late, early], n_right=2)
    assert {c.text: c.q_values for c in credits} == {late: [1.0, 0.0], early: [0.0]}
    assert {c.pass_rate for c in credits} == {0.5}  # 2 of the 4 traces are correct


def test_rollouts_to_the_end_give_every_step_a_q_value_and_the_last_is_the_verifiers(
    tree: SimpleNamespace, tmp_path: Path
) -> None:
    late, early = f"{tree.good}{tree.wrong}ans {tree.other}", f"{tree.bad}{tree.wrong}ans {tree.other}"
    credits, _, _ = credited(tree, tmp_path, [late, early], until="end")
    assert {c.text: c.q_values for c in credits} == {late: [1.0, 0.0, 0.0], early: [0.0, 0.0, 0.0]}


def test_a_solution_that_only_its_answer_spoils_is_charged_with_the_answer(
    tree: SimpleNamespace, tmp_path: Path
) -> None:
    credits, _, _ = credited(tree, tmp_path, [f"{tree.good}{tree.repair}ans {tree.other}"])
    assert [c.q_values for c in credits] == [[1.0, 1.0, 0.0]]


@pytest.mark.parametrize(("saving", "n_tokens"), [({"stop": "verdict"}, 7 + 6), ({"search": "binary"}, 2 * 7 + 6)])
def test_the_pit_is_found_with_fewer_rollouts(
    tree: SimpleNamespace, tmp_path: Path, saving: dict[str, str], n_tokens: int
) -> None:
    # G: one right rollout of 7 tokens settles it, G W: both of 3 tokens are wrong; by halves, step 0 is looked at first
    late = f"{tree.good}{tree.wrong}ans {tree.other}"
    credits, reached, built = credited(tree, tmp_path, [late], **saving)
    assert [c.q_values for c in credits] == [[1.0, 0.0]]
    assert built.cost.n_sampled_tokens == n_tokens
    assert [s.text for s in reached] == [f"{tree.good}{tree.repair}ans {tree.right}"]


def test_a_prefix_that_several_traces_share_is_rolled_out_once(tree: SimpleNamespace, tmp_path: Path) -> None:
    # depth 0: G alone, 2 rollouts of `R ans right <eos>`: 4 + 2 + 1 tokens each;
    # depth 1: G W and G R, 2 rollouts of `ans x <eos>` each: 3 tokens each. The third traces end there.
    shared = [f"{tree.good}{tree.wrong}ans {tree.other}", f"{tree.good}{tree.repair}ans {tree.other}"]
    _, _, built = credited(tree, tmp_path, shared)
    assert built.cost.n_sampled_tokens == 2 * 7 + 4 * 3


def test_right_ends_of_rollouts_are_kept_once_as_whole_solutions(tree: SimpleNamespace, tmp_path: Path) -> None:
    _, reached, built = credited(tree, tmp_path, [f"{tree.good}{tree.wrong}ans {tree.other}"])
    assert [r.text.split() for r in reached] == [f"{tree.good}{tree.repair}ans {tree.right}".split()]
    assert built.facts == {"n_credits": 1, "n_reached": 1}


def test_a_trace_that_ended_before_its_first_word_has_no_step_to_charge(tree: SimpleNamespace, tmp_path: Path) -> None:
    credits, _, _ = credited(tree, tmp_path, ["", f"{tree.bad}{tree.wrong}ans {tree.other}"], until="end")
    assert [c.text for c in credits] == [f"{tree.bad}{tree.wrong}ans {tree.other}"]


def test_no_more_mistakes_a_problem_are_credited_than_the_cap() -> None:
    import numpy as np

    traces = [Trace("p0", f"w{i}", False, True) for i in range(9)] + [Trace("p0", "w0", False, True)]
    traces += [Trace("p0", "cut", False, False), Trace("p0", "fine", True, True)]
    drawn = to_charge(traces, of="wrong", max_traces_per_problem=3, rng=np.random.default_rng(0))
    assert len({t.text for t in drawn}) == 3
    assert all(t.text.startswith("w") for t in drawn)
    drawn = to_charge(traces, of="all", max_traces_per_problem=99, rng=np.random.default_rng(0))
    assert {t.text for t in drawn} == {"fine", *(f"w{i}" for i in range(9))}


# an entropy-matched control


def completions_of(entropy: float) -> list:
    return [[SimpleNamespace(entropy=entropy)], [SimpleNamespace(entropy=3 * entropy)]]


def test_the_temperature_is_the_one_that_gives_the_wanted_entropy() -> None:
    # solutions of mean entropy 2 T ** 3
    found = temperature_of(0.5, lambda temperature, **_: completions_of(temperature**3))
    assert found == pytest.approx(0.25 ** (1 / 3), rel=0.01)


def test_an_entropy_that_no_temperature_gives_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no temperature from 0.05 to 2.0 gives .* a mean entropy of 99 nats"):
        temperature_of(99.0, lambda temperature, **_: completions_of(temperature))


def test_an_entropy_matched_control_has_the_greedy_answers_of_sft_and_the_entropy_of_the_other(
    sweep_copy: Sweep,
) -> None:
    plan = planned("arm=sft_entropy_matched", "n_problems=16")
    build_all(plan, sweep_copy.store)
    (end,) = [run.evaluate for run in plan.runs]
    control, matched = (sweep_copy.store.manifest(key).facts for key in (end.key, end.parents["matched"].key))
    plain = sweep_copy.store.manifest(planned("arm=sft", "n_problems=16").runs[0].evaluate.key).facts
    assert control["n_correct"] == plain["n_correct"]
    assert control["entropy"] == pytest.approx(matched["entropy"], rel=0.1)
    assert control["temperature"] != matched["temperature"] == plain["temperature"]
    assert collect([(plan.runs[0].leaf.exp, end)], sweep_copy.store).runs.arm.tolist() == ["SFT, entropy-matched"]


def test_cross_fit_mistakes_come_from_as_many_problems_that_sft_did_not_see(sweep_copy: Sweep) -> None:
    plan = planned("arm=step_dpo", "n_problems=8", "sampling.is_cross_fit=true")
    build_all(plan, sweep_copy.store)
    seen, both = set(subset(sweep_copy, "n_problems=8")), set(subset(sweep_copy, "n_problems=16"))
    folders = {kind: sweep_copy.store.open(stage_of(plan, kind).key).path for kind in ("samples", "advantages")}
    traces = read_jsonl(folders["samples"] / "traces.jsonl", Trace)
    credits = read_jsonl(folders["advantages"] / "credits.jsonl", Credit)
    assert {t.problem_id for t in traces} == both - seen
    assert {c.problem_id for c in credits} <= both - seen
    assert sweep_copy.store.manifest(stage_of(plan, "train").key).facts["n_pairs"] > 0


def test_filtered_rft_is_given_credits_of_right_and_wrong_traces(sweep_copy: Sweep) -> None:
    plan = planned("arm=rft_filtered", "n_problems=16")
    build_all(plan, sweep_copy.store)
    credits = read_jsonl(sweep_copy.store.open(stage_of(plan, "advantages").key).path / "credits.jsonl", Credit)
    assert {c.is_correct for c in credits} == {True, False}
    assert all(c.q_values[-1] == c.is_correct for c in credits)
    assert sweep_copy.store.manifest(stage_of(plan, "train").key).facts["n_rows"] > 0


def test_rollouts_that_stop_once_a_verdict_is_settled_are_the_same_by_every_engine(
    sweep: Sweep, tmp_path: Path
) -> None:
    words = ("arm=step_dpo", "n_problems=16", "sampling.rollouts.n_rollouts=6")
    whole, settled = planned(*words), planned(*words, "sampling.rollouts.stop=verdict")

    def credits(plan: Any, engine: str) -> tuple[bytes, int]:
        store = Store(tmp_path / f"{engine}-{plan is settled}")
        shutil.copytree(sweep.store.root, store.root)
        key = stage_of(plan, "advantages").key
        (manifest,) = build_all(plan, store, keys=[key], engine=engine).values()
        return store.read(key, "credits.jsonl"), manifest.cost.n_sampled_tokens

    expected, n_tokens = credits(settled, "embedded")
    assert credits(settled, "slots") == credits(settled, "paged") == (expected, n_tokens)
    assert n_tokens < credits(whole, "slots")[1]


@pytest.mark.parametrize("policy", ["other_sft", "base"])
def test_another_policy_s_rollouts_judge_the_learner_s_traces(sweep_copy: Sweep, policy: str) -> None:
    def judged(word: str) -> tuple[Manifest, list[Credit]]:
        plan = planned("arm=step_dpo", "n_problems=16", f"sampling.rollouts.policy={word}")
        build_all(plan, sweep_copy.store)
        found = sweep_copy.store.open(stage_of(plan, "advantages").key)
        return found.manifest, read_jsonl(found.path / "credits.jsonl", Credit)

    (_, own), (_, others) = judged("learner"), judged(policy)
    assert {(c.problem_id, c.text) for c in own} == {(c.problem_id, c.text) for c in others}
    assert [c.q_values for c in own] != [c.q_values for c in others]


# a base that is pretrained until it has learnt


def base_of(store: Store, **more: object) -> Manifest:
    """The tiny base, its one phase in rounds of 800 documents."""
    dials = "".join(f", {name}: {value}" for name, value in more.items())
    phase = f"{{n_documents: 800, lr: 1e-2, tail_fraction: 0.4, batch_size: 32, schedule: constant{dials}}}"
    the_plan = planned("arm=sft", f"dataset.curriculum=[{phase}]")
    key = stage_of(the_plan, "base").key
    return build_all(the_plan, store, [key])[key]


def test_a_phase_goes_on_until_unseen_documents_cost_little_enough(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    easy, hard = base_of(store, until_loss=1.05), base_of(store, until_loss=0.96)
    assert easy.facts["n_rounds"][0] < hard.facts["n_rounds"][0]
    assert hard.cost.n_updates == 25 * hard.facts["n_rounds"][0]  # 800 documents, 32 an update
    assert base_of(store).facts["n_rounds"] == [1]  # without a goal: once


def test_a_base_that_does_not_learn_a_phase_is_refused_with_what_it_reached(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"phase 0 .* costs [0-9.]+ nats after 2 rounds of 800 .* until_loss=0.01"):
        base_of(Store(tmp_path / "store"), until_loss=0.01, most_rounds=2)
