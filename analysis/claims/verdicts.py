"""The claims, the paper's and our own, each with its ruling and the numbers that decided it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from analysis.claims.rules import (
    MORE_POSITIVES,
    PAIRS,
    WORTH,
    Difference,
    Ruling,
    better,
    flattens,
    holm,
    worth,
    worth_more,
)
from analysis.held_out import Score, validate
from analysis.intervals import interval
from analysis.worth import readings
from analysis.worth.comparison import Comparison
from analysis.worth.multiplier import Multiplier
from analysis.worth.words import count, error_text, interval_text, multiplier_text
from sweep.arms import ARMS

PAPERS, OWN = "the paper's claim", "a question of our own"  # whose a claim is


@dataclass(frozen=True)
class Verdict:
    """A claim, what became of it and the numbers that decided it; `corrected` is the ruling after Holm's correction."""

    claim: str
    ruling: Ruling
    evidence: str
    question: str = PAPERS
    corrected: Ruling = "undecided"


@dataclass(frozen=True)
class Claim:
    """A claim that an interval decides: its ruling at the level of a comparison, and what to say of it."""

    claim: str
    evidence: str
    ruling_at: Callable[[Comparison], Ruling]
    question: str = PAPERS


def difference(comparison: Comparison, arm: str, other: str) -> Difference | None:
    """Paired difference of error; None where the arms share no size or one is absent."""
    table = comparison.draws.table
    if arm not in table.arms or other not in table.arms:
        return None
    sizes = table.cells["size"].to_numpy(float)
    mine = {sizes[cell]: cell for cell in table.cells_of(arm)}
    theirs = {sizes[cell]: cell for cell in table.cells_of(other)}
    shared = sorted(set(mine) & set(theirs))
    if not shared:
        return None
    gaps = comparison.errors[:, [mine[n] for n in shared]] - comparison.errors[:, [theirs[n] for n in shared]]
    return _difference(arm, other, tuple(shared), gaps, comparison.level)


def difference_from_base(comparison: Comparison, arm: str) -> Difference | None:
    """The arm's error minus the base model's at each of the arm's sizes."""
    table = comparison.draws.table
    base = np.flatnonzero(table.cells["x"].to_numpy() == 0)
    if not len(base) or arm not in table.arms:
        return None
    cells = table.cells_of(arm)
    gaps = comparison.errors[:, cells] - comparison.errors[:, base].mean(axis=1, keepdims=True)
    return _difference(arm, "base", tuple(table.cells["size"].to_numpy(float)[cells]), gaps, comparison.level)


def _difference(arm: str, other: str, sizes: tuple[float, ...], gaps: np.ndarray, level: float) -> Difference:
    low, high = interval(gaps[1:].mean(axis=1), level)
    each = tuple((float(gap[0]), *interval(gap[1:], level)) for gap in gaps.T)
    surely = tuple(interval(gap[1:], 1 - (1 - level) / len(sizes)) for gap in gaps.T)
    return Difference(arm, other, sizes, float(gaps[0].mean()), low, high, each, surely)


def worth_evidence(m: Multiplier, times: float, at_sizes: Sequence[Multiplier], measure: str = "error") -> str:
    """The number, where it was read, and the sizes that speak against the claim."""
    where = (
        f"at {measure} {error_text(m.at_error)}"
        if m.at_size is None
        else f"at n = {count(m.at_size)}, {measure} {error_text(m.at_error)}"
    )
    below = [count(one.at_size) for one in at_sizes if one.ci_high < times and one.at_size]
    above = [count(one.at_size) for one in at_sizes if one.ci_low >= times and one.at_size] if below else []
    more = f"; the interval lies below {times:g}x at n = {', '.join(below)}" if below else ""
    more += f" and above at n = {', '.join(above)}" if above else ""
    return f"m = {multiplier_text(m)} {where}{more}"


def verdicts_of(comparison: Comparison, baseline: str = "SFT") -> list[Verdict]:
    """All claims in the paper's order; none where the table holds no arm of the paper but the baseline."""
    arms = comparison.draws.table.arms
    if not {"RFT", "DPO", "per-step DPO"} & set(arms):
        return []
    by_law = []
    if baseline in arms:
        by_law = [_falls_as_a_power(comparison, baseline), _follows_a_law(comparison, baseline)]
    return [*by_law, *_ruled(comparison, _claims(comparison, baseline))]


def one_better(comparison: Comparison, claim: str, arm: str, other: str) -> Verdict:
    """A claim of one table alone, that `arm` is better than `other`, by the rule for it; nothing to correct for."""
    gap = difference(comparison, arm, other)
    ruling = better(gap)
    return Verdict(claim, ruling, _gap_evidence(gap, arm, other), corrected=ruling)


def _ruled(comparison: Comparison, claims: Sequence[Claim]) -> list[Verdict]:
    """Each claim ruled by itself, and with Holm's correction over those that were tested."""
    rulings = [one.ruling_at(comparison) for one in claims]
    tested = [k for k, ruling in enumerate(rulings) if ruling != "not tested"]
    reaches = [_reach(comparison, claims[k], rulings[k], len(tested)) for k in tested]
    stands = dict(zip(tested, holm(reaches), strict=True))
    return [
        Verdict(
            one.claim,
            ruling,
            one.evidence,
            one.question,
            ruling if ruling == "not tested" or stands[k] else "undecided",
        )
        for k, (one, ruling) in enumerate(zip(claims, rulings, strict=True))
    ]


def _reach(comparison: Comparison, claim: Claim, ruling: Ruling, n: int) -> int:
    """The largest j up to n for which the ruling is the same at level 1 - alpha/j; 0 where nothing is decided."""
    if ruling == "undecided":
        return 0
    for j in range(2, n + 1):
        if claim.ruling_at(comparison.at_level(1 - (1 - comparison.level) / j)) != ruling:
            return j - 1
    return n


def _claims(comparison: Comparison, baseline: str) -> list[Claim]:
    arms, out = comparison.draws.table.arms, []
    own = {claim.text for arm in ARMS if arm.is_claim_own for claim in arm.claims}
    if baseline in arms:
        out.append(_beats_base(comparison, baseline))
    for arm, times in WORTH:
        if arm in arms and baseline in arms:
            out += _worth_claims(comparison, arm, baseline, times)
        else:
            evidence = f"{arm} or {baseline} is not in the table"
            out.append(Claim(f"{arm} is worth {times:g}x {baseline}'s data", evidence, lambda at: "not tested"))
    out += [
        Claim(
            claim,
            _gap_evidence(difference(comparison, arm, other), arm, other),
            partial(_better, arm, other),
            OWN if claim in own else PAPERS,
        )
        for claim, arm, other in PAIRS
    ]
    evidence = _gap_evidence(difference(comparison, *MORE_POSITIVES), *MORE_POSITIVES)
    out.append(
        Claim(
            "More positives a problem flatten (RFT)",
            evidence,
            lambda at: flattens(difference(at, *MORE_POSITIVES)),
        )
    )
    return out


def _better(arm: str, other: str, comparison: Comparison) -> Ruling:
    return better(difference(comparison, arm, other))


def _worth_claims(comparison: Comparison, arm: str, baseline: str, times: float) -> list[Claim]:
    at_sizes, measure = readings.surely_at_sizes(comparison, arm, baseline), comparison.draws.table.measure
    m = readings.headline(comparison, arm, baseline)
    return [
        Claim(
            f"{arm} is worth {times:g}x {baseline}'s data",
            worth_evidence(m, times, at_sizes, measure),
            lambda at: worth(readings.headline(at, arm, baseline), times, at_sizes),
        ),
        Claim(
            f"{arm} is worth more than 1x",
            worth_evidence(m, 1.0, at_sizes, measure),
            lambda at: worth_more(readings.headline(at, arm, baseline), at_sizes),
            "the weaker question",
        ),
    ]


def _gap_evidence(gap: Difference | None, arm: str, other: str) -> str:
    if gap is None:
        return f"{arm} and {other} were not run at the same sizes"
    n_better = sum(high < 0 for _, _, high in gap.by_size)
    n_worse = sum(low > 0 for _, low, _ in gap.by_size)
    above = f", at {n_worse} above it" if n_worse else ""
    worse = [count(size) for size, (low, _) in zip(gap.sizes, gap.surely, strict=True) if low > 0]
    return (
        f"{arm} minus {other}: {error_text(gap.value)} {interval_text(gap.ci_low, gap.ci_high, error_text)} over "
        f"{len(gap.sizes)} sizes; at {n_better} of them the interval of the size alone lies below 0{above}"
        + (f"; surely above 0 at n = {', '.join(worse)}" if worse else "")
    )


def _falls_as_a_power(comparison: Comparison, baseline: str) -> Verdict:
    claim = f"{baseline}'s error falls as a power of n_problems"
    if comparison.n_sizes(baseline) < 3:
        return Verdict(claim, "not tested", f"{baseline} has fewer than 3 sizes", corrected="not tested")
    fit = comparison.fit(baseline, "power")
    low, high = fit.intervals["b"]
    is_bad = any(one.code == "bad_fit" for one in fit.notes)
    scatter = "residuals exceed the noise" if is_bad else "residuals within the noise"
    if comparison.n_sizes(baseline) >= 4:
        score = validate(comparison.draws, ["power"], of=[baseline]).scores[0]
        is_bad |= score.is_refuted
        scatter += f"; {_held_out_text(score)}"
    ruling: Ruling = "not held" if high <= 0 or is_bad else "held" if low > 0 else "undecided"
    evidence = f"b = {fit.params['b']:.3f} {interval_text(low, high, '{:.3f}'.format)}; {scatter}"
    return Verdict(claim, ruling, evidence, corrected=ruling)


def _follows_a_law(comparison: Comparison, baseline: str) -> Verdict:
    claim, question = f"{baseline}'s error follows a law", "the weaker question"
    if comparison.n_sizes(baseline) < 4:
        return Verdict(claim, "not tested", f"{baseline} has fewer than 4 sizes", question, "not tested")
    best = validate(comparison.draws, of=[baseline]).scores[0]
    ruling: Ruling = "not held" if best.is_refuted else "held"
    return Verdict(claim, ruling, f"{best.law}: {_held_out_text(best)}", question, ruling)


def _held_out_text(score: Score) -> str:
    where, own = "beyond" if score.is_refuted else "within", score.own
    return (
        f"errors at held-out sizes {where} the noise (mean z^2 {own.mean_square_z:.2f}, {own.expected:.2f} if the "
        f"law were true, p = {own.p_value:.3f})"
    )


def _beats_base(comparison: Comparison, baseline: str) -> Claim:
    claim, gap = f"{baseline} beats the base model", difference_from_base(comparison, baseline)
    if gap is None:
        return Claim(claim, "the base model is not in the table", lambda at: "not tested", OWN)
    evidence = _gap_evidence(gap, baseline, "base")
    return Claim(claim, evidence, lambda at: better(difference_from_base(at, baseline)), OWN)
