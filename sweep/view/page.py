"""A picture as one HTML file, which carries its own script and style, asks no other host, and runs from a disk.

All that a sweep wrote reaches the page as data, never as markup: JSON in a block that no text can end, put in place by
page.js as text. The page's own policy lets its one script and style run and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweep.artifacts import Store
from sweep.places import check_writable
from sweep.plan import Plan
from sweep.stages import VERSION
from sweep.view.cells import DONE, STATES
from sweep.view.curves import Curve, Curves, thinned
from sweep.view.picture import Builder, Failure, Picture
from sweep.view.remaining import in_words, length
from sweep.view.settings import settings_of

NAME = "index.html"
MARK = '<meta name="generator" content="python -m sweep watch">'  # by which a page is known to be ours
MOST_POINTS, LEAST_POINTS = 48_000, 30  # of all curves of a page together, and of each at the least
HERE = Path(__file__).parent


class Page:
    """The page of one plan, made again for each picture; what no picture changes is encoded once."""

    def __init__(self, plan: Plan, store: Store, command: str) -> None:
        self._plan, self._command = plan, command
        self._curves = Curves(store)
        self._places = {key: place for place, key in enumerate(plan.stages)}
        self._of_plan = ""
        self._encoded: dict[int, tuple[Curve, int, str]] = {}

    def text(self, picture: Picture) -> str:
        """The whole page."""
        if not self._of_plan:
            self._of_plan = as_json({**_of_plan(self._plan, picture, self._places), "command": self._command})
        now = as_json(_of_picture(picture, self._places))
        return whole_page(picture.name, f'{self._of_plan[:-1]},{now[1:-1]},"curves":{self._drawn(picture)}}}')

    def _drawn(self, picture: Picture) -> str:
        """Every stage's curve by its place, as JSON."""
        found = {
            place: curve
            for key, place in self._places.items()
            if key in picture.stages and (curve := self._curves.of(key, picture.stages[key].state == DONE)) is not None
        }
        n = max(LEAST_POINTS, MOST_POINTS // max(1, len(found)))
        return "{" + ",".join(f'"{place}":{self._curve(place, curve, n)}' for place, curve in found.items()) + "}"

    def _curve(self, place: int, curve: Curve, n: int) -> str:
        before = self._encoded.get(place)
        if before is None or before[0] is not curve or (before[1] != n and max(before[1], n) < len(curve.updates)):
            few = thinned(curve, n)
            text = as_json({"x": few.updates, "t": few.seconds, "n": few.n_updates, "y": few.metrics})
            before = self._encoded[place] = (curve, n, text)
        return before[2]


def whole_page(title: str, data: str) -> str:
    """The page with its data, JSON as `as_json` writes it, inside."""
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{MARK}'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{html.escape(title)}: sweep</title><style>{style}</style></head><body>"
        '<noscript>This page is drawn by its own script.</noscript><div id="page"></div>'
        f'<script type="application/json" id="data">{data}</script><script>{script}</script></body></html>\n'
    )


def as_json(data: Any) -> str:
    """JSON that cannot end the block of a page that it stands in, whatever its texts say."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _of_plan(plan: Plan, picture: Picture, place: Mapping[str, int]) -> dict[str, Any]:
    """What of the data no picture changes; stages and settings are told by their places in these lists."""
    packed = settings_of([run.leaf.exp for run in plan.runs])
    the_map = picture.map
    arms, sizes, rests = ({name: n for n, name in enumerate(of)} for of in (the_map.arms, the_map.sizes, the_map.rests))
    return {
        "name": picture.name,
        "store": picture.store,
        "states": STATES,
        "arms": the_map.arms,
        "sizes": the_map.sizes,
        "rests": the_map.rests,
        "keys": list(plan.stages),
        "kinds": [stage.kind for stage in plan.stages.values()],
        "order": [kind for kind in VERSION if any(stage.kind == kind for stage in plan.stages.values())],
        "labels": [picture.labels[key] for key in plan.stages],
        "spots": [
            [arms[s.arm], sizes[s.n_problems], rests[s.rest], [place[key] for key in s.chain]] for s in the_map.spots
        ],
        "policies": [place[run.evaluate.parents["policy"].key] for run in plan.runs],
        "settings": {"names": packed.names, "values": packed.values, "rows": packed.rows},
    }


def _of_picture(picture: Picture, place: Mapping[str, int]) -> dict[str, Any]:
    code = {state: n for n, state in enumerate(STATES)}
    ends = [spot.chain[-1] for spot in picture.map.spots]
    return {
        "when": round(picture.when, 1),
        "is_over": picture.is_over,
        "left": in_words(picture.left),
        "runs": [[code[state], place.get(key, -1)] for state, key in picture.runs],
        "errors": [_error(picture.counts.get(key)) for key in ends],
        "stages": {place[key]: [code[w.state], w.why] for key, w in picture.stages.items()},
        "seconds": {place[key]: [round(s, 1), length(s)] for key, s in picture.seconds.items()},
        "running": [_builder(one, place) for one in picture.running],
        "failures": [_failure(one, place) for one in picture.failures],
        "notes": picture.notes,
    }


def _error(counted: tuple[int, int] | None) -> list[int] | None:
    """Wrong and tested problems of an evaluation."""
    return None if counted is None else [counted[1] - counted[0], counted[1]]


def _builder(one: Builder, place: Mapping[str, int]) -> dict[str, Any]:
    told = {"host": one.host, "user": one.user, "place": one.place, "progress": one.progress, "warning": one.warning}
    return {"stage": place[one.key], "since": one.since, "seen": one.seen, **told}


def _failure(one: Failure, place: Mapping[str, int]) -> dict[str, Any]:
    logs = [{"path": log.path, "text": "\n".join(log.lines), "is_whole": log.is_whole} for log in one.logs]
    return {"stage": place[one.key], "why": one.why, "logs": logs, "n_runs": one.n_runs}


def check_folder(folder: Path, store: Store) -> None:
    """Refuse a folder for the page before any work: not writable, inside the store, or with somebody else's page.

    Raises:
        ValueError: names the folder, and what is there.
    """
    if folder.resolve().is_relative_to(store.root.resolve()):
        raise ValueError(
            f"--out {folder} lies in the store {store.root}, where watch writes nothing; give another folder with --out"
        )
    check_writable(folder, "--out")
    path = folder / NAME
    if os.path.lexists(path) and not _is_ours(path):
        raise ValueError(
            f"--out {folder}: {NAME} there was not written by watch: it is not replaced; give another folder with --out"
        )


def _is_ours(path: Path) -> bool:
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as stream:
        return MARK.encode() in stream.read(400)


def write(folder: Path, text: str) -> Path:
    """Put the page in its folder, whole or not at all for whoever reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    temporary = folder / f".{NAME}.{uuid.uuid4().hex[:8]}"
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
