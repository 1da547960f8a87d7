"""The processes of a one-machine cluster: started, recorded, recognised and ended by their process ids.

A record is the file STATE/pids/NAME with "pid starttime". The start time (field 22 of /proc/PID/stat)
tells our process from another that was given the same number later, so that stop never ends a stranger.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path


def start_time(pid: int) -> str | None:
    """Field 22 of /proc/PID/stat; None where there is no such process or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


def is_alive(state: Path, name: str) -> bool:
    return recorded_pid(state, name) is not None


def recorded_pid(state: Path, name: str) -> int | None:
    """The pid of a recorded daemon that still runs, else None."""
    try:
        pid, started = (state / "pids" / name).read_text().split()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if start_time(int(pid)) == started else None


def launch(state: Path, name: str, command: list[str], **environment: str) -> int:
    """Starts one daemon in the foreground mode of its own, in its own session, and records it."""
    log = (state / "log" / f"{name}.out").open("ab")
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=state,
        env={**os.environ, **environment},
    )  # fmt: skip
    record = state / "pids" / name
    record.with_suffix(".new").write_text(f"{process.pid} {start_time(process.pid)}")
    os.replace(record.with_suffix(".new"), record)
    return process.pid


def end(pids: list[int], patience_s: float) -> list[int]:
    """Asks processes to end, kills those which have not after patience_s; returns those killed."""
    started = {pid: start_time(pid) for pid in pids}
    alive = _signal(started, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = _signal(alive, 0)
    killed = list(alive)
    while alive:
        alive = _signal(alive, signal.SIGKILL)
        time.sleep(0.05)
    return killed


def _signal(started: dict[int, str | None], number: int) -> dict[int, str | None]:
    """Sends a signal to those that are still the same process; returns them."""
    same = {pid: t for pid, t in started.items() if t is not None and start_time(pid) == t}
    for pid in same:
        with suppress(ProcessLookupError):  # it ended in between, which is what was asked for
            os.kill(pid, number)
    for pid in started:  # our own children stay zombies until they are waited for
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
    return same


def job_processes(state: Path) -> list[int]:
    """Processes of this cluster's jobs: the steps its nodes started, and what runs below them."""
    ours = f"SLURM_CONF={state}/etc/slurm.conf".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            is_step = (folder / "cmdline").read_bytes().startswith(b"slurmstepd")
        except OSError:  # it ended in between
            continue
        if ours in environment and (is_step or any(line.startswith(b"SLURM_JOB_ID=") for line in environment)):
            found.append(int(folder.name))
    return found
