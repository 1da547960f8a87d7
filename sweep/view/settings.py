"""The settings in which runs of a grid differ, packed so that the difference of any two can be looked up. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sweep.config import Exp, flat
from sweep.differences import ABSENT
from sweep.leaves import Leaf
from sweep.terminal.words import nearest
from sweep.view.log_end import plain
from sweep.view.screen import padded, width_of


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


def between(leaves: Sequence[Leaf], runs: Sequence[str]) -> list[str]:
    """Lines for a terminal: the settings in which two runs differ.

    Args:
        leaves: of all runs of a grid.
        runs: the two, each by enough words of its grid point, as 'arm=rft n_problems=64'.
    Raises:
        ValueError: no run has these words, or several have.
    """
    one, other = (_place(leaves, text) for text in runs)
    found = settings_of([leaf.exp for leaf in leaves]).difference(one, other)
    if not found:
        return ["nothing differs"]
    rows = [[plain(cell) for cell in row] for row in (("setting", *runs), *found)]
    wide = [max(width_of(row[n]) for row in rows) for n in range(2)]
    return ["  ".join([*(padded(row[n], wide[n]) for n in range(2)), row[2]]) for row in rows]


def _place(leaves: Sequence[Leaf], text: str) -> int:
    wanted = set(text.split())
    found = [n for n, leaf in enumerate(leaves) if wanted <= set(leaf.overrides)]
    if len(found) == 1:
        return found[0]
    known = list(dict.fromkeys(word for leaf in leaves for word in leaf.overrides))
    odd = next((word for word in text.split() if word not in known), None)
    hint = "" if odd is None else f": none has {odd}{nearest(odd, known)}"
    raise ValueError(
        f"--between '{text}': the words of one run were expected, found {len(found) or 'no'} such runs{hint}; the "
        f"first run is '{' '.join(leaves[0].overrides)}'"
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
