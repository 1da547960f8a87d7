"""The report's share of malformed solutions: a table, and the warning at its top."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence

from analysis.arms import in_order
from analysis.noise import malformed
from analysis.noise.malformed import MARGIN, Malformed
from analysis.report import page
from analysis.report.study import Study
from analysis.sheet import Sheet
from analysis.worth.words import count, interval_text


def section(study: Study) -> page.Section | None:
    """Share and entropy of every arm and size; None where the table does not tell."""
    if not study.malformed:
        return None
    rule = page.folded("When an arm is named", page.preformatted(inspect.getdoc(malformed) or ""))
    parts = [study.sheet(malformed_sheet(study.malformed, study.baseline)), rule]
    return page.Section("malformed", "Malformed solutions", parts)


def malformed_sheet(rows: Sequence[Malformed], baseline: str) -> Sheet:
    """One row an arm and size, the base model first."""
    order = in_order({row.arm for row in rows})
    rows = sorted(rows, key=lambda row: (order.index(row.arm), row.size))
    columns = ("arm", "n_problems", "malformed", f"minus {baseline}", "named", "entropy")
    text = [
        (row.arm, count(row.size), f"{row.share:.1%}", _gap(row), _named(row),
         "not kept" if math.isnan(row.entropy) else f"{row.entropy:.2f}")
        for row in rows
    ]  # fmt: skip
    numbers = ("difference", "ci_low", "ci_high", "n_units", "n_broken", "entropy")
    raw = [
        (row.arm, row.size, row.share,
         *((gap.value, gap.low, gap.high, gap.n_units, len(gap.broken)) if (gap := row.gap) else (None,) * 5),
         row.entropy)
        for row in rows
    ]  # fmt: skip
    caption = (
        "Share of greedy test solutions that were cut short, have no final answer or hold a step that cannot be read, "
        f"its difference from {baseline} at the same size over replicates (or seeds), and the entropy of sampled "
        "solutions in nats."
    )
    return Sheet("malformed", caption, columns, tuple(text), (*columns[:3], *numbers), tuple(raw))


def _gap(row: Malformed) -> str:
    if row.gap is None:
        return ""
    limits = f" {interval_text(row.gap.low, row.gap.high, '{:.1%}'.format)}" if math.isfinite(row.gap.low) else ""
    return f"{row.gap.value:+.1%}{limits}"


def _named(row: Malformed) -> str:
    if row.gap is None or not row.is_broken:
        return ""
    return "yes" if row.gap.low > MARGIN else f"in {len(row.gap.broken)} of {row.gap.n_units} {row.gap.unit}s"


def warning(study: Study) -> str | None:
    """For the top of the report: which arms wrote surely more of them than the baseline, each at its worst size."""
    told = []
    for arm in in_order(study.broken):
        worst = max((row for row in study.malformed if row.arm == arm and row.is_broken), key=lambda row: row.share)
        named = _named(worst)
        told.append(f"{arm} ({worst.share:.0%} at {count(worst.size)}{'' if named == 'yes' else f', {named}'})")
    if not told:
        return None
    return (
        f"Warning: surely more malformed solutions than {study.baseline}'s at the same size: {'; '.join(told)}. There "
        "the policy broke, and what the arm is worth may reflect its settings rather than its data."
    )
