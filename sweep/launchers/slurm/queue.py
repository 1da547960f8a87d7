"""Questions to SLURM, and requests: each one command, each failure one paragraph. Nothing is cached."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

TIMEOUT_S = 60
OURS = ("SLURM_", "SLURMD_", "SRUN_", "SBATCH_", "SUBMITIT_")  # a job's own settings, not for its children


@dataclass(frozen=True)
class Cluster:
    """What a submission must know of the cluster."""

    name: str
    partitions: tuple[str, ...]
    default_partition: str | None
    max_array_size: int
    hosts: frozenset[str]  # machines that the nodes run on: one on a one-machine cluster


class SlurmError(ValueError):
    """A SLURM command failed, with what it said."""


def ask(*command: str) -> str:
    """Standard output of a SLURM command.

    Raises:
        SlurmError: it is not installed, does not answer, or refuses.
    """
    if shutil.which(command[0]) is None:
        raise SlurmError(
            f"hydra/launcher=slurm needs `{command[0]}`, which is not on PATH; run this on a login node of a SLURM "
            "cluster, try it on one machine with slurm/cluster/start, or leave hydra/launcher at local"
        )
    shown = " ".join(command[:3])
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise SlurmError(f"`{shown}` did not answer within {TIMEOUT_S} s; see `scontrol ping`") from error
    if done.returncode:
        raise SlurmError(f"`{shown}` failed: {said(done.stderr) or said(done.stdout)}")
    return done.stdout


def said(text: str) -> str:
    """A SLURM command's message on one line, without the program's name before it."""
    lines = (re.sub(r"^\w+: (error: )?", "", line.strip()) for line in text.splitlines())
    return "; ".join(dict.fromkeys(line for line in lines if line))


def cluster() -> Cluster:
    """The cluster's limits and partitions.

    Raises:
        SlurmError: SLURM is not installed or its controller does not answer.
    """
    try:
        settings = dict(re.findall(r"^(\w+)\s*= (.*)$", ask("scontrol", "show", "config"), re.M))
        shown = ask("sinfo", "-h", "-o", "%P")
        nodes = ask("scontrol", "show", "node", "-o")
    except SlurmError as error:
        raise SlurmError(
            f"the SLURM controller cannot be asked, nothing was submitted: {error}; see that slurmctld runs "
            "(`scontrol ping`) and give the command again"
        ) from error
    names = shown.split()
    return Cluster(
        name=settings["ClusterName"],
        partitions=tuple(sorted(name.rstrip("*") for name in names)),
        default_partition=next((name.rstrip("*") for name in names if name.endswith("*")), None),
        max_array_size=int(settings["MaxArraySize"]),
        hosts=frozenset(re.findall(r"NodeHostName=(\S+)", nodes)),
    )


def sbatch_options() -> set[str]:
    """The long options that this SLURM's sbatch has."""
    return set(re.findall(r"--([a-z][a-z0-9-]+)", ask("sbatch", "--help")))


def jobs(owners: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Elements of these arrays that are in the queue: "id_index" to (state, reason).

    Args:
        owners: array id to the first word of its jobs' comment. A controller that lost its last seconds gives their
            numbers to others' jobs, whose comment is another.
    """
    ids = sorted(owners)
    out: dict[str, tuple[str, str]] = {}
    for start in range(0, len(ids), 500):
        # with one id alone, squeue fails when it is gone; with a second one it leaves out what it does not know
        wanted = ",".join(["1", *ids[start : start + 500]])
        for line in ask("squeue", "-h", "-r", "-a", "-j", wanted, "-o", "%i|%T|%r|%k").splitlines():
            job, state, reason, comment = line.split("|", 3)
            if comment.split(" ")[0] == owners.get(job.split("_")[0]):
                out[job] = (state, reason)
    return out


def named(word: str) -> dict[str, str]:
    """Ids of the jobs in the queue whose comment begins with this word, to the rest of the comment."""
    rows = [line.split(" ", 2) for line in ask("squeue", "-h", "-a", "-o", "%F %k").splitlines()]
    return {row[0]: " ".join(row[2:]) for row in rows if row[1:2] == [word]}


def accounted(job_ids: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """What the accounting knows of these arrays: "id_index" to (state, exit code, node); one sacct call.

    Empty where there is no accounting.
    """
    ids = sorted(set(job_ids))
    if not ids:
        return {}
    command = ("sacct", "-X", "-n", "-P", "-o", "JobID,State,ExitCode,NodeList", "-j", ",".join(ids))
    try:
        lines = ask(*command).splitlines()
    except SlurmError as error:
        if "accounting storage is disabled" in str(error):
            return {}
        raise
    out = {}
    for line in lines:
        job, state, code, node = line.split("|")
        out |= dict.fromkeys(_elements(job), (state.split()[0], code, node))
    return out


def _elements(job: str) -> list[str]:
    """ "7_[0-2,5]" as 7_0, 7_1, 7_2 and 7_5: elements that ended without ever having started share a row."""
    array, bracket, ranges = job.partition("_[")
    if not bracket:
        return [job]
    out = []
    for part in re.sub(r"[%\]].*", "", ranges).split(","):
        first, _, last = part.partition("-")
        out += [f"{array}_{index}" for index in range(int(first), int(last or first) + 1)]
    return out


def check_request(options: Mapping[str, str | None]) -> None:
    """Ask SLURM whether a job with these sbatch options could ever run.

    Raises:
        SlurmError: it could not, with SLURM's reason.
    """
    words = [f"--{name}" if value is None else f"--{name}={value}" for name, value in options.items()]
    with outside_jobs():
        ask("sbatch", "--test-only", *words, "--wrap=true")


def cancel(job_ids: Sequence[str]) -> None:
    for start in range(0, len(job_ids), 500):
        ask("scancel", *job_ids[start : start + 500])


def requeue_this_job() -> None:
    """Ask SLURM to stop this job and to queue it again."""
    ask("scontrol", "requeue", this_job() or "")


def this_job() -> str | None:
    """The id of the job that this process runs in, "id_index" for an array's."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID")


@contextmanager
def outside_jobs() -> Iterator[None]:
    """An environment without the settings of the job we may be in, but with the cluster's own."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(OURS)}
    if "SLURM_CONF" in hidden:
        os.environ["SLURM_CONF"] = hidden["SLURM_CONF"]
    try:
        yield
    finally:
        os.environ.update(hidden)
