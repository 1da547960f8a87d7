"""The skills domain: its facts, problems, teacher, steps, verifier, diagnostics and documents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sweep.data import domain
from sweep.data.records import Problem
from sweep.data.skills.curriculum import SkillsPhase
from sweep.data.skills.domain import Skills, open_skills, parsed_question
from sweep.data.skills.world import World, distinct_draws, solution_text, zipf_frequencies

SMALL: dict[str, Any] = {
    "domain_seed": 0,
    "n_train": 300,
    "n_validation": 40,
    "n_test": 60,
    "n_skills": 40,
    "n_values": 11,
    "chain_length": 3,
    "is_order_free": False,
    "zipf_exponent": 1.1,
    "zipf_offset": 9,
    "answer_classes": 3,
    "hard_fraction": 0.35,
    "teacher_skip_hard": 0.9,
    "teacher_skip_easy": 0.05,
    "teacher_order": "given",
    "n_head": 10,
    "head_reliability": 0.95,
    "tail_reliability": [0.3, 1.0],
}
PHASE = SkillsPhase(n_documents=200, lr=1e-3, tail_fraction=0.3, zipf_fraction=0.5)


def small(**changes: Any) -> Skills:
    return open_skills({**SMALL, **changes})


def world_by_hand() -> World:
    """Four functions modulo 5: +1, +2, +3 (hard), +4; classes A for even values, B for odd."""
    return World(
        shifts=np.array([1, 2, 3, 4]),
        false_shifts=np.array([2, 3, 4, 1]),
        is_hard=np.array([False, False, True, False]),
        frequencies=np.full(4, 0.25),
        reliabilities=np.ones(4),
        answers=("A", "B", "A", "B", "A"),
    )


def skills_by_hand(**changes: Any) -> Skills:
    """The same dials code over world_by_hand."""
    opened = small(n_train=5, n_test=2, n_validation=1, **changes)
    opened.world = world_by_hand()
    return opened


def test_a_solution_by_hand_with_the_second_step_left_out() -> None:
    # 3 +1 = 4, f2 omitted, 4 +2 = 6 = 1 modulo 5, which is odd
    text = solution_text(world_by_hand(), 3, np.array([0, 2, 1]), np.array([1, 3, 2]), np.array([0, 1, 0]))
    assert text == "f0 3 4 ; f1 4 1 ; ans B"


def test_zipf_frequencies_by_hand() -> None:
    # weights 1/2, 1/3, 1/4 at exponent 1, offset 1: shares 6, 4, 3 of 13
    assert zipf_frequencies(3, 1.0, 1.0) == pytest.approx([6 / 13, 4 / 13, 3 / 13])


def test_distinct_draws_repeat_no_index_in_a_row_and_follow_the_weights() -> None:
    rows = distinct_draws(np.array([0.0, 1.0, 1.0, 2.0]), 4_000, 2, np.random.default_rng(0), "")
    assert (rows[:, 0] != rows[:, 1]).all()
    # unordered pairs of 1, 2, 3 have weights 1, 2, 2 of 5, index 0 none
    counts = np.bincount(rows.ravel(), minlength=4) / 4_000
    assert counts == pytest.approx([0.0, 0.6, 0.6, 0.8], abs=0.03)


def test_a_false_belief_is_neither_the_truth_nor_no_change() -> None:
    world = small(n_skills=2_000, n_values=3).world
    assert (world.false_shifts != world.shifts).all()
    assert set(world.false_shifts.tolist()) == {1, 2}


def test_hard_functions_are_spread_over_common_and_rare_ones() -> None:
    # 10 of 40: one in each block of four
    world = small(hard_fraction=0.25).world
    assert world.is_hard.reshape(10, 4).sum(axis=1).tolist() == [1] * 10
    assert not small(hard_fraction=0.0).world.is_hard.any()
    assert small(hard_fraction=1.0).world.is_hard.all()


def test_the_reference_answer_is_that_of_the_whole_chain() -> None:
    opened = small()
    for problem in opened.problems("test"):
        value, functions = parsed_question(problem.question)
        for function in functions:
            value = (value + int(opened.world.shifts[function])) % 11
        assert problem.answer == opened.world.answers[value]


def test_splits_are_disjoint_and_a_larger_pool_extends_a_smaller_one() -> None:
    opened = small()
    questions = [{p.question for p in opened.problems(s)} for s in ("train", "validation", "test")]
    assert [len(q) for q in questions] == [300, 40, 60]
    assert len(set.union(*questions)) == 400
    larger = small(n_train=5_000)
    assert larger.problems("train", 300) == opened.problems("train")
    assert larger.problems("test") == opened.problems("test")


def test_where_the_order_is_free_a_reordered_problem_is_the_same_problem() -> None:
    opened = small(is_order_free=True, n_train=2_000)
    problems = [p for s in ("train", "validation", "test") for p in opened.problems(s)]
    contents = {(p.question.split()[0], *sorted(p.question.split()[1:])) for p in problems}
    assert len(contents) == len(problems)


def test_the_domain_seed_decides_the_problems_and_the_facts() -> None:
    first, again, other = small(), small(), small(domain_seed=1)
    assert first.problems("train") == again.problems("train")
    assert first.problems("train") != other.problems("train")
    assert (first.world.shifts != other.world.shifts).any()


def test_steps_join_to_the_text_and_end_after_their_separator() -> None:
    opened = small()
    assert opened.steps("f1 3 7 ; f7 7 2 ; ans C1") == ["f1 3 7 ; ", "f7 7 2 ; ", "ans C1"]
    for text in ("", "ans C1", "f1 3 7 ;", " ; ;f1\n;ans", "f1 3 7 ; f7 7"):
        assert "".join(opened.steps(text)) == text


def test_prompt_and_solution_join_to_words_of_the_vocabulary() -> None:
    opened = small()
    rng = np.random.default_rng(0)
    words = set(opened.vocabulary)
    assert len(words) == len(opened.vocabulary)
    for problem in opened.problems("train", 50):
        text = opened.prompt(problem) + opened.teacher_solution(problem, rng)
        assert set(text.split(" ")) <= words


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("f1 3 7 ; ans C1", "C1"),
        ("ans C0", "C0"),
        ("f1 3 7 ;", None),
        ("ans C1 ;", None),
        ("ans C9", None),
        ("ans C1 ; ans C2", None),
        ("ans", None),
        ("", None),
        ("f1 3 7 ; " * 5_000 + "ans C1", None),
    ],
)
def test_the_final_answer_is_the_only_and_last_one(text: str, answer: str | None) -> None:
    assert small().final_answer(text) == answer


def test_a_wrong_path_with_the_right_class_is_correct_for_the_verifier() -> None:
    opened = skills_by_hand()
    problem = Problem("p", "0 f1 f2", "A")  # 0 +2 +3 = 0, even
    assert opened.is_correct("f1 0 2 ; f2 2 0 ; ans A", problem)
    assert opened.is_correct("f1 0 2 ; ans A", problem)
    assert not opened.is_correct("f2 0 3 ; ans B", problem)


def test_the_teacher_never_omits_at_rate_0_and_always_at_rate_1() -> None:
    opened = skills_by_hand(teacher_skip_hard=1.0, teacher_skip_easy=0.0)
    problem = Problem("p", "0 f1 f2 f0", "B")
    assert opened.teacher_solution(problem, np.random.default_rng(0)) == "f1 0 2 ; f0 2 3 ; ans B"
    careful = skills_by_hand(teacher_skip_hard=0.0, teacher_skip_easy=0.0)
    assert careful.teacher_solution(problem, np.random.default_rng(0)) == "f1 0 2 ; f2 2 0 ; f0 0 1 ; ans B"


def test_a_teacher_seed_gives_the_same_attempts_and_another_seed_others() -> None:
    opened = small(teacher_skip_easy=0.5)
    problems = opened.problems("train", 30)

    def attempts(seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        return [opened.teacher_solution(problem, rng) for problem in problems]

    assert attempts(0) == attempts(0)
    assert attempts(0) != attempts(1)


def test_with_the_shortcut_off_only_the_whole_chain_is_correct() -> None:
    opened = small(answer_classes=None, teacher_skip_hard=1.0, teacher_skip_easy=0.0, n_values=17)
    rng = np.random.default_rng(0)
    for problem in opened.problems("test"):
        _, functions = parsed_question(problem.question)
        n_hard = int(opened.world.is_hard[functions].sum())
        text = opened.teacher_solution(problem, rng)
        if n_hard < 2:  # two omitted shifts may cancel, one can't: shifts are not 0
            assert opened.is_correct(text, problem) == (n_hard == 0)


def test_the_free_order_teacher_writes_every_order() -> None:
    opened = small(is_order_free=True, teacher_order="random", teacher_skip_hard=0.0, teacher_skip_easy=0.0)
    problem = opened.problems("train")[0]
    rng = np.random.default_rng(0)
    texts = [opened.teacher_solution(problem, rng) for _ in range(100)]
    assert len({tuple(w for w in t.split() if w.startswith("f")) for t in texts}) == 6
    assert all(opened.is_correct(t, problem) for t in texts)


def test_a_teacher_of_another_style_takes_the_free_steps_in_one_order() -> None:
    opened = small(is_order_free=True, teacher_order="reversed", teacher_skip_hard=0.0, teacher_skip_easy=0.0)
    problem = opened.problems("train")[0]
    text = opened.teacher_solution(problem, np.random.default_rng(0))
    assert [w for w in text.split() if w.startswith("f")] == problem.question.split()[:0:-1]
    assert opened.is_correct(text, problem)


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("f1 0 2 ; f2 2 0 ; f0 0 1 ; ans B", [[], [], [], []]),
        ("f1 0 2 ; f0 2 3 ; ans B", [[], ["hard skip"], []]),
        ("f2 0 3 ; ans B", [["easy skip"], ["easy skip"]]),
        ("ans A", [["easy skip", "hard skip", "easy skip"]]),
        ("f1 0 3 ; f2 3 1 ; f0 1 2 ; ans A", [["wrong fact"], [], [], []]),
        ("f1 0 2 ; f2 2 0 ; f0 0 1 ; ans A", [[], [], [], ["wrong answer"]]),
        ("f3 0 4 ; f1 4 1 ; f2 1 4 ; f0 4 0 ; ans A", [["bad format"], [], [], [], []]),
        ("f1 0 2 ; f2 4 2 ; f0 2 3 ; ans B", [[], ["bad format"], [], []]),
        ("f1 0 ; f2 0 3 ; f0 3 4 ; ans A", [["bad format"], ["easy skip"], [], []]),
    ],
)
def test_step_errors_by_hand(text: str, errors: list[list[str]]) -> None:
    # 0, then +2, +3 (hard), +1: 2, 0, 1
    assert skills_by_hand().step_errors(text, Problem("p", "0 f1 f2 f0", "B")) == errors


def test_where_the_order_is_free_a_skip_shows_at_the_answer() -> None:
    opened = skills_by_hand(is_order_free=True)
    problem = Problem("p", "0 f1 f2 f0", "B")
    assert opened.step_errors("f0 0 1 ; f1 1 3 ; ans B", problem) == [[], [], ["hard skip"]]


def test_step_errors_find_no_fault_in_a_careful_teacher() -> None:
    opened = small(teacher_skip_hard=0.0, teacher_skip_easy=0.0)
    rng = np.random.default_rng(0)
    for problem in opened.problems("test"):
        assert not any(opened.step_errors(opened.teacher_solution(problem, rng), problem))


def test_documents_without_skips_or_false_beliefs_are_correct_solutions() -> None:
    opened = small(head_reliability=1.0, tail_reliability=[1.0, 1.0])
    for prompt, solution in opened.pretraining_documents(PHASE, np.random.default_rng(0)):
        problem = Problem("p", prompt.removesuffix(" | "), "unknown")
        assert not any(opened.step_errors(solution, problem))


def test_reliability_is_the_share_of_documents_that_have_a_function_right() -> None:
    opened = small(head_reliability=1.0, tail_reliability=[0.25, 0.25])
    phase = SkillsPhase(n_documents=4_000, lr=1e-3, tail_fraction=1.0)
    is_right = []
    for _, solution in opened.pretraining_documents(phase, np.random.default_rng(0)):
        function, before, after = solution.split()[:3]
        is_right.append((int(before) + int(opened.world.shifts[int(function[1:])])) % 11 == int(after))
    assert np.mean(is_right) == pytest.approx(0.25, abs=0.03)


def test_a_noisy_tail_shows_every_result_and_an_exact_head() -> None:
    opened = small(head_reliability=1.0)
    phase = SkillsPhase(n_documents=6_000, lr=1e-3, tail_fraction=0.5, is_noisy_tail=True)
    results: dict[bool, set[int]] = {True: set(), False: set()}
    for _, solution in opened.pretraining_documents(phase, np.random.default_rng(0)):
        function, before, after = (int(w.lstrip("f")) for w in solution.split()[:3])
        results[function >= 10].add((after - before - int(opened.world.shifts[function])) % 11)
    assert results == {True: set(range(11)), False: {0}}


def test_only_documents_that_are_not_careful_skip() -> None:
    opened = small()
    phase = SkillsPhase(n_documents=2_000, lr=1e-3, careful_fraction=0.25, skip_hard=1.0, skip_easy=1.0)
    documents = opened.pretraining_documents(phase, np.random.default_rng(0))
    lengths = np.array([len(solution.split()) for _, solution in documents])
    assert set(lengths.tolist()) == {2, 14}  # the answer alone, or three steps and the answer
    assert np.mean(lengths == 14) == pytest.approx(0.25, abs=0.04)


def test_documents_depend_on_the_rng_alone() -> None:
    opened = small()
    first, again, other = (opened.pretraining_documents(PHASE, np.random.default_rng(s)) for s in (0, 0, 1))
    assert first == again
    assert first != other


def test_the_shipped_dials_open() -> None:
    path = Path(__file__).parents[1] / "conf" / "dataset" / "skills.yaml"
    dataset: Mapping[str, Any] = yaml.safe_load(path.read_text())
    assert dataset["domain_seed"] == "${replicate}"
    opened = domain({**dataset, "domain_seed": 0})
    assert opened.n_problems("test") >= 1_000
    assert opened.curriculum


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"zipf": 1.0}, "unknown key zipf in dataset; .*zipf_exponent"),
        ({"hard_fraction": 1.5}, r"dataset.hard_fraction must be a number in \[0, 1\]; found 1.5"),
        ({"tail_reliability": [0.9, 0.3]}, r"tail_reliability=\[0.9, 0.3\] must be"),
        ({"chain_length": 41}, "chain_length=41"),
        ({"answer_classes": 12}, "answer_classes=12"),
        ({"n_test": -1}, "dataset.n_test must be a whole number from 0 to 10000000; found -1"),
        (
            {"n_skills": 5, "n_head": 1, "n_train": 555, "zipf_exponent": 14.0},
            "zipf_exponent=14.*train asks for 555 problems and only .* more distinct ones were found",
        ),
        ({"n_train": 9_000_000}, "n_train=9000000, .* ask for more than the .* different problems of n_values="),
        ({"zipf_exponent": 12.0, "zipf_offset": 2.0}, r"zipf_exponent=12\.0, .* expected chains of .*Flatten"),
        ({"zipf_exponent": 50.0}, r"zipf_exponent=50\.0, .* expected chains of 3 different functions"),
        ({"zipf_exponent": 100.0, "zipf_offset": 0}, r"zipf_exponent=100\.0, .* expected chains of 3 different"),
        (
            {"n_head": 38, "curriculum": [{"n_documents": 9, "lr": 1, "tail_fraction": 1.0}]},
            r"tail_fraction=1\.0, zipf_fraction=0\.0, n_head=38, chain_length=3: .* 2 functions are asked at all",
        ),
        ({"curriculum": [{"n_documents": 10}]}, r"dataset.curriculum\[0\].lr has no value"),
        ({"curriculum": [{"n_documents": 10, "lr": 1, "skip_easy": 2}]}, r"\[0\].skip_easy must be .*; found 2"),
        ({"curriculum": [{"n_documents": 10, "lr": 1, "tail_fraction": 0.6, "zipf_fraction": 0.6}]}, "add"),
        ({"curriculum": [{"n_documents": 0, "lr": 1}]}, "n_documents must be a whole number from 1 to .*; found 0"),
    ],
)
def test_a_wrong_dial_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_more_problems_than_the_pool_has_are_refused() -> None:
    with pytest.raises(ValueError, match=r"train \(dial n_train\): 301 problems .* it has 300"):
        small().problems("train", 301)
    assert small().problems("train", 0) == []


def test_an_unknown_domain_or_split_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"dataset\.name='maths' is not a domain; choose one of problems, skills, star_graph"
    ):
        domain({"name": "maths"})
    with pytest.raises(ValueError, match="no split 'dev'; choose one of train, validation, test"):
        small().problems("dev")
