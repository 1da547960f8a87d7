"""Which fields make a stage new: how it differs from the nearest stage of its kind that was ever built."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sweep.config import flat
from sweep.manifest import Manifest, Stage

ABSENT = "absent"
PARENT = "parent "  # what the line of a parent begins with
N_SHOWN = 40  # characters of a value
N_BEFORE = 18  # of them before the first that differs
GAP = "..."


def news(stages: Sequence[Stage], known: Sequence[Manifest]) -> dict[str, list[str]]:
    """Of each stage, by key, its difference from the built stage of its kind that differs from it in the fewest fields.

    Returns:
        Lines such as 'optim.lr: 0.0005 -> 0.001' with long values cut, 'seed: another', 'parent sft: another'; none
        where no other stage of the kind was ever built.
    """
    out: dict[str, list[str]] = {stage.key: [] for stage in stages}
    for kind in dict.fromkeys(stage.kind for stage in stages):
        mine, theirs = [s for s in stages if s.kind == kind], [m for m in known if m.kind == kind]
        rows = [_fields(s.version, s.identity, {role: p.key for role, p in s.parents.items()}) for s in mine]
        others = [_fields(m.version, m.identity, m.parents) for m in theirs]
        n_different = _n_different(rows, others)
        for i, stage in enumerate(mine):
            n_different[i, [m.key == stage.key for m in theirs]] = np.iinfo(int).max
            at = int(n_different[i].argmin()) if theirs else 0
            if theirs and theirs[at].key != stage.key:
                out[stage.key] = _lines(rows[i], others[at])
    return out


def _fields(version: int, identity: Mapping[str, Any], parents: Mapping[str, str]) -> dict[str, Any]:
    return {**flat({"version": version, **identity}), **{f"{PARENT}{role}": key for role, key in parents.items()}}


def _n_different(rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(len(rows), len(others)) how many fields differ, a field that one of the two does not have among them."""
    names = sorted({name for row in (*rows, *others) for name in row})
    codes: dict[str, int] = {}  # of each value as the key's JSON spells it

    def coded(row: Mapping[str, Any]) -> list[int]:
        texts = (json.dumps(row[name], sort_keys=True) if name in row else ABSENT for name in names)
        return [codes.setdefault(text, len(codes)) for text in texts]

    table = np.array([coded(other) for other in others], dtype=int).reshape(len(others), len(names))
    return np.array([(table != np.array(coded(row))).sum(axis=1) for row in rows], dtype=int)


def is_seed(name: str) -> bool:
    """Whether a field is a seed: what it changes is another draw of the same."""
    return name.split(".")[-1] in ("seed", "domain_seed")


def _lines(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Parents last, and seeds behind what says more."""
    names = sorted({*mine, *theirs}, key=lambda name: (name.startswith(PARENT), is_seed(name), name))
    return [_line(n, mine, theirs) for n in names if mine.get(n, ABSENT) != theirs.get(n, ABSENT)]


def _line(name: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    if not name.startswith(PARENT):
        before, now = _cut(_text(theirs.get(name, ABSENT)), _text(mine.get(name, ABSENT)))
        is_drawn_anew = is_seed(name) and name in mine and name in theirs
        return f"{name}: another" if is_drawn_anew else f"{name}: {before} -> {now}"
    if name not in mine:
        return f"{name}: no longer needed"
    return f"{name}: {'another' if name in theirs else f'{ABSENT} -> needed'}"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True) if isinstance(value, list | tuple | dict) else str(value)


def _cut(*values: str) -> list[str]:
    """Two values for a line of a terminal: of long ones what stands around the first place where they differ."""
    first = next((i for i, letters in enumerate(zip(*values, strict=False)) if len({*letters}) > 1), len(min(values)))
    start = max(0, first - N_BEFORE) if max(map(len, values)) > N_SHOWN else 0
    shown = [f"{GAP if start else ''}{value[start:]}" for value in values]
    return [text if len(text) <= N_SHOWN else text[: N_SHOWN - len(GAP)] + GAP for text in shown]
