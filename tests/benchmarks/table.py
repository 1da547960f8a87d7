"""BENCHMARKS.md: one table a machine kind, written from the records."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .measuring import Benchmark, Row
from .records import MARGIN, kept

HEAD = f"""# Benchmarks

`make bench` measures all of it and writes this file; `make bench only=NAME` measures one row, and with `accept=yes` a
slower one becomes the record. Each number is a ratio, the peer's time over ours, taken in turn in one run on one
machine: the median of the repeats, with the smallest and the largest. Time is that of the processors where nothing else
is said, because other work on a machine stretches the clock's. The run fails where every repeat of a row lies below
{MARGIN:g} of every repeat of the last record of the same machine kind (`benchmarks/`).
"""


def page(registry: Sequence[Benchmark], records: Sequence[Path]) -> str:
    """The whole file."""
    parts = [HEAD]
    for path in records:
        rows = kept(path)
        told = json.loads(path.read_text(encoding="utf-8"))["machine"]
        parts.append(_section(registry, rows, told))
    return "\n".join(parts)


def _section(registry: Sequence[Benchmark], rows: Mapping[str, Row], machine: Mapping[str, Any]) -> str:
    loads = [load for row in rows.values() for load in row.load]
    known = [(one, rows[one.name]) for one in registry if one.name in rows]
    dates = sorted(row.date[:10] for row in rows.values())
    lines = [
        f"## {machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB",
        "",
        f"{machine['system']}, Python {machine['python']}; measured {dates[0]}"
        + (f" to {dates[-1]}" if dates[-1] != dates[0] else "")
        + f"; load average {min(loads):g} to {max(loads):g}.",
        "",
        "| | ours | peer | ours takes | times the peer | goal | |",
        "|---|---|---|---|---|---|---|",
        *(_line(one, row) for one, row in known),
        "",
        "How ours grows with the size, and how far it is from its limit:",
        "",
        "| | size: time | growth | limit | times the limit |",
        "|---|---|---|---|---|",
        *(_growth(one, row) for one, row in known),
        "",
        "Growth is the power of the size that the last step followed (1: twice the work takes twice as long).",
        "",
    ]
    lines += [f"Missed: {one.name}. {one.why}\n" for one, row in known if one.why and "missed" in _verdict(one, row)]
    if missing := [one.name for one in registry if one.name not in rows]:
        lines += [f"Not measured on this machine: {', '.join(missing)}.", ""]
    return "\n".join(lines)


def _line(one: Benchmark, row: Row) -> str:
    spread = f"[{min(row.ratios):.3g}, {max(row.ratios):.3g}]" if len(row.ratios) > 1 else "(repeats exactly)"
    goals = [f"{one.goal:g} times"] if one.goal else []
    goals += [f"at most {one.at_most:g} s"] if one.at_most else []
    goals += [f"at most {one.near:g} times the limit"] if one.near else []
    cells = (
        f"**{one.name}** ({row.size:,} {one.unit})", one.ours, one.peer, _amount(one, row.seconds),
        f"**{row.ratio:.3g}** {spread}", ", ".join(goals) or "none", _verdict(one, row),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _verdict(one: Benchmark, row: Row) -> str:
    """Whether the goals are met; by the median."""
    are_met = [row.ratio >= one.goal] if one.goal else []
    are_met += [row.seconds <= one.at_most] if one.at_most else []
    are_met += [row.seconds <= one.near * row.limit] if one.near else []
    return "" if not are_met else "met" if all(are_met) else "**missed**"


def _growth(one: Benchmark, row: Row) -> str:
    sizes = [int(size) for size in row.growth]
    shown = ", ".join(f"{n:,}: {_amount(one, row.growth[str(n)])}" for n in sizes) or one.not_grown
    power = "" if len(sizes) < 2 else f"{_power(row.growth, *sizes[-2:]):.2f}"
    if sizes and sizes[-1] < max(one.sizes, default=0):
        shown += f" (not measured above {sizes[-1]:,})"
    return f"| {one.name} | {shown} | {power} | {one.limit} | {row.seconds / row.limit:.3g} |"


def _power(growth: Mapping[str, float], small: int, large: int) -> float:
    return math.log(growth[str(large)] / growth[str(small)]) / math.log(large / small)


def _amount(one: Benchmark, value: float) -> str:
    if one.is_count:
        return f"{value:,.0f}"
    told = f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.3g} ms"
    return f"{told} of the clock" if one.clock == "wall" else told
