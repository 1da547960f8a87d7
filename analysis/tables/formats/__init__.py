"""Logs of other tools. One file a tool: how its files are recognised by their content, and what their rows say.

A new format is one file here with its FORMATS, and a small file as the tool writes it in tests/fixtures/logs.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from analysis.tables.formats.log import Content, Format, Log
from sweep.terminal.words import nearest

FORMATS: dict[str, Format] = {
    one.name: one
    for module in iter_modules(__path__)
    for one in getattr(import_module(f"{__name__}.{module.name}"), "FORMATS", ())
}
PLAIN = (".csv", ".parquet", ".pq")


def format_of(content: Content, name: str | None = None) -> Format | None:
    """The format asked for, or the one that the content is; None for a plain table.

    Raises:
        ValueError: no format has this name, the file is no such log, or it is neither a log nor a table.
    """
    path = content.path
    if name is not None:
        if name not in FORMATS:
            raise ValueError(f"--format {name}: one of {', '.join(FORMATS)} was expected{nearest(name, FORMATS)}")
        if not FORMATS[name].is_it(content):
            raise ValueError(f"{path}: --format {name} was asked for, and this is no {FORMATS[name].what}")
        return FORMATS[name]
    found = next((one for one in FORMATS.values() if one.is_it(content)), None)
    if found is not None or path.suffix.lower() in PLAIN:
        return found
    known = "; ".join(one.what for one in FORMATS.values())
    if content.is_json and not content.first_line and not content.document:
        raise ValueError(f"{path}: it begins as JSON and cannot be read as JSON: damaged or cut off; copy it again")
    raise ValueError(
        f"{path}: a folder, .csv or .parquet was expected, or a log of these: {known}; found "
        f"{path.suffix or 'no suffix'!r} whose content is none of them"
    )


def log_at(path: Path, name: str | None = None) -> tuple[Format, Log] | None:
    """The log at path and its format; None for a plain table.

    Raises:
        ValueError: as format_of, or the log is damaged.
    """
    content = Content(path)
    try:
        found = format_of(content, name)
        if found is None:
            return None
        log = found.read(content)
    except OSError as error:
        raise ValueError(f"{path}: it cannot be read ({error.strerror or error})") from error
    if log.rows.empty or not log.scores:
        raise ValueError(f"{path}: there is no result in this {found.what}; give the log of a run that wrote some")
    return found, log
