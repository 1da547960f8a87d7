"""How seed noise grows or shrinks with size: its standard deviation as a power of n_problems, with the power's doubt.

In units of p (1 - p) a cell's mean square over seeds, on df degrees of freedom, is a gamma variable of mean

    s^2 n^(2 g) + noise        n in units of the middle size, noise what the finite test set makes

On a grid of rates g each has its best s^2, and by likelihood and a normal prior of standard deviation PRIOR a weight.
What is drawn by it takes one rate a draw with that rate's own s^2, so that an interval at the smallest and at the
largest size pays for what is not known of the rate, and no more than the squares seen there allow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PRIOR = 1.0  # of the rate: one standard deviation is noise that grows as the size does
RATES = np.linspace(-2.0, 2.0, 41)
LEVELS = np.concatenate([[0.0], np.geomspace(1e-3, 30.0, 60)])  # of s^2, in mean squares


@dataclass(frozen=True, eq=False)
class Growth:
    """Of several effects the weight of each rate; beyond the sizes they were seen at noise stays as it is.

    Args:
        weights: (n_effects, n_rates), sum 1.
        levels: (n_effects, n_rates) s^2 under each rate, relative: weighted mean 1.
        middle, low, high: of ln n where they were seen.
        variance: (n_effects,) s^2, the weighted mean.
    """

    weights: np.ndarray
    levels: np.ndarray
    middle: float
    low: float
    high: float
    variance: np.ndarray

    @property
    def rates(self) -> np.ndarray:
        """(n_effects,) mean rate."""
        return np.asarray(self.weights @ RATES)

    def _grown(self, sizes: np.ndarray) -> np.ndarray:
        """(n_sizes, n_rates) n^(2 g)."""
        ln_n = np.log(np.maximum(np.asarray(sizes, dtype=float), 1e-300))
        return np.asarray(np.exp(2 * np.multiply.outer(np.clip(ln_n, self.low, self.high) - self.middle, RATES)))

    def scale(self, sizes: np.ndarray) -> np.ndarray:
        """(n_sizes, n_effects) standard deviation over that at the middle size: root mean square of `drawn`."""
        return np.asarray(np.sqrt(self._grown(sizes) @ (self.weights * self.levels).T))

    def drawn(self, sizes: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """(n_draws, n_sizes, n_effects) the same under a rate a draw, that of the share `uniform` (n_draws, n_effects)
        of the weight.
        """
        grown, out = self._grown(sizes), np.empty((len(uniform), len(np.atleast_1d(sizes)), len(self.weights)))
        for k, (weights, levels) in enumerate(zip(self.weights, self.levels, strict=True)):
            chosen = np.minimum(np.searchsorted(np.cumsum(weights), uniform[:, k]), len(RATES) - 1)
            out[:, :, k] = np.sqrt(levels[chosen, None] * grown.T[chosen])
        return out


def none_seen(n_effects: int = 1) -> Growth:
    """Noise that is the same at every size."""
    weights = np.repeat((RATES == 0)[None].astype(float), n_effects, axis=0)
    return Growth(weights, np.ones_like(weights), 0.0, 0.0, 0.0, np.zeros(n_effects))


def growth_of(sizes: np.ndarray, squares: np.ndarray, noise: np.ndarray, df: np.ndarray) -> Growth:
    """The rates of effects from what each shows at each size.

    Args:
        sizes: (n_cells,) above 0.
        squares: (n_cells, n_effects) mean squares over seeds.
        noise: (n_cells, n_effects) the part of them that the finite test set makes.
        df: (n_cells,) degrees of freedom.
    """
    ln_n = np.log(sizes)
    middle = float(np.average(ln_n, weights=df))
    found = [_weights(ln_n - middle, squares[:, k], noise[:, k], df) for k in range(squares.shape[1])]
    weights, levels, variance = (np.stack(one) for one in zip(*found, strict=True))
    return Growth(weights, levels, middle, float(ln_n.min()), float(ln_n.max()), variance)


def _weights(
    z: np.ndarray, squares: np.ndarray, noise: np.ndarray, df: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """(n_rates,) weights and relative levels, and s^2; all on rate 0 where nothing is seen beyond the noise."""
    flat = none_seen()
    typical = float(np.average(squares, weights=df))
    if typical <= 0 or np.ptp(z) == 0:
        return flat.weights[0], flat.levels[0], 0.0
    grown = np.exp(2 * RATES[:, None, None] * z)
    mean = np.maximum(typical * LEVELS[:, None] * grown + np.maximum(noise, 0.0), 1e-9 * typical)
    deviance = ((np.log(mean) + squares / mean) * df).sum(axis=2)
    best = deviance.argmin(axis=1)
    least = deviance.min(axis=1)
    weights = np.exp(-(least - least.min()) / 2 - np.square(RATES / PRIOR) / 2)
    weights, levels = weights / weights.sum(), LEVELS[best]
    if weights @ levels <= 0:
        return flat.weights[0], flat.levels[0], 0.0
    mean_level = float(weights @ levels)
    return weights, levels / mean_level, typical * mean_level
