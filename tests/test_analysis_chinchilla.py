"""The two-variable law E + A/N^a + B/D^b."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from analysis.laws.chinchilla import _Problem, fit_chinchilla
from analysis.laws.fit import FitStatus
from analysis.laws.surface import read_losses


def points(n: int, noise: float = 0.0) -> np.ndarray:
    """Besiroglu et al.'s optimum as the truth."""
    rng = np.random.default_rng(0)
    size = np.exp(rng.uniform(np.log(5e7), np.log(1.6e10), n))
    tokens = np.exp(rng.uniform(np.log(5e8), np.log(5e11), n))
    loss = 1.8169 + 482.01 / size**0.3478 + 2085.43 / tokens**0.3658
    return np.stack([size, tokens, loss * np.exp(noise * rng.normal(size=n))], axis=1)


@pytest.mark.parametrize("objective", ["huber", "least_squares"])
def test_a_law_without_noise_is_recovered_to_a_millionth(objective: str) -> None:
    found = fit_chinchilla(points(60), objective=objective)
    assert found.params["E"] == pytest.approx(1.8169, abs=1e-6)
    assert found.params["alpha"] == pytest.approx(0.3478, abs=1e-6)
    assert found.params["beta"] == pytest.approx(0.3658, abs=1e-6)
    assert found.params["A"] == pytest.approx(482.01, rel=1e-6)
    assert found.params["B"] == pytest.approx(2085.43, rel=1e-6)
    assert found.status is FitStatus.CONVERGED
    assert found.frac_at_best == 1.0


@pytest.mark.parametrize("objective", ["huber", "least_squares"])
def test_gradients_agree_with_central_differences(objective: str) -> None:
    data = points(30, noise=0.003)
    problem = _Problem(np.log(data[:, 0]) - 20.5, np.log(data[:, 1]) - 23.5, data[:, 2], objective, 1e-3)
    theta = np.array([0.55, -1.2, -1.1, 0.37, 0.33])
    step = 1e-6
    for k in range(5):
        move = step * np.eye(5)[k]
        numeric = (problem.value(theta + move) - problem.value(theta - move)) / (2 * step)
        assert problem.gradient(theta)[k] == pytest.approx(numeric, rel=1e-5, abs=1e-6)
    assert approx_fprime(theta, problem.value, 1e-8) == pytest.approx(problem.gradient(theta), rel=1e-3, abs=1e-3)


def test_intervals_hold_the_truth_and_the_seed_decides_them() -> None:
    data = points(80, noise=0.004)
    found = fit_chinchilla(data, objective="least_squares", n_draws=40)
    low, high = found.intervals["alpha"]
    assert low < 0.3478 < high
    for name in ("A", "B", "E", "alpha", "beta"):
        low, high = found.intervals[name]
        assert 0 < found.standard_errors[name] < high - low
    assert fit_chinchilla(data, objective="least_squares", n_draws=40).intervals == found.intervals
    assert fit_chinchilla(data, objective="least_squares", n_draws=40, seed=1).intervals != found.intervals


def test_a_flat_profile_is_not_called_a_clean_optimum() -> None:
    # loss depends on the tokens alone: the size's term is not there to be found
    data = points(40)
    data[:, 2] = 1.8 + 2085.43 / data[:, 1] ** 0.3658
    found = fit_chinchilla(data, objective="least_squares")
    assert found.status is not FitStatus.CONVERGED or found.frac_at_best < 1


def test_bad_input_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="5 points for 5 parameters"):
        fit_chinchilla(points(5))
    flat = points(20)
    flat[:, 0] = 1e9
    with pytest.raises(ValueError, match="n_params has 1 distinct values"):
        fit_chinchilla(flat)
    path = tmp_path / "losses.csv"
    path.write_text("n_params,n_tokens,loss\n1e8,1e9,3.1\n1e9,1e9,-2\n")
    with pytest.raises(ValueError, match="loss must be positive in every row, row 1 is -2"):
        read_losses(path, "n_params", "n_tokens", "loss")
    with pytest.raises(ValueError, match=r"no column .tokens. \(did you mean n_tokens\?\); the columns are n_params"):
        read_losses(path, "n_params", "tokens", "loss")
    with pytest.raises(ValueError, match="no such file"):
        read_losses(tmp_path / "none.csv", "n_params", "n_tokens", "loss")
    for name, content in (("cut.parquet", b"PAR1PK"), ("cut.csv", b'n,d,loss\n1,"2,3\n')):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=rf"{name}: "):
            read_losses(tmp_path / name, "n_params", "n_tokens", "loss")
