"""The local launcher with real worker processes: sharing, failure, corruption, kill -9, Ctrl-C, a full disk.

Stages are counted by what happened on disk: a stage that was executed has a new artifact or a new log.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from test_results import runs_of
from tiny_sweep import GRID, Sweep, planned, tiny

from sweep.artifacts import Store
from sweep.config import Exec, TrackingConfig
from sweep.launchers.local import _Pool, run, told
from sweep.plan import Plan
from sweep.results import collect

ROOT = Path(__file__).parents[1]
CLOCKS = ["seconds", "total_seconds"]


def launched(plan: Plan, store: Store, **exec: Any) -> int:
    return run(plan, Exec(store=str(store.root), n_workers=1, **exec), TrackingConfig(name="jsonl"))


def executed(store: Store, since: dict[str, int]) -> set[str]:
    """Keys of the stages that a worker took since `since`, by their logs."""
    return {key for key, stamp in logs(store).items() if since.get(key) != stamp}


def logs(store: Store) -> dict[str, int]:
    return {p.stem: p.stat().st_mtime_ns for p in (store.root / ".logs").glob("*.log")}


def command(store: Path, folder: Path, *words: str) -> subprocess.Popen[str]:
    """The real command line in a process group of its own, as a shell starts it."""
    line = [sys.executable, "-m", "sweep", "-m", *tiny(*words), f"exec.store={store}", f"hydra.sweep.dir={folder}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(line, cwd=ROOT, text=True, start_new_session=True, **pipes)


def wait_until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.002)
    raise AssertionError(f"did not happen within {seconds} s")


def under_construction(store: Path, kind: str) -> list[Path]:
    return [p for p in (store / ".building").glob(f"{kind}-*") if p.is_dir()]


def assert_same_table(store: Store, sweep: Sweep) -> None:
    """The tables of two stores are equal, clocks aside."""
    mine, theirs = (collect(runs_of(sweep), s) for s in (store, sweep.store))
    pd.testing.assert_frame_equal(mine.runs.drop(columns=CLOCKS), theirs.runs.drop(columns=CLOCKS))
    pd.testing.assert_frame_equal(mine.outcomes, theirs.outcomes)


# sharing and resume


def test_the_same_command_again_builds_nothing(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    before = {key: (sweep.store.folder(key) / "manifest.json").stat().st_mtime_ns for key in sweep.plan.stages}
    assert launched(sweep.plan, sweep.store) == 0
    assert before == {k: (sweep.store.folder(k) / "manifest.json").stat().st_mtime_ns for k in sweep.plan.stages}
    assert logs(sweep.store) == {}
    assert "all 12 runs are built already" in capsys.readouterr().out


def test_a_failed_stage_costs_its_descendants_alone_and_is_tried_again_alone(
    sweep_copy: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    # at lr=1e20 the sft stage diverges; rft and sft_more stand on it, through 3 and 2 stages; the other half is new too
    grid = planned("arm=sft,rft,sft_more", "n_problems=8", "sft.lr=2e-3,1e20", "sft.passes=4", "sft.warmup_fraction=0")
    bad = next(key for key, stage in grid.stages.items() if stage.identity.get("optim", {}).get("lr") == 1e20)
    lost = grid.descendants(bad)
    good = set(grid.stages) - set(sweep_copy.plan.stages) - lost - {bad}
    assert launched(grid, sweep_copy.store) == 1
    said = capsys.readouterr().err
    assert executed(sweep_copy.store, {}) == good | {bad}
    assert f"FAILED {bad} (sft n_problems=8 seed=0): FloatingPointError: update" in said
    assert f"log: {sweep_copy.store.log_path(bad)}" in said
    assert "FloatingPointError" in sweep_copy.store.log_path(bad).read_text()
    assert f"1 stages failed, {len(lost)} that need them were not tried; 3 of 6 runs are incomplete" in said
    before = logs(sweep_copy.store)
    assert launched(grid, sweep_copy.store) == 1
    assert executed(sweep_copy.store, before) == {bad}


def test_a_worker_that_is_killed_fails_its_stage_and_the_sweep_goes_on(
    sweep_copy: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = planned("arm=sft", "n_problems=8,16", "sft.passes=40", "seed=3")
    shot: list[str] = []

    def shoot() -> None:
        key = wait_until(lambda: [key for key in sweep_copy.store.builders() if key.startswith("sft")])[0]
        wait_until(lambda: under_construction(sweep_copy.store.root, "sft"))
        shot.append(key)
        os.kill(sweep_copy.store.builders()[key].pid, signal.SIGKILL)

    watcher = threading.Thread(target=shoot)
    watcher.start()
    code = launched(grid, sweep_copy.store)
    watcher.join()
    said = capsys.readouterr().err
    assert code == 1
    assert f"FAILED {shot[0]}" in said and "its worker process ended with exit code -9" in said
    assert "1 stages failed, 1 that need them were not tried; 1 of 2 runs are incomplete" in said
    assert under_construction(sweep_copy.store.root, "sft") == []


def test_a_worker_that_died_while_idle_is_replaced_and_its_stage_is_not_lost(sweep_copy: Sweep) -> None:
    exec = Exec(store=str(sweep_copy.store.root), n_workers=1)
    pool = _Pool(planned("arm=sft", "n_problems=8", "seed=4"), sweep_copy.store, exec, TrackingConfig(name="jsonl"))
    waiting, worker = dict(pool.waiting), pool._start()
    pool.workers = [worker]
    worker.process.kill()
    worker.process.join()
    pool._hand_out()
    assert pool.waiting == waiting and pool.failed == {}
    assert pool.workers[0].process.is_alive() and pool.workers[0] is not worker
    pool.kill()
    assert not pool.workers[0].process.is_alive()


# corruption


def test_a_corrupted_artifact_is_named_not_used_and_rebuilt_on_request(
    sweep_copy: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    store, end = sweep_copy.store, sweep_copy.plan.runs[-1].evaluate
    sft = next(key for key, stage in sweep_copy.plan.stages.items() if stage.kind == "sft")
    (store.folder(end.key) / "outcomes.parquet").write_bytes(b"PAR1")
    weights = store.folder(sft) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1  # the same size, and every stage that needs these weights is built already
    weights.write_bytes(content)

    assert launched(sweep_copy.plan, store) == 1
    said = capsys.readouterr()
    assert f"FAILED {end.key}" in said.err and "outcomes.parquet should have" in said.err
    assert "are built already" not in said.out
    assert logs(store) == {}

    assert launched(sweep_copy.plan, store, rebuild_corrupted=True) == 0
    assert executed(store, {}) == {end.key, sft}
    assert sorted(p.name.split(".")[0] for p in (store.root / ".corrupted").iterdir()) == sorted([end.key, sft])
    assert weights.read_bytes() != bytes(content)


def test_a_stage_whose_parent_has_a_flipped_byte_fails_and_names_the_parent(
    sweep_copy: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    store, end = sweep_copy.store, sweep_copy.plan.runs[-1].evaluate
    train = end.parents["policy"].key
    weights = store.folder(train) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    store.set_aside(end.key)
    assert launched(sweep_copy.plan, store) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"FAILED {end.key}" in said
    assert f"{train}: corrupted artifact: model.safetensors does not have the sha256" in said


# interruption


@pytest.mark.slow
def test_kill_9_of_the_driver_leaves_no_worker_and_the_same_command_ends_in_the_same_table(
    sweep: Sweep, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    driver = command(store.root, tmp_path / "runs", *GRID)
    wait_until(lambda: under_construction(store.root, "base"), 120)
    family = psutil.Process(driver.pid).children(recursive=True)
    assert family
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    wait_until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family), 10)
    assert under_construction(store.root, "base")  # the killed build, which nobody takes for an artifact
    n_kept = len(store.built())
    assert n_kept < 5

    again = command(store.root, tmp_path / "runs", *GRID)
    out, err = again.communicate(timeout=300)
    assert (again.returncode, err) == (0, "")
    assert f"{n_kept} built or not needed, {31 - n_kept} to build" in out
    assert under_construction(store.root, "*") == []
    assert_same_table(store, sweep)


@pytest.mark.slow
def test_ctrl_c_ends_with_130_in_one_sentence_and_leaves_no_worker(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    driver = command(store.root, tmp_path / "runs", *GRID)
    wait_until(lambda: under_construction(store.root, "base"), 120)
    family = psutil.Process(driver.pid).children(recursive=True)
    os.killpg(driver.pid, signal.SIGINT)  # as a terminal does, to the driver and its workers alike
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert err == "interrupted: what was built is kept; give the same command again to go on\n"
    wait_until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family), 10)
    assert under_construction(store.root, "*") == []


# disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 1 MB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_fails_stages_in_one_paragraph_and_nothing_half_written_is_kept(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "filler").write_bytes(bytes(900_000))
    store = Store(small_disk / "store")
    assert launched(planned("arm=sft", "n_problems=8"), store) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("FAILED base")]
    assert len(said) == 1
    assert "No space left on device" in said[0]
    assert f"the store {store.root} must be writable and have room: free it or choose another" in said[0]
    assert [key for key in store.built() if key.startswith("base")] == []
    assert under_construction(store.root, "*") == []


def test_a_read_only_store_is_refused_before_any_work(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(ValueError, match=r"must be a folder this user can write to, found: Read-only file system; "):
        launched(planned("arm=sft", "n_problems=8"), store)


def test_a_failure_of_the_disk_says_what_to_do_and_any_other_error_is_told_as_it_is() -> None:
    full = told(OSError(28, "No space left on device"), Path("/store"))
    assert full == (
        "OSError: [Errno 28] No space left on device; the store /store must be writable and have room: free it or "
        "choose another with exec.store=FOLDER"
    )
    assert told(ValueError("a\n b"), Path("/store")) == "ValueError: a b"
