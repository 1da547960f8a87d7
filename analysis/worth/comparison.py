"""The horizontal shift: how many problems the baseline needs for one of the arm's, at the same error.

    m(e) = n_0(e) / n_1(e), n_k(e) the size at which arm k's fitted error is e.

A number is reported only where both arms were observed to reach the error. Elsewhere it is a bound made of sizes
that were run: m >= n_0,max / n_1(e) where the baseline never reached e, m <= n_0(e) / n_1,max where the arm did not.
Draws without a solution are kept as infinities, so that quantiles keep their meaning.
"""

from __future__ import annotations

import copy
import dataclasses
from functools import cache

import numpy as np

from analysis.laws.fit import N_STARTS, FitResult, fit, fit_curves, stacked
from analysis.laws.forms import FORMS, Curves, Isotonic, form, isotonic
from analysis.noise.draws import Draws
from analysis.notes import note, sorted_notes
from analysis.worth.readings import Multiplier, difference, exp, limits_of, reading

SEPARATE_LAWS = ("power", "power_floor", "log_linear", "saturating")
FLOOR_MATTERS = 0.25
ONE_SIGMA = 0.6827


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
                f"choose one of {', '.join(SEPARATE_LAWS)} here"
            )
        self.draws, self.level, self.asked_law = draws, level, law
        self.errors = np.concatenate([draws.observed[None], draws.errors])
        self.fit, self.curves, self.isotonic = cache(self._fit), cache(self._curves), cache(self._isotonic)
        self._auto = cache(self._auto_law)
        self.point = cache(self._point)

    def ln_n(self, arm: str) -> np.ndarray:
        return np.log(self.draws.table.cells["x"].to_numpy(float)[self.draws.table.cells_of(arm)])

    def arm_errors(self, arm: str) -> np.ndarray:
        """(1 + n_draws, n_sizes), the observed means first."""
        return self.errors[:, self.draws.table.cells_of(arm)]

    def sizes(self, arm: str) -> list[float]:
        """The arm's sizes on the axis of the fit, from the smallest up."""
        return self.draws.table.cells["x"].to_numpy(float)[self.draws.table.cells_of(arm)].tolist()

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
        self._refuse_few(arm)
        cells = self.draws.table.cells_of(arm)
        return fit(
            arm,
            law,
            self.ln_n(arm),
            self.curves(arm, law),
            self.draws.observed[cells],
            self._weights(arm),
            self.draws.fit_variance[cells],
            level=self.level,
            ceiling=self._ceiling(),
        )

    def _curves(self, arm: str, law: str) -> Curves | Isotonic:
        """(1 + n_draws) curves of the arm."""
        if law == "isotonic":
            return self.isotonic(arm)
        self._refuse_few(arm)
        drawn = self.arm_errors(arm)[1:]
        rest = fit_curves(law, self.ln_n(arm), drawn, self._weights(arm), ceiling=self._ceiling())
        return stacked(self.point(arm, law), rest)

    def _point(self, arm: str, law: str) -> Curves | Isotonic:
        """The curve of the observed means alone."""
        if law == "isotonic":
            return isotonic(self.ln_n(arm), self.arm_errors(arm)[:1], self._weights(arm))
        observed = self.arm_errors(arm)[:1]
        return fit_curves(law, self.ln_n(arm), observed, self._weights(arm), ceiling=self._ceiling(), n_grid=N_STARTS)

    def _weights(self, arm: str) -> np.ndarray:
        return self.draws.weights[self.draws.table.cells_of(arm)]

    def _ceiling(self) -> float | None:
        return self.draws.table.reference_error

    def _refuse_few(self, arm: str) -> None:
        if self.n_sizes(arm) < 3:
            sizes = ", ".join(f"{n:g}" for n in self.sizes(arm))
            raise ValueError(
                f"{self.draws.table.path}: {arm} has runs at {self.draws.table.x_name}={sizes} alone, "
                "a curve needs 3 sizes or more; run the missing sizes, or name another baseline"
            )

    def _isotonic(self, arm: str) -> Isotonic:
        return isotonic(self.ln_n(arm), self.arm_errors(arm), self._weights(arm))

    def observed_range(self, arm: str) -> tuple[float, float]:
        """Least and largest observed error of the arm, made monotone."""
        errors = self.point(arm, "isotonic").errors[0]
        return float(errors[-1]), float(errors[0])

    def overlap(self, arm: str, baseline: str) -> tuple[float, float] | None:
        """Errors that both arms were observed to span; None where the span is within the noise of two cells."""
        (low_1, high_1), (low_0, high_0) = self.observed_range(arm), self.observed_range(baseline)
        low, high = max(low_0, low_1), min(high_0, high_1)
        spread = np.concatenate([np.std(np.log(self.arm_errors(one)), axis=0) for one in (arm, baseline)])
        if not (low > 0 and high > low) or np.log(high / low) < 2 * np.median(spread):
            return None
        return low, high

    def ln_m(self, arm: str, baseline: str, errors: np.ndarray, law: str) -> np.ndarray:
        """(1 + n_draws, n_errors) ln m(e); nan where neither arm reaches the error."""
        return difference(self._ln_size(baseline, errors, law), self._ln_size(arm, errors, law))

    def _ln_size(self, arm: str, errors: np.ndarray, law: str) -> np.ndarray:
        return self.curves(arm, law).ln_size_at(errors)

    def laws(self, *arms: str) -> tuple[str, ...]:
        """Laws that all the arms have the sizes for, and isotonic interpolation."""
        fewest = min(self.n_sizes(arm) for arm in arms)
        ready = [law for law in SEPARATE_LAWS if FORMS[law].n_sizes <= fewest]
        if self.draws.table.reference_error is None and "saturating" in ready:
            ready.remove("saturating")
        return (*ready, "isotonic")

    def at_error(self, arm: str, baseline: str, error: float) -> Multiplier:
        """The multiplier at a chosen error, in (0, 1)."""
        if not 0 < error < 1:
            raise ValueError(f"error {error:g}: a fraction above 0 and below 1 was expected, for example 0.25")
        self._refuse_few(baseline)
        self._refuse_few(arm)
        law = self.law_of(arm, baseline)
        at = np.array([error])
        forms = {
            one: exp(
                difference(self.point(baseline, one).ln_size_at(at)[0, 0], self.point(arm, one).ln_size_at(at)[0, 0])
            )
            for one in self.laws(arm, baseline)
        }
        return reading(
            self,
            arm,
            baseline,
            law,
            self._ln_size(baseline, at, law)[:, 0],
            self._ln_size(arm, at, law)[:, 0],
            error,
            None,
            forms,
        )

    def at_size(self, arm: str, baseline: str, size: float) -> Multiplier:
        """The multiplier at a size of the arm: the error is the arm's own, draw by draw.

        Where the size was run the error is the measured one, so that no law stands between; elsewhere the curve's.
        """
        if not 0 < size < np.inf:
            raise ValueError(f"size {size:g}: a number above 0 was expected, one of {arm}'s sizes or one between them")
        self._refuse_few(baseline)
        law, ln_n = self.law_of(arm, baseline), np.log(size)
        place = np.flatnonzero(np.abs(self.ln_n(arm) - ln_n) < 1e-6)
        if len(place):
            errors = self.arm_errors(arm)[:, place]
        elif self.n_sizes(arm) >= 3:
            errors = self.curves(arm, law).error_at(np.array([ln_n]))
        else:
            sizes = ", ".join(f"{n:g}" for n in self.sizes(arm))
            raise ValueError(f"{arm} was run at {sizes} and has no curve; {size:g} is none of these sizes")
        forms = {one: exp(self.point(baseline, one).ln_size_at(errors[:1])[0, 0] - ln_n) for one in self.laws(baseline)}
        return reading(
            self,
            arm,
            baseline,
            law,
            self._ln_size(baseline, errors, law)[:, 0],
            np.full(len(errors), ln_n),
            float(errors[0, 0]),
            size,
            forms,
        )

    def at_level(self, level: float) -> Comparison:
        """The same fits and draws, read at another level."""
        other = copy.copy(self)
        other.level = level
        return other

    def at_sizes(self, arm: str, baseline: str) -> list[Multiplier]:
        """The multiplier at each of the arm's own sizes."""
        return [self.at_size(arm, baseline, size) for size in self.sizes(arm)]

    def headline(self, arm: str, baseline: str) -> Multiplier:
        """One number for a pair: at the geometric middle of the overlap, else the best reading at the arm's sizes."""
        self._refuse_few(baseline)
        shared = self.overlap(arm, baseline) if self.n_sizes(arm) >= 3 else None
        if shared:
            return self.at_error(arm, baseline, float(np.sqrt(shared[0] * shared[1])))
        chosen = self._best_reading(arm, baseline)
        mine, theirs = self.observed_range(arm), self.observed_range(baseline)
        what = "a bound" if chosen.bound in (">=", "<=") else "one point"
        text = (
            f"{arm} (errors {mine[0]:.3f} to {mine[1]:.3f}) and {baseline} ({theirs[0]:.3f} to {theirs[1]:.3f}) share "
            f"no range of error wider than the noise: read at {chosen.at_size:g}, {what}"
        )
        notes = (note("no_overlap", text),)
        if self.n_sizes(arm) < 3:
            notes = (
                note(
                    "short_arm",
                    f"{arm} has {self.n_sizes(arm)} sizes: read point by point, no curve of its own",
                ),
            )
        return dataclasses.replace(chosen, notes=sorted_notes(notes + chosen.notes))

    def _best_reading(self, arm: str, baseline: str) -> Multiplier:
        """Of the readings at the arm's sizes: the inner one nearest to the middle of what is shared, else the
        strongest bound that its whole interval supports, else the strongest bound.
        """
        readings = self.at_sizes(arm, baseline)
        inner = [one for one in readings if one.kind == "interior"]
        if inner:
            (low_1, high_1), (low_0, high_0) = self.observed_range(arm), self.observed_range(baseline)
            middle = np.sqrt(max(low_0, low_1, 1e-9) * min(high_0, high_1))
            return min(inner, key=lambda one: abs(np.log(one.at_error / middle)))
        above = [one for one in readings if one.bound == ">="]
        below = [one for one in readings if one.bound == "<="][::-1]
        sure = [one for one in above if one.ci_low >= 0.999 * one.multiplier]
        sure_below = [one for one in below if one.ci_high <= 1.001 * one.multiplier]
        return (sure or above or sure_below or below or readings[len(readings) // 2 :])[0]
