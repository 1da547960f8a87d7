"""Training curves: metrics.jsonl as the record, W&B offline as a view of it, read back with W&B's own reader."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_sweep import Sweep, planned

from sweep.artifacts import Stage, Store
from sweep.config import Exec, TrackingConfig
from sweep.launchers.execute import build
from sweep.tracking import Tracker, has_wandb_key

STAGE = Stage("sft", 1, {"n_problems": 8})


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@cache
def read_offline_run(folder: Path) -> SimpleNamespace:
    """A W&B offline run as `wandb leet inspect` reads it: its run record, its axes and its history rows."""
    files = list((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 1, f"{folder} holds {len(files)} offline runs"
    wandb = Path(sys.executable).with_name("wandb")
    line = [wandb, "leet", "inspect", "--json", files[0]]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True)
    records = [json.loads(text) for text in done.stdout.splitlines()]

    def of(kind: str) -> list[dict[str, Any]]:
        return [record[kind] for record in records if record["type"] == kind]

    axes = [(metric["glob_name"], metric["step_metric"]) for metric in of("metric") if "glob_name" in metric]
    return SimpleNamespace(run=of("run")[0], axes=axes, history=[row.get("item", row) for row in of("history")])


@pytest.fixture(scope="module")
def tracked(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one sft stage that was built with W&B on."""
    plan = planned("arm=sft", "n_problems=8", "seed=5")
    store = Store(tmp_path_factory.mktemp("tracked"))
    stage = next(s for s in plan.stages.values() if s.kind == "sft")
    for parent in stage.parents.values():
        (store.root / parent.key).symlink_to(sweep.store.folder(parent.key))
    exec = Exec(store=str(store.root), sweep_name="my sweep")
    return store.folder(build(stage, store, exec, TrackingConfig(name="wandb", mode="offline")).key)


def test_a_stage_is_one_offline_run_named_by_its_key_grouped_by_sweep_and_typed_by_kind(tracked: Path) -> None:
    run = read_offline_run(tracked).run
    assert (run["run_id"], run["run_group"], run["job_type"]) == (tracked.name, "my sweep", "sft")
    assert run["project"] == "rl-on-incorrect"


def test_curves_are_drawn_over_update_an_axis_of_our_own(tracked: Path) -> None:
    found = read_offline_run(tracked)
    assert ("*", "update") in found.axes
    assert [row["update"] for row in found.history] == [1, 2]  # ceil(2 passes * 8 problems / batches of 8)
    assert all("train/loss" in row for row in found.history)


def test_wandb_shows_what_metrics_jsonl_records(tracked: Path) -> None:
    shown = read_offline_run(tracked).history
    assert [row["train/loss"] for row in lines(tracked)] == [row["train/loss"] for row in shown]


def test_wandb_is_told_the_stages_identity(tracked: Path) -> None:
    config = read_offline_run(tracked).run["config"]["update"]
    assert config["n_problems"] == 8
    assert config["optim"]["batch_size"] == 8


TRACK = """
import sys
from pathlib import Path
from sweep import tracking
from sweep.artifacts import Stage
from sweep.config import TrackingConfig
tracking.WAIT_S = 2.0
config = TrackingConfig(name="wandb", mode=sys.argv[2] or None)
with tracking.Tracker(Path(sys.argv[1]), Stage("sft", 1, {}), config, "tests") as tracker:
    tracker.log(1, {"loss": 0.5})
"""


def tracked_without_a_server(folder: Path, mode: str | None) -> subprocess.CompletedProcess[str]:
    """A line logged in a process of its own, with a key, and a W&B server that refuses every connection."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}  # nor W&B's service here
    server = {"WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_INIT_TIMEOUT": "2"}
    line = [sys.executable, "-c", TRACK, str(folder), mode or ""]
    return subprocess.run(line, env={**mine, **server}, capture_output=True, text=True, timeout=120)


def test_a_wandb_server_that_does_not_answer_costs_the_live_view_and_not_the_stage(tmp_path: Path) -> None:
    done = tracked_without_a_server(tmp_path, None)
    assert done.returncode == 0, done.stderr
    assert "warning: W&B does not answer" in done.stderr
    assert [row["loss"] for row in lines(tmp_path)] == [0.5]
    assert [row["loss"] for row in read_offline_run(tmp_path).history] == [0.5]


def test_a_wandb_server_that_does_not_answer_fails_a_stage_that_demands_it(tmp_path: Path) -> None:
    done = tracked_without_a_server(tmp_path, "online")
    assert done.returncode != 0
    assert "CommError" in done.stderr


def test_tracking_jsonl_makes_no_wandb_folder(sweep: Sweep) -> None:
    folders = [sweep.store.folder(key) for key, stage in sweep.plan.stages.items() if stage.kind in ("sft", "evaluate")]
    assert len(folders) == 15
    for folder in folders:
        assert lines(folder)
        assert not (folder / "wandb").exists()


def test_a_line_of_metrics_has_its_update_and_a_time(tmp_path: Path) -> None:
    with Tracker(tmp_path, STAGE, TrackingConfig(name="jsonl"), "tests") as tracker:
        tracker.curve("phase_1", offset=100)(7, {"loss": 0.5})
    assert [{**row, "time": 0} for row in lines(tmp_path)] == [{"update": 107, "time": 0, "phase_1/loss": 0.5}]


def test_metrics_written_before_a_failure_are_kept(tmp_path: Path) -> None:
    with (
        pytest.raises(FloatingPointError),
        Tracker(tmp_path, STAGE, TrackingConfig(name="jsonl"), "tests") as tracker,
    ):
        tracker.log(1, {"loss": 2.0})
        raise FloatingPointError
    assert [row["loss"] for row in lines(tmp_path)] == [2.0]


def test_a_stage_that_goes_on_after_a_kill_has_one_curve_with_each_update_once(tmp_path: Path) -> None:
    tracker = Tracker(tmp_path, STAGE, TrackingConfig(name="jsonl"), "tests")
    with pytest.raises(SystemExit), tracker:
        for update in (1, 2, 3):
            tracker.log(update, {"loss": 10.0 - update})
        raise SystemExit
    with (tmp_path / "metrics.jsonl").open("a") as stream:
        stream.write('{"update": 4, "ti')
        stream.write("\n")
    with Tracker(tmp_path, STAGE, TrackingConfig(name="jsonl"), "tests") as tracker:  # from a checkpoint after update 1
        for update in (2, 3, 4):
            tracker.log(update, {"loss": 20.0 - update})
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    tracker.copy_to(artifact)
    assert [(row["update"], row["loss"]) for row in lines(artifact)] == [(1, 9.0), (2, 18.0), (3, 17.0), (4, 16.0)]


def test_a_second_builder_of_the_same_stage_cannot_change_a_curve_that_was_published(tmp_path: Path) -> None:
    curves, artifact = tmp_path / "curves", tmp_path / "artifact"
    curves.mkdir(), artifact.mkdir()
    with Tracker(curves, STAGE, TrackingConfig(name="jsonl"), "tests") as first:
        first.log(1, {"loss": 2.0})
    second = Tracker(curves, STAGE, TrackingConfig(name="jsonl"), "tests")
    with second:  # on another machine, when the first has just ended
        first.copy_to(artifact)
        second.log(1, {"loss": 2.0})
        second.log(2, {"loss": 1.0})
    assert [row["update"] for row in lines(artifact)] == [1]


def test_the_curve_of_a_stage_that_failed_stays_where_its_next_try_goes_on(sweep: Sweep, tmp_path: Path) -> None:
    plan = planned("arm=sft", "n_problems=8", "seed=6", "sft.lr=1e20", "sft.passes=6", "sft.warmup_fraction=0")
    store, stage = Store(tmp_path), next(s for s in plan.stages.values() if s.kind == "sft")
    for parent in stage.parents.values():
        (tmp_path / parent.key).symlink_to(sweep.store.folder(parent.key))
    for _ in range(2):
        with pytest.raises(FloatingPointError, match="Lower lr=1e\\+20"):
            build(stage, store, Exec(store=str(tmp_path)), TrackingConfig(name="jsonl"))
        assert {row["update"] for row in lines(store.checkpoint_dir(stage.key) / "curves")} == {1}
    assert store.manifest(stage.key) is None
    assert [p for p in (tmp_path / ".building").iterdir() if p.is_dir()] == []


@pytest.mark.parametrize(
    ("environment", "netrc", "is_found"),
    [
        ({}, None, False),
        ({"WANDB_API_KEY": "k"}, None, True),
        ({}, "machine api.wandb.ai login user password k", True),
        ({}, "machine elsewhere login user password k", False),
    ],
)
def test_wandb_is_online_only_where_a_key_is_configured(
    environment: dict[str, str], netrc: str | None, is_found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if netrc is not None:
        (tmp_path / "netrc").write_text(netrc)
    assert has_wandb_key() is is_found
