"""What a stage costs beyond its own work, where the work is to sleep."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .. import peers
from ..measuring import ROOT, Spent, command, start

N_WORKERS = 4
SECONDS = 2.0
SLEEPING = Path(__file__).parents[1] / "sleeping"


@dataclass(frozen=True)
class Asleep:
    """n stages that sleep, in the local pool or under a launcher of Hydra's; only what is beyond the sleep counts."""

    folder: Path
    n: int
    launcher: str = ""
    seconds: float = SECONDS
    is_loaded: bool = False  # the peer's processes import torch and transformers too, once each

    def _beyond(self, whole: Spent, n_at_once: int) -> Spent:
        return Spent(whole.wall - math.ceil(self.n / n_at_once) * self.seconds, whole.processor)

    def ours(self) -> Spent:
        app = Path(__file__).with_name("sleeping_sweep.py")
        store = self.folder / f"store{len(list(self.folder.iterdir()))}"
        words = [sys.executable, app, str(self.n), str(self.seconds), str(N_WORKERS), store]
        return self._beyond(command(words, PYTHONPATH=f"{SLEEPING}:{ROOT}"), N_WORKERS)

    def peer(self) -> Spent:
        """joblib has as many processes as ours; submitit_local starts all at once and has no other way."""
        app = Path(__file__).with_name("peer_sleep.py")
        where = self.folder / f"peer{len(list(self.folder.iterdir()))}"
        words = [f"hydra/launcher={self.launcher}", f"hydra.sweep.dir={where}", f"seconds={self.seconds}"]
        words += [f"hydra.launcher.n_jobs={N_WORKERS}"] if self.launcher == "joblib" else []
        if self.is_loaded and (torch := find_spec("torch")) is not None and torch.origin is not None:
            words.append(f"libraries={Path(torch.origin).parents[1]}")
        whole = command([peers.python(), app, "-m", f"number=range({self.n})", *words])
        return self._beyond(whole, N_WORKERS if self.launcher == "joblib" else self.n)

    def limit(self) -> Spent:
        """Starting the driver, and one process with the libraries that stages need."""
        driver, worker = start("hydra", "numpy"), start("torch", "sweep.models")
        return Spent(driver.wall + worker.wall, driver.processor + worker.processor)
