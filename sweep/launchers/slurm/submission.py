"""What a submission writes down, so that no process has to stay alive to know it.

    <store>/.slurm/lock                    held while somebody submits to this store
    <store>/.slurm/code/<hash>/            the package as it was submitted, with its commit and diff
    <store>/.slurm/<submission>/
        submission.json                    who, when, with which settings; the stages that end its runs
        stages.json                        every stage: kind, version, identity, places, parents
        arrays.jsonl                       an array's elements before its sbatch, its job id after it
        jobs/<number>/                     Submitit's files: the script, the pickle, stdout and stderr
        attempts/<job>.jsonl               what became of each stage that a job tried
        over                               nothing of it is in the queue any more; how SLURM says each job ended
"""
from __future__ import annotations

import json
import os
import re
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from sweep.artifacts import Stage, Store, write_atomically
from sweep.config import Exec, TrackingConfig
from sweep.launchers.slurm.graph import Array, Place
from sweep.plan import Plan

LOCK_STALE_S = 900


@dataclass(frozen=True)
class Submitted:
    """One array that was handed to sbatch; job_id is None where sbatch never answered."""

    number: int
    kind: str
    elements: Mapping[int, list[str]]
    dependency: str | None
    job_id: str | None


@dataclass(frozen=True)
class Submission:
    """A folder below <store>/.slurm and what it says."""

    folder: Path

    @cached_property
    def settings(self) -> dict[str, Any]:
        return json.loads((self.folder / "submission.json").read_text())

    @property
    def store(self) -> Store:
        return Store(self.folder.parents[1])

    @property
    def exec(self) -> Exec:
        return Exec(**self.settings["exec"])

    @property
    def tracking(self) -> TrackingConfig:
        return TrackingConfig(**self.settings["tracking"])

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """Every stage of the plan by key, parents before children."""
        nodes = json.loads((self.folder / "stages.json").read_text())
        out: dict[str, Stage] = {}
        for key, node in nodes.items():
            parents = {role: out[parent] for role, parent in node["parents"].items()}
            out[key] = Stage(node["kind"], node["version"], node["identity"], parents, node["places"])
            if out[key].key != key:
                raise ValueError(
                    f"{self.folder}/stages.json: stage {key} reads back as {out[key].key}; the file was edited, or the "
                    "code that names stages changed since the submission; submit the sweep again"
                )
        return out

    def plan(self) -> Plan:
        """The plan without its leaves: what is to be built, and from what."""
        targets = tuple((None, self.stages[key]) for key in self.settings["targets"])
        return Plan((), self.stages, 0, targets)

    def arrays(self) -> list[Submitted]:
        rows: dict[int, dict[str, Any]] = {}
        try:
            lines = (self.folder / "arrays.jsonl").read_text().splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            row = json.loads(line)
            rows.setdefault(row["number"], {"job_id": None}).update(row)
        for row in rows.values():
            row["elements"] = {int(index): keys for index, keys in row["elements"].items()}
        return [Submitted(**row) for row in rows.values()]

    def array(self, number: int) -> Submitted:
        return next(array for array in self.arrays() if array.number == number)

    def note_array(self, array: Array, number: int, dependency: str | None) -> None:
        """Before sbatch, so that a driver killed in between leaves a trace."""
        row = {"number": number, "kind": array.kind, "elements": array.elements, "dependency": dependency}
        append(self.folder / "arrays.jsonl", row)

    def note_job(self, number: int, job_id: str) -> None:
        append(self.folder / "arrays.jsonl", {"number": number, "job_id": job_id})

    def note_attempt(self, job: str, **row: Any) -> None:
        append(self.folder / "attempts" / f"{job}.jsonl", row)

    def attempts(self) -> list[dict[str, Any]]:
        """What became of every stage that a job of this submission tried, in order of time."""
        rows = []
        for path in (self.folder / "attempts").glob("*.jsonl"):
            rows += [{"job": path.stem, **json.loads(line)} for line in path.read_text().splitlines()]
        return sorted(rows, key=lambda row: row["time"])


def create(
    plan: Plan, store: Store, exec: Exec, tracking: TrackingConfig, options: Mapping[str, Any], code: Path,
    command: list[str],
) -> Submission:
    """A new submission's folder with everything its jobs read."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    name = re.sub(r"[^\w.-]+", "-", exec.sweep_name)  # one word: the jobs' comment begins with it
    folder = store.root / ".slurm" / f"{stamp}-{name}-{uuid.uuid4().hex[:4]}"
    for name in ("jobs", "attempts"):
        (folder / name).mkdir(parents=True)
    nodes = {
        key: {
            "kind": stage.kind, "version": stage.version, "identity": stage.identity, "places": stage.places,
            "parents": {role: parent.key for role, parent in stage.parents.items()},
        }
        for key, stage in plan.stages.items()
    }
    (folder / "stages.json").write_text(json.dumps(nodes))
    targets = [run.evaluate.key for run in plan.runs] + [stage.key for _, stage in plan.base_evaluations]
    settings = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"), "user": os.environ.get("USER"),
        "host": socket.gethostname(), "command": command, "cwd": os.getcwd(), "n_runs": len(plan.runs),
        "code": str(code), "exec": asdict(exec) | {"store": str(store.root)}, "tracking": asdict(tracking),
        "options": dict(options), "targets": targets,
    }
    write_atomically(folder / "submission.json", json.dumps(settings, indent=1))
    return Submission(folder)


def submissions(store: Store, is_open: bool = False) -> list[Submission]:
    """Those of a store, oldest first; is_open leaves out those known to be over."""
    folders = sorted((store.root / ".slurm").glob("*/submission.json"))
    return [Submission(f.parent) for f in folders if not (is_open and (f.parent / "over").exists())]


def places(found: Iterable[Submission], live: Mapping[str, tuple[str, str]]) -> dict[str, Place]:
    """Which job in the queue builds a stage, for the stages that one does.

    A job that waits for a failed one, or whose own parents nobody builds any more, is not such a job.
    """
    out: dict[str, Place] = {}
    for submission in found:
        for array in submission.arrays():
            for index, keys in array.elements.items():
                state, reason = live.get(f"{array.job_id}_{index}", ("", ""))
                if state and reason != "DependencyNeverSatisfied":
                    out.update(dict.fromkeys(keys, Place(array.job_id, index)))
    return out


def append(path: Path, row: Mapping[str, Any]) -> None:
    """One line, whole or not at all for a reader on this machine."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, (json.dumps(row) + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock(store: Store, patience_s: float = 300) -> Iterator[None]:
    """One submission at a time to a store, so that two overlapping sweeps share their stages.

    Only a hint: without it a stage might be built twice, which publication survives. A holder that is gone,
    or older than LOCK_STALE_S, is ignored.

    Raises:
        ValueError: somebody else holds it for longer than patience_s.
    """
    folder = store.root / ".slurm"
    folder.mkdir(parents=True, exist_ok=True)
    path, mine = folder / "lock", folder / f".lock-{uuid.uuid4().hex}"
    mine.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "time": time.time()}))
    deadline = time.monotonic() + patience_s
    try:
        while True:
            try:
                os.link(mine, path)  # atomic on NFS too, where O_EXCL once was not
                break
            except FileExistsError:
                _remove_stale(path)
            if time.monotonic() > deadline:
                raise ValueError(
                    f"{path}: somebody submits to this store for more than {patience_s:.0f} s: {path.read_text()}; "
                    "wait, or remove the file if that process is gone; nothing was submitted"
                )
            time.sleep(0.2)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        mine.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    try:
        holder = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return
    is_gone = holder["host"] == socket.gethostname() and not Path(f"/proc/{holder['pid']}").exists()
    if is_gone or time.time() - holder["time"] > LOCK_STALE_S:
        path.unlink(missing_ok=True)
