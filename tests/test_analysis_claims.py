"""What a table says of each claim: the declared rules, the verdicts, and how their numbers are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from analysis_tables import FALLING, SIZES, exact, write_sweep
from simulated_tables import power

from analysis.claims import rules, verdicts
from analysis.held_out import Score
from analysis.noise.draws import draws
from analysis.tables.read import table_at
from analysis.tables.table import Table
from analysis.worth.comparison import Comparison
from analysis.worth.readings import Multiplier
from analysis.worth.words import count, multiplier_text, times


def reading(bound: str, value: float, low: float, high: float) -> Multiplier:
    return Multiplier(
        "RFT",
        "SFT",
        0.3,
        None,
        value,
        low,
        high,
        0.95,
        "interior" if bound == "=" else "extrapolated",
        bound,
        "m",
        "power",
        "law and local",
        "converged",
        0.0,
        0.0,
        None,
        None,
        {},
        (np.nan, np.nan),
        (),
    )


@pytest.mark.parametrize(
    "m, times_, ruling",
    [
        (reading("=", 2.0, 1.01, 2.5), 2, "held"),  # reaches 2 and excludes 1
        (reading("=", 2.0, 0.99, 3.1), 2, "undecided"),  # may as well be 1
        (reading("=", 1.5, 1.2, 1.9), 2, "not held"),
        (reading("=", 3.0, 2.5, 3.5), 2, "held"),  # more than claimed
        (reading("=", 7.0, 4.1, 9.0), 8, "held"),
        (reading("=", 5.0, 2.9, 8.1), 8, "undecided"),  # reaches 8, but does not exclude 4
        (reading(">=", 16.0, 9.0, np.inf), 8, "held"),
        (reading(">=", 5.0, 4.5, np.inf), 8, "held"),  # a bound that excludes 4
        (reading(">=", 4.0, 4.0, np.inf), 8, "undecided"),
        (reading("<=", 4.0, 0.0, 5.0), 8, "not held"),
        (reading("<=", 4.0, 0.0, 9.0), 8, "undecided"),
        (reading("?", np.nan, 0.0, np.inf), 8, "undecided"),
    ],
)
def test_worth_k_times_follows_the_declared_rule(m: Multiplier, times_: float, ruling: str) -> None:
    assert verdicts.worth(m, times_) == ruling


def test_a_size_that_contradicts_makes_it_undecided() -> None:
    held, against = reading("=", 2.0, 1.6, 2.5), reading("=", 0.5, 0.3, 0.8)
    assert verdicts.worth(held, 2, [held, against]) == "undecided"
    assert verdicts.worth_more(held, [held, against]) == "undecided"
    assert verdicts.worth_more(held, [held]) == "held"
    assert verdicts.worth_more(against) == "not held"
    assert verdicts.worth_more(against, [held]) == "undecided"
    assert verdicts.worth(against, 2, [reading(">=", 4.0, 3.0, np.inf)]) == "undecided"


@pytest.mark.parametrize(
    "low, high, ruling",
    [(-0.05, -0.01, "held"), (0.01, 0.03, "not held"), (-0.0099, 0.0099, "not held"), (-0.0101, 0.0, "undecided"),
     (-0.001, 0.0101, "undecided"), (-0.03, 0.01, "undecided")],
)
def test_one_arm_beats_another_by_the_declared_rule(low: float, high: float, ruling: str) -> None:
    gap = verdicts.Difference("a", "b", (128.0,), (low + high) / 2, low, high, ((0.0, low, high),))
    assert verdicts.better(gap) == ruling


def test_which_arm_is_better_is_open_where_it_depends_on_the_size() -> None:
    def gap(low: float, high: float, *surely: tuple[float, float]) -> verdicts.Difference:
        return verdicts.Difference("a", "b", (64.0, 128.0), (low + high) / 2, low, high, ((0, low, high),) * 2, surely)

    assert verdicts.better(gap(-0.05, -0.01, (-0.2, -0.1), (0.01, 0.05))) == "undecided"
    assert verdicts.better(gap(-0.05, -0.01, (-0.2, -0.1), (-0.01, 0.05))) == "held"
    assert verdicts.better(gap(0.01, 0.05, (-0.2, -0.1), (0.2, 0.3))) == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "ruling"),
    [(-0.0099, 0.02, "held"), (-0.0099, -0.001, "held"), (-0.0101, -0.001, "not held"), (-0.0101, 0.01, "undecided")],
)
def test_more_of_something_flattens_where_it_surely_gains_no_point(low: float, high: float, ruling: str) -> None:
    gap = verdicts.Difference("a", "b", (128.0,), (low + high) / 2, low, high, ((0.0, low, high),))
    assert verdicts.flattens(gap) == ruling
    assert verdicts.flattens(None) == "not tested"


@pytest.mark.parametrize(("p_value", "is_refuted"), [(0.0099, True), (0.0101, False)])
def test_a_law_is_refuted_by_held_out_errors_that_one_table_in_a_hundred_has(p_value: float, is_refuted: bool) -> None:
    assert Score("power", 2, 10, 3.0, 0.1, 1.0, p_value, 0.1).is_refuted == is_refuted


def test_known_truths_get_their_verdicts(tmp_path: Path) -> None:
    table = write_sweep(tmp_path / "table", FALLING, n_problems=600)
    found = {one.claim: one.ruling for one in verdicts.verdicts_of(Comparison(draws(table_at(table), 400)))}
    assert found["RFT is worth more than 1x"] == "held"
    assert found["per-step DPO is worth more than 1x"] == "held"
    assert found["SFT beats the base model"] == "held"
    assert found["Negatives beat SFT with equally many updates"] == "held"
    assert found["The verifier matters (RFT)"] == "held"


def test_a_bound_is_written_as_a_bound() -> None:
    assert multiplier_text(reading(">=", 16.0, 16.0, np.inf)) == "≥ 16×"
    assert multiplier_text(reading(">=", 16.0, 9.0, np.inf)) == "≥ 16× [from 9.00×]"
    assert multiplier_text(reading("<=", 4.0, 0.0, 5.0)) == "≤ 4× [up to 5.00×]"
    assert multiplier_text(reading("=", 1.891, 1.561, 2.241)) == "1.89× [1.56×, 2.24×]"
    assert multiplier_text(reading("?", np.nan, 0.0, np.inf)) == "undefined"


def test_numbers_as_a_reader_sees_them() -> None:
    assert [times(x) for x in (0.0313, 0.5, 8.0, 24.12, 1230.0, np.inf, 0.0, 1e-5, 1e9)] == [
        "0.031×",
        "0.5×",
        "8.00×",
        "24.1×",
        "1,230×",
        "∞",
        "0×",
        "< 0.001×",
        "> 10⁶×",
    ]
    assert [count(x) for x in (128, 2048.0, 1.02e6, 3.4e9, 5.6e13, 0.25)] == [
        "128",
        "2,048",
        "1.02M",
        "3.4B",
        "5.6e+13",
        "0.25",
    ]


def ruled(table: Table, **more: str) -> dict[str, verdicts.Verdict]:
    return {one.claim: one for one in verdicts.verdicts_of(Comparison(draws(table, 199), law="power"), **more)}


def test_worth_at_its_exact_limits() -> None:
    bad = [reading("=", 1.0, 0.5, 1.9)]
    assert verdicts.worth(reading("=", 1.7, 1.5, 2.0), 2) == "held"  # an upper limit of 2 reaches 2
    assert verdicts.worth(reading("=", 1.7, 1.0, 2.5), 2) == "undecided"  # a lower limit of 1 does not exclude 1
    assert verdicts.worth(reading("=", 1.7, 1.5, 2.5), 2, [reading("=", 1.5, 1.2, 2.0)]) == "held"
    assert verdicts.worth(reading("=", 1.7, 1.5, 2.5), 2, bad) == "undecided"
    assert verdicts.worth(reading("=", 1.5, 1.2, 1.9), 2, [reading("=", 2.5, 2.0, 3.0)]) == "undecided"
    assert verdicts.worth(reading("=", 1.5, 1.2, 1.9), 2, [reading("=", 2.5, 1.9, 3.0)]) == "not held"


def test_worth_more_than_1_at_its_exact_limits() -> None:
    assert verdicts.worth_more(reading("=", 1.5, 1.0, 2.0)) == "undecided"
    assert verdicts.worth_more(reading("=", 0.5, 0.2, 1.0)) == "undecided"
    assert verdicts.worth_more(reading("=", 1.5, 1.1, 2.0), [reading("=", 0.9, 0.8, 1.0)]) == "held"
    assert verdicts.worth_more(reading("=", 0.5, 0.2, 0.9), [reading("=", 1.2, 1.0, 1.5)]) == "not held"
    assert verdicts.worth_more(reading("?", np.nan, 0.0, np.inf)) == "undecided"


def test_a_difference_at_its_exact_limits() -> None:
    def gap(low: float, high: float, *surely: tuple[float, float]) -> verdicts.Difference:
        return verdicts.Difference("a", "b", (64.0,), (low + high) / 2, low, high, ((0, low, high),), surely)

    assert verdicts.better(gap(-0.02, 0.0)) == "undecided"  # the interval touches 0
    assert verdicts.better(gap(0.0, 0.02)) == "undecided"
    assert verdicts.better(gap(-0.01, 0.01)) == "not held"  # just a point either way
    assert verdicts.better(gap(-0.05, -0.01, (0.0, 0.1))) == "held"
    assert verdicts.better(gap(0.01, 0.05, (-0.1, 0.0))) == "not held"
    assert verdicts.better(None) == "not tested"
    assert verdicts.flattens(gap(-0.01, 0.02)) == "undecided"
    assert verdicts.flattens(gap(-0.02, 0.0)) == "undecided"


def test_the_claims_of_worth_are_those_of_the_paper() -> None:
    assert rules.WORTH == (("RFT", 2), ("per-step DPO", 8))


def test_a_law_that_is_refuted_is_not_held_even_where_its_exponent_may_be_0() -> None:
    # up and down again: no power law, and as high at the end as at the start
    bump = dict(zip(SIZES, 0.5 - 0.01 * np.arange(-3, 4) ** 2, strict=True))
    found = ruled(exact({"SFT": bump.__getitem__, "RFT": power(0.3, 0.1)}))
    one = found["SFT's error falls as a power of n_problems"]
    assert one.ruling == one.corrected == "not held"
    assert "residuals exceed the noise" in one.evidence
