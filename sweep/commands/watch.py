"""`python -m sweep watch`: a sweep as a page and in the terminal, for as long as it goes on; it changes nothing."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from sweep.artifacts import Store
from sweep.commands.options import usage
from sweep.commands.words import Line, plan_of
from sweep.interruption import Signalled
from sweep.terminal.progress import is_live
from sweep.view.curves import Curves
from sweep.view.page import Page, check_folder, write
from sweep.view.picture import Picture, Sitter
from sweep.view.screen import Terminal, changes, screen
from sweep.view.serve import Server
from sweep.view.settings import between

EVERY_S, ASKING_SLURM_S, MOST_S = 2.0, 5.0, 60.0  # between two looks: at least; where SLURM is asked; at most
REST = 20  # times the work of a look, so that watching takes a twentieth of a core at the most
AGAIN_S = 10.0  # after which a page is written again where no stage changed: it shows signs of life


def watch_grid(line: Line) -> int:
    """Until all is built, or Ctrl-C; the exit code is 1 where an artifact is corrupted."""
    options = line.options
    if options.terminal and (options.out or options.serve):
        raise ValueError(f"--terminal makes no page, so there is none to put in --out or to --serve; {usage('watch')}")
    if options.port is not None and not options.serve:
        raise ValueError(f"--port {options.port} is where --serve serves: give both; {usage('watch')}")
    if options.between and (options.terminal or options.out or options.serve or options.once):
        raise ValueError(f"--between prints what differs and ends: give it alone; {usage('watch')}")
    plan, exec = plan_of(line.overrides, line.files)
    if options.between:
        print("\n".join(between([run.leaf for run in plan.runs], options.between)))
        return 0
    store = Store(exec.store)
    sitter, paper, is_barred = Sitter(plan, store, exec.sweep_name, exec.rebuild_corrupted), None, False
    with ExitStack() as closing:
        if not options.terminal:
            folder = Path(options.out or f"outputs/{exec.sweep_name}/watch")
            check_folder(folder, store)
            command = f"python -m sweep watch {' '.join(line.words)}".strip()
            server = closing.enter_context(Server(options.port or 0)) if options.serve else None
            paper = Paper(Page(plan, store, command), folder, server)
        try:
            is_barred = _follow(sitter, paper, View(Curves(store), is_once=options.once), is_once=options.once)
        except Signalled as signalled:
            if signalled.exit_code != 130:  # Ctrl-C is how a look is ended
                raise
    return 1 if is_barred else 0


def _follow(sitter: Sitter, paper: Paper | None, view: View, *, is_once: bool) -> bool:
    """Whether an artifact was corrupted at the last look."""
    began = time.monotonic()
    while True:
        worked = time.process_time()
        picture = sitter.picture()
        if paper is not None:
            paper.take(picture)
        view.show(picture)
        if is_once or picture.is_over:
            return picture.is_barred
        least = min(MOST_S, ASKING_SLURM_S + 0.05 * (time.monotonic() - began)) if picture.is_slurm else EVERY_S
        time.sleep(max(least, REST * (time.process_time() - worked)))


class Paper:
    """The page's file, and its address where it is served; both are told once it is there."""

    def __init__(self, page: Page, folder: Path, server: Server | None) -> None:
        self._page, self._folder, self._server = page, folder, server
        self._before: Picture | None = None

    def take(self, picture: Picture) -> None:
        """Write the page where a stage changed, or the page there has become old."""
        before = self._before
        if before is not None and before.stages == picture.stages and picture.when - before.when < AGAIN_S:
            return
        text = self._page.text(picture)
        path = write(self._folder, text)
        if self._server is not None:
            self._server.text = text
        if before is None:
            print(f"page: {path}" + (f", served at {self._server.address}" if self._server else ""), flush=True)
        self._before = picture


class View:
    """The terminal: one picture in the place of the one before, or one line a change where it is none."""

    def __init__(self, curves: Curves, *, is_once: bool) -> None:
        self._curves, self._is_once = curves, is_once
        self._is_live = is_live(sys.stdout)
        self._before: Picture | None = None
        self._drawn: tuple[os.terminal_size, int] | None = None

    def show(self, picture: Picture) -> None:
        if self._is_once:
            lines = self._screen(picture, self._terminal(shutil.get_terminal_size(), is_whole=True))
        elif self._is_live:
            self._draw(picture)
            return
        else:
            lines = changes(self._before, picture)
            self._before = picture
        for text in lines:
            print(text, flush=True)

    def _draw(self, picture: Picture) -> None:
        size = shutil.get_terminal_size()
        lines = self._screen(picture, self._terminal(size))
        above = ""
        if self._drawn is not None:  # a terminal of another size has broken the old lines anew
            above = f"\x1b[{self._drawn[1]}F\x1b[J" if self._drawn[0] == size else "\x1b[H\x1b[2J"
        print(above + "\n".join(lines), flush=True)
        self._drawn = (size, len(lines))

    def _screen(self, picture: Picture, to: Terminal) -> list[str]:
        return screen(picture, to, self._curves.losses(builder.key for builder in picture.running))

    def _terminal(self, size: os.terminal_size, is_whole: bool = False) -> Terminal:
        has_signs = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
        has_colour = self._is_live and not os.environ.get("NO_COLOR")
        height = sys.maxsize if is_whole else max(2, size.lines - 1)
        return Terminal(max(20, size.columns), height, has_colour, has_signs)
