"""From grid points to unique stages: counts worked by hand, and what each field of the configuration moves."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import pytest
from tiny_sweep import GRID, planned

from sweep.artifacts import Cost, Manifest, Stage, Store
from sweep.commands.words import plan_of
from sweep.config import OptimConfig
from sweep.differences import news
from sweep.methods import METHODS
from sweep.plan import Plan, estimate, flow, needed, plan, state, summary
from sweep.stages import ABOUT, VERSION


def keys(plan: Plan, kind: str) -> set[str]:
    return {key for key, stage in plan.stages.items() if stage.kind == kind}


def kinds_that_differ(*words: str, arm: str = "step_dpo") -> set[str]:
    """Kinds of the stages that only one of two single runs has, the second with `words` changed."""
    first, second = planned(f"arm={arm}"), planned(f"arm={arm}", *words)
    return {
        stage.kind for plan in (first, second) for key, stage in plan.stages.items()
        if key not in first.stages or key not in second.stages
    }  # fmt: skip


def manifest(stage_of: Plan, key: str, seconds: float = 1.0) -> Manifest:
    stage = stage_of.stages[key]
    parents = {role: parent.key for role, parent in stage.parents.items()}
    return Manifest(key, stage.kind, stage.version, dict(stage.identity), parents, {}, {}, Cost(seconds=seconds), {})


def filled(store: Store, stages: Iterable[Stage]) -> Store:
    """The store with a file of five bytes as the artifact of each stage."""
    for stage in stages:
        folder = store.builds.start(stage.key)
        (folder / "data.txt").write_text("12345")
        store.publish(stage, folder, {}, Cost(), {})
    return store


@pytest.fixture
def grid() -> Plan:
    """Six arms at two sizes; nothing of it is built."""
    return planned(*GRID)


# sharing


def test_the_flow_of_data_is_what_the_stages_are_built_from(grid: Plan) -> None:
    of = {node["name"]: node for node in flow(grid)}
    assert list(of)[:6] == ["dsyn", "base", "sft", "samples", "advantages", "pairs"] and list(of)[-1] == "evaluate"
    assert of["per-step DPO"]["needs"] == [["sft", "sft"], ["pairs", "step pairs"]]
    assert of["DPO"]["needs"] == [["sft", "sft"], ["pairs", "pairs"]]
    assert of["pairs"]["needs"] == [["sft", "sft"], ["dsyn", "dsyn"], ["samples", "samples"]]
    assert of["step pairs"]["needs"] == [*of["pairs"]["needs"], ["advantages", "advantages"]]
    assert of["RFT"]["needs"] == [["base", "base"], ["dsyn", "dsyn"], ["samples", "samples"]]
    assert of["samples"]["about"] == "pi_sft's own solutions of those problems, verified"
    assert of["sft"]["n_stages"] == 2 and of["evaluate"]["n_stages"] == 13
    assert ["policy", "base"] in of["evaluate"]["needs"] and ["policy", "DPO"] in of["evaluate"]["needs"]


def test_every_kind_of_stage_is_described_where_it_is_read_first() -> None:
    assert set(ABOUT) == set(VERSION)


def test_stages_that_arms_have_in_common_are_planned_once(grid: Plan) -> None:
    # base and dsyn once; at each of 2 sizes one sft, samples and advantages, 2 pairs, 5 trains and 6 evaluations; the
    # base's own
    assert Counter(stage.kind for stage in grid.stages.values()) == {
        "base": 1, "dsyn": 1, "sft": 2, "samples": 2, "advantages": 2, "pairs": 4, "train": 10, "evaluate": 13,
    }  # fmt: skip


def test_the_summary_counts_what_would_be_built_without_sharing(grid: Plan) -> None:
    told = summary(grid, {})
    # chains of sft 4, sft_more 5, rft 6, dpo 7, step_dpo 8 and chosen_sft 7 stages at 2 sizes; the base's own 2
    assert (told["runs"], told["stages"], told["stages_unshared"], told["cached"]) == (12, 35, 76, 0)


def test_every_parent_comes_before_its_children(grid: Plan) -> None:
    order = {key: place for place, key in enumerate(grid.stages)}
    for key, stage in grid.stages.items():
        assert all(order[parent.key] < order[key] for parent in stage.parents.values())


def test_a_stage_has_the_parents_its_method_needs_and_no_others() -> None:
    def parents(arm: str, kind: str) -> set[str]:
        the_plan = planned(f"arm={arm}")
        return set(the_plan.stages[next(iter(keys(the_plan, kind)))].parents)

    assert {arm: parents(arm, "train") for arm in ("rft", "sft_more", "chosen_sft", "rft_filtered", "step_dpo")} == {
        "rft": {"base", "dsyn", "samples"},
        "sft_more": {"sft", "dsyn"},
        "chosen_sft": {"sft", "dsyn", "samples", "advantages"},
        "rft_filtered": {"base", "dsyn", "samples", "advantages"},
        "step_dpo": {"sft", "pairs"},
    }
    assert {arm: parents(arm, "pairs") for arm in ("dpo", "step_dpo", "distant_dpo")} == {
        "dpo": {"sft", "dsyn", "samples"},
        "step_dpo": {"sft", "dsyn", "samples", "advantages"},
        "distant_dpo": {"sft", "dsyn", "samples"},
    }


def test_a_sweep_over_the_optimiser_and_beta_makes_and_scores_pairs_once() -> None:
    for word in ("method.optim.lr=1e-3", "method.beta=0.7", "method.optim.passes=3"):
        assert kinds_that_differ(word, arm="step_dpo") == {"train", "evaluate"}
    assert kinds_that_differ("method.max_pairs_per_problem=1", arm="step_dpo") == {"pairs", "train", "evaluate"}


def test_rollouts_are_of_the_learner_or_of_another_policy() -> None:
    def roller(word: str) -> tuple[dict[str, str], str]:
        stages = planned("arm=step_dpo", f"sampling.rollouts.policy={word}").stages.values()
        train, (advantages,) = (
            next(s for s in stages if s.kind == "train"),
            [s for s in stages if s.kind == "advantages"],
        )
        return {role: parent.key for role, parent in advantages.parents.items()}, train.parents["sft"].key

    (own, learner), (other, _), (base, _) = map(roller, ("learner", "other_sft", "base"))
    assert own["sft"] == learner and set(own) == {"dsyn", "samples", "sft"}
    assert other["sft"] not in (learner, "") and {**own, "sft": other["sft"]} == other
    assert set(base) == {"dsyn", "samples", "base"}


def test_an_entropy_matched_control_evaluates_the_sft_policy_beside_the_run_it_matches() -> None:
    control, matched = planned("arm=sft_entropy_matched"), planned("arm=step_dpo")
    (end,) = [run.evaluate for run in control.runs]
    assert end.parents["policy"].kind == "sft"
    assert end.parents["matched"].key == matched.runs[0].evaluate.key


def test_a_dial_that_a_method_does_not_read_leaves_its_runs_as_they_are() -> None:
    for arm in ("dpo", "rft", "sft_more"):
        assert kinds_that_differ("method.pit_rule=first_below", arm=arm) == set()
    assert kinds_that_differ("method.pit_rule=first_below", arm="random_step_dpo") == {"pairs", "train", "evaluate"}


def test_plain_sft_is_the_reference_itself_and_not_trained_twice() -> None:
    assert keys(planned("arm=sft"), "train") == set()


# identity


@pytest.mark.parametrize(
    ("word", "kinds"),
    [
        ("exec.n_threads=2", set()),
        ("exec.store=/elsewhere", set()),
        ("exec.max_rows=7", set()),
        ("exec.engine=slots", set()),
        ("exec.sweep_name=other", set()),
        ("tracking=wandb", set()),
        ("evaluation=validation", {"evaluate"}),
        ("method.beta=0.2", {"train", "evaluate"}),
        ("source.include_teacher=true", {"pairs", "train", "evaluate"}),
        ("sampling.rollouts.n_rollouts=3", {"advantages", "pairs", "train", "evaluate"}),
        ("sampling.rollouts.stop=verdict", {"advantages", "pairs", "train", "evaluate"}),
        ("sampling.rollouts.search=binary", {"advantages", "pairs", "train", "evaluate"}),
        ("sampling.rollouts.hopeful_q=0.3", set()),  # of a test that nobody asked for
        ("sampling.n_samples=5", {"samples", "advantages", "pairs", "train", "evaluate"}),
        ("max_solution_tokens=15", {"samples", "advantages", "pairs", "train", "evaluate"}),
        ("sft.lr=0.1", {"sft", "samples", "advantages", "pairs", "train", "evaluate"}),
        ("seed=1", {"sft", "samples", "advantages", "pairs", "train", "evaluate"}),
        ("n_problems=8", {"sft", "samples", "advantages", "pairs", "train", "evaluate"}),
        ("model.seed=1", {"base", "sft", "samples", "advantages", "pairs", "train", "evaluate"}),
        ("teacher.n_attempts=2", {"dsyn", "sft", "samples", "advantages", "pairs", "train", "evaluate"}),
        ("dataset.teacher_skip_hard=0.5", {"dsyn", "sft", "samples", "advantages", "pairs", "train", "evaluate"}),
        ("sampling.is_cross_fit=true", {"samples", "advantages", "pairs", "train", "evaluate"}),
        ("dataset.n_test=41", {"dsyn", "sft", "samples", "advantages", "pairs", "train", "evaluate"}),
    ],
)
def test_a_field_changes_the_stages_that_depend_on_it_and_no_others(word: str, kinds: set[str]) -> None:
    assert kinds_that_differ(word) == kinds


def test_a_stages_identity_is_its_whole_slice_and_not_the_difference_from_defaults() -> None:
    the_plan = planned("arm=step_dpo")
    sft = the_plan.stages[next(iter(keys(the_plan, "sft")))].identity
    train = the_plan.stages[next(iter(keys(the_plan, "train")))].identity
    assert set(sft["optim"]) == {f.name for f in fields(OptimConfig)}
    assert set(train["method"]) == {"name", "optim", *METHODS["step_dpo"].dials}


def test_a_default_stated_on_the_command_line_is_the_same_run() -> None:
    assert kinds_that_differ("sft.max_grad_norm=1.0") == set()


# refusals


def test_a_plan_without_grid_points_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the multirun has no grid point: check the swept values"):
        plan([])


def test_a_grid_point_given_twice_is_refused_with_both_overrides() -> None:
    with pytest.raises(ValueError, match=r"same run: .*method.beta=0.1.* and .*method.beta=0.2.*"):
        planned("arm=sft", "method.beta=0.1,0.2")


# what is still to do


def test_a_finished_plan_needs_nothing(grid: Plan, tmp_path: Path) -> None:
    found = state(grid, filled(Store(tmp_path), grid.stages.values()))
    assert found.corrupted == {}
    assert needed(grid, found.built) == []
    assert summary(grid, found.built)["cached"] == 35


def test_the_base_models_own_evaluation_is_built_with_the_runs(grid: Plan) -> None:
    (base_end,) = grid.base_evaluations
    assert needed(grid, set(grid.stages) - {base_end.key}) == [base_end.key]


def test_children_and_parents_are_the_two_directions_of_one_graph() -> None:
    the_plan = planned("arm=sft")
    base, dsyn, sft, end, base_end = (the_plan.stages[key] for key in the_plan.stages)
    assert [s.kind for s in (base, dsyn, sft, end, base_end)] == ["base", "dsyn", "sft", "evaluate", "evaluate"]
    assert the_plan.children()[sft.key] == [end.key]
    assert the_plan.children()[end.key] == []
    assert the_plan.parents()[base.key] == ()
    assert set(the_plan.parents()[sft.key]) == {base.key, dsyn.key}


def test_a_missing_evaluation_needs_itself_and_a_missing_train_its_evaluation_too(grid: Plan) -> None:
    end = grid.runs[-1].evaluate
    train = end.parents["policy"]
    assert needed(grid, set(grid.stages) - {end.key}) == [end.key]
    assert needed(grid, set(grid.stages) - {end.key, train.key}) == [train.key, end.key]


def test_a_missing_parent_whose_children_are_built_is_not_built_again(grid: Plan) -> None:
    samples = keys(grid, "samples")
    assert needed(grid, set(grid.stages) - samples) == []


def test_descendants_are_all_that_cannot_be_built_without_a_stage(grid: Plan) -> None:
    first = next(key for key in grid.stages if key in keys(grid, "advantages"))
    lost = Counter(grid.stages[key].kind for key in grid.descendants(first))
    assert lost == {"pairs": 1, "train": 2, "evaluate": 2}  # per-step DPO and its chosen steps at this size


def test_a_corrupted_artifact_is_reported_apart_and_counts_as_missing(grid: Plan, tmp_path: Path) -> None:
    store, key = filled(Store(tmp_path), grid.stages.values()), grid.runs[0].evaluate.key
    (store.folder(key) / "data.txt").write_bytes(b"")
    found = state(grid, store)
    assert list(found.corrupted) == [key]
    assert len(found.built) == 34
    assert needed(grid, found.built) == [key]


# what is new, and how long it will take


def test_news_name_the_field_that_made_a_stage_new(grid: Plan) -> None:
    known = [manifest(grid, key) for key in grid.stages]
    changed = planned("arm=sft", "sft.lr=0.25")
    stage = changed.stages[next(iter(keys(changed, "sft")))]
    assert news([stage], known)[stage.key] == ["optim.lr: 0.0005 -> 0.25"]


def test_news_tell_another_parent_apart_from_a_changed_field(grid: Plan) -> None:
    known = [manifest(grid, key) for key in grid.stages]
    changed = planned("arm=dpo", "sft.lr=0.25")
    stage = changed.stages[next(iter(keys(changed, "samples")))]
    assert news([stage], known)[stage.key] == ["parent sft: another"]


def news_of(stage: Stage, *known: Stage) -> list[str]:
    roles = [{role: parent.key for role, parent in one.parents.items()} for one in known]
    return news([stage], [
        Manifest(one.key, one.kind, one.version, dict(one.identity), parents, {}, {}, Cost(), {})
        for one, parents in zip(known, roles, strict=True)
    ])[stage.key]  # fmt: skip


def test_news_tell_a_parent_and_a_field_that_came_or_went() -> None:
    before = Stage("train", 1, {"old": 1}, {"base": Stage("base", 1, {})})
    after = Stage("train", 2, {"new": 1}, {"sft": Stage("sft", 1, {})})
    assert news_of(after, before) == [
        "new: absent -> 1", "old: 1 -> absent", "version: 1 -> 2",
        "parent base: no longer needed", "parent sft: absent -> needed",
    ]  # fmt: skip


def test_news_are_the_difference_from_the_nearest_of_the_same_kind_that_is_not_the_stage_itself() -> None:
    stage, near, far = (Stage("sft", 1, {"a": 0, "b": b, "c": c}) for b, c in ((0, 0), (1, 0), (2, 2)))
    as_near = Stage("sft", 1, {"a": 0, "b": 3, "c": 0})
    for known in ((near, far), (far, near), (near, as_near), (stage, near, Stage("train", 1, {"a": 0}))):
        assert news_of(stage, *known) == ["b: 1 -> 0"]
    assert news_of(stage, Stage("train", 1, {"a": 0, "b": 0})) == news_of(stage, stage) == []


def test_news_do_not_depend_on_the_order_of_keys_inside_a_list() -> None:
    def stage(b: int, c: int, *phase: tuple[str, int]) -> Stage:
        return Stage("sft", 1, {"phases": [dict(phase)], "b": b, "c": c})

    x, y = ("x", 1), ("y", 2)
    assert news_of(stage(0, 0, x, y), stage(2, 2, x, y), stage(1, 0, y, x)) == ["b: 1 -> 0"]


def test_the_first_of_its_kind_has_no_news(grid: Plan) -> None:
    assert set(map(tuple, news(list(grid.stages.values()), []).values())) == {()}


def test_news_of_many_stages_are_those_of_each(grid: Plan) -> None:
    known = [manifest(grid, key) for key in grid.stages]
    changed = list(planned("arm=sft,dpo", "n_problems=8", "dataset.n_test=3").stages.values())
    told = news(changed, known)
    assert told == {stage.key: news([stage], known)[stage.key] for stage in changed}
    assert {stage.kind for stage in changed if told[stage.key]} == {stage.kind for stage in changed} - {"base"}


def test_time_is_estimated_from_the_same_kind_scaled_by_problems(grid: Plan) -> None:
    small, large = (next(iter(keys(planned(f"n_problems={n}"), "sft"))) for n in (8, 16))
    known = [manifest(grid, small, seconds=4.0)]
    assert estimate(grid, [large], known) == {large: 8.0}


def test_an_estimate_is_the_mean_of_the_same_method_and_of_the_kind_where_the_method_is_new() -> None:
    train = {name: Stage("train", 1, {"method": {"name": name}, "n_problems": n})
             for name, n in (("dpo", 2), ("sft", 2), ("step_dpo", 4))}  # fmt: skip
    base = Stage("base", 1, {})
    known = [
        Manifest(f"{kind}-{n}", kind, 1, identity, {}, {}, {}, Cost(seconds=seconds), {})
        for n, (kind, identity, seconds) in enumerate([
            ("train", {"method": {"name": "dpo"}, "n_problems": 1}, 3.0),
            ("train", {"method": {"name": "dpo"}, "n_problems": 2}, 10.0),
            ("train", {"method": {"name": "sft"}, "n_problems": 1}, 1.0),
            ("base", {}, 7.0),
        ])
    ]  # fmt: skip
    the_plan = Plan((), {stage.key: stage for stage in (*train.values(), base)}, 0)
    # DPO: (3 + 5) / 2 seconds a problem, 2 problems; per-step DPO: (3 + 5 + 1) / 3, 4 problems
    assert estimate(the_plan, the_plan.stages, known) == {
        train["dpo"].key: 8.0, train["sft"].key: 2.0, train["step_dpo"].key: 12.0, base.key: 7.0,
    }  # fmt: skip


def test_an_estimate_is_made_of_no_stage_of_another_model_data_set_or_length(grid: Plan) -> None:
    def estimated(*words: str, gone: str = "") -> set[str]:
        """Kinds of stages to build that have an estimate where the grid was built with these words changed."""
        built = planned(*GRID, *words)
        known = [manifest(built, key) for key, stage in reversed(built.stages.items()) if stage.kind != gone]
        todo = [key for key in planned(*GRID, "replicate=7").stages if key not in built.stages]
        found = estimate(planned(*GRID, "replicate=7"), todo, known)
        return {planned(*GRID, "replicate=7").stages[key].kind for key, seconds in found.items() if seconds is not None}

    every = {stage.kind for stage in grid.stages.values()}
    assert estimated() == every
    assert estimated("model.n_layers=1") == estimated(gone="base") == {"dsyn"}
    assert estimated("dataset.curriculum=[{n_documents: 16, lr: 1e-2, tail_fraction: 0.4}]") == every - {"base", "dsyn"}
    assert estimated("dataset.n_test=8") == every - {"dsyn", "evaluate"}
    assert estimated("evaluation.n_samples=2") == every - {"evaluate"}


def test_there_is_no_estimate_where_no_stage_of_the_kind_was_built(grid: Plan) -> None:
    key = next(iter(keys(grid, "base")))
    assert estimate(grid, [key], []) == {key: None}


# purity


def test_planning_imports_no_torch_and_no_transformers() -> None:
    code = (
        "import sys; from sweep.__main__ import main; main(['plan', '-m', '--json', 'experiment=smoke']); "
        "print({'torch', 'transformers', 'wandb'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "set()"


def test_planning_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "nowhere")
    assert state(planned(*GRID), store).built == {}
    assert not store.root.exists()


# a data set of natural text


@pytest.fixture
def natural(tmp_path: Path) -> tuple[str, ...]:
    """The words that plan on a GSM8K of two problems a file."""
    for name in ("train", "test"):
        rows = [{"question": f"{name} {i}?", "answer": f"So {i}.\n#### {i}"} for i in range(2)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = [f"dataset.{name}_path={tmp_path / name}.jsonl" for name in ("train", "test")]
    return ("dataset=gsm8k", *files, "dataset.n_validation=0", "n_problems=2")


def test_natural_text_pretrains_no_base(natural: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="pretrains on a procedural domain, but dataset=gsm8k is natural text"):
        plan_of(natural)


def test_a_model_of_a_hub_is_trained_on_natural_text(natural: tuple[str, ...]) -> None:
    the_plan, _ = plan_of((*natural, "model=deepseek_math_7b", f"model.revision={'a' * 40}", "arm=rft"))
    assert [run.evaluate.identity["dataset"]["title"] for run in the_plan.runs] == ["gsm8k"]


def test_the_prompts_text_is_in_the_identity_and_another_prompt_is_another_run(natural: tuple[str, ...]) -> None:
    words = (*natural, "model=deepseek_math_7b", f"model.revision={'a' * 40}", "arm=sft", "n_problems=1")
    more = ([], ["prompt=few_shot", "dataset.n_examples=1"], ["prompt=chat"], ["dataset.instruction='Think.'"])
    runs = [plan_of((*words, *words_of))[0].runs[0].evaluate for words_of in more]
    datasets = [run.identity["dataset"] for run in runs]
    assert {one["prompt"] for one in datasets} == {"Question: {question}\nAnswer:\n"}
    assert [one["n_examples"] for one in datasets] == [0, 1, 0, 0]
    assert [one["is_chat"] for one in datasets] == [False, False, True, False]
    assert len({run.key for run in runs}) == 4


def test_unseen_problems_are_evaluated_where_there_are_some(natural: tuple[str, ...], tmp_path: Path) -> None:
    words = (*natural, "model=deepseek_math_7b", f"model.revision={'a' * 40}", "arm=sft", "evaluation=unseen")
    with pytest.raises(ValueError, match="dataset gsm8k: no split 'unseen'; choose one of test, train, validation"):
        plan_of(words)
    (tmp_path / "unseen.jsonl").write_text('{"question": "new?", "answer": "#### 3"}\n')
    found, _ = plan_of((*words, f"dataset.unseen_path={tmp_path / 'unseen.jsonl'}"))
    assert found.runs[0].evaluate.identity["evaluation"]["split"] == "unseen"


def test_steps_of_natural_text_are_not_sorted_into_sound_and_spurious(natural: tuple[str, ...]) -> None:
    model = ("model=deepseek_math_7b", "model.revision=abc", "arm=rft_sound")
    with pytest.raises(ValueError, match="tells sound steps from spurious ones, which dataset=gsm8k"):
        plan_of((*natural, *model))
