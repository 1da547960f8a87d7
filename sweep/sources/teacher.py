"""The teacher's verified solutions: D_syn as it is."""

from __future__ import annotations

from sweep.data.records import Solution
from sweep.sources.written import Source, Written


def solutions(written: Written) -> list[Solution]:
    """D_syn; what the policy sampled plays no part."""
    return list(written.dsyn)


ENTRIES = {"teacher": Source(solutions, needs="none")}
