"""A declared fake of a driver: torch's own questions to it are answered from a file, in every process of a test.

No card is there: stages compute on the CPU. `put_on_path` makes a folder for PATH and PYTHONPATH with an nvidia-smi
that lists the cards and a torch that is the real one, but for how many cards it says there are, what they are called,
how much memory they have, and how much of it a stage has taken. Like CUDA it obeys CUDA_VISIBLE_DEVICES, and of MIG
instances it shows the first.
"""

import json
import os
from pathlib import Path

import pytest

GIB = 2**30
SHIM = '''
import json, os, sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path.remove(here)
del sys.modules["torch"]
import torch

with open(os.path.join(here, "cards.json")) as stream:
    told = json.load(stream)
listed = os.environ.get("CUDA_VISIBLE_DEVICES")
names = list(told["cards"]) if listed is None else [one for one in listed.split(",") if one]
seen = []
for name in names:
    if name not in told["cards"]:
        break
    seen.append(told["cards"][name])
seen = seen[:1] if names and names[0].startswith("MIG-") else seen


class Properties:
    def __init__(self, one):
        self.name, self.total_memory = one["title"], one["total"]


def began():
    """A stage begins; the first ones of a process on a card run out of memory where the file says so."""
    place = os.path.join(here, "out-of-memory")
    if seen and told["n_out_of_memory"] and len(os.listdir(place)) < told["n_out_of_memory"]:
        open(os.path.join(place, f"{os.getpid()}-{len(os.listdir(place))}"), "w").close()
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def broken(*_):
    raise RuntimeError("CUDA error: device is lost")


torch.cuda.device_count = lambda: len(seen)
torch.cuda.get_device_properties = lambda i: Properties(seen[i])
torch.cuda.mem_get_info = broken if told["is_broken"] else lambda i: (seen[i]["free"], seen[i]["total"])
torch.cuda.max_memory_allocated = lambda: told["held"] // 2
torch.cuda.max_memory_reserved = lambda: told["held"]
torch.cuda.empty_cache = began  # what is called first of all when a stage begins
'''


def put_on_path(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    gib: dict[str, float],
    *,
    free: dict[str, float] | None = None,
    held: float = 0.5,
    n_out_of_memory: int = 0,
    is_broken: bool = False,
) -> None:
    """Cards by name with so many GiB, of which `free` are free, on each of which a stage takes `held` GiB."""
    (folder / "out-of-memory").mkdir(parents=True)
    cards = {
        name: {"title": f"Fake {n:g}", "total": int(n * GIB), "free": int((free or {}).get(name, n) * GIB)}
        for name, n in gib.items()
    }
    told = {"cards": cards, "held": int(held * GIB), "n_out_of_memory": n_out_of_memory, "is_broken": is_broken}
    (folder / "cards.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "torch.py").write_text(SHIM, encoding="utf-8")
    program = folder / "nvidia-smi"
    lines = [f"  MIG 1g.10gb Device {i}: (UUID: {name})" for i, name in enumerate(gib) if name.startswith("MIG-")]
    program.write_text("#!/bin/sh\ncat <<'END'\nGPU 0: Fake\n" + "\n".join(lines) + "\nEND\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
