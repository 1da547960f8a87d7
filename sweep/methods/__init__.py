"""Algorithms: what each makes of solutions and mistakes. One file an algorithm, pure functions.

A method turns its material into training rows (likelihood) or pairs (preference). Which weights it starts from and
which stages it needs stand in its file's ENTRIES, by the name that `method=` calls it. A new method is one file here,
its YAML in conf/method/, its arm in sweep/arms.py and its tests.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from sweep.methods.material import Method

METHODS: dict[str, Method] = {
    name: entry
    for module in iter_modules(__path__)
    for name, entry in getattr(import_module(f"{__name__}.{module.name}"), "ENTRIES", {}).items()
}
