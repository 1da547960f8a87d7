"""What a tracker has to offer, and nothing of any one of them.

metrics.jsonl is the record of a stage and a tracker a view of it. A backend is started with a description of the run,
is given curve points over our own axis `update`, and at the end what describes the finished stage. One that is not live
is started when the stage is over and is given the whole curve then, so that a kill finds nothing half written.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sweep.config import TrackingConfig

BACKENDS = {"wandb": "sweep.tracking.on_wandb", "trackio": "sweep.tracking.on_trackio"}  # jsonl is none of them


@dataclass(frozen=True)
class Described:
    """What a tracker is told of a stage before it is built.

    key: names the run, for good.
    name: what a person calls it.
    group: the sweep.
    config: flat where charts group by it (arm, n_problems, seed, ...), nested where it is the whole identity.
    inputs: key to kind of the artifacts it is made of.
    notes: a person's, of a run that was recorded with them.
    """

    key: str
    kind: str
    name: str
    group: str
    tags: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""


@dataclass(frozen=True)
class Point:
    """Metrics after an update, and the wall-clock time (seconds since 1970) at which they were taken."""

    update: int
    time: float
    metrics: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What describes a stage that is over: facts, a table of problems, files to be kept with the run."""

    is_complete: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


class Backend(Protocol):
    """One run of one tracker."""

    is_live: bool  # shows a curve while it grows; else `start` comes when the stage is over

    def start(self, run: Described, folder: Path) -> int:
        """Open the run, with whatever it keeps on this machine below `folder`; how many points it has already.

        Raises:
            Unavailable: whoever keeps the live view does not answer.
        """

    def log(self, point: Point) -> None:
        """One point of the curves."""

    def finish(self, outcome: Outcome) -> str | None:
        """Close the run within a bounded time; why not all of it was delivered, where that is so."""

    def abandon(self) -> None:
        """Let go of a run of which a call failed, so that another can be started; raises nothing."""


class Unavailable(ConnectionError):
    """A live view cannot be had; the stage can do without."""


def broken(name: str, error: Exception) -> str:
    """Why a call of a backend failed, in a line; `name` is the tracker's."""
    told = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")
    return str(error) if isinstance(error, Unavailable) else f"{name} broke ({told})"


def new_run(config: TrackingConfig) -> Backend | None:
    """A run's backend; None for tracking=jsonl."""
    if config.name not in BACKENDS:
        return None
    made: Backend = importlib.import_module(BACKENDS[config.name]).backend(config)
    return made


def preload(config: TrackingConfig) -> None:
    """Import what a backend will import."""
    if config.name in BACKENDS:
        importlib.import_module(BACKENDS[config.name])
        importlib.import_module(config.name)


def check_installed(config: TrackingConfig) -> None:
    """Refuse a tracker whose package is not there, before any work.

    Raises:
        ValueError: what to install, or to choose instead.
    """
    if config.name in BACKENDS and importlib.util.find_spec(config.name) is None:
        raise ValueError(
            f"tracking={config.name} needs the Python package {config.name}, which is not installed; install it "
            f"(pip install {config.name}), or add tracking=jsonl: training curves are in metrics.jsonl either way"
        )
