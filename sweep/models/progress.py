"""Sampling that can be stopped: finished chunks are kept in a file, and the same call goes on from it.

A chunk's completions are a function of the policy, the settings and its prefixes, so a call that was
stopped and given again returns the same bits. One line of JSON a chunk; a torn last line is drawn again.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweep.sharing import opened


class Interrupted(Exception):
    """The caller asked to stop; where there is a checkpoint, the same call resumes from it."""

    is_resumable = True

    def __init__(self, n_done: int, n: int, unit: str = "update") -> None:
        work = "training" if unit == "update" else "sampling"
        super().__init__(f"{work} stopped on request after {unit} {n_done} of {n}")
        self.update = n_done
        self._said = (n_done, n, unit)

    def __reduce__(self) -> tuple[type["Interrupted"], tuple[int, int, str]]:
        return Interrupted, self._said  # from one process to another


class Progress:
    """The finished chunks, or prefixes, of one call of `sample`."""

    def __init__(self, path: Path | None, should_stop: Callable[[], bool] | None) -> None:
        self._path, self._should_stop = path, should_stop
        self._kept: dict[str, list[Any]] = {}
        for line in _lines(path) if path is not None else []:
            try:
                row = json.loads(line)
            except ValueError:  # torn by a kill while it was written
                continue
            self._kept[row["chunk"]] = row["rows"]

    def rows(self, n_done: int, n: int, identity: object, draw: Callable[[], list[Any]]) -> list[Any]:
        """A chunk's rows, from the file or drawn now; a stop is asked for after drawing only.

        Raises:
            Interrupted: should_stop said so, and more chunks are to be drawn.
        """
        kept = self.kept(identity)
        if kept is not None:
            return kept
        rows = draw()
        self.keep(identity, rows)
        if self.is_stopped() and n_done + 1 < n:
            raise Interrupted(n_done + 1, n, "chunk")
        return rows

    def kept(self, identity: object) -> list[Any] | None:
        """What the file holds under this identity."""
        return self._kept.get(_digest(identity))

    def keep(self, identity: object, rows: list[Any]) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = opened(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with os.fdopen(descriptor, "a", encoding="utf-8") as stream:
            # a line of its own even behind a torn one
            stream.write("\n" + json.dumps({"chunk": _digest(identity), "rows": rows}))

    def is_stopped(self) -> bool:
        """Whether the caller asks to stop."""
        return self._should_stop is not None and self._should_stop()


def _digest(identity: object) -> str:
    return hashlib.blake2b(repr(identity).encode(), digest_size=16).hexdigest()


def _lines(path: Path) -> list[str]:
    try:
        descriptor = opened(path, os.O_RDONLY)
    except FileNotFoundError:
        return []
    with os.fdopen(descriptor, encoding="utf-8") as stream:
        return stream.read().splitlines()
