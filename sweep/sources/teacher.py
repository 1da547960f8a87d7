"""The teacher's verified solutions: D_syn as it is."""
from __future__ import annotations

from collections.abc import Sequence

from sweep.data.records import Credit, Solution, Trace


def solutions(
    dsyn: Sequence[Solution], traces: Sequence[Trace], reached: Sequence[Solution], credits: Sequence[Credit]
) -> list[Solution]:
    """D_syn; what the policy sampled plays no part."""
    return list(dsyn)
