"""Weights & Biases: one run a stage, named by the stage's key.

Offline, a run is written when its stage is over, whole. Online, it is live; a stage that goes on after a kill sends
what the server lacks. Curves are drawn over `update`: W&B's own step starts again at 0 with an offline run. What W&B
would collect by itself (host, command line, requirements, console, code, usage statistics) is switched off.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sweep.config import TrackingConfig
from sweep.tracking.backend import Described, Outcome, Point, Unavailable
from sweep.tracking.offline import SENT
from sweep.tracking.own_settings import quiet
from sweep.tracking.server import PREFERRED, n_points, wait_s

quiet()
LOCAL_S = 90.0
TABLE = "media/table/outcomes.table.json"
LOST = re.compile(r'"level":"ERROR.*(filestream: fatal|UploadTask)')  # a line of W&B's log: data did not arrive


def backend(config: TrackingConfig) -> WandbRun:
    return WandbRun(config)


class WandbRun:
    """One run, online or offline.

    Args:
        variables: of the environment; none for a run that was recorded with those of its own time.
    """

    def __init__(self, config: TrackingConfig, variables: Mapping[str, str] = os.environ) -> None:
        self.is_live = config.mode in ("online", PREFERRED)
        self._config, self._variables = config, variables
        self._run: Any = None

    def start(self, run: Described, folder: Path) -> int:
        """Open it; a folder of W&B's below `folder`/wandb keeps what is sent.

        Raises:
            Unavailable: online, and the server does not answer within wait_s().
        """
        import wandb

        self._described = run
        try:
            self._run = self._init(run, folder)
        except wandb.errors.AuthenticationError as error:
            raise Unavailable(f"W&B refuses the key ({_line(error)})") from error
        except wandb.errors.UsageError as error:
            raise Unavailable(f"W&B refuses the run ({_line(error)})") from error
        except wandb.errors.CommError as error:
            raise Unavailable(f"W&B does not answer ({_line(error)})") from error
        self._run.define_metric("update")
        self._run.define_metric("*", step_metric="update")
        if not self._run.resumed:
            return 0
        n = n_points(self._run.project, self._run.entity or None, run.key)
        return int(self._run.starting_step) if n is None else n

    def log(self, point: Point) -> None:
        self._run.log({"update": point.update, "_timestamp": point.time, **point.metrics})

    def finish(self, outcome: Outcome) -> str | None:
        """Close the run and say whether the server has all of it; a run of which it has is marked."""
        files = dict(outcome.files)
        if outcome.columns:
            files[TABLE] = json.dumps({"columns": list(outcome.columns), "data": outcome.rows}).encode()
            self._run.summary["outcomes"] = _table(files[TABLE], outcome)
        self._save(files)
        self._run.summary.update(dict(outcome.facts))
        if outcome.is_complete:
            self._lineage()
        folder = Path(self._run.dir).parent
        try:
            self._run.finish(exit_code=0 if outcome.is_complete else 1)
        except TimeoutError:
            return f"waited {self._patience_s():.0f} s"
        if not self.is_live:
            return None
        if _has_error(folder):
            return "its uploads failed"
        for path in folder.glob("*.wandb"):
            path.with_name(path.name + SENT).touch()
        return None

    def abandon(self) -> None:
        """End W&B's own process, which may hold the run's id, or be the one that died."""
        import wandb

        with suppress(Exception):  # it is not to be had: that is why
            wandb.teardown()

    def _patience_s(self) -> float:
        """Seconds for W&B to open a run or to end it: without a server, only a busy machine makes that long."""
        return wait_s() if self.is_live else LOCAL_S

    def _init(self, run: Described, folder: Path) -> Any:
        import wandb

        mine = self._variables.get("WANDB_TAGS", "")
        return wandb.init(
            project=self._config.project,
            entity=self._config.entity,
            id=run.key,
            name=run.name,
            group=self._variables.get("WANDB_RUN_GROUP") or run.group,
            job_type=run.kind,
            tags=[*dict.fromkeys([*run.tags, *filter(None, mine.split(","))])],
            notes=run.notes or self._variables.get("WANDB_NOTES", ""),
            config=dict(run.config),
            # an offline run is whole: what is on the server of an earlier try is asked for when it is sent
            resume="allow" if self.is_live else None,
            mode="online" if self.is_live else "offline",
            dir=str(folder),
            settings=wandb.Settings(
                silent=True,
                console="off",
                host="",
                program=run.kind,
                save_code=False,
                disable_code=True,
                disable_git=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_disable_machine_info=True,
                x_save_requirements=False,
                reinit="create_new",
                finish_timeout=self._patience_s(),
                finish_timeout_raises=True,
                init_timeout=self._patience_s(),
            ),
        )

    def _save(self, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            path = Path(self._run.dir, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            self._run.save(str(path), base_path=self._run.dir, policy="now")

    def _lineage(self) -> None:
        """The stage as an artifact that its parents went into: names, no content, so no weights are uploaded.

        W&B's `use_artifact` needs its server's answer, which this does not wait for, and refuses an offline run.
        """
        import wandb

        stages = [*self._described.inputs.items(), (self._described.key, self._described.kind)]
        for key, kind in stages:
            artifact = wandb.Artifact(key, type=kind)
            artifact.add_reference(f"stage://{key}", name="stage", checksum=False)
            self._run._interface.publish_artifact(
                self._run, artifact, ["latest"], is_user_created=True, use_after_commit=key != self._described.key
            )


def _table(content: bytes, outcome: Outcome) -> dict[str, Any]:
    """What W&B's pages show as a table: a file of the run, where wandb.Table also leaves one outside its folder."""
    return {
        "_type": "table-file",
        "path": TABLE,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "ncols": len(outcome.columns),
        "nrows": len(outcome.rows),
    }


def _has_error(folder: Path) -> bool:
    logs = [path.read_text(encoding="utf-8", errors="replace") for path in folder.glob("logs/debug-internal.log")]
    return any(LOST.search(text) for text in logs)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
