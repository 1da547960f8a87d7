"""Artifacts: what a stage leaves behind, named by the hash of everything that decided it.

    <store>/<kind>-<hash>/            one artifact, never changed after it appears
        manifest.json                 written last: a folder without one is not an artifact (sweep/manifest.py)
        <files of the stage>
    <store>/.building/                builds under way (sweep/builds.py)
    <store>/.checkpoints/<key>/       where a long training stage left off, and its curves so far
    <store>/.logs/<key>.log           what the stage printed, kept when it fails
    <store>/.corrupted/               artifacts set aside by a requested rebuild
    <store>/.grids/<hash>.json        every grid that was ever run here (sweep/grids.py)
    <store>/test_looks.jsonl          every evaluation on test problems (sweep/looks.py)

An artifact is built in its own folder, hashed, fsynced and moved into place by one rename, so a
reader sees all of it or none, and the second of two builders finds the place taken and drops its copy.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep import leases, places, sharing
from sweep.builds import Builds
from sweep.disk import file_sha256, flush, write_atomically
from sweep.manifest import MANIFEST, UNLISTED, Cost, Manifest, NoArtifact, Stage, checked_key, is_key, manifest_of

__all__ = ["MANIFEST", "Artifact", "CorruptArtifact", "Cost", "Manifest", "Stage", "Store"]

WRITTEN = (".building", ".logs", ".checkpoints", ".grids")  # folders that a sweep writes to beside the artifacts
LOOKS = "test_looks.jsonl"  # a file of the store that is no artifact: appended to, never removed


class CorruptArtifact(ValueError):
    """An artifact's folder does not hold what its manifest says."""


@dataclass(frozen=True)
class Artifact:
    """A built and verified stage: its folder and its manifest."""

    path: Path
    manifest: Manifest


class Store:
    """The folder that holds all artifacts; safe to share between processes, machines and users.

    Raises:
        ValueError: the folder has no name: an unset variable of a shell would make a store of the working directory;
            or it is a file.
    """

    def __init__(self, root: str | Path) -> None:
        if not str(root).strip():
            raise ValueError(
                "exec.store= is empty: expected a folder, as in exec.store=outputs/store; is a variable of the shell "
                "not set?"
            )
        try:
            self.root = Path(root).expanduser().absolute()
        except RuntimeError as error:
            raise ValueError(f"exec.store={root}: {error}; give the folder without ~") from error
        # a folder that may not be looked into is none, and is told of where it is used
        there = next(path for path in (self.root, *self.root.parents) if os.path.exists(path))
        if not os.path.isdir(there):
            what = "is a file" if there == self.root else f"lies in {there}, which is a file"
            raise ValueError(f"exec.store={root} {what}, expected a folder; choose another with exec.store=FOLDER")
        self._verified: dict[str, int] = {}
        self._read: dict[str, tuple[tuple[int, int, int], Manifest]] = {}
        self.builds = Builds(self.root)

    def folder(self, key: str) -> Path:
        return self.root / checked_key(key)

    def log_path(self, key: str) -> Path:
        return self.root / ".logs" / f"{checked_key(key)}.log"

    def checkpoint_dir(self, key: str) -> Path:
        return self.root / ".checkpoints" / checked_key(key)

    def built(self) -> list[str]:
        """The names in the store that an artifact can have, sorted; nothing is read."""
        if not self.root.is_dir():
            return []
        with os.scandir(self.root) as entries:
            return sorted(entry.name for entry in entries if is_key(entry.name) and entry.is_dir())

    def check_writable(self) -> None:
        """Refuse a store that cannot be written before any work is started.

        Raises:
            ValueError: a folder of it cannot be made or written to, its file system cannot rename folders, or its path
                is not UTF-8, which the libraries that read weights and tokenizers need.
        """
        if not str(self.root).isascii() and os.fsencode(self.root).decode("utf-8", "replace") != str(self.root):
            raise ValueError(
                f"exec.store={self.root} lies in a folder whose name is not UTF-8, and weights cannot be read there; "
                "choose another with exec.store=FOLDER; nothing was built"
            )
        with places.trial(self.root, "exec.store") as probe:
            has_locks = leases.has_locks(probe)
            for name in WRITTEN:
                if not os.access(sharing.real_folder(self.root, name), os.R_OK | os.W_OK | os.X_OK):
                    raise PermissionError(13, "Permission denied", str(self.root / name))
            if (self.root / LOOKS).exists() and not os.access(self.root / LOOKS, os.R_OK | os.W_OK):
                raise PermissionError(13, "Permission denied", str(self.root / LOOKS))
            self._check_renames(probe)
        if told := sharing.withheld(self.root):
            print(f"note: {told}", file=sys.stderr)
        if not has_locks:
            print(
                f"note: the file system of {self.root} has no file locks (flock): two sweeps there may build a "
                "stage twice, of which one copy is kept, and what killed builds leave is not removed",
                file=sys.stderr,
            )

    def _check_renames(self, probe: Path) -> None:
        moved = probe.with_name(f"{probe.name}-moved")
        try:
            os.rename(probe, moved)
            os.rename(moved, probe)
        except OSError as error:
            raise ValueError(
                f"exec.store={self.root}: its file system cannot rename a folder ({error.strerror}), as file systems "
                "on object stores cannot, and an artifact is published by one rename; choose a local or NFS folder "
                "with exec.store=FOLDER and copy the store away when the sweep is done; nothing was built"
            ) from error
        finally:
            shutil.rmtree(moved, ignore_errors=True)

    def manifest(self, key: str) -> Manifest | None:
        """The manifest of `key`, or None where it is not built. Checks file sizes, not contents.

        Raises:
            CorruptArtifact: the folder is there but its manifest or a file's size is wrong.
        """
        folder = self.folder(key)
        try:
            manifest = self._manifest(folder)
        except FileNotFoundError:
            return None
        except NoArtifact as error:
            raise self._corrupt(key, str(error)) from error
        for name, expected in manifest.files.items():
            n_bytes = _size(f"{folder}/{name}")
            if n_bytes != expected["n_bytes"]:
                found = "missing" if n_bytes is None else f"{n_bytes} bytes"
                raise self._corrupt(key, f"{name} should have {expected['n_bytes']} bytes and is {found}")
        return manifest

    def _manifest(self, folder: Path) -> Manifest:
        """manifest_of, asked again only where the file is another than it was."""
        try:
            found = os.stat(f"{folder}/{MANIFEST}")
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        except (FileNotFoundError, NotADirectoryError):
            return manifest_of(folder)
        before = self._read.get(folder.name)
        if before is None or before[0] != stamp:
            before = self._read[folder.name] = (stamp, manifest_of(folder))
        return before[1]

    def open(self, key: str) -> Artifact:
        """The artifact, every file compared with its hash (once a process and state of the folder).

        Raises:
            FileNotFoundError: not built.
            CorruptArtifact: a file is not what was published.
        """
        manifest = self._there(key)
        folder = self.folder(key)
        stamp = max(((folder / name).stat().st_mtime_ns for name in manifest.files), default=0)
        if self._verified.get(key) != stamp:
            for name, expected in manifest.files.items():
                if file_sha256(folder / name) != expected["sha256"]:
                    raise self._corrupt(key, f"{name} does not have the sha256 it was published with")
            self._verified[key] = stamp
        return Artifact(folder, manifest)

    def read(self, key: str, name: str) -> bytes:
        """One file of an artifact: the very bytes that were compared with its hash; no other file is looked into.

        Raises:
            FileNotFoundError: not built.
            CorruptArtifact: the artifact has no such file, or it is not what was published.
        """
        manifest = self._there(key)
        if name not in manifest.files:
            raise self._corrupt(key, f"its manifest lists no {name}")
        content = sharing.bytes_of(self.folder(key) / name)
        if hashlib.sha256(content).hexdigest() != manifest.files[name]["sha256"]:
            raise self._corrupt(key, f"{name} does not have the sha256 it was published with")
        return content

    def _there(self, key: str) -> Manifest:
        manifest = self.manifest(key)
        if manifest is None:
            raise FileNotFoundError(f"{self.folder(key)}: this artifact is not built yet")
        return manifest

    def publish(
        self, stage: Stage, folder: Path, facts: dict[str, Any], cost: Cost, provenance: dict[str, Any]
    ) -> Manifest:
        """Move a finished build folder into its place; the manifest is written last.

        Another builder's copy that was published first stays, and this one is dropped.

        Raises:
            ValueError: a number of the manifest is not finite; nothing is published.
        """
        manifest = Manifest(
            key=stage.key,
            kind=stage.kind,
            version=stage.version,
            identity=dict(stage.identity),
            parents={role: parent.key for role, parent in stage.parents.items()},
            files=_listed(folder),
            facts=facts,
            cost=cost,
            provenance=provenance,
        ).sealed()
        write_atomically(folder / MANIFEST, manifest.to_json())
        sharing.obey_umask(folder)
        flush(folder)
        try:
            os.rename(folder, self.folder(stage.key))
        except OSError:
            published = self.manifest(stage.key)
            if published is None:
                raise
            self.builds.abandon(folder)
            return published
        flush(self.root)
        self.builds.let_go(folder)
        shutil.rmtree(self.checkpoint_dir(stage.key), ignore_errors=True)
        return manifest

    def set_aside(self, key: str) -> Path:
        """Move a corrupted artifact out of the way so that it can be built again."""
        folder, name = self.folder(key), f"{key}.{uuid.uuid4().hex[:8]}"
        target = sharing.real_folder(self.root, ".corrupted") / name
        os.rename(folder, target)
        self._verified.pop(key, None)
        return target

    def _corrupt(self, key: str, what: str) -> CorruptArtifact:
        return CorruptArtifact(
            f"{self.folder(key)}: corrupted artifact: {what}; it is not used. Give the sweep command with "
            "exec.rebuild_corrupted=true to set it aside under .corrupted/ and build it again"
        )


def _listed(folder: Path) -> dict[str, dict[str, Any]]:
    """The files of a finished build as its manifest lists them, each on the disk before it is listed."""
    files = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder).as_posix()
        if name.split("/")[0] in UNLISTED:
            continue
        files[name] = {"n_bytes": path.stat().st_size, "sha256": file_sha256(path)}
        flush(path)
    return files


def _size(path: str) -> int | None:
    """Bytes of a file; None where there is none."""
    try:
        found = os.stat(path)
    except ValueError:  # a name that no file can have
        return None
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    return found.st_size if stat.S_ISREG(found.st_mode) else None
