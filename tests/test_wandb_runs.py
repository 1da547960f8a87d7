"""The table made of W&B: what offline runs hold is what it is made of, and W&B's public API is all that is faked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import wandb
from tiny_sweep import Sweep, planned, tiny

from sweep.__main__ import main
from sweep.artifacts import Store
from sweep.config import Exec, TrackingConfig
from sweep.launchers.execute import build
from sweep.manifest import key_of
from sweep.results import Table, collect, read_table

GRID = ("arm=sft,step_dpo", "n_problems=8,16")
PROJECT = "me/rl-on-incorrect"


@dataclass
class ApiRun:
    """A run as wandb.Api shows it, made of what an offline run holds: `wandb sync` uploads exactly this."""

    id: str
    state: str
    files: dict[str, Path] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(offline: Path) -> ApiRun:
        command = [Path(sys.executable).with_name("wandb"), "leet", "inspect", "--json", *offline.glob("*.wandb")]
        lines = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
        records = [json.loads(line) for line in lines]
        saved = [one["path"] for r in records if r["type"] == "files" for one in r["files"]["files"]]
        run = next(r["run"] for r in records if r["type"] == "run")
        has_ended = any(r["type"] == "exit" and not r["exit"].get("exit_code") for r in records)
        files = {name: offline / "files" / name for name in saved}
        return ApiRun(run["run_id"], "finished" if has_ended else "running", files, run["config"]["update"])

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
    found = {run.id: run for run in [*runs, ApiRun("sft-0123456789abcdef", "running")]}

    class Api:
        def runs(self, path: str) -> list[ApiRun]:
            if path != PROJECT:
                raise ValueError(f"Could not find project {path}")  # what wandb 0.31 raises
            return list(found.values())

    monkeypatch.setattr(wandb, "Api", Api)
    return found


@pytest.fixture
def from_wandb(tracked: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture) -> Callable[..., Table]:
    """The table that the command line makes of W&B; a refusal is raised as its message."""

    def collected(*words: str, project: str = PROJECT) -> Table:
        code = main(["collect", "--from", "wandb", project, *words, "--out", str(tmp_path / "table")])
        said = capsys.readouterr()
        if code:
            raise ValueError(said.err)
        return read_table(tmp_path / "table")

    return collected


def from_store(sweep: Sweep) -> Table:
    runs = [(run.leaf.exp, run.evaluate) for run in sweep.plan.runs]
    return collect([*runs, *((None, stage) for _, stage in sweep.plan.base_evaluations)], sweep.store)


def test_a_grids_table_from_wandb_is_the_one_from_the_store(tracked: Sweep, uploaded, from_wandb) -> None:
    found, expected = from_wandb("-m", *tracked.words[:-1]), from_store(tracked)
    pd.testing.assert_frame_equal(found.runs, expected.runs)
    pd.testing.assert_frame_equal(found.outcomes, expected.outcomes)
    assert found.provenance["versions"] == expected.provenance["versions"]


def test_without_a_grid_the_whole_project_is_the_table(tracked: Sweep, uploaded, from_wandb) -> None:
    found, expected = from_wandb(), from_store(tracked)
    theirs, ours = (
        t.runs.drop(columns="config").sort_values("run", ignore_index=True) for t in (found, expected)
    )
    pd.testing.assert_frame_equal(theirs, ours)
    config = json.loads(found.runs.set_index("run").config[tracked.plan.runs[0].evaluate.key])
    assert config["evaluate"]["evaluation"]["split"] == "test" and config["sft"]["n_problems"] == 8


def test_an_evaluation_says_in_wandb_which_policy_it_judges(offline: list[ApiRun], tracked: Sweep) -> None:
    run = next(run for run in tracked.plan.runs if run.leaf.exp.method.name == "step_dpo")
    (config,) = [one.config for one in offline if one.id == run.evaluate.key]
    assert config["policy"]["n_problems"] == run.leaf.exp.n_problems
    assert config["policy"]["method"]["name"] == "step_dpo" and config["policy"]["source"]["name"] == "self"


def test_a_run_that_is_not_there_is_named(uploaded, tracked: Sweep, from_wandb) -> None:
    gone = tracked.plan.runs[1].evaluate.key
    del uploaded[gone]
    with pytest.raises(ValueError, match=f"{PROJECT} has 4 evaluations in W&B and lacks {gone}; upload"):
        from_wandb("-m", *tracked.words[:-1])
    assert len(from_wandb().runs) == 4


def test_an_unfinished_evaluation_is_refused_and_a_grid_without_it_is_not(
    uploaded, tracked: Sweep, from_wandb
) -> None:
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
        main_refused("collect", "--from", "mlflow", PROJECT)
    uploaded.clear()
    with pytest.raises(ValueError, match="has 0 evaluations in W&B and lacks any to make a table of"):
        from_wandb()


def main_refused(*words: str) -> None:
    from sweep.__main__ import VERBS

    VERBS[words[0]](list(words[1:]))


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
    with pytest.raises(ValueError, match=rf"W&B run {key} has no whole .*make it sft-\w+, and it says sft-"):
        from_wandb()
    elsewhere = json.loads(kept.read_text())
    one = elsewhere[0]
    one |= {"kind": "../../x", "key": key_of("../../x", one["version"], one["identity"], one["parents"])}
    changed.write_text(json.dumps(elsewhere))
    with pytest.raises(ValueError, match=rf"W&B run {key} has no whole .*and it says \.\./\.\./x-"):
        from_wandb()
    changed.write_text(uploaded[tracked.plan.runs[1].evaluate.key].files["manifests.json"].read_text())
    with pytest.raises(ValueError, match=rf"W&B run {key}: its manifests.json does not tell of it"):
        from_wandb()
    changed.write_text(kept.read_text())
    outcomes = tmp_path / "outcomes.parquet"
    outcomes.write_bytes(uploaded[key].files["outcomes.parquet"].read_bytes()[:-1] + b"?")
    uploaded[key].files["outcomes.parquet"] = outcomes
    with pytest.raises(ValueError, match=r"outcomes.parquet does not have the sha256 it was published with"):
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


def test_the_documented_command_finds_every_offline_run_of_a_sweep(tracked: Sweep) -> None:
    readme = (Path(__file__).parents[1] / "slurm/README.md").read_text()
    (line,) = [line.strip() for line in readme.splitlines() if line.strip().startswith("wandb sync ")]
    command = line.replace("/shared/store", str(tracked.store.root)).replace("wandb sync", "wandb sync --dry-run", 1)
    tool = Path(sys.executable).parent
    done = subprocess.run(["bash", "-c", f"{tool}/{command}"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "Would sync 5 run(s)" in done.stdout + done.stderr, done.stdout + done.stderr
