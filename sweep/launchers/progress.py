"""How far a stage under construction has come: its heartbeat, and the last line of its curves."""

from __future__ import annotations

import json
import time

from sweep import heartbeat
from sweep.artifacts import Store
from sweep.sharing import regular
from sweep.tracking import METRICS

TAIL_BYTES = 20_000


def progress_lines(store: Store, key: str) -> list[str]:
    """Lines for a person on a stage that is being built; none where nobody builds it."""
    beat = heartbeat.read(heartbeat.path_of(store.root, key))
    if beat is None or beat.outcome:
        return []
    words = [f"under construction by {beat.by_whom()}", beat.progress, beat.silence(heartbeat.now())]
    lines = [", ".join(filter(None, words))]
    path = store.checkpoint_dir(key) / "curves" / METRICS
    if path.exists():
        with open(path, "rb", opener=regular) as stream:
            stream.seek(max(0, path.stat().st_size - TAIL_BYTES))
            rows = [row for line in stream.read().splitlines() if (row := _row(line))]
        for row in rows[-1:]:
            values = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if k not in ("update", "time"))
            lines.append(f"update {row['update']}, {time.time() - row['time']:.0f} s ago: {values}")
    return lines


def _row(line: bytes) -> dict[str, float]:
    """A line of the curves; empty where it is being written, or a kill cut it off."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return {}
