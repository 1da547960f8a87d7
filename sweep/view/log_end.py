"""The end of a log, made harmless: it was written by whatever a stage ran, a terminal must not obey it nor a page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sweep.fields import is_plain
from sweep.sharing import opened

TAIL_BYTES, MOST_LINES, LONGEST_LINE = 32_768, 80, 400


@dataclass(frozen=True)
class LogEnd:
    """The last lines of a file, at most MOST_LINES of at most LONGEST_LINE characters.

    Args:
        is_whole: nothing stands before them.
    """

    path: str
    lines: tuple[str, ...]
    is_whole: bool


def plain(text: str) -> str:
    """The text with every control, format and line-separating character written as its escape: \\x1b, \\u202e."""
    return text if is_plain(text) else "".join(c if is_plain(c) else c.encode("unicode_escape").decode() for c in text)


def log_end(path: Path) -> LogEnd:
    """The last lines of a log; a line that says why, where it cannot be read.

    Of a line that was written over and over, as progress bars are, the last writing is shown.
    """
    try:
        descriptor = opened(path, os.O_RDONLY)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        return LogEnd(plain(str(path)), (plain(f"(cannot be read: {why})"),), True)
    with os.fdopen(descriptor, "rb") as stream:
        n_bytes = os.fstat(descriptor).st_size
        stream.seek(max(0, n_bytes - TAIL_BYTES))
        text = stream.read(TAIL_BYTES).decode(errors="replace")
    lines = text.rstrip().split("\n")
    is_whole = n_bytes <= TAIL_BYTES and len(lines) <= MOST_LINES
    if n_bytes > TAIL_BYTES and len(lines) > 1:
        lines = lines[1:]  # its beginning was cut off
    return LogEnd(plain(str(path)), tuple(_line(line) for line in lines[-MOST_LINES:]), is_whole)


def _line(text: str) -> str:
    last = text.rstrip("\r").rpartition("\r")[2].replace("\t", "    ")
    if len(last) > LONGEST_LINE:
        last = f"{last[:LONGEST_LINE]}... ({len(last) - LONGEST_LINE:,} more characters)"
    return plain(last)
