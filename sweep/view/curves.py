"""Training curves of stages, from the metrics.jsonl that each keeps: read once, thinned, never averaged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.artifacts import Store
from sweep.tracking import FACTS_AT, METRICS

MOST_LINES = 2_000  # of one file that are looked at
MOST_POINTS = 240  # of one curve that are kept
MOST_IN_A_LINE = 32  # of one in a line of a terminal
LOSS = "loss"


@dataclass(frozen=True)
class Curve:
    """One stage's metrics over its updates.

    Args:
        updates: (n,) ascending. seconds: (n,) since the first.
        metrics: name without its phase to (n,) values; None where there is none, or none that is finite.
        n_updates: the last update that the file holds.
    """

    updates: Sequence[int]
    seconds: Sequence[float]
    metrics: Mapping[str, Sequence[float | None]]
    n_updates: int


class Curves:
    """The curves of a store; a file is read again only where it has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[str, tuple[tuple[int, int] | None, Curve | None]] = {}

    def of(self, key: str, is_built: bool) -> Curve | None:
        """A stage's curve, of one that is not built as far as it is; None where it has none."""
        before = self._read.get(key)
        if before is not None and before[0] is None and is_built:  # an artifact does not change
            return before[1]
        path = self._store.folder(key) / METRICS if is_built else self._store.checkpoint_dir(key) / "curves" / METRICS
        try:
            found = path.stat()
            stamp = None if is_built else (found.st_mtime_ns, found.st_size)
            if is_built or before is None or before[0] != stamp:
                before = self._read[key] = (stamp, _curve(path))
        except OSError:  # there is none, or the stage has ended meanwhile
            before = self._read[key] = (None if is_built else (0, 0), None)
        return before[1]

    def losses(self, keys: Iterable[str]) -> dict[str, list[float]]:
        """The finite losses so far of stages under way, a few of each that look like all; without one it is absent."""
        found = {key: curve for key in keys if (curve := self.of(key, False)) is not None and LOSS in curve.metrics}
        few = {key: thinned(curve, MOST_IN_A_LINE).metrics[LOSS] for key, curve in found.items()}
        finite = {key: [value for value in values if value is not None] for key, values in few.items()}
        return {key: values for key, values in finite.items() if values}


def _curve(path: Path) -> Curve | None:
    lines = path.read_bytes().splitlines()
    step = math.ceil(len(lines) / MOST_LINES) or 1
    rows: dict[int, dict[str, Any]] = {}
    for line in lines[(len(lines) - 1) % step :: step]:  # the last one among them
        row = _row(line)
        if row is not None:
            rows[row["update"]] = row  # of a stage that was resumed the later line holds
    if not rows:
        return None
    return thinned(_of_rows([rows[update] for update in sorted(rows)]), MOST_POINTS)


def _row(line: bytes) -> dict[str, Any] | None:
    """A line of a curve by metrics' last names; None where it is cut off, or holds a finished stage's facts."""
    try:
        raw = json.loads(line)
        update, time = int(raw["update"]), float(raw["time"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if update <= FACTS_AT:
        return None
    numbers = {name: value for name, value in raw.items() if type(value) in (int, float) and "/" in name}
    return {"update": update, "time": time, **{name.rpartition("/")[2]: value for name, value in numbers.items()}}


def _of_rows(rows: Sequence[dict[str, Any]]) -> Curve:
    names = dict.fromkeys(name for row in rows for name in row if name not in ("update", "time"))
    metrics = {name: [_finite(row.get(name)) for row in rows] for name in names}
    seconds = [round(row["time"] - rows[0]["time"], 2) for row in rows]
    return Curve([row["update"] for row in rows], seconds, metrics, rows[-1]["update"])


def _finite(value: float | None) -> float | None:
    return float(f"{value:.5g}") if value is not None and math.isfinite(value) else None


def thinned(curve: Curve, n: int) -> Curve:
    """At most n >= 3 points of a curve that look most like all of it: the first, the last, and one of each stretch.

    Chosen is the point that makes the largest triangle of loss with the one chosen before it and the mean of the next
    stretch, so that a spike stays (Steinarsson 2013, "Downsampling time series for visual representation").
    """
    x, n_all = curve.updates, len(curve.updates)
    if n_all <= n:
        return curve
    y = [0.0 if value is None else value for value in curve.metrics.get(LOSS, [0.0] * n_all)]
    bounds = [1 + i * (n_all - 2) // (n - 2) for i in range(n - 1)]
    places = [0]
    for i in range(n - 2):
        after = range(bounds[i + 1], bounds[i + 2]) if i < n - 3 else range(n_all - 1, n_all)
        x_next, y_next = sum(x[at] for at in after) / len(after), sum(y[at] for at in after) / len(after)
        last = places[-1]

        def triangle(at: int, last: int = last, x_next: float = x_next, y_next: float = y_next) -> float:
            return abs((x[last] - x_next) * (y[at] - y[last]) - (x[last] - x[at]) * (y_next - y[last]))

        places.append(max(range(bounds[i], bounds[i + 1]), key=triangle))
    places.append(n_all - 1)
    metrics = {name: [values[at] for at in places] for name, values in curve.metrics.items()}
    seconds = [curve.seconds[at] for at in places]
    return Curve([x[at] for at in places], seconds, metrics, curve.n_updates)
