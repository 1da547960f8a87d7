"""Data sources: whose solutions are held up as good ones. One file a source, pure functions.

Every source is a function of the same three things: D_syn, the traces sampled from the SFT policy,
and the verified solutions that rollouts happened to reach. A new source is one file here, one entry
in SOURCES, one YAML in conf/source/ and its tests.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sweep.data.records import Solution, Trace
from sweep.sources import self_generated, self_unverified, teacher

Solutions = Callable[[Sequence[Solution], Sequence[Trace], Sequence[Solution]], list[Solution]]


@dataclass(frozen=True)
class Source:
    """solutions: the distinct good solutions; needs_samples: whether the SFT policy must sample first;
    is_verified: whether a wrong final answer is ever among them."""

    solutions: Solutions
    needs_samples: bool
    is_verified: bool


SOURCES: dict[str, Source] = {
    "teacher": Source(teacher.solutions, needs_samples=False, is_verified=True),
    "self": Source(self_generated.solutions, needs_samples=True, is_verified=True),
    "self_unverified": Source(self_unverified.solutions, needs_samples=True, is_verified=False),
}
