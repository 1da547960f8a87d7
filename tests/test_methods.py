"""The rows and pairs that each algorithm makes of solutions and mistakes, on a problem worked by hand.

Problem p0 has the right solution `a 1 ; b 2 ; ans C1`; steps end after their semicolon.
"""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch

from sweep.data.records import Credit, Judged, Pair, Row, Solution, Trace
from sweep.methods import METHODS
from sweep.methods.dials import Dials
from sweep.methods.material import Material

RIGHT = "a 1 ; b 2 ; ans C1"
OTHER = "a 1 ; c 3 ; ans C1"  # another way from the same first step
WRONG = "a 1 ; b 7 ; ans C0"  # goes wrong at step 1
MISTAKE = Credit("p0", WRONG, False, pass_rate=0.5, q_values=[0.6, 0.0])


def material(
    *solutions: str,
    traces: tuple[Trace, ...] = (),
    credits: tuple[Credit, ...] = (),
    seed: int = 0,
    max_solutions_per_problem: int = 4,
    **dials: Any,
) -> Material:
    return Material(
        prompts={"p0": "Q0 | ", "p1": "Q1 | "},
        solutions=[Solution("p0", text) for text in solutions],
        traces=traces,
        credits=credits,
        steps=lambda text: re.findall(r"[^;]*;\s*|[^;]+\Z", text),
        dials=Dials(**dials),
        max_solutions_per_problem=max_solutions_per_problem,
        rng=np.random.default_rng(seed),
    )


def wrong(text: str, is_finished: bool = True) -> Trace:
    return Trace("p0", text, is_correct=False, is_finished=is_finished)


# likelihood


def test_sft_trains_on_whole_solutions_after_the_bare_problem_with_an_end() -> None:
    assert METHODS["sft"].rows(material(RIGHT)) == [Row("Q0 | ", RIGHT, True, "p0")]


def test_sft_takes_no_more_solutions_of_a_problem_than_the_cap() -> None:
    rows = METHODS["sft"].rows(material("s0", "s1", "s2", "s3", "s4", max_solutions_per_problem=2))
    assert len(rows) == 2
    assert len({row.continuation for row in rows}) == 2


def test_which_solutions_survive_the_cap_depends_on_the_seed_alone() -> None:
    texts = [f"s{i}" for i in range(20)]
    drawn = [METHODS["sft"].rows(material(*texts, seed=seed)) for seed in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_more_updates_on_sft_is_the_same_rows_from_other_weights() -> None:
    assert METHODS["sft_more"].rows(material(RIGHT)) == METHODS["sft"].rows(material(RIGHT))
    assert (METHODS["sft"].start, METHODS["sft_more"].start) == ("base", "sft")


def test_chosen_sft_is_the_chosen_side_of_the_per_step_pairs_without_an_end_inside() -> None:
    rows = METHODS["chosen_sft"].rows(material(RIGHT, credits=(MISTAKE,)))
    assert rows == [Row("Q0 | a 1 ; ", "b 2 ; ", False, "p0")]


# DPO on whole solutions


def test_dpo_pairs_a_right_with_a_wrong_solution_both_with_an_end() -> None:
    pairs = METHODS["dpo"].rows(material(RIGHT, traces=(wrong(WRONG),)))
    assert pairs == [Pair("Q0 | ", RIGHT, WRONG, True, True, "p0")]


def test_dpo_uses_each_distinct_wrong_solution_once_and_repeats_right_ones() -> None:
    traces = (wrong("w0"), wrong("w1"), wrong("w1"), wrong("w2"))
    pairs = METHODS["dpo"].rows(material(RIGHT, traces=traces))
    assert sorted(pair.rejected for pair in pairs) == ["w0", "w1", "w2"]
    assert {pair.chosen for pair in pairs} == {RIGHT}


def test_dpo_leaves_out_unfinished_wrong_and_problems_without_a_right_solution() -> None:
    assert METHODS["dpo"].rows(material(RIGHT, traces=(wrong("w0", is_finished=False),))) == []
    assert METHODS["dpo"].rows(material(traces=(wrong("w0"),))) == []


def test_dpo_takes_no_more_pairs_of_a_problem_than_the_cap() -> None:
    traces = tuple(wrong(f"w{i}") for i in range(9))
    assert len(METHODS["dpo"].rows(material(RIGHT, traces=traces, max_pairs_per_problem=3))) == 3


def test_dpo_never_rejects_what_an_unverified_source_holds_up_as_good() -> None:
    pairs = METHODS["dpo"].rows(material(RIGHT, WRONG, traces=(wrong(WRONG), wrong("w0"))))
    assert [pair.rejected for pair in pairs] == ["w0"]


# DPO on distant pairs


def test_distant_dpo_sets_each_mistake_against_the_good_solution_that_differs_in_most_words() -> None:
    near, far = "a 1 ; b 2 ; ans C1", "x 9 ; y 8 ; z 7 ; ans C1"
    (pair,) = METHODS["distant_dpo"].rows(material(near, far, traces=(wrong("a 1 ; b 7 ; ans C0"),)))
    assert pair == Pair("Q0 | ", far, "a 1 ; b 7 ; ans C0", True, True, "p0")


def test_distant_dpo_keeps_the_most_distant_pairs_of_a_problem() -> None:
    near, farther, farthest = "a 1 ; b 7 ; ans C1", "a 3 ; b 7 ; ans C0", "c 3 ; d 7 ; e 9 ; ans C0"
    traces = (wrong(near), wrong(farthest), wrong(farther))
    pairs = METHODS["distant_dpo"].rows(material(RIGHT, traces=traces, max_pairs_per_problem=2))
    assert [pair.rejected for pair in pairs] == [farthest, farther]  # 7 and 3 words apart, near is 1


# per-step DPO


def test_right_traces_with_q_values_are_not_charged_with_anything() -> None:
    lucky = Credit("p0", "a 1 ; b 7 ; ans C1", True, 0.5, [0.6, 0.2, 1.0])
    assert METHODS["step_dpo"].rows(material(RIGHT, credits=(lucky,))) == []


def test_step_dpo_prefers_the_right_step_to_the_pit_at_their_shared_prefix_without_ends() -> None:
    pairs = METHODS["step_dpo"].rows(material(RIGHT, credits=(MISTAKE,)))
    assert pairs == [Pair("Q0 | a 1 ; ", "b 2 ; ", "b 7 ; ", False, False, "p0")]


def test_a_pit_in_the_answer_has_an_end_on_both_sides() -> None:
    late = Credit("p0", "a 1 ; b 2 ; ans C0", False, 0.5, [0.6, 0.6, 0.0])
    pairs = METHODS["step_dpo"].rows(material(RIGHT, credits=(late,)))
    assert pairs == [Pair("Q0 | a 1 ; b 2 ; ", "ans C1", "ans C0", True, True, "p0")]


def test_an_answer_given_too_early_is_final_and_the_step_in_its_place_is_not() -> None:
    early = Credit("p0", "a 1 ; ans C0", False, 0.5, [0.6, 0.0])
    pairs = METHODS["step_dpo"].rows(material(RIGHT, credits=(early,)))
    assert pairs == [Pair("Q0 | a 1 ; ", "b 2 ; ", "ans C0", False, True, "p0")]


def test_the_completion_spans_run_to_the_end_of_each_solution() -> None:
    pairs = METHODS["step_dpo"].rows(
        material(RIGHT, credits=(MISTAKE,), chosen_span="completion", rejected_span="completion")
    )
    assert pairs == [Pair("Q0 | a 1 ; ", "b 2 ; ans C1", "b 7 ; ans C0", True, True, "p0")]


def test_no_pair_where_no_right_solution_shares_the_prefix() -> None:
    assert METHODS["step_dpo"].rows(material("d 4 ; ans C1", credits=(MISTAKE,))) == []


def test_no_pair_where_every_right_solution_takes_the_very_same_step() -> None:
    neutral = Credit("p0", "a 1 ; b 7 ; ans C0", False, 0.5, [0.0])  # charged with step 0, which RIGHT takes too
    assert METHODS["step_dpo"].rows(material(RIGHT, credits=(neutral,))) == []


def test_the_shortest_rule_takes_the_shortest_way_on() -> None:
    longer = "a 1 ; b 2 ; c 3 ; ans C1"
    pairs = METHODS["step_dpo"].rows(
        material(longer, OTHER, credits=(MISTAKE,), chosen_rule="shortest", chosen_span="completion")
    )
    assert [pair.chosen for pair in pairs] == ["c 3 ; ans C1"]


def test_without_a_pit_there_is_no_pair() -> None:
    high = Credit("p0", WRONG, False, 0.5, [0.6, 0.4])
    rule = {"pit_rule": "first_below", "pit_threshold": 0.1}
    assert METHODS["step_dpo"].rows(material(RIGHT, credits=(high,), **rule)) == []


def test_without_a_pit_the_last_step_is_charged_where_the_config_says_so() -> None:
    high = Credit("p0", WRONG, False, 0.5, [0.6, 0.4])
    rule = {"pit_rule": "first_below", "pit_threshold": 0.1, "no_pit": "last_step"}
    at_last = METHODS["step_dpo"].rows(material(RIGHT, credits=(high,), **rule))
    at_pit = METHODS["step_dpo"].rows(material(RIGHT, credits=(Credit("p0", WRONG, False, 0.5, [0.6, 0.0]),)))
    assert at_last == at_pit != []


def test_step_dpo_takes_no_more_pairs_of_a_problem_than_the_cap_and_none_twice() -> None:
    credits = tuple(Credit("p0", f"a 1 ; b {i} ; ans C0", False, 0.5, [0.6, 0.0]) for i in (7, 8, 9, 7))
    assert len(METHODS["step_dpo"].rows(material(RIGHT, credits=credits))) == 3
    assert len(METHODS["step_dpo"].rows(material(RIGHT, credits=credits, max_pairs_per_problem=2))) == 2


def test_every_pair_shares_its_prefix_and_differs_after_it() -> None:
    credits = tuple(Credit("p0", f"a {i} ; b {i} ; ans C0", False, 0.5, [0.6, 0.0]) for i in (1, 2, 3))
    for name in ("step_dpo", "random_step_dpo"):
        pairs = METHODS[name].rows(material(RIGHT, OTHER, "a 2 ; ans C1", "d 1 ; ans C1", credits=credits))
        assert pairs
        for pair in pairs:
            before = pair.prefix.removeprefix("Q0 | ")
            assert any(credit.text.startswith(before + pair.rejected) for credit in credits)
            assert any(s.startswith(before + pair.chosen) for s in (RIGHT, OTHER, "a 2 ; ans C1", "d 1 ; ans C1"))
            assert pair.chosen.split() != pair.rejected.split()


# what the sources tell of the paper otherwise


def test_pit_dpo_cuts_the_wrong_solution_off_behind_its_pit_and_takes_the_right_one_whole() -> None:
    pairs = METHODS["pit_dpo"].rows(material(RIGHT, credits=(MISTAKE,)))
    assert pairs == [Pair("Q0 | ", RIGHT, "a 1 ; b 7 ; ", True, False, "p0")]


def test_pit_dpo_ends_the_rejected_side_where_the_pit_is_the_last_step() -> None:
    late = Credit("p0", WRONG, False, 0.5, [0.6, 0.4, 0.0])
    assert METHODS["pit_dpo"].rows(material(RIGHT, credits=(late,))) == [Pair("Q0 | ", RIGHT, WRONG, True, True, "p0")]


def test_pit_dpo_needs_a_pit_and_a_right_solution() -> None:
    hopeful = Credit("p0", WRONG, False, 0.5, [0.6, 0.4])
    never = {"pit_rule": "first_below", "pit_threshold": 0.1}
    assert METHODS["pit_dpo"].rows(material(RIGHT, credits=(hopeful,), **never)) == []
    assert METHODS["pit_dpo"].rows(material(credits=(MISTAKE,))) == []


def test_good_steps_are_those_that_raise_the_chance_out_of_right_and_wrong_solutions() -> None:
    right = Credit("p0", RIGHT, True, 0.5, [0.4, 0.8, 1.0])  # gains of -.1, .4, .2
    assert METHODS["good_steps"].rows(material(credits=(MISTAKE, right))) == [
        Row("Q0 | ", "a 1 ; ", False, "p0"),  # of the wrong solution: .5 to .6
        Row("Q0 | a 1 ; ", "b 2 ; ", False, "p0"),
        Row("Q0 | a 1 ; b 2 ; ", "ans C1", True, "p0"),
    ]
    assert METHODS["good_steps"].start == "base"


def test_a_good_step_that_two_solutions_share_is_one_row_and_one_without_a_q_value_none() -> None:
    twice = Credit("p0", OTHER, False, 0.5, [0.6])
    assert METHODS["good_steps"].rows(material(credits=(MISTAKE, twice))) == [Row("Q0 | ", "a 1 ; ", False, "p0")]


# judged solutions


JUDGED = ("grpo", "nft", "w_reinforce")


@pytest.mark.parametrize("name", JUDGED)
def test_every_finished_trace_of_a_problem_with_right_and_wrong_ones_is_judged(name: str) -> None:
    right = Trace("p0", RIGHT, True, True)
    traces = (wrong(WRONG), right, wrong("a 1 ;", is_finished=False), right, Trace("p1", "x", True, True))
    assert METHODS[name].rows(material(traces=traces)) == [
        Judged("Q0 | ", WRONG, True, "p0", False, 0.5),
        Judged("Q0 | ", RIGHT, True, "p0", True, 0.5),
        Judged("Q0 | ", RIGHT, True, "p0", True, 0.5),
    ]


def loss_and_slope(name: str, ratio: float, is_correct: bool, pass_rate: float, **dials: Any) -> tuple[float, float]:
    """Of one token: the loss, and its derivative by the policy's log-probability."""
    loss_of = METHODS[name].loss_of
    assert loss_of is not None
    logp = torch.tensor([math.log(ratio) - 1.0], requires_grad=True)
    value = loss_of(Dials(**dials))(
        logp, torch.tensor([-1.0]), torch.tensor([float(is_correct)]), torch.tensor([pass_rate])
    )
    value.sum().backward()
    assert logp.grad is not None
    return float(value), float(logp.grad)


@pytest.mark.parametrize(
    ("ratio", "is_correct", "pass_rate", "expected"),
    [
        (1.0, True, 0.5, (-1.0, -1.0)),  # A = (1 - .5) / .5 = 1
        (1.0, True, 0.2, (-2.0, -2.0)),  # A = .8 / .4
        (1.5, True, 0.5, (-1.28, 0.0)),  # far enough up: clipped, no gradient
        (0.5, False, 0.5, (0.8, 0.0)),  # far enough down
        (2.0, False, 0.5, (2.0, 2.0)),  # a wrong one that became likelier is never clipped
        (0.5, True, 0.5, (-0.5, -0.5)),
    ],
)
def test_grpo_of_one_token_by_hand(
    ratio: float, is_correct: bool, pass_rate: float, expected: tuple[float, float]
) -> None:
    assert loss_and_slope("grpo", ratio, is_correct, pass_rate) == pytest.approx(expected, abs=1e-6)


def test_w_reinforce_of_one_token_by_hand() -> None:
    assert loss_and_slope("w_reinforce", 2.0, True, 0.3) == pytest.approx((-0.2, -0.2))
    assert loss_and_slope("w_reinforce", 0.5, False, 0.3) == pytest.approx((0.5, 0.5))
    assert loss_and_slope("w_reinforce", 2.0, True, 0.3, positive_weight=1.0)[0] == pytest.approx(-2.0)


def test_nft_of_one_token_by_hand() -> None:
    # right: (1 - p)(-ln ratio)
    assert loss_and_slope("nft", 2.0, True, 0.5) == pytest.approx((-0.5 * math.log(2), -0.5))
    # wrong: the negative policy's ratio (1 - .5 * .5) / .5 = 1.5; slope (1 - p) * p R / (1 - p R) = .5 * .25 / .75
    assert loss_and_slope("nft", 0.5, False, 0.5) == pytest.approx((-0.5 * math.log(1.5), 1 / 6))
    # wrong and likelier: ratio (1 - .75) / .5 = .5 is held at 1, its gradient p R = .75 is kept
    assert loss_and_slope("nft", 1.5, False, 0.5) == pytest.approx((0.0, 0.75))
    assert loss_and_slope("nft", 0.5, False, 0.5, negative_weight=0.0) == (0.0, 0.0)
    # a pass rate outside [.02, .98] counts as its end
    assert loss_and_slope("nft", 2.0, True, 0.999)[1] == pytest.approx(-0.02)


@pytest.mark.parametrize("pass_rate", [0.125, 0.5, 0.75])
@pytest.mark.parametrize("is_correct", [True, False])
def test_where_policy_and_reference_agree_nft_and_grpo_pull_the_same_way(is_correct: bool, pass_rate: float) -> None:
    nft, grpo = (loss_and_slope(name, 1.0, is_correct, pass_rate)[1] for name in ("nft", "grpo"))
    assert nft == pytest.approx(pass_rate - is_correct, rel=1e-5)
    assert grpo == pytest.approx(nft / math.sqrt(pass_rate * (1 - pass_rate)), rel=1e-5)


# the control


def test_a_random_step_lies_anywhere_up_to_the_pit_and_never_beyond() -> None:
    credit = Credit("p0", "a 1 ; b 2 ; c 7 ; d 4 ; ans C0", False, 0.5, [0.8, 0.6, 0.0])
    right = ("x 1 ; ans C1", "a 1 ; x 1 ; ans C1", "a 1 ; b 2 ; x 1 ; ans C1", "a 1 ; b 2 ; c 7 ; x 1 ; ans C1")
    rejected = {
        pair.rejected
        for seed in range(40)
        for pair in METHODS["random_step_dpo"].rows(material(*right, credits=(credit,), seed=seed))
    }
    assert rejected == {"a 1 ; ", "b 2 ; ", "c 7 ; "}


@pytest.mark.parametrize("name", ["dpo", "step_dpo", "random_step_dpo", "chosen_sft", "pit_dpo"])
def test_the_same_seed_makes_the_same_rows_and_another_seed_others(name: str) -> None:
    texts = [f"a 1 ; b {i} ; ans C1" for i in range(20, 30)]
    traces = tuple(wrong(f"a 1 ; b {i} ; ans C0") for i in range(9))
    credits = tuple(Credit("p0", trace.text, False, 0.5, [0.6, 0.0]) for trace in traces)
    made = [METHODS[name].rows(material(*texts, traces=traces, credits=credits, seed=seed)) for seed in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
