"""The report: every figure, table and verdict of one results table, as files and as one page.

DIR/index.html                  the page, self-contained
DIR/<figure>.{png,svg,pdf}      each figure
DIR/<table>.{csv,tex}           each table
DIR/verdicts.json               claims and rulings, for programs
DIR/made_of.json                what it was made of: the same table, options and code again write nothing
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from analysis.arms import MAIN_ARMS, in_order
from analysis.claims import verdicts
from analysis.noise.draws import draws
from analysis.options import Options, table_of
from analysis.report import colophon, made_of, malformed, of_record, page, predicted, sections
from analysis.report.study import Study
from analysis.tables.collected import SWEEP_Y
from analysis.tables.table import Table
from analysis.worth.comparison import Comparison
from analysis.worth.joint import jointly
from analysis.worth.readings import headline
from analysis.worth.words import error_text, multiplier_text
from sweep.terminal.progress import counted


@dataclass(frozen=True)
class Written:
    """The files of a report, and what its first lines say of the record's prediction; None without a record.

    `is_new`: false where a report of the same table, options and code lay there already and was left as it is.
    """

    page: Path
    files: tuple[Path, ...]
    prediction: str | None
    is_new: bool = True


def write_report(
    path: str | Path,
    out: str | Path,
    options: Options | None = None,
    *,
    map_path: str | Path | None = None,
    record_path: str | Path | None = None,
) -> Written:
    """Write the report of the table at `path` into the folder `out`.

    Args:
        map_path: map.csv of `python -m analysis map`, shown as the first figure.
        record_path: report folder of a larger study, whose verdicts are set beside these; where its table lies there
            too and is in replicates, they predict what is found here.

    Raises:
        ValueError: the table cannot be read, the baseline has no curve, or `out` holds files and no report.
    """
    _refuse_what_is_no_report(Path(out))
    options = options or Options()
    made = made_of.ingredients(path, options, {"map": map_path, "record": record_path})
    if was := made_of.unchanged(Path(out), made):
        files = tuple(Path(out) / name for name in was["files"])
        return Written(files[0], files, was["prediction"], is_new=False)
    report = _made(path, out, options, map_path, record_path)
    made_of.note(Path(out), made, report.files, report.prediction)
    return report


def _made(
    path: str | Path, out: str | Path, options: Options, map_path: str | Path | None, record_path: str | Path | None
) -> Written:
    study = read_study(path, out, options)
    study.out.mkdir(parents=True, exist_ok=True)
    made_of.note(study.out, "", (), None)  # from here on the folder is a report's, also where this one is not finished
    rulings = verdicts.verdicts_of(study.first, study.baseline)
    told = predicted.of_record(study, record_path) if record_path else None
    parts = [
        sections.claims(study, rulings),
        predicted.section(study, told) if told else None,
        of_record.section(rulings, record_path, study.sheet) if record_path else None,
        sections.map_section(map_path, study.figure) if map_path else None,
        *(section(study) for section in counted(SECTIONS, "sections and figures")),
    ]
    title = f"What one problem is worth: {study.first.draws.table.provenance.get('experiment', Path(path).name)}"
    said = predicted.sentence(told) if told else None
    leads = [*([said] if said else []), _lead(rulings, study)]
    text = page.whole_page(title, leads, [one for one in parts if one is not None], malformed.warning(study))
    target, ruled = study.out / "index.html", study.out / "verdicts.json"
    target.write_text(text, encoding="utf-8")
    ruled.write_text(json.dumps([asdict(one) for one in rulings], indent=1) + "\n", encoding="utf-8")
    return Written(target, (target, ruled, *study.written), said)


def _refuse_what_is_no_report(out: Path) -> None:
    """A report replaces files of its own names, such as cost.csv, and may do so where a report was written alone."""
    if made_of.is_note(out / made_of.NAME) or _are_verdicts(out / "verdicts.json"):
        return
    own = [out / name for name in (made_of.NAME, "verdicts.json") if (out / name).exists()]
    others = sorted(path.name for path in out.glob("*.*") if path.suffix in REPLACED and not path.name.startswith("."))
    others += [path.name for path in own]
    if others:
        verb = "was" if len(others) == 1 else "were"
        raise ValueError(
            f"--out {out}: {', '.join(others[:5])} there {verb} not written by `report` (it left no "
            "verdicts.json there): nothing there is replaced; give another folder with --out"
        )


def _are_verdicts(path: Path) -> bool:
    """Whether a file of the verdicts' name holds claims and rulings."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(told, list) and all(isinstance(one, dict) and {"claim", "ruling"} <= one.keys() for one in told)


REPLACED = (".html", ".csv", ".tex", ".png", ".svg", ".pdf")
SECTIONS = (
    sections.curves,
    sections.multipliers,
    sections.shapes,
    sections.controls,
    sections.costs,
    sections.errors,
    malformed.section,
    sections.fits,
    colophon.how,
    colophon.made,
)


def read_study(path: str | Path, out: str | Path, options: Options) -> Study:
    """The table (greedy and sampled, of a sweep's folder), its draws and headline multipliers."""
    from sweep.table import check_writable

    folder = Path(out)
    check_writable(folder, "--out")
    tables = _tables(path, options)
    comparisons = {
        name: Comparison(draws(table, options.n_draws, options.seed), level=options.level, law=options.law)
        for name, table in tables.items()
    }
    table = next(iter(tables.values()))
    table.cells_of(options.baseline)
    arms = in_order(arm for arm in options.of or table.arms if arm != options.baseline)
    results = {
        name: jointly([headline(one, arm, options.baseline) for arm in counted(arms, f"multipliers, {name}")])
        for name, one in comparisons.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    return Study(folder, options, comparisons, arms, results)


def _tables(path: str | Path, options: Options) -> Mapping[str, Table]:
    if Path(path).is_dir() and options.columns.y is None:
        of = {y: dataclasses.replace(options.columns, y=y) for y in SWEEP_Y}
        return {y: table_of(path, dataclasses.replace(options, columns=columns)) for y, columns in of.items()}
    return {"test": table_of(path, options)}


def _lead(rulings: Sequence[verdicts.Verdict], study: Study) -> str:
    results = study.results[study.first_name]
    main = [one for one in results if one.arm in MAIN_ARMS] or list(results)[:4]
    worth = "; ".join(f"{one.arm} {multiplier_text(one)} at {error_text(one.at_error)}" for one in main)
    tally = {ruling: sum(one.ruling == ruling for one in rulings) for ruling in ("held", "not held", "undecided")}
    counted = ", ".join(f"{n} {ruling}" for ruling, n in tally.items())
    first = (
        f"Worth of a problem in {study.baseline} problems at the same test {study.measure}, each at its own: {worth}."
        if main
        else "One arm alone."
    )
    return f"{first} Claims: {counted}." if rulings else first
