"""The gallery: every figure of the registry as files, and one page with them all.

OUT/index.html                 the page, self-contained, in the look of the report
OUT/<name>.{pdf,png,svg}       each figure, 3.25 or 6.75 inches wide
OUT/<name>.csv, <name>.txt     its data and its caption
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.figures.style import save
from analysis.gallery.entries import FULL, QUICK, PaperFigure, Runs, View
from analysis.gallery.registry import FIGURES
from analysis.gallery.runs_of import plan_text, planned, table_of
from analysis.report import page
from sweep.terminal.progress import counted
from sweep.terminal.words import capital, count, nearest

TITLE = "The paper's figures, from runs of our own"
LEAD = (
    "Each figure is drawn from the table that is named under it; captions, intervals and rulings are computed from "
    "that table. A figure whose runs are not there shows the commands that make them, and no picture."
)


PROVES_NOTHING = (
    "Scale quick: a small domain, few updates, one or two replicates. A figure shows that its stages run and that it "
    "can be drawn; what it says of the claim is worth nothing."
)


def commands(only: Sequence[str] = (), scale: str = FULL) -> list[str]:
    """What makes the tables that are not there, in the order of the figures (those named, or all), each once."""
    needed = [one.runs for one in _chosen(only) if one.runs and table_of(one.runs, {}, scale) is None]
    return list(dict.fromkeys(line for runs in needed for line in runs.script(scale)))


def write_gallery(
    out: str | Path,
    *,
    only: Sequence[str] = (),
    tables: Mapping[str, Path] | None = None,
    n_draws: int = 4000,
    scale: str = FULL,
) -> list[Path]:
    """Write the figures (those named, or all) into `out`; the page is the first of the files returned.

    Args:
        tables: experiment to the folder of a table that is to be read in place of what is found.
        n_draws: for the intervals.
        scale: fresh reads no table of record; quick those of the small experiments, and every caption says what they
            are worth.
    Raises:
        ValueError: an unknown figure or experiment, nothing can be written there or another page would be lost; or,
            when all others are drawn, one that was asked for by name cannot be (of all figures its place says so).
    """
    from sweep.table import check_writable

    folder, chosen = Path(out), _chosen(only)
    check_writable(folder, "--out")
    _refuse_what_is_no_gallery(folder, chosen)
    known = {one.runs.name for one in FIGURES if one.runs}
    if unknown := sorted(set(tables or {}) - known):
        like = nearest(unknown[0], known)
        raise ValueError(
            f"--table {unknown[0]}=...: no figure reads it{like}; the tables are {', '.join(sorted(known))}"
        )
    found = {one.name: table_of(one.runs, tables or {}, scale) if one.runs else None for one in chosen}
    index = _begun(folder)
    written: list[Path] = []
    how = _How(folder, n_draws, scale)
    sections = [_section(one, found[one.name], how, written) for one in counted(chosen, "figures")]
    lead = [PROVES_NOTHING, LEAD] if scale == QUICK else [LEAD]
    index.write_text(page.whole_page(TITLE, lead, sections), encoding="utf-8")
    if how.not_drawn and only:
        raise ValueError(_not_drawn_told(how.not_drawn, len(chosen), index))
    return [index, *written]


def _not_drawn_told(not_drawn: Mapping[str, str], n: int, index: Path) -> str:
    whys = "; ".join(f"{name}: {why}" for name, why in not_drawn.items())
    others = f"; what can be drawn is in {index}" if len(not_drawn) < n else ""
    return f"{len(not_drawn)} of {count(n, 'figure')} cannot be drawn, {whys}{others}"


def _begun(folder: Path) -> Path:
    """The page, which makes the folder ours from now on, also where not all is drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / "index.html"
    if not index.exists():
        index.write_text(page.whole_page(TITLE, ["These figures are being drawn."], []), encoding="utf-8")
    return index


def _refuse_what_is_no_gallery(folder: Path, chosen: Sequence[PaperFigure]) -> None:
    """Files of the figures' names are replaced where a page of ours lies beside them, and there alone."""
    index = folder / "index.html"
    if index.is_file() and html.escape(TITLE) in index.read_text(encoding="utf-8", errors="replace"):
        return
    others = [f"{one.name}{suffix}" for one in chosen for suffix in (".csv", ".txt", ".png", ".svg", ".pdf")]
    if there := [name for name in ("index.html", *others) if (folder / name).exists()]:
        raise ValueError(
            f"--out {folder}: {there[0]} there was not written by `figures`: it is not replaced; give another folder "
            "with --out"
        )


def _chosen(only: Sequence[str]) -> list[PaperFigure]:
    names = [one.name for one in FIGURES]
    if unknown := [name for name in only if name not in names]:
        like = nearest(unknown[0], names)
        raise ValueError(f"--only {unknown[0]}: no such figure{like}; the figures are {', '.join(names)}")
    return [one for one in FIGURES if not only or one.name in only]


@dataclass(frozen=True)
class _How:
    """Into which folder, with how many draws, at which scale; and of each figure that could not be drawn, why."""

    folder: Path
    n_draws: int
    scale: str
    not_drawn: dict[str, str] = field(default_factory=dict)


def title_of(one: PaperFigure) -> str:
    """`Figure 2a, 2b: sft and rft`."""
    place = f"Figure {one.number}" if one.number[0].isdigit() else capital(one.number)
    return f"{place}: {one.name.replace('_', ' ')}"


def _section(one: PaperFigure, table: Path | None, how: _How, written: list[Path]) -> page.Section:
    parts = [page.paragraph(one.shows)]
    if one.view is not None and one.plans:
        plan = {"grid": " ".join(one.plans)}
        parts += _tried(one, lambda view: _drawn(one, view, planned(one.plans) | plan, how, written), how)
        parts.append(page.folded("The plan", page.preformatted(f"python -m sweep plan -m {' '.join(one.plans)}")))
    elif one.view is None or one.runs is None:
        parts.append(page.paragraph(f"Not drawn yet. It needs: {one.needs}", "soft"))
    elif table is None:
        parts += _not_run(one.runs, how.scale)
    else:
        parts += _tried(one, lambda view: _drawn(one, view, table, how, written), how)
        parts.append(page.paragraph(f"Table: {table}.", "soft"))
        parts.append(
            page.folded("The runs, and the commands that make them", page.preformatted(_lines(one.runs, how.scale)))
        )
    return page.Section(one.name, title_of(one), parts)


def _tried(one: PaperFigure, drawn: Callable[[View[Any]], list[str]], how: _How) -> list[str]:
    """The figure's HTML, or why there is none."""
    assert one.view is not None
    try:
        return drawn(one.view)
    except ValueError as error:
        how.not_drawn[one.name] = str(error)
        return [page.paragraph(f"Not drawn: {error}", "warning")]


def _not_run(runs: Runs, scale: str) -> list[str]:
    """The commands, and what the first of them will do."""
    told = plan_text(planned(runs.grid(scale))) if runs.is_sweep else "a few seconds"
    made = page.preformatted(_lines(runs, scale))
    return [page.paragraph(f"Its runs are not there yet ({told}). They are made by:"), made]


def _lines(runs: Runs, scale: str) -> str:
    more = "" if scale == FULL else f" --scale {scale}"
    return "\n".join([*runs.lines(scale), f"python -m analysis figures{more}"])


def _drawn(one: PaperFigure, view: View[Any], source: Any, how: _How, written: list[Path]) -> list[str]:
    """The picture, its data and caption as files, and their HTML."""
    folder, given = how.folder, view.read(source, how.n_draws)
    said = view.caption(given)
    caption = f"{PROVES_NOTHING} {said}" if how.scale == QUICK and not one.plans else said
    files = save(view.draw(given), folder / one.name)
    data, text = folder / f"{one.name}.csv", folder / f"{one.name}.txt"
    view.data(given).to_csv(data, index=False)
    text.write_text(f"{caption}\n", encoding="utf-8")
    written += [*files, data, text]
    svg = (folder / f"{one.name}.svg").read_text(encoding="utf-8")
    named = page.paragraph(f"Files: {', '.join(path.name for path in (*files, data, text))}.", "soft")
    return [page.figure(svg[svg.index("<svg") :], caption, one.name), named]
