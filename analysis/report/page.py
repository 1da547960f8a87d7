"""The HTML page: one file that carries its own figures and styles and needs no network."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.claims.verdicts import Verdict
from analysis.notes import Note

STYLE = """
:root { --ink:#1f2328; --soft:#59636e; --line:#d9dee3; --held:#00664f; --not:#a63603; --undecided:#6a51a3; }
* { box-sizing: border-box; }
body { font: 16px/1.55 Georgia, "Times New Roman", serif; color: var(--ink); max-width: 60rem; margin: 0 auto;
  padding: 2rem 1.2rem 4rem; background: #fff; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem;
  border-bottom: 1px solid var(--line); padding-bottom: .2rem; }
p.lead { font-size: 1.08rem; } p.soft, figcaption, caption, .soft { color: var(--soft); font-size: .9rem; }
figure { margin: 1rem 0; } figure svg { width: 100%; height: auto; display: block; }
table { border-collapse: collapse; width: 100%; font-size: .86rem; margin: .8rem 0; display: block; overflow-x: auto; }
caption { text-align: left; padding-bottom: .4rem; display: table-caption; }
th, td { text-align: left; padding: .32rem .7rem .32rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; border-bottom: 1.5px solid var(--ink); white-space: nowrap; }
td { font-variant-numeric: tabular-nums; }
.ruling { font-weight: 700; white-space: nowrap; } .held { color: var(--held); } .not-held { color: var(--not); }
.undecided { color: var(--undecided); } .not-tested { color: var(--soft); }
pre { background: #f6f8fa; padding: .8rem 1rem; overflow-x: auto; font: .8rem/1.45 ui-monospace, Menlo, monospace; }
nav { font-size: .9rem; margin: .6rem 0 0; } nav a { margin-right: 1rem; color: #0b5cad; }
ul.notes { padding-left: 1.1rem; font-size: .9rem; } .serious { color: var(--not); font-weight: 600; }
.warning { color: #7a4a00; } details summary { cursor: pointer; color: #0b5cad; }
@media print { body { max-width: none; } details { display: block; } }
"""


@dataclass(frozen=True)
class Section:
    """A heading, its anchor and its HTML parts."""

    anchor: str
    title: str
    parts: Sequence[str]


def whole_page(title: str, leads: Sequence[str], sections: Sequence[Section], warning: str | None = None) -> str:
    """The whole page as text; a warning stands above everything else that the page says, then a paragraph a lead."""
    said = (paragraph(warning, "warning") if warning else "") + "".join(paragraph(lead, "lead") for lead in leads)
    links = "".join(f'<a href="#{one.anchor}">{html.escape(one.title)}</a>' for one in sections)
    body = "".join(
        f'<section id="{one.anchor}"><h2>{html.escape(one.title)}</h2>{"".join(one.parts)}</section>'
        for one in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<header><h1>{html.escape(title)}</h1>{said}<nav>{links}</nav></header>"
        f"<main>{body}</main></body></html>\n"
    )


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{html.escape(text)}</p>' if kind else f"<p>{html.escape(text)}</p>"


def figure(svg: str, caption: str, name: str) -> str:
    """An inline figure; its ids are made its own, so that two figures of a page do not share one."""
    own = svg.replace('id="', f'id="{name}-').replace('xlink:href="#', f'xlink:href="#{name}-')
    own = own.replace("url(#", f"url(#{name}-")
    label = f'<svg role="img" aria-label="{html.escape(caption, quote=True)}"'
    drawn, said = own.replace("<svg", label, 1), html.escape(caption)
    return f'<figure id="figure-{name}">{drawn}<figcaption>{said}</figcaption></figure>'


def preformatted(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"


def folded(summary: str, inner: str) -> str:
    return f"<details><summary>{html.escape(summary)}</summary>{inner}</details>"


def verdict_table(rulings: Sequence[Verdict], name: str = "verdicts") -> str:
    body = "".join(
        f'<tr><td>{html.escape(one.claim)}<br><span class="soft">{html.escape(one.question)}</span></td>'
        f'<td class="ruling {one.ruling.replace(" ", "-")}">{html.escape(one.ruling)}</td>'
        f'<td class="ruling {one.corrected.replace(" ", "-")}">{html.escape(one.corrected)}</td>'
        f"<td>{html.escape(one.evidence)}</td></tr>"
        for one in rulings
    )
    head = "<thead><tr><th>claim</th><th>verdict</th><th>corrected for all claims</th><th>evidence</th></tr></thead>"
    return f'<table id="{name}">{head}<tbody>{body}</tbody></table>'


def note_list(notes: Sequence[Note]) -> str:
    if not notes:
        return paragraph("None.")
    return (
        '<ul class="notes">'
        + "".join(
            f'<li><span class="{one.severity}">{one.severity}</span> <code>{one.code}</code>: '
            f"{html.escape(one.text)}</li>"
            for one in notes
        )
        + "</ul>"
    )
