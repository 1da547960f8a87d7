"""The sigmoid in ln n with both ends fitted: y = E + (C - E) / (1 + (n/n_0)^b).

ScaleRL's law of RL compute (arXiv:2510.13786, Eq. 1) for tables that do not tell the error before training: with R =
1 - y its A is 1 - E, R_0 is 1 - C, B is b and C_mid is n_0. Where R_0 is measured, as there, the law is `saturating`,
with a parameter less. It is M4 (m4.py) at alpha = 1 and is fitted as that, alpha held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analysis.laws.curves import Curves
from analysis.laws.m4 import M4


@dataclass(frozen=True)
class Sigmoid(M4):
    """Values: those of M4, alpha 1 in all."""

    names: ClassVar[tuple[str, ...]] = ("floor", "ceiling", "midpoint", "slope")
    alphas: ClassVar[np.ndarray] = np.ones(1)
    alpha_limits: ClassVar[tuple[float, float]] = (1.0, 1.0)

    def gradient(self, curves: Curves, z: np.ndarray) -> np.ndarray:
        return np.delete(super().gradient(curves, z), 2, axis=-1)

    def named(self, curves: Curves) -> dict[str, np.ndarray]:
        return {name: values for name, values in super().named(curves).items() if name != "alpha"}

    def derived(self, first: Curves) -> dict[str, float]:
        return {}
