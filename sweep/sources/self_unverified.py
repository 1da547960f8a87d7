"""A control: the SFT policy's own finished solutions, right or wrong, as if all were right."""

from __future__ import annotations

from sweep.data.records import Solution
from sweep.sources.self_generated import distinct
from sweep.sources.written import Source, Written


def solutions(written: Written) -> list[Solution]:
    """Distinct finished traces; the verifier's verdict is ignored."""
    return distinct([Solution(t.problem_id, t.text) for t in written.traces if t.is_finished])


ENTRIES = {"self_unverified": Source(solutions, needs="samples")}
