"""The launcher's settings: the command line over SBATCH_* over the site file, typed, and refused if they cannot hold.

What is refused here is refused before SLURM is asked anything, with the name of the setting. Every text that passes
stands on one line of a job's script and is read back by sbatch and by bash as it was given.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from sweep.config import Exec
from sweep.launchers.slurm import queue
from sweep.launchers.slurm.lines import check_shell, shell_lines, text
from sweep.terminal.words import nearest

REPOSITORY = Path(__file__).resolve().parents[3]
SITE_KEYS = (
    "scratch",
    "min_scratch_gb",
    "weights",
    "wandb",
    "account",
    "qos",
    "constraint",
    "cpu_partition",
    "gpu_partition",
    "setup",
)
CONTROL = (
    "site",
    "wait",
    "max_restarts",
    "array_parallelism",
    "stages_per_job",
    "minutes_per_job",
    "stages",
    "dependency",
)
CONTROL_BY_KIND = ("stages_per_job", "minutes_per_job")
TEXTS = (
    "partition",
    "account",
    "qos",
    "constraint",
    "exclude",
    "nodelist",
    "gres",
    "mail_type",
    "mail_user",
    "wckey",
    "mem_per_gpu",
    "mem_per_cpu",
)
LEAST = {  # whole numbers, each with its smallest value
    "timeout_min": 1,
    "cpus_per_task": 1,
    "gpus_per_node": 0,
    "signal_delay_s": 0,
    "nodes": 1,
    "tasks_per_node": 1,
    "cpus_per_gpu": 1,
    "gpus_per_task": 1,
    "max_restarts": 0,
    "array_parallelism": 1,
    "stages_per_job": 1,
}
MAY_BE_NULL = (
    "cpus_per_task",
    "gpus_per_node",
    "nodes",
    "tasks_per_node",
    "cpus_per_gpu",
    "gpus_per_task",
    "array_parallelism",
)
SIZES = ("mem_gb", "minutes_per_job")  # numbers above 0
LINES = ("setup", "teardown", "srun_args")
SUBMITIT = (  # Submitit's names for what it turns into sbatch options itself
    *TEXTS,
    *LINES,
    "timeout_min",
    "cpus_per_task",
    "mem_gb",
    "gpus_per_node",
    "signal_delay_s",
    "nodes",
    "tasks_per_node",
    "cpus_per_gpu",
    "gpus_per_task",
    "exclusive",
    "additional_parameters",
)
SITE = "site"  # the value of a setting that is left to the site file; null leaves it to SLURM
MANAGED = (  # sbatch options that are the launcher's business
    "array",
    "kill_on_invalid_dep",
    "output",
    "error",
    "job_name",
    "comment",
    "wrap",
    "parsable",
    "signal",
    "requeue",
    "no_requeue",
    "export",
    "export_file",
    "chdir",
    "wait",
    "clusters",
    "open_mode",
    "test_only",
    "help",
    "usage",
    "version",
    "quiet",
    "verbose",
)
OTHER_NAMES = {"time": "timeout_min", "mem": "mem_gb", "ntasks_per_node": "tasks_per_node"}  # sbatch's for Submitit's
RANKS = ("nodes", "tasks_per_node", "ntasks", "ntasks_per_core", "ntasks_per_socket", "ntasks_per_gpu")
ENVIRONMENT = {  # SBATCH_* that is not called as its option is
    "timelimit": "time",
    "mem_per_node": "mem",
    "array_inx": "array",
    "req_switch": "switches",
    "debug": "verbose",
}
DEPENDENCY = re.compile(r"singleton|after\w*:\d+(_\d+)?([+:]\d+(_\d+)?)*(,after\w*:\d+(_\d+)?([+:]\d+(_\d+)?)*)*")
SIGNAL_DELAY_S = 90  # Submitit's


class _EachKeyOnce(yaml.SafeLoader):
    """YAML's own loader takes the last of two equal keys, and drops the first without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        if twice := sorted({str(name) for name in names if names.count(name) > 1}):
            raise yaml.MarkedYAMLError(problem=f"{', '.join(twice)} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def site_settings(path: Path) -> dict[str, Any]:
    """The site file's content.

    Raises:
        ValueError: it is missing, has an unknown or a missing key, or a value that a job's script cannot hold.
    """
    if not path.is_file():
        raise ValueError(f"{path}: expected the site settings, there is no such file; see slurm/site.yaml")
    try:
        read = yaml.load(path.read_text(encoding="utf-8"), _EachKeyOnce)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected YAML: {' '.join(str(error).split())}; see slurm/site.yaml") from error
    found = sorted(read) if isinstance(read, dict) else read
    if found != sorted(SITE_KEYS):
        raise ValueError(f"{path}: expected the keys {sorted(SITE_KEYS)}, found {found}; see slurm/site.yaml")
    settings: dict[str, Any] = read
    if settings["wandb"] not in ("offline", "online", "disabled"):
        raise ValueError(f"{path}: wandb={settings['wandb']!r}, expected offline, online or disabled")
    settings["scratch"] = text(f"{path}: scratch", settings["scratch"])
    for name in ("weights", "account", "qos", "constraint", "cpu_partition", "gpu_partition"):
        settings[name] = None if settings[name] is None else text(f"{path}: {name}", settings[name])
    if not _is_number(settings["min_scratch_gb"]) or settings["min_scratch_gb"] < 0:
        raise ValueError(f"{path}: min_scratch_gb must be a number of at least 0, found {settings['min_scratch_gb']!r}")
    settings["setup"] = shell_lines(f"{path}: setup", settings["setup"])
    check_shell(f"{path}: setup", settings["setup"])
    return settings


def plain_options(options: Mapping[str, Any], exec: Exec, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """The launcher's settings as plain values of the right types, the site file's content in place of its path.

    Args:
        environ: what of SBATCH_* stands in it is obeyed where the command line leaves it open, and told on stderr.
    Raises:
        ValueError: a setting that is unknown, of a wrong type, outside its range, or that no script can hold.
    """
    out: dict[str, Any] = {
        k: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v for k, v in options.items()
    }
    path = Path(text("hydra.launcher.site", out["site"]))
    out["site"] = site_settings(path if path.is_absolute() else REPOSITORY / path)
    text("exec.sweep_name", exec.sweep_name)
    if "%" in text("exec.store", exec.store):
        raise ValueError(f"exec.store={exec.store} has a %, which SLURM replaces in names of files; choose another")
    passed_on = {name.replace("-", "_") for name in queue.sbatch_options()} - {*MANAGED, *OTHER_NAMES, "dependency"}
    _take_over(out, environ, passed_on)
    out["stages"] = _by_kind(out.get("stages") or {})
    for where, own, control in [
        ("hydra.launcher", out, CONTROL),
        *((f"hydra.launcher.stages.{kind}", own, CONTROL_BY_KIND) for kind, own in out["stages"].items()),
    ]:
        _check_names(where, own, {*control, *SUBMITIT, *passed_on}, passed_on)
        own |= {name: typed(f"{where}.{name}", name, own[name]) for name in own if name not in ("site", "stages")}
    for kind, own in {"": {}, **out["stages"]}.items():
        _check_together(kind, out | own)
    return out


def typed(where: str, name: str, value: Any) -> Any:
    """A setting's value as its type.

    Raises:
        ValueError: it is of another, or outside its range.
    """
    name = name.replace("-", "_")
    if name in RANKS and max((int(n) for n in re.findall(r"\d+", str(value))), default=1) > 1:
        raise ValueError(f"{where}={value}: a stage runs as one process on one node, and each of several would run all "
                         "of it; leave it at 1")  # fmt: skip
    if name == "additional_parameters":
        return {key: typed(f"{where}.{key}", key, one) for key, one in (value or {}).items()}
    if name in LINES:
        return shell_lines(where, value)
    if name == "wait":
        if not isinstance(value, bool):
            raise ValueError(f"{where} must be true or false, found {value!r}")
        return value
    if name == "dependency" and value is not None and not DEPENDENCY.fullmatch(str(value)):
        raise ValueError(
            f"{where}={value!r}: expected TYPE:JOB[:JOB...] as sbatch takes it, with a comma where all must hold, as "
            "in afterok:123,afterany:124"
        )
    is_kind_of_gpu = name == "gpus_per_node" and isinstance(value, str) and re.fullmatch(r"[\w.-]+:\d+", value)
    if name in SIZES or (name in LEAST and not is_kind_of_gpu):
        return _number(where, name, value)
    if value is None or (isinstance(value, bool | int) and name not in TEXTS):
        return value
    return text(where, value)


def _number(where: str, name: str, value: Any) -> Any:
    if value is None and (name in MAY_BE_NULL or name in SIZES):
        return None
    if name in SIZES:
        if not _is_number(value) or not 1 / 1024 <= value < float("inf"):  # for sbatch 0 MiB is all there is
            raise ValueError(f"{where} must be a number of at least 1/1024, found {value!r}")
    elif not isinstance(value, int) or isinstance(value, bool) or value < LEAST[name]:
        raise ValueError(f"{where} must be a whole number of at least {LEAST[name]}, found {value!r}")
    return value


def check_delay(where: str, timeout_min: int, signal_delay_s: int) -> None:
    """Refuse a time limit that is over before a job has begun.

    Raises:
        ValueError: the signal that asks for a checkpoint would come at once.
    """
    if signal_delay_s >= timeout_min * 60:
        raise ValueError(
            f"{where}: signal_delay_s={signal_delay_s} must be less than the {timeout_min * 60} s of {timeout_min=}: a "
            "job would be told to stop before it has begun"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _by_kind(found: Any) -> dict[str, dict[str, Any]]:
    from sweep.build import BUILDERS

    if not isinstance(found, dict):
        raise ValueError(f"hydra.launcher.stages must name kinds of stages, found {found!r}")
    for kind, own in found.items():
        if kind not in BUILDERS:
            there = f"{nearest(kind, BUILDERS)}; there are {', '.join(BUILDERS)}"
            raise ValueError(f"hydra.launcher.stages.{kind}: no such kind of stage{there}")
        if own is not None and not isinstance(own, dict):
            raise ValueError(f"hydra.launcher.stages.{kind} must hold settings, as in {{mem_gb: 80}}, found {own!r}")
    return {kind: dict(own or {}) for kind, own in found.items()}


def _check_names(where: str, own: Mapping[str, Any], known: set[str], passed_on: set[str]) -> None:
    extra = own.get("additional_parameters") or {}
    if not isinstance(extra, dict):
        raise ValueError(f"{where}.additional_parameters must hold sbatch options by name, found {extra!r}")
    of_ours = OTHER_NAMES | {name: name for name in SUBMITIT}
    for place, names, valid, elsewhere in [
        (where, own, known, OTHER_NAMES),
        (f"{where}.additional_parameters", extra, passed_on, of_ours),
    ]:
        other = {name: elsewhere[n] for name in names if (n := str(name).replace("-", "_")) in elsewhere}
        if other:
            said = ", ".join(f"{name} is {where}.{ours}" for name, ours in other.items())
            raise ValueError(f"{place}: {said} here; give that")
        unknown = sorted(str(name) for name in names if str(name).replace("-", "_") not in valid)
        if unknown:
            raise ValueError(
                f"{place}: {', '.join(map(repr, unknown))} is neither a setting of the launcher nor an sbatch option "
                f"that it passes on{nearest(unknown[0], valid)}; "
                f"valid ones: {', '.join(sorted(valid))}"
            )


def _check_together(kind: str, chosen: Mapping[str, Any]) -> None:
    where = f"hydra.launcher.stages.{kind}" if kind else "hydra.launcher"
    check_delay(where, chosen["timeout_min"], chosen.get("signal_delay_s", SIGNAL_DELAY_S))
    for word in chosen.get("srun_args") or ():
        if re.match(r"-[nN]|--(nodes|ntasks)", word):
            raise ValueError(f"{where}.srun_args: {word}: a stage runs as one process on one node; leave it out")
    own = [line for line in chosen.get("setup") or () if line != SITE]
    check_shell(f"{where}.setup", own)
    check_shell(f"{where}.teardown", chosen.get("teardown") or ())


def _take_over(out: dict[str, Any], environ: Mapping[str, str], passed_on: set[str]) -> None:
    """sbatch's own variables, under the command line and over the site file; each is told."""
    for variable in sorted(name for name in environ if name.startswith("SBATCH_")):
        value, short = environ[variable], variable.removeprefix("SBATCH_").lower()
        option = ENVIRONMENT.get(short, short)
        name = OTHER_NAMES.get(option, option)
        if name in passed_on | set(SUBMITIT) and out.get(name, SITE) == SITE:
            out[name] = int(value) if value.isdecimal() else value or True
            said = f"is obeyed as hydra.launcher.{name}={value or 'true'}"
        elif name in out:
            said = f"is not used: hydra.launcher.{name}={out[name]} decides"
        else:
            said = "is not used: it is the launcher's business" if name in MANAGED else "is not used: no such option"
        print(f"{variable}={value} {said}", file=sys.stderr)
