"""Laws fitted, against scipy's optimisers called draw by draw and against `chinchilla`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.optimize import curve_fit

from analysis.laws.chinchilla import fit_chinchilla
from analysis.laws.fit import fit_curves

from .. import peers
from ..measuring import Spent, command, spent

LN_N = np.log(2.0 ** np.arange(7, 14))
N_SLOPES = 48  # that the engine scans a draw at


def law(n: np.ndarray, floor: float, excess: float, slope: float) -> np.ndarray:
    """The power law with a floor, about the middle of the sizes."""
    return floor + excess * np.exp(-slope * (n - LN_N.mean()))


@dataclass(frozen=True)
class Draws:
    """Power laws with a floor, one a bootstrap draw of the errors at 7 sizes."""

    folder: Path
    n: int

    @cached_property
    def errors(self) -> np.ndarray:
        rng = np.random.default_rng(0)
        return law(LN_N, 0.1, 0.3, 0.3) + rng.normal(0.0, 0.01, (self.n, len(LN_N)))

    def ours(self) -> Spent:
        errors = self.errors
        return spent(lambda: fit_curves("power_floor", LN_N, errors, np.ones(len(LN_N))))

    def peer(self) -> Spent:
        """curve_fit from one start with the bounds of ours; it stands still at a bound more often than it errs."""

        def loop() -> None:
            for row in self.errors:
                curve_fit(law, LN_N, row, p0=(0.05, 0.4, 0.5), bounds=([0, 0, 1e-3], [1, 2, 6]))

        return spent(loop)

    def limit(self) -> Spent:
        """The products of sums that a scan over the slopes is: 2 x 2 x draws x slopes x sizes operations."""
        shape = np.random.default_rng(0).random((len(LN_N), 2 * N_SLOPES))
        return spent(lambda: self.errors @ shape)


@dataclass(frozen=True)
class Chinchilla:
    """The law of two variables, with its intervals' worth of starts, on points of a known one."""

    folder: Path
    n: int

    @cached_property
    def points(self) -> np.ndarray:
        rng = np.random.default_rng(0)
        n_params, n_tokens = np.exp(rng.uniform(np.log(4e7), np.log(1e10), self.n)), np.exp(rng.uniform(20, 27, self.n))
        loss = 1.8 + 480 / n_params**0.35 + 2100 / n_tokens**0.37
        return np.stack([n_params, n_tokens, loss * np.exp(rng.normal(0, 0.005, self.n))], axis=1)

    def ours(self) -> Spent:
        points = self.points
        return spent(lambda: fit_chinchilla(points))

    def peer(self) -> Spent:
        path = self.folder / "points.npy"
        np.save(path, self.points)
        app = Path(__file__).with_name("peer_chinchilla.py")
        before = time.monotonic_ns()
        whole = command([peers.python(), app, path, self.folder / f"project{before}", "fit"])
        start = command([peers.python(), app, path, self.folder / f"project{before}-0", "start"])
        return Spent(whole.wall - start.wall, whole.processor - start.processor)

    def limit(self) -> Spent:
        """One descent: the same from a single start."""
        points = self.points
        return spent(lambda: fit_chinchilla(points, n_starts=2))
