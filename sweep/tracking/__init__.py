"""Training curves: metrics.jsonl is the record, Weights & Biases or trackio a view of it.

    backend.py      what a tracker has to offer          on_wandb.py, on_trackio.py   the two there are
    server.py       whether W&B is to be asked, and answers: once a sweep, within a bounded time
    own_settings.py what W&B's variables and files say
    offline.py      W&B's own files read back            sync.py    sends what was kept on this machine
    wandb_runs.py   finished runs in W&B made a store again

A stage that is stopped and resumed goes on in the same folder, from its last checkpoint: what it had logged after that
is logged again, and the later line holds. A view is filled from this file, each update once. Another machine may build
the same stage in that folder, so a finished artifact takes a copy.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sweep.artifacts import Stage
from sweep.config import TrackingConfig
from sweep.sharing import opened
from sweep.tracking.backend import Backend, Described, Outcome, Point, broken, new_run
from sweep.tracking.server import as_offline, give_up, in_this_process

METRICS = "metrics.jsonl"
FACTS_AT = 0  # the update of the line with a finished stage's facts; training counts from 1


class Tracker:
    """Writes one stage's metrics; a context manager, so that the view is closed whatever happens."""

    def __init__(
        self,
        folder: Path,
        stage: Stage,
        config: TrackingConfig,
        group: str,
        *,
        name: str | None = None,
        flat: Mapping[str, Any] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        self.path = folder / METRICS
        self._run = described(stage, group, name or stage.key, flat or {})
        self._config, self._folder, self._should_stop = config, folder, should_stop
        self._backend: Backend | None = None
        self._is_demanded = False  # whether the stage fails where its view does
        self._last = FACTS_AT  # the last update that a view was given
        self._n_shown = self._n_there = 0  # points given to the view, and those that it had before
        self._facts: dict[str, Any] = {}
        self._files: dict[str, bytes] = {}
        self._table: tuple[Sequence[str], Sequence[Sequence[Any]]] = ((), ())
        self._before: set[Path] = set()

    def __enter__(self) -> Tracker:
        self._config = in_this_process(self._config)
        self._is_demanded = self._config.mode == "online"
        self._before = self._views()
        self._backend = new_run(self._config)
        if self._backend is not None and self._backend.is_live:
            self._begin()
        descriptor = opened(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._stream = os.fdopen(descriptor, "a", encoding="utf-8")
        if _is_cut_off(self.path):
            self._stream.write("\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        is_whole = kind is None
        self._is_demanded &= is_whole  # the stage's own end is what is to be told
        if self._backend is not None and self._backend.is_live:
            self._end(is_whole)
        if self._backend is None or self._backend.is_live:
            return
        is_asked_to_stop = self._should_stop is not None and self._should_stop()
        if kind is None or (issubclass(kind, Exception) and not is_asked_to_stop):  # else it goes on, and is shown then
            self._begin()
            self._end(is_whole)

    def log(self, update: int, metrics: Mapping[str, float]) -> None:
        """One line of metrics.jsonl: the metrics, the update they belong to and the wall-clock time."""
        point = Point(update, round(time.time(), 3), metrics)
        self._stream.write(json.dumps({"update": update, "time": point.time, **metrics}) + "\n")
        self._stream.flush()
        if self._backend is not None and self._backend.is_live:
            self._ask(lambda backend: self._show(backend, point))

    def curve(self, prefix: str, offset: int = 0) -> Callable[[int, Mapping[str, float]], None]:
        """A callback for a trainer: its metrics under `prefix/`, updates counted on from offset."""
        return lambda update, metrics: self.log(offset + update, {f"{prefix}/{k}": v for k, v in metrics.items()})

    def summary(self, facts: Mapping[str, Any]) -> None:
        """Counts that describe the finished stage: a line of their own, and the view's summary."""
        flat = {k: v for k, v in facts.items() if isinstance(v, int | float)}
        row = {"update": FACTS_AT, "time": round(time.time(), 3), **{f"evaluate/{k}": v for k, v in flat.items()}}
        self._stream.write(json.dumps(row) + "\n")
        self._stream.flush()
        self._facts.update(flat)

    def conclude(
        self,
        facts: Mapping[str, Any],
        columns: Sequence[str],
        rows: Sequence[Sequence[Any]],
        files: Mapping[str, bytes],
    ) -> None:
        """What the view alone is told of a stage that is built: rates, a table, files; metrics.jsonl has none of it."""
        self._facts.update(facts)
        self._files.update(files)
        self._table = (columns, rows)

    def copy_to(self, folder: Path) -> None:
        """The curve, each update once, and what the view keeps on this machine."""
        lines = (line for line, _ in _last_of_each(self.path))
        (folder / METRICS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        for view in self._views() - self._before:  # those of earlier starts hold less than this one
            place = folder / view.parent.name / view.name
            place.parent.mkdir(exist_ok=True)
            os.rename(view, place)  # its log stays open: W&B still writes when `finish` has returned

    def _views(self) -> set[Path]:
        return {p for p in self._folder.glob("wandb/*run-*") if p.is_dir() and not p.is_symlink()}

    def _begin(self) -> None:
        """The view, up to where metrics.jsonl is."""

        def begin(backend: Backend) -> None:
            self._n_there = backend.start(self._run, self._folder)
            for _, row in _last_of_each(self.path):
                metrics = {k: v for k, v in row.items() if k not in ("update", "time")}
                self._show(backend, Point(row["update"], row["time"], metrics))

        self._ask(begin)

    def _end(self, is_whole: bool) -> None:
        columns, rows = self._table

        def end(backend: Backend) -> None:
            why = backend.finish(Outcome(is_whole, self._facts, columns, rows, self._files))
            if why is not None:
                give_up(f"W&B did not take all of {self._run.key} ({why})")

        self._ask(end)

    def _ask(self, act: Callable[[Backend], None]) -> None:
        """Something of the view, where there is one; a view that breaks costs itself, unless it was demanded.

        A live one that breaks is left to when the stage is over: then the whole curve is written on this machine.
        """
        backend = self._backend
        if backend is None:
            return
        try:
            act(backend)
        except Exception as error:  # another project's package, whatever it raises: metrics.jsonl is the record
            backend.abandon()
            self._backend = None
            if self._is_demanded:
                raise
            why = broken(self._config.name, error)
            if not backend.is_live:
                give_up(f"{self._run.key} has no run in {self._config.name}", f"{why}; its curve is in {METRICS}")
                return
            give_up(why)
            self._config = as_offline(self._config)
            self._backend = new_run(self._config)
            self._before = self._views()
            self._last, self._n_shown, self._n_there = FACTS_AT, 0, 0

    def _show(self, to: Backend, point: Point) -> None:
        """Each update once, and none that the view had before: points come to it in the order of their updates."""
        if point.update > self._last:
            self._last, self._n_shown = point.update, self._n_shown + 1
            if self._n_shown > self._n_there:
                to.log(point)


def described(stage: Stage, group: str, name: str, flat: Mapping[str, Any]) -> Described:
    """What a tracker is told of a stage; `flat` is what charts group by, and stands before the identity's own nodes."""
    nested = {role: dict(parent.identity) for role, parent in stage.parents.items()}
    hidden = {f"{key}_settings": value for key, value in stage.identity.items() if key in flat and flat[key] != value}
    tags = (stage.kind, *(str(flat[key]) for key in ("arm", "split") if flat.get(key)))
    config = {**nested, "version": stage.version, **stage.identity, **hidden, **flat}
    inputs = {parent.key: parent.kind for parent in stage.parents.values()}
    return Described(stage.key, stage.kind, name, group, tags, config, inputs)


def _last_of_each(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Lines of a metrics.jsonl in the order of their updates; of those with the same update and metrics the last."""
    rows: dict[tuple[Any, ...], tuple[str, dict[str, Any]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:  # a kill cut it off in the middle
            continue
        names = (row["update"], *sorted(row))
        rows.pop(names, None)
        rows[names] = (line, row)
    yield from sorted(rows.values(), key=lambda pair: pair[1]["update"])


def _is_cut_off(path: Path) -> bool:
    """Whether a kill ended the file in the middle of a line."""
    text = path.read_bytes()
    return bool(text) and not text.endswith(b"\n")
