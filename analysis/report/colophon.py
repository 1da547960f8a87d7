"""The report's last sections: how its numbers were computed, and of what the table was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.notes import Note, note, sorted_notes
from analysis.report import page
from analysis.report.study import Study
from analysis.sheet import Sheet


def how(study: Study) -> page.Section:
    """The checklist of what was fitted, and every note."""
    sheet = Sheet("checklist", "What was fitted, and how.", ("item", "value"), (*_fitted(study), *_drawn(study)))
    of_results = (one for found in study.results.values() for m in found for one in m.notes)
    of_identity = (one for found in study.identities.values() for one in found.notes)
    notes = sorted_notes((*of_identity, *_refuted(study), *study.broken.values(), *of_results))
    return page.Section("how", "How it was computed", [study.sheet(sheet), "<h3>Notes</h3>", page.note_list(notes)])


def _fitted(study: Study) -> tuple[tuple[str, str], ...]:
    """Law, objective and start points."""
    when = " (with floor where both arms have 5 sizes and it could matter, else power)"
    return (
        ("form", study.options.law + (when if study.options.law == "auto" else "")),
        (
            "objective",
            f"weighted least squares on the {study.measure} by variable projection, scaled to O(1); weights: inverse "
            f"variance at the smoothed {study.measure}",
        ),
        ("start points", "slope scanned on 400 points for the data, 48 for each draw; root of the exact derivative"),
        ("dropped points", "none"),
    )


def _drawn(study: Study) -> tuple[tuple[str, str], ...]:
    """Intervals, seeds and test problems, and what was chosen by them."""
    drawn, cells = study.first.draws, study.first.draws.table.cells
    chosen = "follows from sizes and noise, not from how well it fits"
    return (
        (
            "interval",
            f"{drawn.method}; percentiles of {len(drawn.errors):,} draws, seed {study.options.seed}, level "
            f"{study.options.level:g}; the same draws for every arm, law and contrast",
        ),
        (
            "runs a cell",
            f"{int(cells['n_seeds'].min())} to {int(cells['n_seeds'].max())} replicates or seeds; excess seed variance "
            f"{drawn.seeds.phi:.3g} [p(1-p)]^2 on {drawn.seeds.df:g} degrees of freedom, "
            f"{drawn.seeds.phi_shared:.3g} of it common to the runs of a seed",
        ),
        ("test problems", f"{int(cells['n_test'].min()):,}" if "n_test" in cells else "not known"),
        (
            "chosen on the test set",
            f"nothing by this analysis: the law {chosen if study.options.law == 'auto' else 'was given to it'}",
        ),
    )


def _refuted(study: Study) -> tuple[Note, ...]:
    """A warning where a law in use predicts held-out sizes worse than its own noise would."""
    if study.validation is None:
        return ()
    used = {m.law for m in study.results[study.first_name]}
    wrong = [score for score in study.validation.scores if score.is_refuted and score.law in used]
    better = [score.law for score in study.validation.scores if not score.is_refuted]
    text = "{} predicts held-out sizes worse than its own noise would (p = {:.3f}); within the noise: {}"
    return tuple(
        note("law_refuted", text.format(score.law, score.own.p_value, ", ".join(better) or "none")) for score in wrong
    )


def made(study: Study) -> page.Section:
    """Commands, tuning, versions and configuration, as the sweep recorded them."""
    table = study.first.draws.table
    record: Mapping[str, Any] = table.provenance
    if not record:
        text = f"Read from {Path(table.path).name}; the file says nothing of its configuration, versions or commands."
        return page.Section("made", "What it was made of", [page.paragraph(text)])
    rows = tuple(
        tuple(str(one.get(name, "not recorded")) for name in ("what", "on", "n_configurations", "chosen"))
        for one in record.get("tuning", [])
    )
    sheet = Sheet("tuning", "What was tuned on what.", ("what", "on", "configurations tried", "chosen"), rows)
    dirty = " with uncommitted changes" if record.get("is_dirty") else ""
    versions = "\n".join(f"{name} {version}" for name, version in sorted(dict(record.get("versions", {})).items()))
    commands = "\n".join(map(str, record.get("commands", [])))
    commit = record.get("git_commit") or "no commit recorded"
    parts = [
        "<h3>Commands</h3>",
        page.preformatted(commands or "not recorded"),
        "<h3>Tuning</h3>",
        study.sheet(sheet) if rows else page.paragraph("Nothing was tuned, or it was not recorded."),
        page.paragraph(f"Looks at the test set: {looks_text(record)}."),
        "<h3>Versions</h3>",
        page.preformatted(versions or "not recorded"),
        page.paragraph(f"Code: {commit}{dirty}; table created {record.get('created', 'at an unrecorded time')}."),
        "<h3>Configuration</h3>",
        page.preformatted(json.dumps(record.get("config", {}), indent=1, sort_keys=True)),
    ]
    return page.Section("made", "What it was made of", parts)


def looks_text(record: Mapping[str, Any]) -> str:
    """How often the table's test problems were looked at, as its provenance tells."""
    looks = record.get("test_looks")
    if looks is None:
        typed = record.get("n_test_looks")
        return "not recorded" if typed is None else f"{typed}, typed by hand and not counted by the program"
    if not looks["records"]:
        created = str(record.get("created", "an unrecorded time"))[:10]
        missing = f"not counted before {created}: no record of looks came with these runs"
        return missing if looks["n_unrecorded"] else "none: the runs were evaluated on other problems"
    since = max(one["since"] for one in looks["records"])[:10]
    stores = "" if len(looks["records"]) == 1 else f", in {len(looks['records'])} stores, each counted by itself"
    parts = [
        f"{looks['n_evaluations']:,} evaluations on these test problems, counted by the program since {since}{stores}",
        _chosen(looks["n_policies"], looks["n_left_out"]),
    ]
    if looks["n_unrecorded"]:
        parts.append(f"not counted before {since}: {looks['n_unrecorded']:,} of the table's runs are not in the record")
    if n := sum(one["n_unreadable"] for one in looks["records"]):
        parts.append(f"{n:,} lines of the record cannot be read")
    return "; ".join(parts)


def _chosen(n_policies: int, n_left_out: int) -> str:
    if n_policies == 1:
        return "no arm was evaluated with more than one policy at a size and seed, so nothing was chosen on test"
    several = f"up to {n_policies} different policies were evaluated for one arm, size and seed"
    if n_left_out == 0:
        return f"{several}, and the table shows them all"
    return f"{several}, of which the table leaves out up to {n_left_out}: a choice on test cannot be excluded"
