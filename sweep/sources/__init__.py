"""Data sources: whose solutions are held up as good ones. One file a source, pure functions.

Every source is a function of what was written for the problems so far. What stage that comes from stands in its file's
ENTRIES, by the name that `source=` calls it. A new source is one file here, its YAML in conf/source/, its arm in
sweep/arms.py and its tests.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from sweep.sources.written import Source

SOURCES: dict[str, Source] = {
    name: entry
    for module in iter_modules(__path__)
    for name, entry in getattr(import_module(f"{__name__}.{module.name}"), "ENTRIES", {}).items()
}
DIALS = frozenset(dial for source in SOURCES.values() for dial in source.dials)  # what only some sources read
