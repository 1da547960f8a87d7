"""slurm/cluster/start and stop: a real SLURM on this machine, with what the launcher relies on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
CLUSTER = REPOSITORY / "slurm/cluster"
sys.path.insert(0, str(CLUSTER))
import daemons  # noqa: E402


def why_no_cluster() -> str | None:
    """The reason why a one-machine SLURM cannot run here, or None."""
    if os.geteuid() != 0:
        return "the one-machine SLURM needs root"
    if shutil.which("slurmctld") is None and shutil.which("apt-get") is None:
        return "SLURM is not installed and there is no apt-get to install it"
    link = Path("/etc/slurm/slurm.conf")
    if link.exists() and not link.is_symlink():
        return f"{link}: this machine has a SLURM of its own"
    if link.is_symlink() and daemons.is_alive(Path(os.readlink(link)).parents[1], "slurmctld"):
        return f"another one-machine cluster runs from {os.readlink(link)}"
    return None


pytestmark = [pytest.mark.slurm, pytest.mark.skipif(why_no_cluster() is not None, reason=str(why_no_cluster()))]


def cluster(verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([CLUSTER / verb, *arguments], capture_output=True, text=True, check=False, timeout=400)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    # long on purpose: beyond the 107 bytes a socket's path may have
    folder = tmp_path_factory.mktemp("cluster") / ("a_folder_with_a_long_name_" * 4)
    started = cluster("start", f"--state={folder}", "--nodes=2", "--gpus=2", "--max-array-size=101")
    try:
        if started.returncode:
            pytest.fail(f"slurm/cluster/start: {started.stderr}")
        os.environ["SLURM_CONF"] = str(folder / "etc/slurm.conf")
        yield folder
    finally:
        pids = recorded(folder)
        stopped = cluster("stop", f"--state={folder}", "--purge")
        del os.environ["SLURM_CONF"]
    assert stopped.returncode == 0, stopped.stderr
    assert [pid for pid in pids.values() if daemons.start_time(pid) is not None] == []
    assert not folder.exists() and not Path("/etc/slurm/slurm.conf").exists()


def recorded(folder: Path) -> dict[str, int]:
    names = [record.name for record in (folder / "pids").iterdir() if not record.suffix]
    return {name: pid for name in names if (pid := daemons.recorded_pid(folder, name)) is not None}


def sh(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def sbatch(folder: Path, script: str, *options: str) -> str:
    return sh(
        "sbatch", "--parsable", "--mem=100", f"--output={folder}/%A_%a.txt", "--open-mode=append", *options,
        f"--wrap={script}",
    ).strip()  # fmt: skip


def elements(job: str, n: int) -> list[str]:
    return [f"{job}_{i}" for i in range(n)]


def states(*ids: str, seconds: float = 40) -> dict[str, str]:
    """State of each of these jobs or array elements by sacct, once none of them waits or runs any more."""
    deadline = time.monotonic() + seconds
    while True:
        lines = sh("sacct", "-X", "-n", "-P", "-o", "JobID,State", "-j", ",".join(ids)).split()
        found = dict(line.split("|") for line in lines)
        if not {"PENDING", "RUNNING", "REQUEUED", None} & {found.get(job) for job in ids}:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def test_a_failed_element_cancels_its_own_chain_alone(state: Path, tmp_path: Path) -> None:
    parents = sbatch(tmp_path, "test $SLURM_ARRAY_TASK_ID != 1", "--array=0-2")
    children = sbatch(tmp_path, "true", "--array=0-2", f"--dependency=aftercorr:{parents}", "--kill-on-invalid-dep=yes")
    found = states(*elements(parents, 3), *elements(children, 3))
    assert [found[f"{parents}_{i}"] for i in range(3)] == ["COMPLETED", "FAILED", "COMPLETED"]
    assert [found[f"{children}_{i}"] for i in range(3)] == ["COMPLETED", "CANCELLED", "COMPLETED"]


def test_jobs_on_one_node_get_different_gpus(state: Path, tmp_path: Path) -> None:
    script = "echo $SLURMD_NODENAME $CUDA_VISIBLE_DEVICES; sleep 2"
    job = sbatch(tmp_path, script, "--array=0-3", "--gpus-per-node=1")
    states(*elements(job, 4))
    seen = sorted((tmp_path / f"{job}_{i}.txt").read_text().strip() for i in range(4))
    assert seen == ["n1 0", "n1 1", "n2 0", "n2 1"]


def test_a_requeued_job_starts_again_and_knows_it(state: Path, tmp_path: Path) -> None:
    job = sbatch(tmp_path, 'echo attempt ${SLURM_RESTART_COUNT:-0}; test -n "$SLURM_RESTART_COUNT" || sleep 60')
    output = next_text(tmp_path, "attempt 0")
    sh("scontrol", "requeue", job)
    assert states(job) == {job: "COMPLETED"}
    assert re.findall(r"attempt \d", output.read_text()) == ["attempt 0", "attempt 1"]


def test_preemption_sends_the_signal_the_job_asked_for(state: Path, tmp_path: Path) -> None:
    script = "trap 'echo saved; exit 0' USR2; echo runs; while true; do sleep 0.1; done"
    low = sbatch(tmp_path, script, "--partition=low", "--signal=B:USR2@60", "--nodes=2", "--exclusive", "--no-requeue")
    output = next_text(tmp_path, "runs")
    high = sbatch(tmp_path, "true", "--partition=high", "--nodes=2", "--exclusive")
    assert states(high)[high] == "COMPLETED"
    assert "saved" in output.read_text(), states(low)


def test_a_job_above_its_memory_is_killed(state: Path, tmp_path: Path) -> None:
    script = "srun --mem=100 python3 -c 'import time; x = b\"1\" * 300_000_000; time.sleep(30)'"
    job = sbatch(tmp_path, script, "--gpus=0")
    assert states(job)[job] in ("FAILED", "OUT_OF_MEMORY")
    assert "memory limit" in next_text(tmp_path, "memory limit").read_text()


def test_an_array_above_max_array_size_is_refused(state: Path, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        sbatch(tmp_path, "true", "--array=0-101")
    assert "Invalid job array specification" in refusal.value.stderr


def test_start_again_replaces_only_what_died(state: Path) -> None:
    before = recorded(state)
    daemons.end([before["slurmctld"]], patience_s=20)
    again = cluster("start", f"--state={state}")
    assert again.returncode == 0, again.stderr
    after = recorded(state)
    assert {name for name in after if after[name] != before[name]} == {"slurmctld"}
    assert again.stdout == f"export SLURM_CONF={state}/etc/slurm.conf\n"


def test_other_settings_are_refused_while_it_runs(state: Path) -> None:
    refused = cluster("start", f"--state={state}", "--nodes=3")
    assert refused.returncode == 1
    assert "runs with nodes=2, other values were asked for; stop it" in refused.stderr


def test_a_second_cluster_is_refused(state: Path, tmp_path: Path) -> None:
    refused = cluster("start", f"--state={tmp_path}/other")
    assert refused.returncode == 1
    assert "a machine has one at a time" in refused.stderr


def next_text(folder: Path, text: str, seconds: float = 30) -> Path:
    """The file in the folder that contains a text, once it does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for path in folder.glob("*.txt"):
            if text in path.read_text():
                return path
        time.sleep(0.2)
    raise AssertionError(f"{folder}: no file contains {text!r} after {seconds} s")
