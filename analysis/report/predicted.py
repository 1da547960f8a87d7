"""What a study of record in replicates predicts for this table: the page's first sentence, a section, the numbers."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path

from analysis.arms import in_order
from analysis.claims import prediction
from analysis.claims.prediction import Predicted, Prediction
from analysis.noise.draws import draws
from analysis.options import Options, table_of
from analysis.report import page
from analysis.report.study import Study
from analysis.sheet import Sheet
from analysis.tables.collected import SWEEP_Y
from analysis.tables.table import Columns, Table
from analysis.worth.comparison import Comparison
from analysis.worth.words import SIGNS, count, error_text, interval_text, times
from sweep.terminal.words import capital

COLUMNS = ("value", "arm", "of record", "predicted", "predicted, all at once", "here", "lies", "all at once", "read at")
NUMBERS = (
    "value", "arm", "n_record", "n_here", "level", "record", "sd", "low", "high", "joint_low", "joint_high", "here",
    "place", "joint_place", "sizes", "left_out", "at_error", "at_error_here", "bound", "bound_here",
)  # fmt: skip


def of_record(study: Study, path: str | Path) -> Prediction:
    """What the record at `path`, a report's folder with its table or a file in one, predicts for the study."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    here = study.first.draws.table
    nothing = Prediction(study.baseline, study.options.level, 0, max(here.n_replicates, 1))
    if not (folder / "runs.parquet").is_file():
        return dataclasses.replace(nothing, why_not=f"No table lies with the record in {folder}: nothing is predicted.")
    record = _record_table(folder, study.options)
    if (why := prediction.why_not(record, here, study.baseline)) is not None:
        return dataclasses.replace(nothing, n_record=max(record.n_replicates, 1), why_not=why)
    own = prediction.own_replicates(record, here)
    fresh = _comparison(prediction.without_replicates(here, own), study.options) if own else study.first
    known = () if study.options.of else (arm for arm in record.arms if arm != study.baseline)
    arms = in_order({*study.arms, *known})
    return prediction.prediction_of(_comparison(record, study.options), fresh, study.baseline, arms, study.main, own)


def _record_table(folder: Path, options: Options) -> Table:
    """As it was written: filters, columns and the ceiling that were given are of the table here."""
    y = options.columns.y if options.columns.y in SWEEP_Y else None
    return table_of(folder, dataclasses.replace(options, columns=Columns(y=y), ceiling=None))


def _comparison(table: Table, options: Options) -> Comparison:
    return Comparison(draws(table, options.n_draws, options.seed), level=options.level, law=options.law)


def sentence(told: Prediction) -> str:
    """For the first lines: how many values lie inside, and which do not."""
    if told.why_not is not None:
        return told.why_not
    if not told.values:
        return "The record and this table share no arm at a size that every replicate has: nothing is predicted."
    kinds = [[one for one in told.values if one.what == what] for what in ("difference", "multiplier")]
    nouns = (f"differences from {told.baseline}", "headline multipliers")
    counted = [_counted(of_kind, noun) for of_kind, noun in zip(kinds, nouns, strict=True) if of_kind]
    interval = f"the record's {100 * told.level:g} % prediction interval for {_replicates(told.n_here)}"
    said = capital(f"{' and '.join(counted)} lie inside {interval}")
    outside = [_named(one) for one in told.values if one.place == "outside"]
    said += f"; outside: {', '.join(outside)}" if outside else ""
    undecided = [_named(one) for one in told.values if one.place == "undecided"]
    said += f"; undecided, being bounds here: {', '.join(undecided)}" if undecided else ""
    if told.own:
        which = f"replicate {told.own[0]} is" if len(told.own) == 1 else f"replicates {', '.join(told.own)} are"
        said += f"; {which} the record's own and left out"
    return f"{said}."


def _counted(values: Sequence[Predicted], noun: str) -> str:
    n, inside = len(values), sum(one.place == "inside" for one in values)
    return f"all {n} {noun}" if inside == n > 3 else f"{inside} of {n} {noun}"


def _replicates(n: int) -> str:
    return f"{n} replicate{'s' if n > 1 else ''}"


def _named(one: Predicted) -> str:
    """`RFT's difference (inside for all at once)`."""
    together = "" if one.place != "outside" else f" ({one.joint_place} for all at once)"
    return f"{one.arm}'s {one.what}{together}"


def section(study: Study, told: Prediction) -> page.Section:
    """Every value beside its limits; the CSV is written where nothing is predicted too, so that no older one stays."""
    table = study.sheet(prediction_sheet(told))
    parts = [page.paragraph(sentence(told)), *([table] if told.values else [])]
    apart = "; ".join(f"{name} ({why})" for name, why in told.apart)
    parts += [page.paragraph(f"Not compared: {apart}.")] if apart else []
    parts.append(page.folded("How it is predicted", page.preformatted(inspect.getdoc(prediction) or "")))
    return page.Section("prediction", "Inside what the record predicts?", parts)


def prediction_sheet(told: Prediction) -> Sheet:
    """One row a value."""
    rows = tuple(_row(one) for one in told.values)
    raw = tuple(_numbers(told, one) for one in told.values)
    caption = (
        f"What {_replicates(told.n_record)} of the study of record predict for {_replicates(told.n_here)}, at level "
        f"{told.level:g}: the mean difference of error from {told.baseline}, and the headline multiplier, read at the "
        "record's error. Of 95 % intervals one in twenty leaves its value out by chance; a value outside of the limits "
        "for all of its kind at once is found by chance in one table of twenty."
    )
    return Sheet("prediction", caption, COLUMNS, rows, NUMBERS, raw)


def _row(one: Predicted) -> tuple[str, ...]:
    number = error_text if one.what == "difference" else times
    limits, joint = (interval_text(*pair, number) for pair in (one.limits, one.joint))
    record, here = (
        SIGNS[bound] + number(value) for bound, value in zip(one.bounds, (one.record, one.here), strict=True)
    )
    return (one.what, one.arm, record, limits, joint, here, one.place, one.joint_place, _read_at(one))


def _read_at(one: Predicted) -> str:
    if one.at_errors is None:
        missing = f", without {', '.join(map(count, one.left_out))}" if one.left_out else ""
        return f"n = {', '.join(map(count, one.sizes))}{missing}"
    theirs, mine = map(error_text, one.at_errors)
    return f"error {theirs}" if one.at_errors[0] == one.at_errors[1] else f"error {theirs}; here {mine}"


def _numbers(told: Prediction, one: Predicted) -> tuple[object, ...]:
    sizes, left_out = (" ".join(f"{n:g}" for n in several) for several in (one.sizes, one.left_out))
    errors = one.at_errors or (None, None)
    return (
        one.what, one.arm, told.n_record, told.n_here, told.level, one.record, one.sd, *one.limits, *one.joint,
        one.here, one.place, one.joint_place, sizes, left_out, *errors, *one.bounds,
    )  # fmt: skip
