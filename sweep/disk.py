"""Files that are whole, and on the disk before anything says that they are there; and what they hold, read back."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sweep import sharing
from sweep.data.jsonl import objects, record_of


def flush(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk: a rename before that can survive it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    with open(path, "rb", opener=sharing.regular) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, text: str) -> None:
    """Write, fsync and rename within the folder, so that a reader never sees half a file."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("x", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)  # there only where the disk is full or the writing was broken off


def write_jsonl(path: Path, rows: Iterator[Any] | list[Any]) -> None:
    """One dataclass record a line; every number must be finite."""
    with path.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(asdict(row), ensure_ascii=False, allow_nan=False) + "\n")


def read_jsonl(path: Path, record: type) -> list[Any]:
    """The records that write_jsonl wrote; ValueError names file, line and reason of what is none."""
    return [record_of(record, row, f"{path}, line {n}") for n, row in objects(path.read_bytes(), str(path))]
