"""Which code runs: the fingerprint of the files that decide numbers, and the commit they came from."""
from __future__ import annotations

import hashlib
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parents[1]
RECORD = "git.json"  # beside a copied package: where it came from
DECIDES_NUMBERS = ("data", "methods", "models", "sources", "bench.py", "build.py", "stages.py")


@cache
def code() -> str:
    """Fingerprint of the files that decide numbers; runs of different fingerprints are not mixed."""
    digest = hashlib.sha256()
    for name in DECIDES_NUMBERS:
        for path in sorted((PACKAGE / name).rglob("*.py")) if (PACKAGE / name).is_dir() else [PACKAGE / name]:
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


@cache
def git() -> dict[str, Any]:
    """Commit, whether the package differs from it and the hash of the diff; empty outside a git checkout.

    A SLURM job runs a snapshot of the package, whose git.json holds the diff itself.
    """
    found = git_state(PACKAGE.parent)
    if not found:
        return {}
    diff = hashlib.sha256(str(found["diff"]).encode()).hexdigest()[:16] if found["is_dirty"] else None
    return {"commit": found["commit"], "is_dirty": found["is_dirty"], "diff_sha256": diff}


def git_state(root: Path) -> dict[str, str | bool]:
    """Commit of a checkout and its difference from it; empty outside git."""

    def ask(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=60, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None

    recorded = root / RECORD
    if recorded.exists():  # we run from a snapshot ourselves
        return json.loads(recorded.read_text())
    commit, diff = ask("rev-parse", "HEAD"), ask("diff", "HEAD", "--", PACKAGE.name)
    if commit is None or diff is None:
        return {}
    return {"commit": commit.strip(), "is_dirty": bool(diff.strip()), "diff": diff}
