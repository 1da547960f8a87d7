"""Records of a machine kind, and what of a new one is slower than the last beyond noise."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from .measuring import ROOT, Row

NOT_MEASURED = (":!BENCHMARKS.md", ":!benchmarks")
MARGIN = 0.85  # of the ratio of before, below which all repeats of a regression lie


@cache
def machine() -> dict[str, Any]:
    """What a number was measured on; `kind` is what two records must share to be compared."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(encoding="utf-8"), re.M) if info.exists() else None
    cpu, cores = found[1].strip() if found else platform.processor() or platform.machine(), os.cpu_count() or 1
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    word = re.sub(r"[^a-z0-9]+", "-", f"{cpu} {platform.machine()}".lower()).strip("-")
    return {
        "kind": f"{word}-{cores}-cores",
        "cpu": cpu,
        "cores": cores,
        "memory_gib": round(pages / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


@cache
def commit() -> str:
    """The commit, and a hash of what differs from it, the records aside; empty outside git."""
    told = [
        subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout
        for words in (("rev-parse", "--short=12", "HEAD"), ("diff", "HEAD", "--", ".", *NOT_MEASURED))
    ]
    changed = hashlib.sha256(told[1].encode()).hexdigest()[:8] if told[1] else ""
    return "+".join(word for word in (told[0].strip(), changed) if word)


def kept(path: Path) -> dict[str, Row]:
    """The rows of a record, none where there is no such file."""
    if not path.exists():
        return {}
    return {name: Row(**row) for name, row in json.loads(path.read_text(encoding="utf-8"))["rows"].items()}


def keep(path: Path, rows: Mapping[str, Row]) -> None:
    """Add rows to a record; those of the same name are replaced. Several runs may add to one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_suffix(".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = {name: asdict(row) for name, row in {**kept(path), **rows}.items()}
        told = json.dumps({"machine": machine(), "rows": known})
        rounded = json.loads(told, parse_float=lambda text: float(f"{float(text):.4g}"))
        part = path.with_suffix(".part")
        part.write_text(json.dumps(rounded, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        part.replace(path)


def regressions(before: Mapping[str, Row], now: Mapping[str, Row]) -> dict[str, str]:
    """Rows that are slower than on the record, name to a sentence.

    A ratio has fallen beyond noise where every repeat of now lies below 0.85 of every repeat of before: with 5 repeats
    each, equal ones would be ordered so in 1 of 252 runs, margin aside. Another size is another measurement.
    """
    out = {}
    for name, row in now.items():
        last = before.get(name)
        if last is not None and last.size == row.size and max(row.ratios) < MARGIN * min(last.ratios):
            on_record = f"{_told(last)} of {last.date} ({last.commit})"
            out[name] = f"{name}: {_told(row)} times the peer's speed, on record {on_record}"
    return out


def _told(row: Row) -> str:
    return f"{row.ratio:.3g} [{min(row.ratios):.3g}, {max(row.ratios):.3g}]"
