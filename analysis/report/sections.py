"""The sections of the report, one function each; a figure or table is written to the folder as it is shown."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.claims import rules, verdicts
from analysis.claims.declared import rules_dated
from analysis.figures import diagnostics
from analysis.figures.curves import controls_against_n_problems, error_against_n_problems, multiplier_at_each_size
from analysis.figures.map import gap_figure, map_figure, readable, worth_by_share
from analysis.map import read_map
from analysis.noise.draws import draws
from analysis.report import page, tables
from analysis.report.study import Study
from analysis.sheet import Sheet
from analysis.tables.table import COSTS
from analysis.worth.by_unit import each_unit
from analysis.worth.comparison import Comparison
from analysis.worth.identity import Identity
from analysis.worth.joint import jointly
from analysis.worth.multiplier import Multiplier
from analysis.worth.readings import at_sizes, headline
from analysis.worth.shape import multiplier_curve, shape_of
from analysis.worth.words import count, error_text, shape_text
from sweep.terminal.words import capital


def claims(study: Study, rulings: Sequence[verdicts.Verdict]) -> page.Section | None:
    """The verdicts, their rules, and where the other outcome disagrees."""
    if not rulings:
        return None
    text = page.preformatted(inspect.getdoc(rules) or "")
    dated = rules_dated(study.first.draws.table.provenance).sentence()
    parts = [page.verdict_table(rulings), page.paragraph(dated), page.folded("The rules", text)]
    for name, comparison in list(study.comparisons.items())[1:]:
        again = verdicts.verdicts_of(comparison, study.baseline)
        pairs = zip(again, rulings, strict=True)
        changed = [one for one, first in pairs if one.ruling != first.ruling]
        ending = "are the same." if not changed else "differ here:"
        parts.append(page.paragraph(f"With {name} error in place of {study.first_name} error the verdicts {ending}"))
        if changed:
            parts.append(page.verdict_table(changed, name=f"verdicts-{name}"))
    return page.Section("claims", "Claims", parts)


def curves(study: Study) -> page.Section:
    """The headline figure."""
    comparison = study.first
    shifts = [one for one in study.results[study.first_name] if one.arm in study.main]
    drawn = error_against_n_problems(comparison, study.baseline, shifts, [study.baseline, *study.main])
    caption = (
        f"Test {study.measure} against {comparison.draws.table.x_name}, both logarithmic: means over replicates or "
        f"seeds with {comparison.level:.0%} intervals (small dots: single runs), fitted laws with bands, and the "
        f"horizontal shift to {study.baseline}, at each arm's own {study.measure}: {_read_at(shifts)}. A broken arrow "
        "stops at the largest size that was run: its number is a bound. A "
        f"dotted line joins the points of an arm whose fitted {study.measure} does not fall."
    )
    return page.Section(
        "curves", f"{capital(study.measure)} against size", [study.figure(drawn, "error_against_n_problems", caption)]
    )


def _read_at(shifts: Sequence[Multiplier]) -> str:
    return ", ".join(f"{one.arm} {error_text(one.at_error)}" for one in shifts) or "none"


def multipliers(study: Study) -> page.Section | None:
    """The multiplier tables, and the multiplier at each of an arm's own sizes."""
    if not study.arms:
        return None
    first, out = study.first, []
    for name, found in study.results.items():
        caption = (
            f"{name} {study.measure}: how many of {study.baseline}'s problems one of the arm's is worth; read at the "
            f"geometric middle of the shared range of {study.measure}, or at the best of the arm's own sizes, each at "
            f"the {study.measure} that stands "
            f"beside it. {_held(study.identities[name])}"
        )
        out.append(
            study.sheet(
                tables.multiplier_sheet(
                    f"multipliers_{name}",
                    caption,
                    [*found, study.identities[name].middle],
                    first.draws.table.x_name,
                    study.validation if name == study.first_name else None,
                    [each_unit(study.comparisons[name], m) for m in found] + [None],
                    study.broken,
                    study.measure,
                )
            )
        )
    drawn = multiplier_at_each_size(first, study.baseline, study.main)
    caption = (
        f"The multiplier at each of the arm's own sizes with {first.level:.0%} intervals; an arrow starts at a "
        f"bound and points into the open side. Each is read at the arm's own {study.measure} there: at one size, arms "
        "are read at different ones."
    )
    out.append(study.figure(drawn, "multiplier_at_each_size", caption))
    out.append(page.folded("Every size in numbers", study.sheet(_every_size(study))))
    return page.Section("multipliers", "Multipliers", out)


def _every_size(study: Study) -> Sheet:
    """The multipliers at the arms' own sizes, and the baseline's against itself."""
    first = study.first
    rows = _by_size(first, study.main, study.baseline)
    each = [each_unit(first, m) for m in rows]
    rows += study.identities[study.first_name].by_size
    each += [None] * (len(rows) - len(each))
    caption = (
        f"The multiplier at each of the arm's own sizes, each at the {study.measure} that stands beside it; all arms "
        "at once are those of one size; each by itself is every replicate or seed alone. "
        + _held(study.identities[study.first_name])
    )
    return tables.multiplier_sheet(
        "multipliers_by_size", caption, rows, first.draws.table.x_name, None, each, study.broken, study.measure
    )


def _by_size(comparison: Comparison, arms: Sequence[str], baseline: str) -> list[Multiplier]:
    """Every arm at its sizes, with limits over the arms of each size at once."""
    found = [m for arm in arms for m in at_sizes(comparison, arm, baseline)]
    at = {size: [k for k, m in enumerate(found) if m.at_size == size] for size in {m.at_size for m in found}}
    for places in at.values():
        for k, m in zip(places, jointly([found[k] for k in places]), strict=True):
            found[k] = m
    return found


def _held(identity: Identity) -> str:
    """For a caption: whether the baseline against itself is 1."""
    if identity.broken:
        return f"{identity.middle.arm} does NOT hold 1 at n = {', '.join(map(count, identity.broken))}."
    return f"{identity.middle.arm}, read by the same engine, holds 1 at all of its {len(identity.by_size)} sizes."


def shapes(study: Study) -> page.Section | None:
    """m(e) over the overlap with bands, and whether one number stands for it."""
    first = study.first
    with_curves = [arm for arm in study.main if first.n_sizes(arm) >= 3]
    if not with_curves:
        return None
    found = [multiplier_curve(first, arm, study.baseline) for arm in with_curves]
    drawn_curves = [one for one in found if one is not None]
    parts = []
    if drawn_curves:
        drawn = diagnostics.multiplier_against_error(first, drawn_curves)
        caption = (
            f"m(e) over the shared range of {study.measure}, with pointwise (dark) and simultaneous (light) "
            f"{first.level:.0%} bands. A flat curve means that one number stands for the whole range."
        )
        parts.append(study.figure(drawn, "multiplier_against_error", caption))
    lines = [f"{arm}: {shape_text(shape_of(first, arm, study.baseline))}" for arm in with_curves]
    parts += [page.paragraph(line) for line in lines]
    missing = [arm for arm, one in zip(with_curves, found, strict=True) if one is None]
    if missing:
        parts.append(page.paragraph(f"No shared range of {study.measure} wider than the noise: {', '.join(missing)}."))
    return page.Section("shape", "Is it one number?", parts)


def controls(study: Study) -> page.Section:
    """Paired differences of error between arms and their controls."""
    asked = [(arm, other) for _, arm, other in rules.PAIRS] + [("SFT, more updates", study.baseline)]
    found = [verdicts.difference(study.first, arm, other) for arm, other in asked]
    gaps = [one for one in found if one is not None]
    if not gaps:
        return page.Section("controls", "Controls", [page.paragraph("The table holds no control arms.")])
    drawn = controls_against_n_problems(study.first, study.baseline)
    shown = [] if drawn is None else [study.figure(drawn, "controls", "All arms; controls dashed with open markers.")]
    return page.Section("controls", "Controls", [*shown, study.sheet(tables.difference_sheet(gaps, study.first))])


def costs(study: Study) -> page.Section | None:
    """The same multiplier with what a run and all its upstream stages cost on the axis."""
    table = study.first.draws.table
    trained = table.runs[table.runs["x"] > 0]
    spent = {
        name: {str(arm) for arm, rows in trained.groupby("arm") if _is_axis(rows, name)}
        for cost in COSTS
        if (name := f"total_{cost}") in table.runs and name != table.x_name
    }
    if not any(spent.values()) or not study.arms:
        return None
    results: dict[str, list[Multiplier | None]] = {}
    pictures: list[str] = []
    for name, spenders in spent.items():
        if study.baseline not in spenders:
            results[name] = [None] * len(study.arms)
            continue
        drawn = draws(table.with_x(name), study.options.n_draws, study.options.seed)
        comparison = Comparison(drawn, level=study.options.level, law=study.options.law)
        results[name] = [headline(comparison, arm, study.baseline) if arm in spenders else None for arm in study.arms]
        if not pictures:
            shifts = [one for one in results[name] if one is not None and one.arm in study.main]
            shown = [arm for arm in (study.baseline, *study.main) if arm in spenders]
            picture = error_against_n_problems(comparison, study.baseline, shifts, shown)
            caption = (
                f"Test {study.measure} against {name}: a run and all its upstream stages, each counted once; shifts "
                f"are read at each arm's own {study.measure}: {_read_at(shifts)}."
            )
            pictures.append(study.figure(picture, "error_against_cost", caption))
    sheet = tables.cost_sheet(study.results[study.first_name], results, study.baseline, spent)
    text = (
        f"A multiplier above 1 here means that the arm reaches the {study.measure} with less of the cost than "
        f"{study.baseline}. Pretraining of the base model and evaluation are not counted."
    )
    return page.Section("cost", "What it cost", [study.sheet(sheet), page.paragraph(text, "soft"), *pictures])


def _is_axis(rows: pd.DataFrame, cost: str) -> bool:
    """Whether the runs of an arm, which spend some in every run, have a curve against what they spend."""
    by_size = rows.groupby("size")[cost].mean()
    return bool((rows[cost] > 0).all()) and (len(by_size) == 1 or by_size.nunique() > 1)


def errors(study: Study) -> page.Section:
    title = "Losses" if study.first.draws.table.is_loss else "Errors"
    return page.Section("errors", title, [study.sheet(tables.error_sheet(study.comparisons))])


def fits(study: Study) -> page.Section:
    """Parameters, residuals and held-out errors."""
    first = study.first
    parts = [study.sheet(tables.fit_sheet(first, study.baseline))]
    arms = [arm for arm in (study.baseline, *study.main) if first.n_sizes(arm) >= 3]
    drawn = diagnostics.residuals(first, study.baseline, arms)
    caption = "Residuals of the fitted law in standard errors of the cell; two thirds should lie within the grey band."
    parts.append(study.figure(drawn, "residuals", caption))
    if study.validation is not None:
        parts.append(study.sheet(tables.validation_sheet(study.validation)))
        drawn = diagnostics.held_out_errors(study.validation)
        caption = (
            "Held-out error of each law: fitted to the smaller sizes, read at the larger ones; log error against the "
            "distance of the extrapolation."
        )
        parts.append(study.figure(drawn, "held_out_errors", caption))
        parts.append(page.paragraph(capital(study.validation.says) + "."))
    return page.Section("fits", "Fits", parts)


def map_section(path: str | Path, save: Callable[[Figure, str, str], str]) -> page.Section:
    """The report's: the figures of a map.csv, given the function that keeps a figure and returns its HTML."""
    points = read_map(path)
    study, baseline = points["variant"].iloc[0].replace("_", " "), points["baseline"].iloc[0]
    seeds = " or ".join(map(str, sorted(points["n_seeds"].unique())))
    caption = (
        f"What one problem of an arm is worth in {baseline} problems, one ingredient of {study} (shaded) changed at a "
        f"time; rows by the last arm's worth at the largest size. Bars are {points['level'].iloc[0]:.0%} intervals "
        f"({seeds} replicates or seeds a cell; with one, conditional on that training run), arrows bounds, dotted down "
        "to the limit of their interval; lines at 1, 2 and 8."
    )
    figures = [save(map_figure(points), "map", caption)]
    if points["gap"].notna().any():
        told = f"The same rows by error: each arm's less {baseline}'s, left of the line where it is the better."
        figures.append(save(gap_figure(points), "map_gaps", told))
    if not readable(points, with_share=True).empty:
        caption = (
            f"The same multipliers against what {baseline} gets wrong at that size: the share of "
            f"{points['share_of'].iloc[0]} among the flaws of its greedy test solutions. Open points change how the "
            "arms are trained, filled ones the domain, the teacher or the base."
        )
        figures.append(save(worth_by_share(points), "worth_by_share", caption))
    return page.Section("map", "When are negatives worth 8x?", figures)
