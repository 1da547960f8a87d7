"""The table made of W&B: what offline runs hold is what it is made of, and W&B's public API is all that is faked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import wandb
from fake_wandb import inspected
from tiny_sweep import Sweep, planned, tiny

from sweep.__main__ import VERBS, main
from sweep.artifacts import Store
from sweep.commands.tables import collect_table
from sweep.commands.words import line_of
from sweep.config import Exec, TrackingConfig
from sweep.launchers.code import git
from sweep.launchers.execute import build
from sweep.launchers.local_view import label
from sweep.launchers.shown import flat
from sweep.manifest import key_of
from sweep.results import collect
from sweep.table import Results, read_table
from sweep.tracking import wandb_runs

GRID = ("arm=sft,step_dpo", "n_problems=8,16")
PROJECT = "me/rl-on-incorrect"
asked: list[dict[str, Any]] = []  # filters of W&B's API


@dataclass
class ApiRun:
    """A run as wandb.Api shows it, made of what an offline run holds: `wandb sync` uploads exactly this."""

    id: str
    state: str
    files: dict[str, Path] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(offline: Path) -> ApiRun:
        records = inspected(next(offline.glob("*.wandb")))
        saved = [one["path"] for r in records if r["type"] == "files" for one in r["files"]["files"]]
        run = next(r["run"] for r in records if r["type"] == "run")
        has_ended = any(r["type"] == "exit" and not r["exit"].get("exit_code") for r in records)
        files = {name: offline / "files" / name for name in saved}
        by_kind = {kind: [r[kind] for r in records if r["type"] == kind] for kind in ("summary", "history", "artifact")}
        summary = {name: value for one in by_kind["summary"] for name, value in one["update"].items()}
        return ApiRun(
            run["run_id"],
            "finished" if has_ended else "running",
            files,
            run["config"]["update"],
            summary,
            by_kind["history"],
            by_kind["artifact"],
            run,
        )

    def file(self, name: str) -> ApiFile:
        return ApiFile(self.files[name])


@dataclass
class ApiFile:
    path: Path

    def download(self, root: str, replace: bool) -> Any:
        assert replace
        shutil.copyfile(self.path, Path(root, self.path.name))
        return Path(root, self.path.name).open()


@pytest.fixture(scope="module")
def tracked(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """The evaluations of four runs and of the base model, built with W&B offline."""
    store, plan = Store(tmp_path_factory.mktemp("tracked") / "store"), planned(*GRID)
    for key, stage in plan.stages.items():
        if stage.kind != "evaluate":
            shutil.copytree(sweep.store.folder(key), store.folder(key))
    for stage in plan.stages.values():
        build(stage, store, Exec(store=str(store.root)), TrackingConfig(name="wandb", mode="offline"))
    return Sweep((*tiny(*GRID), f"exec.store={store.root}"), plan, store)


@pytest.fixture(scope="module")
def offline(tracked: Sweep) -> list[ApiRun]:
    return [ApiRun.of(folder) for folder in tracked.store.root.glob("*/wandb/offline-run-*")]


@pytest.fixture
def uploaded(offline: list[ApiRun], monkeypatch: pytest.MonkeyPatch) -> dict[str, ApiRun]:
    """The runs that wandb.Api finds in the project, by id."""
    runs = [ApiRun(run.id, run.state, dict(run.files)) for run in offline]
    asked.clear()
    found = {run.id: run for run in [*runs, ApiRun("sft-0123456789abcdef", "running")]}

    class Api:
        def __init__(self, timeout: int) -> None:
            assert timeout <= 60

        def runs(self, path: str, filters: dict[str, Any], per_page: int) -> list[ApiRun]:
            if path != PROJECT:
                raise ValueError(f"Could not find project {path}")  # what wandb 0.31 raises
            asked.append(filters)
            keys = [one["name"]["$in"] for one in filters.get("$and", ()) if "name" in one]
            return [run for run in found.values() if not keys or run.id in keys[0]]

    monkeypatch.setattr(wandb, "Api", Api)
    return found


@pytest.fixture
def from_wandb(tracked: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture) -> Callable[..., Results]:
    """The table that the command line makes of W&B; a refusal is raised as its message."""

    def collected(*words: str, project: str = PROJECT) -> Results:
        code = main(["collect", "--from", "wandb", project, *words, "--out", str(tmp_path / "table")])
        said = capsys.readouterr()
        if code:
            raise ValueError(said.err)
        return read_table(tmp_path / "table")

    return collected


def from_store(sweep: Sweep, **more: Any) -> Results:
    runs = [(run.leaf.exp, run.evaluate) for run in sweep.plan.runs]
    return collect([*runs, *((None, stage) for stage in sweep.plan.base_evaluations)], sweep.store, **more)


def test_a_grids_table_from_wandb_is_the_one_from_the_store(tracked: Sweep, uploaded, from_wandb) -> None:
    keys = [*(run.evaluate.key for run in tracked.plan.runs), *(stage.key for stage in tracked.plan.base_evaluations)]
    found, expected = from_wandb("-m", *tracked.words[:-1]), from_store(tracked, replicates=dict.fromkeys(keys, 0))
    pd.testing.assert_frame_equal(found.runs, expected.runs)
    pd.testing.assert_frame_equal(found.outcomes, expected.outcomes)
    assert found.provenance["versions"] == expected.provenance["versions"]


def test_without_a_grid_the_whole_project_is_the_table(tracked: Sweep, uploaded, from_wandb) -> None:
    found, expected = from_wandb(), from_store(tracked)
    theirs, ours = (t.runs.drop(columns="config").sort_values("run", ignore_index=True) for t in (found, expected))
    pd.testing.assert_frame_equal(theirs, ours)
    config = json.loads(found.runs.set_index("run").config[tracked.plan.runs[0].evaluate.key])
    assert config["evaluate"]["evaluation"]["split"] == "test" and config["sft"]["n_problems"] == 8


def test_an_evaluation_says_in_wandb_which_policy_it_judges(offline: list[ApiRun], tracked: Sweep) -> None:
    run = next(run for run in tracked.plan.runs if run.leaf.exp.method.name == "step_dpo")
    (config,) = [one.config for one in offline if one.id == run.evaluate.key]
    assert config["policy"]["n_problems"] == run.leaf.exp.n_problems
    assert config["policy"]["method"]["name"] == "step_dpo" and config["policy"]["source"]["name"] == "self"


def test_an_evaluation_has_its_error_and_what_charts_group_by_under_flat_names(
    offline: list[ApiRun], tracked: Sweep
) -> None:
    run = next(run for run in tracked.plan.runs if run.leaf.exp.method.name == "step_dpo")
    facts = tracked.store.manifest(run.evaluate.key).facts
    (shown,) = [one for one in offline if one.id == run.evaluate.key]
    flat = {name: shown.config[name] for name in ("arm", "n_problems", "source", "method", "seed", "split")}
    assert flat == {
        "arm": "per-step DPO",
        "n_problems": run.leaf.exp.n_problems,
        "source": "self",
        "method": "step_dpo",
        "seed": 0,
        "split": "test",
    }
    assert shown.summary["test_error"] == (40 - facts["n_correct"]) / 40
    assert shown.summary["test_error_sampled"] == (40 - facts["n_correct_sampled"]) / 40
    assert shown.summary["n_correct"] == facts["n_correct"]
    assert shown.config["commit"] == git()["commit"]


def test_every_evaluation_has_what_the_main_chart_is_drawn_of_and_under_one_name(
    offline: list[ApiRun], tracked: Sweep
) -> None:
    """Y is test_error, X is n_problems, a colour an arm: nothing nested, nothing to be worked out on the page."""
    words = {"arm": str, "n_problems": int, "source": str, "method": str, "seed": int, "replicate": int, "commit": str}
    shown = {one.id: one for one in offline}
    ends = [*(run.evaluate for run in tracked.plan.runs), *tracked.plan.base_evaluations]
    assert len(ends) == 5
    for stage in ends:
        config = shown[stage.key].config
        assert {name: type(config.get(name)) for name in words} == words, stage.key
        assert 0 <= shown[stage.key].summary["test_error"] <= 1
        assert (config["replicate"], config["commit"]) == (0, git()["commit"])


def test_an_evaluation_is_shown_under_its_replicate_which_is_no_part_of_its_key() -> None:
    ends = [run.evaluate for run in planned("arm=sft,rft", "replicate=3,4").runs]
    assert [flat(stage)["replicate"] for stage in ends] == [3, 4, 3, 4]
    assert [stage.key for stage in ends] == [replace(stage, replicate=7).key for stage in ends]


def test_the_base_models_evaluation_is_an_arm_of_its_own(offline: list[ApiRun], tracked: Sweep) -> None:
    key = tracked.plan.base_evaluations[0].key
    (shown,) = [one for one in offline if one.id == key]
    assert (shown.config["arm"], shown.config["n_problems"]) == ("base", 0)


def test_a_run_is_named_as_the_live_view_names_its_stage_and_tagged_by_kind_arm_and_split(
    offline: list[ApiRun], tracked: Sweep
) -> None:
    run = next(run for run in tracked.plan.runs if run.leaf.exp.method.name == "step_dpo")
    (shown,) = [one for one in offline if one.id == run.evaluate.key]
    assert shown.record["display_name"] == label(run.evaluate)
    assert shown.record["tags"] == ["evaluate", "per-step DPO", "test"]


def test_facts_are_in_the_summary_once_and_in_no_curve(offline: list[ApiRun], tracked: Sweep) -> None:
    (shown,) = [one for one in offline if one.id == tracked.plan.runs[0].evaluate.key]
    assert [name for name in shown.summary if name.endswith("n_correct")] == ["n_correct"]
    assert shown.history == []


def test_outcomes_are_a_table_of_the_page(offline: list[ApiRun], tracked: Sweep) -> None:
    key = tracked.plan.runs[0].evaluate.key
    (shown,) = [one for one in offline if one.id == key]
    told = shown.summary["outcomes"]
    table = json.loads(shown.files[told["path"]].read_text())
    expected = pd.read_parquet(tracked.store.folder(key) / "outcomes.parquet")
    assert (told["_type"], told["nrows"], told["ncols"]) == ("table-file", 40, 5)
    pd.testing.assert_frame_equal(pd.DataFrame(table["data"], columns=table["columns"]), expected, check_dtype=False)


def test_the_lineage_of_an_evaluation_is_its_parents_artifact_used_and_its_own_made(
    offline: list[ApiRun], tracked: Sweep
) -> None:
    stage = tracked.plan.runs[0].evaluate
    (shown,) = [one for one in offline if one.id == stage.key]
    policy = stage.parents["policy"]
    assert [(a["name"], a["type"], a.get("use_after_commit", False)) for a in shown.artifacts] == [
        (policy.key, policy.kind, True),
        (stage.key, "evaluate", False),
    ]
    assert all("local_path" not in json.dumps(a) for a in shown.artifacts)  # names alone: no weights leave the machine


def test_nothing_of_the_machine_is_in_a_run_but_what_its_manifest_says(offline: list[ApiRun]) -> None:
    for shown in offline:
        assert sorted(shown.files) == ["manifests.json", "media/table/outcomes.table.json", "outcomes.parquet"]
        assert not {"host", "git", "code_path"} & {name for name, value in shown.record.items() if value}


def test_the_server_is_asked_for_evaluations_alone_and_for_those_of_the_grid(
    uploaded, tracked: Sweep, from_wandb
) -> None:
    from_wandb()
    from_wandb("-m", *tracked.words[:-1], "n_problems=8")
    keys = [run.evaluate.key for run in tracked.plan.runs if run.leaf.exp.n_problems == 8]
    base = tracked.plan.base_evaluations[0].key
    assert asked == [
        {"jobType": "evaluate"},
        {"$and": [{"jobType": "evaluate"}, {"name": {"$in": sorted([*keys, base])}}]},
    ]


def test_a_long_list_tells_how_far_it_is(uploaded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(wandb_runs, "N_A_LINE", 2)
    lines: list[str] = []
    wandb_runs.fetch(PROJECT, Store(tmp_path), tell=lines.append)
    assert "2 evaluations listed" in lines and "4 of 5 evaluations fetched" in lines


def test_a_download_that_breaks_off_is_told_in_a_sentence(uploaded, tracked: Sweep, from_wandb, tmp_path: Path) -> None:
    key = tracked.plan.runs[0].evaluate.key
    whole = uploaded[key].files["outcomes.parquet"].read_bytes()
    uploaded[key].files["outcomes.parquet"] = tmp_path / "outcomes.parquet"
    (tmp_path / "outcomes.parquet").write_bytes(whole[:100])
    told = f"W&B run {key}: 100 of {len(whole)} bytes of its outcomes.parquet came; give the command again"
    with pytest.raises(ValueError, match=told):
        from_wandb()


def test_a_run_that_is_not_there_is_named(uploaded, tracked: Sweep, from_wandb) -> None:
    gone = tracked.plan.runs[1].evaluate.key
    del uploaded[gone]
    with pytest.raises(ValueError, match=f"{PROJECT} has 4 evaluations in W&B and lacks {gone}; send"):
        from_wandb("-m", *tracked.words[:-1])
    assert len(from_wandb().runs) == 4


def test_an_unfinished_evaluation_is_refused_and_a_grid_without_it_is_not(uploaded, tracked: Sweep, from_wandb) -> None:
    late = next(run.evaluate.key for run in tracked.plan.runs if run.leaf.exp.n_problems == 16)
    uploaded[late].state = "crashed"
    with pytest.raises(ValueError, match=rf"1 of 5 evaluations are not finished: {late} \(crashed\)"):
        from_wandb()
    assert len(from_wandb("-m", *tracked.words[:-1], "n_problems=8").runs) == 3


def test_an_empty_project_a_wrong_name_and_a_missing_project_are_refused(uploaded, from_wandb) -> None:
    with pytest.raises(ValueError, match="me/nothing cannot be read from W&B: Could not find project me/nothing"):
        from_wandb(project="me/nothing")
    with pytest.raises(ValueError, match="--from wandb nothing: expected ENTITY/PROJECT"):
        from_wandb(project="nothing")
    with pytest.raises(ValueError, match="--from mlflow: expected --from wandb ENTITY/PROJECT"):
        collect_table(line_of(["collect", "--from", "mlflow", PROJECT], list(VERBS)))
    uploaded.clear()
    with pytest.raises(ValueError, match="has 0 evaluations in W&B and lacks any to make a table of"):
        from_wandb()


def test_without_a_login_it_says_how_to_log_in(from_wandb, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(ValueError, match=r"W&B asks for a login: No API key configured.*WANDB_API_KEY"):
        from_wandb()


def test_a_run_without_its_files_is_refused(uploaded, tracked: Sweep, from_wandb) -> None:
    key = tracked.plan.runs[0].evaluate.key
    del uploaded[key].files["outcomes.parquet"]
    with pytest.raises(ValueError, match=f"W&B run {key} has no whole manifests.json and outcomes.parquet"):
        from_wandb()


def test_what_was_changed_in_wandb_is_not_believed(uploaded, tracked: Sweep, from_wandb, tmp_path: Path) -> None:
    key = tracked.plan.runs[0].evaluate.key
    kept = uploaded[key].files["manifests.json"]
    changed = tmp_path / "manifests.json"
    changed.write_text(kept.read_text().replace('"n_problems": 8', '"n_problems": 16'))
    uploaded[key].files["manifests.json"] = changed
    with pytest.raises(ValueError, match=rf"W&B run {key} has no whole .*make it sft-\w+, and it says 'sft-"):
        from_wandb()
    elsewhere = json.loads(kept.read_text())
    one = elsewhere[0]
    one |= {"kind": "../../x", "key": key_of("../../x", one["version"], one["identity"], one["parents"])}
    changed.write_text(json.dumps(elsewhere))
    with pytest.raises(ValueError, match=rf"W&B run {key} has no whole .*and it says '\.\./\.\./x-"):
        from_wandb()
    changed.write_text(uploaded[tracked.plan.runs[1].evaluate.key].files["manifests.json"].read_text())
    with pytest.raises(ValueError, match=rf"W&B run {key}: its manifests.json does not mention it"):
        from_wandb()
    changed.write_text(kept.read_text())
    outcomes = tmp_path / "outcomes.parquet"
    outcomes.write_bytes(uploaded[key].files["outcomes.parquet"].read_bytes()[:-1] + b"?")
    uploaded[key].files["outcomes.parquet"] = outcomes
    with pytest.raises(ValueError, match=r"outcomes.parquet is not what the evaluation wrote \(another sha256\)"):
        from_wandb()


def test_two_settings_at_one_grid_point_need_a_grid(uploaded, tracked: Sweep, from_wandb, tmp_path: Path) -> None:
    other = planned("arm=sft", "n_problems=8", "evaluation.temperature=0.5")
    store = Store(tmp_path / "store")
    shutil.copytree(tracked.store.root, store.root, ignore=shutil.ignore_patterns("wandb", ".*"))
    key = other.runs[0].evaluate.key
    build(other.stages[key], store, Exec(store=str(store.root)), TrackingConfig(name="wandb", mode="offline"))
    (folder,) = store.folder(key).glob("wandb/offline-run-*")
    uploaded[key] = ApiRun.of(folder)
    with pytest.raises(ValueError, match=r"differ in evaluate.evaluation.temperature; the table needs one run a cell"):
        from_wandb()
    assert len(from_wandb("-m", *tracked.words[:-1]).runs) == 5
