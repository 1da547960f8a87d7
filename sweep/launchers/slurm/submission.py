"""What a submission writes down, so that no process has to stay alive to know it.

    <store>/.slurm/lock                    held while somebody submits to this store
    <store>/.slurm/code/<hash>/            the sources as they were submitted, with their commit and diff
    <store>/.slurm/<submission>/
        submission.json                    who, when, with which settings; the stages that end its runs
        stages.json                        every stage: kind, version, identity, places, replicate, parents
        arrays.jsonl                       an array's elements before its sbatch, its job id after it
        jobs/<number>/                     the script of an array, and what its jobs printed outside their stages
        attempts/<job>.jsonl               what became of each stage that a job tried
        over                               nothing of it is in the queue any more; how SLURM says each job ended

A submission belongs to the user who made it, and nobody else may write to it, whatever the umask: its jobs and `retry`
run what stands in it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import stat
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from sweep import sharing
from sweep.artifacts import Stage, Store
from sweep.config import Exec, TrackingConfig
from sweep.disk import write_atomically
from sweep.fields import typed
from sweep.launchers.code import packages
from sweep.launchers.slurm.graph import Array, Place
from sweep.launchers.slurm.ownership import check_ours, me, name_of, ours_alone
from sweep.launchers.slurm.records import append, noted, record
from sweep.launchers.slurm.snapshot import Snapshot
from sweep.plan import Plan

STAMP = "%Y%m%d-%H%M%S"  # that a submission's name begins with


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

    @property
    def owner(self) -> str:
        return name_of(self.folder.stat().st_uid)

    @property
    def is_ours(self) -> bool:
        return self.folder.stat().st_uid == os.getuid()

    def check_is_ours(self) -> None:
        """Refuse to run what another user submitted, or could have changed.

        Raises:
            ValueError: names the owner, or the permission.
        """
        files = [self.folder / name for name in ("submission.json", "stages.json", "arrays.jsonl")]
        check_ours([self.folder, *(path for path in files if path.exists())])

    @property
    def code(self) -> Snapshot:
        """The copy of the sources that its jobs run.

        Raises:
            ValueError: an earlier version of the launcher made it, which did not write down what is in the copy.
        """
        if "code_sha256" not in self.settings:
            raise ValueError(f"{self.folder}: an earlier version submitted this; give the sweep command again")
        return Snapshot(Path(self.settings["code"]), self.settings["code_sha256"])

    @cached_property
    def settings(self) -> dict[str, Any]:
        return record(self.folder / "submission.json")

    @property
    def store(self) -> Store:
        return Store(self.folder.parents[1])

    @property
    def exec(self) -> Exec:
        return typed(Exec, self.settings["exec"], "exec")

    @property
    def tracking(self) -> TrackingConfig:
        return TrackingConfig(**self.settings["tracking"])

    @cached_property
    def stages(self) -> dict[str, Stage]:
        """Every stage of the plan by key, parents before children."""
        nodes = record(self.folder / "stages.json")
        out: dict[str, Stage] = {}
        for key, node in nodes.items():
            parents = {role: out[parent] for role, parent in node["parents"].items()}
            told = (node["places"], node.get("replicate"))  # which an earlier version did not write
            out[key] = Stage(node["kind"], node["version"], node["identity"], parents, *told)
            if out[key].key != key:
                raise ValueError(
                    f"{self.folder}/stages.json: stage {key} reads back as {out[key].key}; the file was edited, or the "
                    "code that names stages changed since the submission; submit the sweep again"
                )
        return out

    def plan(self) -> Plan:
        """The plan without its leaves: what is to be built, and from what."""
        targets = tuple(self.stages[key] for key in self.settings["targets"])
        return Plan((), self.stages, 0, targets)

    def arrays(self) -> list[Submitted]:
        rows: dict[int, dict[str, Any]] = {}
        for row in noted(self.folder / "arrays.jsonl"):
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

    def note_over(self, ended: Mapping[str, tuple[str, str, str]]) -> None:
        write_atomically(self.folder / "over", json.dumps(ended, indent=1))

    def ended(self) -> dict[str, tuple[str, str, str]]:
        """How SLURM said its jobs ended, when that was noted: "id_index" to (state, exit code, node)."""
        path = self.folder / "over"
        return {job: tuple(how) for job, how in record(path).items()} if path.exists() else {}

    def output(self, number: int, job: str) -> list[Path]:
        """What a job of an array printed outside its stages, stderr last; those files that are there."""
        files = (self.folder / "jobs" / f"{number:03}" / f"{job}.{end}" for end in ("out", "err"))
        return [path for path in files if path.exists() and path.stat().st_size]

    def note_attempt(self, job: str, **row: Any) -> None:
        append(self.folder / "attempts" / f"{job}.jsonl", row)

    def attempts(self) -> list[dict[str, Any]]:
        """What became of every stage that a job of this submission tried, in order of time."""
        rows = []
        for path in (self.folder / "attempts").glob("*.jsonl"):
            rows += [{"job": path.stem, **row} for row in noted(path)]
        return sorted(rows, key=lambda row: row["time"])


def create(
    plan: Plan,
    store: Store,
    exec: Exec,
    tracking: TrackingConfig,
    options: Mapping[str, Any],
    code: Snapshot,
    command: list[str],
) -> Submission:
    """A new submission's folder with everything its jobs read."""
    stamp = _stamp(shared_folder(store))
    name = re.sub(r"[^\w.-]+", "-", exec.sweep_name)[:50]  # one word: the jobs' comment begins with it
    folder = shared_folder(store) / f"{stamp}-{name}-{uuid.uuid4().hex[:4]}"
    targets = [stage.key for stage in plan.ends]
    settings = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "user": me(),
        "host": socket.gethostname(),
        "command": command,
        "cwd": os.getcwd(),
        "n_runs": len(plan.runs),
        "code": str(code.path),
        "code_sha256": code.sha256,
        "packages": packages(),
        "exec": asdict(exec) | {"store": str(store.root)},
        "tracking": asdict(tracking),
        "options": dict(options),
        "targets": targets,
    }
    with ours_alone():
        for name in ("jobs", "attempts"):
            (folder / name).mkdir(parents=True)
        (folder / "stages.json").write_text(
            json.dumps({key: _node(stage) for key, stage in plan.stages.items()}), encoding="utf-8"
        )
        write_atomically(folder / "submission.json", json.dumps(settings, indent=1))
    return Submission(folder)


def _stamp(folder: Path) -> str:
    """The time in a submission's name, later than in any that is there: names are in the order of submission also where
    two fall into one second, or a clock was set back."""
    now = datetime.now(UTC)
    for path in folder.glob("*/submission.json"):
        with suppress(ValueError, OverflowError):  # a folder that was renamed by hand
            there = datetime.strptime(path.parent.name[:15], STAMP).replace(tzinfo=UTC)
            now = max(now, there + timedelta(seconds=1))
    return now.strftime(STAMP)


def _node(stage: Stage) -> dict[str, Any]:
    """A stage as stages.json holds it, from which `Submission.stages` makes it again."""
    return {
        "kind": stage.kind,
        "version": stage.version,
        "identity": stage.identity,
        "places": stage.places,
        "replicate": stage.replicate,
        "parents": {role: parent.key for role, parent in stage.parents.items()},
    }


def submissions(store: Store, is_open: bool = False) -> list[Submission]:
    """Those of a store, oldest first; is_open leaves out those known to be over."""
    folders = [path.parent for path in sorted((store.root / ".slurm").glob("*/submission.json"))]
    for folder in folders:
        if not os.access(folder, os.R_OK | os.X_OK) or not os.access(folder / "submission.json", os.R_OK):
            raise ValueError(
                f"{folder} of {name_of(folder.stat().st_uid)} cannot be read, so what it builds is not known; ask for "
                "`chmod -R a+rX` of it"
            )
    return [Submission(folder) for folder in folders if not (is_open and (folder / "over").exists())]


def places(found: Iterable[Submission], live: Mapping[str, tuple[str, str]]) -> dict[str, Place]:
    """Which job in the queue builds a stage, for the stages that one does.

    A job that waits for a failed one, or whose own parents nobody builds any more, is not such a job.
    """
    out: dict[str, Place] = {}
    for submission in found:
        for array in submission.arrays():
            for index, keys in array.elements.items():
                state, reason = live.get(f"{array.job_id}_{index}", ("", ""))
                if array.job_id is not None and state and reason != "DependencyNeverSatisfied":
                    out.update(dict.fromkeys(keys, Place(array.job_id, index)))
    return out


@contextmanager
def lock(store: Store, patience_s: float = 300) -> Iterator[None]:
    """One submission at a time to a store, so that two overlapping sweeps share their stages.

    The kernel drops it with the process that held it. Where a file system has no such lock a stage might be built
    twice, which publication survives.

    Raises:
        ValueError: somebody else holds it for longer than patience_s.
    """
    path = shared_folder(store) / "lock"
    deadline = time.monotonic() + patience_s
    descriptor = sharing.opened(path, os.O_RDWR | os.O_CREAT)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = os.pread(descriptor, 1000, 0).decode(errors="replace").strip()
            except OSError:
                break
            if time.monotonic() > deadline:
                raise ValueError(
                    f"{path}: somebody submits to this store for more than {patience_s:.0f} s: {holder}; wait, or end "
                    "that process if it hangs; nothing was submitted"
                )
            time.sleep(0.2)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"pid {os.getpid()} of {me()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def shared_folder(store: Store, *names: str) -> Path:
    """<store>/.slurm or a folder in it, where what a user of the store puts cannot be moved or removed by others."""
    folder = store.root
    for name in (".slurm", *names):
        is_new = not (folder / name).exists()
        folder = sharing.real_folder(folder, name)
        if is_new:
            with suppress(PermissionError):  # another user made it meanwhile
                folder.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_ISVTX)
    return folder
