"""A picture as lines of a terminal: drawn again in place, or one line a change where there is nobody to look. Pure.

Every text is plain by the time it is here: what a stage printed cannot move the cursor or colour what follows.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from unicodedata import combining, east_asian_width

from sweep.view.cells import DONE, FAILED, LOST, RUNNING, STATES, WAITING
from sweep.view.picture import Picture
from sweep.view.remaining import in_words, length

COLOURS = {DONE: "34", RUNNING: "36;1", FAILED: "31;1", LOST: "35", WAITING: "2"}  # blue and red, told by signs too
SIGNS = {DONE: "\u25a0", RUNNING: "\u25b6", WAITING: "\u00b7", FAILED: "\u2717", LOST: "\u2571"}
ASCII_SIGNS = {DONE: "#", RUNNING: ">", WAITING: ".", FAILED: "x", LOST: "/"}
ORDER = (DONE, RUNNING, WAITING, FAILED, LOST)
BARS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"  # of a curve, low to high
HEAD = "problems"
MOST_LOG_LINES = 6  # of one failure


@dataclass(frozen=True)
class Terminal:
    """What a terminal can show; has_signs: characters beyond ASCII."""

    width: int = 80
    height: int = 24
    has_colour: bool = False
    has_signs: bool = True


class Drawing:
    """Lines of (text, state whose colour it has) pieces, cut to the terminal's width."""

    def __init__(self, to: Terminal) -> None:
        self._to = to
        self.lines: list[str] = []

    def add(self, *pieces: str | tuple[str, str]) -> None:
        """One line."""
        room, out = self._to.width, ""
        for piece in pieces:
            text, state = piece if isinstance(piece, tuple) else (piece, "")
            shown = cut(text if self._to.has_signs else _ascii(text), room)
            room -= width_of(shown)
            out += f"\x1b[{COLOURS[state]}m{shown}\x1b[0m" if state and self._to.has_colour and shown else shown
        self.lines.append(out.rstrip())


def screen(one: Picture, to: Terminal, losses: Mapping[str, Sequence[float]] | None = None) -> list[str]:
    """The picture as at most to.height lines of at most to.width characters.

    Args:
        losses: of what is under way, by key (Curves.losses).
    """
    drawing, signs = Drawing(to), SIGNS if to.has_signs else ASCII_SIGNS
    n_runs, n_stages = one.n_runs, one.n_stages
    counts: list[str | tuple[str, str]] = [f"{one.name}  "]
    for state in (state for state in ORDER if n_runs[state] or state == DONE):
        counts += [(signs[state], state), f" {n_runs[state]} {state}  "]
    drawing.add(*counts)
    n_built, n_all = n_stages[DONE], sum(n_stages.values())
    drawing.add(f"{n_built} of {n_all} stages built at {clock(one.when)}")
    drawing.add(_left(one))
    for note in one.notes:
        drawing.add(note)
    drawing.add("")
    _map(one, drawing, to, signs)
    _running(one, drawing, losses or {}, to.has_signs)
    _failures(one, drawing)
    lines = drawing.lines
    if len(lines) <= to.height:
        return lines
    return [
        *lines[: to.height - 1],
        cut(f"... {len(lines) - to.height + 1} more lines, in a higher terminal", to.width),
    ]


def _map(one: Picture, drawing: Drawing, to: Terminal, signs: Mapping[str, str]) -> None:
    """Arms by sizes: a sign a run; where that is too wide, done of all; where that is too, one column for all sizes."""
    cells: dict[tuple[str, int], dict[str, str]] = {}
    for spot, (state, _) in zip(one.map.spots, one.runs, strict=True):
        cells.setdefault((spot.arm, spot.n_problems), {})[spot.rest] = state
    n, heads = len(one.map.rests), [f"{size:,}" for size in one.map.sizes]
    first = min(max(map(width_of, (*one.map.arms, HEAD))), max(8, to.width // 3)) + 2
    wide = [max(needs, *map(len, heads)) + 2 for needs in (n, len(f"{n}/{n}") + 1)]
    has_signs = first + wide[0] * len(heads) <= to.width
    columns: list[tuple[int, ...]] = [(size,) for size in one.map.sizes]
    if not has_signs and first + wide[1] * len(heads) > to.width:
        heads, columns = ["all sizes"], [one.map.sizes]
    space = wide[0] if has_signs else wide[1]
    drawing.add((padded(HEAD, first) + "".join(padded(word, space) for word in heads)).rstrip())
    for arm in one.map.arms:
        pieces: list[str | tuple[str, str]] = [padded(cut(arm, first - 1), first)]
        for sizes in columns:
            runs = [cells.get((arm, size), {}) for size in sizes]
            found = _signs(runs[0], one.map.rests, signs) if has_signs else _tally(runs, signs)
            pieces += [*found, " " * (space - sum(width_of(text) for text, _ in found))]
        drawing.add(*pieces[:-1])


def _signs(states: Mapping[str, str], rests: Sequence[str], signs: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(signs[states[rest]], states[rest]) if rest in states else (" ", "") for rest in rests]


def _tally(runs: Sequence[Mapping[str, str]], signs: Mapping[str, str]) -> list[tuple[str, str]]:
    """Done of all, and the sign of what a person should look at first."""
    found = Counter(state for cell in runs for state in cell.values())
    worst = next((state for state in (FAILED, LOST, RUNNING) if found[state]), "")
    n = found.total()
    return [(f"{found[DONE]}/{n}", DONE if found[DONE] == n else ""), (signs.get(worst, ""), worst)] if n else []


def _running(one: Picture, drawing: Drawing, losses: Mapping[str, Sequence[float]], has_signs: bool) -> None:
    for builder in one.running:
        took = f", {length(one.when - builder.since)}" if builder.since else ""
        said = "".join(f", {word}" for word in (builder.progress, builder.warning) if word)
        where = f"{builder.host} {builder.place}" if builder.host else builder.place
        if builder is one.running[0]:
            drawing.add("")
        drawing.add(("running", RUNNING), f" {builder.label}: {where}{took}{said}")
        if builder.key in losses:
            drawing.add(f"  loss {_line_of(losses[builder.key], has_signs)}")


def _line_of(values: Sequence[float], has_signs: bool) -> str:
    """A curve in one line: where it began, its course, where it is."""
    low, high = min(values), max(values)
    course = "".join(BARS[int((len(BARS) - 1) * (value - low) / ((high - low) or 1.0))] for value in values)
    return f"{values[0]:.3g} {course if has_signs else 'to'} {values[-1]:.3g}"


def _failures(one: Picture, drawing: Drawing) -> None:
    for failure in one.failures:
        drawing.add("")
        drawing.add(("failed", FAILED), f" {failure.label}: {' '.join(failure.why.split())}")
        for log in failure.logs[:1]:
            drawing.add(f"  {'' if log.is_whole else 'the end of '}{log.path}")
            for line in log.lines[-MOST_LOG_LINES:]:
                drawing.add(f"  | {line}")


def changes(before: Picture | None, now: Picture) -> list[str]:
    """What is new since the picture before, a line each; nothing where nothing changed."""
    lines = []
    if before is not None:
        for key, where in now.stages.items():
            was = before.stages.get(key)
            if was is None or was.state == where.state:
                continue
            more = f" {length(now.seconds[key])}" if where.state == DONE else f": {where.why}" if where.why else ""
            if where.state in (DONE, FAILED, RUNNING):
                lines.append(f"{where.state} {now.labels[key]}{more}")
    if before is None or lines or _counted(before) != _counted(now):
        lines.append(f"{_counted(now)}; {_left(now)}")
        lines += [note for note in now.notes if before is None or note not in before.notes]
    return [f"{clock(now.when)} {' '.join(line.split())}" for line in lines]


def _left(one: Picture) -> str:
    return "all is built" if one.is_over else f"left: {in_words(one.left)}"


def _counted(one: Picture) -> str:
    n_runs, n_stages = one.n_runs, one.n_stages
    more = "".join(f", {n_runs[state]} {state}" for state in STATES if state != DONE and n_runs[state])
    return (
        f"{n_runs[DONE]} of {len(one.runs)} runs done{more}; {n_stages[DONE]} of {sum(n_stages.values())} stages built"
    )


def clock(when: float) -> str:
    """The time of day, here."""
    return time.strftime("%H:%M:%S", time.localtime(when))


def cut(text: str, room: int) -> str:
    """The text, cut where it is wider than `room` columns."""
    if width_of(text) <= room:
        return text
    out, left = "", room - 3
    for character in text:
        left -= width_of(character)
        if left < 0:
            break
        out += character
    return f"{out}..." if room > 3 else "." * max(0, room)


def width_of(text: str) -> int:
    """Columns that a terminal gives a text."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def padded(text: str, width: int) -> str:
    return text + " " * max(0, width - width_of(text))


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()
