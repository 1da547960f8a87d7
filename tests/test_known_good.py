"""What a sweep survives: signals, a stopped machine, a deleted store, a clock set back, flipped bits, several drivers.

Each ends in the table of the sweep that nothing happened to.
"""

import os
import shutil
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from test_local import assert_same_table, command, under_construction, wait_until
from tiny_sweep import GRID, Sweep, build_all

from sweep.artifacts import CorruptArtifact, Cost, Stage, Store
from sweep.config import Exec
from sweep.launchers.execute import provenance


def unbuilt(sweep: Sweep, n: int = 2) -> set[str]:
    """Removes the last runs' evaluations and policies from the copy, so that there is little to build again."""
    gone = set()
    for run in sweep.plan.runs[-n:]:
        gone |= {run.evaluate.key, run.evaluate.parents["policy"].key}
    for key in gone:
        shutil.rmtree(sweep.store.folder(key))
    return gone


def finished(driver: subprocess.Popen[str]) -> str:
    out, err = driver.communicate(timeout=300)
    assert (driver.returncode, err) == (0, ""), err
    return out


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_a_driver_that_is_ended_in_the_middle_goes_on_where_it_was(
    sweep: Sweep, sweep_copy: Sweep, tmp_path: Path, number: signal.Signals
) -> None:
    unbuilt(sweep_copy)
    store = sweep_copy.store
    driver = command(store.root, tmp_path / "runs", *GRID)
    wait_until(store.builds.running, 120)
    driver.send_signal(number)
    driver.communicate(timeout=60)
    assert driver.returncode != 0
    wait_until(lambda: not store.builds.running())
    finished(command(store.root, tmp_path / "runs", *GRID))
    assert under_construction(store.root, "*") == []
    assert_same_table(store, sweep)


@pytest.mark.slow
def test_a_driver_that_was_stopped_keeps_its_build_and_another_waits_for_it(
    sweep: Sweep, sweep_copy: Sweep, tmp_path: Path
) -> None:
    unbuilt(sweep_copy, 1)
    store = sweep_copy.store
    first = command(store.root, tmp_path / "first", *GRID)
    wait_until(lambda: store.builds.running() and under_construction(store.root, "*"), 120)
    os.killpg(first.pid, signal.SIGSTOP)  # as a suspended laptop or a node whose memory is swapped out
    begun = under_construction(store.root, "*")
    second = command(store.root, tmp_path / "second", *GRID)
    wait_until(lambda: (tmp_path / "second").exists(), 120)
    gone = [folder for folder in begun if not folder.exists()]
    assert [f for f in gone if store.manifest(f.name.split(".")[0]) is None] == []
    os.killpg(first.pid, signal.SIGCONT)
    finished(first), finished(second)
    assert_same_table(store, sweep)


@pytest.mark.slow
def test_three_drivers_at_once_build_each_stage_once_and_end_in_one_table(
    sweep: Sweep, sweep_copy: Sweep, tmp_path: Path
) -> None:
    gone, store = unbuilt(sweep_copy), sweep_copy.store
    drivers = [command(store.root, tmp_path / f"runs-{n}", *GRID) for n in range(3)]
    for driver in drivers:
        finished(driver)
    assert set(store.built()) >= gone and under_construction(store.root, "*") == []
    assert not list((store.root / ".building").glob("*.lease"))
    assert_same_table(store, sweep)


@pytest.mark.slow
def test_a_store_that_is_deleted_under_a_driver_is_built_anew_by_the_same_command(sweep: Sweep, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    driver = command(store.root, tmp_path / "runs", *GRID)
    wait_until(lambda: under_construction(store.root, "base"), 120)
    while store.root.exists():  # the driver may write in between
        shutil.rmtree(store.root, ignore_errors=True)
    _, err = driver.communicate(timeout=300)
    assert "Traceback" not in err
    finished(command(store.root, tmp_path / "runs", *GRID))
    assert_same_table(store, sweep)


def test_a_clock_that_was_set_back_changes_no_number(
    sweep: Sweep, sweep_copy: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, real = unbuilt(sweep_copy), time.time
    monkeypatch.setattr(time, "time", lambda: real() - 10 * 86400)
    build_all(sweep_copy.plan, sweep_copy.store, [key for key in sweep_copy.plan.stages if key in gone])
    assert_same_table(sweep_copy.store, sweep)


def test_what_a_stage_took_is_told_by_a_clock_that_nobody_sets() -> None:
    made = provenance(datetime(2099, 1, 1, tzinfo=UTC), 2.5, Exec())  # it began before the clock was set back
    assert (made["started"], made["ended"]) == ("2099-01-01T00:00:00+00:00", "2099-01-01T00:00:02+00:00")
    assert made["gpu_seconds"] == 2.5 * len(made["gpus"])


def test_any_bit_that_flips_in_a_manifest_is_found_or_changes_nothing(tmp_path: Path) -> None:
    store, stage = Store(tmp_path / "store"), Stage("dsyn", 1, {"lr": 0.5})
    folder = store.builds.start(stage.key)
    (folder / "rows.txt").write_text("rows")
    whole = store.publish(stage, folder, {"n": 12}, Cost(seconds=1.5), {"host": "here"})
    path = store.folder(stage.key) / "manifest.json"
    content, n_found = path.read_bytes(), 0
    for position in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                assert Store(store.root).manifest(stage.key) == whole, (position, bit)
            except CorruptArtifact:
                n_found += 1
    assert n_found > 7 * len(content)


def test_any_bit_that_flips_in_a_file_is_found(tmp_path: Path) -> None:
    store, stage = Store(tmp_path / "store"), Stage("dsyn", 1, {"lr": 0.5})
    folder = store.builds.start(stage.key)
    (folder / "rows.txt").write_text("rows")
    store.publish(stage, folder, {}, Cost(), {})
    path = store.folder(stage.key) / "rows.txt"
    for position in range(4):
        for bit in range(8):
            flipped = bytearray(b"rows")
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            with pytest.raises(CorruptArtifact, match=r"rows.txt does not have the sha256 it was published with"):
                Store(store.root).open(stage.key)
