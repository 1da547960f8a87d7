"""What is asked of SLURM for each kind of stage: launcher settings over site settings, checked before any sbatch."""
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from sweep.config import Exec
from sweep.launchers.slurm import queue
from sweep.plan import Plan, estimate

REPOSITORY = Path(__file__).resolve().parents[3]
SITE_KEYS = (
    "scratch", "min_scratch_gb", "weights", "wandb", "account", "qos", "constraint", "cpu_partition", "gpu_partition",
    "setup",
)
CONTROL = ("site", "wait", "max_restarts", "array_parallelism", "stages_per_job", "minutes_per_job", "stages")
SUBMITIT = (  # Submitit's names for what it turns into sbatch options itself
    "partition", "account", "qos", "constraint", "timeout_min", "cpus_per_task", "mem_gb", "gpus_per_node",
    "signal_delay_s", "setup", "nodes", "tasks_per_node", "cpus_per_gpu", "gpus_per_task", "mem_per_gpu", "mem_per_cpu",
    "exclude", "nodelist", "gres", "mail_type", "mail_user", "exclusive", "wckey", "srun_args", "teardown",
    "additional_parameters",
)
SITE = "site"  # the value of a setting that is left to the site file; null leaves it to SLURM
MANAGED = (  # sbatch options that are the launcher's business
    "array", "dependency", "kill_on_invalid_dep", "output", "error", "job_name", "comment", "wrap", "parsable",
    "signal", "requeue", "no_requeue", "export", "chdir", "wait", "test_only",
    "help", "usage", "version", "quiet", "verbose",
)
SHARED_FILESYSTEMS = (
    "nfs", "nfs4", "lustre", "gpfs", "beegfs", "ceph", "cifs", "smb3", "9p", "afs", "pvfs2", "panfs", "wekafs",
    "virtiofs", "glusterfs", "fuse.glusterfs", "fuse.sshfs", "fuse.juicefs", "fuse.ceph", "fuse.s3fs", "fuse.gcsfuse",
)


def site_settings(path: Path) -> dict[str, Any]:
    """The site file's content.

    Raises:
        ValueError: it is missing, or has an unknown or a missing key.
    """
    if not path.is_file():
        raise ValueError(f"{path}: expected the site settings, there is no such file; see slurm/site.yaml")
    settings = yaml.safe_load(path.read_text())
    found = sorted(settings) if isinstance(settings, dict) else settings
    if found != sorted(SITE_KEYS):
        raise ValueError(f"{path}: expected the keys {sorted(SITE_KEYS)}, found {found}; see slurm/site.yaml")
    if settings["wandb"] not in ("offline", "online", "disabled"):
        raise ValueError(f"{path}: wandb={settings['wandb']!r}, expected offline, online or disabled")
    return settings


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The launcher's settings as plain values, the site file's content in place of its path."""
    out = {k: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v for k, v in options.items()}
    path = Path(out["site"])
    out["site"] = site_settings(path if path.is_absolute() else REPOSITORY / path)
    passed_on = {name.replace("-", "_") for name in queue.sbatch_options()} - set(MANAGED)
    known = {*CONTROL, *SUBMITIT, *passed_on}
    by_kind = ((f"hydra.launcher.stages.{kind}", own) for kind, own in out["stages"].items())
    for where, names in [("hydra.launcher", out), *by_kind]:
        unknown = sorted(set(names) - known)
        if unknown:
            raise ValueError(
                f"{where}: {', '.join(unknown)} is no setting of the launcher and no sbatch option that it passes on; "
                f"valid ones: {', '.join(sorted(known))}"
            )
    return out


def stages_per_job(options: Mapping[str, Any], plan: Plan, todo: Iterable[str], known: list) -> dict[str, int]:
    """How many stages of each kind one job holds: a number, or as many as fill minutes_per_job."""
    seconds = estimate(plan, todo, known) if options["minutes_per_job"] else {}
    out = {}
    for kind in {stage.kind for stage in plan.stages.values()}:
        own = options["stages"].get(kind) or {}
        of_kind = [s for key, s in seconds.items() if s is not None and plan.stages[key].kind == kind]
        if "stages_per_job" not in own and of_kind:
            mean_s = max(sum(of_kind) / len(of_kind), 0.1)
            out[kind] = max(1, int(options["minutes_per_job"] * 60 / mean_s))
        else:
            out[kind] = int(own.get("stages_per_job", options["stages_per_job"]))
        if out[kind] < 1:
            raise ValueError(f"hydra.launcher.stages_per_job must be at least 1, found {out[kind]} for {kind}")
    return out


def parameters(options: Mapping[str, Any], exec: Exec, kind: str | None) -> dict[str, Any]:
    """Submitit's parameters for a kind of stage (None: a job that only submits), site settings where it says so."""
    site, chosen = options["site"], {k: v for k, v in options.items() if k not in CONTROL}
    chosen |= {k: v for k, v in (options["stages"].get(kind) or {}).items() if k != "stages_per_job"}
    if kind is None:
        chosen |= {"timeout_min": 30, "cpus_per_task": 1, "mem_gb": 2, "gpus_per_node": 0}
    if exec.device == "cpu" or not chosen.get("gpus_per_node"):
        chosen.pop("gpus_per_node", None)
    needs_gpu = "gpus_per_node" in chosen or any(name.startswith("gpus") or name == "gres" for name in chosen)
    filled = {
        "account": site["account"], "qos": site["qos"],
        "partition": site["gpu_partition"] if needs_gpu else site["cpu_partition"],
        "constraint": site["constraint"] if needs_gpu else None,
    }
    for name, value in filled.items():
        if chosen.get(name) == SITE:
            chosen[name] = value
    extra = dict(chosen.pop("additional_parameters") or {})
    for name in [name for name in chosen if name not in SUBMITIT]:
        extra[name.replace("_", "-")] = chosen.pop(name)
    chosen = {name: value for name, value in chosen.items() if value is not None}
    lines = chosen.pop("setup", [])
    chosen["setup"] = [line for entry in lines for line in (site["setup"] if entry == SITE else [entry])]
    return chosen | {"additional_parameters": extra}


def check(requests: Iterable[Mapping[str, Any]], cluster: queue.Cluster) -> None:
    """Refuse a request that the cluster can never satisfy, by asking it; each distinct one once.

    Raises:
        ValueError: an unknown partition, account, feature, or more of something than any node has.
    """
    asked: set[str] = set()
    for request in requests:
        partition = request.get("partition")
        for name in str(partition or "").split(","):
            if name and name not in cluster.partitions:
                raise ValueError(
                    f"hydra.launcher.partition={partition}: {cluster.name} has no such partition; it has "
                    f"{', '.join(cluster.partitions)}; nothing was submitted"
                )
        options = _sbatch_options(request)
        text = json.dumps(options, sort_keys=True)
        if text in asked:
            continue
        asked.add(text)
        try:
            queue.check_request(options)
        except queue.SlurmError as error:
            shown = " ".join(k if v is None else f"{k}={v}" for k, v in options.items())
            raise ValueError(
                f"no node of {cluster.name} can run a job with {shown}: {error}; nothing was submitted"
            ) from error


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
    for line in Path("/proc/self/mounts").read_text().splitlines():
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
