"""Whether a CSV is what its readers expect: UTF-8 text whose columns are separated by commas."""

from __future__ import annotations

from pathlib import Path

OTHERS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def check_csv(path: Path) -> None:
    """Look at the header, before a parser does.

    Raises:
        ValueError: the file is UTF-16 or UTF-32, or its columns are separated by something else.
    """
    with path.open("rb") as stream:
        header = stream.readline(65_536)
    if header[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in header:
        raise ValueError(
            f"{path}: expected UTF-8 text, found UTF-16 or UTF-32 (a spreadsheet's 'Unicode text'); save it as "
            "'CSV UTF-8'"
        )
    names = header.decode("utf-8", errors="replace")
    for mark, told in OTHERS.items():
        if mark in names and "," not in names:
            raise ValueError(
                f"{path}: expected columns separated by commas, found a header with {told}: {names.strip()[:60]!r}; "
                "save it with commas between columns and points in numbers"
            )
