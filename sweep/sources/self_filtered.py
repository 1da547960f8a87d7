"""Advantage-filtered RFT: the SFT policy's own traces, right or wrong, whose every step helps (paper, Fig. 11)."""

from __future__ import annotations

from itertools import pairwise
from statistics import median

from sweep.data.records import Solution
from sweep.sources.self_generated import distinct
from sweep.sources.written import Source, Written


def solutions(written: Written) -> list[Solution]:
    """Distinct traces whose lowest step advantage is not in the bottom half of all traces'.

    A problem that neither a trace nor a rollout solved has advantages of 0 throughout, which say nothing
    of its steps: its traces are left out.
    """
    telling = [c for c in written.credits if c.pass_rate > 0 or any(c.q_values)]
    lowest = [min(after - before for before, after in pairwise([c.pass_rate, *c.q_values])) for c in telling]
    half = median(lowest) if lowest else 0.0
    return distinct([Solution(c.problem_id, c.text) for c, low in zip(telling, lowest, strict=True) if low >= half])


ENTRIES = {"self_filtered": Source(solutions, needs="advantages", is_of_all_steps=True)}
