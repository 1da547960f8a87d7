"""The laws: error as a function of size, each with its inverse and its gradient.

All are written in z = ln n - ln n_ref, n_ref the geometric mean of the sizes, so that the unit of n changes
nothing but n_ref. One nonlinear parameter at most two; the rest enters linearly (variable projection, fit.py).

    power               y = a e^(-b z)                        2 parameters an arm
    power_floor         y = E + a e^(-b z)                    3
    power_shared        y = a_k e^(-b z)                      b shared by the arms
    power_floor_shared  y = E + a_k e^(-b z)                  b and E shared
    log_log             ln y = ln a - b z                     2, least squares on ln y, as published exponents are
    log_linear          y = a - b z                           2
    saturating          y = E + (C - E) / (1 + e^(b (z - t))) 3, C the measured error at zero data

`a` is the excess error over the floor at n_ref: a value at a reference size, which has a standard error worth
quoting, where A = a n_ref^b has not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Form:
    """A law's name, what it looks like and what it needs.

    Args:
        n_params: free parameters of one arm fitted alone.
        n_sizes: distinct sizes an arm needs before the law is offered (parameters + 2, a power law 3).
    """

    name: str
    formula: str
    n_params: int
    n_sizes: int
    has_floor: bool = False
    is_shared: bool = False


FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        Form("power", "y = a (n/n_ref)^-b", 2, 3),
        Form("power_floor", "y = E + a (n/n_ref)^-b", 3, 5, has_floor=True),
        Form("power_shared", "y_k = a_k (n/n_ref)^-b, b shared", 2, 3, is_shared=True),
        Form(
            "power_floor_shared",
            "y_k = E + a_k (n/n_ref)^-b, b and E shared",
            3,
            5,
            has_floor=True,
            is_shared=True,
        ),
        Form("log_log", "ln y = ln a - b ln(n/n_ref)", 2, 3),
        Form("log_linear", "y = a - b ln(n/n_ref)", 2, 3),
        Form("saturating", "y = E + (C - E) / (1 + (n/n_0)^b), C measured", 3, 5, has_floor=True),
    )
}


def form(name: str) -> Form:
    if name not in FORMS:
        raise ValueError(
            f"law {name!r} is unknown; the laws are {', '.join(FORMS)}, auto and, for fit alone, chinchilla"
        )
    return FORMS[name]


@dataclass(frozen=True, eq=False)
class Curves:
    """Fitted curves of one arm: one a draw, all arrays (n_draws,).

    Args:
        floor: E; zeros for a law without one.
        excess: a, the error above the floor at n_ref (log_linear: the error there).
        slope: b.
        midpoint: t of the saturating law, else None.
        ceiling: C of the saturating law, else None.
    """

    name: str
    ln_n_ref: float
    floor: np.ndarray
    excess: np.ndarray
    slope: np.ndarray
    midpoint: np.ndarray | None = None
    ceiling: float | None = None

    def saturation(self) -> tuple[np.ndarray, float]:
        """t, (n_draws,), and C: of the saturating law alone."""
        assert self.midpoint is not None and self.ceiling is not None, self.name
        return self.midpoint, self.ceiling

    def error_at(self, ln_n: np.ndarray) -> np.ndarray:
        """(n_draws, n_sizes) error at ln n, (n_sizes,) or (n_draws, n_sizes)."""
        z = np.atleast_1d(ln_n) - self.ln_n_ref
        floor, excess, slope = self.floor[:, None], self.excess[:, None], self.slope[:, None]
        if self.name == "log_linear":
            return excess - slope * z
        if self.name == "saturating":
            midpoint, ceiling = self.saturation()
            return floor + (ceiling - floor) / (1.0 + np.exp(slope * (z - midpoint[:, None])))
        return floor + excess * np.exp(-slope * z)

    def ln_size_at(self, errors: np.ndarray) -> np.ndarray:
        """(n_draws, n_errors) ln n that reaches the error; +inf where none does, -inf where every size does.

        Args:
            errors: (n_errors,) or (n_draws, n_errors).
        """
        e = np.atleast_1d(errors)
        floor, excess, slope = self.floor[:, None], self.excess[:, None], self.slope[:, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.name == "log_linear":
                z = (excess - e) / slope
            elif self.name == "saturating":
                midpoint, ceiling = self.saturation()
                share = (e - floor) / (ceiling - e)
                z = midpoint[:, None] - np.log(np.where(share > 0, share, np.nan)) / slope
                z = np.where(e >= ceiling, -np.inf, z)
            else:
                ratio = (e - floor) / excess
                z = -np.log(np.where(ratio > 0, ratio, np.nan)) / slope
        is_falling = (slope > 0) & (excess > 0)
        level = excess if self.name == "log_linear" else floor + excess
        z = np.where(is_falling, z, np.where(e < level, np.inf, -np.inf))
        return self.ln_n_ref + np.where(np.isnan(z), np.inf, z)

    def gradient(self, ln_n: np.ndarray) -> np.ndarray:
        """(n_draws, n_sizes, n_params) of error_at by the parameters, floor first where the law has one.

        The order is [E,] a, b; of the saturating law E, t, b.
        """
        z = np.atleast_1d(ln_n) - self.ln_n_ref
        excess, slope = self.excess[:, None], self.slope[:, None]
        if self.name == "log_linear":
            return np.stack([np.ones_like(z * slope), -z * np.ones_like(slope)], axis=-1)
        if self.name == "saturating":
            midpoint, ceiling = self.saturation()
            d = z - midpoint[:, None]
            share = 1.0 / (1.0 + np.exp(slope * d))
            bend = (ceiling - self.floor[:, None]) * share * (1.0 - share)
            return np.stack([1.0 - share, slope * bend, -d * bend], axis=-1)
        g = np.exp(-slope * z)
        parts = [g, -excess * z * g]
        if FORMS[self.name].has_floor:
            parts.insert(0, np.ones_like(g))
        return np.stack(parts, axis=-1)

    def __getitem__(self, draws: slice) -> Curves:
        midpoint = None if self.midpoint is None else self.midpoint[draws]
        return Curves(
            self.name,
            self.ln_n_ref,
            self.floor[draws],
            self.excess[draws],
            self.slope[draws],
            midpoint,
            self.ceiling,
        )
