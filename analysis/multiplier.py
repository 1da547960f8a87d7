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

from analysis.fit import N_STARTS, FitResult, fit, fit_curves, stacked
from analysis.forms import FORMS, Curves, Isotonic, form, isotonic
from analysis.notes import Note, note, sorted_notes
from analysis.reading import Multiplier, distance, exp, kind_of, limits_of, sides, where
from analysis.resample import Draws

SEPARATE_LAWS = ("power", "power_floor", "log_linear", "saturating")


class Comparison:
    """The arms of one table under one set of draws; fits are made once and kept.

    Args:
        law: "auto", or a name in forms.FORMS that is not shared. auto is power_floor where both arms have 5 sizes,
            else power: chosen by the number of sizes alone, never by the result.
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
        """The law for a pair; the baseline's where the arm has too few sizes for a curve of its own."""
        if self.asked_law != "auto":
            return self.asked_law
        fewest = min(n for n in (self.n_sizes(arm), self.n_sizes(baseline)) if n >= 3)
        return "power_floor" if fewest >= FORMS["power_floor"].n_sizes else "power"

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
        return self._difference(self._ln_size(baseline, errors, law), self._ln_size(arm, errors, law))

    @staticmethod
    def _difference(ln_n_0: np.ndarray, ln_n_1: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return ln_n_0 - ln_n_1

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
                self._difference(
                    self.point(baseline, one).ln_size_at(at)[0, 0], self.point(arm, one).ln_size_at(at)[0, 0]
                )
            )
            for one in self.laws(arm, baseline)
        }
        return self._reading(
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
        return self._reading(
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

    def _reading(
        self,
        arm: str,
        baseline: str,
        law: str,
        ln_0: np.ndarray,
        ln_1: np.ndarray,
        error: float,
        size: float | None,
        forms: dict[str, float],
    ) -> Multiplier:
        """Kind, value or bound, and limits from the draws of ln n_0 and ln n_1 (1 + n_draws,)."""
        (low_0, high_0), n_0 = self.observed_range(baseline), self.ln_n(baseline)
        where_0 = where(error, low_0, high_0)
        where_1 = "inside" if size is not None else where(error, *self.observed_range(arm))
        n_1 = self.ln_n(arm)
        ln_m = self._difference(ln_0, ln_1)
        frac = float(np.mean(~np.isfinite(ln_m[1:]))) if len(ln_m) > 1 else 0.0
        clipped_0 = np.clip(ln_0, *sides(where_0, n_0))
        clipped_1 = np.clip(ln_1, *sides(where_1, n_1))
        kind, bound = kind_of(where_0, where_1, ln_m[0])
        if kind == "interior" and high_0 <= low_0:  # one error at every size: no size of the baseline is the one
            kind, bound = "undefined", "?"
        shown = self._difference(clipped_0, clipped_1)
        low, high = limits_of(shown[1:], self.level)
        low = -np.inf if bound in ("<=", "?") else low
        high = np.inf if bound in (">=", "?") else high
        finite = [value for value in forms.values() if np.isfinite(value) and value > 0]
        spread = (min(finite), max(finite)) if finite else (float("nan"), float("nan"))
        outside = kind == "extrapolated" and np.isfinite(ln_m[0])
        notes = self._reading_notes(arm, baseline, law, kind, frac, (low, high), finite, bound, size is None)
        value = shown[0] if bound != "?" else np.nan
        statuses = [str(self.fit(one, law).status) for one in (baseline, arm) if self.n_sizes(one) >= 3]
        return Multiplier(
            arm,
            baseline,
            error,
            size,
            exp(value),
            exp(low),
            exp(high),
            self.level,
            kind,
            bound,
            self.draws.method,
            law,
            "+".join(dict.fromkeys(statuses)),
            frac,
            distance(ln_0[0], n_0) + distance(ln_1[0], n_1) if kind != "interior" else 0.0,
            exp(ln_m[0]) if outside else None,
            tuple(exp(side) for side in limits_of(ln_m[1:], self.level)) if outside else None,
            forms,
            spread,
            notes,
        )

    def _reading_notes(
        self,
        arm: str,
        baseline: str,
        law: str,
        kind: str,
        frac: float,
        limits: tuple[float, float],
        finite: list[float],
        bound: str,
        is_arm_inverted: bool,
    ) -> tuple[Note, ...]:
        notes = [*self.draws.notes, *self.fit(baseline, law).notes]
        if self.n_sizes(arm) >= 3:
            notes += [
                one
                for one in self.fit(arm, law).notes
                if is_arm_inverted or one.code not in ("not_falling", "floor_not_estimable")
            ]
        plain = self.fit(baseline, "power")
        if plain.intervals["b"][0] <= 0:
            text = (
                f"{baseline}'s error is not shown to fall over the sizes run (exponent {plain.params['b']:.3f}, "
                f"interval from {plain.intervals['b'][0]:.3f}), so a small difference of error is a large multiplier"
            )
            notes.append(note("baseline_flat", text))
        if frac > (1 - self.level) / 2:
            notes.append(note("censored", f"{frac:.1%} of the draws have no solution: a limit is infinite"))
        if kind == "extrapolated":
            notes.append(
                note(
                    "extrapolated",
                    "the law reaches this error only outside the sizes that were run: shown as a bound",
                )
            )
        if bound == "?":
            notes.append(note("both_unreached", f"no sizes of {arm} and {baseline} that were run surround this error"))
        spread = np.log(max(finite) / min(finite)) if kind == "interior" and finite else 0.0
        if np.isfinite(limits).all() and spread > (limits[1] - limits[0]) / 2:
            text = f"the laws give {min(finite):.2f} to {max(finite):.2f}, more than half the width of the interval"
            notes.append(note("form_uncertainty", text))
        return sorted_notes(notes)
