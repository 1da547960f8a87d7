"""trackio: a tracker that keeps its runs in files of this machine (TRACKIO_DIR), or on a Space (TRACKIO_SPACE_ID).

A run is written when its stage is over, and takes the place of what an earlier try of the stage left.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from sweep.config import TrackingConfig
from sweep.tracking.backend import Described, Outcome, Point
from sweep.tracking.server import PROJECT, wait_s


def backend(config: TrackingConfig) -> TrackioRun:
    return TrackioRun(config.project or PROJECT)


class TrackioRun:
    """One run, named by what a person calls the stage and by its key: trackio knows runs by name."""

    is_live = False

    def __init__(self, project: str) -> None:
        self._project, self._last = project, 0
        self._run: Any = None

    def start(self, run: Described, folder: Path) -> int:
        import trackio

        name = f"{run.name} {run.key}"
        with suppress(ValueError):  # the project's first run
            for earlier in [found for found in trackio.Api().runs(self._project) if found.name == name]:
                earlier.delete()
        config = {**run.config, "key": run.key, "kind": run.kind, "tags": list(run.tags), "inputs": dict(run.inputs)}
        self._run = trackio.init(
            project=self._project,
            name=name,
            group=run.group,
            config=config,
            resume="never",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        return 0

    def log(self, point: Point) -> None:
        self._last = max(self._last, point.update)
        self._run.log(dict(point.metrics), step=point.update)

    def finish(self, outcome: Outcome) -> str | None:
        """Facts and the table stand behind the curve's last update; files are not kept, trackio has none of a run."""
        import pandas as pd
        import trackio

        if outcome.facts or outcome.columns:
            table = pd.DataFrame([list(row) for row in outcome.rows], columns=list(outcome.columns))
            told = {"outcomes": trackio.Table(dataframe=table)} if outcome.columns else {}
            self._run.log({**outcome.facts, **told}, step=self._last + 1)
        thread = threading.Thread(target=self._run.finish, daemon=True)
        thread.start()
        thread.join(wait_s())
        return f"waited {wait_s():.0f} s" if thread.is_alive() else None

    def abandon(self) -> None:
        """Nothing is held that another run would need."""
