"""Limits for all arms at once, and the baseline read as an arm."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from analysis_tables import outcomes
from scipy import stats
from simulated_tables import power, saturating

from analysis import terminal
from analysis.commands import multipliers
from analysis.noise.draws import draws
from analysis.options import Options
from analysis.worth import identity
from analysis.worth.comparison import Comparison
from analysis.worth.identity import identity_of
from analysis.worth.joint import jointly
from analysis.worth.multiplier import Bound, Drawn, Multiplier
from analysis.worth.readings import at_sizes, headline

SFT, TWICE = power(1.0, 0.15), power(2**-0.15, 0.15)


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    laws = {"SFT": SFT, "a": TWICE, "b": TWICE, "c": saturating(0.6, 400.0, 0.6)}
    return Comparison(draws(outcomes(laws, n_seeds=3, n_problems=600), 1000))


@pytest.fixture(scope="module")
def one(comparison: Comparison) -> Multiplier:
    return headline(comparison, "a", "SFT")


def drawn(one: Multiplier, ln_m: np.ndarray, bound: Bound = "=") -> Multiplier:
    return dataclasses.replace(one, drawn=Drawn(ln_m, bound))


def test_limits_for_twelve_independent_arms_are_sidaks(one: Multiplier) -> None:
    z = np.random.default_rng(0).standard_normal((40_000, 12))
    wanted = stats.norm.ppf((1 + 0.95 ** (1 / 12)) / 2)  # 2.87 where one arm has 1.96
    for m in jointly([drawn(one, column) for column in z.T]):
        assert m.n_joint == 12 and np.log(m.joint_ci) == pytest.approx([-wanted, wanted], abs=0.12)
        assert (m.ci_low, m.ci_high) == (one.ci_low, one.ci_high)  # the single ones stay


def test_arms_that_are_one_arm_cost_nothing(one: Multiplier) -> None:
    z = np.random.default_rng(0).standard_normal(40_000)
    for m in jointly([drawn(one, z)] * 12):
        assert np.log(m.joint_ci) == pytest.approx([-1.96, 1.96], abs=0.05)


def test_too_few_draws_for_ranks_take_bonferronis_level(one: Multiplier) -> None:
    """199 draws, limits at the fifth from the ends: .95 either side of 0, times 2.865/1.960."""
    z = np.arange(-99, 100) / 100
    for m in jointly([drawn(one, z)] * 12):
        assert np.log(m.joint_ci) == pytest.approx([-1.389, 1.389], abs=0.001)
    for m in jointly([drawn(one, z + 1)] * 12):  # as far from the median, wherever that is
        assert np.log(m.joint_ci) == pytest.approx([1 - 1.389, 1 + 1.389], abs=0.001)
    never = np.full(199, np.inf)
    for n_others in (1, 11):  # by ranks, by Bonferroni
        assert jointly([drawn(one, never), *[drawn(one, z)] * n_others])[0].joint_ci == (np.inf, np.inf)


def test_ranks_need_two_draws_beyond_bonferronis_limit(one: Multiplier) -> None:
    """Of 12 arms that are one: by ranks as wide as one alone; 960 x .025 / 12 is 2."""
    for n_draws, wider in ((961, 1.0), (959, 2.865 / 1.960)):
        z = stats.norm.ppf((np.arange(n_draws) + 0.5) / n_draws)
        m = jointly([drawn(one, z)] * 12)[0]
        assert np.log(m.joint_ci) == pytest.approx([-1.96 * wider, 1.96 * wider], rel=0.03)


def test_a_bound_stays_open_and_one_arm_alone_has_no_joint_limits(one: Multiplier) -> None:
    z = np.random.default_rng(0).standard_normal(4000)
    above, below = jointly([drawn(one, z, ">="), drawn(one, z, "<=")])
    assert above.joint_ci[1] == np.inf and above.joint_ci[0] > 0 and below.joint_ci[0] == 0
    assert jointly([one]) == [one] and one.joint_ci is None


def test_joint_limits_hold_the_single_ones_and_open_beyond_the_ratios_that_were_run(comparison: Comparison) -> None:
    for size in range(len(comparison.sizes("a"))):
        found = jointly([at_sizes(comparison, arm, "SFT")[size] for arm in "abc"])
        for m in found:
            assert m.joint_ci[0] <= m.ci_low and m.ci_high <= m.joint_ci[1]
            assert m.joint_ci[1] == np.inf or m.joint_ci[1] <= m.drawn.ln_m.max() + m.at_size


@pytest.mark.parametrize("law", ["auto", "power", "log_linear"])
@pytest.mark.parametrize("arm", ["SFT", "c"])
def test_the_baseline_against_itself_is_worth_1_at_every_size(comparison: Comparison, law: str, arm: str) -> None:
    found = identity_of(Comparison(comparison.draws, law=law), arm)
    assert found.broken == () and found.notes == () and found.middle.arm == f"{arm} against itself"
    assert [m.at_size for m in found.by_size] == comparison.sizes(arm)
    assert found.middle.multiplier == pytest.approx(1)


def test_a_baseline_that_is_not_itself_is_said_to_be(comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*asked: object) -> list[Multiplier]:
        first, second, *rest = at_sizes(*asked)
        return [first, dataclasses.replace(second, ci_high=0.97), *rest]

    monkeypatch.setattr(identity, "at_sizes", wrong)
    found = identity_of(comparison, "SFT")
    assert found.broken == (256.0,)
    assert [(one.code, one.severity) for one in found.notes] == [("identity_broken", "serious")]
    assert found.notes[0].text.startswith("SFT against itself leaves 1 out at n = 256")


def test_the_terminal_and_the_json_say_both(tmp_path: Path) -> None:
    rows = [
        f"{arm},{n},{s},{int(600 * (1 - law(n)) + s)},600"
        for arm, law in (("SFT", SFT), ("a", TWICE), ("b", TWICE))
        for n in (128, 256, 512, 1024, 2048)
        for s in (0, 7, 11)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["arm,n_problems,seed,n_correct,n_test", *rows]))
    found = multipliers(tmp_path / "t.csv", Options(n_draws=400), at_size=512)
    text = terminal.results_text(found)
    assert "jointly over 2 arms" in text and "over 3 seeds" in text
    assert "SFT against itself: holds 1 at all of its 5 sizes" in text
    as_object = terminal.result_object(found[0])
    assert as_object["n_joint"] == 2 and len(as_object["joint_ci"]) == 2 and "drawn" not in as_object
    assert as_object["identity"]["holds"] is True and len(as_object["identity"]["by_size"]) == 5
    assert as_object["by_unit"]["unit"] == "seed" and as_object["at_error"] == found[0].multiplier.at_error
