"""The SLURM launcher on a real SLURM, with everything going wrong that can: what is lost, and what the same
command does afterwards. Every fault is a real one; nothing of the project is replaced.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from test_slurm_cluster import REPOSITORY, cluster, daemons, recorded, sh, why_no_cluster
from tiny_sweep import build_all, planned, tiny

from sweep.artifacts import Store
from sweep.launchers.slurm import job as job_module
from sweep.launchers.slurm import queue
from sweep.launchers.slurm.submission import Submission, submissions
from sweep.plan import Plan
from sweep.results import collect
from sweep.table import Results

pytestmark = [pytest.mark.slurm, pytest.mark.skipif(why_no_cluster() is not None, reason=str(why_no_cluster()))]

SHORT = ("arm=sft", "sft.min_updates=100", "exec.checkpoint_every_s=0.5", "exec.device=cpu")
LONG = (*SHORT, "n_problems=16", "sft.min_updates=1500")
LAUNCHER = (
    "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1.5",
    "hydra.launcher.timeout_min=30",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """A grid, a store that holds its base model and D_syn, and how to launch it."""

    words: tuple[str, ...]
    plan: Plan
    store: Store
    undisturbed: Store

    def launch(self, *more: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(self.command(*more), **self.surroundings(), capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stderr + done.stdout
        return done

    def command(self, *more: str) -> list[str]:
        words = {word.split("=")[0]: word for word in (*self.words, *LAUNCHER, *more)}
        return [sys.executable, "-m", "sweep", "-m", *words.values(), f"exec.store={self.store.root}"]

    def surroundings(self) -> dict:
        return {"cwd": self.store.root.parent, "env": {**os.environ, "PYTHONPATH": str(REPOSITORY)}, "timeout": 600}

    def ask(self, verb: str, *words: str) -> str:
        command = [sys.executable, "-m", "sweep", verb, *words, f"exec.store={self.store.root}"]
        return subprocess.run(command, **self.surroundings(), capture_output=True, text=True, check=True).stdout

    def key(self, kind: str, n_problems: int = 16) -> str:
        for stage in self.plan.stages.values():
            if stage.kind != kind:
                continue
            identity = stage.parents["policy"].identity if kind == "evaluate" else stage.identity
            if identity.get("n_problems") == n_problems:
                return stage.key
        raise AssertionError(f"no {kind} at n_problems={n_problems}")

    def submission(self) -> Submission:
        return submissions(self.store)[-1]

    def built(self) -> set[str]:
        return {key for key in self.plan.stages if self.store.manifest(key) is not None}

    def n_built(self) -> Counter[str]:
        """How often jobs built each stage: more than once only where a fault explains it."""
        rows = [row for s in submissions(self.store) for row in s.attempts()]
        return Counter(row["key"] for row in rows if row["outcome"] == "built")

    def outcomes(self, key: str) -> list[str]:
        rows = [row for s in submissions(self.store) for row in s.attempts()]
        return [row["outcome"] for row in sorted(rows, key=lambda row: row["time"]) if row["key"] == key]

    def table(self, store: Store) -> Results:
        runs: list = [(run.leaf.exp, run.evaluate) for run in self.plan.runs]
        return collect([*runs, *((None, stage) for stage in self.plan.base_evaluations)], store)

    def assert_as_undisturbed(self) -> None:
        """Complete; weights, outcomes and the table, but for seconds, are those of an undisturbed sweep bit for bit."""
        assert self.built() == set(self.plan.stages)
        found, expected = self.table(self.store), self.table(self.undisturbed)
        timeless = [name for name in expected.runs if "seconds" not in name]
        assert len(timeless) == len(expected.runs.columns) - 2  # a stage's own, and in all
        pd.testing.assert_frame_equal(found.runs[timeless], expected.runs[timeless])
        pd.testing.assert_frame_equal(found.outcomes, expected.outcomes)
        for key in self.plan.stages:
            files = [self.store.open(key).manifest.files, self.undisturbed.open(key).manifest.files]
            for name in files[1]:
                if name.endswith((".safetensors", ".parquet", "traces.jsonl")):
                    assert files[0][name]["sha256"] == files[1][name]["sha256"], (key, name)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two nodes with two CPUs each, so that four stages run at a time."""
    folder = tmp_path_factory.mktemp("slurm")
    settings = ("--nodes=2", "--cpus=2", "--memory-mb=4000", "--gpus=1", "--slurmd-timeout=10", "--memory-poll=1")
    started = cluster("start", f"--state={folder}", *settings)
    try:
        if started.returncode:
            pytest.fail(f"slurm/cluster/start: {started.stderr}")
        os.environ["SLURM_CONF"] = str(folder / "etc/slurm.conf")
        yield folder
    finally:
        cluster("stop", f"--state={folder}", "--purge")
        del os.environ["SLURM_CONF"]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    """(base model and D_syn alone, every stage of the tests' grids undisturbed)."""
    root = tmp_path_factory.mktemp("stores")
    begun, whole = Store(root / "begun"), Store(root / "whole")
    plan = planned(*SHORT, "n_problems=8")
    build_all(plan, begun, [key for key, stage in plan.stages.items() if stage.kind in ("dsyn", "base")])
    shutil.copytree(begun.root, whole.root)
    return begun, whole


@pytest.fixture
def trial(nodes: Path, stores: tuple[Store, Store], tmp_path: Path):
    """A function that makes a Trial of some grid."""

    def make(*words: str) -> Trial:
        begun, whole = stores
        plan = planned(*words)
        build_all(plan, whole)
        shutil.copytree(begun.root, tmp_path / "store")
        return Trial(tiny(*words), plan, Store(tmp_path / "store"), whole)

    return make


def until(what: str, is_true, seconds: float = 600) -> None:  # generous: a machine may be busy with other work
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}\n{sh('squeue')}\n{sh('sinfo', '-N')}"
        time.sleep(0.3)


def settle(seconds: float = 1200) -> None:
    until("an empty queue", lambda: not sh("squeue", "-h"), seconds)


def state_of(job: str) -> str:
    return queue.accounted([job.split("_")[0]]).get(job, ("PENDING", "", ""))[0]


def job_of(trial: Trial, key: str) -> str:
    """The job, as array_index, that the latest submission gave a stage."""
    for array in reversed(trial.submission().arrays()):
        for index, keys in array.elements.items():
            if key in keys:
                return f"{array.job_id}_{index}"
    raise AssertionError(key)


def n_checkpoints(trial: Trial, key: str) -> int:
    return len(list(trial.store.checkpoint_dir(key).rglob("*.safetensors")))


def stage_processes(job: str) -> list[int]:
    """Pids of the Python processes of a job's element on this machine."""
    raw = sh("scontrol", "-o", "show", "job", job).split("JobId=")[1].split()[0]
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes() if folder.name.isdecimal() else b""
            is_job = words.startswith(sys.executable.encode()) and f"\0{job_module.__name__}\0".encode() in words
            if is_job and f"SLURM_JOB_ID={raw}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def has_pending(pid: int, number: signal.Signals) -> bool:
    """Whether a stopped process was sent a signal; SLURM may wake it before, so it may have ended as well."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True
    return bool(int(status.split("ShdPnd:")[1].split()[0], 16) & 1 << (number - 1))


# ---------------------------------------------------------------- five faults in one sweep, one a chain

ACCIDENTS = r"""
case "$SLURM_JOB_NAME-$SLURM_ARRAY_TASK_ID" in */sft-*) mine="$FAULTS/$SLURM_ARRAY_TASK_ID";; *) mine=/;; esac
if [ ! -e "$mine" ]; then
  touch "$mine"
  case "$SLURM_ARRAY_TASK_ID" in
    2) exit 0;;                            # ends well and has built nothing, as after os._exit(0)
    3) ulimit -t 2;;                       # dies in the middle, as after os._exit(1) or kill -9
    4) python3 -c 'import time; hog = b"1" * 3_000_000_000; time.sleep(30)' & sleep 20;;
  esac
fi
"""


def test_each_fault_costs_its_own_chain_and_the_same_command_completes(trial, tmp_path: Path) -> None:
    sweep = trial(*SHORT, "n_problems=8,9,10,11,12,13")
    sft = [sweep.key("sft", n) for n in range(8, 14)]
    evaluate = [sweep.key("evaluate", n) for n in range(8, 14)]
    (tmp_path / "faults").mkdir()
    (tmp_path / "faults.sh").write_text(f"FAULTS={tmp_path}/faults\n{ACCIDENTS}")
    (sweep.store.root / ".checkpoints").mkdir(exist_ok=True)
    sweep.store.checkpoint_dir(sft[1]).write_text("not a folder")  # saving a checkpoint raises

    setup = f"hydra.launcher.setup=['. {tmp_path}/faults.sh']"
    said = sweep.launch(setup).stdout
    jobs = {key: job_of(sweep, key) for key in (*sft, *evaluate)}
    assert "13 stages" in said and "3 sbatch calls" in said  # 6 sft, 6 evaluate, 1 evaluate of the base
    until("the job to cancel", lambda: state_of(jobs[sft[5]]) == "RUNNING")
    sh("scancel", jobs[sft[5]])
    settle()
    until(
        "the accounting to know how all ended", lambda: not {"PENDING", "RUNNING"} & set(map(state_of, jobs.values()))
    )

    found = [state_of(jobs[key]) for key in sft]
    assert found[:4] == ["COMPLETED", "FAILED", "COMPLETED", "FAILED"]
    assert found[4] in ("OUT_OF_MEMORY", "FAILED") and found[5] == "CANCELLED"
    # 2 is COMPLETED for SLURM, but has no manifest: its evaluation starts, finds that, and fails
    behind = [state_of(jobs[key]) for key in evaluate]
    assert behind == ["COMPLETED", "CANCELLED", "FAILED", "CANCELLED", "CANCELLED", "CANCELLED"]
    assert sweep.outcomes(sft[1]) == ["failed"] and sweep.outcomes(evaluate[2]) == ["blocked"]
    assert not {sft[1], sft[2], sft[3], sft[4], sft[5]} & sweep.built() and evaluate[0] in sweep.built()

    told = sweep.ask("status", "-m", *sweep.words)
    assert f"failed: {sft[1]} (job {jobs[sft[1]]})" in told
    assert "NotADirectoryError" in sweep.ask("logs", sft[1]) or "FileExistsError" in sweep.ask("logs", sft[1])

    sweep.store.checkpoint_dir(sft[1]).unlink()
    assert "10 to submit" in sweep.launch(setup).stdout
    settle()
    sweep.assert_as_undisturbed()
    assert set(sweep.n_built().values()) == {1}
    assert "0 to submit" in sweep.launch(setup).stdout
    over = json.loads((submissions(sweep.store)[0].folder / "over").read_text())
    assert [over[jobs[key]][:2] for key in sft[:3]] == [["COMPLETED", "0:0"], ["FAILED", "1:0"], ["COMPLETED", "0:0"]]
    assert [over[jobs[key]][1] != "0:0" for key in sft[3:5]] == [True, True]  # killed: nobody else could write it down
    assert sweep.store.open(sft[1]).manifest.provenance["exit_code"] == 0


# ---------------------------------------------------------------- a long stage that is disturbed


@pytest.mark.slow
def test_preemption_requeue_and_a_lost_node_resume_from_the_checkpoint_bit_for_bit(trial, nodes: Path) -> None:
    sweep = trial(*LONG)
    key = sweep.key("sft")
    sweep.launch("hydra.launcher.partition=low")
    job = job_of(sweep, key)

    def is_training(n_starts: int) -> bool:
        restart = sh("scontrol", "-o", "show", "job", job).split("Restarts=")[1].split()[0]
        return state_of(job) == "RUNNING" and int(restart) == n_starts and len(stage_processes(job)) > 0

    until("a checkpoint", lambda: n_checkpoints(sweep, key) > 0)
    sh("sbatch", "--partition=high", "--nodes=2", "--exclusive", "--mem=100", "--output=/dev/null", "--wrap=sleep 1")
    until("the preempted job to run again", lambda: is_training(1))
    assert sweep.outcomes(key) == ["stopped"]  # by the signal, after writing a checkpoint

    time.sleep(4)
    sh("scontrol", "requeue", job)
    until("the requeued job to run again", lambda: is_training(2))

    time.sleep(4)
    node = sh("squeue", "-h", "-r", "-j", f"{job},1", "-o", "%N").strip()
    before = recorded(nodes)
    steps = daemons.job_processes(nodes)
    daemons.end([before[f"slurmd-{node}"]], patience_s=0)
    for pid in steps:  # the whole node goes: its slurmd, its steps and what runs in them
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until("the lost node's job to run again", lambda: is_training(3))
    assert cluster("start", f"--state={nodes}").returncode == 0
    settle()
    sweep.assert_as_undisturbed()
    assert sweep.n_built()[key] == 1


@pytest.mark.slow
def test_a_time_limit_is_gone_on_from(trial) -> None:
    sweep = trial(*LONG)
    key = sweep.key("sft")
    sweep.launch("+hydra.launcher.stages.sft={signal_delay_s: 50}")
    until("a checkpoint", lambda: n_checkpoints(sweep, key) > 0)
    job = job_of(sweep, key)
    pids = stage_processes(job)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # SLURM looks at time limits every half a minute: do not finish before
    so_far = sh("scontrol", "-o", "show", "job", job).split("RunTime=")[1].split()[0]
    hours, minutes = map(int, so_far.split(":")[-3:-1])
    sh("scontrol", "update", f"JobId={job}", f"TimeLimit={60 * hours + minutes + 2}")  # however long the start took
    until("the signal of the time limit", lambda: any(has_pending(pid, signal.SIGUSR2) for pid in pids))
    sh("scontrol", "update", f"JobId={job}", "TimeLimit=60")
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    settle()
    sweep.assert_as_undisturbed()
    assert "stopped" in sweep.outcomes(key) and sweep.outcomes(key)[-1] == "built"


@pytest.mark.slow
def test_a_preempted_sampling_stage_goes_on_from_its_finished_chunks(trial) -> None:
    sweep = trial(*SHORT, "arm=rft", "n_problems=64", "sampling.n_samples=40", "exec.max_rows=16")
    key = sweep.key("samples", 64)
    sweep.launch()
    kept = sweep.store.checkpoint_dir(key) / "samples.jsonl"
    until("a finished chunk", kept.exists)
    job = job_of(sweep, key)
    sh("scancel", "--signal=USR2", job)
    until("the job to wait for its next start", lambda: not stage_processes(job))
    n_chunks = len(kept.read_text().splitlines())
    assert sweep.outcomes(key) == ["stopped"] and n_chunks > 0
    settle()
    sweep.assert_as_undisturbed()
    assert sweep.outcomes(key) == ["stopped", "built"]


@pytest.mark.slow
def test_restarts_are_capped(trial) -> None:
    sweep = trial(*LONG)
    key = sweep.key("sft")
    sweep.launch("hydra.launcher.max_restarts=0")
    job = job_of(sweep, key)
    until("a checkpoint", lambda: n_checkpoints(sweep, key) > 0)
    sh("scancel", "--signal=USR2", job)
    settle()
    assert state_of(job) == "FAILED" and state_of(job_of(sweep, sweep.key("evaluate"))) == "CANCELLED"
    sweep.launch()
    settle()
    sweep.assert_as_undisturbed()


@pytest.mark.slow
def test_an_orphan_of_a_node_whose_slurmd_died_and_its_second_copy_leave_one_artifact(trial, nodes: Path) -> None:
    sweep = trial(*LONG)
    key = sweep.key("sft")
    sweep.launch()
    job = job_of(sweep, key)
    until("a checkpoint", lambda: n_checkpoints(sweep, key) > 0)
    node = sh("squeue", "-h", "-r", "-j", f"{job},1", "-o", "%N").strip()
    orphans = stage_processes(job)
    for pid in orphans:
        os.kill(pid, signal.SIGSTOP)  # so that it is still there when the second copy is
    (sweep.store.root / ".building" / f"{key}.lease").unlink()  # as where nodes do not see each other's locks
    daemons.end([recorded(nodes)[f"slurmd-{node}"]], patience_s=0)
    building = sweep.store.root / ".building"
    until("a second copy at work", lambda: len([p for p in building.glob(f"{key}.*") if p.is_dir()]) == 2)
    assert "NODE_FAIL" in sh("sacct", "-n", "-X", "-D", "-o", "State", "-j", job)
    for pid in orphans:
        os.kill(pid, signal.SIGCONT)
    until("the first copy to end", lambda: not any(daemons.start_time(pid) for pid in orphans))
    assert cluster("start", f"--state={nodes}").returncode == 0
    settle()
    sweep.assert_as_undisturbed()
    assert sorted(sweep.outcomes(key)) == ["built", "found"]  # both worked; the later one's work was discarded
    assert f"built twice: {key} (" in sweep.ask("status", "-m", *sweep.words)
    assert [path for path in building.iterdir() if path.is_dir()] == []
    assert not sweep.store.checkpoint_dir(key).exists()


@pytest.mark.slow
def test_the_controller_may_die_and_come_back(trial, nodes: Path) -> None:
    sweep = trial(*SHORT, "n_problems=8,9")
    sweep.launch()
    submitted = time.time()
    written = nodes / "controller/job_state"  # every five seconds; what was submitted since is lost
    until("the controller to write its state down", lambda: written.stat().st_mtime > submitted)
    daemons.end([recorded(nodes)["slurmctld"]], patience_s=0)
    dead = sweep.launch(check=False)
    assert dead.returncode == 2 and "the SLURM controller cannot be asked, nothing was submitted" in dead.stderr
    assert cluster("start", f"--state={nodes}").returncode == 0
    settle()
    sweep.assert_as_undisturbed()
    assert set(sweep.n_built().values()) == {1}


@pytest.mark.slow
def test_what_the_controller_forgot_when_it_died_is_submitted_again(trial, nodes: Path, tmp_path: Path) -> None:
    sweep, remembered = trial(*SHORT, "n_problems=8,9,10"), tmp_path / "remembered"
    daemons.end([recorded(nodes)["slurmctld"]], patience_s=60)  # asked to end, it writes its state down
    shutil.copytree(nodes / "controller", remembered)
    assert cluster("start", f"--state={nodes}").returncode == 0
    sweep.launch("+hydra.launcher.hold=true")  # a node takes no second job of a number that it knows
    ours = {array.job_id for array in sweep.submission().arrays()}
    daemons.end([recorded(nodes)["slurmctld"]], patience_s=0)
    shutil.rmtree(nodes / "controller")
    shutil.copytree(remembered, nodes / "controller")  # as if it had not written anything down since
    assert cluster("start", f"--state={nodes}").returncode == 0
    assert not ours & {job.split("_")[0] for job in sh("squeue", "-h", "-r", "-o", "%i").split()}
    stranger = ("--parsable", "--hold", "--array=0-5", "--mem=10", "--output=/dev/null", "--wrap=true")
    strangers = {sh("sbatch", *stranger).strip() for _ in range(4)}
    assert ours & strangers  # it gives the same numbers again
    sweep.launch()
    sh("scancel", *strangers)
    settle()
    sweep.assert_as_undisturbed()


# ---------------------------------------------------------------- the store


@pytest.mark.slow
def test_a_full_disk_fails_the_stage_and_loses_nothing(trial, tmp_path: Path) -> None:
    sweep = trial(*SHORT, "n_problems=8")
    shutil.move(sweep.store.root, tmp_path / "kept")
    sweep.store.root.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", sweep.store.root], check=False)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        shutil.copytree(tmp_path / "kept", sweep.store.root, dirs_exist_ok=True)
        sweep.launch("+hydra.launcher.hold=true")
        filler = sweep.store.root / "filler"
        with filler.open("wb") as file, pytest.raises(OSError, match="No space left"):
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        sh("scontrol", "release", *{job_of(sweep, key).split("_")[0] for key in set(sweep.plan.stages) - sweep.built()})
        settle()
        assert sweep.key("sft", 8) not in sweep.built()
        filler.unlink()
        sweep.launch()
        settle()
        sweep.assert_as_undisturbed()
    finally:
        subprocess.run(["umount", sweep.store.root], check=True)


@pytest.mark.slow
def test_a_corrupted_artifact_is_refused_until_its_rebuild_is_asked_for(trial) -> None:
    sweep = trial(*SHORT, "n_problems=8,9")
    sweep.launch()
    settle()
    weights = sweep.store.folder(sweep.key("sft", 8)) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    shutil.rmtree(sweep.store.folder(sweep.key("evaluate", 8)))
    nobody_waits = sweep.store.folder(sweep.key("sft", 9)) / "model.safetensors"
    nobody_waits.write_bytes(bytes([nobody_waits.read_bytes()[0] ^ 1]) + nobody_waits.read_bytes()[1:])
    kept_out = sweep.launch(check=False)
    assert kept_out.returncode == 1 and "0 to submit" in kept_out.stdout
    assert "corrupted artifact: model.safetensors" in kept_out.stderr
    assert "3 to submit" in sweep.launch("exec.rebuild_corrupted=true").stdout  # both sft, one evaluation
    settle()
    sweep.assert_as_undisturbed()
    assert len(list((sweep.store.root / ".corrupted").iterdir())) == 2


def test_two_launches_at_once_build_every_stage_once(trial) -> None:
    sweep = trial(*SHORT, "n_problems=8,9,10")
    both = [
        subprocess.Popen(sweep.command(*words), **{k: v for k, v in sweep.surroundings().items() if k != "timeout"})
        for words in (["n_problems=8,9"], ["n_problems=9,10"])
    ]
    assert [process.wait() for process in both] == [0, 0]
    sweep.launch()  # and enter once more, while they run
    settle()
    sweep.assert_as_undisturbed()
    assert set(sweep.n_built().values()) == {1}


# ---------------------------------------------------------------- packs, waves, cancel, retry, the snapshot


@pytest.mark.slow
def test_a_pack_goes_on_after_a_failure_and_the_chains_of_its_other_stages_too(trial) -> None:
    sweep = trial(*SHORT, "n_problems=8,9,10,11")
    bad = sweep.key("sft", 9)
    (sweep.store.root / ".checkpoints").mkdir(exist_ok=True)
    sweep.store.checkpoint_dir(bad).write_text("not a folder")
    said = sweep.launch("hydra.launcher.stages_per_job=4").stdout
    assert "as 3 jobs in 3 arrays" in said  # 4 sft, their 4 evaluations, and the base's
    settle()
    assert set(sweep.plan.stages) - sweep.built() == {bad, sweep.key("evaluate", 9)}
    codes = sh("sacct", "-X", "-n", "-P", "-o", "State,DerivedExitCode", "-j", job_of(sweep, bad)).strip()
    assert codes == "COMPLETED|75:0"
    pack = job_of(sweep, sweep.key("evaluate", 8))
    packed = [row["key"] for row in sweep.submission().attempts() if row["job"] == pack and row["outcome"] == "built"]
    assert sorted(packed) == sorted(sweep.key("evaluate", n) for n in (8, 10, 11))
    sweep.store.checkpoint_dir(bad).unlink()
    sweep.ask("retry")
    settle()
    sweep.assert_as_undisturbed()


@pytest.fixture
def limit() -> Iterator[Callable[..., None]]:
    """Sets a limit of the accounting, and takes it back."""
    undo: list[tuple[str, ...]] = []

    def set_limit(what: str, name: str, field: str, value: int) -> None:
        undo.append((what, name, "set", f"{field}=-1"))
        sh("sacctmgr", "-i", "-Q", "modify", what, name, "set", f"{field}={value}")

    yield set_limit
    for words in undo:
        sh("sacctmgr", "-i", "-Q", "modify", *words)


@pytest.mark.parametrize(
    ("what", "name", "field", "told"),
    [
        ("user", "root", "MaxSubmitJobs", "MaxSubmitJobs of root in account research=4"),
        ("account", "research", "GrpSubmitJobs", "GrpSubmitJobs of account research=4"),
        ("qos", "normal", "MaxSubmitJobsPerUser", "MaxSubmitJobsPerUser of QOS normal=4"),
    ],
)
@pytest.mark.slow
def test_a_limit_on_queued_jobs_makes_waves(trial, limit, what: str, name: str, field: str, told: str) -> None:
    sweep = trial(*SHORT, "n_problems=8,9,10")
    limit(what, name, field, 4)
    said = sweep.launch("hydra.launcher.account=research").stdout
    assert f"4 more stages wait: {told} lets 4 more jobs into the queue" in said
    settle()
    sweep.assert_as_undisturbed()
    assert set(sweep.n_built().values()) == {1}


@pytest.mark.slow
def test_a_wave_waits_where_other_jobs_have_taken_its_room(trial, limit) -> None:
    sweep = trial(*SHORT, "n_problems=8,9,10")
    limit("account", "research", "GrpSubmitJobs", 4)
    sweep.launch("hydra.launcher.account=research")
    limit("account", "research", "GrpSubmitJobs", 100)
    stranger = ("--parsable", "--hold", "--account=research", "--array=0-2", "--mem=10", "--output=/dev/null")
    other = sh("sbatch", *stranger, "--wrap=true").strip()
    limit("account", "research", "GrpSubmitJobs", 4)
    jobs = sweep.submission().folder / "jobs"
    until("a wave without room", lambda: any("looking again" in p.read_text() for p in jobs.glob("wave-*/*.out")))
    sh("scancel", other)
    settle()
    sweep.assert_as_undisturbed()


def test_a_full_queue_is_told_before_anything_is_submitted(trial, limit) -> None:
    limit("account", "research", "GrpSubmitJobs", 1)
    refused = trial(*SHORT, "n_problems=8").launch("hydra.launcher.account=research", check=False)
    assert refused.returncode == 2 and "GrpSubmitJobs of account research=1 is reached" in refused.stderr
    assert not sh("squeue", "-h")


@pytest.mark.slow
def test_a_refusal_in_the_middle_leaves_nothing_in_the_queue(trial, limit, tmp_path: Path, monkeypatch) -> None:
    sweep = trial(*SHORT, "n_problems=8,9,10")
    limit("account", "research", "GrpSubmitJobs", 100)
    # another user of the account fills it between two of our calls; --help and --test-only come before them
    (tmp_path / "sbatch").write_text(
        '#!/bin/bash\n[[ "$*" = */jobs/001/* ]] && sacctmgr -i -Q modify account research set GrpSubmitJobs=4 >&2\n'
        f'exec {shutil.which("sbatch")} "$@"\n'
    )
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    refused = sweep.launch("+hydra.launcher.hold=true", "hydra.launcher.account=research", check=False)
    assert refused.returncode == 2 and "sbatch refused the evaluate jobs" in refused.stderr
    assert "AssocGrpSubmitJobsLimit" in refused.stderr and "submitted before were cancelled" in refused.stderr
    settle(120)
    assert [array.job_id is None for array in sweep.submission().arrays()].count(True) == 1


@pytest.mark.slow
def test_a_command_that_was_killed_before_it_noted_a_job_finds_it_again(trial) -> None:
    sweep = trial(*SHORT, "n_problems=8,9", "exec.sweep_name=my.sweep")
    sweep.launch("+hydra.launcher.hold=true")
    lines = (sweep.submission().folder / "arrays.jsonl").read_text().splitlines(keepends=True)
    (sweep.submission().folder / "arrays.jsonl").write_text("".join(lines[:-1]))
    assert "5 in the queue already, 0 to submit" in sweep.launch().stdout
    sweep.ask("cancel")
    settle(120)


@pytest.mark.slow
def test_cancel_empties_the_queue_and_keeps_what_is_built(trial) -> None:
    sweep = trial(*SHORT, "n_problems=8,9")
    sweep.launch("+hydra.launcher.hold=true")
    assert "cancelled 5 jobs" in sweep.ask("cancel")
    settle(120)
    assert len(sweep.built()) == 2  # the base model and D_syn
    sweep.launch()
    until("a job that runs", lambda: "RUNNING" in sh("squeue", "-h", "-r", "-o", "%T"))
    sweep.ask("cancel")
    settle(120)
    sweep.launch("hydra.launcher.wait=true")
    sweep.assert_as_undisturbed()


@pytest.mark.slow
def test_jobs_run_the_code_that_was_submitted(trial, tmp_path: Path) -> None:
    sweep = trial(*SHORT, "n_problems=8")
    checkout = tmp_path / "checkout"
    for folder in ("sweep", "conf", "slurm"):
        shutil.copytree(REPOSITORY / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__"))
    surroundings = {"cwd": checkout, "env": {**os.environ, "PYTHONPATH": str(checkout)}}
    subprocess.run(sweep.command("+hydra.launcher.hold=true"), **surroundings, check=True)
    (checkout / "sweep/stages.py").write_text("raise RuntimeError('the checkout changed')\n")
    sh("scontrol", "release", *{job_of(sweep, key).split("_")[0] for key in set(sweep.plan.stages) - sweep.built()})
    settle()
    sweep.assert_as_undisturbed()


# ---------------------------------------------------------------- refusals, and the size of a submission


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["hydra.launcher.partition=nowhere"], "has no such partition; it has high, low, normal, short"),
        (["exec.device=cuda", "hydra.launcher.gpus_per_node=9"], "no node of onemachine can run a job with"),
        (["hydra.launcher.account=nobody"], "Invalid account"),
        (["+hydra.launcher.frobnicate=1"], "'frobnicate' is neither a setting of the launcher"),
        (["hydra.launcher.partition=short"], "above the limit of its partition: short ends jobs after 1 min"),
        (["+hydra.launcher.dependency=afterok:1"], "hydra.launcher.dependency: job 1: "),
        (["hydra.launcher.site=nowhere.yaml"], "expected the site settings, there is no such file"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused_before_submission(trial, words: Sequence[str], reason: str) -> None:
    refused = trial(*SHORT, "n_problems=8").launch(*words, check=False)
    assert refused.returncode == 2 and reason in refused.stderr and "Traceback" not in refused.stderr
    assert not sh("squeue", "-h")


def test_drained_nodes_are_named_and_waited_for_and_status_says_why(trial) -> None:
    sweep = trial(*SHORT, "n_problems=8")
    sh("scontrol", "update", "nodename=n1,n2", "state=drain", "reason=disk swap")
    try:
        said = sweep.launch().stderr
        assert "every node that fits is out of service: n1 is IDLE+DRAIN (disk swap), n2 is" in said
        until("SLURM to say why", lambda: "DRAINED" in sh("squeue", "-h", "-o", "%r"))
        assert "the nodes that fit are down, drained or reserved" in sweep.ask("status", "-m", *sweep.words)
    finally:
        sh("scontrol", "update", "nodename=n1,n2", "state=resume")
    sweep.ask("cancel")
    settle(120)


def test_a_job_that_dies_before_its_stage_is_explained(trial) -> None:
    sweep = trial(*SHORT, "n_problems=8")
    sweep.launch("hydra.launcher.setup=module load cuda", "hydra.launcher.wait=true", check=False)
    told = sweep.ask("status", "-m", *sweep.words)
    assert "sweep: setup failed with exit code 127: module load cuda; see " in told
    assert "module: command not found" in sweep.ask("logs", sweep.key("sft", 8))


def test_nothing_that_a_job_runs_is_written_by_others_and_its_artifacts_obey_the_umask(trial) -> None:
    sweep = trial(*SHORT, "n_problems=8")
    before = os.umask(0o002)
    try:
        sweep.launch("hydra.launcher.wait=true")
    finally:
        os.umask(before)
    ours = [path for path in (sweep.store.root / ".slurm").glob("2*/**/*") if not path.is_symlink()]
    assert [path for path in ours if path.stat().st_mode & 0o022] == []
    assert sweep.store.folder(sweep.key("sft", 8)).stat().st_mode & 0o777 == 0o775


def test_without_slurm_the_launcher_says_so(trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    refused = trial(*SHORT, "n_problems=8").launch(check=False)
    assert refused.returncode == 2 and "needs `sbatch`, which is not on PATH" in refused.stderr


PEAK = """if True:  # runs a command and prints its peak memory; started from here it would be charged with ours
    import resource, subprocess, sys
    code = subprocess.call(sys.argv[1:])
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
    sys.exit(code)
"""


@pytest.mark.slow
def test_a_thousand_leaves_are_submitted_with_twenty_calls_and_half_a_gigabyte(trial) -> None:
    sweep = trial(*SHORT, "n_problems=8")
    grid = ("arm=rft,dpo,step_dpo,chosen_sft", "n_problems=range(8,33)", "seed=range(10)", "+hydra.launcher.hold=true")
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *sweep.command(*grid)], **sweep.surroundings(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said, peak_kib = done.stdout, int(done.stderr.split()[-1])
    assert peak_kib < 500 * 1024
    assert "1000 runs" in said and "3251 to submit" in said  # 13 a grid point, and the base's evaluation
    n_calls = int(said.split(" sbatch calls")[0].split()[-1])
    assert n_calls <= 20
    assert len(sh("squeue", "-h", "-r").splitlines()) == 3251
    sizes = json.loads((sweep.submission().folder / "submission.json").read_text())["n_runs"]
    assert sizes == 1000
    sweep.ask("cancel")
    settle(120)
