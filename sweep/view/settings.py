"""The settings in which runs of a grid differ, packed so that the difference of any two can be looked up. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sweep.config import Exp, flat
from sweep.differences import ABSENT


@dataclass(frozen=True)
class Settings:
    """Settings that differ between any two of the runs; what all have in common is in none of it.

    Args:
        names: of the settings, dotted.
        values: every text that occurs as a value.
        rows: of each run, the place in `values` of its value of each name.
    """

    names: tuple[str, ...]
    values: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]

    def difference(self, one: int, other: int) -> list[tuple[str, str, str]]:
        """(name, value, other value) of the settings in which two runs differ, by their places."""
        both = zip(self.names, self.rows[one], self.rows[other], strict=True)
        return [(name, self.values[a], self.values[b]) for name, a, b in both if a != b]


def settings_of(runs: Sequence[Exp]) -> Settings:
    """Pack the settings of all runs of a grid."""
    tables = [{name: _text(value) for name, value in flat(asdict(exp)).items()} for exp in runs]
    names = sorted({name for table in tables for name in table})
    varying = [name for name in names if len({table.get(name, ABSENT) for table in tables}) > 1]
    codes: dict[str, int] = {}
    rows = [tuple(codes.setdefault(t.get(name, ABSENT), len(codes)) for name in varying) for t in tables]
    return Settings(tuple(varying), tuple(codes), tuple(rows))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
