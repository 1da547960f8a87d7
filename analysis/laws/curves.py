"""What a law is, and the curves that fitting it gives.

All laws are written in z = ln n - ln n_ref, n_ref the geometric mean of the sizes, so that the unit of n changes
nothing but n_ref. A law is one class in one file beside this one and one entry in forms.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True, eq=False)
class Cells:
    """What one arm is fitted from.

    Args:
        z: (n_cells,) centred ln n.  errors: (n_draws, n_cells).  weights: (n_cells,).
        ceiling: the measured error at zero data, where the table tells it.
        top: the largest error there can be; 1 of a share of a test set.
        n_grid: points of the scan that guards against local optima, where the law's scan has a choice.
    """

    ln_n_ref: float
    z: np.ndarray
    errors: np.ndarray
    weights: np.ndarray
    ceiling: float | None = None
    top: float = np.inf
    n_grid: int = 48


@dataclass(frozen=True)
class Law(ABC):
    """A law's name, what it looks like and what it needs; the class says how it is fitted, read and inverted.

    Args:
        n_params: free parameters of one arm fitted alone.
        n_sizes: distinct sizes an arm needs before the law is offered (parameters + 2, a power law 3).
        is_shared: its shape is shared between arms.
        has_floor: an error that no size gets below is among its parameters.
        needs_ceiling: the error at zero data is measured, not fitted.
        names: of the parameters, in the order of `gradient`; values of each stand under it in Curves.
    """

    name: str
    formula: str
    n_params: int
    n_sizes: int
    is_shared: bool = False
    has_floor: ClassVar[bool] = False
    needs_ceiling: ClassVar[bool] = False
    names: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def fit(self, cells: Cells) -> Curves:
        """One curve a row of cells.errors."""

    @abstractmethod
    def error_at(self, curves: Curves, z: np.ndarray) -> np.ndarray:
        """(n_draws, n_sizes) error at z, (n_sizes,) or (n_draws, n_sizes)."""

    @abstractmethod
    def z_at(self, curves: Curves, errors: np.ndarray) -> np.ndarray:
        """(n_draws, n_errors) z that reaches each error of a curve that falls; nan below its floor, -inf above all."""

    @abstractmethod
    def gradient(self, curves: Curves, z: np.ndarray) -> np.ndarray:
        """(n_draws, n_sizes, n_params) of error_at by the parameters, in the order of `names`."""

    def basins(self, cells: Cells, best: Curves) -> tuple[float, bool]:
        """Share of the starts that flow to the best optimum of the first row, and whether a rival lies within 5 %."""
        return 1.0, False

    def named(self, curves: Curves) -> dict[str, np.ndarray]:
        """Name -> (n_draws,) of what is worth quoting: values at a size or an error, never A +- its error."""
        return {"b": curves.slope}

    def derived(self, first: Curves) -> dict[str, float]:
        """More values of the estimate, which carry no interval."""
        return {}

    def bounds_hit(self, first: Curves) -> tuple[str, ...]:
        """Which limits the estimate sits on."""
        return ()

    def level(self, curves: Curves) -> np.ndarray:
        """(n_draws,) error at n_ref, to say where a curve that does not fall lies."""
        return self.error_at(curves, np.zeros(1))[:, 0]


@dataclass(frozen=True, eq=False)
class Curves:
    """Fitted curves of one arm, one a draw.

    Args:
        values: name -> (n_draws,); of every law `slope`, b, and `excess`, which is above 0 where the curve falls.
    """

    law: Law
    ln_n_ref: float
    values: Mapping[str, np.ndarray]

    @property
    def name(self) -> str:
        return self.law.name

    @property
    def slope(self) -> np.ndarray:
        return self.values["slope"]

    @property
    def excess(self) -> np.ndarray:
        """Of a power law a, the error above the floor at n_ref; of laws with two ends the distance of these."""
        return self.values["excess"]

    @property
    def floor(self) -> np.ndarray:
        """E; zeros for a law without one."""
        return self.values["floor"] if "floor" in self.values else np.zeros_like(self.slope)

    def error_at(self, ln_n: np.ndarray) -> np.ndarray:
        """(n_draws, n_sizes) error at ln n, (n_sizes,) or (n_draws, n_sizes)."""
        return self.law.error_at(self, np.atleast_1d(ln_n) - self.ln_n_ref)

    def ln_size_at(self, errors: np.ndarray) -> np.ndarray:
        """(n_draws, n_errors) ln n that reaches the error; +inf where none does, -inf where every size does.

        Args:
            errors: (n_errors,) or (n_draws, n_errors).
        """
        e = np.atleast_1d(errors)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            z = self.law.z_at(self, e)
        is_falling = ((self.slope > 0) & (self.excess > 0))[:, None]
        z = np.where(is_falling, z, np.where(e < self.law.level(self)[:, None], np.inf, -np.inf))
        return self.ln_n_ref + np.where(np.isnan(z), np.inf, z)

    def gradient(self, ln_n: np.ndarray) -> np.ndarray:
        """(n_draws, n_sizes, n_params) of error_at by the parameters, in the order of the law's `names`."""
        return self.law.gradient(self, np.atleast_1d(ln_n) - self.ln_n_ref)

    def __getitem__(self, draws: slice) -> Curves:
        return Curves(self.law, self.ln_n_ref, {name: values[draws] for name, values in self.values.items()})


def stacked(first: Curves, rest: Curves) -> Curves:
    """Curves of the observed means and of the draws as one."""
    values = {name: np.concatenate([first.values[name], rest.values[name]]) for name in first.values}
    return Curves(first.law, first.ln_n_ref, values)


def columns(curves: Curves, *names: str) -> list[np.ndarray]:
    """(n_draws, 1) of each name, to stand against sizes."""
    return [curves.values[name][:, None] for name in names]
