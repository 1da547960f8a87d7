"""Training curves: metrics.jsonl as the record, W&B offline as a view of it, read back with W&B's own reader."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_wandb import inspected
from tiny_sweep import Sweep, planned

from sweep import tracking
from sweep.artifacts import Stage, Store
from sweep.config import Exec, TrackingConfig
from sweep.launchers import execute
from sweep.launchers.execute import build, versions
from sweep.tracking import Tracker, server
from sweep.tracking.backend import Described, Outcome, Point, check_installed
from sweep.tracking.server import has_wandb_key

STAGE = Stage("sft", 1, {"n_problems": 8})


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@cache
def read_offline_run(folder: Path) -> SimpleNamespace:
    """A W&B offline run as `wandb leet inspect` reads it: its run record, its axes and its history rows."""
    files = list((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert len(files) == 1, f"{folder} holds {len(files)} offline runs"
    records = inspected(files[0])

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


def test_a_line_that_a_kill_cut_off_takes_none_of_the_next_start_with_it(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"update": 1, "time": 1.0, "loss": 3.0}\n{"update": 2, "ti')
    with Tracker(tmp_path, STAGE, TrackingConfig(name="jsonl"), "tests") as tracker:
        tracker.log(2, {"loss": 2.0})
    (tmp_path / "artifact").mkdir()
    tracker.copy_to(tmp_path / "artifact")
    assert [(row["update"], row["loss"]) for row in lines(tmp_path / "artifact")] == [(1, 3.0), (2, 2.0)]


def test_what_a_tracker_waits_for_is_no_cost_of_its_stage(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, view = [0.0], View(0)
    monkeypatch.setattr(tracking, "new_run", lambda config: view)
    monkeypatch.setattr(view, "start", lambda run, folder: clock.append(clock[-1] + 30.0) or 0)
    monkeypatch.setattr(execute, "time", SimpleNamespace(monotonic=lambda: clock[-1]))
    stage = next(s for s in sweep.plan.stages.values() if s.kind == "evaluate")
    for parent in stage.parents.values():
        (tmp_path / parent.key).symlink_to(sweep.store.folder(parent.key))
    manifest = build(stage, Store(tmp_path), Exec(store=str(tmp_path)), TrackingConfig(name="jsonl"))
    assert clock == [0.0, 30.0] and manifest.cost.seconds == 0.0


@dataclass
class View:
    """A live view that has `n_there` points when it is opened."""

    n_there: int
    is_live: bool = True
    breaks_at: str = ""
    updates: list[int] = field(default_factory=list)
    n_abandoned: int = 0

    def start(self, run: Described, folder: Path) -> int:
        self._may_break("start")
        return self.n_there

    def log(self, point: Point) -> None:
        if point.update == 3:
            self._may_break("log")
        self.updates.append(point.update)

    def finish(self, outcome: Outcome) -> str | None:
        self._may_break("finish")
        return None

    def abandon(self) -> None:
        self.n_abandoned += 1

    def _may_break(self, call: str) -> None:
        if call == self.breaks_at:
            raise RuntimeError(f"no more of {call}")


@pytest.mark.parametrize(("n_there", "expected"), [(0, [1, 2, 3, 4, 5]), (2, [3, 4, 5]), (3, [4, 5]), (4, [5])])
def test_a_live_view_is_given_each_update_once_whatever_it_had_before_the_kill(
    n_there: int, expected: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tracker(tmp_path, STAGE, TrackingConfig(name="jsonl"), "tests") as first:
        for update in (1, 2, 3):
            first.log(update, {"loss": 1.0})
    view = View(n_there)
    monkeypatch.setattr(tracking, "new_run", lambda config: view)
    with Tracker(tmp_path, STAGE, TrackingConfig(name="jsonl"), "tests") as second:  # from a checkpoint after update 1
        for update in (2, 3, 4, 5):
            second.log(update, {"loss": 1.0})
    assert view.updates == expected


def test_a_stage_that_is_told_to_stop_leaves_no_view_of_half_its_curve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = View(0, is_live=False)
    monkeypatch.setattr(tracking, "new_run", lambda config: view)
    for stop, given in ((True, []), (False, [1])):  # a failure is shown, as far as it came
        with (
            pytest.raises(FloatingPointError),
            Tracker(tmp_path, STAGE, TrackingConfig(name="jsonl"), "tests", should_stop=lambda stop=stop: stop) as one,
        ):
            one.log(1, {"loss": 2.0})
            raise FloatingPointError
        assert view.updates == given


CALLS = pytest.mark.parametrize("call", ["start", "log", "finish"])


def four_updates(views: list[View], mode: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage of four updates whose views are these, one after the other."""
    monkeypatch.setattr(tracking, "new_run", lambda config: views.pop(0))
    monkeypatch.setattr(tracking, "in_this_process", lambda config: config)
    monkeypatch.setattr(server, "_here", [])
    with Tracker(folder, STAGE, TrackingConfig(name="wandb", mode=mode), "tests") as one:
        for update in (1, 2, 3, 4):
            one.log(update, {"loss": 1.0})


@CALLS
def test_a_live_view_that_breaks_is_let_go_and_another_given_the_whole_curve_when_the_stage_is_over(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    live, kept = View(0, breaks_at=call), View(0, is_live=False)
    four_updates([live, kept], None, tmp_path, monkeypatch)
    assert kept.updates == [1, 2, 3, 4] and (live.n_abandoned, kept.n_abandoned) == (1, 0)
    said = capsys.readouterr().err
    assert f"wandb broke (RuntimeError: no more of {call}): runs are kept on this machine" in said


@CALLS
def test_a_view_on_this_machine_that_breaks_costs_itself_and_says_so(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    four_updates([View(0, is_live=False, breaks_at=call)], "offline", tmp_path, monkeypatch)
    said = capsys.readouterr().err
    assert f"{STAGE.key} has no run in wandb: wandb broke (RuntimeError: no more of {call}); its curve is in m" in said
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 4


@CALLS
def test_a_live_view_that_was_demanded_fails_its_stage_where_it_breaks_and_never_hides_the_stages_own_end(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match=f"no more of {call}"):
        four_updates([View(0, breaks_at=call)], "online", tmp_path, monkeypatch)
    if call == "finish":
        monkeypatch.setattr(tracking, "new_run", lambda config: View(0, breaks_at=call))
        with (
            pytest.raises(KeyboardInterrupt),
            Tracker(tmp_path, STAGE, TrackingConfig(name="wandb", mode="online"), "tests"),
        ):
            raise KeyboardInterrupt


# ---------------------------------------------------------------- without the packages


@pytest.fixture
def without_trackers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where neither package is installed."""
    for name in ("wandb", "trackio"):
        monkeypatch.setitem(sys.modules, name, None)
    installed = metadata.version

    def version(name: str) -> str:
        if name in ("wandb", "trackio"):
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(metadata, "version", version)
    versions.cache_clear()
    yield
    versions.cache_clear()


def test_tracking_jsonl_needs_no_tracker_to_be_installed(without_trackers: None, sweep: Sweep, tmp_path: Path) -> None:
    plan = planned("arm=sft", "n_problems=8", "seed=7")
    stage = next(s for s in plan.stages.values() if s.kind == "sft")
    for parent in stage.parents.values():
        (tmp_path / parent.key).symlink_to(sweep.store.folder(parent.key))
    manifest = build(stage, Store(tmp_path), Exec(store=str(tmp_path)), TrackingConfig(name="jsonl"))
    assert "torch" in manifest.provenance["versions"] and "wandb" not in manifest.provenance["versions"]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_tracker_that_is_not_installed_is_refused_before_any_work(name: str, without_trackers: None) -> None:
    with pytest.raises(ValueError, match=f"tracking={name} needs the Python package {name}, which is not installed"):
        check_installed(TrackingConfig(name=name))


# ---------------------------------------------------------------- trackio

TRACKIO = """
import json, sys
from pathlib import Path
from sweep.artifacts import Stage
from sweep.config import TrackingConfig
from sweep.tracking import Tracker
stage = Stage("evaluate", 1, {"evaluation": {"split": "test"}})
for first, last in ((1, 3), (2, 4)):  # the second goes on from a checkpoint after update 1
    tracker = Tracker(Path(sys.argv[1]), stage, TrackingConfig(name="trackio"), "my sweep", name="evaluate sft",
                      flat={"arm": "SFT", "n_problems": 8})
    with tracker:
        for update in range(first, last + 1):
            tracker.log(update, {"train/loss": 1 / update})
        tracker.conclude({"test_error": 0.25}, ["problem_id", "is_correct"], [["a", True]], {"x.json": b"{}"})
import trackio
from trackio.sqlite_storage import SQLiteStorage
(run,) = trackio.Api().runs("rl-on-incorrect")
print(json.dumps([run.name, run.config, SQLiteStorage.get_logs("rl-on-incorrect", run.name)]))
"""


def test_trackio_shows_a_curve_once_its_facts_and_what_charts_group_by(tmp_path: Path) -> None:
    pytest.importorskip("trackio", reason="trackio is not installed: pip install trackio")
    (tmp_path / "curves").mkdir()
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")}
    line = [sys.executable, "-c", TRACKIO, tmp_path / "curves"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    name, config, rows = json.loads(next(text for text in done.stdout.splitlines() if text.startswith("[")))
    assert name.startswith("evaluate sft evaluate-")
    assert (config["arm"], config["n_problems"], config["_Group"]) == ("SFT", 8, "my sweep")
    assert [(row["step"], row["train/loss"]) for row in rows[:-1]] == [(1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25)]
    assert rows[-1]["test_error"] == 0.25 and rows[-1]["outcomes"]["_type"] == "trackio.table"
