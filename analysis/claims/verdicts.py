"""The paper's claims, each with its ruling and the numbers that decided it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.claims.rules import Difference, Ruling, better, flattens, worth, worth_more
from analysis.held_out import Score, validate
from analysis.intervals import interval
from analysis.worth import readings
from analysis.worth.comparison import Comparison
from analysis.worth.readings import Multiplier
from analysis.worth.words import count, error_text, interval_text, multiplier_text


@dataclass(frozen=True)
class Verdict:
    """A claim, what became of it and the numbers that decided it."""

    claim: str
    ruling: Ruling
    evidence: str
    question: str = "the paper's claim"


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
    """The arm's error less the base model's at each of the arm's sizes."""
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


def worth_evidence(m: Multiplier, times: float, at_sizes: Sequence[Multiplier]) -> str:
    """The number, where it was read, and the sizes that speak against the claim."""
    where = (
        f"at error {error_text(m.at_error)}"
        if m.at_size is None
        else f"at n = {count(m.at_size)}, error {error_text(m.at_error)}"
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
    out = []
    if baseline in arms:
        out += [
            _falls_as_a_power(comparison, baseline),
            _follows_a_law(comparison, baseline),
            _beats_base(comparison, baseline),
        ]
    for arm, times in (("RFT", 2.0), ("per-step DPO", 8.0)):
        claim = f"{arm} is worth {times:g}x {baseline}'s data"
        if arm in arms and baseline in arms:
            m = readings.headline(comparison, arm, baseline)
            strict = comparison.at_level(1 - (1 - comparison.level) / comparison.n_sizes(arm))
            at_sizes = readings.at_sizes(strict, arm, baseline)
            out += [
                Verdict(claim, worth(m, times, at_sizes), worth_evidence(m, times, at_sizes)),
                Verdict(
                    f"{arm} is worth more than 1x",
                    worth_more(m, at_sizes),
                    worth_evidence(m, 1.0, at_sizes),
                    "the weaker question",
                ),
            ]
        else:
            out.append(Verdict(claim, "not tested", f"{arm} or {baseline} is not in the table"))
    for claim, arm, other in PAIRS:
        gap = difference(comparison, arm, other)
        out.append(Verdict(claim, better(gap), _gap_evidence(gap, arm, other)))
    gap = difference(comparison, *MORE_POSITIVES)
    out.append(Verdict("More positives a problem flatten (RFT)", flattens(gap), _gap_evidence(gap, *MORE_POSITIVES)))
    return out


PAIRS: Sequence[tuple[str, str, str]] = (
    ("Standard DPO fails: SFT beats it", "SFT", "DPO"),
    ("Per-step DPO beats standard DPO", "per-step DPO", "DPO"),
    ("Per-step DPO beats DPO on distant pairs", "per-step DPO", "DPO, distant pairs"),
    ("Advantage-filtered RFT beats RFT", "advantage-filtered RFT", "RFT"),
    ("Negatives beat SFT with equally many updates", "per-step DPO", "SFT, more updates"),
    ("Sharpening alone does not explain it", "per-step DPO", "SFT, entropy-matched"),
    ("Pairs at the pit beat pairs at a random step", "per-step DPO", "random-step DPO"),
    ("The chosen side alone does not explain it", "per-step DPO", "chosen steps only"),
    ("The verifier matters (RFT)", "RFT", "RFT without verifier"),
    ("Spurious steps hurt (RFT)", "RFT, sound steps", "RFT, spurious steps"),
)
MORE_POSITIVES = ("RFT, max_solutions_per_problem=16", "RFT, max_solutions_per_problem=4")


def _gap_evidence(gap: Difference | None, arm: str, other: str) -> str:
    if gap is None:
        return f"{arm} and {other} were not run at the same sizes"
    n_better = sum(high < 0 for _, _, high in gap.by_size)
    worse = [count(size) for size, (low, _) in zip(gap.sizes, gap.surely, strict=True) if low > 0]
    return (
        f"{arm} less {other}: {error_text(gap.value)} {interval_text(gap.ci_low, gap.ci_high, error_text)} over "
        f"{len(gap.sizes)} sizes; below 0 on its own at {n_better} of them"
        + (f", surely above 0 at n = {', '.join(worse)}" if worse else "")
    )


def _falls_as_a_power(comparison: Comparison, baseline: str) -> Verdict:
    claim = f"{baseline}'s error falls as a power of n_problems"
    if comparison.n_sizes(baseline) < 3:
        return Verdict(claim, "not tested", f"{baseline} has fewer than 3 sizes")
    fit = comparison.fit(baseline, "power")
    low, high = fit.intervals["b"]
    is_bad = any(one.code == "bad_fit" for one in fit.notes)
    scatter = "residuals exceed the noise" if is_bad else "residuals within the noise"
    if comparison.n_sizes(baseline) >= 4:
        score = validate(comparison.draws, ["power"], of=[baseline]).scores[0]
        is_bad |= score.is_refuted
        scatter += f"; {_held_out_text(score)}"
    ruling: Ruling = "not held" if high <= 0 or (is_bad and low > 0) else "held" if low > 0 else "undecided"
    return Verdict(claim, ruling, f"b = {fit.params['b']:.3f} {interval_text(low, high, '{:.3f}'.format)}; {scatter}")


def _follows_a_law(comparison: Comparison, baseline: str) -> Verdict:
    claim, question = f"{baseline}'s error follows a law", "the weaker question"
    if comparison.n_sizes(baseline) < 4:
        return Verdict(claim, "not tested", f"{baseline} has fewer than 4 sizes", question)
    best = validate(comparison.draws, of=[baseline]).scores[0]
    ruling: Ruling = "not held" if best.is_refuted else "held"
    return Verdict(claim, ruling, f"{best.law}: {_held_out_text(best)}", question)


def _held_out_text(score: Score) -> str:
    where = "beyond" if score.is_refuted else "within"
    return (
        f"errors at held-out sizes {where} the noise (mean z^2 {score.mean_square_z:.2f}, {score.expected:.2f} if the "
        f"law were true, p = {score.p_value:.3f})"
    )


def _beats_base(comparison: Comparison, baseline: str) -> Verdict:
    gap = difference_from_base(comparison, baseline)
    if gap is None:
        return Verdict(f"{baseline} beats the base model", "not tested", "the base model is not in the table")
    return Verdict(f"{baseline} beats the base model", better(gap), _gap_evidence(gap, baseline, "base"))
