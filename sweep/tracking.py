"""Training curves: metrics.jsonl is the record, Weights & Biases a view of it.

One W&B run a stage: `id` is the stage's key, `group` the sweep, `job_type` the kind. Curves are drawn
over `update`, an axis of our own, because W&B's own step starts again at 0 when an offline run resumes.

A stage that is stopped and resumed goes on in the same folder, from its last checkpoint: what it had
logged after that is logged again, and the later line holds. Another machine may build the same stage
in that folder, so a finished artifact takes a copy.
"""
from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from sweep.artifacts import Stage
from sweep.config import TrackingConfig
from sweep.sharing import opened

METRICS = "metrics.jsonl"
WAIT_S = 30.0  # for W&B's server, before a curve goes offline


class Tracker:
    """Writes one stage's metrics; a context manager, so that W&B's run is finished whatever happens."""

    def __init__(self, folder: Path, stage: Stage, config: TrackingConfig, group: str) -> None:
        self.path = folder / METRICS
        self._stage, self._config, self._group, self._folder = stage, config, group, folder
        self._run: Any = None

    def __enter__(self) -> Tracker:
        if self._config.name == "wandb":
            self._run = self._start_wandb()
        descriptor = opened(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._stream = os.fdopen(descriptor, "a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        if self._run is not None:
            self._run.finish(exit_code=0 if kind is None else 1)

    def log(self, update: int, metrics: Mapping[str, float]) -> None:
        """One line of metrics.jsonl: the metrics, the update they belong to and the wall-clock time."""
        row = {"update": update, "time": round(time.time(), 3), **metrics}
        self._stream.write(json.dumps(row) + "\n")
        self._stream.flush()
        if self._run is not None:
            self._run.log({"update": update, **metrics})

    def curve(self, prefix: str, offset: int = 0) -> Callable[[int, Mapping[str, float]], None]:
        """A callback for a trainer: its metrics under `prefix/`, updates counted on from offset."""
        return lambda update, metrics: self.log(offset + update, {f"{prefix}/{k}": v for k, v in metrics.items()})

    def summary(self, facts: Mapping[str, Any]) -> None:
        """Counts that describe the finished stage."""
        flat = {k: v for k, v in facts.items() if isinstance(v, int | float)}
        self.log(0, {f"evaluate/{k}": v for k, v in flat.items()})
        if self._run is not None:
            self._run.summary.update(flat)

    def attach(self, files: Mapping[str, bytes]) -> None:
        """Files that W&B keeps with the run; they are nowhere else, so without W&B nothing is written."""
        for name, content in files.items() if self._run is not None else ():
            path = Path(self._run.dir, name)
            path.write_bytes(content)
            self._run.save(str(path), base_path=self._run.dir, policy="now")

    def copy_to(self, folder: Path) -> None:
        """The curve, each update once, and W&B's runs; of lines with the same update and metrics the last holds."""
        rows: dict[tuple[Any, ...], str] = {}
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # a kill cut it off in the middle
                continue
            names = (row["update"], *sorted(row))
            rows.pop(names, None)
            rows[names] = line
        (folder / METRICS).write_text("".join(f"{line}\n" for line in rows.values()), encoding="utf-8")
        for run in self._folder.glob("wandb/*run-*"):
            place = folder / "wandb" / run.name
            place.parent.mkdir(exist_ok=True)
            if self._run is not None and run == Path(self._run.dir).parent:
                os.rename(run, place)  # its file stays open: W&B still writes when `finish` has returned
            elif run.is_dir() and not run.is_symlink():  # of an earlier start, or of another builder
                shutil.copytree(run, place, symlinks=True)

    def _start_wandb(self) -> Any:
        """The run in the mode asked for; where none was, an unreachable server costs the live view, not the stage."""
        import wandb

        if self._config.mode is not None:
            return self._wandb_run(self._config.mode)
        if not has_wandb_key():
            return self._wandb_run("offline")
        try:
            return self._wandb_run("online", init_timeout=WAIT_S)
        except wandb.errors.AuthenticationError:
            raise
        except wandb.errors.CommError as error:
            print(
                f"warning: W&B does not answer ({' '.join(str(error).split()) or 'no route'}); {self._stage.key} is "
                f"logged offline, `wandb sync {self._stage.key}/wandb/offline-run-*` sends it later; "
                "tracking.mode=online would fail instead",
                file=sys.stderr,
            )
            wandb.teardown()  # it still holds the run's id
            return self._wandb_run("offline")

    def _wandb_run(self, mode: str, **settings: Any) -> Any:
        import wandb

        run = wandb.init(
            project=self._config.project, entity=self._config.entity, id=self._stage.key, name=self._stage.key,
            group=self._group, job_type=self._stage.kind, resume="allow", dir=str(self._folder), mode=mode,
            config={
                # and what it was made of, so that charts can be drawn over policy.n_problems
                "version": self._stage.version, **self._stage.identity,
                **{role: dict(parent.identity) for role, parent in self._stage.parents.items()},
            },
            settings=wandb.Settings(
                silent=True, console="off", x_disable_stats=True, disable_git=True, disable_code=True, **settings
            ),
        )
        run.define_metric("update")
        run.define_metric("*", step_metric="update")
        return run


def has_wandb_key() -> bool:
    """Whether W&B would find credentials: its environment variable, or a netrc entry it wrote."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    netrc = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        return "wandb" in netrc.read_text(encoding="utf-8")
    except OSError:
        return False
