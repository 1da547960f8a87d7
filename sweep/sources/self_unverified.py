"""A control: the SFT policy's own finished solutions, right or wrong, as if all were right."""
from __future__ import annotations

from collections.abc import Sequence

from sweep.data.records import Credit, Solution, Trace
from sweep.sources.self_generated import distinct


def solutions(
    dsyn: Sequence[Solution], traces: Sequence[Trace], reached: Sequence[Solution], credits: Sequence[Credit]
) -> list[Solution]:
    """Distinct finished traces; the verifier's verdict is ignored."""
    return distinct([Solution(t.problem_id, t.text) for t in traces if t.is_finished])
