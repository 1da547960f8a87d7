"""Questions to SLURM, and requests: each one command, each failure one paragraph. Nothing is cached."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 60
OURS = ("SLURM_", "SLURMD_", "SRUN_", "SBATCH_", "SUBMITIT_")  # a job's own settings, not for its children


NO_SUCH_NODE = "Requested node configuration is not available"  # also where the nodes that fit are drained


@dataclass(frozen=True)
class Partition:
    """A partition; max_minutes is None where it has no time limit."""

    name: str
    state: str
    max_minutes: float | None


@dataclass(frozen=True)
class Node:
    """A node: what it has in all, and in which state it is."""

    name: str
    host: str
    state: str  # IDLE, MIXED+DRAIN, DOWN*, ...
    reason: str
    n_cpus: int
    memory_mb: int
    n_gpus: int
    features: frozenset[str]
    partitions: frozenset[str]

    @property
    def is_out(self) -> bool:
        words = set(re.split(r"[+*~#!%$@^-]", self.state))
        return bool({"DRAIN", "DOWN", "FAIL", "FAILING", "MAINT", "NOT_RESPONDING", "UNKNOWN"} & words)

    def fits(self, request: Mapping[str, Any]) -> bool:
        """Whether it has what a job asks for, as far as that is CPUs, memory, GPUs and plain features."""
        gpus = int(str(request.get("gpus_per_node") or 0).split(":")[-1])
        constraint = str(request.get("constraint") or "")
        wanted = set(re.findall(r"[\w.-]+", constraint))
        has_features = bool(wanted & self.features) if "|" in constraint else wanted <= self.features
        return (
            request.get("cpus_per_task", 1) <= self.n_cpus
            and request.get("mem_gb", 0) * 1024 <= self.memory_mb
            and gpus <= self.n_gpus
            and has_features
        )


@dataclass(frozen=True)
class Cluster:
    """What a submission must know of the cluster."""

    name: str
    partitions: Mapping[str, Partition]
    default_partition: str | None
    max_array_size: int
    nodes: tuple[Node, ...]

    @property
    def hosts(self) -> frozenset[str]:
        """Machines that the nodes run on: one on a one-machine cluster."""
        return frozenset(node.host for node in self.nodes)

    def unavailable(self, request: Mapping[str, Any], partitions: Iterable[Partition]) -> list[Node]:
        """The nodes out of service that could run such a job."""
        names = {partition.name for partition in partitions}
        return [node for node in self.nodes if node.is_out and node.partitions & names and node.fits(request)]


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
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=TIMEOUT_S, check=False
        )
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
        shown = ask("scontrol", "-a", "-o", "show", "partition")
        nodes = ask("scontrol", "-a", "-o", "show", "node")
    except SlurmError as error:
        raise SlurmError(
            f"the SLURM controller cannot be asked, nothing was submitted: {error}; see that slurmctld runs "
            "(`scontrol ping`) and give the command again"
        ) from error
    rows = [_fields(line) for line in shown.splitlines() if line.startswith("PartitionName=")]
    return Cluster(
        name=settings["ClusterName"],
        partitions={
            row["PartitionName"]: Partition(row["PartitionName"], row["State"], minutes(row["MaxTime"]))
            for row in sorted(rows, key=lambda row: row["PartitionName"])
        },
        default_partition=next((row["PartitionName"] for row in rows if row.get("Default") == "YES"), None),
        max_array_size=int(settings["MaxArraySize"]),
        nodes=tuple(_node(line) for line in nodes.splitlines() if line.startswith("NodeName=")),
    )


def _fields(line: str) -> dict[str, str]:
    """A line of `scontrol -o show`; a reason with blanks in it is not read here."""
    return dict(re.findall(r"(?:^| )(\w+)=(\S*)", line))


def _node(line: str) -> Node:
    row = _fields(line)
    gpus = re.findall(r"gpu(?::[\w.-]+)*?:(\d+)", row.get("Gres", ""))
    return Node(
        name=row["NodeName"],
        host=row.get("NodeHostName", row["NodeName"]),
        state=row["State"],
        reason="".join(re.findall(r" Reason=(.*?)(?: \[[^\]]*\])?\s*$", line)),
        n_cpus=int(row.get("CPUTot", 0)),
        memory_mb=int(row.get("RealMemory", 0)),
        n_gpus=sum(map(int, gpus)),
        features=frozenset(row.get("AvailableFeatures", "").split(",")),
        partitions=frozenset(row.get("Partitions", "").split(",")),
    )


def minutes(text: str) -> float | None:
    """SLURM's "days-hours:minutes:seconds" in minutes; None for no limit."""
    if not text[:1].isdigit():  # UNLIMITED, INFINITE, NONE
        return None
    days, dash, clock = text.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    if dash:  # hours[:minutes[:seconds]]
        hours, mins, seconds = (*parts, 0, 0)[:3]
    else:  # [hours:]minutes[:seconds], and minutes alone
        hours, mins, seconds = (0, *parts, 0)[:3] if len(parts) < 3 else parts
    return int(days or 0) * 1440 + hours * 60 + mins + seconds / 60


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
    shared: dict[str, tuple[str, str, str]] = {}
    own: dict[str, tuple[str, str, str]] = {}
    for line in lines:
        job, state, code, node = line.split("|")
        (shared if "[" in job else own).update(dict.fromkeys(_elements(job), (state.split()[0], code, node)))
    return shared | own  # a shared row may name, for a while, elements that have got rows of their own


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


def check_job(job_id: str) -> None:
    """Refuse a job that SLURM does not know: to wait for it would count as done on some versions.

    Raises:
        SlurmError: it does not, or not any more.
    """
    try:
        ask("scontrol", "show", "job", job_id)
    except SlurmError as error:
        raise SlurmError(
            f"hydra.launcher.dependency: job {job_id}: {error}; it ended a while ago or never was, leave it out"
        ) from error


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
