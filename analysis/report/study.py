"""What the sections of a report read, each worked out once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from matplotlib.figure import Figure

from analysis.arms import MAIN_ARMS
from analysis.figures import style
from analysis.held_out import Validation, validate
from analysis.noise.malformed import Malformed, malformed_note, malformed_of
from analysis.notes import Note
from analysis.options import Options
from analysis.report import page
from analysis.sheet import Sheet
from analysis.worth.comparison import Comparison
from analysis.worth.identity import Identity, identity_of
from analysis.worth.multiplier import Multiplier


@dataclass(eq=False)
class Study:
    """What the sections read: comparisons by outcome (greedy first), arms but the baseline, headline multipliers."""

    out: Path
    options: Options
    comparisons: Mapping[str, Comparison]
    arms: Sequence[str]
    results: Mapping[str, Sequence[Multiplier]]
    written: list[Path] = field(default_factory=list)

    @property
    def baseline(self) -> str:
        return self.options.baseline

    @property
    def first_name(self) -> str:
        return next(iter(self.comparisons))

    @property
    def first(self) -> Comparison:
        return self.comparisons[self.first_name]

    @property
    def measure(self) -> str:
        """What is compared: error or loss."""
        return self.first.draws.table.measure

    @cached_property
    def main(self) -> list[str]:
        """The arms of the headline figure: the paper's, or all of an unknown table's."""
        return [arm for arm in self.arms if arm in MAIN_ARMS] or list(self.arms)

    @cached_property
    def identities(self) -> Mapping[str, Identity]:
        """The baseline against itself, by outcome."""
        return {name: identity_of(one, self.baseline) for name, one in self.comparisons.items()}

    @cached_property
    def validation(self) -> Validation | None:
        return _validation(self.first)

    @cached_property
    def malformed(self) -> tuple[Malformed, ...]:
        """Shares of malformed solutions of the baseline, the arms and the base model; empty where nothing tells."""
        arms = (*self.arms, self.baseline, "base")
        return malformed_of(self.first.draws.table, self.baseline, self.options.level, arms)

    @cached_property
    def broken(self) -> Mapping[str, Note]:
        """What to tell beside each arm that wrote surely more of them than the baseline."""
        rows = {arm: [row for row in self.malformed if row.arm == arm] for arm in self.arms}
        notes = {arm: malformed_note(of_arm, self.baseline) for arm, of_arm in rows.items()}
        return {arm: one for arm, one in notes.items() if one is not None}

    def figure(self, drawn: Figure, name: str, caption: str) -> str:
        self.written += style.save(drawn, self.out / name)
        svg = (self.out / f"{name}.svg").read_text(encoding="utf-8")
        return page.figure(svg[svg.index("<svg") :], caption, name)

    def sheet(self, sheet: Sheet) -> str:
        self.written += sheet.write(self.out)
        return sheet.html()


def _validation(comparison: Comparison, laws: Sequence[str] | None = None) -> Validation | None:
    """The validation of a comparison's table, None where no size can be held out."""
    table = comparison.draws.table
    if max(len(table.cells_of(arm)) for arm in table.arms) < 4:
        return None
    return validate(comparison.draws, laws)
