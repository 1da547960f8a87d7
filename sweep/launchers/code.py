"""Which code runs: the fingerprint of the files that decide numbers, the commit they came from, the packages beside."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from sweep.git import GitRefuses, git_said

PACKAGE = Path(__file__).resolve().parents[1]
RECORD = "git.json"  # beside a copied package: where it came from
DECIDES_NUMBERS = (
    "data", "methods", "models", "sources", "bench.py", "build.py", "finetuning.py", "judging.py", "measuring.py",
    "pretraining.py", "stages.py", "training_set.py",
)  # fmt: skip
SOURCES = ("sweep", "conf")  # folders of a checkout that a run reads
SUFFIXES = (".py", ".yaml")


@cache
def code() -> str:
    """Fingerprint of the files that decide numbers; runs of different fingerprints are not mixed."""
    digest = hashlib.sha256()
    for name in DECIDES_NUMBERS:
        for path in sorted((PACKAGE / name).rglob("*.py")) if (PACKAGE / name).is_dir() else [PACKAGE / name]:
            if path.name.startswith("."):  # an editor's lock or backup, which nothing can import
                continue
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


@cache
def git() -> dict[str, Any]:
    """Commit, whether the sources differ from it and the hash of how; a reason in place of them where git refuses.

    A SLURM job runs a snapshot of the package, whose git.json holds the difference itself.
    """
    found = git_state(PACKAGE.parent)
    if found["commit"] is None:
        return found
    told = found["diff"].encode("utf-8", "surrogateescape")  # of names and files in whatever encoding they have
    diff = hashlib.sha256(told).hexdigest()[:16] if found["is_dirty"] else None
    return {"commit": found["commit"], "is_dirty": found["is_dirty"], "diff_sha256": diff}


def git_state(root: Path) -> dict[str, Any]:
    """Commit of a checkout and how its sources differ from it, untracked ones among them.

    Returns:
        commit, is_dirty, diff (git's own, then each file that differs with its content's hash); or where git is not
        installed, refuses, or knows nothing of these files: commit and is_dirty None, and the reason.
    """
    recorded = root / RECORD
    if recorded.exists():  # we run from a snapshot ourselves
        return dict(json.loads(recorded.read_text(encoding="utf-8")))
    try:
        commit = git_said(root, "rev-parse", "--verify", "HEAD").strip()
        tracked = _committed(root)
        names = [path.relative_to(root).as_posix() for path in sources(root)]
        hashes = git_said(root, "hash-object", "--", *names).split()
        diff = git_said(root, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD", "--", *SOURCES)
    except GitRefuses as error:
        return {"commit": None, "is_dirty": None, "reason": str(error)}
    found = dict(zip(names, hashes, strict=True))
    # by content, for the index may say of a file that it is to be taken as unchanged
    changed = sorted(name for name in tracked | found if tracked.get(name) != found.get(name))
    lines = [f"{name} {found.get(name, 'is gone')}\n" for name in changed]
    return {"commit": commit, "is_dirty": bool(changed), "diff": diff + "".join(lines)}


def sources(root: Path) -> list[Path]:
    """The files that a run of this checkout or installation reads, no link among them.

    With git: what it tracks, and what it neither tracks nor ignores and can be imported or composed. Without: what can
    be imported or composed. Never a file or folder whose name begins with a dot.
    """
    return [root / name for name in _names(root) if _is_plain(root, name)]


def links(root: Path) -> list[Path]:
    """What would be a source but is a link, or lies behind one."""
    return [root / name for name in _names(root) if not _is_plain(root, name) and os.path.lexists(root / name)]


def _names(root: Path) -> list[str]:
    try:
        listed = git_said(root, "ls-files", "-z", "--", *SOURCES).split("\0")
        others = git_said(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *SOURCES).split("\0")
        names = {*listed, *(name for name in others if name.endswith(SUFFIXES))}
    except GitRefuses:
        names = set()
    if f"{PACKAGE.name}/__init__.py" not in names:  # no checkout, or installed inside that of something else
        found = (path.relative_to(root).as_posix() for top in SOURCES for path in (root / top).rglob("*"))
        names = {name for name in found if name.endswith(SUFFIXES)}
    return sorted(name for name in names if _is_source(name))


def _is_source(name: str) -> bool:
    return bool(name) and not any(part.startswith(".") or part == "__pycache__" for part in name.split("/"))


def _is_plain(root: Path, name: str) -> bool:
    """A file, reached without a link; a file that git tracks may be gone."""
    path = root / name
    below = [path, *path.parents[: len(Path(name).parts) - 1]]
    return path.is_file() and not any(part.is_symlink() for part in below)


def _committed(root: Path) -> dict[str, str]:
    """The sources of the last commit and the hash of each."""
    rows = git_said(root, "ls-tree", "-r", "-z", "HEAD", "--", *SOURCES).split("\0")
    found = {}
    for row in filter(None, rows):
        about, _, name = row.partition("\t")
        mode, _, digest = about.split()
        if mode.startswith("100") and _is_source(name):
            found[name] = digest
    if f"{PACKAGE.name}/__init__.py" not in found:
        raise GitRefuses(f"the git repository around {root} does not hold {PACKAGE.name}/")
    return found


@cache
def packages() -> dict[str, str]:
    """Version of every installed distribution, and Python's own."""
    found = {"python": platform.python_version()}
    for distribution in metadata.distributions():  # of two with one name the first is the one that is imported
        found.setdefault(distribution.name.lower(), distribution.version)
    return found


def changed_packages(before: Mapping[str, str]) -> dict[str, str]:
    """What is installed otherwise than `before`, each in words."""
    now = packages()
    names = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return {name: f"{before.get(name, 'absent')} at submission, {now.get(name, 'absent')} in the job" for name in names}
