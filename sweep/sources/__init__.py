"""Data sources: whose solutions are held up as good ones. One file a source, pure functions.

Every source is a function of the same four things: D_syn, the traces sampled from the SFT policy, the
verified solutions that rollouts happened to reach, and traces with the q_values of their steps. A new
source is one file here, one entry in SOURCES, one YAML in conf/source/ and its tests.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sweep.data.records import Credit, Solution, Trace
from sweep.sources import self_filtered, self_generated, self_unverified, teacher

Solutions = Callable[
    [Sequence[Solution], Sequence[Trace], Sequence[Solution], Sequence[Credit]], list[Solution]
]


@dataclass(frozen=True)
class Source:
    """solutions: the distinct good solutions; needs: the last stage that they come from (none: D_syn alone);
    is_verified: whether a wrong final answer is never among them; only: whether a domain that can judge steps
    leaves those with (spurious) or without (sound) a wrong or missing one, of problems that have both."""

    solutions: Solutions
    needs: Literal["none", "samples", "advantages"]
    is_verified: bool
    only: Literal["sound", "spurious"] | None = None


SOURCES: dict[str, Source] = {
    "teacher": Source(teacher.solutions, needs="none", is_verified=True),
    "self": Source(self_generated.solutions, needs="samples", is_verified=True),
    "self_unverified": Source(self_unverified.solutions, needs="samples", is_verified=False),
    "self_filtered": Source(self_filtered.solutions, needs="advantages", is_verified=False),
    "self_sound": Source(self_generated.solutions, needs="samples", is_verified=True, only="sound"),
    "self_spurious": Source(self_generated.solutions, needs="samples", is_verified=True, only="spurious"),
}
