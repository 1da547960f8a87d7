"""The code at submission: jobs that wait for days run the sources as they were, not as the checkout became."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sweep.disk import file_sha256
from sweep.launchers.code import PACKAGE, RECORD, git_state, links, sources
from sweep.launchers.slurm.ownership import check_ours, ours_alone


@dataclass(frozen=True)
class Snapshot:
    """A copy of the sources: the folder to put on a job's PYTHONPATH, and the hash of all that is in it."""

    path: Path
    sha256: str

    def check(self) -> None:
        """Refuse a copy that is not what was submitted, or that another user could have changed.

        Raises:
            ValueError: says which, and what to do.
        """
        found = sha256_of(self.path)
        if found != self.sha256:
            what = "is gone" if found is None else "is not the code that was submitted"
            raise ValueError(f"{self.path} {what}; give the sweep command again, which submits the code as it is now")
        check_ours([self.path, *self.path.rglob("*")])


def snapshot(folder: Path, root: Path = PACKAGE.parent) -> Snapshot:
    """A copy of the sources under `folder`, named by its content; ours that is there unchanged is used again."""
    contents = {path.relative_to(root).as_posix(): path.read_bytes() for path in sources(root)}
    strange = [name for name in contents if not re.fullmatch(r"[\w./ +-]+", name)]
    if strange:
        raise ValueError(f"{root}: sources need plain names, found {', '.join(map(repr, strange))}; rename them")
    for path in links(root):
        print(f"{path} is a link and was not copied: jobs run without it", file=sys.stderr)
    contents[RECORD] = json.dumps(git_state(root), indent=1).encode()
    sha256 = _of_lines({name: hashlib.sha256(content).hexdigest() for name, content in contents.items()})
    made = Snapshot(folder / sha256[:16], sha256)
    if not made.path.exists():
        return _written(made, contents, root)
    try:
        made.check()
    except ValueError:  # another user's, or changed since: jobs that were submitted with it refuse it themselves
        return _written(Snapshot(folder / f"{sha256[:16]}-{uuid.uuid4().hex[:8]}", sha256), contents, root)
    return made


def sha256_of(folder: Path) -> str | None:
    """The hash of a copy's files as a job's script computes it; None where there is no such folder."""
    if not folder.is_dir():
        return None
    files = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    if any(not stat.S_ISREG(path.lstat().st_mode) for path in files):
        return ""
    return _of_lines({path.relative_to(folder).as_posix(): file_sha256(path) for path in files})


def _of_lines(hashes: Mapping[str, str]) -> str:
    """`find . ! -type d -exec sha256sum {} + | LC_ALL=C sort | sha256sum`."""
    lines = sorted(f"{digest}  ./{name}\n".encode() for name, digest in hashes.items())
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _written(made: Snapshot, contents: Mapping[str, bytes], root: Path) -> Snapshot:
    """The copy in its place, whole or not at all, with no permission that its source has not."""
    part = made.path.with_name(f".{made.path.name}.{uuid.uuid4().hex[:8]}")
    with ours_alone():
        for name, content in contents.items():
            mode = (root / name).stat().st_mode if name != RECORD else 0o644
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            with open(os.open(part / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o755), "wb") as file:
                file.write(content)
    try:
        os.rename(part, made.path)
    except OSError:  # another submission made the same copy first
        shutil.rmtree(part)
        made.check()
    return made
