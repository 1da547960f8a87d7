"""Names that facts are read out of: of files, 'runs/{arm}-n{n_problems}-s{seed}/samples_*.jsonl'; of columns,
'accuracy_{seed}'.

`{name}` stands for one piece of a name and becomes a column, `*` for anything within a folder, `**/` for any folders.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

PART = re.compile(r"\{(\w+)\}|(\*\*/)|(\*)|(\?)")
WILD = {"**/": r"(?:.*/)?", "*": r"[^/]*", "?": r"[^/]"}


def is_pattern(text: str) -> bool:
    return PART.search(text) is not None


def fields_of(pattern: str) -> tuple[str, ...]:
    """The names in braces, each once."""
    return tuple(dict.fromkeys(found[1] for found in PART.finditer(pattern) if found[1]))


def without_fields(pattern: str) -> str:
    """What a pattern of columns' names says beside its fields: `accuracy` of 'accuracy_{seed}'."""
    return PART.sub("", pattern).strip(" _-./:") if fields_of(pattern) else pattern


def facts_of(pattern: str, name: str) -> dict[str, str] | None:
    """What the name says of each field; None where it does not match.

    Raises:
        ValueError: it can be read in two ways.
    """
    short, long = (re.fullmatch(_expression(pattern, more), name) for more in ("+?", "+"))
    if short is None or long is None:
        return None
    if short.groupdict() != long.groupdict():
        read = " or as ".join(_told(one.groupdict()) for one in (short, long))
        raise ValueError(f"{name}: {pattern!r} can be read as {read}; put more of the name between the braces")
    return short.groupdict()


def files_matching(pattern: str) -> list[tuple[Path, dict[str, str]]]:
    """Every file whose name matches, by name, and what it says.

    Raises:
        ValueError: there is none.
    """
    looked_for = "".join(
        "*" if found.startswith("{") else found if found in WILD else glob.escape(found) for found in _pieces(pattern)
    )
    names = sorted(name for name in glob.glob(looked_for, recursive=True) if Path(name).is_file())
    found = [(Path(name), facts) for name in names if (facts := facts_of(pattern, name)) is not None]
    if not found:
        raise ValueError(
            f"{pattern}: no file has such a name (looked for {looked_for} from {Path.cwd().name}/); {{name}} and * "
            "stand for a piece of one folder's or file's name; quote the pattern, so that the shell leaves it as it is"
        )
    return found


def numbers_where_all_are(values: Sequence[str]) -> list[str] | list[int] | list[float]:
    """Texts as whole numbers or as numbers where every one is, else as they are; '007' is a text."""
    if all(re.fullmatch(r"0|-?[1-9][0-9]{0,17}", one) for one in values):
        return [int(one) for one in values]
    if all(re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", one) for one in values):
        return [float(one) for one in values]
    return list(values)


def _pieces(pattern: str) -> list[str]:
    """The pattern cut into fields, wild pieces and plain text."""
    return re.findall(r"\{\w+\}|\*\*/|\*|\?|.", pattern, flags=re.DOTALL)


def _expression(pattern: str, more: str) -> str:
    seen: set[str] = set()
    return "".join(_one(piece, more, seen) for piece in _pieces(pattern))


def _one(piece: str, more: str, seen: set[str]) -> str:
    if PART.fullmatch(piece) is None:
        return re.escape(piece)
    if piece in WILD:
        return WILD[piece]
    name = piece[1:-1]
    if name in seen:
        return f"(?P={name})"
    seen.add(name)
    return f"(?P<{name}>[^/]{more})"


def _told(facts: dict[str, str]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in facts.items())
