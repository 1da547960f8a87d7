"""What each field of a typed node may hold: its valid values stand in the field itself, and one check reads them.

    n_problems: int = whole(1)
    lr: float = real(above=0)
    schedule: str = choice("constant", "linear", "cosine", default="cosine")

The annotation gives the type (int, float, bool, str, a tuple of them, another node, `| None`), the function the valid
values. One value has one spelling: `1000`, `1000.0` and `1e3` are the same number, `-0.0` is `0.0`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from sweep.terminal.words import nearest

REQUIRED = "???"  # OmegaConf's word for a value that is still to be given
LARGEST = 2**63 - 1  # of a whole number: what Parquet and torch's generators hold
LARGEST_EXACT = 2**53  # of a float: above it not every whole number is one
LONGEST_SHOWN = 60

# names that a configuration gives and more than one of data, models and config reads
SCHEDULES = ("constant", "linear", "cosine")
DTYPES = ("float32", "bfloat16", "float16")
PRECISIONS = ("fp32", "bf16")
MOMENTS = ("fp32", "8bit")
COMPILERS = ("off", "inductor", "aot_eager")  # torch.compile's backends
ENGINES = ("embedded", "slots", "paged", "vllm")  # of sampling: sweep/models/engines.py

N = TypeVar("N")


@dataclass(frozen=True)
class Valid:
    """The valid values of one field, and how they are told to a person."""

    told: str
    holds: Callable[[Any], bool]
    is_whole_an_int: bool = False  # a float that is spelt 2, not 2.0, where it is whole
    has_lines: bool = False  # a text in which line ends and tabs may stand
    words: tuple[str, ...] = ()  # the valid ones, where they are few names


def whole(least: int = 0, most: int = LARGEST, **default: Any) -> Any:
    """A whole number in [least, most]."""
    limits = f"of at least {least}" if most == LARGEST else f"from {least} to {_power(most)}"
    return _field(Valid(f"a whole number {limits}", lambda n: least <= n <= most), default)


def seed_number(**default: Any) -> Any:
    """What a generator of random numbers is started with."""
    return _field(Valid("a whole number from 0 to 2**63 - 1", lambda n: 0 <= n <= LARGEST), default)


def real(
    least: float | None = None,
    most: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    is_whole_an_int: bool = False,
    **default: Any,
) -> Any:
    """A finite number in [least, most]; `above` and `below` leave the limit itself out."""
    limits = [
        f"{word} {limit:g}"
        for word, limit in (("of at least", least), ("above", above), ("at most", most), ("below", below))
        if limit is not None
    ]
    told = (
        f"a number in [{least:g}, {most:g}]"
        if least is not None and most is not None
        else (" ".join(["a finite number", " and ".join(limits)]).strip())
    )

    def holds(x: float) -> bool:
        return (
            math.isfinite(x)
            and (least is None or x >= least)
            and (most is None or x <= most)
            and (above is None or x > above)
            and (below is None or x < below)
        )

    return _field(Valid(told, holds, is_whole_an_int), default)


def choice(*among: str, **default: Any) -> Any:
    """One of a few names."""
    return _field(Valid(f"one of {', '.join(among)}", lambda name: name in among, words=among), default)


def text(pattern: str = r".+", told: str = "a text of at least one character", **default: Any) -> Any:
    """A text without control characters that `pattern` matches from end to end."""
    return _field(Valid(told, lambda value: re.fullmatch(pattern, value) is not None), default)


def prose(pattern: str = r".*", told: str = "a text", **default: Any) -> Any:
    """A text of any number of lines, without other control characters, in which `pattern` is found."""
    holds = re.compile(pattern, re.DOTALL).search
    return _field(Valid(told, lambda value: holds(value) is not None, has_lines=True), default)


def several(each: Any, least: int = 1, most: int = LARGEST, **default: Any) -> Any:
    """A list whose entries `each` (one of the functions above, or None for nodes) describes."""
    valid = each.metadata["valid"] if each is not None else None
    count = f"{least}" if most == least else f"{least} or more" if most == LARGEST else f"{least} to {most}"
    told = f"a list of {count} entries" + (f", each {valid.told}" if valid else "")
    return _field(Valid(told, lambda values: least <= len(values) <= most), default, each=valid)


def typed(schema: type[N], values: Any, where: str = "") -> N:
    """The node `schema` filled with `values`, each converted to its field's type and checked.

    Args:
        values: what a configuration file or a command line gives; fields that it leaves out take their default.
        where: the node's own name, as an override would spell it.
    Raises:
        ValueError: names the field, what is valid and what was found; or an unknown key and the valid ones.
    """
    known = _types(cast(Any, schema))
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} must be a node with the keys {', '.join(known)}, found {shown(values)}")
    if unknown := sorted({*map(str, values)} - {*known}):
        what = f"unknown key {', '.join(unknown)} in {where or 'the configuration'}{nearest(unknown[0], known)}"
        raise ValueError(f"{what}; the valid ones are {', '.join(known)}")
    out = {}
    for f in fields(schema):  # type: ignore[arg-type]  # a dataclass, which `type` does not say
        name = f"{where}.{f.name}".lstrip(".")
        if f.name not in values:
            if (f.default is NO_DEFAULT and f.default_factory is NO_DEFAULT) or f.default == REQUIRED:
                raise _no_value(name)
            continue
        out[f.name] = _converted(known[f.name], values[f.name], name, f.metadata.get("valid"), f.metadata.get("each"))
    try:
        return schema(**out)
    except ValueError as error:  # a check of several fields names them without their node
        raise ValueError(f"{where}: {error}" if where else str(error)) from None


def read_as(kind: type, field: Any, value: Any) -> Any:
    """A value outside a node, as this field (one of the functions above) reads it; ValueError says what is valid."""
    valid = field.metadata["valid"]
    try:
        return _converted(kind, value, "", valid)
    except ValueError as error:
        raise ValueError(str(error).strip()) from None


def as_given(node: Any, values: Any) -> Any:
    """The plain form of a typed node, with the keys that `values` gave it: a left-out default stays left out."""
    if is_dataclass(node):
        return {key: as_given(getattr(node, key), value) for key, value in values.items()}
    if isinstance(node, tuple):
        return [as_given(inner, value) for inner, value in zip(node, values, strict=True)]
    return node


def shown(value: Any) -> str:
    """A value as a message shows it: escaped, and cut where it is long."""
    try:
        said = repr(value)
    except ValueError:
        said = "a whole number of more digits than Python writes"
    return said if len(said) <= LONGEST_SHOWN else f"{said[:LONGEST_SHOWN]}..."


def is_plain(value: str) -> bool:
    """Whether a text has no control, format, surrogate or line-separating character."""
    return not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in value)


def _field(valid: Valid, default: Mapping[str, Any], **more: Any) -> Any:
    return field(**default, metadata={"valid": valid, **more})


@cache
def _types(schema: Any) -> dict[str, Any]:
    hints = get_type_hints(schema)
    return {f.name: hints[f.name] for f in fields(schema)}


def _converted(kind: Any, value: Any, name: str, valid: Valid | None, each: Valid | None = None) -> Any:
    if isinstance(value, str) and value == REQUIRED:
        raise _no_value(name)
    if get_origin(kind) is UnionType:
        if value is None:
            return None
        kind, *_ = (arg for arg in get_args(kind) if arg is not NoneType)
        told = f"{valid.told if valid else kind.__name__}, or null"
        valid = replace(valid, told=told) if valid else Valid(told, lambda _: True)
    if isinstance(kind, type) and is_dataclass(kind):
        return value if isinstance(value, kind) else typed(kind, value, name)
    if get_origin(kind) is tuple:
        return _list(kind, value, name, valid, each)
    if kind is Any or get_origin(kind) is dict:
        return value
    told = valid.told if valid else {bool: "true or false"}.get(kind, f"of type {kind.__name__}")
    converted = _prose(value) if valid is not None and valid.has_lines else _CONVERSIONS[kind](value)
    if converted is None or (valid is not None and not valid.holds(converted)):
        like = nearest(value, valid.words) if valid is not None and isinstance(value, str) else ""
        raise ValueError(f"{name} must be {told}; found {shown(value)}{like}")
    if valid is not None and valid.is_whole_an_int and converted == int(converted):
        return int(converted)
    return converted


def _list(kind: Any, value: Any, name: str, valid: Valid | None, each: Valid | None) -> tuple[Any, ...]:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    if not is_list or (valid is not None and not valid.holds(value)):
        raise ValueError(f"{name} must be {valid.told if valid else 'a list'}; found {shown(value)}")
    inner = get_args(kind)[0]
    return tuple(_converted(inner, entry, f"{name}[{i}]", each) for i, entry in enumerate(value))


def _int(value: Any) -> int | None:
    """A float that is a whole number is that number: `1e3` is 1000."""
    if isinstance(value, float) and abs(value) <= LARGEST_EXACT and value == int(value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    if isinstance(value, str) and not re.fullmatch(r"[+-]?[0-9]{1,30}", value):
        return None
    return int(value)


def _float(value: Any) -> float | None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | str)
        or (isinstance(value, str) and (not value.isascii() or "_" in value))
    ):
        return None
    try:
        return float(value) + 0.0  # -0.0 + 0.0 is 0.0
    except (ValueError, OverflowError):
        return None


def _bool(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower())
    return value if isinstance(value, bool) else None


def _str(value: Any) -> str | None:
    """A whole number is taken for the text it was typed as (a commit of digits); no other number is one."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST:
        return str(value)
    return value if isinstance(value, str) and is_plain(value) else None


def _prose(value: Any) -> str | None:
    is_text = isinstance(value, str) and is_plain(value.replace("\n", "").replace("\t", ""))
    return value if is_text else None


_CONVERSIONS: dict[type, Callable[[Any], Any]] = {int: _int, float: _float, bool: _bool, str: _str}


def _no_value(name: str) -> ValueError:
    return ValueError(f"{name} has no value: give one on the command line or in the experiment")


def _power(number: int) -> str:
    """A limit of a whole number: exact, and short where it is a power."""
    if number > 2**20 and number & (number - 1) == 0:
        return f"2**{number.bit_length() - 1}"
    return f"2**{number.bit_length()} - 1" if number > 2**40 else str(number)
