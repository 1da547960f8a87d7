"""A table of the report: made once as text and written as CSV, LaTeX and HTML from the same cells."""

from __future__ import annotations

import csv
import html
import io
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sheet:
    """A table as text.

    Args:
        name: stem of its files.
        caption: what it shows, one sentence.
        columns, rows: header and cells; a cell is text as the reader sees it.
        raw: the same rows with plain numbers, for the CSV; None writes the text.
        raw_columns: header of `raw`.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    raw_columns: tuple[str, ...] | None = None
    raw: tuple[tuple[object, ...], ...] | None = None

    def csv(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.raw_columns or self.columns)
        writer.writerows(map(_plain, row) for row in (self.raw if self.raw is not None else self.rows))
        return out.getvalue()

    def latex(self) -> str:
        """A booktabs tabular, ready for \\input."""
        lines = [
            f"% {self.caption}",
            "\\begin{tabular}{" + "l" * len(self.columns) + "}",
            "\\toprule",
            " & ".join(map(_latex, self.columns)) + " \\\\",
            "\\midrule",
            *(" & ".join(map(_latex, row)) + " \\\\" for row in self.rows),
            "\\bottomrule",
            "\\end{tabular}",
        ]
        return "\n".join(lines) + "\n"

    def html(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self.rows)
        return (
            f'<table id="table-{self.name}"><caption>{html.escape(self.caption)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def write(self, folder: Path) -> list[Path]:
        """name.csv and name.tex in the folder."""
        paths = [folder / f"{self.name}.csv", folder / f"{self.name}.tex"]
        for path, text in zip(paths, (self.csv(), self.latex()), strict=True):
            path.write_text(text, encoding="utf-8")
        return paths


def _plain(cell: object) -> object:
    """Text that a spreadsheet would take for a formula gets the apostrophe that makes it text there."""
    is_text = isinstance(cell, str) and len(cell) > 1 and not _is_number(cell)
    is_formula = is_text and str(cell)[0] in "=+-@\t\r"
    return f"'{cell}" if is_formula else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_LATEX = {
    "\\": "\\textbackslash{}",
    "{": "\\{",
    "}": "\\}",
    "&": "\\&",
    "%": "\\%",
    "_": "\\_",
    "#": "\\#",
    "$": "\\$",
    "^": "\\^{}",
    "≥": "$\\geq$",
    "≤": "$\\leq$",
    "×": "$\\times$",
    "∞": "$\\infty$",
    "−": "$-$",
    "⁶": "$^6$",
    "<": "$<$",
    ">": "$>$",
    "±": "$\\pm$",
    "~": "\\textasciitilde{}",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
