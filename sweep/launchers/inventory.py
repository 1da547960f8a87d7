"""Which cards and cores this machine lets us use: the one place that asks the driver.

The driver is asked through torch, in a process of its own, so that what is told is what a worker will see and the
process that plans opens no card. CUDA_VISIBLE_DEVICES is obeyed, names of whole cards and of MIG instances included.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sweep.config import Exec
from sweep.launchers.cards import Card
from sweep.memory import GIB

VISIBLE = "CUDA_VISIBLE_DEVICES"
DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")  # of CUDA, of it below Windows, of ROCm
LEFT = 0.97  # of a card's memory may be used: the rest is the driver's
ASK = (
    "import json, torch\n"
    "of, free = torch.cuda.get_device_properties, torch.cuda.mem_get_info\n"
    "cards = range(torch.cuda.device_count())\n"
    "print(json.dumps([[of(i).name, of(i).total_memory, free(i)[0]] for i in cards]))\n"
)
PATIENCE_S = 300.0  # for the driver to answer, torch's import from a slow file system included
MIG = re.compile(r"\(UUID: (MIG-[^)]+)\)")


@dataclass(frozen=True)
class Device:
    """A card as the driver tells of it: its name for CUDA_VISIBLE_DEVICES, what it is called, bytes."""

    name: str
    title: str
    total: int
    free: int

    @property
    def in_words(self) -> str:
        return f"{self.name}: {self.title}, {self.free / GIB:.1f} of {self.total / GIB:.1f} GiB free"


def n_cores(environ: Mapping[str, str] = os.environ) -> int:
    """Cores that this process may use: of a machine that is shared, those that it was given, as by SLURM to a job."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = environ.get("SLURM_CPUS_ON_NODE", "")  # told also where the cluster binds nobody to what he was given
    return min(bound, int(given)) if given.isdecimal() and int(given) else bound


def has_driver() -> bool:
    """Whether this machine may have a card at all, told without waiting for torch."""
    return shutil.which("nvidia-smi") is not None or any(Path(path).exists() for path in DRIVERS)


def devices(exec: Exec, environ: Mapping[str, str] = os.environ) -> list[Device]:
    """The cards that a sweep may use; none where it is for the CPU, or the machine has none.

    Raises:
        ValueError: exec.cards or exec.device names one that is not there, or the driver does not answer.
    """
    if exec.device == "cpu" or not has_driver() or find_spec("torch") is None:
        return []
    visible = _visible(environ)
    wanted = _wanted(exec, visible)
    names = wanted if wanted is not None else visible
    if names == []:
        return []
    asked = [[name] for name in names] if names and names[0].startswith("MIG-") else [names]  # torch sees one instance
    found: list[Device] = []
    for group in asked:
        told = _told(environ, group)
        own = group if group is not None else [str(i) for i in range(len(told))]
        found += [Device(name, *one) for name, one in zip(own, told, strict=False)]  # CUDA stops at a name it lacks
    if wanted is not None and len(found) < len(wanted):
        raise ValueError(
            f"{_setting(exec)} asks for the cards {', '.join(wanted)}, of which this machine shows "
            f"{len(found)} ({'; '.join(one.in_words for one in found) or 'none'}); name some that nvidia-smi -L lists"
        )
    return found


def usable(found: Sequence[Device], exec: Exec) -> tuple[Card, ...]:
    """What a sweep may take of each: what is free, and no more than exec.gpu_memory_gib."""
    most = exec.gpu_memory_gib * GIB if exec.gpu_memory_gib is not None else float("inf")
    return tuple(Card(one.name, int(min(one.free, one.total * LEFT, most)), one.title) for one in found)


def _visible(environ: Mapping[str, str]) -> list[str] | None:
    """Names as CUDA_VISIBLE_DEVICES lists them, or of the MIG instances; None for every card by its number."""
    listed = environ.get(VISIBLE)
    if listed is not None:
        names = [name.strip() for name in listed.split(",")]
        ends = [i for i, name in enumerate(names) if name in ("", "-1", "NoDevFiles")]
        return names[: ends[0]] if ends else names
    return _instances(environ) or None


def _instances(environ: Mapping[str, str]) -> list[str]:
    """The names of all MIG instances, of which torch alone would show the first."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    said = subprocess.run(
        [program, "-L"], capture_output=True, encoding="utf-8", check=False, env=dict(environ), timeout=60
    )
    return MIG.findall(said.stdout)


def _wanted(exec: Exec, visible: list[str] | None) -> list[str] | None:
    """The names that exec.cards or exec.device=cuda:N picks; None where they leave it open."""
    _, _, number = exec.device.partition(":")
    if number and exec.cards is not None:
        raise ValueError(
            f"exec.device={exec.device} and exec.cards={list(exec.cards)} both name cards; give exec.device=cuda with "
            "exec.cards, or exec.device alone"
        )
    picked = exec.cards if exec.cards is not None else (number,) if number else None
    if picked is not None and len(set(picked)) < len(picked):
        raise ValueError(f"{_setting(exec)} names a card twice; give each once")
    if picked is None or visible is None:
        return list(picked) if picked is not None else None
    wrong = [one for one in picked if one not in visible and not (one.isdigit() and int(one) < len(visible))]
    if wrong:
        raise ValueError(
            f"{_setting(exec)} asks for the cards {', '.join(wrong)}, and {VISIBLE} leaves "
            f"{', '.join(visible) or 'none'}; give one of these, or a number from 0 to {len(visible) - 1}"
        )
    return [visible[int(one)] if one.isdigit() else one for one in picked]


def _setting(exec: Exec) -> str:
    return f"exec.cards={list(exec.cards)}" if exec.cards is not None else f"exec.device={exec.device}"


def _told(environ: Mapping[str, str], names: Sequence[str] | None) -> list[tuple[str, int, int]]:
    """What torch says of the cards with these names: title, bytes, free bytes."""
    own = {**environ, VISIBLE: ",".join(names)} if names is not None else dict(environ)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", ASK],
            capture_output=True,
            encoding="utf-8",
            env=own,
            timeout=PATIENCE_S,
            check=True,
        )
        return [(title, total, free) for title, total, free in json.loads(done.stdout)]
    except (subprocess.SubprocessError, ValueError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
        raise ValueError(
            f"the driver does not tell of its cards: {''.join(said)}; see what nvidia-smi says, or do without them: "
            "exec.device=cpu"
        ) from error
