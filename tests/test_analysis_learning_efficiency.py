"""ln L = -k(N) ln X + E(N) of RL post-training, k(N) = K_max / (1 + N_0 / N)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit

from analysis.__main__ import main
from analysis.laws.fit import FitStatus
from analysis.laws.learning_efficiency import fit_learning_efficiency, predicted

SIZES = np.array([0.5e9, 1.5e9, 3e9, 7e9, 14e9])
LEVEL = dict(zip(SIZES, np.log([0.75, 0.6, 0.5, 0.35, 0.28]), strict=True))  # ln L at x = 1e4


def points(noise: float = 0.0, n_0: float = 5e9, k_max: float = 0.2, seed: int = 0) -> np.ndarray:
    rng, x = np.random.default_rng(seed), np.geomspace(1e3, 1e5, 9)
    rows = [
        (n, one, np.exp(LEVEL[n] - k_max / (1 + n_0 / n) * np.log(one / 1e4) + noise * rng.normal()))
        for n in SIZES
        for one in x
    ]
    return np.array(rows)


def test_a_law_without_noise_is_recovered() -> None:
    found = fit_learning_efficiency(points())
    assert found.params["K_max"] == pytest.approx(0.2, rel=1e-5)
    assert found.params["N_0"] == pytest.approx(5e9, rel=1e-4)
    assert found.params["x_ref"] == pytest.approx(1e4)
    for n in SIZES:
        assert found.params[f"E[{n:g}]"] == pytest.approx(LEVEL[n], abs=1e-6)
    assert (found.status, found.frac_at_best) == (FitStatus.CONVERGED, 1.0)


def test_half_of_the_efficiency_is_reached_at_n_0() -> None:
    # at N = N_0 = 7e9 k is K_max / 2 = 0.15: ten times the data is worth 10^-0.15 = 0.708 of the error
    found = fit_learning_efficiency(points(n_0=7e9, k_max=0.3))
    low, high = predicted(found, np.array([7e9, 7e9]), np.array([1e4, 1e5]))
    assert high / low == pytest.approx(0.70795, abs=1e-4)
    with pytest.raises(KeyError, match=r"E\[7.2e.10\]"):
        predicted(found, np.array([72e9]), np.array([1e4]))


def test_scipy_finds_no_better_optimum_and_the_intervals_hold_the_truth() -> None:
    data = points(noise=0.01)
    found = fit_learning_efficiency(data, n_draws=60)
    which = np.searchsorted(SIZES, data[:, 0])

    def law(_: np.ndarray, k_max: float, ln_n_0: float, *level: float) -> np.ndarray:
        return np.array(level)[which] - k_max / (1 + np.exp(ln_n_0) / data[:, 0]) * np.log(data[:, 1] / 1e4)

    theirs, covariance = curve_fit(law, data[:, 0], np.log(data[:, 2]), p0=[0.3, np.log(1e9), *[-1.0] * 5])
    assert found.params["K_max"] == pytest.approx(theirs[0], rel=1e-4)
    assert np.log(found.params["N_0"]) == pytest.approx(theirs[1], abs=1e-3)
    for name, truth in (("K_max", 0.2), ("N_0", 5e9)):
        low, high = found.intervals[name]
        assert low < truth < high, name
    assert found.standard_errors["K_max"] == pytest.approx(np.sqrt(covariance[0, 0]), rel=0.35)
    assert fit_learning_efficiency(data, n_draws=5).intervals == fit_learning_efficiency(data, n_draws=5).intervals
    other = fit_learning_efficiency(data, n_draws=5, seed=1)
    assert other.intervals != fit_learning_efficiency(data, n_draws=5).intervals


def test_an_efficiency_that_does_not_saturate_is_said_to_lie_beyond_the_models() -> None:
    # k in proportion to N: any N_0 far above the models does
    found = fit_learning_efficiency(points(n_0=1e16, k_max=0.01 * 1e16 / 1e9))
    assert found.status in (FitStatus.AT_BOUND, FitStatus.MULTIMODAL)
    assert found.bounds_hit == ("N_0 beyond the models' sizes",)
    rising = points()
    rising[:, 2] = 1 / rising[:, 2]
    assert fit_learning_efficiency(rising).status is FitStatus.NOT_FALLING


def test_too_few_models_or_points_are_refused() -> None:
    with pytest.raises(ValueError, match="n_params has 2 distinct values, its exponent needs 3 or more"):
        fit_learning_efficiency(points()[:18])
    with pytest.raises(ValueError, match=r"the model of 1.4e\+10 parameters has 2 values of n_tokens"):
        fit_learning_efficiency(points()[:-7])


def test_the_command_line_fits_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "rl.csv"
    pd.DataFrame(points(), columns=["model", "compute", "error"]).to_csv(path, index=False)
    words = ["fit", str(path), "--law", "learning_efficiency", "--n-params", "model", "--n-tokens", "compute"]
    assert main([*words, "--y", "error", "--draws", "5"]) == 0
    assert "learning_efficiency on 45 points" in capsys.readouterr().out
    assert main([*words, "--y", "error", "--draws", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["params"]["K_max"] == pytest.approx(0.2, rel=1e-4)
