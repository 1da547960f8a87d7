"""A verdict in words for each claim of the paper, by rules declared before any result was seen.

Every interval is at the table's level (95 %) and comes from the same draws as the figures.

Worth k times the data (RFT 2x, per-step DPO 8x; m is the multiplier over SFT, [low, high] its interval):
    held        m read between sizes that were run: low > sqrt(k) and high >= k, that is, the whole interval lies
                nearer to k than to 1 on the log scale and reaches k; a lower bound: low >= k
    not held    high < k
    undecided   otherwise; also where the multiplier at one of the arm's own sizes says the opposite with its whole
                interval (at a level corrected for the number of sizes): then the worth depends on the size
    Beside it stands the weaker question, worth more than 1x: held if low > 1, not held if high < 1.
One arm better than another (mean difference of error over the sizes both were run at, first minus second):
    held        the interval lies below 0
    not held    the interval lies above 0, or wholly inside +- 0.01: no difference worth a point of error
    undecided   otherwise; also where the difference at one size lies on the other side of 0 with its whole interval (at
                a level corrected for the number of sizes): then which is better depends on the size
Error falls as a power of n_problems (SFT's exponent b and the fit of y = a n^-b):
    held        the interval of b lies above 0 and the law is not refuted: its residuals (chi-square) and its errors
                at held-out sizes (validate.py) are within the noise, each at the 1 % level
    not held    the interval of b lies at or below 0, or the law is refuted
    undecided   otherwise
    Beside it, whether any law holds (SFT's error follows a law: the one of least held-out error): held if that law is
    not refuted, else not held.
More positives a problem flatten (RFT on at most 16 against at most 4 solutions a problem, drawn from the same 32):
    held        the difference of error, 16 less 4, is surely no gain worth a point: the interval lies above -0.01
    not held    the interval lies below 0
    undecided   otherwise
SFT beats the base (SFT's error less the base's, mean over SFT's sizes): the rule for one arm better than another.
A claim whose arms are not in the table has no verdict: not tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.worth.readings import Multiplier

Ruling = Literal["held", "not held", "undecided", "not tested"]
MARGIN = 0.01


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
    if m.bound == ">=":
        return "held" if m.ci_low >= times else "undecided"
    if m.bound == "<=":
        return "undecided"
    return "held" if m.ci_low > np.sqrt(times) else "undecided"


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
    return "not held" if max(-gap.ci_low, gap.ci_high) <= MARGIN else "undecided"


def flattens(gap: Difference | None) -> Ruling:
    """Ruling on `the first arm, which has more of something, gains no point of error by it`."""
    if gap is None:
        return "not tested"
    return "held" if gap.ci_low > -MARGIN else "not held" if gap.ci_high < 0 else "undecided"
