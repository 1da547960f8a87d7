"""What a source is given, and what it states of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sweep.data.records import Credit, Solution, Trace


@dataclass(frozen=True)
class Written:
    """All that was written for the problems, out of which a source holds some up as good.

    Args:
        dsyn: the teacher's verified solutions.
        traces: sampled from the SFT policy.
        reached: the verified solutions at which rollouts happened to end.
        credits: traces with the q_values of their steps.
        is_sound: whether every step of a solution is right; None where the domain cannot judge steps.
        dials: the settings that the source states (`Source.dials`), by name.
    """

    dsyn: Sequence[Solution]
    traces: Sequence[Trace] = ()
    reached: Sequence[Solution] = ()
    credits: Sequence[Credit] = ()
    is_sound: Callable[[Solution], bool] | None = None
    dials: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """solutions: the distinct good solutions; needs: the last stage that they come from (none: D_syn alone);
    is_step_judged: it reads `is_sound`, so it is for procedural domains alone; is_of_all_steps: it reads the advantage
    of every step of right and wrong traces; dials: the settings that it reads and others do not."""

    solutions: Callable[[Written], list[Solution]]
    needs: Literal["none", "samples", "advantages"]
    is_step_judged: bool = False
    is_of_all_steps: bool = False
    dials: tuple[str, ...] = ()
