"""Artifacts: what a stage leaves behind, named by the hash of everything that decided it.

    <store>/<kind>-<hash>/            one artifact, never changed after it appears
        manifest.json                 written last: a folder without one is not an artifact
        <files of the stage>
    <store>/.building/                folders under construction; a killed build leaves one here
    <store>/.checkpoints/<key>/       where a long training stage left off, and its curves so far
    <store>/.logs/<key>.log           what the stage printed, kept when it fails
    <store>/.corrupted/               artifacts set aside by a requested rebuild

An artifact is built in its own folder, hashed, fsynced and moved into place by one rename, so a
reader sees all of it or none, and the second of two builders finds the place taken and drops its copy.
"""
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
UNLISTED = ("wandb",)  # a tracker's own folder inside an artifact: a view, not a product


class CorruptArtifact(ValueError):
    """An artifact's folder does not hold what its manifest says."""


@dataclass(frozen=True)
class Stage:
    """One unit of work and the name of its result.

    identity is the stage's whole slice of the configuration, never the difference from defaults, so
    a changed default changes the key and an old key keeps its meaning. places says where input files
    lie on this machine: what they hold is in identity by its hash, where they lie is not in the key.
    """

    kind: str
    version: int
    identity: Mapping[str, Any]
    parents: Mapping[str, Stage] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        what = {
            "kind": self.kind,
            "version": self.version,
            "identity": self.identity,
            "parents": {role: parent.key for role, parent in self.parents.items()},
        }
        text = json.dumps(what, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return f"{self.kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def ancestors(self) -> Iterator[Stage]:
        """Every stage upstream of this one, each once, parents before children."""
        seen: set[str] = set()

        def walk(stage: Stage) -> Iterator[Stage]:
            for parent in stage.parents.values():
                if parent.key not in seen:
                    yield from walk(parent)
                    seen.add(parent.key)
                    yield parent

        yield from walk(self)


@dataclass(frozen=True)
class Cost:
    """What building one artifact took; zero where a stage does no such work."""

    n_updates: int = 0
    n_trained_tokens: int = 0
    n_sampled_tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0

    def __add__(self, more: Cost) -> Cost:
        return Cost(**{f.name: getattr(self, f.name) + getattr(more, f.name) for f in fields(Cost)})


@dataclass(frozen=True)
class Manifest:
    """The record of one artifact; its presence is what 'built' means."""

    key: str
    kind: str
    version: int
    identity: dict[str, Any]
    parents: dict[str, str]
    files: dict[str, dict[str, Any]]
    facts: dict[str, Any]
    cost: Cost
    provenance: dict[str, Any]

    @staticmethod
    def of_json(text: str) -> Manifest:
        raw = json.loads(text)
        for expected in raw["files"].values():
            if not {"n_bytes", "sha256"} <= expected.keys():
                raise ValueError("a file without size or hash")
        return Manifest(**{**raw, "cost": Cost(**raw["cost"])})


@dataclass(frozen=True)
class Artifact:
    """A built and verified stage: its folder and its manifest."""

    path: Path
    manifest: Manifest


class Store:
    """The folder that holds all artifacts; safe to share between processes and machines."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).expanduser().absolute()
        self._verified: dict[str, int] = {}

    def folder(self, key: str) -> Path:
        return self.root / key

    def log_path(self, key: str) -> Path:
        return self.root / ".logs" / f"{key}.log"

    def checkpoint_dir(self, key: str) -> Path:
        return self.root / ".checkpoints" / key

    def built(self) -> list[str]:
        if not self.root.is_dir():
            return []
        return sorted(p.name for p in self.root.iterdir() if p.is_dir() and not p.name.startswith("."))

    def check_writable(self) -> None:
        """Refuse a store that cannot be written before any work is started.

        Raises:
            ValueError: the folder cannot be made or written to.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{uuid.uuid4().hex}"
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            raise ValueError(
                f"exec.store={self.root} must be a folder this user can write to, found: {error.strerror}; "
                "choose another with exec.store=FOLDER or free the disk; nothing was built"
            ) from error

    def manifest(self, key: str) -> Manifest | None:
        """The manifest of `key`, or None where it is not built. Checks file sizes, not contents.

        Raises:
            CorruptArtifact: the folder is there but its manifest or a file's size is wrong.
        """
        folder = self.folder(key)
        if not folder.exists():
            return None
        try:
            manifest = Manifest.of_json((folder / MANIFEST).read_text())
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._corrupt(key, f"its {MANIFEST} cannot be read ({type(error).__name__})") from error
        if manifest.key != key:
            raise self._corrupt(key, f"its manifest is that of {manifest.key}")
        for name, expected in manifest.files.items():
            path = folder / name
            n_bytes = path.stat().st_size if path.is_file() else None
            if n_bytes != expected["n_bytes"]:
                found = "missing" if n_bytes is None else f"{n_bytes} bytes"
                raise self._corrupt(key, f"{name} should have {expected['n_bytes']} bytes and is {found}")
        return manifest

    def open(self, key: str) -> Artifact:
        """The artifact, every file compared with its hash (once a process and state of the folder).

        Raises:
            FileNotFoundError: not built.
            CorruptArtifact: a file is not what was published.
        """
        manifest = self.manifest(key)
        if manifest is None:
            raise FileNotFoundError(f"{self.folder(key)}: this artifact is not built yet")
        folder = self.folder(key)
        stamp = max(((folder / name).stat().st_mtime_ns for name in manifest.files), default=0)
        if self._verified.get(key) != stamp:
            for name, expected in manifest.files.items():
                if file_sha256(folder / name) != expected["sha256"]:
                    raise self._corrupt(key, f"{name} does not have the sha256 it was published with")
            self._verified[key] = stamp
        return Artifact(folder, manifest)

    @contextmanager
    def lease(self, key: str) -> Iterator[None]:
        """Waits while another process of this machine builds `key`. A hint that saves work, not a truth:
        publication is safe without it, and the kernel drops it with the process that held it."""
        path = self.root / ".building" / f"{key}.lease"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as stream:
            with suppress(OSError):  # some cluster file systems have no such lock
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def start(self, key: str) -> Path:
        """A fresh folder to build `key` in."""
        folder = self.root / ".building" / f"{key}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        return folder

    def publish(
        self, stage: Stage, folder: Path, facts: dict[str, Any], cost: Cost, provenance: dict[str, Any]
    ) -> Manifest:
        """Move a finished build folder into its place; the manifest is written last.

        Another builder's copy that was published first stays, and this one is dropped.
        """
        files = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = path.relative_to(folder).as_posix()
            if name.split("/")[0] in UNLISTED:
                continue
            files[name] = {"n_bytes": path.stat().st_size, "sha256": file_sha256(path)}
            _fsync(path)
        manifest = Manifest(
            key=stage.key, kind=stage.kind, version=stage.version, identity=dict(stage.identity),
            parents={role: parent.key for role, parent in stage.parents.items()},
            files=files, facts=facts, cost=cost, provenance=provenance,
        )
        write_atomically(folder / MANIFEST, json.dumps(asdict(manifest), indent=1, sort_keys=True))
        _fsync(folder)
        try:
            os.rename(folder, self.folder(stage.key))
        except OSError:
            published = self.manifest(stage.key)
            if published is None:
                raise
            shutil.rmtree(folder)
            return published
        _fsync(self.root)
        shutil.rmtree(self.checkpoint_dir(stage.key), ignore_errors=True)
        return manifest

    def set_aside(self, key: str) -> Path:
        """Move a corrupted artifact out of the way so that it can be built again."""
        target = self.root / ".corrupted" / f"{key}.{uuid.uuid4().hex[:8]}"
        target.parent.mkdir(exist_ok=True)
        os.rename(self.folder(key), target)
        self._verified.pop(key, None)
        return target

    def sweep_dead_builds(self) -> list[Path]:
        """Remove build folders left by processes of this machine that are gone."""
        removed = []
        for folder in sorted(p for p in (self.root / ".building").glob("*") if p.is_dir()):
            _, host, pid, _ = folder.name.rsplit(".", 3)
            if host == socket.gethostname() and not Path(f"/proc/{pid}").exists():
                shutil.rmtree(folder, ignore_errors=True)
                removed.append(folder)
        return removed

    def _corrupt(self, key: str, what: str) -> CorruptArtifact:
        return CorruptArtifact(
            f"{self.folder(key)}: corrupted artifact: {what}; it is not used. Give the same command with "
            "exec.rebuild_corrupted=true to set it aside under .corrupted/ and build it again"
        )


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Write, fsync and rename within the folder, so that a reader never sees half a file."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)


def write_jsonl(path: Path, rows: Iterator[Any] | list[Any]) -> None:
    """One dataclass record a line."""
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")


def read_jsonl(path: Path, record: type) -> list[Any]:
    """The records that write_jsonl wrote."""
    with path.open(encoding="utf-8") as stream:
        return [record(**json.loads(line)) for line in stream]


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
