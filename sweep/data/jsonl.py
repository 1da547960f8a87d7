"""JSON lines from outside, read strictly: what two readers could understand differently is refused.

One object a line, UTF-8. Refused with file, line and reason: bytes that are no UTF-8, a byte order mark, a key
given twice, NaN and infinities, numbers beyond MAX_DIGITS digits or a float's range, half of a surrogate pair,
nesting without end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from math import isfinite
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_DIGITS = 1000  # of a number; Python itself stops at 4,300

R = TypeVar("R")


def objects(content: bytes, path: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) of each line that is not blank.

    Raises:
        ValueError: names the file, the line and what is wrong with it.
    """
    # lines of bytes, not splitlines(): JSON texts may hold other line separators unescaped
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        yield number, object_of(line, where)


def object_of(line: bytes, where: str) -> dict[str, Any]:
    """The JSON object that a line is; ValueError begins with `where`."""
    if line.startswith(BYTE_ORDER_MARK):
        raise ValueError(f"{where}: expected plain UTF-8, found a byte order mark before it; save the file without one")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{where}, byte {error.start + 1} of the line: expected UTF-8 text, got byte {line[error.start]:#x}; "
            "convert the file"
        ) from None
    try:
        value = json.loads(
            text, object_pairs_hook=_distinct, parse_constant=_no_constant, parse_int=_bounded_int, parse_float=_finite
        )
        half = _half_character(value) if "\\u" in text else None  # the bytes of one are no UTF-8
    except (ValueError, RecursionError) as error:
        told = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ValueError(f"{where}: expected a JSON object, it does not parse ({told}); repair it") from None
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a JSON object, got {text[:80]!r}; repair or remove the line")
    if half is not None:
        raise ValueError(
            f"{where}: {half} holds half of a surrogate pair, which is not a character and cannot be written as UTF-8; "
            "write the whole character, or remove the line"
        )
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {max(names, key=names.count)!r} is given twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _bounded_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} characters, more than {MAX_DIGITS}")
    return int(digits)


def _finite(digits: str) -> float:
    if len(digits) > MAX_DIGITS or not isfinite(float(digits)):
        raise ValueError(f"the number {digits[:20]} is beyond a float's range, or longer than {MAX_DIGITS} characters")
    return float(digits)


def _half_character(value: object) -> str | None:
    """The name of the field of an object whose names or texts hold a lone surrogate, None where there is none."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        try:
            json.dumps([name, inner], ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError:
            return ascii(name)
    return None


def record_of(kind: type[R], values: Mapping[str, Any], where: str) -> R:
    """The record of dataclass `kind` that an object of a line is.

    Raises:
        ValueError: an unknown or missing field, or a value that is not of the field's type.
    """
    plain: type = kind  # mypy takes a type[R] for no Hashable
    hints = _types(plain)
    unknown, missing = sorted(set(values) - set(hints)), [name for name in hints if name not in values]
    if unknown or missing:
        raise ValueError(
            f"{where}: unknown keys {unknown}, missing keys {missing}; expected {', '.join(hints)}, as the stage that "
            "wrote the file did; build it again"
        )
    for name, value in values.items():
        if not _is_a(value, hints[name]):
            told = getattr(hints[name], "__name__", hints[name])
            raise ValueError(f"{where}: {name}={str(value)[:80]!r} is no {told}; build the stage that wrote it again")
    return kind(**values)


@cache
def _types(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _is_a(value: object, hint: Any) -> bool:
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_is_a(inner, get_args(hint)[0]) for inner in value)
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, int | float if hint is float else hint)
