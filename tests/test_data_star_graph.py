"""Star graphs: their published format, problems, teacher, steps, verifier, diagnostics and documents."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from sweep.data import domain
from sweep.data.records import Problem
from sweep.data.star_graph import StarGraph, StarGraphPhase, open_star_graph, parsed_question, rendered

SMALL: dict[str, Any] = {
    "domain_seed": 0, "n_train": 60, "n_validation": 10, "n_test": 20, "degree": 3, "path_length": 4, "n_nodes": 14,
}  # fmt: skip
PUBLISHED = (  # lines of deg_2_path_3_nodes_10_test and deg_5_path_3_nodes_50_test of the authors' repository
    "2,8|5,2|5,9|9,3/5,8=5,2,8",
    "1,6|1,5|5,3|6,2/1,2=1,6,2",
    "9,32|4,46|25,37|10,25|0,43|10,9|10,7|10,0|10,4|7,48/10,32=10,9,32",
)
LINE = re.compile(r"\d+,\d+(\|\d+,\d+)*/\d+,\d+=\d+(,\d+)+")
BY_HAND = Problem("p", "2,8|5,2|5,9|9,3/5,8=", "2,8")


def small(**changes: Any) -> StarGraph:
    return open_star_graph({**SMALL, **changes})


def published_reading(line: str) -> dict[str, Any]:
    """What a line says, by the format's description alone: its degree, nodes of an arm, and whether the path is one."""
    assert LINE.fullmatch(line), line
    shown, path = line.split("=")
    edges, ends = shown.split("/")
    follows: dict[str, list[str]] = {}
    for edge in edges.split("|"):
        follows.setdefault(edge.split(",")[0], []).append(edge.split(",")[1])
    start, goal = ends.split(",")
    lengths = []
    for node in follows[start]:
        length = 2
        while node in follows:
            (node,) = follows[node]
            length += 1
        lengths.append(length)
    nodes = path.split(",")
    is_path = all(b in follows[a] for a, b in pairwise(nodes))
    return {
        "degree": len(follows[start]), "lengths": set(lengths), "n_nodes": len(set(re.findall(r"\d+", edges))),
        "n_edges": edges.count("|") + 1, "is_path": is_path and (nodes[0], nodes[-1]) == (start, goal),
    }  # fmt: skip


def line_of(problem: Problem) -> str:
    _, start, _ = parsed_question(problem.question)
    return f"{problem.question}{start},{problem.answer}"


@pytest.mark.parametrize(("line", "degree"), list(zip(PUBLISHED, (2, 2, 5), strict=True)))
def test_a_published_line_is_read_as_its_authors_describe_it(line: str, degree: int) -> None:
    found = published_reading(line)
    assert (found["degree"], found["lengths"], found["is_path"]) == (degree, {3}, True)
    question, path = line.split("=")
    edges, start, goal = parsed_question(f"{question}=")
    assert (f"{start}", f"{goal}") == (path.split(",")[0], path.split(",")[-1])
    assert "|".join(f"{a},{b}" for a, b in edges) == question.split("/")[0]


@pytest.mark.parametrize(("degree", "path_length"), [(2, 3), (2, 5), (3, 4), (5, 3)])
def test_our_lines_have_the_published_format(degree: int, path_length: int) -> None:
    data = small(degree=degree, path_length=path_length, n_nodes=20)
    for problem in data.problems("train"):
        found = published_reading(line_of(problem))
        assert (found["degree"], found["lengths"], found["is_path"]) == (degree, {path_length}, True)
        assert found["n_edges"] == degree * (path_length - 1) == found["n_nodes"] - 1


def test_the_goal_s_arm_and_the_order_of_edges_are_drawn_uniformly() -> None:
    places, starts = Counter[int](), Counter[int]()
    for problem in small(n_train=900, degree=3, path_length=3, n_nodes=9).problems("train"):
        edges, start, _ = parsed_question(problem.question)
        firsts = [b for a, b in edges if a == start]
        places[firsts.index(int(problem.answer.split(",")[0]))] += 1
        starts[start] += 1
    assert all(abs(n - 300) < 4 * np.sqrt(900 * 2 / 9) for n in places.values()) and len(places) == 3
    assert all(abs(n - 100) < 4 * np.sqrt(900 * 8 / 81) for n in starts.values()) and len(starts) == 9


def test_a_problem_is_rendered_one_token_a_node_with_its_start() -> None:
    assert rendered(BY_HAND.question) == "2 8 | 5 2 | 5 9 | 9 3 / 5 8 = 5 "
    data = small()
    words = {word for p in data.problems("train") for word in (data.prompt(p) + p.answer.replace(",", " ")).split()}
    assert words <= set(data.vocabulary) and len(set(data.vocabulary)) == 3 + 14


def test_the_teacher_writes_the_path_and_the_verifier_takes_no_other() -> None:
    data = small()
    for problem in data.problems("test"):
        text = data.teacher_solution(problem, np.random.default_rng(0))
        assert data.verdicts([text], [problem]).is_correct == [True] and not any(data.step_errors(text, problem))
        assert "".join(data.steps(text)) == text and len(data.steps(text)) == 3
    by_hand = small(degree=2, path_length=3, n_nodes=10)
    for text in ("9 3", "2", "2 8 8", "2,8", "2 x", "", "02 8"):
        assert not by_hand.is_correct(text, BY_HAND)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2 8", [[], []]),
        ("9 3", [["wrong arm"], []]),
        ("9 8", [["wrong arm"], ["no edge"]]),
        ("8 2", [["no edge"], ["no edge"]]),
        ("2", [["ends early"]]),
        ("2 8 3", [[], [], ["bad format"]]),
        ("| 8", [["bad format"], ["no edge"]]),
        ("12 8", [["bad format"], ["no edge"]]),
        ("", []),
    ],
)
def test_each_step_is_charged_with_its_own_fault(text: str, found: list[list[str]]) -> None:
    assert small(degree=2, path_length=3, n_nodes=10).step_errors(text, BY_HAND) == found


def test_documents_follow_edges_and_choose_their_arm_at_random() -> None:
    data = small(degree=2, path_length=3, n_nodes=8)
    right = 0
    for prompt, text in data.pretraining_documents(StarGraphPhase(n_documents=800, lr=1e-3), np.random.default_rng(0)):
        question = "|".join(e.strip().replace(" ", ",") for e in prompt.split("/")[0].split("|"))
        edges = set(question.split("|"))
        start, goal = prompt.split("/")[1].split("=")[0].split()
        assert {f"{start},{text.split()[0]}", ",".join(text.split())} <= edges
        right += text.split()[-1] == goal
    assert abs(right - 400) < 4 * np.sqrt(200)


def test_a_phase_of_graphs_of_one_arm_is_walked_to_its_end_and_leaves_the_problems_as_they_are() -> None:
    phase = {"n_documents": 50, "lr": 1e-3, "degree": 1, "path_length": 6}
    data = small(degree=2, path_length=3, n_nodes=8, curriculum=[phase])
    for prompt, text in data.pretraining_documents(data.curriculum[0], np.random.default_rng(0)):
        edges = {tuple(edge.split()) for edge in prompt.split("/")[0].split("|")}
        start, goal = prompt.split("/")[1].split("=")[0].split()
        walk = [start, *text.split()]
        assert set(pairwise(walk)) == edges and len(edges) == 5 and walk[-1] == goal
    assert data.problems("test") == small(degree=2, path_length=3, n_nodes=8).problems("test")


def test_splits_share_no_graph_and_a_larger_pool_extends_a_smaller_one() -> None:
    few, many = small(n_train=30), small(n_train=60)
    assert many.problems("train", 30) == few.problems("train") and few.problems("test") == many.problems("test")
    seen = [
        (frozenset(edges), start, goal)
        for split in ("train", "validation", "test")
        for edges, start, goal in (parsed_question(p.question) for p in many.problems(split))
    ]
    assert len(set(seen)) == len(seen) == 90
    assert small(domain_seed=1).problems("train") != many.problems("train")
    assert small().problems("train") == many.problems("train")


def test_dials_that_make_no_graph_are_refused() -> None:
    with pytest.raises(ValueError, match="make graphs of 10 different nodes, and n_nodes=9; raise n_nodes to 10"):
        small(n_nodes=9)
    with pytest.raises(ValueError, match="degree=1 and path_length=11 make graphs of 11 different nodes"):
        small(n_nodes=10, curriculum=[{"n_documents": 1, "lr": 1e-3, "degree": 1, "path_length": 11}])
    with pytest.raises(ValueError, match="no new graph in 1000 draws after 6 different ones of degree=2"):
        small(degree=2, path_length=2, n_nodes=3)
    with pytest.raises(ValueError, match="no split 'dev'; choose one of train"):
        small().problems("dev")
    with pytest.raises(ValueError, match="61 problems were asked for and it has 60"):
        small().problems("train", 61)
    assert isinstance(domain({"name": "star_graph", **SMALL}), StarGraph)
