"""Whose files lie in a folder that is to be written: what was not prepared here is not replaced."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from sweep.places import check_writable

FACTS = "facts.json"  # written before the files that it tells of, so that a folder left half-written is known


def check_out(out: Path, names: Iterable[str], mark: str) -> None:
    """Refuse a folder before any work: it cannot be written, or files of these names are somebody else's.

    Args:
        mark: a key that facts.json has where the folder was written here.
    Raises:
        ValueError: the folder, and what is there.
    """
    check_writable(out, "--out")
    there = [name for name in (*names, FACTS) if os.path.lexists(out / name)]
    if there and not _is_ours(out / FACTS, mark):
        raise ValueError(
            f"--out {out}: {', '.join(there)} there was not written by this command: it is not replaced; give another "
            "folder with --out"
        )


def _is_ours(facts: Path, mark: str) -> bool:
    try:
        found = json.loads(facts.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and mark in found
