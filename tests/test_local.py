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
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import psutil
import pytest
from test_results import runs_of
from tiny_sweep import GRID, Sweep, planned, tiny

from analysis.gallery.entries import SWEEP_LACKS_RUNS
from sweep import heartbeat
from sweep.artifacts import Stage, Store
from sweep.config import Exec, Limits, TrackingConfig
from sweep.interruption import noted
from sweep.launchers.local import Pool, run
from sweep.launchers.todo import NOTHING_TO_LEARN
from sweep.launchers.worker import Worker, told
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


def command(store: Path, folder: Path, *words: str, **settings: Any) -> subprocess.Popen[str]:
    """The real command line in a process group of its own, with signals as a terminal's shell leaves them."""
    line = [sys.executable, "-m", "sweep", "-m", *tiny(*words), f"exec.store={store}", f"hydra.sweep.dir={folder}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    defaults = {"cwd": ROOT, "text": True, "start_new_session": True, "preexec_fn": signals_as_at_a_terminal}
    return subprocess.Popen(line, **{**defaults, **pipes, **settings})


def signals_as_at_a_terminal() -> None:
    """Undo what nohup, a script's background job or a test runner has set for its children."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


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


@pytest.mark.slow
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
    assert f"1 stage failed, {len(lost)} that need them were not tried; 3 of 6 runs are incomplete" in said
    before = logs(sweep_copy.store)
    assert launched(grid, sweep_copy.store) == 1
    assert executed(sweep_copy.store, before) == {bad}


def test_a_run_that_has_nothing_to_learn_from_is_no_fault(
    sweep_copy: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = planned("arm=sft,step_dpo", "n_problems=1", "sampling.n_samples=1")  # one solution is no pair
    assert launched(grid, sweep_copy.store) == NOTHING_TO_LEARN == SWEEP_LACKS_RUNS
    said = capsys.readouterr().err
    assert "NothingToLearn: " in said and "made no training pair out of" in said
    assert "1 stage failed, 2 that need them were not tried; 1 of 2 runs are incomplete. It has nothing to" in said
    assert "collect --finished" in said and "again tries exactly" not in said
    faulty = planned("arm=sft,step_dpo", "n_problems=1", "sampling.n_samples=1", "sft.passes=2,4")
    bad = next(key for key in faulty.stages if key.startswith("sft-") and key not in grid.stages)
    (sweep_copy.store.root / ".checkpoints").mkdir(exist_ok=True)
    sweep_copy.store.checkpoint_dir(bad).write_text("not a folder")
    assert launched(faulty, sweep_copy.store) == 1  # beside a fault the fault counts
    assert "again tries exactly these" in capsys.readouterr().err


@pytest.mark.slow
def test_a_worker_that_is_killed_fails_its_stage_and_the_sweep_goes_on(
    sweep_copy: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = planned("arm=sft", "n_problems=8,16", "sft.passes=40", "seed=3")
    shot: list[str] = []

    def shoot() -> None:
        key = wait_until(lambda: [key for key in sweep_copy.store.builds.running() if key.startswith("sft")])[0]
        wait_until(lambda: under_construction(sweep_copy.store.root, "sft"))
        shot.append(key)
        os.kill(sweep_copy.store.builds.running()[key].pid, signal.SIGKILL)

    watcher = threading.Thread(target=shoot)
    watcher.start()
    code = launched(grid, sweep_copy.store)
    watcher.join()
    said = capsys.readouterr().err
    assert code == 1
    assert f"FAILED {shot[0]}" in said and "its worker process ended with exit code -9" in said
    assert "1 stage failed, 1 that need them were not tried; 1 of 2 runs are incomplete" in said
    assert under_construction(sweep_copy.store.root, "sft") == []


@pytest.mark.slow
def test_a_worker_that_died_while_idle_is_replaced_and_its_stage_is_not_lost(sweep_copy: Sweep) -> None:
    exec = Exec(store=str(sweep_copy.store.root), n_workers=1)
    pool = Pool(planned("arm=sft", "n_problems=8", "seed=4"), sweep_copy.store, exec, TrackingConfig(name="jsonl"))
    waiting = dict(pool.waiting)
    pool._hire()
    (worker,) = pool.workers
    while not worker.is_ready:
        pool._receive(worker)
    worker.process.kill()
    worker.process.wait()
    pool._hand_out()
    pool._receive(worker)
    assert pool.waiting == waiting and pool.failed == {} and pool.workers == []
    with noted() as asked:
        pool.work(asked)
    assert pool.waiting == {} and pool.failed == {}
    assert pool.workers[0].process.poll() is None
    assert pool.dismiss() == []


# corruption


@pytest.mark.slow
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
    assert f"corrupted: {end.key}" in said.err and "outcomes.parquet should have" in said.err
    assert "34 built or not needed, 0 to build, 1 corrupted or in need of what is" in said.out
    assert "are built already" not in said.out
    assert logs(store) == {}

    assert launched(sweep_copy.plan, store, rebuild_corrupted=True) == 0
    assert executed(store, {}) == {end.key, sft}
    assert sorted(p.name.split(".")[0] for p in (store.root / ".corrupted").iterdir()) == sorted([end.key, sft])
    assert weights.read_bytes() != bytes(content)


@pytest.mark.slow
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
    assert "tries exactly these" not in said and "exec.rebuild_corrupted=true it builds those parents" in said


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
    assert f"{n_kept} built or not needed, {35 - n_kept} to build" in out
    assert under_construction(store.root, "*") == []
    assert_same_table(store, sweep)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "n_times"), [(signal.SIGINT, 3), (signal.SIGTERM, 2)])
def test_a_signal_given_several_times_ends_the_sweep_once_and_says_what_was_under_way(
    tmp_path: Path, number: signal.Signals, n_times: int
) -> None:
    store = Store(tmp_path / "store")
    driver = command(store.root, tmp_path / "runs", *GRID)
    wait_until(lambda: under_construction(store.root, "base"), 300)
    family = psutil.Process(driver.pid).children(recursive=True)
    key = under_construction(store.root, "base")[0].name.split(".")[0]
    for _ in range(n_times):
        os.killpg(driver.pid, number)  # as a terminal does, to the driver and its workers alike
        time.sleep(0.02)
    _, err = driver.communicate(timeout=120)
    assert driver.returncode == 128 + number
    assert err == (
        f"interrupted with 1 stage under way (base) and {34 - len(store.built())} not started; what was built is "
        "kept, give the same command again to go on\n"
    )
    wait_until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family), 30)
    assert under_construction(store.root, "*") == []
    beat = heartbeat.read(heartbeat.path_of(store.root, key))
    assert beat is not None and (beat.outcome, beat.error) == ("stopped", "the sweep was interrupted")


def test_a_signal_while_the_command_is_still_being_imported_is_one_line(tmp_path: Path) -> None:
    line = [sys.executable, "-X", "importtime", "-m", "sweep", "plan"]
    settings = {"cwd": ROOT, "text": True, "preexec_fn": signals_as_at_a_terminal}
    with subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, **settings) as process:
        assert process.stderr is not None
        said = iter(process.stderr.readline, "")
        assert any("hydra.errors" in told for told in said)  # the first import of many
        process.send_signal(signal.SIGINT)
        rest = list(said)
    assert process.returncode == 130
    assert [told for told in rest if "import time:" not in told] == ["interrupted before any work was started\n"]


def test_a_command_started_with_the_signal_ignored_goes_on_ignoring_it(tmp_path: Path) -> None:
    # as under nohup, or in the background of a script
    code = "import os, signal; from sweep import interruption; interruption.raise_once(); os.kill(os.getpid(), 2)"
    settings = {"cwd": ROOT, "preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
    assert subprocess.run([sys.executable, "-c", code], check=False, **settings).returncode == 0


# workers that cannot start


def broken_torch(folder: Path, n_that_start: int) -> str:
    """A folder for PYTHONPATH whose torch is the real one for the first workers, and afterwards cannot be loaded."""
    folder.mkdir()
    (folder / "torch.py").write_text(
        "import os, sys\n"
        f"here = {str(folder)!r}\n"
        "for n in range(99):\n"
        "    try:\n"
        "        os.mkdir(f'{here}/start-{n}')\n"
        "    except FileExistsError:\n"
        "        continue\n"
        "    break\n"
        f"if n >= {n_that_start}:\n"
        "    raise ImportError('libcudart.so: cannot map segment')\n"
        "sys.path.remove(here)\n"
        "del sys.modules['torch']\n"
        "import torch\n"
    )
    return str(folder)


def test_workers_that_cannot_start_end_the_sweep_with_their_last_words(
    sweep_copy: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", broken_torch(tmp_path / "broken", n_that_start=0))
    sweep_copy.store.set_aside(sweep_copy.plan.runs[-1].evaluate.key)
    assert launched(sweep_copy.plan, sweep_copy.store) == 1
    said = capsys.readouterr()
    assert "no worker process can start on this machine, so 1 stage was not tried and 1 of 12 runs are" in said.err
    assert said.err.endswith("    ImportError: libcudart.so: cannot map segment\n")
    assert "FAILED" not in said.out + said.err and logs(sweep_copy.store) == {}
    assert len(list((tmp_path / "broken").glob("start-*"))) == 2  # tried once more, and no oftener
    assert "built 0 stages" in said.out


def refused_fork(folder: Path) -> str:
    """A folder for PYTHONPATH whose torch is the real one, in a process that the system lets fork once."""
    folder.mkdir()
    (folder / "torch.py").write_text(
        "import errno, os, sys\n"
        "real, me, forks = os.fork, os.getpid(), []\n"
        "def fork():\n"
        "    if os.getpid() == me and forks:\n"
        "        raise OSError(errno.EAGAIN, 'no room for a process')\n"
        "    forks.append(1)\n"
        "    return real()\n"
        "os.fork = fork\n"
        f"sys.path.remove({str(folder)!r})\n"
        "del sys.modules['torch']\n"
        "import torch\n"
    )
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize("is_forked", [True, False])
def test_a_machine_with_room_for_one_worker_goes_on_with_one(
    is_forked: bool,
    sweep_copy: Sweep,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sweep.launchers.local.CAN_FORK", is_forked)  # False as on a system without forks
    broken = tmp_path / "broken"
    monkeypatch.setenv("PYTHONPATH", refused_fork(broken) if is_forked else broken_torch(broken, n_that_start=1))
    for run_ in sweep_copy.plan.runs[-2:]:
        sweep_copy.store.set_aside(run_.evaluate.key)
    exec = Exec(store=str(sweep_copy.store.root), n_workers=2)
    assert run(sweep_copy.plan, exec, TrackingConfig(name="jsonl")) == 0
    why = "[Errno 11] no room for a process" if is_forked else "ImportError: libcudart.so"
    assert f"a worker could not start, 1 go on: {why}" in capsys.readouterr().out


@pytest.mark.slow
def test_workers_outlive_the_process_that_they_were_forked_from_and_another_takes_its_place(sweep_copy: Sweep) -> None:
    exec = Exec(store=str(sweep_copy.store.root), n_workers=1)
    pool = Pool(planned("arm=sft", "n_problems=8", "seed=4"), sweep_copy.store, exec, TrackingConfig(name="jsonl"))
    pool._hire()
    (worker,), template = pool.workers, pool.template
    while not worker.is_ready:
        pool._receive(worker)
    assert template is not None and psutil.Process(worker.process.pid).ppid() == os.getpid()
    template.process.kill()
    template.process.wait()
    assert worker.process.poll() is None
    pool._bury(worker)
    assert worker.process.poll() == -signal.SIGKILL
    with noted() as asked:
        pool.work(asked)
    assert pool.waiting == {} and pool.failed == {} and pool.template is not template
    assert pool.dismiss() == [] and pool.template is None


def test_a_process_that_the_system_refuses_counts_as_a_worker_that_cannot_start(
    sweep_copy: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    sweep_copy.store.set_aside(sweep_copy.plan.runs[-1].evaluate.key)
    assert launched(sweep_copy.plan, sweep_copy.store) == 1
    assert capsys.readouterr().err.endswith("    [Errno 2] No such file or directory: '/no/such/python'\n")


# time limits and silence


@pytest.mark.slow
def test_a_stage_over_its_time_limit_is_stopped_and_fails_with_the_limits_name(
    sweep_copy: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = planned("arm=sft", "n_problems=8", "sft.passes=100000", "seed=3")
    key = next(key for key, stage in grid.stages.items() if stage.kind == "sft")
    assert launched(grid, sweep_copy.store, limits_minutes=Limits(sft=0.05)) == 1
    said = capsys.readouterr().err
    assert f"FAILED {key}" in said
    assert "stopped after 0.05 minutes, the limit of exec.limits_minutes.sft, " in said
    assert "1 stage failed, 1 that need them were not tried" in said
    assert under_construction(sweep_copy.store.root, "*") == []
    beat = heartbeat.read(heartbeat.path_of(sweep_copy.store.root, key))
    assert beat is not None and beat.outcome == "failed" and "exec.limits_minutes.sft" in beat.error


class Pipe:
    """A worker's pipe that takes everything."""

    def send(self, stage: Stage) -> None:
        pass


def waiting_worker(stage: Stage) -> Worker:
    worker = Worker(process=None, pipe=Pipe(), printed=None, is_ready=True)  # type: ignore[arg-type]
    assert worker.take(stage)
    return worker


def test_the_wait_for_another_builder_does_not_count_towards_the_limit(sweep: Sweep) -> None:
    grid = planned("arm=sft", "n_problems=8", "seed=3")
    exec = Exec(store=str(sweep.store.root), limits_minutes=Limits(sft=1.0))
    pool, buried = Pool(grid, sweep.store, exec, TrackingConfig(name="jsonl")), []
    pool._bury = lambda worker, why: buried.append(why)  # type: ignore[method-assign]
    stage = next(stage for stage in grid.stages.values() if stage.kind == "sft")
    worker = waiting_worker(stage)
    worker.seconds = 7200.0
    pool._look_at(worker, stage)
    assert buried == []
    worker.began()
    assert worker.seconds == 0.0
    worker.seconds = 61.0
    pool._look_at(worker, stage)
    assert len(buried) == 1 and "stopped after 1 minutes" in buried[0]


def test_a_silent_stage_is_told_of_after_5_minutes_and_whenever_the_silence_has_doubled(sweep: Sweep) -> None:
    worker = waiting_worker(next(iter(sweep.plan.stages.values())))
    worker.beat = heartbeat.Heartbeat("k", "h1", "ann", 7, "", 0.0, "update 3 of 40", progressed=0.0, time=0.0)
    said = []
    for minute in range(60):
        worker.beat = replace(worker.beat, time=60.0 * minute)  # alive, and stuck at update 3
        if told := worker.silence(heartbeat.Moment(60.0 * minute, 0.0, "")):
            said.append(told)
    assert said == [f"no progress for {n} min, ann on h1, process 7" for n in (5, 10, 20, 40)]


def test_the_sign_of_life_of_an_earlier_attempt_is_no_silence_of_the_one_under_way(sweep: Sweep) -> None:
    worker = waiting_worker(next(iter(sweep.plan.stages.values())))
    worker.process = SimpleNamespace(pid=8)  # type: ignore[assignment]
    left = heartbeat.Heartbeat("k", "h1", "ann", 7, "", 0.0, "", progressed=0.0, time=0.0)  # of one that was killed
    hour = heartbeat.Moment(3600.0, 0.0, "")

    def told_of(beat: heartbeat.Heartbeat) -> str:
        worker.told_at_s = heartbeat.QUIET_S
        worker.hear(beat)
        return worker.silence(hour)

    assert told_of(left) == ""  # it may take the lease at once
    worker.seconds = heartbeat.EVERY_S
    assert told_of(left).startswith("no sign of life for 60 min, ann on h1")  # it has not: another may hold it
    assert told_of(replace(left, outcome="failed")) == ""
    worker.began()
    assert told_of(left) == ""
    assert told_of(replace(left, pid=8)).startswith("no sign of life for 60 min")


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


@pytest.mark.slow
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
