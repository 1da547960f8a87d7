"""The rule by which every arm's learning rate is chosen; committed before the runs that it judges.

Tried        the same number of rates for every arm at every size, half a decade apart, at 256 and 2,048 problems; an
             arm that a study runs at sizes far beyond them also at its largest
On           validation problems, on replicates (domain, base, D_syn, order) that no study uses; at least 3
Chosen       at each size the rate with the most validation problems right by the greedy solution, all replicates added
             up; of equal ones the lowest. A rate at the end of its grid is marked, and is chosen all the same
Between      a straight line in the logarithms of rate and size, the nearest size's rate beyond (rates.py)
Beside it    what shows how far a rate is from breaking the policy: malformed solutions, entropy, log-ratio margin

SFT comes first: the other arms sample from, start at or are measured against the policy that its rate makes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from statistics import fmean

LEAST_REPLICATES, LEAST_SIZES = 3, 2


@dataclass(frozen=True)
class Tried:
    """One validation run.

    Args:
        arm: its usual name.
        n_malformed: greedy solutions that cannot be read.
        entropy: nats, mean over sampled solutions, each summed over its tokens.
        margin: nats, the last batch's mean log-ratio of chosen less rejected; None where there are no pairs.
    """

    arm: str
    n_problems: int
    rate: float
    replicate: int
    n_correct: int
    n_test: int
    n_malformed: int
    entropy: float
    margin: float | None = None


@dataclass(frozen=True)
class Rate:
    """One rate of one arm at one size, over all replicates."""

    arm: str
    n_problems: int
    rate: float
    n_correct: int
    n_test: int
    by_replicate: tuple[int, ...]  # n_correct, replicates in order
    malformed: float  # share of solutions
    entropy: float
    margin: float | None
    is_chosen: bool
    is_at_end: bool


def judged(tried: Sequence[Tried]) -> list[Rate]:
    """Every rate of every arm and size with its results added up, the chosen one marked; by arm, size and rate.

    Raises:
        ValueError: a run twice, an arm with other replicates or another number of rates than the first, or fewer
            replicates or sizes than the rule asks for; it is named.
    """
    cells: dict[tuple[str, int], dict[float, list[Tried]]] = {}
    for run in tried:
        cells.setdefault((run.arm, run.n_problems), {}).setdefault(run.rate, []).append(run)
    if not cells:
        raise ValueError("no validation run was found: nothing to choose from")
    first = next(iter(cells))
    wanted = len(cells[first]), sorted(run.replicate for run in next(iter(cells[first].values())))
    for cell, rates in cells.items():
        for rate, runs in rates.items():
            found = len(rates), sorted(run.replicate for run in runs)
            if found != wanted:
                raise ValueError(
                    f"{cell[0]} at {cell[1]} problems has {found[0]} rates, at {rate:g} on replicates {found[1]}; "
                    f"{first[0]} at {first[1]} has {wanted[0]} on {wanted[1]}: every arm is tried equally"
                )
    if len(set(wanted[1])) != len(wanted[1]) or len(wanted[1]) < LEAST_REPLICATES:
        raise ValueError(f"replicates {wanted[1]}: expected at least {LEAST_REPLICATES}, each once")
    for arm in {arm for arm, _ in cells}:
        if len(sizes := sorted(n for name, n in cells if name == arm)) < LEAST_SIZES:
            raise ValueError(f"{arm} was tried at {sizes}: expected at least {LEAST_SIZES} sizes")
    return [rate for cell in cells for rate in _cell(cells[cell])]


def _cell(rates: dict[float, list[Tried]]) -> list[Rate]:
    grid = sorted(rates)
    score = {rate: sum(run.n_correct for run in rates[rate]) for rate in grid}
    chosen = max(grid, key=lambda rate: score[rate])  # the first, and so the lowest, of equal ones
    return [
        Rate(
            runs[0].arm, runs[0].n_problems, rate, score[rate], sum(run.n_test for run in runs),
            tuple(run.n_correct for run in sorted(runs, key=lambda run: run.replicate)),
            sum(run.n_malformed for run in runs) / sum(run.n_test for run in runs),
            fmean(run.entropy for run in runs),
            None if any(run.margin is None for run in runs) else fmean(run.margin or 0.0 for run in runs),
            rate == chosen, rate in (grid[0], grid[-1]),
        )
        for rate in grid
        for runs in [rates[rate]]
    ]  # fmt: skip


def chosen_rates(rates: Sequence[Rate]) -> dict[str, dict[int, float]]:
    """Arm to size to rate: what a model's `rates:` holds."""
    out: dict[str, dict[int, float]] = {}
    for one in rates:
        if one.is_chosen:
            out.setdefault(one.arm, {})[one.n_problems] = one.rate
    return {arm: dict(sorted(by_size.items())) for arm, by_size in out.items()}


COLUMNS = tuple(f.name for f in fields(Tried))


def as_rows(tried: Sequence[Tried]) -> list[tuple[object, ...]]:
    """The columns of `COLUMNS`, for a file."""
    return [astuple(run) for run in tried]
