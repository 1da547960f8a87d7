"""Whether a model's answer says the same as the reference, found out in processes that are killed where it takes long.

Equal text is equal. Otherwise math-verify, or a function of the user's, compares the two in one of a few processes
(`equality_worker.py`); one that needs more time or memory than allowed, or dies, is replaced, and its verdict is that
the answers are not equal.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from json import dumps
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO

EQUAL, DIFFERENT = "equal", "different"
OUT_OF_TIME, OUT_OF_MEMORY, CRASHED, TOO_LONG = "out_of_time", "out_of_memory", "crashed", "too_long"
UNDECIDED = (OUT_OF_TIME, OUT_OF_MEMORY, CRASHED, TOO_LONG)

PROGRAM = Path(__file__).with_name("equality_worker.py")
MOST_PROCESSES = 8
MOST_KNOWN = 500_000  # pairs whose outcome is remembered
START_LIMIT_S = 600.0  # imports from a slow file system included
WALL_FACTOR = 12.0  # of the time on a processor, where others want the processors too

Pair = tuple[str, str]  # reference, answer


@dataclass(frozen=True)
class Limits:
    """What one comparison may take: time on a processor, memory, and characters of the answer."""

    seconds: float
    megabytes: int
    n_characters: int


@dataclass(eq=False)
class _Process:
    """One worker: ready for a pair, or busy with `pair` until `deadline` on the clock `time.monotonic`."""

    process: subprocess.Popen[str]
    words: IO[bytes]
    deadline: float
    pair: Pair | None = None
    is_ready: bool = False

    @property
    def output(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    def ask(self, pair: Pair, seconds: float) -> None:
        assert self.process.stdin is not None
        self.pair, self.deadline = pair, time.monotonic() + seconds
        with suppress(OSError):  # it died waiting; its end is read as that of any other
            self.process.stdin.write(dumps(pair) + "\n")
            self.process.stdin.flush()

    def heard(self) -> str:
        """Its next line, empty where it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> int:
        """Kill it; its exit status."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with suppress(OSError):  # a request that nobody read
                pipe.close()
        return self.process.wait()

    def last_words(self) -> str:
        self.words.seek(0)
        return self.words.read().decode(errors="replace").strip()[-500:]


@dataclass
class Equality:
    """Compares answers within limits; remembers what it has compared.

    Args:
        program: a script that reads and writes the lines of `equality_worker.py`.
        function: `module:name` of a function of (reference, answer) that is asked in place of math-verify, about equal
            texts too.
    """

    limits: Limits
    program: Path = PROGRAM
    function: str | None = None
    _known: dict[Pair, str] = field(default_factory=dict)
    _processes: list[_Process] = field(default_factory=list)

    def outcomes(self, pairs: Sequence[Pair]) -> list[str]:
        """For each (reference, answer), both normalised: equal, different, or why that could not be decided.

        Raises:
            RuntimeError: no worker can be started.
        """
        plain = {pair: self._without_asking(pair) for pair in pairs}
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        self._ask([pair for pair, outcome in plain.items() if outcome is None and pair not in self._known])
        return [plain[pair] or self._known[pair] for pair in pairs]

    def close(self) -> None:
        """End the processes; the next comparison starts new ones."""
        while self._processes:
            self._processes.pop().end()

    def _without_asking(self, pair: Pair) -> str | None:
        reference, answer = pair
        if reference == answer and self.function is None:
            return EQUAL
        return TOO_LONG if len(answer) > self.limits.n_characters else None

    def _ask(self, pairs: Iterable[Pair]) -> None:
        """Have each pair compared by the next process that is free."""
        waiting = deque(pairs)
        self._dismiss_dead()
        try:
            while waiting or any(one.pair for one in self._processes):
                n_wanted = min(n_processes(), len(waiting) + sum(one.pair is not None for one in self._processes))
                while len(self._processes) < n_wanted:
                    self._processes.append(self._started())
                for one in self._processes:
                    if one.is_ready and one.pair is None and waiting:
                        one.ask(waiting.popleft(), WALL_FACTOR * self.limits.seconds)
                self._listen()
        except BaseException:  # a pair left half asked would answer the next question
            self.close()
            raise

    def _started(self) -> _Process:
        words = tempfile.TemporaryFile()  # noqa: SIM115  # what it prints when it dies
        of_user = [] if self.function is None else [self.function]
        process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                str(self.program),
                str(self.limits.seconds),
                str(self.limits.megabytes * 2**20),
                *of_user,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            # SymPy's orders of sets, and with them its roads; a function of the user's is found as by this process
            env={**os.environ, "PYTHONHASHSEED": "0", **({"PYTHONPATH": os.pathsep.join(sys.path)} if of_user else {})},
            start_new_session=True,  # Ctrl-C is for the stage, which ends these itself
        )
        return _Process(process, words, time.monotonic() + START_LIMIT_S)

    def _dismiss_dead(self) -> None:
        """Forget those that ended while they had nothing to do."""
        for one in [one for one in self._processes if one.process.poll() is not None]:
            self._processes.remove(one)
            one.end()

    def _listen(self) -> None:
        """Wait for an answer, an end or a deadline, and take note of each."""
        expected = [one for one in self._processes if one.pair or not one.is_ready]
        timeout = max(0.0, min(one.deadline for one in expected) - time.monotonic())
        told = wait([one.output for one in expected], timeout)
        for one in expected:
            if one.output in told:
                self._note(one, one.heard())
            elif time.monotonic() >= one.deadline:
                self._note(one, "")

    def _note(self, one: _Process, said: str) -> None:
        if said and not one.is_ready:
            one.is_ready = True
            return
        if said:
            assert one.pair is not None
            self._known[one.pair], one.pair = said, None
        if not said or said == OUT_OF_MEMORY:
            is_late = time.monotonic() >= one.deadline
            self._processes.remove(one)
            status = one.end()
            if not one.is_ready:
                raise RuntimeError(
                    f"answers are compared by {self.function or 'math-verify'} in processes of their own, and none "
                    f"starts (exit status {status}): {one.last_words() or 'it said nothing'}; install the packages of "
                    "pyproject.toml"
                )
            if one.pair:
                self._known[one.pair] = OUT_OF_TIME if is_late or status == -signal.SIGPROF else CRASHED


def n_processes() -> int:
    """How many comparisons run at once: as many as there are processors for this process, up to MOST_PROCESSES."""
    return min(MOST_PROCESSES, len(os.sched_getaffinity(0)))
