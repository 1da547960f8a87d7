"""Building one stage, wherever it runs: parents verified, work done, provenance added, published."""
from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from sweep import stages
from sweep.artifacts import Cost, Manifest, Stage, Store
from sweep.config import Exec, TrackingConfig
from sweep.tracking import Tracker

DECIDES_NUMBERS = ("data", "methods", "models", "sources", "stages.py")
PACKAGES = ("torch", "transformers", "accelerate", "numpy", "hydra-core", "submitit", "wandb", "pandas", "scipy")


def build(
    stage: Stage, store: Store, exec: Exec, tracking: TrackingConfig, should_stop: Callable[[], bool] | None = None
) -> Manifest:
    """Build and publish one stage; the manifest of an earlier build where there is one.

    Raises:
        FileNotFoundError, CorruptArtifact: a parent is missing or damaged.
        Exception: whatever the stage's own work raises; nothing is published then.
    """
    with store.lease(stage.key):
        return store.manifest(stage.key) or _build(stage, store, exec, tracking, should_stop)


def _build(
    stage: Stage, store: Store, exec: Exec, tracking: TrackingConfig, should_stop: Callable[[], bool] | None
) -> Manifest:
    parents = {role: store.open(parent.key) for role, parent in stage.parents.items()}
    folder = store.start(stage.key)
    started, clock = datetime.now(UTC), time.monotonic()
    if stage.kind not in stages.TRACKED:
        tracking = replace(tracking, name="jsonl")
    try:
        with Tracker(folder, stage, tracking, exec.sweep_name) as tracker:
            bench = stages.Bench(
                parents, stages.model_of(stage), folder, exec, tracker, store.checkpoint_dir(stage.key), should_stop
            )
            done = stages.BUILDERS[stage.kind](stage, bench)
        seconds = round(time.monotonic() - clock, 3)
        cost = Cost(done.cost.n_updates, done.cost.n_trained_tokens, done.cost.n_sampled_tokens, seconds)
        return store.publish(stage, folder, done.facts, cost, provenance(started, exec))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def provenance(started: datetime, exec: Exec) -> dict[str, Any]:
    """Where, when and with which code an artifact was made; never part of its key."""
    return {
        "started": started.isoformat(timespec="seconds"),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "code": code(),
        "git": git(),
        "python": platform.python_version(),
        "versions": versions(),
        "device": exec.device,
        "n_threads": exec.n_threads,
        "slurm": {k: v for k, v in sorted(os.environ.items()) if k in SLURM_VARIABLES},
    }


SLURM_VARIABLES = (
    "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_PARTITION", "SLURMD_NODENAME",
    "SLURM_RESTART_COUNT", "CUDA_VISIBLE_DEVICES",
)


@cache
def code() -> str:
    """Fingerprint of the files that decide numbers; runs of different fingerprints are not mixed."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for name in DECIDES_NUMBERS:
        for path in sorted((root / name).rglob("*.py")) if (root / name).is_dir() else [root / name]:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


@cache
def git() -> dict[str, Any]:
    """Commit, and whether tracked files differ from it; empty outside a git checkout."""
    root = Path(__file__).parents[2]

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    return {} if commit is None else {"commit": commit, "is_dirty": bool(ask("status", "--porcelain", "-uno"))}


@cache
def versions() -> dict[str, str]:
    """Installed versions of what the numbers depend on."""
    return {name: metadata.version(name) for name in PACKAGES}
