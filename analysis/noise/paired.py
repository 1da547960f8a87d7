"""Two models on one test set: the difference of their accuracies, tested problem by problem.

One attempt each: McNemar's exact test of the problems that one of them alone solves, and Tango's score interval of the
difference. Several attempts or runs (seeds): a problem's difference is that of its shares of right attempts, problems
are the clusters, and what runs of one model differ by beyond their test noise is added, as everywhere here (seeds.py):

    V = sum_j (d_j - d)^2 / (J (J - 1)) + excess (1 / n_runs of A + 1 / n_runs of B)
    excess = max(0, variance between runs - mean over problems of the variance over runs / J), pooled over both models

with Student's t, its degrees of freedom by Satterthwaite: J - 1 of the problems, one less a model of the runs, whose
whole variance is what is uncertain of the excess. A model with one run takes the excess of the other's; with one run
each nothing is known of it.
Sources: McNemar 1947; Tango 1998, Statistics in Medicine 17:891; Miller 2024, arXiv 2411.00640, section 4 (paired,
clustered); Connor 1987, Biometrics 43:207, for the power given how often the models disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

POWER = 0.8
METHOD = "paired by problem, problems as clusters"


@dataclass(frozen=True)
class Paired:
    """B minus A on the problems that both were tested on.

    Args:
        accuracy_a, accuracy_b: means over problems of the shares of right attempts.
        difference, low, high: of accuracies; level is that of the interval.
        p: of no difference, two-sided.
        only_a, only_b: problems that one of them alone solved; None where there were several attempts.
        detectable: the smallest true difference that this comparison finds with a chance of POWER at 1 - level, from
            how often the models disagree here; None where no difference up to 1 is found that often.
        df: degrees of freedom of Student's t; None for the exact test.
    """

    n_problems: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    low: float
    high: float
    level: float
    p: float
    detectable: float | None
    method: str
    only_a: int | None = None
    only_b: int | None = None
    df: float | None = None


def compared(a: np.ndarray, b: np.ndarray, level: float = 0.95) -> Paired:
    """The paired test.

    Args:
        a, b: (n_runs, n_problems) share of right attempts of each run at each problem, in the same order of problems.
    Raises:
        ValueError: they have not the same problems, fewer than 2 of them, or values outside [0, 1].
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not a.size or not b.size:
        raise ValueError(f"(n_runs, n_problems) of one test set were expected, found {a.shape} and {b.shape}")
    if a.shape[1] < 2:
        raise ValueError(f"2 problems or more were expected, found {a.shape[1]}")
    if not all(np.all((one >= 0) & (one <= 1)) for one in (a, b)):
        raise ValueError("shares of right attempts in [0, 1] were expected")
    if not 0 < level < 1:
        raise ValueError(f"--level {level:g}: a number between 0 and 1 was expected, for example 0.95")
    is_single = len(a) == len(b) == 1 and bool(np.all((a == 0) | (a == 1)) and np.all((b == 0) | (b == 1)))
    return _single(a[0], b[0], level) if is_single else _clustered(a, b, level)


def _single(a: np.ndarray, b: np.ndarray, level: float) -> Paired:
    n, only_a, only_b = len(a), int(np.sum((a == 1) & (b == 0))), int(np.sum((a == 0) & (b == 1)))
    low, high = tango_interval(only_a, only_b, n, level)
    p = float(stats.binomtest(only_b, only_a + only_b, 0.5).pvalue) if only_a + only_b else 1.0
    return Paired(
        n, float(a.mean()), float(b.mean()), (only_b - only_a) / n, low, high, level, p,
        detectable_by_mcnemar(only_a + only_b, n, 1 - level),
        "exact McNemar test, Tango's score interval", only_a, only_b,
    )  # fmt: skip


def tango_interval(only_a: int, only_b: int, n: int, level: float) -> tuple[float, float]:
    """The differences (only_b - only_a)/n that the score test does not refute at this level."""
    z, d = float(stats.norm.ppf(0.5 + level / 2)), (only_b - only_a) / n

    def gap(delta: float) -> float:
        """Squared score statistic less its critical value; q is P(A alone solves) at its likeliest, given delta."""
        linear = -only_b - only_a + (2 * n - only_b + only_a) * delta
        q = (np.sqrt(max(linear**2 - 8 * n * (-only_a * delta * (1 - delta)), 0.0)) - linear) / (4 * n)
        variance = n * (2 * q + delta * (1 - delta))
        return float((only_b - only_a - n * delta) ** 2 - z**2 * variance)

    nearly = 1 - 1e-12  # at d itself the statistic is 0, and so may its critical value be
    low = float(optimize.brentq(gap, -nearly, d - 1e-12)) if d > -1 and gap(-nearly) > 0 else -1.0
    high = float(optimize.brentq(gap, d + 1e-12, nearly)) if d < 1 and gap(nearly) > 0 else 1.0
    return low, high


def detectable_by_mcnemar(n_discordant: int, n: int, alpha: float, power: float = POWER) -> float | None:
    """The smallest difference at which the exact test rejects with a chance of `power`, where models disagree as often
    as here, or more often if so large a difference needs it.
    """
    rate = n_discordant / n

    def lacks(delta: float) -> float:
        return _mcnemar_power(delta, max(rate, delta), n, alpha) - power

    if lacks(1.0) < 0:
        return None
    return float(optimize.brentq(lacks, 0.0, 1.0, xtol=1e-6))


def _mcnemar_power(delta: float, rate: float, n: int, alpha: float) -> float:
    """Chance that the exact test rejects, of n problems of which a share `rate` is solved by one model alone."""
    if rate <= 0:
        return 0.0
    spread = 9 * np.sqrt(n * rate * (1 - rate)) + 1
    m = np.arange(max(1, int(n * rate - spread)), min(n, int(n * rate + spread) + 1) + 1)
    tail = stats.binom.ppf(alpha / 2, m, 0.5)  # the most of the rarer kind that may still be refuted
    tail = np.where(stats.binom.cdf(tail, m, 0.5) > alpha / 2, tail - 1, tail)
    share = (rate + delta) / (2 * rate)
    rejects = stats.binom.cdf(tail, m, 1 - share) + stats.binom.sf(m - tail - 1, m, 1 - share)
    return float(np.sum(stats.binom.pmf(m, n, rate) * np.where(tail >= 0, rejects, 0.0)))


def _clustered(a: np.ndarray, b: np.ndarray, level: float) -> Paired:
    n = a.shape[1]
    gaps = b.mean(axis=0) - a.mean(axis=0)
    difference = float(gaps.mean())
    of_problems = float(gaps.var(ddof=1)) / n
    between, excess, df_runs = _of_runs([one for one in (a, b) if len(one) > 1])
    share = 1 / len(a) + 1 / len(b)
    variance = of_problems + share * excess
    if variance == 0:
        return _alike(float(a.mean()), float(b.mean()), n, level)
    unsure = share * between if excess else 0.0
    df = variance**2 / (of_problems**2 / (n - 1) + unsure**2 / df_runs)
    se, t = float(np.sqrt(variance)), stats.t(df)
    half = float(t.ppf(0.5 + level / 2)) * se
    return Paired(
        n, float(a.mean()), float(b.mean()), difference, difference - half, difference + half, level,
        float(2 * t.sf(abs(difference) / se)), half + float(t.ppf(POWER)) * se,
        METHOD + (" + excess run variance" if np.isfinite(df_runs) else ""), df=float(df),
    )  # fmt: skip


def _alike(a: float, b: float, n: int, level: float) -> Paired:
    """No problem differs by anything but b - a; a share q of all problems may, by any amount.

    By Clopper and Pearson q <= 1 - (alpha/2)^(1/n). Where every problem turns from wrong to right, p is McNemar's.
    """
    d, rest = b - a, 1 - ((1 - level) / 2) ** (1 / n)
    p = min(1.0, 2 * (1 + abs(d)) ** -n)  # at which the interval ends at 0
    method = "every problem differs alike: limits are what so many problems cannot exclude"
    return Paired(n, a, b, d, d - rest * (1 + d), d + rest * (1 - d), level, p, None, method)


def _of_runs(several: list[np.ndarray]) -> tuple[float, float, float]:
    """Variance between runs of one model, what of it their attempts at these problems do not make, and the degrees of
    freedom of both; nothing is known of models with one run.
    """
    if not several:
        return 0.0, 0.0, float("inf")
    df = [len(one) - 1 for one in several]
    between = float(np.average([one.mean(axis=1).var(ddof=1) for one in several], weights=df))
    within = float(np.average([one.var(axis=0, ddof=1).mean() / one.shape[1] for one in several], weights=df))
    return between, max(0.0, between - within), float(sum(df))
