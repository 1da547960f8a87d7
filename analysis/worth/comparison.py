"""The horizontal shift: how many problems the baseline needs for one of the arm's, at the same error.

    m(e) = n_0(e) / n_1(e), n_k(e) the size at which arm k's fitted error is e.

A number is reported only where both arms were observed to reach the error. Elsewhere it is a bound made of sizes
that were run: m >= n_0,max / n_1(e) where the baseline never reached e, m <= n_0(e) / n_1,max where the arm did not.
Draws without a solution are kept as infinities, so that quantiles keep their meaning.
"""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
from scipy import stats

from analysis.intervals import difference, limits_of
from analysis.laws.curves import Curves, stacked
from analysis.laws.fit import BAD_FIT, FitResult, fit_curves, fit_result
from analysis.laws.forms import FORMS, form
from analysis.laws.isotonic import Isotonic, isotonic_curves
from analysis.laws.local import Blend, local_curves
from analysis.laws.power import N_STARTS
from analysis.noise.draws import Draws

SEPARATE_LAWS = ("power", "power_floor", "log_linear", "saturating")
FLOOR_MATTERS = 0.25
ONE_SIGMA = 0.6827
N_REFITS = 499


def floor_shift(ln_n: np.ndarray, slope: float) -> float:
    """How far ln n at the middle error moves if a floor worth half of that error is left out of the law.

    With s = 1/2 the share above the floor and b the slope, ln y = -b z + (1 - s)/s b^2 z^2 / 2: the straight line lies
    b^2/2 mean z^2 too high in the middle, which is b/2 mean z^2 in ln n.
    """
    return float(abs(slope) / 2 * np.square(ln_n - ln_n.mean()).mean())


class Comparison:
    """The arms of one table under one set of draws; fits are made once and kept.

    Args:
        law: "auto", or a name in forms.FORMS that is not shared; auto is decided by `law_of`.
    """

    def __init__(self, draws: Draws, *, level: float = 0.95, law: str = "auto") -> None:
        if not 0.5 <= level < 1:
            raise ValueError(f"level={level}: a share from 0.5 to below 1 was expected, for example 0.95")
        if law != "auto" and form(law).is_shared:
            raise ValueError(
                f"law {law} is shared between arms and gives the pooled multiplier; "
                f"choose one of {', '.join(name for name, one in FORMS.items() if not one.is_shared)} here"
            )
        self.draws, self.level, self.asked_law = draws, level, law
        self.errors = np.concatenate([draws.observed[None], draws.errors])
        self.fit, self.curves, self.isotonic = cache(self._fit), cache(self._curves), cache(self._isotonic)
        self._auto, self._local, self.misfit = cache(self._auto_law), cache(self._local_curve), cache(self._misfit)
        self.point = cache(self._point)

    def ln_n(self, arm: str) -> np.ndarray:
        return np.log(self.draws.table.cells["x"].to_numpy(float)[self.draws.table.cells_of(arm)])

    def arm_errors(self, arm: str) -> np.ndarray:
        """(1 + n_draws, n_sizes), the observed means first."""
        return self.errors[:, self.draws.table.cells_of(arm)]

    def sizes(self, arm: str) -> list[float]:
        """The arm's sizes on the axis of the fit, from the smallest up."""
        return [float(x) for x in self.draws.table.cells["x"].to_numpy(float)[self.draws.table.cells_of(arm)]]

    def n_sizes(self, arm: str) -> int:
        return len(self.draws.table.cells_of(arm))

    def law_of(self, arm: str, baseline: str) -> str:
        """The law for a pair, of arms with 3 sizes or more.

        auto fits the floor where both have 5 sizes and the study is sharp enough for a floor to matter: leaving out
        one worth half the error would move ln m by more than FLOOR_MATTERS of its standard error. Else a floor could
        only be guessed at and makes the interval too wide. How well either law fits plays no part.
        """
        return self._auto(*sorted({arm, baseline})) if self.asked_law == "auto" else self.asked_law

    def is_floor_left_out(self, arm: str, baseline: str) -> bool:
        """Both arms have the sizes for a floor and `auto` does not fit one."""
        return (
            self.asked_law == "auto" and self._has_floor_sizes(arm, baseline) and self.law_of(arm, baseline) == "power"
        )

    def _has_floor_sizes(self, *pair: str) -> bool:
        return min(n for one in pair if (n := self.n_sizes(one)) >= 3) >= FORMS["power_floor"].n_sizes

    def _auto_law(self, *pair: str) -> str:
        if not self._has_floor_sizes(*pair):
            return "power"
        arms = [one for one in pair if self.n_sizes(one) >= 3]
        curves = [self.curves(one, "power") for one in arms]
        moved = max(floor_shift(self.ln_n(one), curve.slope[0]) for one, curve in zip(arms, curves, strict=True))
        middles = [curve.ln_size_at(curve.excess[:1])[:, 0] for curve in curves]
        ln_m = difference(*middles) if len(arms) > 1 else middles[0]
        low, high = limits_of(ln_m[1:], ONE_SIGMA)
        return "power_floor" if moved > FLOOR_MATTERS * (high - low) / 2 else "power"

    def _fit(self, arm: str, law: str) -> FitResult:
        self.refuse_few(arm)
        cells = self.draws.table.cells_of(arm)
        return fit_result(
            arm,
            law,
            self.ln_n(arm),
            self.curves(arm, law),
            self.draws.observed[cells],
            self._weights(arm),
            self.draws.fit_variance[cells],
            level=self.level,
            ceiling=self.draws.table.reference_error,
            top=self.draws.table.top,
            p_value=self.misfit(arm, law),
        )

    def _misfit(self, arm: str, law: str) -> float:
        """p of the residuals: how often tables drawn from the fitted law, with the noise of this one, fit it as badly.

        The noise is that of the draws, so what runs of one seed or one test set share is kept; residuals are weighed
        by its covariance. 1 where the law has as many parameters as sizes. With one run a cell the draws' seed noise is
        read off residuals; these are then judged by the noise of the test set, or a given standard error, alone.
        """
        cells, n_free = self.draws.table.cells_of(arm), self.n_sizes(arm) - form(law).n_params
        if n_free < 1:
            return 1.0
        if self.draws.is_noise_from_residuals:
            gap = self.draws.observed[cells] - self.point(arm, law).error_at(self.ln_n(arm))[0]
            return float(stats.chi2.sf(np.square(gap) @ (1 / self.draws.fit_variance[cells]), n_free))
        noise = (self.draws.errors - self.draws.observed)[:, cells]
        scale = np.linalg.pinv(np.cov(noise.T), hermitian=True)
        fitted = self.point(arm, law).error_at(self.ln_n(arm))
        drawn = fitted + noise[:N_REFITS] - noise[:N_REFITS].mean(axis=0)
        refitted = self._fitted(arm, law, drawn)
        residuals = drawn - refitted.error_at(self.ln_n(arm))
        here = (self.draws.observed[cells] - fitted)[0]
        by_chance = np.einsum("di,ij,dj->d", residuals, scale, residuals)
        return float((1 + np.sum(by_chance >= here @ scale @ here)) / (1 + len(by_chance)))

    def is_refuted(self, law: str, *arms: str) -> bool:
        """Whether the residuals of one of the arms with a curve are beyond what its noise allows."""
        return any(self.misfit(arm, law) < BAD_FIT for arm in arms if self.n_sizes(arm) >= 3)

    def _local_curve(self, arm: str) -> Isotonic:
        cells = self.draws.table.cells_of(arm)
        return local_curves(self.ln_n(arm), self.arm_errors(arm), self.draws.variance[cells])

    def reader(self, arm: str, law: str, *, is_refuted: bool, is_run: bool) -> Blend | Isotonic:
        """What sizes are read from: the law and a curve without one, half of the draws each; that curve alone where the
        law is refuted.

        Args:
            is_run: the error is a measured one, at a size that was run: the curve is then interpolation between the
                measured errors, so that an arm that is the baseline is worth 1 exactly; else local regression.
        """
        free = self.isotonic(arm) if is_run else self._local(arm)
        return free if is_refuted else Blend(self.curves(arm, law), free)

    def _curves(self, arm: str, law: str) -> Curves:
        """(1 + n_draws) curves of the arm."""
        self.refuse_few(arm)
        return stacked(self.point(arm, law), self._fitted(arm, law, self.arm_errors(arm)[1:]))

    def _fitted(self, arm: str, law: str, errors: np.ndarray, n_grid: int = 48) -> Curves:
        """The law's curve of each row of errors (n_draws, n_sizes) at the arm's sizes."""
        return fit_curves(
            law,
            self.ln_n(arm),
            errors,
            self._weights(arm),
            ceiling=self.draws.table.reference_error,
            top=self.draws.table.top,
            n_grid=n_grid,
        )

    def form_at(self, arm: str, name: str) -> Curves | Isotonic:
        """The curve of the observed means alone, by one of `laws`."""
        return self._isotonic_point(arm) if name == "isotonic" else self.point(arm, name)

    def _isotonic_point(self, arm: str) -> Isotonic:
        return isotonic_curves(self.ln_n(arm), self.arm_errors(arm)[:1], self._weights(arm))

    def _point(self, arm: str, law: str) -> Curves:
        """The law's curve of the observed means alone."""
        return self._fitted(arm, law, self.arm_errors(arm)[:1], N_STARTS)

    def _weights(self, arm: str) -> np.ndarray:
        return self.draws.weights[self.draws.table.cells_of(arm)]

    def refuse_few(self, arm: str) -> None:
        if self.n_sizes(arm) < 3:
            sizes = ", ".join(f"{n:g}" for n in self.sizes(arm))
            raise ValueError(
                f"{self.draws.table.path}: {arm} has runs at {self.draws.table.x_name}={sizes} alone, "
                "a curve needs 3 sizes or more; run the missing sizes, or name another baseline"
            )

    def _isotonic(self, arm: str) -> Isotonic:
        return isotonic_curves(self.ln_n(arm), self.arm_errors(arm), self._weights(arm))

    def observed_range(self, arm: str) -> tuple[float, float]:
        """Least and largest observed error of the arm, made monotone."""
        errors = self._isotonic_point(arm).errors[0]
        return float(errors[-1]), float(errors[0])

    def shared_range(self, arm: str, baseline: str) -> tuple[float, float]:
        """Least and largest error that both arms were observed to have, the least above 0: below it a curve ends at a
        size without one error, and at which size it has how few nobody saw. The least exceeds the largest where they
        share none.
        """
        lows, highs = zip(*(self._range_above_0(one) for one in (arm, baseline)), strict=True)
        return max(lows), min(highs)

    def _range_above_0(self, arm: str) -> tuple[float, float]:
        errors = self._isotonic_point(arm).errors[0]
        above = self.draws.table.cells["error"].to_numpy(float)[self.draws.table.cells_of(arm)] > 0
        return float(errors[above].min() if above.any() else errors[0]), float(errors[0])

    def overlap(self, arm: str, baseline: str) -> tuple[float, float] | None:
        """Errors that both arms were observed to span; None where the span is within the noise of two cells."""
        low, high = self.shared_range(arm, baseline)
        if high <= low:
            return None
        errors = np.concatenate([self.arm_errors(one) for one in (arm, baseline)], axis=1)
        spread = np.std(np.log(errors), axis=0)
        return None if np.log(high / low) < 2 * np.median(spread) else (low, high)

    def ln_m(self, arm: str, baseline: str, errors: np.ndarray, law: str) -> np.ndarray:
        """(1 + n_draws, n_errors) ln m(e); nan where neither arm reaches the error."""
        return difference(self.ln_size(baseline, errors, law), self.ln_size(arm, errors, law))

    def ln_size(self, arm: str, errors: np.ndarray, law: str) -> np.ndarray:
        return self.curves(arm, law).ln_size_at(errors)

    def laws(self, *arms: str) -> tuple[str, ...]:
        """Laws that all the arms have the sizes for, the one that was asked for, and isotonic interpolation."""
        fewest = min(self.n_sizes(arm) for arm in arms)
        ready = [law for law in SEPARATE_LAWS if FORMS[law].n_sizes <= fewest]
        if self.draws.table.reference_error is None:
            ready = [law for law in ready if not FORMS[law].needs_ceiling]
        asked = () if self.asked_law in ("auto", *ready) else (self.asked_law,)
        return (*ready, *asked, "isotonic")

    def of_new(self, n_new: int) -> Comparison:
        """The comparison that draws what the means of `n_new` further replicates would be."""
        return Comparison(self.draws.of_new(n_new), level=self.level, law=self.asked_law)

    def at_level(self, level: float) -> Comparison:
        """The same fits and draws, read at another level."""
        other = copy.copy(self)
        other.level = level
        return other
