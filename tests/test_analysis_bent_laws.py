"""The laws that bend at both ends: the sigmoid in ln n (ScaleRL) and M4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq, least_squares

from analysis.__main__ import main
from analysis.commands import held_out, multipliers
from analysis.held_out import LAWS, offered
from analysis.laws.curves import Curves
from analysis.laws.fit import FitStatus, fit_curves, fit_result
from analysis.laws.forms import form
from analysis.options import Options
from analysis.tables.table import Columns

SIZES = np.geomspace(100, 1e5, 12)
LN_N = np.log(SIZES)
FLAT = np.ones(len(SIZES))
LOSS = Columns(x="tokens", y="loss", y_is="loss", stderr="se")


def curve(law: str, floor: float, ceiling: float, slope: float, midpoint: float, alpha: float = 1.0) -> Curves:
    values = {"floor": floor, "ceiling": ceiling, "excess": ceiling - floor, "slope": slope, "midpoint": midpoint}
    return Curves(
        form(law), float(LN_N.mean()), {name: np.array([one]) for name, one in {**values, "alpha": alpha}.items()}
    )


TRUTHS = [
    curve("sigmoid", 0.1, 0.8, 0.9, 0.3),
    curve("sigmoid", 0.0, 0.7, 0.35, -1.0),
    curve("m4", 0.1, 0.8, 0.9, 0.3, 0.5),
    curve("m4", 0.05, 0.9, 0.5, -0.5, 2.0),
    curve("m4", 0.3, 0.95, 0.4, 0.5, 1.4),
]
IDS = [f"{one.name} alpha={one.values['alpha'][0]}" for one in TRUTHS]


@pytest.mark.parametrize("truth", TRUTHS, ids=IDS)
def test_a_law_without_noise_is_recovered_to_a_millionth(truth: Curves) -> None:
    found = fit_curves(truth.name, LN_N, truth.error_at(LN_N), FLAT, top=1.0)
    for name, value in truth.values.items():
        assert found.values[name] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("truth", TRUTHS, ids=IDS)
def test_gradients_agree_with_central_differences(truth: Curves) -> None:
    values = {name: float(truth.values[name][0]) for name in ("floor", "ceiling", "slope", "midpoint", "alpha")}
    for k, name in enumerate(truth.law.names):
        up, down = (curve(truth.name, **{**values, name: values[name] + by}).error_at(LN_N)[0] for by in (1e-6, -1e-6))
        assert truth.gradient(LN_N)[0, :, k] == pytest.approx((up - down) / 2e-6, abs=1e-8), name


@pytest.mark.parametrize("truth", TRUTHS, ids=IDS)
def test_the_inverse_undoes_the_law_and_the_ends_are_never_reached(truth: Curves) -> None:
    assert truth.ln_size_at(truth.error_at(LN_N)[0])[0] == pytest.approx(LN_N, abs=1e-9)
    floor, ceiling = truth.floor[0], truth.values["ceiling"][0]
    assert truth.ln_size_at(np.array([floor, floor - 0.01, ceiling, 0.99])).tolist() == [
        [np.inf, np.inf, -np.inf, -np.inf]
    ]


def test_m4_is_the_published_relation() -> None:
    # (y - E) / (C - y)^alpha = beta n^c with E = 0.2, C = 0.9, alpha = 1.5, c = -0.5, beta = 6, solved by bisection
    n = np.geomspace(50, 5e4, 12)
    y = [brentq(lambda y, x=x: (y - 0.2) - 6 * x**-0.5 * (0.9 - y) ** 1.5, 0.2, 0.9, xtol=1e-15) for x in n]
    found = fit_curves("m4", np.log(n), np.array([y]), FLAT, top=1.0)
    result = fit_result("a", "m4", np.log(n), found, np.array(y), FLAT, 1e-6 * FLAT, top=1.0)
    told = {name: result.params[name] for name in ("floor", "ceiling", "alpha", "b")}
    assert told == pytest.approx({"floor": 0.2, "ceiling": 0.9, "alpha": 1.5, "b": 0.5}, abs=1e-5)
    assert result.params["ln_beta"] == pytest.approx(np.log(6), abs=1e-4)
    assert result.params["n_half"] == pytest.approx((6 * 0.35**1.5 / 0.35) ** 2, rel=1e-5)  # (0.9 + 0.2) / 2 there


def test_the_sigmoid_gives_the_parameters_of_an_rl_run() -> None:
    # pass rate from 0.3 to A = 0.61, half of the gain at 3,000 GPU hours, B = 2: at 3,000 it is 0.455, at 6,000
    # 0.3 + 0.31 / (1 + 1/4) = 0.548, at 1,500 0.3 + 0.31 / (1 + 4) = 0.362
    hours = np.array([750, 1500, 3000, 6000, 12000, 24000.0])
    rate = np.array([0.3 + 0.31 / 17, 0.362, 0.455, 0.548, 0.3 + 0.31 * 16 / 17, 0.3 + 0.31 * 64 / 65])
    found = fit_curves("sigmoid", np.log(hours), 1 - rate[None], np.ones(6), top=1.0)
    told = form("sigmoid").named(found)
    assert 1 - told["floor"][0] == pytest.approx(0.61, abs=1e-6)
    assert 1 - told["ceiling"][0] == pytest.approx(0.3, abs=1e-6)
    assert (told["b"][0], told["n_half"][0]) == (pytest.approx(2, abs=1e-5), pytest.approx(3000, rel=1e-5))
    # where the start is measured, saturating is the same law with a parameter less
    fixed = fit_curves("saturating", np.log(hours), 1 - rate[None], np.ones(6), ceiling=0.7)
    assert 1 - fixed.floor[0] == pytest.approx(0.61, abs=1e-6)


@pytest.mark.parametrize("law, truth", [("sigmoid", TRUTHS[0]), ("m4", TRUTHS[2])])
def test_scipy_from_many_starts_finds_no_better_optimum(law: str, truth: Curves) -> None:
    rng = np.random.default_rng(3)
    errors = truth.error_at(LN_N) + rng.normal(0, 0.01, (1, 12))
    found = fit_curves(law, LN_N, errors, FLAT, top=1.0)
    ours = float(np.square(errors - found.error_at(LN_N)).sum())

    def residual(theta: np.ndarray) -> np.ndarray:
        floor, ceiling, midpoint, ln_b, alpha = [*theta, 1.0][:5]
        return curve(law, floor, ceiling, np.exp(ln_b), midpoint, alpha).error_at(LN_N)[0] - errors[0]

    low, high = [0.0, 0.5, -8, -4, 0.01], [0.5, 1.0, 8, 2.5, 6]
    n = 4 if law == "sigmoid" else 5
    ends = [
        least_squares(
            residual,
            [rng.uniform(0, 0.3), rng.uniform(0.6, 1), rng.normal(), rng.normal(-0.5, 0.5), rng.uniform(0.2, 3)][:n],
            bounds=(low[:n], high[:n]),
            ftol=1e-14,
            xtol=1e-14,
            gtol=1e-14,
        )
        for _ in range(12)
    ]
    assert ours <= 2 * min(one.cost for one in ends) * (1 + 1e-6)


def test_what_the_data_do_not_show_is_said() -> None:
    straight = 0.6 * (SIZES / 100) ** -0.15  # a power law: neither end is there to be found
    found = fit_curves("m4", LN_N, straight[None], FLAT, top=1.0)
    result = fit_result("a", "m4", LN_N, found, straight, FLAT, 1e-6 * FLAT, top=1.0)
    assert result.status is not FitStatus.CONVERGED
    assert found.values["ceiling"][0] <= 1.0
    assert result.fitted == pytest.approx(straight, abs=0.01)
    rising = fit_curves("sigmoid", LN_N, TRUTHS[0].error_at(LN_N)[:, ::-1], FLAT, top=1.0)
    assert fit_result("a", "sigmoid", LN_N, rising, FLAT, FLAT, FLAT).status is FitStatus.NOT_FALLING


def test_all_draws_together_give_what_each_gives_alone() -> None:
    errors = TRUTHS[3].error_at(LN_N) + np.random.default_rng(1).normal(0, 0.01, (5, 12))
    together = fit_curves("m4", LN_N, errors, FLAT, top=1.0)
    for k in range(5):
        alone = fit_curves("m4", LN_N, errors[k : k + 1], FLAT, top=1.0)
        assert together.error_at(LN_N)[k] == pytest.approx(alone.error_at(LN_N)[0], abs=1e-9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Losses of two arms that bend at both ends; an example of B is worth 3 of A everywhere."""
    rng = np.random.default_rng(0)
    rows = [
        (arm, n, 0, 2 + 9 / (1 + (worth * n / 4000) ** 0.8) * np.exp(0.002 * rng.normal()), 0.01)
        for arm, worth in (("A", 1), ("B", 3))
        for n in SIZES
    ]
    out = tmp_path / "losses.csv"
    pd.DataFrame(rows, columns=["arm", "tokens", "seed", "loss", "se"]).to_csv(out, index=False)
    return out


@pytest.mark.parametrize("law", ["sigmoid", "m4"])
def test_a_multiplier_is_read_from_the_law(path: Path, law: str) -> None:
    (one,) = multipliers(path, Options(baseline="A", law=law, n_draws=100, columns=LOSS))
    m = one.multiplier
    assert (m.law, m.kind) == (law, "interior")
    assert m.ci_low < 3 < m.ci_high and m.form_values[law] == pytest.approx(3, rel=0.03)


def test_held_out_errors_stand_beside_the_rest(path: Path, capsys: pytest.CaptureFixture) -> None:
    options = Options(baseline="A", n_draws=100, columns=LOSS, of=("A",), ceiling=11.0)
    scores = {one.law: one.shared for one in held_out(path, options, ["power", "saturating", "sigmoid"]).scores}
    assert scores["saturating"].rmsle < scores["sigmoid"].rmsle < 0.1 < scores["power"].rmsle
    words = [
        str(path),
        "--baseline",
        "A",
        "--x",
        "tokens",
        "--y",
        "loss",
        "--y-is",
        "loss",
        "--draws",
        "100",
        "--stderr",
        "se",
    ]
    assert main(["validate", *words, "--law", "log_log,sigmoid"]) == 0
    said = capsys.readouterr().out
    assert "log_log" in said and "sigmoid" in said and "power" not in said
    assert main(["multiplier", *words, "--law", "learning_efficiency"]) == 2
    assert "of model size and data together and no curve of one size" in capsys.readouterr().err


def test_laws_with_many_parameters_are_offered_where_there_are_sizes_for_them() -> None:
    assert offered(9) == LAWS
    assert offered(10) == (*LAWS, "sigmoid")
    assert offered(12) == (*LAWS, "sigmoid", "m4")
