"""Building one stage, wherever it runs: parents verified, work done, provenance added, published."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from sweep import leases, looks, sharing
from sweep.artifacts import Manifest, Stage, Store
from sweep.bench import Bench, Built, domain_of, model_of
from sweep.build import BUILDERS, TRACKED
from sweep.config import Exec, TrackingConfig
from sweep.heartbeat import Pulse, path_of
from sweep.launchers.code import code, git
from sweep.launchers.local_view import label
from sweep.launchers.shown import conclusion, flat
from sweep.launchers.slurm.queue import this_job
from sweep.results import point_of, split_of
from sweep.stage_memory import HELD, Estimates, like
from sweep.tracking import Tracker

PACKAGES = ("torch", "transformers", "numpy", "hydra-core", "submitit", "wandb", "pandas", "scipy")


def build(
    stage: Stage,
    store: Store,
    exec: Exec,
    tracking: TrackingConfig,
    should_stop: Callable[[], bool] | None = None,
    on_start: Callable[[], None] | None = None,
    noticed: Mapping[str, Any] | None = None,
    cards: Sequence[str] = (),
) -> Manifest:
    """Build and publish one stage; the manifest of an earlier build where there is one.

    Args:
        should_stop: asked between two steps of the stage's work.
        on_start: called when nobody else builds the stage and its work begins.
        noticed: more that the launcher knows of where and how it runs, for the manifest's provenance.
        cards: names of those that this process is bound to.
    Raises:
        FileNotFoundError, CorruptArtifact: a parent is missing or damaged.
        Exception: whatever the stage's own work raises; nothing is published then.
    """
    with store.builds.lease(stage.key):
        if (found := store.manifest(stage.key)) is not None:
            return found
        if on_start is not None:
            on_start()
        noticed = {**(noticed or {}), **({"cards": list(cards)} if cards else {})}
        with Pulse(path_of(store.root, stage.key), stage.key, this_job() or "", ",".join(cards)) as pulse:
            return _build(stage, store, exec, tracking, should_stop, pulse.at, noticed)


def _build(
    stage: Stage,
    store: Store,
    exec: Exec,
    tracking: TrackingConfig,
    should_stop: Callable[[], bool] | None,
    report: Callable[[str, int, int], None],
    noticed: Mapping[str, Any],
) -> Manifest:
    parents = {role: store.open(parent.key) for role, parent in stage.parents.items()}
    folder = store.builds.start(stage.key)
    if stage.kind not in TRACKED:
        tracking = replace(tracking, name="jsonl")
    kept = store.checkpoint_dir(stage.key)
    curves = kept / "curves"  # beside the checkpoints, so that a resumed stage adds to them
    try:
        sharing.real_folder(store.root, ".checkpoints", stage.key, "curves")
        with Tracker(
            curves, stage, tracking, exec.sweep_name, name=label(stage), flat=flat(stage), should_stop=should_stop
        ) as tracker:
            started, clock = datetime.now(UTC), time.monotonic()  # what a tracker waits for is no cost of the stage
            bench = Bench(parents, model_of(stage), folder, exec, tracker, kept, should_stop, report)
            done, held = measured(stage, bench)
            cost = replace(done.cost, seconds=round(time.monotonic() - clock, 3))
            made = provenance(started, cost.seconds, exec) | dict(noticed) | held
            if split_of(stage) not in (None, "validation"):
                looks.note(store, _look(stage, made["ended"]))  # before it is published, or shown by a tracker
            if tracking.name != "jsonl":
                tracker.conclude(*conclusion(stage, folder, done.facts, cost, made, store))
        tracker.copy_to(folder)
        manifest = store.publish(stage, folder, done.facts, cost, made)
    except BaseException as error:
        store.builds.abandon(folder)
        # another machine may have built the same stage meanwhile, and removed the checkpoints that both were writing
        published = store.manifest(stage.key) if isinstance(error, Exception) else None
        if published is None:
            raise
        manifest = published
    shutil.rmtree(kept, ignore_errors=True)  # and what was written since by the later copy
    return manifest


def _look(stage: Stage, when: str) -> looks.Look:
    problems = domain_of(stage).problems("test")
    return looks.Look(
        key=stage.key,
        problems=looks.problems_sha256(problems),
        n_test=len(problems),
        **point_of(stage),
        policy=stage.parents["policy"].key,
        when=when,
    )


def _log(path: Path) -> int:
    """The log, emptied unless another process writes it: what is written then is added to that one's lines."""
    sharing.real_folder(path.parents[1], path.parent.name)
    descriptor = sharing.opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return descriptor
    except OSError as error:
        if error.errno not in leases.NO_LOCKS:
            os.close(descriptor)
            raise
    os.ftruncate(descriptor, 0)
    return descriptor


@contextmanager
def logged_to(path: Path) -> Iterator[None]:
    """Everything the process prints, its libraries' C code included, goes to the stage's log."""
    descriptor = _log(path)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    try:
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for old, new in zip(saved, (1, 2), strict=True):
            os.dup2(old, new)
            os.close(old)
        os.close(descriptor)


def measured(stage: Stage, bench: Bench) -> tuple[Built, dict[str, Any]]:
    """Build it; and what this process held of its cards meanwhile, for the manifest's provenance."""
    if "torch" not in sys.modules:  # a stage that does without torch does not load it for this
        return BUILDERS[stage.kind](stage, bench), {}
    from sweep.models import held

    held.forget()
    done = BUILDERS[stage.kind](stage, bench)
    allocated, reserved = held.peak()
    if not reserved:
        return done, {}
    counted = Estimates(bench.exec, bench.out.parents[1]).counted(stage)
    told = {"allocated_bytes": allocated, "reserved_bytes": reserved, "like": like(stage, bench.exec)}
    return done, {HELD: told | ({"counted_bytes": counted.total} if counted is not None else {})}


def provenance(started: datetime, seconds: float, exec: Exec) -> dict[str, Any]:
    """Where, when and with which code an artifact was made, and how that ended; never part of its key.

    Args:
        seconds: since `started`, by a clock that nobody sets.
    """
    ended = started + timedelta(seconds=seconds)
    return {
        "started": started.isoformat(timespec="seconds"),
        "ended": ended.isoformat(timespec="seconds"),
        "gpus": gpus(),
        "gpu_seconds": round(seconds * len(gpus()), 3),
        "exit_code": 0,  # a stage that ends otherwise has no manifest, but a line in its submission's attempts/
        "host": socket.gethostname(),
        "code": code(),
        "git": git(),
        "python": platform.python_version(),
        "versions": versions(),
        "device": exec.device,
        "n_threads": exec.n_threads,
        "slurm": slurm_variables(),
    }


SLURM_VARIABLES = (
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_JOB_PARTITION",
    "SLURMD_NODENAME",
    "SLURM_RESTART_COUNT",
    "CUDA_VISIBLE_DEVICES",
)


def slurm_variables() -> dict[str, str]:
    """What SLURM says of this job, once for each time it is started."""
    return {k: v for k, v in sorted(os.environ.items()) if k in SLURM_VARIABLES}


@cache
def gpus() -> list[str]:
    """Names of the GPUs this process may use."""
    torch = sys.modules.get("torch")  # a stage that does without torch does not load it for this
    n = torch.cuda.device_count() if torch and torch.cuda.is_available() else 0
    return [torch.cuda.get_device_name(i) for i in range(n)] if torch else []


@cache
def versions() -> dict[str, str]:
    """Versions of what the numbers depend on; a package that is not installed, a tracker say, is left out."""
    installed = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    return installed
