"""Which rows are read: `COLUMN=VALUE`, the value compared as what the column holds, not as how a file spells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from sweep.terminal.words import nearest

TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
N_SHOWN = 8


def filters_of(words: Sequence[str]) -> dict[str, str]:
    """Column -> wanted value.

    Raises:
        ValueError: no `=`, or one column twice.
    """
    out: dict[str, str] = {}
    for word in words:
        name, is_pair, value = word.partition("=")
        if not is_pair or not name:
            raise ValueError(f"--where {word}: COLUMN=VALUE was expected, for example --where split=test")
        if name in out:
            raise ValueError(f"--where {name} is given twice ({out[name]}, {value}); a row has one value: choose one")
        out[name] = value
    return out


def kept(data: pa.Table, filters: Mapping[str, str], path: str) -> pa.Table:
    """The rows with all the wanted values.

    Raises:
        ValueError: no such column, a value that the column's type cannot have, or no row left.
    """
    for name, value in filters.items():
        if name not in data.column_names:
            have = data.column_names
            raise ValueError(
                f"{path}: no column {name!r} to filter on{nearest(name, have)}; the columns are {', '.join(have)}"
            )
        column = data[name]
        found = data.filter(pc.fill_null(pc.equal(_plain(column), _typed(column.type, name, value, path)), False))
        if not len(found):
            values = [str(one) for one in pc.unique(_plain(column)).to_pylist()]
            more = f" and {len(values) - N_SHOWN} more" if len(values) > N_SHOWN else ""
            raise ValueError(
                f"{path}: no rows left to read: no row has {name}={value}{nearest(value, values)}; its values are "
                f"{', '.join(values[:N_SHOWN])}{more}"
            )
        data = found
    return data


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _typed(kind: pa.DataType, name: str, value: str, path: str) -> pa.Scalar:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    try:
        if pa.types.is_boolean(kind):
            return pa.scalar(TRUTH[value.strip().lower()])
        if pa.types.is_integer(kind) and value.strip().lstrip("+-").isdecimal():
            return pa.scalar(int(value)).cast(kind)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return pa.scalar(float(value))
        return pa.scalar(value).cast(kind)
    except (KeyError, ValueError, OverflowError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"{path}: --where {name}={value}: the column holds {kind}, {value!r} is none") from error
