"""The report: every figure, table and verdict of one results table, as files and as one page.

DIR/report.html                 the page, self-contained
DIR/<figure>.{png,svg,pdf}      each figure
DIR/<table>.{csv,tex}           each table
DIR/verdicts.json               claims and rulings, for programs
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from analysis import figures, page, sheets, style, verdicts
from analysis.multiplier import Comparison, Multiplier
from analysis.notes import sorted_notes
from analysis.read import SWEEP_Y, read
from analysis.resample import draws
from analysis.table import Columns, Table
from analysis.words import multiplier_text


@dataclass(frozen=True)
class Options:
    """What a reader may choose; the same for every command."""

    baseline: str = "SFT"
    law: str = "auto"
    n_draws: int = 4000
    seed: int = 0
    level: float = 0.95


def write_report(
    path: str | Path,
    out: str | Path,
    options: Options | None = None,
    columns: Columns | None = None,
    *,
    is_unpaired: bool = False,
) -> Path:
    """Write the report of the table at `path` into the folder `out`; the page's path.

    Raises:
        ValueError: the table cannot be read, or the baseline has no curve.
    """
    options, out = options or Options(), Path(out)
    tables = _tables(path, columns or Columns(), is_unpaired)
    comparisons = {
        name: Comparison(draws(table, options.n_draws, options.seed), level=options.level, law=options.law)
        for name, table in tables.items()
    }
    first = next(iter(comparisons.values()))
    baseline = options.baseline
    first.draws.table.cells_of(baseline)
    out.mkdir(parents=True, exist_ok=True)
    arms = [arm for arm in style.look(first.draws.table.arms) if arm != baseline]
    ordered = sorted(
        arms, key=lambda arm: (list(style.COLOURS).index(arm) if arm in style.COLOURS else 99, arm)
    )
    results = {name: [one.headline(arm, baseline) for arm in ordered] for name, one in comparisons.items()}
    rulings = verdicts.verdicts(first, baseline)
    parts = _Parts(out)
    sections = [
        _verdict_section(rulings, comparisons, baseline),
        _headline_section(parts, first, baseline, next(iter(results.values()))),
        _multiplier_section(parts, comparisons, results, baseline),
        _control_section(parts, first, baseline),
        _error_section(parts, comparisons, baseline),
        _how_section(first, options, results),
        _made_section(first.draws.table),
    ]
    title = f"What one problem is worth: {first.draws.table.provenance.get('experiment', Path(path).name)}"
    target = out / "report.html"
    target.write_text(
        page.page(title, _lead(rulings, next(iter(results.values())), baseline), sections), encoding="utf-8"
    )
    (out / "verdicts.json").write_text(
        json.dumps([asdict(one) for one in rulings], indent=1) + "\n", encoding="utf-8"
    )
    return target


def _tables(path: str | Path, columns: Columns, is_unpaired: bool) -> dict[str, Table]:
    """Greedy and sampled tables of a sweep's folder; the one table of a file."""
    if Path(path).is_dir() and columns.y is None:
        from dataclasses import replace

        return {y: read(path, replace(columns, y=y), is_unpaired=is_unpaired) for y in SWEEP_Y}
    return {"test": read(path, columns, is_unpaired=is_unpaired)}


class _Parts:
    """Writes a figure or table to the folder and gives its HTML."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def figure(self, figure: Figure, name: str, caption: str) -> str:
        style.save(figure, self.out / name)
        return page.figure(
            (self.out / f"{name}.svg").read_text(encoding="utf-8").partition("<svg")[2].join(["<svg", ""]),
            caption,
            name,
        )

    def sheet(self, sheet: sheets.Sheet) -> str:
        sheet.write(self.out)
        return sheet.html()


def _lead(rulings: Sequence[verdicts.Verdict], results: Sequence[Multiplier], baseline: str) -> str:
    main = [one for one in results if one.arm in style.MAIN_ARMS] or list(results)[:4]
    worth = "; ".join(f"{one.arm} {multiplier_text(one)}" for one in main)
    tally = {
        ruling: sum(one.ruling == ruling for one in rulings) for ruling in ("held", "not held", "undecided")
    }
    counted = ", ".join(f"{n} {ruling}" for ruling, n in tally.items())
    return f"Worth of a problem in {baseline} problems at the same test error: {worth}. Claims: {counted}."


def _verdict_section(
    rulings: Sequence[verdicts.Verdict], comparisons: Mapping[str, Comparison], baseline: str
) -> page.Section:
    rows = [(one.claim, one.question, one.ruling, one.evidence) for one in rulings]
    parts = [
        page.verdict_table(rows),
        page.folded(
            "The rules, declared before any result was seen",
            page.preformatted(inspect.getdoc(verdicts) or ""),
        ),
    ]
    others = list(comparisons.items())[1:]
    for name, comparison in others:
        again = verdicts.verdicts(comparison, baseline)
        changed = [one for one, first in zip(again, rulings, strict=True) if one.ruling != first.ruling]
        parts.append(
            page.paragraph(
                f"With {name} error in place of greedy error the verdicts "
                + ("are the same." if not changed else "differ here:")
            )
        )
        if changed:
            parts.append(
                page.verdict_table(
                    [(one.claim, one.question, one.ruling, one.evidence) for one in changed]
                ).replace('id="verdicts"', f'id="verdicts-{name}"')
            )
    return page.Section("claims", "Claims", parts)


def _headline_section(
    parts: _Parts, comparison: Comparison, baseline: str, results: Sequence[Multiplier]
) -> page.Section:
    main = [one for one in results if one.arm in style.MAIN_ARMS] or list(results)
    drawn = figures.error_against_n_problems(comparison, baseline, main)
    caption = (
        f"Test error against {comparison.draws.table.x_name}, both logarithmic: means over seeds with "
        f"{comparison.level:.0%} intervals (dots: single runs), fitted laws with bands, and the horizontal shift "
        f"to {baseline}. A broken arrow stops at the largest size that was run: its number is a bound. A dotted "
        "line joins the points of an arm whose fitted error does not fall."
    )
    return page.Section(
        "curves", "Error against size", [parts.figure(drawn, "error_against_n_problems", caption)]
    )


def _multiplier_section(
    parts: _Parts,
    comparisons: Mapping[str, Comparison],
    results: Mapping[str, Sequence[Multiplier]],
    baseline: str,
) -> page.Section:
    out = []
    for name, found in results.items():
        sheet = sheets.multiplier_sheet(
            f"multipliers_{name}",
            f"{name} error: how many of {baseline}'s problems one of the arm's is worth; value at "
            "the geometric middle of the shared range of error, or the strongest bound that the sizes run give.",
            found,
            comparisons[name].draws.table.x_name,
        )
        out.append(parts.sheet(sheet))
    first = next(iter(comparisons.values()))
    main = [one.arm for one in next(iter(results.values())) if one.arm in style.MAIN_ARMS]
    if main:
        drawn = figures.multiplier_at_each_size(first, baseline, main)
        out.append(
            parts.figure(
                drawn,
                "multiplier_at_each_size",
                "The multiplier at each of the arm's own sizes with "
                f"{first.level:.0%} intervals; an arrow starts at a bound and points into the open side.",
            )
        )
        rows = [m for arm in main for m in first.at_sizes(arm, baseline)]
        out.append(
            page.folded(
                "Every size in numbers",
                parts.sheet(
                    sheets.multiplier_sheet(
                        "multipliers_by_size",
                        "The multiplier at each of the arm's own sizes.",
                        rows,
                        first.draws.table.x_name,
                    )
                ),
            )
        )
    return page.Section("multipliers", "Multipliers", out)


def _control_section(parts: _Parts, comparison: Comparison, baseline: str) -> page.Section:
    gaps = [verdicts.difference(comparison, arm, other) for _, arm, other in verdicts.PAIRS]
    gaps.append(verdicts.difference(comparison, "SFT, more updates", baseline))
    found = [gap for gap in gaps if gap is not None]
    if not found:
        return page.Section("controls", "Controls", [page.paragraph("The table holds no control arms.")])
    drawn = figures.controls_against_n_problems(comparison, baseline)
    out = (
        []
        if drawn is None
        else [parts.figure(drawn, "controls", "All arms, the controls dashed with open markers.")]
    )
    return page.Section(
        "controls", "Controls", [*out, parts.sheet(sheets.difference_sheet(found, comparison.level))]
    )


def _error_section(parts: _Parts, comparisons: Mapping[str, Comparison], baseline: str) -> page.Section:
    first = next(iter(comparisons.values()))
    named = {("test" if name == "test" else name): one for name, one in comparisons.items()}
    return page.Section(
        "errors",
        "Errors and fits",
        [parts.sheet(sheets.error_sheet(named)), parts.sheet(sheets.fit_sheet(first, baseline))],
    )


def _how_section(
    comparison: Comparison, options: Options, results: Mapping[str, Sequence[Multiplier]]
) -> page.Section:
    drawn = comparison.draws
    cells = drawn.table.cells
    lines = [
        f"interval: {drawn.method}; {len(drawn.errors):,} draws, seed {options.seed}, level {options.level:g}; the same "
        "draws for every arm, law and contrast",
        f"seeds: {int(cells['n_seeds'].min())} to {int(cells['n_seeds'].max())} runs a cell; excess seed variance "
        f"phi = {drawn.phi:.3g} on {drawn.df:g} degrees of freedom",
        f"law: {options.law} (auto: power with floor where both arms have 5 sizes, else power)",
        "objective: weighted least squares on the error by variable projection; slope scanned on 400 starts, root of the "
        "exact derivative; draws refitted from a 48-point scan",
        "points dropped: none",
    ]
    notes = sorted_notes(one for found in results.values() for m in found for one in m.notes)
    return page.Section(
        "how",
        "How it was computed",
        [page.preformatted("\n".join(lines)), "<h3>Notes</h3>", page.note_list(notes)],
    )


def _made_section(table: Table) -> page.Section:
    from_sweep: Mapping[str, Any] = table.provenance
    if not from_sweep:
        return page.Section(
            "made",
            "What it was made of",
            [
                page.paragraph(
                    f"Read from {Path(table.path).name}; the file "
                    "says nothing of its configuration, versions or commands."
                )
            ],
        )
    tuning = [
        (str(one.get("what")), str(one.get("on")), str(one.get("n_configurations")), str(one.get("chosen")))
        for one in from_sweep.get("tuning", [])
    ]
    sheet = sheets.Sheet(
        "tuning", "What was tuned on what.", ("what", "on", "configurations tried", "chosen"), tuple(tuning)
    )
    looks = from_sweep.get("n_test_looks")
    commit = from_sweep.get("git_commit")
    dirty = " with uncommitted changes" if from_sweep.get("is_dirty") else ""
    return page.Section(
        "made",
        "What it was made of",
        [
            "<h3>Commands</h3>",
            page.preformatted("\n".join(map(str, from_sweep.get("commands", []))) or "not recorded"),
            "<h3>Tuning</h3>",
            sheet.html() if tuning else page.paragraph("Nothing was tuned, or it was not recorded."),
            page.paragraph(f"Looks at the test set: {'not recorded' if looks is None else looks}."),
            "<h3>Versions</h3>",
            page.preformatted(
                "\n".join(
                    f"{name} {version}"
                    for name, version in sorted(dict(from_sweep.get("versions", {})).items())
                )
                or "not recorded"
            ),
            page.paragraph(
                f"Code: {commit or 'no commit recorded'}{dirty}; table created {from_sweep.get('created')}."
            ),
            "<h3>Configuration</h3>",
            page.preformatted(json.dumps(from_sweep.get("config", {}), indent=1, sort_keys=True)),
        ],
    )
