"""The rules that decide claims: which claims, read where, by which thresholds. Committed before the runs they judge.

The report prints this file's hash, the date of its last commit and the date of the first run that it judges, so that
a reader sees which came first. Every interval is at the table's level (95 %), from the same draws as the figures.

Read at     the geometric middle of the errors that arm and SFT both reach, where they share a range; each value names
            its error, and values of two arms are not compared down a column
Law         saturating for the embedded study (at size 0 an arm's error is the base model's; chosen by held-out sizes on
            validation runs), auto for other tables (power law, with a floor where the study is sharp enough to need
            one); blended with local regression; a law that its residuals refute at 5 % is not read from
Left out    nothing: every run of the table counts; odd runs are named and kept
Worth k times the data (RFT 2x, per-step DPO 8x; m is the multiplier over SFT, [low, high] its interval):
    held        the interval reaches k and excludes k/2: high >= k and low > k/2
    not held    the interval lies below k: high < k
    undecided   otherwise; also where the multiplier at one of the arm's own sizes says the opposite with its whole
                interval (at a level corrected for the number of sizes): then the worth depends on the size
    Beside it stands the weaker question, worth more than 1x: held if low > 1, not held if high < 1.
One arm better than another (mean difference of error over the sizes both were run at, first minus second):
    held        the interval lies below 0
    not held    the interval lies above 0, or wholly inside +- 0.01: no difference worth a point of error
    undecided   otherwise; also where the difference at one size lies on the other side of 0 with its whole interval (at
                a level corrected for the number of sizes), or beyond +- 0.01 where the mean is inside: then which is
                better depends on the size
Error falls as a power of n_problems (SFT's exponent b and the fit of y = a n^-b):
    held        the interval of b lies above 0 and the law is not refuted: its residuals, against tables drawn from it,
                are within the noise at the 5 % level, its errors at held-out sizes (held_out.py) at the 1 % level
    not held    the interval of b lies at or below 0, or the law is refuted
    undecided   otherwise
    Beside it, whether any law holds (SFT's error follows a law: the one of least held-out error): held if that law is
    not refuted, else not held.
More positives a problem flatten (RFT on at most 16 against at most 4 solutions a problem, drawn from the same 32):
    held        the difference of error, 16 less 4, is surely no gain worth a point: the interval lies above -0.01
    not held    the interval lies below 0
    undecided   otherwise; also where at one size the difference is surely a gain worth a point: below -0.01 with its
                whole interval (at a level corrected for the number of sizes)
SFT beats the base (SFT's error less the base's, mean over SFT's sizes): the rule for one arm better than another.
Many claims are ruled at once. Beside each ruling stands the one after Holm's correction over all claims of the table
that an interval decides: a decision that needs more than its corrected level is then undecided.
A claim whose arms are not in the table has no verdict: not tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.worth.multiplier import Multiplier
from sweep.arms import ARMS

Ruling = Literal["held", "not held", "undecided", "not tested"]
MARGIN = 0.01
WORTH = (("RFT", 2.0), ("per-step DPO", 8.0))
PAIRS = tuple(claim for arm in ARMS for claim in arm.claims)  # which arm is set against which, and why
MORE_POSITIVES = ("RFT, max_solutions_per_problem=16", "RFT, max_solutions_per_problem=4")


@dataclass(frozen=True)
class Difference:
    """Mean difference of error, first minus second arm, over the sizes both have, with its interval.

    Args:
        by_size: value and limits at each size, at the level of the mean.
        surely: limits at each size, at a level corrected for the number of sizes.
    """

    arm: str
    other: str
    sizes: tuple[float, ...]
    value: float
    ci_low: float
    ci_high: float
    by_size: tuple[tuple[float, float, float], ...]
    surely: tuple[tuple[float, float], ...] = ()


def worth(m: Multiplier, times: float, at_sizes: Sequence[Multiplier] = ()) -> Ruling:
    """Ruling on `worth times x` for one multiplier and those at the arm's sizes; see the module's rules."""
    if m.bound == "?":
        return "undecided"
    if m.ci_high < times:
        return "undecided" if any(one.ci_low >= times for one in at_sizes) else "not held"
    if any(one.ci_high < times for one in at_sizes):
        return "undecided"
    return "held" if m.ci_low > times / 2 else "undecided"


def worth_more(m: Multiplier, at_sizes: Sequence[Multiplier] = ()) -> Ruling:
    """Ruling on `worth more than 1x`."""
    if m.bound == "?":
        return "undecided"
    if m.ci_low > 1:
        return "undecided" if any(one.ci_high < 1 for one in at_sizes) else "held"
    contradicted = any(one.ci_low > 1 for one in at_sizes)
    return "not held" if m.ci_high < 1 and not contradicted else "undecided"


def better(gap: Difference | None) -> Ruling:
    """Ruling on `the first arm beats the second`."""
    if gap is None:
        return "not tested"
    if gap.ci_high < 0:
        return "undecided" if any(low > 0 for low, _ in gap.surely) else "held"
    if gap.ci_low > 0:
        return "undecided" if any(high < 0 for _, high in gap.surely) else "not held"
    is_far = any(low > MARGIN or high < -MARGIN for low, high in gap.surely)
    return "not held" if max(-gap.ci_low, gap.ci_high) <= MARGIN and not is_far else "undecided"


def flattens(gap: Difference | None) -> Ruling:
    """Ruling on `the first arm, which has more of something, gains no point of error by it`."""
    if gap is None:
        return "not tested"
    if gap.ci_low > -MARGIN:
        return "undecided" if any(high < -MARGIN for _, high in gap.surely) else "held"
    return "not held" if gap.ci_high < 0 else "undecided"


def holm(reaches: Sequence[int]) -> list[bool]:
    """Which decisions stand after Holm's step-down correction.

    Args:
        reaches: of each claim, the largest j for which it is still decided at level 1 - alpha/j; 0 if never.
    """
    order = sorted(range(len(reaches)), key=lambda k: -reaches[k])
    stands = [False] * len(reaches)
    for rank, k in enumerate(order):
        if reaches[k] < len(reaches) - rank:
            break
        stands[k] = True
    return stands
