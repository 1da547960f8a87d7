"""A smaller study beside the study of record: do the verdicts agree?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from analysis.claims.verdicts import Verdict
from analysis.report import page
from analysis.sheet import Sheet


def read_verdicts(path: str | Path) -> list[Verdict]:
    """The verdicts.json that the report of the study of record wrote, given the file or its folder.

    Raises:
        ValueError: no such file, or not one of these.
    """
    path = Path(path)
    path = path / "verdicts.json" if path.is_dir() else path
    try:
        return [Verdict(**one) for one in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: the verdicts.json that `python -m analysis report` writes was expected ({error})"
        ) from error


def agreement(mine: str, theirs: str) -> str:
    """Of two rulings on one claim: same, OPPOSITE, or which of them is undecided where the other is not."""
    if mine == theirs:
        return "same"
    decided = {"held", "not held"}
    if {mine, theirs} == decided:
        return "OPPOSITE"
    return f"{mine} here" if mine not in decided else f"{theirs} in the record"


def record_sheet(here: Sequence[Verdict], record: Sequence[Verdict], where: str) -> Sheet:
    """A row a claim that both have."""
    of = {one.claim: one for one in record}
    pairs = [(one, of[one.claim]) for one in here if one.claim in of]
    rows = tuple(
        (one.claim, one.ruling, other.ruling, agreement(one.ruling, other.ruling), other.evidence)
        for one, other in pairs
    )
    caption = f"The claims as ruled here and in the study of record ({where})."
    return Sheet("record", caption, ("claim", "here", "of record", "agree", "evidence of record"), rows)


def section(here: Sequence[Verdict], path: str | Path, keep: Callable[[Sheet], str]) -> page.Section:
    """The report's; `keep` writes a sheet and returns its HTML."""
    sheet = record_sheet(here, read_verdicts(path), str(path))
    return page.Section("record", "Beside the study of record", [keep(sheet)])
