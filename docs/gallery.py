"""docs/gallery.md and its pictures, drawn from the tables of record: python docs/gallery.py [FOLDER]

Each section ends with the table that it was drawn from and the first digits of its hash, by which a test tells whether
the table is still that one.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from pathlib import Path

from PIL import Image

from analysis.gallery.entries import PaperFigure
from analysis.gallery.registry import FIGURES
from analysis.gallery.runs_of import table_of
from analysis.gallery.write import title_of, write_gallery

ROOT = Path(__file__).parents[1]
N_COLOURS = 256  # of a picture: bands over bands have many, and a page with them all should stay small
HEAD = """# The paper's figures

Drawn by `make pictures` from the tables of record. Captions, intervals and rulings are computed from those tables, each
by the rule at the head of its file in `analysis/gallery/`; what the paper shows, the commands and times are in
[The figures, one by one](reproducing.md).
"""


def table_line(one: PaperFigure) -> str:
    """The table of record that the figure is drawn from, and the hash of its files; empty where it is of a plan."""
    if one.runs is None:
        return ""
    table = table_of(one.runs, {})
    if table is None:
        return ""
    files, digest = {table / one.runs.table, *table.rglob("*.parquet")}, hashlib.sha256()
    for file in sorted(files):
        digest.update(file.relative_to(table).as_posix().encode() + b"\0" + file.read_bytes())
    return f"Table: `{table.relative_to(ROOT).as_posix()}` ({digest.hexdigest()[:12]})."


def section(one: PaperFigure, drawn: Path) -> str:
    """The figure under its title, its caption and its table; what is not run says so."""
    caption = drawn / f"{one.name}.txt"
    if not caption.is_file():
        return f"## {title_of(one)}\n\n{one.shows}\n\nNot run at full scale yet.\n"
    said = caption.read_text(encoding="utf-8").strip()
    parts = [f"## {title_of(one)}", f"![{one.shows}](figures/{one.name}.png)", said, table_line(one)]
    return "\n\n".join(part for part in parts if part) + "\n"


def written(out: Path) -> None:
    """The page and its pictures below `out`."""
    (out / "figures").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as there:
        os.chdir(there)  # where no table of one's own lies
        drawn = Path(there) / "gallery"
        write_gallery(drawn)
        for one in FIGURES:
            if (drawn / f"{one.name}.png").is_file():
                with Image.open(drawn / f"{one.name}.png") as picture:
                    small = picture.convert("RGB").quantize(N_COLOURS, dither=Image.Dither.NONE)
                small.save(out / "figures" / f"{one.name}.png", optimize=True)
        page = "\n".join([HEAD, *(section(one, drawn) for one in FIGURES)])
        (out / "gallery.md").write_text(page, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="docs/gallery.md and its pictures, from the tables of record")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "docs", help="where to write both (docs)")
    written(parser.parse_args().folder.resolve())
