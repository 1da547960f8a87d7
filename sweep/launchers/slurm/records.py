"""Files of a submission: one JSON object, or rows that are appended whole; what is neither is told with its place."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweep import sharing


def record(path: Path) -> dict[str, Any]:
    """A file that is one JSON object.

    Raises:
        ValueError: it is none; names the file.
    """
    return _object(sharing.bytes_of(path), str(path))


def noted(path: Path) -> list[dict[str, Any]]:
    """The rows of `append`, none where there is no file; a last line without its end was never noted.

    Raises:
        ValueError: a line is no JSON object; names file and line.
    """
    lines = sharing.bytes_of(path).split(b"\n")[:-1] if path.exists() else []
    return [_object(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def _object(text: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        found = error
    if not isinstance(found, dict):
        why = f" ({found})" if isinstance(found, Exception) else ""
        raise ValueError(
            f"{where}: expected a JSON object as a submission writes it, found something else{why}; so what is in the "
            "queue is not known: its owner repairs it, or moves that submission's folder out of the store"
        )
    return found


def append(path: Path, row: Mapping[str, Any]) -> None:
    """One line, whole or not at all for a reader on this machine.

    Raises:
        OSError: it could not be written whole, as on a full disk; then nothing of it stays.
    """
    line = (json.dumps(row) + "\n").encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        if os.write(descriptor, line) < len(line):
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
