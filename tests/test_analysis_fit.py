"""The laws: recovery of a known truth, gradients, an independent optimiser, and what a fit says of itself."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from analysis.intervals import interval
from analysis.laws.curves import Curves
from analysis.laws.fit import FitStatus, fit_curves, fit_result, fit_shared
from analysis.laws.forms import FORMS, form
from analysis.laws.isotonic import isotonic_curves
from analysis.laws.projection import basins_of, project, slope_grid

SIZES = np.array([128.0, 256, 512, 1024, 2048, 4096, 8192])
LN_N = np.log(SIZES)
Z = LN_N - LN_N.mean()
FLAT = np.ones(len(SIZES))


def curve(
    law: str, floor: float, excess: float, slope: float, midpoint: float | None = None, ceiling: float | None = None
) -> Curves:
    values = {"floor": floor, "excess": excess, "slope": slope, "midpoint": midpoint, "ceiling": ceiling}
    known = {name: np.array([value]) for name, value in values.items() if value is not None}
    return Curves(form(law), float(LN_N.mean()), known)


def ceiling_of(truth: Curves) -> float | None:
    return float(truth.values["ceiling"][0]) if "ceiling" in truth.values else None


TRUTHS = [
    curve("power", 0.0, 0.4, 0.15),
    curve("power", 0.0, 0.4, 0.05),
    curve("power", 0.0, 0.3, -0.1),
    curve("power_floor", 0.1, 0.3, 0.3),
    curve("power_floor", 0.25, 0.2, 1.1),
    curve("log_linear", 0.0, 0.4, 0.03),
    curve("log_log", 0.0, 0.4, 0.15),
    curve("saturating", 0.08, 0.8 - 0.08, 0.9, 0.4, 0.8),
    curve("saturating", 0.0, 0.7, 0.35, -1.0, 0.7),
]


@pytest.mark.parametrize("truth", TRUTHS, ids=lambda one: f"{one.name} b={one.slope[0]}")
def test_a_law_without_noise_is_recovered_to_a_millionth(truth: Curves) -> None:
    errors = truth.error_at(LN_N)
    found = fit_curves(truth.name, LN_N, errors, FLAT, ceiling=ceiling_of(truth), n_grid=400)
    for name in ("floor", "excess", "slope"):
        assert getattr(found, name) == pytest.approx(getattr(truth, name), abs=1e-6)
    if "midpoint" in truth.values:
        assert found.values["midpoint"] == pytest.approx(truth.values["midpoint"], abs=1e-6)


@pytest.mark.parametrize("law, floor", [("power_shared", 0.0), ("power_floor_shared", 0.12)])
def test_a_shared_shape_is_recovered_from_two_arms_of_different_sizes(law: str, floor: float) -> None:
    near, far = LN_N[:5], LN_N[2:]
    errors = [floor + a * np.exp(-0.3 * (ln_n - LN_N.mean()))[None] for a, ln_n in ((0.4, near), (0.2, far))]
    first, second = fit_shared(law, [near, far], errors, [np.ones(5), np.ones(5)], n_grid=400)
    assert first.slope[0] == second.slope[0] == pytest.approx(0.3, abs=1e-6)
    assert first.floor[0] == pytest.approx(floor, abs=1e-6)
    assert first.excess[0] / second.excess[0] == pytest.approx(2.0, abs=1e-6)


@pytest.mark.parametrize("truth", TRUTHS, ids=lambda one: f"{one.name} b={one.slope[0]}")
def test_gradients_agree_with_central_differences(truth: Curves) -> None:
    step, values = 1e-6, {"floor": 0.0} | {name: float(one[0]) for name, one in truth.values.items()}

    def errors(moved: str, by: float) -> np.ndarray:
        return curve(truth.name, **{**values, moved: values[moved] + by}).error_at(LN_N)[0]

    for k, name in enumerate(FORMS[truth.name].names):
        numeric = (errors(name, step) - errors(name, -step)) / (2 * step)
        assert truth.gradient(LN_N)[0, :, k] == pytest.approx(numeric, abs=1e-8)


def test_the_profile_derivative_agrees_with_central_differences() -> None:
    rng = np.random.default_rng(0)
    y, w = 0.1 + 0.4 * np.exp(-0.3 * Z) + rng.normal(0, 0.01, (5, 7)), rng.uniform(0.5, 2, 7)
    one = np.ones((7, 1))
    for has_floor in (False, True):
        for b in (0.1, 0.4, 1.5):
            up, down = (project(b + e, Z, y, w, one, has_floor=has_floor).objective for e in (1e-5, -1e-5))
            exact = project(b, Z, y, w, one, has_floor=has_floor).derivative
            assert 2 * exact == pytest.approx((up - down) / 2e-5, abs=1e-8)


@pytest.mark.parametrize("law", ["power", "power_floor", "saturating"])
def test_scipy_from_many_starts_finds_no_better_optimum(law: str) -> None:
    rng = np.random.default_rng(3)
    truth = {"power": TRUTHS[0], "power_floor": TRUTHS[3], "saturating": TRUTHS[7]}[law]
    errors = truth.error_at(LN_N) + rng.normal(0, 0.008, (1, 7))
    found = fit_curves(law, LN_N, errors, FLAT, ceiling=ceiling_of(truth), n_grid=400)
    ours = float(np.square(errors - found.error_at(LN_N)).sum())

    def residual(theta: np.ndarray) -> np.ndarray:
        if law == "saturating":
            h = 1 / (1 + np.exp(np.exp(theta[2]) * (Z - theta[1])))
            return theta[0] + (ceiling_of(truth) - theta[0]) * h - errors[0]
        return (theta[0] if law == "power_floor" else 0.0) + theta[1] * np.exp(-np.exp(theta[2]) * Z) - errors[0]

    low = [0.0, -20.0, -7] if law == "saturating" else [0.0, 0.0, -7]
    ends = [
        least_squares(
            residual,
            [rng.uniform(0, 0.2), rng.uniform(0.1, 0.5), rng.normal(-1, 1)],
            method="trf",
            bounds=(low, [0.8, 20.0, 2.5]),
            ftol=1e-15,
            xtol=1e-15,
            gtol=1e-15,
        )
        for _ in range(30)
    ]
    theirs = min(2 * one.cost for one in ends)
    assert ours <= theirs * (1 + 1e-9)
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_all_draws_together_give_what_each_gives_alone() -> None:
    rng = np.random.default_rng(1)
    errors = 0.05 + 0.4 * np.exp(-0.3 * Z) + rng.normal(0, 0.02, (40, 7))
    together = fit_curves("power_floor", LN_N, errors, FLAT, n_grid=60)
    for k in range(40):
        alone = fit_curves("power_floor", LN_N, errors[k : k + 1], FLAT, n_grid=60)
        assert together.slope[k] == pytest.approx(alone.slope[0], abs=1e-9)


def test_a_rising_arm_gets_a_floor_fit_that_is_flat() -> None:
    rising = (0.2 + 0.02 * np.arange(7))[None]
    found = fit_curves("power_floor", LN_N, rising, FLAT)
    assert found.excess[0] == 0 and found.floor[0] == pytest.approx(0.26, abs=1e-12)


def result(errors: np.ndarray, law: str, p_value: float = 1.0, **more: float):
    ln_n, one = LN_N[: len(errors)], np.ones(len(errors))
    curves = fit_curves(law, ln_n, errors[None], one, n_grid=400, **more)
    return fit_result("arm", law, ln_n, curves, errors, one, 1e-4 * one, p_value=p_value, **more)


def test_a_clean_fit_converges_from_every_start_with_a_vanishing_gradient() -> None:
    found = result(TRUTHS[3].error_at(LN_N)[0] + 1e-3 * np.array([1, -1, 1, 0, -1, 1, -1]), "power_floor")
    assert found.status is FitStatus.CONVERGED
    assert found.frac_at_best == 1.0
    assert found.gradient_norm < 1e-10
    assert found.bounds_hit == ()


def test_a_floor_at_zero_and_a_rising_curve_say_so() -> None:
    bent_down = 0.5 - 0.03 * np.arange(7)
    assert result(bent_down, "power_floor").status is FitStatus.AT_BOUND
    assert "floor=0" in result(bent_down, "power_floor").bounds_hit
    rising = result(0.2 + 0.02 * np.arange(7), "power")
    assert rising.status is FitStatus.NOT_FALLING
    assert "not_falling" in [one.code for one in rising.notes]


def test_a_scan_with_two_valleys_is_multimodal_and_one_valley_is_not() -> None:
    x = np.linspace(-2, 2, 400)
    assert basins_of(1 + (x**2 - 1) ** 2)[1]
    assert basins_of(1 + (x + 0.2) ** 2) == (1.0, False)
    share, is_multimodal = basins_of(1 + (x**2 - 1) ** 2 + 0.5 * x)
    assert not is_multimodal and 0.4 < share < 0.7


def test_parameters_stand_at_a_reference_size() -> None:
    found = result(TRUTHS[0].error_at(LN_N)[0] + 0.05 * np.array([1, -1, 1, -1, 1, -1, 1]), "power")
    assert found.params["n_ref"] == pytest.approx(1024.0)
    assert found.params["error_at_ref"] == pytest.approx(0.4, abs=0.02)


def test_a_small_p_of_the_residuals_is_named() -> None:
    curve = TRUTHS[0].error_at(LN_N)[0]
    assert "bad_fit" not in [one.code for one in result(curve, "power", p_value=0.06).notes]
    (note,) = [one for one in result(curve, "power", p_value=0.004).notes if one.code == "bad_fit"]
    assert note.text == "arm: residuals of power are beyond the noise: of tables drawn from it 0.4% fit as badly"


def test_too_few_sizes_for_a_law_are_refused_or_noted() -> None:
    with pytest.raises(ValueError, match="power_floor has 3 parameters and needs 4 sizes"):
        fit_curves("power_floor", LN_N[:3], np.ones((1, 3)), np.ones(3))
    assert "few_sizes" in [one.code for one in result(0.5 - 0.03 * np.arange(3), "power").notes]


def test_an_unknown_law_lists_the_laws_and_a_missing_ceiling_is_asked_for() -> None:
    with pytest.raises(ValueError, match="law 'cubic' is unknown; the laws are power, power_floor"):
        form("cubic")
    with pytest.raises(ValueError, match="needs the error at zero data"):
        fit_curves("saturating", LN_N, TRUTHS[0].error_at(LN_N), FLAT)
    with pytest.raises(
        ValueError, match=r"law chinchilla is of model size and data together .* `fit --law chinchilla`"
    ):
        form("chinchilla")
    with pytest.raises(ValueError, match="not shared between arms"):
        fit_shared("power", [LN_N, LN_N], [np.ones((1, 7))] * 2, [FLAT, FLAT])


@pytest.mark.parametrize("truth", [one for one in TRUTHS if one.slope[0] > 0], ids=lambda one: one.name)
def test_the_inverse_undoes_the_law(truth: Curves) -> None:
    assert truth.ln_size_at(truth.error_at(LN_N)[0])[0] == pytest.approx(LN_N, abs=1e-9)


def test_errors_that_no_size_reaches_are_infinite() -> None:
    floor = curve("power_floor", 0.1, 0.3, 0.3)
    assert floor.ln_size_at(np.array([0.1, 0.05])).tolist() == [[np.inf, np.inf]]
    rising = curve("power", 0.0, 0.3, -0.1)
    assert rising.ln_size_at(np.array([0.2, 0.4])).tolist() == [[np.inf, -np.inf]]
    bent = curve("saturating", 0.1, 0.7, 0.9, 0.0, 0.8)
    assert bent.ln_size_at(np.array([0.05, 0.85])).tolist() == [[np.inf, -np.inf]]


def test_isotonic_pools_neighbours_and_reads_between_them() -> None:
    # sizes 2 and 3 stand in the wrong order and are pooled at their mean, 0.3
    found = isotonic_curves(np.array([0.0, 1.0, 2.0, 3.0]), np.array([[0.5, 0.2, 0.4, 0.1]]), np.ones(4))
    assert found.errors[0] == pytest.approx([0.5, 0.3, 0.3, 0.1])
    # on the flat stretch the middle; between 0.5 and 0.3 the geometric mean lies half way
    assert found.ln_size_at(np.array([np.sqrt(0.15), 0.6, 0.05]))[0] == pytest.approx([0.5, -np.inf, np.inf])
    assert found.error_at(np.array([0.5]))[0] == pytest.approx([np.sqrt(0.15)])


def test_isotonic_weights_pull_the_pooled_mean() -> None:
    found = isotonic_curves(np.array([0.0, 1.0]), np.array([[0.2, 0.5]]), np.array([3.0, 1.0]))
    assert found.errors[0] == pytest.approx([0.275, 0.275])


def test_an_interval_of_mirrored_draws_is_the_mirrored_interval() -> None:
    draws = np.random.default_rng(0).normal(size=999) ** 3
    low, high = interval(draws, 0.95)
    assert interval(-draws, 0.95) == (-high, -low)
    assert interval(np.append(draws, [np.inf] * 100), 0.95)[1] == np.inf


def test_the_slope_grid_holds_rising_curves_for_a_plain_power_law_alone() -> None:
    assert slope_grid(48, has_floor=False)[0] == pytest.approx(-1.0)
    assert slope_grid(48, has_floor=True)[0] == pytest.approx(1e-3)
