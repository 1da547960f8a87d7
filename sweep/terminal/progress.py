"""How far long work has come: a bar on standard error, where a person looks at a terminal, and nothing elsewhere."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

SHOWN_AFTER_S = 1.0  # work that is done sooner needs no bar

T = TypeVar("T")


def is_live(stream: TextIO | None = None) -> bool:
    """Whether a line may be drawn over again on this stream (standard error): a person's terminal, not CI's or a log.

    PROGRESS=off, or `--no-progress`, which sets it for processes that are started too, says no at a terminal as well.
    """
    there = stream or sys.stderr
    is_dumb = os.environ.get("TERM", "") in ("", "dumb")
    return there.isatty() and not is_dumb and not os.environ.get("CI") and os.environ.get("PROGRESS") != "off"


def counted(items: Iterable[T], what: str, n: int | None = None) -> Iterator[T]:
    """The same items, with a bar while they are worked through.

    Args:
        what: the work in two or three words, told in front of the bar.
        n: how many there are, where they are no sequence.
    """
    if not is_live():
        yield from items
        return
    total = n if n is not None else len(items) if isinstance(items, Sized) else None
    with bar(what, total) as shown:
        for one in items:
            yield one
            shown.update()


def bar(what: str, n: int | None) -> tqdm[Any]:
    """The bar alone, for work that is no loop; `update(k)` says that k more of n are done."""
    from tqdm import tqdm  # which most commands never come to

    return tqdm(
        desc=what, total=n, disable=not is_live(), file=sys.stderr, leave=False, delay=SHOWN_AFTER_S, dynamic_ncols=True
    )


class _Off(argparse.Action):
    def __call__(self, *_: object, **__: object) -> None:
        os.environ["PROGRESS"] = "off"


def add_option(parser: argparse.ArgumentParser) -> None:
    """`--no-progress`."""
    told = "no progress bar at a terminal either (PROGRESS=off does the same); in pipes and CI there is none"
    parser.add_argument("--no-progress", action=_Off, nargs=0, default=argparse.SUPPRESS, help=told)
