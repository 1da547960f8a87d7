"""The code at submission: jobs that wait for days run the package as it was, not as the checkout became."""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path

from sweep.launchers.code import PACKAGE, RECORD, git_state


def snapshot(folder: Path) -> Path:
    """A copy of the package under `folder`, named by its content; one that is there is used again.

    Returns:
        The folder to put on a job's PYTHONPATH.
    """
    files = sorted(path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    source = git_state(PACKAGE.parent)
    digest.update(json.dumps(source, sort_keys=True).encode())
    target = folder / digest.hexdigest()[:16]
    if target.is_dir():
        return target
    part = folder / f".{target.name}.{uuid.uuid4().hex[:8]}"
    for path in files:
        copy = part / PACKAGE.name / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    (part / RECORD).write_text(json.dumps(source, indent=1))
    try:
        os.rename(part, target)
    except OSError:  # another submission made the same copy first
        if not target.is_dir():
            raise
        shutil.rmtree(part)
    return target
