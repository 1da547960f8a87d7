"""The baseline read against itself by the engine that reads the arms: worth 1 at every size, or the engine is wrong."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from analysis.notes import Note, note
from analysis.worth.comparison import Comparison
from analysis.worth.multiplier import ROUNDING, Multiplier
from analysis.worth.readings import at_sizes, headline


@dataclass(frozen=True)
class Identity:
    """The baseline as an arm.

    Args:
        middle: read as a headline is; by_size: at each of its sizes.
        broken: the sizes at which the interval leaves 1 out.
    """

    middle: Multiplier
    by_size: tuple[Multiplier, ...]
    broken: tuple[float, ...]

    @property
    def notes(self) -> tuple[Note, ...]:
        """A serious one where the interval leaves 1 out anywhere."""
        if not self.broken:
            return ()
        at = ", ".join(f"{size:g}" for size in self.broken)
        text = f"{self.middle.arm} leaves 1 out at n = {at}: the law is wrong there, and no arm's worth can be believed"
        return (note("identity_broken", text),)


def identity_of(comparison: Comparison, baseline: str) -> Identity:
    """SFT against itself, at the middle of its errors and at each of its sizes."""
    name = f"{baseline} against itself"
    middle = headline(comparison, baseline, baseline)
    each = at_sizes(comparison, baseline, baseline)
    broken = tuple(
        one.at_size for one in each if one.at_size and not one.ci_low - ROUNDING <= 1 <= one.ci_high + ROUNDING
    )
    named = [dataclasses.replace(one, arm=name) for one in (middle, *each)]
    return Identity(named[0], tuple(named[1:]), broken)
