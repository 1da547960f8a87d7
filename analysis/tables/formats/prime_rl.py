"""prime-rl: metrics.jsonl of its file monitor, a line each time something was logged, several lines an update.

Source: src/prime_rl/monitors/file.py of PrimeIntellect-ai/prime-rl 0.8.0.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.tables.formats.log import Content, Format, Log, is_number, logged, meaning_of, wanted


def _is_it(content: Content) -> bool:
    names = list(content.first_line)
    return names[:2] == ["step", "time"] and is_number(content.first_line["time"])


def _read(content: Content) -> Log:
    rows: list[dict[str, Any]] = []
    for number, line in content.lines():
        place = f"{content.path}, line {number}"
        rows.append(logged(line, place) | {"step": wanted(line, "step", int, place)})
    names = dict.fromkeys(name for row in rows for name in row if name not in ("step", "time"))
    return Log(pd.DataFrame(rows), {name: meaning_of(name) for name in names}, step="step")


FORMATS = (Format("prime-rl", "metrics.jsonl of prime-rl", _is_it, _read),)
