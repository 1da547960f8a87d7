"""Ctrl-C, TERM and a terminal that hangs up: one ending of a command, however many of them come and whenever.

The first raises `Signalled`, or is noted where a loop asks for that, and ends the command with 128 + its number.
Those that follow at once are the same wish and change nothing; one that comes later, when the end is stuck, ends
the process there and then. A signal that is ignored when the command starts (nohup, a background job of a script)
stays ignored.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE_S = 3.0  # after the first signal, before another one ends the process whatever it does


class Signalled(KeyboardInterrupt):
    """The command was asked to end by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class Asked:
    """The first signal that came, once one did; becomes readable then, for a loop that waits on files."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._reader, self._writer = os.pipe()

    def fileno(self) -> int:
        return self._reader

    def note(self, number: int) -> None:
        """As a signal's handler does."""
        self.number = number
        os.write(self._writer, b"!")

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


def end_at_once(message: str) -> None:
    """From now on the first of the signals ends the process with this message; for a time without anything to save."""

    def first(number: int, frame: FrameType | None) -> None:
        os.write(2, f"{message}\n".encode())
        os._exit(128 + number)

    _handle(first)


def raise_once() -> None:
    """From now on the first of the signals raises `Signalled` in the main thread."""

    def first(number: int, frame: FrameType | None) -> None:
        _wait_for_the_end()
        raise Signalled(number)

    _handle(first)


@contextmanager
def noted() -> Iterator[Asked]:
    """Inside, a signal is only noted, so that the loop inside ends where its books are in order.

    Nothing can be noted outside the main thread, which has the signals.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        asked.close()
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def first(number: int, frame: FrameType | None) -> None:
        _wait_for_the_end()
        asked.note(number)

    _handle(first)
    try:
        yield asked
    finally:
        if asked.number is None:
            for number, handler in before.items():
                signal.signal(number, handler)
        asked.close()


def ignore() -> None:
    """The command has said its last word: nothing interrupts the interpreter's own end."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _wait_for_the_end() -> None:
    began = time.monotonic()

    def again(number: int, frame: FrameType | None) -> None:
        if time.monotonic() - began > PATIENCE_S:
            os._exit(128 + number)

    _handle(again)


def _handle(handler: signal._HANDLER) -> None:
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
