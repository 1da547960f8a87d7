"""Learning rates that depend on how many problems a policy is tuned on.

Updates grow with n_problems, so a rate that suits a small size can break the policy at a larger one. A learning rate
is therefore a number, or numbers at the sizes it was chosen at: `{256: 3e-4, 2048: 1e-3}`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sweep.fields import shown

DIGITS = 3  # significant ones of a rate between two sizes: the same on every machine, and so is the stage's name


def at_size(given: Any, n_problems: int, where: str) -> Any:
    """The learning rate at n_problems: on a straight line in the logarithms of both between the sizes that are given,
    and the nearest size's beyond them. A rate that is no mapping is returned as it is.

    Args:
        where: the setting's name, for errors.
    Raises:
        ValueError: a size that is no whole number above 0, a rate that is no finite number above 0, or no size at all.
    """
    if not isinstance(given, Mapping):
        return given
    for size, rate in given.items():
        if not _is_number(size) or size < 1 or size != int(size) or not _is_number(rate) or rate <= 0:
            raise ValueError(
                f"{where}={shown(dict(given))}: {shown(size)}: {shown(rate)} is not a rate at a size; expected a "
                "number above 0, or such numbers by n_problems, as in {256: 3e-4, 2048: 1e-3}"
            )
    if not given:
        raise ValueError(f"{where} has no rate at any size; expected a number, or numbers by n_problems")
    sizes = sorted(given)
    below = [size for size in sizes if size <= n_problems]
    above = [size for size in sizes if size >= n_problems]
    low, high = below[-1] if below else above[0], above[0] if above else below[-1]
    if low == high:
        return float(given[low])
    share = math.log(n_problems / low) / math.log(high / low)
    rate = math.exp((1 - share) * math.log(given[low]) + share * math.log(given[high]))
    return float(f"{rate:.{DIGITS}g}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
