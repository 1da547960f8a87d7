"""What is asked of SLURM for each kind of stage: launcher settings over site settings, checked before any sbatch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.artifacts import Manifest
from sweep.config import Exec
from sweep.launchers.slurm import queue
from sweep.launchers.slurm.settings import CONTROL, SIGNAL_DELAY_S, SITE, SUBMITIT
from sweep.plan import Plan, estimate
from sweep.stage_memory import SHARED_BY_PROCESSES
from sweep.terminal.words import nearest

STARTS_S = 120  # a job's imports on a slow file system
SHARED_FILESYSTEMS = (
    "nfs",
    "nfs4",
    "lustre",
    "gpfs",
    "beegfs",
    "ceph",
    "cifs",
    "smb3",
    "9p",
    "afs",
    "pvfs2",
    "panfs",
    "wekafs",
    "virtiofs",
    "glusterfs",
    "fuse.glusterfs",
    "fuse.sshfs",
    "fuse.juicefs",
    "fuse.ceph",
    "fuse.s3fs",
    "fuse.gcsfuse",
)


def stages_per_job(
    options: Mapping[str, Any], plan: Plan, todo: Iterable[str], known: Sequence[Manifest]
) -> dict[str, int]:
    """How many stages of each kind one job holds: a number, or as many as fill minutes_per_job."""
    by_kind, todo = options["stages"], list(todo)
    is_timed = any("minutes_per_job" in own for own in (options, *by_kind.values()))
    seconds = estimate(plan, todo, known) if is_timed else {}
    out = {}
    for kind in {stage.kind for stage in plan.stages.values()}:
        own = by_kind.get(kind) or {}
        minutes = own.get("minutes_per_job", None if "stages_per_job" in own else options["minutes_per_job"])
        of_kind = [s for key, s in seconds.items() if s is not None and plan.stages[key].kind == kind]
        if minutes and of_kind:
            mean_s = max(sum(of_kind) / len(of_kind), 0.1)
            out[kind] = max(1, int(minutes * 60 / mean_s))
        else:
            out[kind] = own.get("stages_per_job", options["stages_per_job"])
    return out


def parameters(options: Mapping[str, Any], exec: Exec, kind: str | None, n_stages: int = 1) -> dict[str, Any]:
    """Submitit's parameters for a kind of stage (None: a job that only submits), site settings where it says so.

    Args:
        n_stages: how many of them a job holds. exec.limits_minutes of so many, with room to start and to write a
            checkpoint, is the job's time where that is less than timeout_min.
    """
    site, own = options["site"], options["stages"].get(kind) or {}
    extra = {**(options.get("additional_parameters") or {}), **(own.get("additional_parameters") or {})}
    chosen = {k: v for k, v in {**options, **own}.items() if k not in (*CONTROL, "additional_parameters")}
    if kind is None:
        timeout_min = min(30, chosen.get("timeout_min", 30))
        chosen |= {"timeout_min": timeout_min, "cpus_per_task": 1, "mem_gb": 2, "gpus_per_node": 0}
        chosen.pop("signal_delay_s", None)
    limit = exec.limits_minutes.of(kind) if kind else None
    if limit is not None:
        room_s = chosen.get("signal_delay_s", SIGNAL_DELAY_S) + STARTS_S
        chosen["timeout_min"] = min(chosen["timeout_min"], math.ceil(limit * n_stages + room_s / 60))
    if exec.device == "cpu" or not chosen.get("gpus_per_node"):
        chosen.pop("gpus_per_node", None)
    elif kind in SHARED_BY_PROCESSES:
        chosen["gpus_per_node"] = _at_least(chosen["gpus_per_node"], exec.n_processes)
    needs_gpu = "gpus_per_node" in chosen or any(name.startswith("gpus") or name == "gres" for name in chosen)
    filled = {
        "account": site["account"],
        "qos": site["qos"],
        "partition": site["gpu_partition"] if needs_gpu else site["cpu_partition"],
        "constraint": site["constraint"] if needs_gpu else None,
    }
    for name, value in filled.items():
        if chosen.get(name) == SITE:
            chosen[name] = value
    extra |= {name: chosen.pop(name) for name in list(chosen) if name not in SUBMITIT}
    # null leaves an option to SLURM; false is what it is without, and `--hold=False` would be read as `--hold`
    extra = {name.replace("_", "-"): value for name, value in extra.items() if value is not None and value is not False}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    lines = chosen.pop("setup", [])
    chosen["setup"] = [line for entry in lines for line in (site["setup"] if entry == SITE else [entry])]
    return chosen | {"additional_parameters": extra}


def _at_least(gpus: int | str, n_processes: int) -> int | str:
    """As many GPUs as a stage has processes, where fewer are asked for; of the same kind where one is named."""
    named, _, n = str(gpus).rpartition(":")
    enough = max(int(n), n_processes)
    return f"{named}:{enough}" if named else enough


def check(requests: Iterable[Mapping[str, Any]], cluster: queue.Cluster) -> list[str]:
    """Refuse a request that the cluster can never satisfy, by asking it; each distinct one once.

    Returns:
        What keeps jobs waiting as things are now, for a person.
    Raises:
        ValueError: an unknown partition, account, feature, a time above the partition's, or more of something than any
            node has.
    """
    notices: dict[str, None] = {}
    asked: set[str] = set()
    for request in requests:
        partitions = _partitions(request, cluster)
        _check_time(request, partitions, cluster)
        options = _sbatch_options(request)
        text = json.dumps(options, sort_keys=True)
        if text in asked:
            continue
        asked.add(text)
        closed = [partition for partition in partitions if partition.state != "UP"]
        notices |= dict.fromkeys(f"partition {p.name} is {p.state}: its jobs wait" for p in closed)
        try:
            queue.check_request(options)
        except queue.SlurmError as error:
            waits_for = cluster.unavailable(request, partitions) if queue.NO_SUCH_NODE in str(error) else []
            if not waits_for:
                shown = " ".join(k if v is None else f"{k}={v}" for k, v in options.items())
                raise ValueError(
                    f"no node of {cluster.name} can run a job with {shown}: {error}; nothing was submitted"
                ) from error
            said = ", ".join(f"{node.name} is {node.state} ({node.reason or 'no reason given'})" for node in waits_for)
            notices[f"every node that fits is out of service: {said}; the jobs wait until one is back"] = None
    return list(notices)


def _partitions(request: Mapping[str, Any], cluster: queue.Cluster) -> list[queue.Partition]:
    """Those that a request may go to; none where it names none and the cluster has no default."""
    partition = request.get("partition") or cluster.default_partition
    names = [name for name in str(partition or "").split(",") if name]
    for name in names:
        if name not in cluster.partitions:
            raise ValueError(
                f"hydra.launcher.partition={partition}: {cluster.name} has no such partition"
                f"{nearest(name, cluster.partitions)}; it has {', '.join(cluster.partitions)}; nothing was submitted"
            )
    return [cluster.partitions[name] for name in names]


def _check_time(request: Mapping[str, Any], partitions: Sequence[queue.Partition], cluster: queue.Cluster) -> None:
    """SLURM itself takes a job whose time is above every limit, and never starts it."""
    minutes = request["timeout_min"]
    limits = {p.name: p.max_minutes for p in partitions}
    if limits and all(limit is not None and limit < minutes for limit in limits.values()):
        said = ", ".join(f"{name} ends jobs after {limit:g} min" for name, limit in limits.items())
        raise ValueError(
            f"hydra.launcher.timeout_min={minutes} is above the limit of its partition: {said}, so it would wait "
            f"for ever; give at most {max(limit for limit in limits.values() if limit):g} (a stage goes on in its next "
            f"job from its checkpoint), or another of {', '.join(cluster.partitions)}; nothing was submitted"
        )


def _sbatch_options(request: Mapping[str, Any]) -> dict[str, str | None]:
    names = {"timeout_min": "time", "mem_gb": "mem", "tasks_per_node": "ntasks-per-node"}
    skipped = ("setup", "teardown", "signal_delay_s", "srun_args", "additional_parameters")
    out: dict[str, str | None] = {}
    for name, value in {**request, **request["additional_parameters"]}.items():
        if name in skipped or value is False:
            continue
        text = f"{int(value * 1024)}M" if name == "mem_gb" else str(value)
        out[names.get(name, name.replace("_", "-"))] = None if value is True else text
    return out


def file_system(path: Path) -> tuple[str, str]:
    """(mount point, type) of the file system that holds a path, which may not exist yet."""
    existing = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists()).resolve()
    best = ("/", "unknown")
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        point, kind = line.split()[1:3]
        point = point.replace("\\040", " ")
        if existing.is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, kind)
    return best


def check_shared(path: Path, what: str, hosts: Iterable[str], host: str) -> None:
    """Refuse a folder that other nodes do not see.

    Raises:
        ValueError: it lies on a local file system, and there are other machines.
    """
    point, kind = file_system(path)
    if set(hosts) - {host} and kind not in SHARED_FILESYSTEMS:
        raise ValueError(
            f"{what}={path} must lie on a file system that every node sees; it is on {kind} (mounted at {point}) of "
            f"{host} alone; choose a folder on one of {', '.join(SHARED_FILESYSTEMS[:5])}, ...; nothing was submitted"
        )
