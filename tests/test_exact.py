"""Theorem 6.1 on enumerable trees: exact values by hand, and the two objectives' optima."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sweep.exact.__main__ import COLUMNS, main
from sweep.exact.optima import (
    divergence,
    dpo_policy,
    larger,
    optimum,
    pair_rates,
    preferred,
    regression_policy,
    sampled,
    total_variation,
)
from sweep.exact.tree import Tree, joined, random_tree

# one prefix, three steps with q_values 1, 0.5 and 0 of probabilities 0.25, 0.5, 0.25: the value is 0.5
BY_HAND = Tree(np.array([[0.25, 0.5, 0.25]]), np.ones(1), np.array([[0.5, 0.0, -0.5]]))


def tree(seed: int = 0) -> Tree:
    return random_tree(2, 3, np.random.default_rng(seed))


def test_the_theorem_s_optimum_by_hand() -> None:
    # 0.25 e^(5/3), 0.5, 0.25 e^(-5/3) = 1.32362, 0.5, 0.04722; sum 1.87084
    assert optimum(BY_HAND)[0] == pytest.approx([0.70750, 0.26726, 0.02524], abs=1e-5)


def test_both_objectives_end_at_the_optimum_where_nothing_is_sampled() -> None:
    one = tree()
    by_dpo = dpo_policy(one, pair_rates(one, preferred))
    by_regression = regression_policy(one, one.visits[:, None] * one.choices)
    assert total_variation(one, optimum(one), by_dpo) < 1e-5
    assert total_variation(one, optimum(one), by_regression) < 1e-5


def test_dpo_where_the_larger_advantage_always_wins_ends_elsewhere() -> None:
    by_dpo = dpo_policy(BY_HAND, pair_rates(BY_HAND, larger))
    assert by_dpo[0, 0] > 0.999 and total_variation(BY_HAND, optimum(BY_HAND), by_dpo) > 0.25


def test_more_pairs_bring_dpo_nearer() -> None:
    one, rng = tree(), np.random.default_rng(0)
    rates = pair_rates(one, preferred)
    far, near = (total_variation(one, optimum(one), dpo_policy(one, sampled(rates, n, rng))) for n in (64, 65536))
    assert near < 0.05 < far


def test_a_tree_is_visited_once_a_depth_and_its_advantages_average_to_nothing() -> None:
    one = random_tree(3, 2, np.random.default_rng(0))
    assert len(one.visits) == 7
    assert [one.visits[:1].sum(), one.visits[1:3].sum(), one.visits[3:].sum()] == pytest.approx([1, 1, 1])
    assert (one.choices * one.advantages).sum(axis=1) == pytest.approx(np.zeros(7), abs=1e-12)


def test_pairs_are_the_policy_s_own_and_labelled_by_the_sigmoid_of_their_advantages() -> None:
    rates = pair_rates(BY_HAND, preferred)
    assert rates.sum() == pytest.approx(1)
    # both orders of steps 0 and 2 come up 2 * 0.25 * 0.25 of the time; sigmoid(1) = 0.73106 of them prefer step 0
    assert rates[0, 0, 2] / rates[0, 2, 0] == pytest.approx(0.73106 / 0.26894, rel=1e-4)
    assert rates[0, 0, 2] + rates[0, 2, 0] == pytest.approx(0.125)


def test_distances_by_hand() -> None:
    one, other = np.array([[0.5, 0.5, 0.0]]), np.array([[0.25, 0.25, 0.5]])
    assert total_variation(BY_HAND, one, other) == 0.5
    assert divergence(BY_HAND, one, other) == pytest.approx(math.log(2))
    assert divergence(BY_HAND, other, one) == math.inf


def test_one_search_for_several_trees_finds_what_one_for_each_does() -> None:
    both = [tree(1), tree(2)]
    rates = [pair_rates(one, preferred) for one in both]
    apart = np.concatenate([dpo_policy(one, of) for one, of in zip(both, rates, strict=True)])
    assert dpo_policy(joined(both), np.concatenate(rates)) == pytest.approx(apart, abs=1e-5)


def test_a_tree_without_a_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="depth=0 and n_choices=3: expected 1 or more steps of 2 or more"):
        random_tree(0, 3, np.random.default_rng(0))


def test_the_table_has_a_row_a_replicate_size_and_rule_and_is_the_same_again(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert main(["--out", str(tmp_path / name), "--replicates", "2", "--most-pairs", "64"]) == 0
    text = (tmp_path / "a/theorem.csv").read_text()
    assert text == (tmp_path / "b/theorem.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert tuple(rows[0]) == COLUMNS and len(rows) == 2 * 2 * 3
    exact = [row for row in rows if row["n_pairs"] == "inf" and row["rule"] == "drawn by advantage"]
    assert all(float(row["tv_dpo"]) < 1e-4 for row in exact) and len({row["tv_dpo"] for row in exact}) == 2


def test_the_table_says_by_what_it_was_made_and_replaces_its_own_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", str(tmp_path / "table"), "--replicates", "1", "--most-pairs", "32"]
    assert main(words) == 0 and main(words) == 0
    record = json.loads((tmp_path / "table/provenance.json").read_text())
    assert record["commands"] == [f"python -m sweep.exact --out {tmp_path}/table --replicates 1 --most-pairs 32"]
    assert record["versions"]["torch"] == torch.__version__ and record["first_run"] <= record["created"]
    capsys.readouterr()
    for name in ("theorem.csv", "provenance.json"):
        folder = tmp_path / name.split(".")[0]
        folder.mkdir()
        (folder / name).write_text("of somebody else")
        assert main(["--out", str(folder), "--replicates", "1", "--most-pairs", "32"]) == 2
        assert f"{name} there was not written by sweep.exact" in capsys.readouterr().err
        assert (folder / name).read_text() == "of somebody else" and len(list(folder.iterdir())) == 1
